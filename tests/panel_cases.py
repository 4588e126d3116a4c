"""Panels for tests of the panel network, and clocks that have learnt nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
from simulate import panel_of, simulate_bars

from lstmcli.forecasters.panel_network.columns import Columns
from lstmcli.forecasters.panel_network.inputs import Standardisation
from lstmcli.forecasters.panel_network.modes import CLOCKS, COLUMNS, MODES
from lstmcli.forecasters.panel_network.table import TrainingTable
from lstmcli.forecasters.panel_network.ticker_columns import TickerColumns
from lstmcli.forecasters.volatility.announcements import Reaction
from lstmcli.forecasters.volatility.clock import FittedClock
from lstmcli.frames import EARNINGS, EVENT_COLUMNS
from lstmcli.panel import MarketSeries, Panel

CLOCK_WIDTH = 59
STEPS = 4
"""Steps that the network corrects."""

DAYS = pd.bdate_range("2010-01-04", periods=120)
REACTION = Reaction(first=1.0, second=0.5)
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
def panel(tickers: int, *, market: bool = True, sessions: int = 700, dates: bool = False) -> Panel:
    found = panel_of(**{f"T{n:02d}": bars_of(n, sessions) for n in range(tickers)})
    found = found.with_(market=series(sessions)) if market else found
    return found.with_(events=quarterly(found)) if dates else found


def quarterly(given: Panel) -> pd.DataFrame:
    """Return a report of each ticker every 63 sessions, known sixty or five of them ahead."""
    parts = []
    for number, (ticker, bars) in enumerate(given.items()):
        ahead = 5 if number % 2 else 60
        at = np.arange(62 + number % 7, len(bars), 63)
        about = {
            "ticker": ticker,
            "kind": EARNINGS,
            "session": bars.index[at],
            "timing": ("unknown", "after", "before", "during")[number % 4],
            "status": "reported",
            "amount": np.nan,
            "known_on": bars.index[at - ahead],
            "source": "sec_past",
        }
        parts.append(pd.DataFrame(about)[list(EVENT_COLUMNS)])
    return pd.concat(parts, ignore_index=True)


def spoilt_after(given: Panel, session: pd.Timestamp) -> Panel:
    """Return a panel with other bars, distributions, series and reports after a session."""

    def spoilt(rows: pd.DataFrame) -> pd.DataFrame:
        rows, later = rows.copy(), rows.index > session
        rows.loc[later, PRICES] *= 3.7
        rows.loc[later, "volume"] *= 0.01
        rows.loc[later, "dividend"] += 0.5
        rows.loc[later, "split"] = 2.0
        return rows

    events, later = given.events, given.events["known_on"] > session
    day = pd.Timedelta(1, "D")
    moved = events.assign(session=events["session"].where(~later, session + day))
    return given.with_(
        events=moved[~later | (np.arange(len(moved)) % 2 == 0)],
        bars={ticker: spoilt(rows) for ticker, rows in given.items()},
        market={name: replace(each, bars=spoilt(each.bars)) for name, each in given.market.items()},
    )


def columns_of(given: Panel, ticker: str | None = None) -> TickerColumns:
    """Return the columns of a ticker, the first of the panel if none is named."""
    return Columns(given).of(ticker or next(iter(given)), clocks(), REACTION)


def random_standardisation() -> Standardisation:
    generator = np.random.default_rng(7)
    mean, scale = generator.standard_normal(len(COLUMNS)), generator.uniform(0.5, 2, len(COLUMNS))
    return Standardisation(mean.astype(np.float32), scale.astype(np.float32))


def random_rows(
    seed: int, *, rows: int = 90, known: float = 0.8
) -> tuple[TickerColumns, np.ndarray, np.ndarray]:
    """Return random columns of one ticker, and its targets, with holes of every kind."""
    generator = np.random.default_rng(seed)
    days = DAYS[np.sort(generator.choice(len(DAYS), rows, replace=False))]
    values = np.clip(4 * generator.standard_normal((rows, len(COLUMNS))), -20, 20)
    values[generator.random(values.shape) < 0.02] = np.nan
    flags = generator.random((3, rows)) < known
    dates, soon = generator.choice([20, 5, 0], (2, rows))
    columns = TickerColumns(days, values.astype(np.float32), *flags, dates, np.minimum(dates, soon))
    variance, returns = 3 * generator.standard_normal((2, rows, STEPS))
    variance[-20:], returns[generator.random(rows) < 0.1] = np.nan, np.nan
    return columns, variance, returns


def predicted(values: np.ndarray) -> np.ndarray:
    """Return something (T, M, A) that tells rows, modes and steps apart."""
    first = np.nan_to_num(values[:, :STEPS])[:, None]
    return first / 10 + np.arange(len(MODES))[:, None] / 4


def random_table(
    tickers: dict[str, tuple[TickerColumns, np.ndarray, np.ndarray]],
) -> TrainingTable:
    made = TrainingTable({name: columns.sessions for name, (columns, _, _) in tickers.items()})
    for name, given in tickers.items():
        made.put(name, *given)
    made.finish(random_standardisation(), predicted)
    return made
