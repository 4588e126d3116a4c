"""Quantiles of what came before, as it was or scaled to the volatility of today."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from lstmcli.forecasters.base import join_forecasts
from lstmcli.forecasters.filtered_simulation import (
    MIN_MEMORY,
    arrived,
    filtered_simulation,
    remembered_origins,
    rows_of,
    with_history,
)
from lstmcli.forecasters.rolling_quantiles import rolling_quantiles
from lstmcli.forecasters.volatility.ewma import at_least_half_a_tick, ewma_scale
from lstmcli.frames import cumulative_returns
from lstmcli.panel import Panel

MEMORY = 1000
"""Sessions whose returns `historical` remembers: as they were, old ones mislead."""


@dataclass(frozen=True)
class Historical:
    """Historical simulation: the returns of the last 1,000 sessions, as they were.

    Equation: q[τ,t,h] = quantile_τ{y[s,h] : t − h − 1000 < s ≤ t − h}.
    Source: Hendricks (1996), Evaluation of Value-at-Risk Models Using
    Historical Data, FRBNY Economic Policy Review 2.
    """

    horizon: int
    name: ClassVar[str] = "historical"

    def fit(self, panel: Panel, until: pd.Timestamp) -> FittedHistorical:
        past = with_history(panel.until(until), MIN_MEMORY + self.horizon)
        return FittedHistorical(self.horizon, until, past.sessions()[0])


@dataclass(frozen=True)
class FittedHistorical:
    """Historical simulation learns nothing at the fit: its memory moves along.

    Attributes:
        learns_from: the first session of the panel.
    """

    horizon: int
    fit_end: pd.Timestamp
    learns_from: pd.Timestamp
    name: ClassVar[str] = Historical.name

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        parts = []
        for ticker, bars in panel.items():
            came = arrived(cumulative_returns(bars, self.horizon))
            rows = remembered_origins(bars, origins, came)
            squares = pd.DataFrame(came**2).rolling(MEMORY, min_periods=1).mean().to_numpy()
            sigma = at_least_half_a_tick(np.sqrt(np.maximum(squares, 0.0)), bars)[rows]
            quantiles = rolling_quantiles(came, rows, memory=MEMORY)
            parts.append(rows_of(self.name, panel, ticker, rows, sigma, quantiles))
        return join_forecasts(parts)


@dataclass(frozen=True)
class Ewma:
    """EWMA: today's volatility times the shape of past errors.

    Filtered historical simulation: the empirical quantiles of y/σ̂ over the last
    2,500 realised origins, of the ticker and of all tickers, times today's σ̂ (λ = 0.94).
    Source: Barone-Adesi, Giannopoulos, Vosper (1999), VaR without correlations;
    RiskMetrics (1996) for σ̂.
    """

    horizon: int
    name: ClassVar[str] = "ewma"

    def fit(self, panel: Panel, until: pd.Timestamp) -> FittedEwma:
        past = with_history(panel.until(until), MIN_MEMORY + self.horizon)
        return FittedEwma(self.horizon, until, past.sessions()[0])


@dataclass(frozen=True)
class FittedEwma:
    """EWMA learns nothing at the fit: its memory moves along.

    Attributes:
        learns_from: the first session of the panel.
    """

    horizon: int
    fit_end: pd.Timestamp
    learns_from: pd.Timestamp
    name: ClassVar[str] = Ewma.name

    def sigma(self, panel: Panel) -> dict[str, np.ndarray]:
        """Return each ticker's volatility of the cumulative returns, (T, H)."""
        return {ticker: ewma_scale(bars, self.horizon) for ticker, bars in panel.items()}

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        return filtered_simulation(self.name, panel, origins, self.sigma(panel))
