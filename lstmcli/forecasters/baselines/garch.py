"""GARCH as a baseline: one fit for each ticker, times the shape of past errors."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from lstmcli.forecasters.filtered_simulation import MIN_MEMORY, check_history, filtered_simulation
from lstmcli.forecasters.volatility.ewma import at_least_half_a_tick, ewma_scale
from lstmcli.forecasters.volatility.garch import GarchParameters, fit_garch
from lstmcli.frames import log_returns
from lstmcli.panel import Panel

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Garch:
    """GARCH(1,1)-t: a volatility that returns to its mean.

    Fitted per ticker with Student-t errors, then filtered over later sessions
    with its parameters fixed. Quantiles are those of past errors y/σ̂, as for
    `ewma`: a sum of h GARCH returns has no closed quantiles.
    Source: Bollerslev (1987), A Conditionally Heteroskedastic Time Series Model
    for Speculative Prices and Rates of Return, Review of Economics and
    Statistics 69; Barone-Adesi, Giannopoulos, Vosper (1999) for the quantiles.
    """

    horizon: int
    name: ClassVar[str] = "garch"

    def fit(self, panel: Panel, until: pd.Timestamp) -> FittedGarch:
        past = panel.until(until)
        check_history(past, MIN_MEMORY + self.horizon)
        found = {ticker: fit_garch(log_returns(bars).dropna()) for ticker, bars in past.items()}
        parameters = {ticker: each for ticker, each in found.items() if each is not None}
        fallbacks = tuple(ticker for ticker in past if ticker not in parameters)
        if fallbacks:
            log.info("garch did not converge, ewma serves: %s", " ".join(fallbacks))
        return FittedGarch(self.horizon, until, past.sessions()[0], parameters, fallbacks)


@dataclass(frozen=True)
class FittedGarch:
    """GARCH with the parameters of each ticker.

    Attributes:
        learns_from: the first session of the fit. Five parameters per ticker overfit so
            little that forecasts in sample are as good as out of sample.
        fallbacks: tickers that `ewma` serves, because their fit did not converge.
    """

    horizon: int
    fit_end: pd.Timestamp
    learns_from: pd.Timestamp
    parameters: Mapping[str, GarchParameters]
    fallbacks: tuple[str, ...]
    name: ClassVar[str] = Garch.name

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        scales = {}
        for ticker, bars in panel.items():
            if ticker in self.parameters:
                returns = log_returns(bars).to_numpy()
                scale = self.parameters[ticker].scale(returns, self.horizon)
                scales[ticker] = at_least_half_a_tick(scale, bars)
            elif ticker in self.fallbacks:
                scales[ticker] = ewma_scale(bars, self.horizon)
        return filtered_simulation(self.name, panel, origins, scales)
