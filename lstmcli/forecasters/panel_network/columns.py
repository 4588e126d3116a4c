"""What the panel network and its ridges read: columns of each ticker, session by session.

Each column of row t is known at the close of session t. Their names stand in `modes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.features import StackedBars, alike, ewma_volatility, garman_klass_variance
from lstmcli.forecasters.filtered_simulation import MIN_POOL
from lstmcli.forecasters.panel_network.modes import (
    COLUMNS,
    HAR,
    INDEX,
    INDEX_COLUMNS,
    LAGS,
    MEANS,
    MOMENTUM_SPANS,
    REPORTS,
    SHAPE_SPANS,
    VIX,
    VIX_COLUMNS,
    VIX_OWN,
    VOLUME,
    places,
)
from lstmcli.forecasters.panel_network.network import RUN_IN
from lstmcli.forecasters.panel_network.ticker_columns import TickerColumns
from lstmcli.forecasters.volatility.announcements import (
    Reaction,
    dates_of,
    reported_sizes,
)
from lstmcli.forecasters.volatility.clock import (
    CLOCK_STEPS,
    LONGEST_QUARTER,
    Days,
    FittedClock,
    clock_ahead,
    clock_columns_of,
    day_of_quarter,
    median_unusual,
    shocks,
)
from lstmcli.forecasters.volatility.regressors import (
    LEVEL,
    LONG_SPAN,
    LONG_WARM_UP,
    SPANS,
    har_columns,
    har_of,
    lags_of,
    reports_of,
    unusual,
    unusual_of,
)
from lstmcli.frames import EARNINGS, log_returns
from lstmcli.panel import Panel, View
from lstmcli.rolling import rolling_max, rolling_mean, rolling_median, rolling_sum, shifted
from lstmcli.sessions import WEEKDAYS
from lstmcli.windows import calendar_days

REPORT_HORIZON = 20
"""Sessions ahead whose quarterly cycle the regressors read; the clock reads any."""

MAX_COLUMN = 20.0
"""Bound of a column: a logarithm of a ratio beyond it is a fault of the data."""

LARGE = 3.0
"""Volatilities of one session beyond which a return is large."""

LONG_AGO = 252
"""Sessions since a large return beyond which no difference is made."""

PAST = 6
"""Sessions up to the last one whose largest variance by the clock is a column."""

YEAR = 252
"""Sessions of a year, to which a volatility index is scaled."""


def _first_row(sessions: pd.DatetimeIndex, since: pd.Timestamp | None) -> int:
    """Return the first row that is read of a ticker, `RUN_IN` before the first asked for."""
    return 0 if since is None else max(int(sessions.searchsorted(since)) - RUN_IN, 0)


def _all_finite(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    return np.asarray(np.isfinite(values[:, places(names)]).all(axis=1))


@dataclass(frozen=True)
class Usual:
    """What describes the market on each session; NaN where fewer than `MIN_POOL` tickers do.

    Attributes:
        means: over the tickers, of the columns of HAR but the level.
        shock: see `median_unusual`.
    """

    means: pd.DataFrame
    shock: pd.DataFrame


def usual_of(panel: Panel) -> Usual:
    """Return the means and medians of tickers that close together, on each session."""
    sessions = panel.sessions()
    if len(panel) < MIN_POOL:
        return nothing_usual(sessions)
    width = len(HAR) - 1
    total, count = np.zeros((len(sessions), width)), np.zeros((len(sessions), width))
    for bars in panel.values():
        at = sessions.get_indexer(bars.index)
        own = har_columns(bars)[list(HAR[1:])].to_numpy(float)
        known = np.isfinite(own)
        total[at] += np.where(known, own, 0.0)
        count[at] += known
    means = np.where(count >= MIN_POOL, total / np.maximum(count, 1), np.nan)
    return Usual(
        means=pd.DataFrame(means, index=sessions, columns=list(MEANS)),
        shock=median_unusual(panel),
    )


def nothing_usual(sessions: pd.DatetimeIndex) -> Usual:
    """Return what a ticker knows of others that it does not read."""
    return Usual(
        means=pd.DataFrame(np.nan, index=sessions, columns=list(MEANS)),
        shock=pd.DataFrame(np.nan, index=sessions, columns=["range", "volume"]),
    )


@dataclass(frozen=True)
class _Shared:
    """What the tickers of a calendar share.

    Attributes:
        market: what market series say at each close; see `_market_columns`.
    """

    days: Days
    market: pd.DataFrame
    usual: Usual


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
        self._shared: dict[str, _Shared] = {}
        self._least: dict[str, np.ndarray] = {}
        self._ewma: dict[str, np.ndarray] = {}

    def shocks(self, ticker: str) -> dict[str, pd.DataFrame]:
        """Return the shocks of a ticker by what they are counted from; NaN where not known."""
        own = unusual(self.bars[ticker])
        counted = self._counted_from(self._of(ticker))
        return {kind: shocks(own, usual) for kind, usual in counted.items()}

    def _counted_from(self, shared: _Shared) -> dict[str, pd.DataFrame | None]:
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
        shared: _Shared,
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
        columns = _own_columns(bars, own)
        columns |= {
            name: column[:, None]
            for name, column in _calendar_columns(sessions, shared.days).items()
        }
        columns |= {name: means[[name]].to_numpy(float) for name in MEANS}
        columns |= {name: at_close[[name]].to_numpy(float) for name in VIX_COLUMNS + INDEX_COLUMNS}
        columns["vix_less_level"] = at_close[["vix"]].to_numpy(float) - columns[LEVEL]
        for kind, usual in self._counted_from(shared).items():
            shock = _less(own, usual, sessions)
            found = _clock_columns(sessions, shared.days, shock, clocks[kind], first)
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

    def _of(self, ticker: str) -> _Shared:
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
            self._shared[key] = _Shared(days, _market_columns(whole), self._usual[calendar])
        return self._shared[key]


def calendar_of(panel: Panel, ticker: str) -> str:
    """Return the name of a ticker's calendar."""
    return panel.calendars.get(ticker, WEEKDAYS)


