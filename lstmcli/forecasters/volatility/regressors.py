"""What volatility is regressed on: columns per session, causal and free of scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from lstmcli.errors import NoDataError, shell_word
from lstmcli.features import StackedBars, stacks
from lstmcli.forecasters.volatility.ewma import at_least_half_a_tick, root_of_steps
from lstmcli.panel import Panel
from lstmcli.rolling import rolling_max, rolling_mean, rolling_median, rolling_sum, shifted

SPANS = (1, 5, 22, 66)
"""Sessions over which variance is averaged: a day, a week, a month, a quarter."""

LONG_SPAN = 1000
LONG_WARM_UP = 100

LEVEL = "level"
"""The column that the target is counted from."""

VARIANCE_LAGS = 20
FALL_LAGS = 10

REPORT_LAGS = (63, 126, 189, 252)
"""Sessions between the quarterly reports of a company, one to four quarters back."""

REPORT_SLACK = 2
"""Sessions by which a report comes earlier or later than a quarter ago."""

MAX_UNUSUAL = 5.0
"""Bound of an abnormal logarithm: a session without trades would be an outlier."""

Columns = Mapping[str, np.ndarray]
"""Columns of N tickers with the same sessions by name, (T, N) each."""


def har_regressors(panel: Panel) -> dict[str, pd.DataFrame]:
    """Return the regressors of each ticker, (T, K), NaN while they warm up.

    The logarithm of mean variance over 1,000 sessions, and of that over 1, 5, 22
    and 66 sessions less the former; the returns of the session and of five,
    where negative, and the size of the first, in units of volatility; last the
    mean of all but the first over the tickers that trade on the session.

    Source: Corsi (2009), A Simple Approximate Long-Memory Model of Realized
    Volatility, Journal of Financial Econometrics 7; Corsi, Renò (2012), Discrete-
    Time Volatility Forecasting with Persistent Leverage Effect, for the falls;
    Bollerslev, Hood, Huss, Pedersen (2018), Risk Everywhere, Review of
    Financial Studies 31, for the mean over tickers and the long mean.
    """
    return with_market({ticker: har_columns(bars) for ticker, bars in panel.items()})


def with_market(own: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the columns of `har_of` of each ticker, and their means over all, (T, K)."""
    if len(own) == 1:  # the mean of one is that one
        market = {ticker: columns.drop(columns=LEVEL) for ticker, columns in own.items()}
        return {ticker: own[ticker].join(market[ticker].add_prefix("market_")) for ticker in own}
    # Counted from their own levels, the tickers have a mean that does not jump where
    # one of them is listed later, or trades while the others rest.
    every = pd.concat([columns.drop(columns=LEVEL) for columns in own.values()])
    mean = every.groupby(level=0).mean().add_prefix("market_")
    return {ticker: columns.join(mean) for ticker, columns in own.items()}


def har_columns(bars: pd.DataFrame) -> pd.DataFrame:
    return _table(har_of(StackedBars.of([bars])), bars)


def har_of(bars: StackedBars) -> dict[str, np.ndarray]:
    """Return the columns of `har_regressors` that are a ticker's own, (T, N) each."""
    variance, returns, sigma = bars.variance, bars.returns, bars.sigma
    level = np.log(rolling_mean(variance, LONG_SPAN, LONG_WARM_UP))
    columns = {LEVEL: level}
    columns |= {f"variance_{span}": np.log(rolling_mean(variance, span)) - level for span in SPANS}
    return columns | {
        "fall_1": np.minimum(returns, 0) / sigma,
        "fall_5": np.minimum(rolling_sum(returns, 5), 0) / (sigma * np.sqrt(5)),
        "size_1": np.abs(returns) / sigma,
    }


def lag_regressors(bars: pd.DataFrame, har: pd.DataFrame) -> pd.DataFrame:
    """Return `lags_of` one ticker, (T, K).

    Args:
        har: the `har_columns` of the bars, others beside them or not.
    """
    columns = {name: har[[name]].to_numpy(float) for name in (LEVEL, "variance_1", "fall_1")}
    return _table(lags_of(StackedBars.of([bars]), columns), bars)


def lags_of(bars: StackedBars, har: Columns) -> dict[str, np.ndarray]:
    """Return what `har_regressors` averages, session by session, and volume, (T, N) each.

    19 lags of log variance and 9 of the falls (lag 0 of either is a regressor of
    HAR), and volume over 1, 5 and 22 sessions against the quarter's.

    Args:
        har: as `har_of` returns it.
    """
    daily = har["variance_1"] + har[LEVEL]
    columns = {f"variance_lag_{k}": shifted(daily, k) - har[LEVEL] for k in range(1, VARIANCE_LAGS)}
    columns |= {f"fall_lag_{k}": shifted(har["fall_1"], k) for k in range(1, FALL_LAGS)}
    volume = bars.log_volume
    busy = _bounded(volume - rolling_mean(volume, SPANS[-1]))
    return columns | {f"volume_{span}": rolling_mean(busy, span) for span in SPANS[:-1]}


