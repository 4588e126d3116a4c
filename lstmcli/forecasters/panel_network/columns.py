"""What the panel network and its ridges read: columns of each ticker, session by session.

Each column of row t is known at the close of session t. Their names stand in `modes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.features import ewma_volatility, garman_klass_variance
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
    clock_columns,
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
    lag_regressors,
    report_regressors,
    unusual,
)
from lstmcli.frames import EARNINGS, log_returns, total_return_prices
from lstmcli.panel import Panel, View
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

YEAR = 252
"""Sessions of a year, to which a volatility index is scaled."""


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

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        groups = {calendar_of(panel, ticker): panel.peers(ticker) for ticker in panel}
        self.groups: Mapping[str, Panel] = groups
        self.bars = {ticker: bars for group in groups.values() for ticker, bars in group.items()}
        self._usual: dict[str, Usual] = {}
        self._shared: dict[str, _Shared] = {}

    def shocks(self, ticker: str) -> dict[str, pd.DataFrame]:
        """Return the shocks of a ticker by what they are counted from; NaN where not known."""
        return self._shocks(unusual(self.bars[ticker]), self._of(ticker))

    def _shocks(self, own: pd.DataFrame, shared: _Shared) -> dict[str, pd.DataFrame]:
        return {
            "panel": shocks(own, shared.usual.shock),
            "index": shocks(own, shared.market[["range", "volume"]]),
            "own": shocks(own, None),
        }

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
        """Return every column of one ticker.

        Args:
            clocks: by what their shocks are counted from.
            reaction: to announcements, of all tickers.
        """
        bars, shared = self.bars[ticker], self._of(ticker)
        sessions, own = pd.DatetimeIndex(bars.index), unusual(bars)
        every = _own_columns(bars, own)
        columns = {name: column.to_numpy(float) for name, column in every.items()}
        columns |= _calendar_columns(sessions, shared.days)
        means = shared.usual.means.reindex(sessions)
        at_close = shared.market.reindex(sessions)
        columns |= {name: means[name].to_numpy(float) for name in MEANS}
        columns |= {name: at_close[name].to_numpy(float) for name in (*VIX_COLUMNS, *INDEX_COLUMNS)}
        columns["vix_less_level"] = at_close["vix"].to_numpy(float) - columns[LEVEL]
        for kind, shock in self._shocks(own, shared).items():
            found = _clock_columns(sessions, shared.days, shock, clocks[kind])
            columns |= {f"{kind}_{name}": column for name, column in found.items()}
        dates = dates_of(self.announcements(ticker), shared.days, own["range"], reaction)
        columns |= dates.columns
        values = np.empty((len(sessions), len(COLUMNS)), np.float32)
        for number, name in enumerate(COLUMNS):
            values[:, number] = columns[name]
        np.clip(values, -MAX_COLUMN, MAX_COLUMN, out=values)
        return TickerColumns(
            sessions,
            values,
            known=_all_finite(values, HAR),
            panel=_all_finite(values, MEANS),
            market=_all_finite(values, (*VIX_OWN, *VIX_COLUMNS, *INDEX_COLUMNS)),
            dates=dates.ahead,
            dates_soon=dates.ahead_soon,
        )

    def _of(self, ticker: str) -> _Shared:
        calendar = calendar_of(self._panel, ticker)
        group = self.groups[calendar]
        if calendar not in self._usual:
            self._usual[calendar] = usual_of(group)
        # Without an exchange calendar a ticker's own bars show which days trade.
        alone = calendar == WEEKDAYS
        key = ticker if alone else calendar
        if key not in self._shared:
            sessions = self.bars[ticker].index if alone else group.sessions()
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


def _own_columns(bars: pd.DataFrame, own: pd.DataFrame) -> dict[str, pd.Series]:
    har = har_columns(bars)
    level = har[LEVEL]
    variance, returns, sigma = garman_klass_variance(bars), log_returns(bars), ewma_volatility(bars)
    prices = total_return_prices(bars)
    gap = np.log(prices["open"] / prices["close"].shift(1)) ** 2
    fallen = variance.where(returns < 0, 0.0).where(returns.notna())
    columns = {name: har[name] for name in HAR}
    lags = lag_regressors(bars, har)
    columns |= {name: lags[name] for name in (*LAGS, *VOLUME)}
    reports = report_regressors(own, REPORT_HORIZON)
    columns |= {name: reports[name] for name in REPORTS}
    for span in SHAPE_SPANS:
        # One session may lack: the first has no gap.
        mean = variance.rolling(span, min_periods=span - 1).mean()
        over = {"gap": gap, "downside": fallen, "close_to_close": returns**2}
        share = {
            name: column.rolling(span, min_periods=span - 1).mean() / mean
            for name, column in over.items()
        }
        columns[f"gap_{span}"] = share["gap"].clip(0, 1)
        columns[f"downside_{span}"] = share["downside"]
        columns[f"close_to_close_{span}"] = np.log(share["close_to_close"] + 0.05)
    for span in MOMENTUM_SPANS:
        total = returns.rolling(span, min_periods=int(0.9 * span)).sum()
        columns[f"momentum_{span}"] = (total / (sigma * np.sqrt(span))).clip(-5, 5)
    expected = sigma.shift(1)
    large = (returns.abs() > LARGE * expected).to_numpy()
    rows = np.arange(len(bars))
    # Counted from the first bar where none was large: it is at least as long ago.
    last = np.maximum.accumulate(np.where(large, rows, -1))
    columns["since_large"] = pd.Series(np.log1p(np.minimum(rows - last, LONG_AGO)), bars.index)
    columns["ewma"] = np.log(sigma**2) - level
    month = variance.rolling(22, min_periods=20)
    columns["max_variance_22"] = np.log(month.max()) - level
    columns["median_variance_22"] = np.log(month.median()) - level
    columns["return"] = (returns / expected).clip(-8, 8)
    return columns


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
    sessions: pd.DatetimeIndex, days: Days, shock: pd.DataFrame, clock: FittedClock
) -> dict[str, np.ndarray]:
    variance = clock.variance(clock_columns(shock, days))
    each = np.log(variance)
    past = pd.Series(each).rolling(6, min_periods=1).max().to_numpy()
    origins = days.origins(sessions)
    every = each[origins[:, None] + np.arange(1, max(CLOCK_STEPS) + 1)]  # (T, 20)
    columns = {
        "shock_range": shock["range"].to_numpy(float),
        "shock_volume": shock["volume"].to_numpy(float),
        **{f"ahead_{h}": every[:, h - 1] for h in range(1, 6)},
        "ahead_6_10": every[:, 5:10].max(axis=1),
        "ahead_11_20": every[:, 10:20].max(axis=1),
        "past_6": past[origins],
    }
    steps = clock_ahead(variance, days, origins, CLOCK_STEPS)
    return columns | {f"clock_{h}": steps[:, k] for k, h in enumerate(CLOCK_STEPS)}


def plain_columns(view: View) -> pd.DataFrame:
    """Return the columns that are read of a ticker alone, (T, ·), and of market series."""
    own = unusual(view.bars)
    market = _market_columns(view).drop(columns=["range", "volume"])
    return pd.DataFrame(_own_columns(view.bars, own)).join(own).join(market)
