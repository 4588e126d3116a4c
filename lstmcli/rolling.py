"""Statistics of the last sessions, column by column: arrays (T, N) in, arrays (T, N) out.

A column gets the same digits whichever others stand beside it. Row t reads rows up to t.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def shifted(columns: np.ndarray, rows: int) -> np.ndarray:
    """Return each column some rows later; NaN comes in."""
    later = np.full(columns.shape, np.nan)
    if rows < len(columns):
        later[rows:] = columns[: len(columns) - rows]
    return later


def rolling_mean(columns: np.ndarray, span: int, least: int | None = None) -> np.ndarray:
    """Return means of the last `span` rows; NaN where fewer than `least` are known.

    Args:
        least: None: all of them.
    """
    return np.asarray(pd.DataFrame(columns).rolling(span, min_periods=least).mean())


def rolling_sum(columns: np.ndarray, span: int, least: int | None = None) -> np.ndarray:
    """Return sums of the last `span` rows; see `rolling_mean`."""
    return np.asarray(pd.DataFrame(columns).rolling(span, min_periods=least).sum())


def rolling_median(columns: np.ndarray, span: int, least: int | None = None) -> np.ndarray:
    """Return medians of the last `span` rows; see `rolling_mean`."""
    return np.asarray(pd.DataFrame(columns).rolling(span, min_periods=least).median())


def rolling_max(columns: np.ndarray, span: int, least: int | None = None) -> np.ndarray:
    """Return maxima of the last `span` rows; see `rolling_mean`."""
    if least is not None:
        return np.asarray(pd.DataFrame(columns).rolling(span, min_periods=least).max())
    found, width = columns, 1
    while width < span:
        # Two windows that overlap or touch make one that is longer. NaN stays NaN.
        step = min(width, span - width)
        found = np.maximum(found, shifted(found, step))
        width += step
    return found


def rolling_min(columns: np.ndarray, span: int) -> np.ndarray:
    """Return minima of those of the last `span` rows that are known; NaN where none is."""
    found, width = columns, 1
    while width < span:
        # As of maxima; NaN is passed over.
        step = min(width, span - width)
        found = np.fmin(found, shifted(found, step))
        width += step
    return found


def ewm_mean(columns: np.ndarray, alpha: float, least: int) -> np.ndarray:
    """Return exponentially weighted means; NaN where fewer than `least` rows are known.

    Equation: Σ (1 − α)^k·x[t − k] / Σ (1 − α)^k over the rows that are known.
    """
    weighted = pd.DataFrame(columns).ewm(alpha=alpha, adjust=True, min_periods=least)
    return np.asarray(weighted.mean())