def report_regressors(unusual: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """Return `reports_of` one ticker, (T, K).

    Args:
        unusual: as the function of that name returns it.
    """
    columns = {name: unusual[[name]].to_numpy(float) for name in unusual}
    return _table(reports_of(columns, horizon), unusual)


def reports_of(unusual: Columns, horizon: int) -> dict[str, np.ndarray]:
    """Return how unusual the sessions were that lie some quarters before those forecast.

    Companies report every quarter, and a report moves the price: the largest
    abnormal range and volume 63, 126, 189 and 252 sessions before the next
    session, the four after it, the fifteen after those and the rest, two more
    on either side. Of the quarters that the bars reach back to, the mean.

    Source: Patell, Wolfson (1981), The Ex Ante and Ex Post Price Effects of
    Quarterly Earnings Announcements, Journal of Accounting Research 19.

    Args:
        unusual: as `unusual_of` returns it.
    """
    edges = [0, *(step for step in (1, 5, 20) if step < horizon), horizon]
    columns = {}
    for name, column in unusual.items():
        for before, last in pairwise(edges):
            peaks = [_peak(column, lag, before + 1, last) for lag in REPORT_LAGS]
            columns[f"report_{name}_{last}"] = _mean_of_known(peaks)
    return columns


def unusual(bars: pd.DataFrame) -> pd.DataFrame:
    """Return `unusual_of` one ticker, (T, 2)."""
    return _table(unusual_of(StackedBars.of([bars])), bars)


def unusual_of(bars: StackedBars) -> dict[str, np.ndarray]:
    """Return how unusual each session is, (T, N) each: `range` and `volume`.

    The logarithm of Garman–Klass variance, and of volume, less its median over the quarter
    before.
    """
    columns = {"range": np.log(bars.variance), "volume": bars.log_volume}
    return {
        name: _bounded(column - rolling_median(shifted(column, 1), REPORT_LAGS[0], 20))
        for name, column in columns.items()
    }


def _table(columns: Columns, like: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of one ticker as a table with the sessions of another."""
    return pd.DataFrame({name: column[:, 0] for name, column in columns.items()}, like.index)


def _bounded(columns: np.ndarray) -> np.ndarray:
    return np.clip(columns, -MAX_UNUSUAL, MAX_UNUSUAL)


def _mean_of_known(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of those parts that are known; NaN where none is."""
    total = sum(np.where(np.isnan(part), 0.0, part) for part in parts)
    count = sum(~np.isnan(part) for part in parts)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _peak(column: np.ndarray, lag: int, first: int, last: int) -> np.ndarray:
    """Return the largest value `lag` sessions before those `first` … `last` ahead."""
    # In sessions ago; what lies after the origin is not known.
    newest = max(lag - last - REPORT_SLACK, 0)
    oldest = max(lag - first + REPORT_SLACK, newest)
    return rolling_max(shifted(column, newest), oldest - newest + 1)


@dataclass(frozen=True)
class LabelledRows:
    """Rows of all tickers, one after the other, whose regressors and labels are known.

    Attributes:
        session: (R,) datetime64, of the origin.
        x: (R, K) regressors.
        y: (R, H) log of the mean variance over the next 1…H sessions, less the level.
    """

    session: np.ndarray
    x: np.ndarray
    y: np.ndarray


def labelled_rows(
    panel: Panel,
    regressors: Mapping[str, pd.DataFrame],
    horizon: int,
    *,
    least: int,
    ahead: Mapping[str, np.ndarray] | None = None,
) -> LabelledRows:
    """Return the rows to learn from.

    Args:
        ahead: `log_variances_ahead` of the panel at steps 1 … H, where it is known already.

    Raises:
        NoDataError: they are of fewer than `least` sessions.
    """
    parts = []
    ahead = log_variances_ahead(panel, range(1, horizon + 1)) if ahead is None else ahead
    for ticker, columns in regressors.items():
        y = ahead[ticker] - columns[[LEVEL]].to_numpy()
        x = columns.to_numpy(float)
        known = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
        parts.append((columns.index.to_numpy()[known], x[known], y[known]))
    rows = LabelledRows(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    learnt = len(np.unique(rows.session))
    if learnt < least:
        longest = max(panel, key=lambda ticker: len(panel[ticker]))
        raise NoDataError(
            f"{longest}: Expected at least {least} sessions to regress volatility on, after "
            f"the first {LONG_WARM_UP}. Received: {learnt}.",
            hint=f"lstm fetch {shell_word(longest)} --start 2000-01-01",
        )
    return rows


def log_variances_ahead(
    panel: Mapping[str, pd.DataFrame], steps: Sequence[int]
) -> dict[str, np.ndarray]:
    """Return the log of mean Garman–Klass variance over the next sessions, (T, A), by ticker."""
    found: dict[str, np.ndarray] = {}
    for tickers, bars in stacks(panel):
        every = np.empty((len(tickers), len(bars.sessions), len(steps)))
        for place, step in enumerate(steps):
            mean = rolling_mean(bars.variance, step)
            every[:, :, place] = np.nan
            known = max(len(mean) - step, 0)
            every[:, :known, place] = np.log(mean[step:]).T
        found |= zip(tickers, every, strict=True)
    return found


def scale_from(columns: pd.DataFrame, predicted: np.ndarray, bars: pd.DataFrame) -> np.ndarray:
    """Return the volatility of the cumulative returns, (T, H), from predictions of `y`."""
    root = root_of_steps(predicted.shape[1])
    level = columns[[LEVEL]].to_numpy()
    return at_least_half_a_tick(np.exp((predicted + level) / 2) * root, bars)
