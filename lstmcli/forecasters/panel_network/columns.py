"""What the panel network and its ridges read: columns of each ticker, session by session.

Each column of row t is known at the close of session t. Their names stand in `modes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lstmcli.features import StackedBars, alike
from lstmcli.forecasters.panel_network.column_parts import (
    calendar_columns,
    columns_of_clock,
    less,
    own_columns,
)
from lstmcli.forecasters.panel_network.modes import (
    COLUMNS,
    HAR,
    INDEX_COLUMNS,
    MEANS,
    VIX_COLUMNS,
    VIX_OWN,
    places,
)
from lstmcli.forecasters.panel_network.network import RUN_IN
from lstmcli.forecasters.panel_network.shared import (
    Shared,
    Usual,
    calendar_of,
    market_columns,
    nothing_usual,
    usual_of,
)
from lstmcli.forecasters.panel_network.ticker_columns import TickerColumns
from lstmcli.forecasters.volatility.announcements import (
    Reaction,
    dates_of,
    reported_sizes,
)
from lstmcli.forecasters.volatility.clock import (
    CLOCK_STEPS,
    Days,
    FittedClock,
    shocks,
)
from lstmcli.forecasters.volatility.regressors import (
    LEVEL,
    unusual,
    unusual_of,
)
from lstmcli.frames import EARNINGS
from lstmcli.panel import Panel, View
from lstmcli.sessions import WEEKDAYS
from lstmcli.windows import calendar_days

MAX_COLUMN = 20.0
"""Bound of a column: a logarithm of a ratio beyond it is a fault of the data."""


def _first_row(sessions: pd.DatetimeIndex, since: pd.Timestamp | None) -> int:
    """Return the first row that is read of a ticker, `RUN_IN` before the first asked for."""
    return 0 if since is None else max(int(sessions.searchsorted(since)) - RUN_IN, 0)


def _all_finite(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    return np.asarray(np.isfinite(values[:, places(names)]).all(axis=1))


class Columns:
    """The columns of the tickers of a panel, and of those that close with them.

    What tickers share, such as market series at their close, is computed once.
    """

    def __init__(self, panel: Panel, *, alone: bool = False) -> None:
        """Take a panel.

        Args:
            alone: its tickers know nothing of each other.
        """
        self._panel, self._alone = panel, alone
        groups = {calendar_of(panel, ticker): panel.peers(ticker) for ticker in panel}
        self.groups: Mapping[str, Panel] = groups
        self.bars = {ticker: bars for group in groups.values() for ticker, bars in group.items()}
        self._usual: dict[str, Usual] = {}
        self._shared: dict[str, Shared] = {}
        self._least: dict[str, np.ndarray] = {}
        self._ewma: dict[str, np.ndarray] = {}

    def shocks(self, ticker: str) -> dict[str, pd.DataFrame]:
        """Return the shocks of a ticker by what they are counted from; NaN where not known."""
        own = unusual(self.bars[ticker])
        counted = self._counted_from(self._of(ticker))
        return {kind: shocks(own, usual) for kind, usual in counted.items()}

    def _counted_from(self, shared: Shared) -> dict[str, pd.DataFrame | None]:
        kinds = {"index": shared.market[["range", "volume"]], "own": None}
        # A ticker alone does not read what is counted from a panel.
        return kinds if self._alone else {"panel": shared.usual.shock, **kinds}

    def least(self, ticker: str) -> np.ndarray:
        """Return the `least_volatility` (T,) of a ticker whose columns have been computed."""
        return self._least[ticker]

    def ewma(self, ticker: str) -> np.ndarray:
        """Return the `ewma_volatility` (T,) of a ticker whose columns have been computed."""
        return self._ewma[ticker]

    def days(self, ticker: str) -> Days:
        """Return the days of a ticker's calendar, twenty sessions after the last bar included."""
        return self._of(ticker).days

    def announcements(self, ticker: str) -> pd.DataFrame:
        """Return the statements about announcements of a ticker."""
        return self.groups[calendar_of(self._panel, ticker)].view(ticker).events(EARNINGS)

    def reported(self, ticker: str) -> tuple[np.ndarray, np.ndarray]:
        """Return how unusual the sessions of its reports were; see `reported_sizes`."""
        size = unusual(self.bars[ticker])["range"]
        return reported_sizes(self.announcements(ticker), self.days(ticker), size)

    def of(
        self, ticker: str, clocks: Mapping[str, FittedClock], reaction: Reaction
    ) -> TickerColumns:
        """Return every column of one ticker; see `each`."""
        return self.each([ticker], clocks, reaction)[0]

    def each(
        self,
        tickers: Sequence[str],
        clocks: Mapping[str, FittedClock],
        reaction: Reaction,
        *,
        since: pd.Timestamp | None = None,
    ) -> list[TickerColumns]:
        """Return every column of some tickers.

        Those with the same sessions are computed together. A ticker gets the same digits
        whichever others are asked for.

        Args:
            clocks: by what their shocks are counted from.
            reaction: to announcements, of all tickers.
            since: the first session that is asked for. Before it only the `RUN_IN` sessions that
                the network reads have columns, the others are NaN. None: all.
        """
        of_key: dict[str, dict[str, pd.DataFrame]] = {}
        for ticker in tickers:
            of_key.setdefault(self._key(ticker), {})[ticker] = self.bars[ticker]
        found: dict[str, TickerColumns] = {}
        for bars in of_key.values():
            for group in alike(bars):
                first = _first_row(pd.DatetimeIndex(bars[group[0]].index), since)
                each = self._of_alike(group, self._of(group[0]), clocks, reaction, first)
                found |= zip(group, each, strict=True)
        return [found[ticker] for ticker in tickers]

    def _of_alike(
        self,
        tickers: Sequence[str],
        shared: Shared,
        clocks: Mapping[str, FittedClock],
        reaction: Reaction,
        first: int,
    ) -> list[TickerColumns]:
        """Return every column of tickers with the same sessions, NaN before a row."""
        bars = StackedBars.of([self.bars[ticker] for ticker in tickers])
        self._least |= zip(tickers, bars.least.T, strict=True)
        self._ewma |= zip(tickers, bars.sigma.T, strict=True)
        sessions, own = bars.sessions, unusual_of(bars)
        means = shared.usual.means.reindex(sessions)
        at_close = shared.market.reindex(sessions)
        columns = own_columns(bars, own)
        columns |= {
            name: column[:, None]
            for name, column in calendar_columns(sessions, shared.days).items()
        }
        columns |= {name: means[[name]].to_numpy(float) for name in MEANS}
        columns |= {name: at_close[[name]].to_numpy(float) for name in VIX_COLUMNS + INDEX_COLUMNS}
        columns["vix_less_level"] = at_close[["vix"]].to_numpy(float) - columns[LEVEL]
        for kind, usual in self._counted_from(shared).items():
            shock = less(own, usual, sessions)
            found = columns_of_clock(sessions, shared.days, shock, clocks[kind], first)
            columns |= {f"{kind}_{name}": column for name, column in found.items()}
        values = np.full((len(tickers), len(sessions), len(COLUMNS)), np.nan, np.float32)
        rows = len(sessions) - first  # the columns of a clock have no others
        for number, name in enumerate(COLUMNS):
            if name in columns:
                values[:, first:, number] = columns[name][-rows:].T
        result = []
        for number, ticker in enumerate(tickers):
            size = pd.Series(own["range"][:, number], sessions)
            dates = dates_of(self.announcements(ticker), shared.days, size, reaction)
            every = values[number]
            for name, column in dates.columns.items():
                every[first:, COLUMNS.index(name)] = column[first:]
            np.clip(every, -MAX_COLUMN, MAX_COLUMN, out=every)
            result.append(
                TickerColumns(
                    sessions,
                    every,
                    known=_all_finite(every, HAR),
                    panel=_all_finite(every, MEANS),
                    market=_all_finite(every, (*VIX_OWN, *VIX_COLUMNS, *INDEX_COLUMNS)),
                    dates=dates.ahead,
                    dates_soon=dates.ahead_soon,
                )
            )
        return result

    def _key(self, ticker: str) -> str:
        """Return the name of what a ticker shares: its calendar, or without one its own name."""
        # Without an exchange calendar a ticker's own bars show which days trade.
        calendar = calendar_of(self._panel, ticker)
        return ticker if calendar == WEEKDAYS else calendar

    def _of(self, ticker: str) -> Shared:
        calendar = calendar_of(self._panel, ticker)
        group = self.groups[calendar]
        if calendar not in self._usual:
            self._usual[calendar] = (
                nothing_usual(group.sessions()) if self._alone else usual_of(group)
            )
        key = self._key(ticker)
        if key not in self._shared:
            own = calendar == WEEKDAYS
            sessions = self.bars[ticker].index if own else group.sessions()
            # A ticker that has every session of those that share the calendar.
            whole = group.with_(
                bars={key: pd.DataFrame(index=sessions)}, calendars={key: calendar}
            ).view(key)
            days = Days(calendar_days(whole, max(CLOCK_STEPS)))
            self._shared[key] = Shared(days, market_columns(whole), self._usual[calendar])
        return self._shared[key]


def plain_columns(view: View) -> pd.DataFrame:
    """Return the columns that are read of a ticker alone, (T, ·), and of market series."""
    bars = StackedBars.of([view.bars])
    own = unusual_of(bars)
    market = market_columns(view).drop(columns=["range", "volume"])
    columns = {name: column[:, 0] for name, column in (own_columns(bars, own) | own).items()}
    return pd.DataFrame(columns, view.bars.index).join(market)