def _own_columns(bars: StackedBars, own: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the columns that are read of a ticker alone, (T, N) each.

    Args:
        own: as `unusual_of` returns it.
    """
    har = har_of(bars)
    level = har[LEVEL]
    variance, returns, sigma = bars.variance, bars.returns, bars.sigma
    fallen = np.where(returns < 0, variance, np.where(np.isnan(returns), np.nan, 0.0))
    lags = lags_of(bars, har)
    reports = reports_of(own, REPORT_HORIZON)
    columns = {name: har[name] for name in HAR}
    columns |= {name: lags[name] for name in (*LAGS, *VOLUME)}
    columns |= {name: reports[name] for name in REPORTS}
    for span in SHAPE_SPANS:
        # One session may lack: the first has no gap.
        mean = rolling_mean(variance, span, span - 1)
        over = {"gap": bars.gap, "downside": fallen, "close_to_close": returns**2}
        share = {name: rolling_mean(column, span, span - 1) / mean for name, column in over.items()}
        columns[f"gap_{span}"] = np.clip(share["gap"], 0, 1)
        columns[f"downside_{span}"] = share["downside"]
        columns[f"close_to_close_{span}"] = np.log(share["close_to_close"] + 0.05)
    for span in MOMENTUM_SPANS:
        total = rolling_sum(returns, span, int(0.9 * span))
        columns[f"momentum_{span}"] = np.clip(total / (sigma * np.sqrt(span)), -5, 5)
    expected = shifted(sigma, 1)
    large = np.abs(returns) > LARGE * expected
    rows = np.arange(len(returns))[:, None]
    # Counted from the first bar where none was large: it is at least as long ago.
    last = np.maximum.accumulate(np.where(large, rows, -1), axis=0)
    columns["since_large"] = np.log1p(np.minimum(rows - last, LONG_AGO))
    columns["ewma"] = np.log(sigma**2) - level
    columns["max_variance_22"] = np.log(rolling_max(variance, 22, 20)) - level
    columns["median_variance_22"] = np.log(rolling_median(variance, 22, 20)) - level
    columns["return"] = np.clip(returns / expected, -8, 8)
    return columns


def _less(
    own: Mapping[str, np.ndarray], usual: pd.DataFrame | None, sessions: pd.DatetimeIndex
) -> dict[str, np.ndarray]:
    """Return the shocks of several tickers, (T, N) each; see `shocks`."""
    if usual is None:
        return dict(own)
    at = usual.reindex(sessions)
    return {name: column - at[[name]].to_numpy(float) for name, column in own.items()}


def _calendar_columns(sessions: pd.DatetimeIndex, days: Days) -> dict[str, np.ndarray]:
    ahead = days.sessions[days.origins(sessions) + 1]
    phase = 2 * np.pi * day_of_quarter(sessions) / LONGEST_QUARTER
    columns = {
        "days_to_next": np.minimum((ahead - sessions).days.to_numpy(), 5).astype(float),
        "friday": (sessions.day_of_week == 4).astype(float),
    }
    for k in (1, 2, 3):
        columns |= {f"sin_{k}": np.sin(k * phase), f"cos_{k}": np.cos(k * phase)}
    return columns


def _market_columns(view: View) -> pd.DataFrame:
    """Return what the market series say at each close of a calendar; NaN where not known.

    `vix`, `range` and `volume` of the index beside the columns that are named after them.
    """
    names = ["vix", "range", "volume", *VIX_COLUMNS, *INDEX_COLUMNS]
    if not {VIX, INDEX} <= set(view.panel.market):
        return pd.DataFrame(np.nan, index=view.sessions, columns=names)
    vix = np.log((view.market(VIX)["close"] / 100) ** 2 / YEAR)
    of_vix = {
        "vix": vix,
        "vix_less_mean": vix - vix.rolling(LONG_SPAN, min_periods=LONG_WARM_UP).mean(),
        "vix_change_1": vix.diff(),
        "vix_change_5": vix.diff(5),
        "vix_less_mean_22": vix - vix.rolling(22).mean(),
    }
    index = view.market(INDEX)
    variance, returns, sigma = (
        garman_klass_variance(index),
        log_returns(index),
        ewma_volatility(index),
    )
    usual = np.log(variance.rolling(LONG_SPAN, min_periods=LONG_WARM_UP).mean())
    of_index = dict(unusual(index))
    for span in SPANS[:-1]:
        of_index[f"index_variance_{span}"] = np.log(variance.rolling(span).mean()) - usual
        moved = returns.rolling(span).sum() / (sigma * np.sqrt(span))
        of_index[f"index_return_{span}"] = moved
    each = {VIX: pd.DataFrame(of_vix), INDEX: pd.DataFrame(of_index)}
    found = [view.at_close(name, columns) for name, columns in each.items()]
    return pd.concat(found, axis=1)[names]


def _clock_columns(
    sessions: pd.DatetimeIndex,
    days: Days,
    shock: Mapping[str, np.ndarray],
    clock: FittedClock,
    first: int,
) -> dict[str, np.ndarray]:
    """Return what a clock says of several tickers from a row on, (T − first, N) each.

    Args:
        shock: (T, N) `range` and `volume`.
    """
    at = sessions.get_indexer(days.sessions)
    # A day without a bar, −1, finds the row of NaN that follows the last bar.
    of_days = {
        name: np.vstack([column, np.full(column.shape[1], np.nan)])[at].T
        for name, column in shock.items()
    }
    origins = days.origins(sessions[first:])
    start = max(int(origins[0]) - PAST + 1, 0) if len(origins) else 0
    read = clock_columns_of(of_days["range"], of_days["volume"], days, slice(start, None))
    variance = np.full((len(read), len(days.sessions)), np.nan)  # (N, S)
    variance[:, start:] = [clock.variance(each) for each in read]
    each = np.log(variance)
    past = rolling_max(each[:, start:].T, PAST, 1)  # (S − start, N)
    every = each[:, origins[:, None] + np.arange(1, max(CLOCK_STEPS) + 1)]  # (N, T − first, 20)
    columns = {
        "shock_range": shock["range"][first:],
        "shock_volume": shock["volume"][first:],
        **{f"ahead_{h}": every[:, :, h - 1].T for h in range(1, 6)},
        "ahead_6_10": every[:, :, 5:10].max(axis=2).T,
        "ahead_11_20": every[:, :, 10:20].max(axis=2).T,
        "past_6": past[origins - start],
    }
    steps = clock_ahead(variance, days, origins, CLOCK_STEPS)  # (N, T − first, A)
    return columns | {f"clock_{h}": steps[:, :, k].T for k, h in enumerate(CLOCK_STEPS)}


def plain_columns(view: View) -> pd.DataFrame:
    """Return the columns that are read of a ticker alone, (T, ·), and of market series."""
    bars = StackedBars.of([view.bars])
    own = unusual_of(bars)
    market = _market_columns(view).drop(columns=["range", "volume"])
    columns = {name: column[:, 0] for name, column in (_own_columns(bars, own) | own).items()}
    return pd.DataFrame(columns, view.bars.index).join(market)
