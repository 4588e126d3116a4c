"""From the bytes of a file to bars of a ticker: one step a module.

content (bytes → text) → tables (text → columns) → layouts (what columns mean) →
actions, dates, numbers (cells) → quotes (what each line says) → days (sessions) → bars.
"""
