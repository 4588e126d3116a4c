"""GARCH as a baseline: one fit for each ticker, times the shape of past errors."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from lstmcli.forecasters.baselines.kept_fits import KeptFits, hash_of
from lstmcli.forecasters.baselines.past import Ewma
from lstmcli.forecasters.filtered_simulation import MIN_MEMORY, filtered_simulation, with_history
from lstmcli.forecasters.volatility.ewma import at_least_half_a_tick, ewma_scale
from lstmcli.forecasters.volatility.garch import GarchParameters, fit_garch
from lstmcli.frames import log_returns
from lstmcli.panel import Panel

log = logging.getLogger(__name__)

PARAMETERS = "parameters"
"""Among the numbers of a kept fit: those of GARCH, or none where it did not converge."""


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

    def fit(
        self, panel: Panel, until: pd.Timestamp, *, kept: KeptFits | None = None
    ) -> FittedGarch:
        return _fit(self.name, self.horizon, panel, until, fits={self.name: False}, kept=kept)


@dataclass(frozen=True)
class Gjr:
    """GJR-GARCH(1,1,1)-t: GARCH whose volatility rises more after a fall than after a rise.

    Where a ticker's fit does not converge, `garch` serves it.
    Source: Glosten, Jagannathan, Runkle (1993), On the Relation between the Expected
    Value and the Volatility of the Nominal Excess Return on Stocks, Journal of
    Finance 48; for the rest as `Garch`.
    """

    horizon: int
    name: ClassVar[str] = "gjr"

    def fit(
        self, panel: Panel, until: pd.Timestamp, *, kept: KeptFits | None = None
    ) -> FittedGarch:
        fits = {self.name: True, Garch.name: False}
        return _fit(self.name, self.horizon, panel, until, fits=fits, kept=kept)


@dataclass(frozen=True)
class FittedGarch:
    """GARCH or GJR-GARCH with the parameters of each ticker.

    Attributes:
        learns_from: the first session of the fit. Five or six parameters per ticker overfit
            so little that forecasts in sample are as good as out of sample.
        fallbacks: what serves the tickers whose fit did not converge, by ticker.
    """

    name: str
    horizon: int
    fit_end: pd.Timestamp
    learns_from: pd.Timestamp
    parameters: Mapping[str, GarchParameters]
    fallbacks: Mapping[str, str]

    def sigma(self, panel: Panel) -> dict[str, np.ndarray]:
        """Return each ticker's volatility of the cumulative returns, (T, H)."""
        scales = {}
        for ticker, bars in panel.items():
            if ticker in self.parameters:
                returns = log_returns(bars).to_numpy()
                scale = self.parameters[ticker].scale(returns, self.horizon)
                scales[ticker] = at_least_half_a_tick(scale, bars)
            elif ticker in self.fallbacks:
                scales[ticker] = ewma_scale(bars, self.horizon)
        return scales

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        return filtered_simulation(self.name, panel, origins, self.sigma(panel))


def _fit(
    name: str,
    horizon: int,
    panel: Panel,
    until: pd.Timestamp,
    *,
    fits: Mapping[str, bool],
    kept: KeptFits | None,
) -> FittedGarch:
    """Return the first fit of each ticker that converges.

    Args:
        fits: in the order in which they are tried, by name: whether falls count more.
        kept: fits that need not be made once more.
    """
    kept = KeptFits() if kept is None else kept
    past = with_history(panel.until(until), MIN_MEMORY + horizon)
    parameters, fallbacks = {}, {}
    for ticker, bars in past.items():
        for fit, falls in fits.items():
            if (found := kept_parameters(ticker, bars, fit, falls, kept)) is not None:
                parameters[ticker], serves = found, fit
                break
        else:
            serves = Ewma.name
        if serves != name:
            fallbacks[ticker] = serves
    for fallback in sorted(set(fallbacks.values())):
        served = " ".join(ticker for ticker in fallbacks if fallbacks[ticker] == fallback)
        log.info("%s did not converge, %s serves: %s", name, fallback, served)
    return FittedGarch(name, horizon, until, past.sessions()[0], parameters, fallbacks)


def kept_parameters(
    ticker: str, bars: pd.DataFrame, kind: str, falls: bool, kept: KeptFits
) -> GarchParameters | None:
    """Return a fit as `fit_garch` makes it, where none is kept."""
    returns = log_returns(bars).dropna()
    read = hash_of(returns.to_numpy("<f8").tobytes())
    fit = kept.find(ticker, kind, read)
    if fit is None:
        found = fit_garch(returns, falls=falls)
        numbers = np.array([]) if found is None else found.as_array()
        fit = kept.add(ticker, kind, bars, read, {PARAMETERS: numbers})
    return GarchParameters.of_array(fit.numbers[PARAMETERS])
