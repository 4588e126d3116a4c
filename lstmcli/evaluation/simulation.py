"""Panels for the leak checks: simulated, shuffled or perturbed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from lstmcli.evaluation.perturbed_events import perturbed_events
from lstmcli.frames import log_returns
from lstmcli.panel import MarketSeries, Panel
from lstmcli.sessions import WEEKDAYS

NEW_DISTRIBUTIONS = 0.1
"""Share of the perturbed sessions that get a dividend, and of those that get a split."""

WEEK = 5
"""Sessions of a week."""


def autoregressive(
    weights: Sequence[float], *, tickers: int, sessions: int, seed: int
) -> dict[str, np.ndarray]:
    """Return log returns (T,) of tickers: weighted sums of the last ones plus noise."""
    generator = np.random.default_rng(seed)
    series = {}
    for number in range(tickers):
        returns = 0.012 * generator.standard_normal(sessions)
        for t in range(len(weights), len(returns)):
            returns[t] += np.dot(weights, returns[t - len(weights) : t])
        series[f"AR{number}"] = returns
    return series


def weekly(*, tickers: int, sessions: int, seed: int) -> dict[str, np.ndarray]:
    """Return log returns (T,) of tickers whose volatility is threefold on Mondays."""
    generator = np.random.default_rng(seed)
    series = {}
    for number in range(tickers):
        scale = np.full(sessions, 0.012)
        scale[::WEEK] *= 3  # bars begin on one
        series[f"WEEK{number}"] = scale * generator.standard_normal(sessions)
    return series


def garch(
    degrees: float, *, tickers: int, sessions: int, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return log returns (T,) of GARCH(1, 1) and the next session's true sigma (T,).

    Args:
        degrees: of freedom of Student's t, whose draws are scaled to a variance of one.
    """
    generator = np.random.default_rng(seed)
    unit = np.sqrt(degrees / (degrees - 2))
    series, truth = {}, {}
    for number in range(tickers):
        variance, returns, sigma = 1.5e-4, np.empty(sessions), np.empty(sessions)
        for t in range(sessions):
            sigma[t] = np.sqrt(variance)
            returns[t] = sigma[t] * generator.standard_t(degrees) / unit
            variance = 3e-6 + 0.08 * returns[t] ** 2 + 0.90 * variance
        series[f"GARCH{number}"] = returns
        truth[f"GARCH{number}"] = np.append(sigma[1:], np.sqrt(variance))
    return series, truth


def simulated(series: dict[str, np.ndarray], *, seed: int, market: Sequence[str] = ()) -> Panel:
    """Return a panel of given log returns, with a plausible range within each session.

    Args:
        market: names of market series that the recipe reads. Each is a random walk of its
            own, which says nothing of the tickers.
    """
    panel = Panel(_bars(series, np.random.default_rng(seed)), {})
    sessions = max(len(returns) for returns in series.values())
    generator = np.random.default_rng((seed, 1))
    walks = {name: 0.02 * generator.standard_normal(sessions) for name in market}
    return panel.with_(
        market={
            name: MarketSeries(name, bars, WEEKDAYS)
            for name, bars in _bars(walks, generator).items()
        }
    )


def _bars(series: dict[str, np.ndarray], generator: np.random.Generator) -> dict[str, pd.DataFrame]:
    bars = {}
    for ticker, returns in series.items():
        sessions = len(returns)
        index = pd.bdate_range("2000-01-03", periods=sessions, name="session")
        close = 100 * np.exp(returns.cumsum())
        inside = np.exp(np.abs(returns[:, None]) * generator.uniform(0, 0.5, (sessions, 2)))
        opened = close * np.exp(-returns * generator.uniform(0.5, 1, sessions))
        bars[ticker] = pd.DataFrame(
            {
                "open": opened,
                "high": np.maximum(opened, close) * inside[:, 0],
                "low": np.minimum(opened, close) / inside[:, 1],
                "close": close,
                "volume": np.round(1e6 * np.exp(0.3 * generator.standard_normal(sessions))),
                "dividend": 0.0,
                "split": 0.0,
            },
            index=index,
        )
    return bars


def permuted_panel(panel: Panel, generator: np.random.Generator) -> Panel:
    """Return a panel with the sessions of each ticker in random order."""
    return panel.with_(
        bars={ticker: permuted(bars, generator) for ticker, bars in panel.items()},
        beside={ticker: permuted(bars, generator) for ticker, bars in panel.beside.items()},
    )


def permuted(bars: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """Return bars with whole sessions in random order, relative to the close before."""
    returns = log_returns(bars).fillna(0.0).to_numpy()
    order = np.append(0, 1 + generator.permutation(len(bars) - 1))
    close = bars["close"].iloc[0] * np.exp(returns[order].cumsum())
    changed = bars.iloc[order].set_index(bars.index)
    factor = close / changed["close"].to_numpy()
    for column in ("open", "high", "low", "close"):
        changed[column] *= factor
    # The returns include dividends already; to pay them again would count them twice.
    return changed.assign(dividend=0.0, split=0.0)


def perturbed_panel(panel: Panel, after: pd.Timestamp, generator: np.random.Generator) -> Panel:
    """Return a panel that differs in all that was not known when `after` closed.

    What `panel.until(after)` returns stays the same to the last bit.
    """
    known = panel.until(after)
    return panel.with_(
        bars={
            ticker: _perturbed(bars, len(known[ticker]), generator)
            for ticker, bars in panel.items()
        },
        market={
            name: _perturbed_series(series, len(known.market[name].bars), generator)
            for name, series in panel.market.items()
        },
        events=perturbed_events(panel, after, generator),
        beside={
            ticker: _perturbed(bars, len(known.beside[ticker]), generator)
            for ticker, bars in panel.beside.items()
        },
    )


def _perturbed(bars: pd.DataFrame, known: int, generator: np.random.Generator) -> pd.DataFrame:
    """Return bars that differ in every value after the first `known` rows."""
    later = np.arange(len(bars)) >= known
    factor = np.where(later, np.exp(0.1 * generator.standard_normal(len(bars))), 1.0)
    changed = bars.copy()
    for column in ("open", "high", "low", "close"):
        changed[column] = bars[column] * factor
    changed["volume"] = np.where(later, bars["volume"] * factor**5 + 1, bars["volume"])
    # A dividend is paid out of the close before, and has to stay below it.
    before = changed["close"].shift(1).fillna(changed["close"])
    dividend = before * generator.uniform(0.01, 0.05, len(bars))
    split = generator.uniform(1.5, 5.0, len(bars))
    for column, values in (("dividend", dividend), ("split", split)):
        paid = later & ((bars[column] > 0) | (generator.random(len(bars)) < NEW_DISTRIBUTIONS))
        # The next session always has one: a feature that peeks one session ahead is found.
        paid[known : known + 1] = True
        changed[column] = np.where(paid, values, bars[column])
    return changed


def _perturbed_series(
    series: MarketSeries, known: int, generator: np.random.Generator
) -> MarketSeries:
    return replace(series, bars=_perturbed(series.bars, known, generator))
