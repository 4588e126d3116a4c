"""Dividends and splits as text: ratios such as 3:1, and lines between the prices."""

from __future__ import annotations

import re

import pandas as pd

_LINE = re.compile(
    r"^(?:\$?(?P<paid>[\d.,]+) (?:Dividend|Capital Gain)s?|"
    r"(?P<new>[\d.]+)\s*[:/]\s*(?P<old>[\d.]+) Stock Splits?)$",
    re.IGNORECASE,
)
"""In place of the open, on Yahoo's page: `0.24 Dividend`, `2:1 Stock Splits`."""

_RATIO = r"^\s*([\d.]+)\s*(?::|/|-for-| for )\s*([\d.]+)\s*$"


def with_actions(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the lines with prices, with what the others pay or split in columns.

    Args:
        frame: text (R, …) by role, with `date` and `open`.
    """
    if not pd.api.types.is_string_dtype(frame["open"]):
        return frame
    found = frame["open"].str.strip().str.extract(_LINE)
    is_action = found.notna().any(axis=1)
    if not is_action.any():
        return frame
    found, day = found[is_action], frame.loc[is_action, "date"]
    prices = frame[~is_action].copy()
    paid = pd.to_numeric(found["paid"].str.replace(",", "", regex=False))
    prices["dividend"] = prices["date"].map(paid.groupby(day).sum(min_count=1))
    ratio = pd.to_numeric(found["new"]) / pd.to_numeric(found["old"])
    prices["split"] = prices["date"].map(ratio.groupby(day).prod(min_count=1))
    return prices


def ratios(text: pd.Series) -> pd.Series:
    """Return splits (R,) as numbers in text, where they are written as 3:1."""
    if not pd.api.types.is_string_dtype(text):
        return text
    parts = text.str.extract(_RATIO)
    if parts[0].isna().all():
        return text
    ratio = pd.to_numeric(parts[0]) / pd.to_numeric(parts[1])
    return text.where(ratio.isna(), ratio.astype(str))
