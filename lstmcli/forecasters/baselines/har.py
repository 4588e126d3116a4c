"""HAR as a baseline: its volatility times the shape of past errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from lstmcli.forecasters.filtered_simulation import filtered_simulation
from lstmcli.forecasters.volatility.har import FittedHarVolatility, HarVolatility
from lstmcli.panel import Panel


@dataclass(frozen=True)
class Har:
    """HAR: the volatility of `HarVolatility` times the shape of past errors.

    Quantiles are those of past errors y/σ̂, as for `ewma`.
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

    def sigma(self, panel: Panel) -> dict[str, np.ndarray]:
        """Return each ticker's volatility of the cumulative returns, (T, H)."""
        return self.volatility.sigma(panel)

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        return filtered_simulation(self.name, panel, origins, self.sigma(panel))
