"""EWMA: volatility as an exponentially weighted mean of squared returns."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lstmcli.features import ewma_volatility
from lstmcli.trading import least_volatility


def ewma_scale(bars: pd.DataFrame, horizon: int) -> np.ndarray:
    """Return EWMA volatility of the cumulative returns, (T, H), a fraction."""
    return ewma_volatility(bars).to_numpy()[:, None] * root_of_steps(horizon)


def at_least_half_a_tick(scale: np.ndarray, bars: pd.DataFrame) -> np.ndarray:
    """Return volatility of the cumulative returns, (T, H), no less than a tick allows.

    The floor that every volatility has which scales a forecast; see `least_volatility`. NaN
    stays NaN.
    """
    floor = least_volatility(bars)[:, None] * root_of_steps(scale.shape[1])
    return np.asarray(np.maximum(scale, floor))


def root_of_steps(horizon: int) -> np.ndarray:
    """Return √1 … √H: how volatility grows where returns do not depend on each other."""
    return np.sqrt(np.arange(1, horizon + 1))
