"""What a network has to beat: forecasters that anybody could compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from lstmcli.errors import NoDataError
from lstmcli.features import ewma_volatility
from lstmcli.forecasters._base import forecast_rows, join_forecasts
from lstmcli.frames import QUANTILES, Panel, log_returns
from lstmcli.windows import target_sessions

MEMORY = 1000
"""Realised origins whose errors shape the quantiles: about four years."""

MIN_MEMORY = 100
"""Realised origins without which 2.5 % tails would be a guess."""


@dataclass(frozen=True)
class RandomWalk:
    """Random walk: zero drift, Gaussian with the training volatility.

    Equation: y[t,h] ~ N(0, σ²·h), σ the root mean square of training returns.
    Source: Bachelier (1900); Malkiel (1973), A Random Walk Down Wall Street.
    """

    horizon: int
    name: ClassVar[str] = "random_walk"

    def fit(self, panel: Panel, until: pd.Timestamp) -> FittedRandomWalk:
        sigma = {}
        for ticker, bars in panel.until(until).items():
            returns = log_returns(bars).dropna()
            if len(returns) < MIN_MEMORY:
                raise _too_few(ticker, len(returns))
            sigma[ticker] = float(np.sqrt((returns**2).mean()))
        return FittedRandomWalk(self.horizon, until, sigma)


@dataclass(frozen=True)
class FittedRandomWalk:
    """A random walk with each ticker's training volatility."""

    horizon: int
    fit_end: pd.Timestamp
    sigma: dict[str, float]
    name: ClassVar[str] = RandomWalk.name

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        from scipy.stats import norm

        steps = np.sqrt(np.arange(1, self.horizon + 1))
        parts = []
        for ticker in panel:
            if ticker not in self.sigma:
                continue
            at = panel[ticker].index.intersection(origins)
            sigma = np.tile(self.sigma[ticker] * steps, (len(at), 1))
            quantiles = sigma[:, :, None] * norm.ppf(QUANTILES)
            parts.append(_rows(self.name, panel, ticker, at, sigma, quantiles))
        return join_forecasts(parts)


@dataclass(frozen=True)
class Ewma:
    """EWMA: today's volatility times the shape of past errors.

    Filtered historical simulation: the empirical quantiles of y/σ̂ over the last
    1,000 realised origins, times today's σ̂ (λ = 0.94).
    Source: Barone-Adesi, Giannopoulos, Vosper (1999), VaR without correlations;
    RiskMetrics (1996) for σ̂.
    """

    horizon: int
    name: ClassVar[str] = "ewma"

    def fit(self, panel: Panel, until: pd.Timestamp) -> FittedEwma:
        for ticker, bars in panel.until(until).items():
            if len(bars) < MIN_MEMORY + self.horizon:
                raise _too_few(ticker, len(bars))
        return FittedEwma(self.horizon, until)


@dataclass(frozen=True)
class FittedEwma:
    """EWMA learns nothing at the fit: its memory moves along with the origin."""

    horizon: int
    fit_end: pd.Timestamp
    name: ClassVar[str] = Ewma.name

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        parts = []
        for ticker in panel:
            bars = panel[ticker]
            sigma = ewma_volatility(bars).to_numpy()
            scale = sigma[:, None] * np.sqrt(np.arange(1, self.horizon + 1))  # (T, H)
            scaled = cumulative_returns(bars, self.horizon) / scale
            # Row t: the errors whose labels have arrived by t, (T, H).
            arrived = np.column_stack(
                [np.roll(scaled[:, h - 1], h) for h in range(1, self.horizon + 1)]
            )
            known = np.flatnonzero(np.isfinite(sigma))
            # The labels of the last step take longest to arrive.
            first = known[0] + self.horizon if len(known) else len(bars)
            positions = np.flatnonzero(bars.index.isin(origins))
            positions = positions[positions - first + 1 >= MIN_MEMORY]
            quantiles = np.empty((len(positions), self.horizon, len(QUANTILES)))
            for n, t in enumerate(positions):
                memory = arrived[max(first, t - MEMORY + 1) : t + 1]
                quantiles[n] = np.quantile(memory, QUANTILES, axis=0).T * scale[t][:, None]
            at = pd.DatetimeIndex(bars.index[positions])
            parts.append(_rows(self.name, panel, ticker, at, scale[positions], quantiles))
        return join_forecasts(parts)


def cumulative_returns(bars: pd.DataFrame, horizon: int) -> np.ndarray:
    """Return log returns over the next 1…H sessions, (T, H), NaN where not realised."""
    level = log_returns(bars).fillna(0.0).cumsum().to_numpy()
    ahead = np.full((len(level), horizon), np.nan)
    for h in range(1, min(horizon, len(level) - 1) + 1):
        ahead[:-h, h - 1] = level[h:] - level[:-h]
    return ahead


def _rows(
    name: str,
    panel: Panel,
    ticker: str,
    at: pd.DatetimeIndex,
    sigma: np.ndarray,
    quantiles: np.ndarray,
) -> pd.DataFrame:
    horizon = quantiles.shape[1]
    return forecast_rows(
        name,
        ticker,
        made_on=at,
        target_on=target_sessions(panel, ticker, at, horizon),
        last_close=panel[ticker].loc[at, "close"].to_numpy(float),
        sigma=sigma,
        quantiles=quantiles,
    )


def _too_few(ticker: str, sessions: int) -> NoDataError:
    return NoDataError(
        f"{ticker}: Expected at least {MIN_MEMORY} sessions for the baselines. "
        f"Received: {sessions}.",
        hint=f"lstm fetch {ticker} --start 2000-01-01",
    )


BASELINES: dict[str, type[RandomWalk] | type[Ewma]] = {
    recipe.name: recipe for recipe in (RandomWalk, Ewma)
}
"""Baselines by name; each takes the horizon."""
