"""Random walks of constant volatility, the weakest baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from lstmcli.forecasters.base import join_forecasts
from lstmcli.forecasters.filtered_simulation import MIN_MEMORY, check_history, rows_of
from lstmcli.forecasters.volatility.ewma import at_least_half_a_tick, root_of_steps
from lstmcli.frames import QUANTILES, log_returns
from lstmcli.panel import Panel


@dataclass(frozen=True)
class RandomWalk:
    """Random walk: zero drift, Gaussian with the training volatility.

    Equation: y[t,h] ~ N(0, σ²·h), σ the root mean square of training returns.
    Source: Bachelier (1900); Malkiel (1973), A Random Walk Down Wall Street.
    """

    horizon: int
    name: ClassVar[str] = "random_walk"

    def fit(self, panel: Panel, until: pd.Timestamp) -> FittedConstant:
        past = panel.until(until)
        check_history(past, MIN_MEMORY + 1)
        sigma = {
            ticker: float(np.sqrt((log_returns(bars) ** 2).mean())) for ticker, bars in past.items()
        }
        mean = dict.fromkeys(sigma, 0.0)
        return FittedConstant(self.name, self.horizon, until, past.sessions()[0], mean, sigma)


@dataclass(frozen=True)
class Drift:
    """Random walk with drift: Gaussian with the training mean and deviation.

    Equation: y[t,h] ~ N(μ·h, σ²·h), μ and σ those of training returns.
    Source: Hyndman, Athanasopoulos (2021), Forecasting: Principles and
    Practice, 3rd ed., 5.2.
    """

    horizon: int
    name: ClassVar[str] = "drift"

    def fit(self, panel: Panel, until: pd.Timestamp) -> FittedConstant:
        past = panel.until(until)
        check_history(past, MIN_MEMORY + 1)
        returns = {ticker: log_returns(bars) for ticker, bars in past.items()}
        mean = {ticker: float(each.mean()) for ticker, each in returns.items()}
        sigma = {ticker: float(each.std()) for ticker, each in returns.items()}
        return FittedConstant(self.name, self.horizon, until, past.sessions()[0], mean, sigma)


@dataclass(frozen=True)
class FittedConstant:
    """A Gaussian random walk with each ticker's training mean and volatility.

    Attributes:
        learns_from: the first session of the fit. Two parameters per ticker overfit so
            little that forecasts in sample are as good as out of sample.
        mean, sigma: per ticker, of the log return of one session.
    """

    name: str
    horizon: int
    fit_end: pd.Timestamp
    learns_from: pd.Timestamp
    mean: Mapping[str, float]
    sigma: Mapping[str, float]

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        from scipy.stats import norm

        steps = np.arange(1, self.horizon + 1)
        shape = norm.ppf(QUANTILES)
        parts = []
        for ticker, bars in panel.items():
            if ticker not in self.sigma:
                continue
            rows = np.flatnonzero(bars.index.isin(origins))
            centre = np.tile(self.mean[ticker] * steps, (len(rows), 1))  # (N, H)
            sigma = np.tile(self.sigma[ticker] * root_of_steps(self.horizon), (len(bars), 1))
            sigma = at_least_half_a_tick(sigma, bars)[rows]
            quantiles = centre[:, :, None] + sigma[:, :, None] * shape
            parts.append(rows_of(self.name, panel, ticker, rows, sigma, quantiles))
        return join_forecasts(parts)
