"""Dividends and splits that add up with prices: `settled` makes bars of what a source states."""
