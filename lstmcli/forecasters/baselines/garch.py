"""GARCH(1,1) with Student-t errors, one fit per ticker."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from lstmcli.features import SIGMA_FLOOR
from lstmcli.forecasters.baselines.filtered import MIN_MEMORY, check_history, filtered_simulation
from lstmcli.forecasters.baselines.simulation import ewma_scale
from lstmcli.frames import log_returns
from lstmcli.panel import Panel

log = logging.getLogger(__name__)

PERCENT = 100
"""Returns are fitted in percent: the optimiser stalls where a variance is 1e-4."""

HIGHEST_PERSISTENCE = 0.9999
"""Of α + β. Beyond it the variance has no mean to return to."""


@dataclass(frozen=True)
class GarchParameters:
    """GARCH(1,1)-t of one ticker, for log returns as fractions.

    Attributes:
        mean: μ of a session.
        omega, alpha, beta: the recursion of the variance.
        nu: degrees of freedom of the errors.
    """

    mean: float
    omega: float
    alpha: float
    beta: float
    nu: float

    @property
    def persistence(self) -> float:
        """Return α + β, the share of a shock that the next session keeps."""
        return self.alpha + self.beta

    @property
    def variance(self) -> float:
        """Return the variance that the process returns to, a squared log return."""
        return self.omega / (1 - self.persistence)

    def scale(self, returns: np.ndarray, horizon: int) -> np.ndarray:
        """Return the volatility of the next 1…H sessions together, (T, H), a fraction.

        Equation: σ²[t+1] = ω + α·ε²[t] + β·σ²[t];
        σ²[t,h] = h·V + (σ²[t+1] − V)·(1 − (α+β)^h) / (1 − (α+β)), V the mean.
        Source: Bollerslev (1986), Generalized Autoregressive Conditional
        Heteroskedasticity, Journal of Econometrics 31.
        """
        from scipy.signal import lfilter

        shocks = np.nan_to_num(returns - self.mean) ** 2  # (T,)
        # The recursion starts at the mean, which is known without any later return.
        start = np.array([self.beta * self.variance])
        drive = self.omega + self.alpha * shocks
        ahead, _ = lfilter([1.0], [1.0, -self.beta], drive, zi=start)
        steps = np.arange(1, horizon + 1)
        fading = (1 - self.persistence**steps) / (1 - self.persistence)
        total = steps * self.variance + (ahead[:, None] - self.variance) * fading
        return np.sqrt(np.maximum(total, steps * SIGMA_FLOOR**2))


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
        learns_from: the first session of the fit: four numbers per ticker hardly
            remember the days that they come from.
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
                scales[ticker] = self.parameters[ticker].scale(returns, self.horizon)
            elif ticker in self.fallbacks:
                scales[ticker] = ewma_scale(bars, self.horizon)
        return filtered_simulation(self.name, panel, origins, scales)


def fit_garch(returns: pd.Series) -> GarchParameters | None:
    """Return the maximum likelihood fit, or None where it did not converge."""
    from arch import arch_model

    if not returns.var() > 0:
        return None
    model = arch_model(PERCENT * returns, mean="Constant", p=1, q=1, dist="t", rescale=False)
    # A failed fit is told from its flag below.
    result = model.fit(disp="off", show_warning=False)
    mean, omega, alpha, beta, nu = (float(each) for each in result.params)
    parameters = GarchParameters(mean / PERCENT, omega / PERCENT**2, alpha, beta, nu)
    numbers = np.isfinite([mean, omega, alpha, beta, nu]).all()
    usable = numbers and omega > 0 and parameters.persistence <= HIGHEST_PERSISTENCE
    return parameters if result.convergence_flag == 0 and usable else None
