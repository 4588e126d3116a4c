"""A workspace of many tickers, and a Yahoo on loopback that has the sessions which follow.

Real bars of `pool600.parquet` where its folder is given, else random walks. They
stand on the last sessions up to an evening of our choice, whatever days they came from, without
dividends: so a year of evenings can follow what the network that ships has seen. Tickers that a
fetch would refuse are left out. Each ticker reports every 91 days. The bars say that their source
needs no pause between requests.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.errors import DataError
from lstmcli.frames import BAR_COLUMNS
from lstmcli.sessions import sessions_between
from lstmcli.sources import YahooSource, check_series
from lstmcli.store import Workspace
from lstmcli.store.bars import BarsMeta, BarsStore

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from yahoo_server import Listing, YahooServer

CALENDAR = "XNYS"
FIRST = pd.Timestamp("2024-03-11")
"""The session of the first evening."""

SERIES = ("^VIX", "^GSPC")

SHOWN = 40
"""Sessions that Yahoo has at a time: more than an update asks for."""

PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Market:
    """The bars of tickers and of market series, those of the evenings at their end."""

    tickers: Mapping[str, pd.DataFrame]
    series: Mapping[str, pd.DataFrame]
    evenings: pd.DatetimeIndex

    def store(self, root: Path) -> None:
        """Write all sessions before the first evening into a workspace."""
        workspace = Workspace(root)
        for ticker, bars in self.tickers.items():
            _write(workspace.bars, ticker, bars, kind="EQUITY")
        for ticker, bars in self.series.items():
            _write(workspace.market, ticker, bars, kind="INDEX")


def market(tickers: int, sessions: int, evenings: int, data: Path | None) -> Market:
    """Return bars of some tickers: sessions before the first evening, and one for each.

    Args:
        data: the folder of real bars; None: they are simulated.
    """
    end = FIRST + pd.Timedelta(int(evenings * 1.6) + 15, "D")
    span = pd.Timedelta(int(sessions * 1.6) + 30, "D")
    nothing = pd.DatetimeIndex([])
    every = sessions_between(CALENDAR, FIRST - span, end, observed=nothing)
    first = int(every.searchsorted(FIRST))
    every = every[first - sessions : first + evenings]
    found = _walks(every, tickers) if data is None else _of_pool(data, every, tickers)
    series = _simulated_series(every) if data is None else _real_series(data, every)
    return Market(found, series, every[sessions:])


def _of_pool(data: Path, every: pd.DatetimeIndex, tickers: int) -> dict[str, pd.DataFrame]:
    pool = pd.read_parquet(data / "pool600.parquet")
    found: dict[str, pd.DataFrame] = {}
    for ticker, rows in pool.groupby("Ticker", sort=True, observed=True):
        bars = _bars(rows, every)
        if _is_fetched(bars, str(ticker)):
            found[str(ticker)] = bars
        if len(found) == tickers:
            return found
    sys.exit(f"Expected at most {len(found)} tickers. Received: {tickers}.")


def _is_fetched(bars: pd.DataFrame, ticker: str) -> bool:
    """Return whether a fetch stores such bars: not with a jump that looks like a split."""
    try:
        check_series(bars, ticker, calendar=CALENDAR)
    except DataError:
        return False
    return True


def _walks(every: pd.DatetimeIndex, tickers: int) -> dict[str, pd.DataFrame]:
    found = {}
    for number in range(tickers):
        generator = np.random.default_rng(number)
        close = 100 * np.exp(np.cumsum(0.015 * generator.standard_normal(len(every))))
        opens = close * np.exp(0.004 * generator.standard_normal(len(every)))
        rows = {"Open": opens, "Close": close, "Volume": 1e6}
        rows |= {"High": np.maximum(opens, close) * 1.004, "Low": np.minimum(opens, close) * 0.996}
        found[f"T{number:03d}"] = _bars(pd.DataFrame(rows), every)
    return found


def _real_series(data: Path, every: pd.DatetimeIndex) -> dict[str, pd.DataFrame]:
    return {name: _bars(pd.read_csv(data / f"{name}.csv"), every) for name in SERIES}


def _simulated_series(every: pd.DatetimeIndex) -> dict[str, pd.DataFrame]:
    found = {}
    for seed, (name, level) in enumerate(zip(SERIES, (18.0, 4000.0), strict=True)):
        noise = np.random.default_rng(seed).standard_normal(len(every))
        close = level * np.exp(0.01 * noise)
        rows = dict.fromkeys(("Open", "High", "Low", "Close"), close)
        found[name] = _bars(pd.DataFrame({**rows, "Volume": 0.0}), every)
    return found


def _bars(rows: pd.DataFrame, every: pd.DatetimeIndex) -> pd.DataFrame:
    """Return the last of some rows as bars on the last of some sessions."""
    count = min(len(rows), len(every))
    index = pd.DatetimeIndex(every[-count:], name="session")
    bars = rows.tail(count).rename(columns=str.lower)[[*PRICES, "volume"]].astype(float)
    return bars.assign(dividend=0.0, split=0.0).set_axis(index)[list(BAR_COLUMNS)]


def _write(store: BarsStore, ticker: str, bars: pd.DataFrame, *, kind: str) -> None:
    before = bars.loc[: FIRST - timedelta(days=1)]
    meta = BarsMeta.of(
        before,
        ticker=ticker,
        source={"name": YahooSource().name, "pause": 0.0},
        calendar=CALENDAR,
        fetched_at=evening_of(before.index[-1]),
        exchange="NYQ",
        timezone="America/New_York",
        currency="USD",
        kind=kind,
    )
    store.write(before, meta)


def evening_of(session: pd.Timestamp) -> datetime:
    """Return 23:00 UTC, after the close in New York in summer and in winter."""
    return datetime(session.year, session.month, session.day, 23, 0, tzinfo=UTC)


class Yahoo:
    """Yahoo in a process of its own."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def environment(self, evening: int) -> dict[str, str]:
        """Go to an evening, and return the variables of a process that shall see it.

        Args:
            evening: from 1; on evening 0 Yahoo has all sessions before the first one.
        """
        self._pipe.send(evening)
        try:
            return self._pipe.recv()
        except (EOFError, ConnectionError):
            sys.exit("The process that imitates Yahoo has ended.")


