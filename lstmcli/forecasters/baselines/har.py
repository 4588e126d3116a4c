"""HAR as a baseline: its volatility times the shape of past errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from lstmcli.forecasters.filtered_simulation import POOL_WEIGHT, filtered_simulation
from lstmcli.forecasters.volatility.har import FittedHarVolatility, HarVolatility
from lstmcli.panel import Panel


@dataclass(frozen=True)
class Har:
    """HAR: the volatility of `HarVolatility` times the shape of past errors.

    Quantiles are those of y/σ̂ over the last 1,000 realised origins, as for
    `ewma`, of the ticker and of all tickers: long steps overlap, so that four
    years of one ticker say little about its tails and next to nothing about
    its drift.
    Source: Corsi (2009); Barone-Adesi, Giannopoulos, Vosper (1999), VaR without
    correlations, for the quantiles.
    """

    horizon: int
    earnings: bool = False
    lags: bool = False
    name: ClassVar[str] = "har"

    def fit(self, panel: Panel, until: pd.Timestamp) -> FittedHar:
        volatility = HarVolatility(self.horizon, self.earnings, self.lags).fit(panel, until)
        return FittedHar(volatility, until, panel.sessions()[0])


@dataclass(frozen=True)
class FittedHar:
    """HAR with its coefficients.

    Attributes:
        learns_from: the first session of the panel. Some twenty coefficients for all
            tickers overfit so little that forecasts in sample are as good as out of sample.
    """

    volatility: FittedHarVolatility
    fit_end: pd.Timestamp
    learns_from: pd.Timestamp
    name: ClassVar[str] = Har.name

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        sigma = self.volatility.sigma(panel)
        return filtered_simulation(self.name, panel, origins, sigma, pool_weight=POOL_WEIGHT)
