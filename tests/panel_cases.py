"""Panels for tests of the panel network, and clocks that have learnt nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
from simulate import panel_of, simulate_bars

from lstmcli.forecasters.panel_network.columns import CLOCKS, Columns, TickerColumns
from lstmcli.forecasters.volatility.clock import FittedClock
from lstmcli.panel import MarketSeries, Panel

CLOCK_WIDTH = 59
PRICES = ["open", "high", "low", "close"]


def random_clock(*, seed: int = 0) -> FittedClock:
    generator = np.random.default_rng(seed)
    coefficients = 0.1 * generator.standard_normal(CLOCK_WIDTH)
    ones = (1.0,) * CLOCK_WIDTH
    return FittedClock(
        mean=ones, scale=ones, coefficients=tuple(coefficients.tolist()), intercept=0.1
    )


def clocks() -> dict[str, FittedClock]:
    return {kind: random_clock(seed=seed) for seed, kind in enumerate(CLOCKS)}


@cache
def series(sessions: int = 700, last: str = "2016-12-30") -> dict[str, MarketSeries]:
    """Return a volatility index between 10 and 40, and the index of a market."""
    vix = simulate_bars(sessions, seed=901, sigma=0.05, last=last)
    scale = np.clip(vix["close"], 10, 40) / vix["close"]
    vix[PRICES] = vix[PRICES].mul(scale, axis=0)
    index = simulate_bars(sessions, seed=902, last=last)
    return {
        "vix": MarketSeries("^VIX", vix, "XNYS"),
        "index": MarketSeries("^GSPC", index, "XNYS"),
    }


@cache
def bars_of(seed: int, sessions: int = 700) -> pd.DataFrame:
    """Return bars with a volatility of their own that comes and goes."""
    generator = np.random.default_rng(1000 + seed)
    spell = np.repeat(generator.choice([0.005, 0.02], sessions // 20 + 1), 20)[:sessions]
    returns = spell * generator.standard_normal(sessions)
    return simulate_bars(sessions, seed=seed, returns=returns)


@cache
def panel(tickers: int, *, market: bool = True, sessions: int = 700) -> Panel:
    found = panel_of(**{f"T{n:02d}": bars_of(n, sessions) for n in range(tickers)})
    return found.with_(market=series(sessions)) if market else found


def spoilt_after(given: Panel, session: pd.Timestamp) -> Panel:
    """Return a panel with other bars, dividends, splits and market series after a session."""

    def spoilt(rows: pd.DataFrame) -> pd.DataFrame:
        rows, later = rows.copy(), rows.index > session
        rows.loc[later, PRICES] *= 3.7
        rows.loc[later, "volume"] *= 0.01
        rows.loc[later, "dividend"] += 0.5
        rows.loc[later, "split"] = 2.0
        return rows

    return given.with_(
        bars={ticker: spoilt(rows) for ticker, rows in given.items()},
        market={name: replace(each, bars=spoilt(each.bars)) for name, each in given.market.items()},
    )


def columns_of(given: Panel, ticker: str | None = None) -> TickerColumns:
    """Return the columns of a ticker, the first of the panel if none is named."""
    return Columns(given).of(ticker or next(iter(given)), clocks())