@contextmanager
def yahoo(
    root: Path | None, tickers: int, sessions: int, evenings: int, *, data: Path | None = None
) -> Iterator[Yahoo]:
    """Fill a workspace as of before the first evening, if there is one, and serve what follows.

    All of it in another process: what a process has used is counted for those that it starts.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    asked = (root, tickers, sessions, evenings, data)
    with tempfile.TemporaryDirectory() as folder:
        process = context.Process(target=_serve, args=(Path(folder), theirs, *asked))
        process.daemon = True
        process.start()
        theirs.close()  # else nobody would hear that the process has ended
        try:
            yield Yahoo(ours)
        finally:
            with suppress(BrokenPipeError):
                ours.send(None)
            process.join()


def _serve(folder: Path, pipe: Connection, root: Path | None, *asked: Any) -> None:
    of = market(*asked)
    if root is not None:
        of.store(root)
    whole = {**of.tickers, **of.series}
    with YahooServer(folder) as server:
        for number, ticker in enumerate(whole):
            is_series = ticker in of.series
            server.listings[ticker] = Listing(
                whole[ticker].iloc[:0],
                kind="INDEX" if is_series else "EQUITY",
                null_volume=is_series,
                announcements=[] if is_series else reports(number),
            )
        while (evening := pipe.recv()) is not None:
            before = whole[next(iter(of.tickers))].loc[: FIRST - timedelta(days=1)].index[-1]
            session = of.evenings[evening - 1] if evening else before
            server.now = evening_of(session)
            for ticker, listing in server.listings.items():
                bars = whole[ticker].loc[:session]
                listing.bars = bars.tail(SHOWN) if evening else bars
            server.requests.clear()
            pipe.send(server.environment(folder))


def reports(number: int) -> list[dict[str, str]]:
    """Return what Yahoo says of the reports of a ticker, which come every 91 days."""
    newest = date(2023, 12, 1) + timedelta(days=number * 17 % 91)
    found = []
    for quarter in range(-8, 8):
        day = newest + timedelta(days=91 * quarter)
        found.append(
            {
                str(day - timedelta(days=60)): f"expected {day} {day + timedelta(days=4)}",
                str(day - timedelta(days=14)): f"confirmed {day} 8 AM",
                str(day): f"reported {day} 8 AM",
            }
        )
    return found
