"""Volatility of the next sessions, as a scale for networks and baselines."""
