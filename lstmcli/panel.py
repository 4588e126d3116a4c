"""What was known when: bars, market series and events of several tickers.

A `Panel` is everything that a forecast may read. `until(t)` returns what was known at
the close of session t; a `View` is what a feature of one ticker sees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from lstmcli.errors import NoDataError
from lstmcli.frames import empty_events
from lstmcli.sessions import HABIT, WEEKDAYS, expected_sessions, last_closed

Column = TypeVar("Column", pd.Series, pd.DataFrame)


@dataclass(frozen=True)
class MarketSeries:
    """Bars of an index or a rate that describes the market, such as ^VIX.

    Attributes:
        ticker: the name under which it is fetched.
        calendar: the name of the calendar that dates its sessions.
    """

    ticker: str
    bars: pd.DataFrame
    calendar: str

    @property
    def sessions(self) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(self.bars.index)


@dataclass(frozen=True)
class Panel(Mapping[str, pd.DataFrame]):
    """Bars of several tickers, with the market series and events known beside them.

    A panel is a mapping from tickers to their bars: these are pooled, forecast and
    averaged. Market series, events and the bars `beside` them are not. `until`, `since`,
    `only`, `narrow`, `peers` and `with_` are the ways to make one panel from another.

    Attributes:
        calendars: by ticker, names that `lstmcli.sessions` understands. A ticker
            without one gets the weekdays that its own bars show.
        market: series by the name that a config gives them, such as `vix`.
        events: the Events table; see `lstmcli.frames`.
        beside: bars of tickers that a forecast may read and that are not forecast; see
            `peers`.

    Example:
        >>> panel = Panel({"MRK": bars}, {"MRK": "XNYS"})
        >>> panel.until(pd.Timestamp("2016-06-30")).view("MRK").sessions[-1]
        Timestamp('2016-06-30 00:00:00')
    """

    bars: Mapping[str, pd.DataFrame]
    calendars: Mapping[str, str]
    market: Mapping[str, MarketSeries] = field(default_factory=dict)
    events: pd.DataFrame = field(default_factory=empty_events)
    beside: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def __getitem__(self, ticker: str) -> pd.DataFrame:
        return self.bars[ticker]

    def __iter__(self) -> Iterator[str]:
        return iter(self.bars)

    def __len__(self) -> int:
        return len(self.bars)

    def until(self, session: pd.Timestamp) -> Panel:
        """Return what was known when `session` had closed.

        Bars end with the session. A market series ends with its last session that
        closed no later than `session` of any ticker. Events stay if their `known_on`
        is not later.
        """
        return replace(
            self,
            bars={ticker: bars.loc[:session] for ticker, bars in self.bars.items()},
            beside={ticker: bars.loc[:session] for ticker, bars in self.beside.items()},
            market={name: self._closed_by(series, session) for name, series in self.market.items()},
            events=self.events[self.events["known_on"] <= session],
        )

    def _closed_by(self, series: MarketSeries, session: pd.Timestamp) -> MarketSeries:
        at = pd.DatetimeIndex([session])
        calendars = {self.calendars.get(ticker, WEEKDAYS) for ticker in self.bars}
        closed = [
            int(last_closed(calendar, at, series.calendar, series.sessions)[0])
            for calendar in calendars
        ]
        return replace(series, bars=series.bars.iloc[: max(closed, default=-1) + 1])

    def since(self, session: pd.Timestamp) -> Panel:
        """Return the panel without bars before `session`; market and events stay whole."""
        bars = {ticker: bars.loc[session:] for ticker, bars in self.bars.items()}
        beside = {ticker: bars.loc[session:] for ticker, bars in self.beside.items()}
        return replace(self, bars=bars, beside=beside)

    def only(self, tickers: Sequence[str]) -> Panel:
        """Return the panel of some of its tickers, with their events and the market."""
        return replace(
            self,
            bars={ticker: self.bars[ticker] for ticker in tickers},
            events=self._events_of(tickers),
            beside={},
        )

    def _events_of(self, tickers: Sequence[str]) -> pd.DataFrame:
        """Return the events of some tickers, in their order here."""
        known = [self._event_rows[name] for name in set(tickers) if name in self._event_rows]
        return self.events.iloc[np.sort(np.concatenate(known))] if known else self.events.iloc[:0]

    @cached_property
    def _event_rows(self) -> Mapping[str, np.ndarray]:
        """The rows of each ticker's events, ascending: found once for a panel of any width."""
        return self.events.groupby("ticker").indices if len(self.events) else {}

    def narrow(self, tickers: Sequence[str]) -> Panel:
        """Return the panel that forecasts some of its tickers and reads the others beside."""
        others = {ticker: bars for ticker, bars in self.bars.items() if ticker not in tickers}
        bars = {ticker: self.bars[ticker] for ticker in tickers}
        return replace(self, bars=bars, beside={**self.beside, **others})

    def peers(self, ticker: str) -> Panel:
        """Return the panel of all tickers that close when one does, those beside included.

        They are those on its calendar. What a ticker of another exchange did on a session may
        become known only after the close of this one. They stand in the order of their
        names, so that sums over them do not depend on which of them are forecast.
        """
        calendar, every = self.calendars.get(ticker, WEEKDAYS), {**self.bars, **self.beside}
        names = [name for name in every if self.calendars.get(name, WEEKDAYS) == calendar]
        return replace(self, bars={name: every[name] for name in sorted(names)}, beside={})

    def with_(self, **parts: Any) -> Panel:
        """Return the panel with some of its fields replaced, by name."""
        return replace(self, **parts)

    def sessions(self) -> pd.DatetimeIndex:
        """Return every session that any ticker has, ascending."""
        parts = [bars.index.to_numpy() for bars in self.bars.values()]
        return pd.DatetimeIndex(np.unique(np.concatenate(parts))) if parts else pd.DatetimeIndex([])

    def view(self, ticker: str) -> View:
        """Return what a feature of one ticker sees."""
        return View(self, ticker)

    @cached_property
    def sha256(self) -> str:
        """The hash of all content: equal panels have equal hashes."""
        digest = hashlib.sha256()
        parts = [
            *((ticker, self.calendars.get(ticker), bars) for ticker, bars in self.bars.items()),
            *((name, series.calendar, series.bars) for name, series in self.market.items()),
            *((f"beside {t}", self.calendars.get(t), bars) for t, bars in self.beside.items()),
            ("events", None, self.events),
        ]
        for name, calendar, table in parts:
            digest.update(f"{name}|{calendar}|{'|'.join(table.columns)}|{len(table)}".encode())
            digest.update(pd.util.hash_pandas_object(table, index=True).to_numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class View:
    """One ticker of a panel, as a feature sees it."""

    panel: Panel
    ticker: str

    @property
    def bars(self) -> pd.DataFrame:
        return self.panel[self.ticker]

    @property
    def sessions(self) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(self.bars.index)

    @property
    def calendar(self) -> str:
        return self.panel.calendars.get(self.ticker, WEEKDAYS)

    def market(self, name: str) -> pd.DataFrame:
        """Return the bars of a market series on its own sessions.

        Raises:
            NoDataError: the panel has no such series.
        """
        return self._series(name).bars

    def at_close(self, name: str, column: Column) -> Column:
        """Return a column of a market series as it was known at each close of the ticker.

        On a session (T,) of the ticker this is the value of the series' last session
        that closed no later. It is NaN where the series lacks that session: what is
        older is stale.

        Args:
            column: one value for each session of the series; or a table of several columns.
        """
        series = self._series(name)
        at = last_closed(self.calendar, self.sessions, series.calendar, series.sessions)
        # Where no exchange lists its holidays, the first sessions alone show which weekdays
        # trade: what is due must not depend on bars that came later.
        expected = expected_sessions(
            self.calendar, self.sessions, series.calendar, series.sessions[:HABIT]
        )
        values = np.full((len(at), *column.shape[1:]), np.nan)
        known = np.flatnonzero(at >= 0)
        fresh = known[series.sessions.to_numpy()[at[known]] == expected[known]]
        values[fresh] = column.to_numpy(float)[at[fresh]]
        if isinstance(column, pd.DataFrame):
            return pd.DataFrame(values, index=self.bars.index, columns=column.columns)
        return pd.Series(values, index=self.bars.index)

    def events(self, kind: str) -> pd.DataFrame:
        """Return the statements about events of one kind, such as `earnings`."""
        events = self.panel._events_of([self.ticker])
        return events[events["kind"] == kind] if len(events) else events

    def _series(self, name: str) -> MarketSeries:
        if name not in self.panel.market:
            raise NoDataError(
                f"{self.ticker}: Expected the market series {name}. Received: "
                f"{', '.join(self.panel.market) or 'none'}.",
                hint=f"name it in the config, as in `market: {{{name}: ^VIX}}`",
            )
        return self.panel.market[name]
