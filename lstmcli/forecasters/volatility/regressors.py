"""What volatility is regressed on: columns per session, causal and free of scale."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from lstmcli.errors import NoDataError, shell_word
from lstmcli.features import ewma_volatility, garman_klass_variance
from lstmcli.forecasters.volatility.ewma import at_least_half_a_tick, root_of_steps
from lstmcli.frames import log_returns
from lstmcli.panel import Panel

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
    own = {ticker: har_columns(bars) for ticker, bars in panel.items()}
    # Counted from their own levels, the tickers have a mean that does not jump where
    # one of them is listed later, or trades while the others rest.
    every = pd.concat([columns.drop(columns=LEVEL) for columns in own.values()])
    market = every.groupby(level=0).mean().add_prefix("market_")
    return {ticker: columns.join(market) for ticker, columns in own.items()}


def har_columns(bars: pd.DataFrame) -> pd.DataFrame:
    variance = garman_klass_variance(bars)
    returns = log_returns(bars)
    sigma = ewma_volatility(bars)
    level = np.log(variance.rolling(LONG_SPAN, min_periods=LONG_WARM_UP).mean())
    columns = {LEVEL: level}
    columns |= {f"variance_{span}": np.log(variance.rolling(span).mean()) - level for span in SPANS}
    columns |= {
        "fall_1": returns.clip(upper=0) / sigma,
        "fall_5": returns.rolling(5).sum().clip(upper=0) / (sigma * np.sqrt(5)),
        "size_1": returns.abs() / sigma,
    }
    return pd.DataFrame(columns)


def lag_regressors(bars: pd.DataFrame, har: pd.DataFrame) -> pd.DataFrame:
    """Return what `har_regressors` averages, session by session, and volume, (T, K).

    19 lags of log variance and 9 of the falls (lag 0 of either is a regressor of
    HAR), and volume over 1, 5 and 22 sessions against the quarter's.

    Args:
        har: the `har_columns` of the bars, others beside them or not.
    """
    daily = har["variance_1"] + har[LEVEL]
    columns = {f"variance_lag_{k}": daily.shift(k) - har[LEVEL] for k in range(1, VARIANCE_LAGS)}
    columns |= {f"fall_lag_{k}": har["fall_1"].shift(k) for k in range(1, FALL_LAGS)}
    volume = _log_volume(bars)
    busy = (volume - volume.rolling(SPANS[-1]).mean()).clip(-MAX_UNUSUAL, MAX_UNUSUAL)
    columns |= {f"volume_{span}": busy.rolling(span).mean() for span in SPANS[:-1]}
    return pd.DataFrame(columns)


def report_regressors(unusual: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """Return how unusual the sessions were that lie some quarters before those forecast.

    Companies report every quarter, and a report moves the price: the largest
    abnormal range and volume 63, 126, 189 and 252 sessions before the next
    session, the four after it, the fifteen after those and the rest, two more
    on either side. Of the quarters that the bars reach back to, the mean.

    Source: Patell, Wolfson (1981), The Ex Ante and Ex Post Price Effects of
    Quarterly Earnings Announcements, Journal of Accounting Research 19.

    Args:
        unusual: as the function of that name returns it.
    """
    edges = [0, *(step for step in (1, 5, 20) if step < horizon), horizon]
    columns = {}
    for name, column in unusual.items():
        for before, last in pairwise(edges):
            peaks = [_peak(column, lag, before + 1, last) for lag in REPORT_LAGS]
            columns[f"report_{name}_{last}"] = pd.concat(peaks, axis=1).mean(axis=1)
    return pd.DataFrame(columns)


def unusual(bars: pd.DataFrame) -> pd.DataFrame:
    """Return how unusual each session is, (T, 2): `range` and `volume`.

    The logarithm of Garman–Klass variance, and of volume, less its median over the quarter
    before.
    """
    columns = {"range": np.log(garman_klass_variance(bars)), "volume": _log_volume(bars)}
    return pd.DataFrame(
        {
            name: (column - column.shift(1).rolling(REPORT_LAGS[0], min_periods=20).median()).clip(
                -MAX_UNUSUAL, MAX_UNUSUAL
            )
            for name, column in columns.items()
        }
    )


def _peak(column: pd.Series, lag: int, first: int, last: int) -> pd.Series:
    """Return the largest value `lag` sessions before those `first` … `last` ahead."""
    # In sessions ago; what lies after the origin is not known.
    newest = max(lag - last - REPORT_SLACK, 0)
    oldest = max(lag - first + REPORT_SLACK, newest)
    return column.shift(newest).rolling(oldest - newest + 1).max()


def _log_volume(bars: pd.DataFrame) -> pd.Series:
    return np.log(bars["volume"].clip(lower=1.0))


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
    panel: Panel, regressors: dict[str, pd.DataFrame], horizon: int, *, least: int
) -> LabelledRows:
    """Return the rows to learn from.

    Raises:
        NoDataError: they are of fewer than `least` sessions.
    """
    parts = []
    for ticker, columns in regressors.items():
        y = _log_variance_ahead(panel[ticker], horizon) - columns[[LEVEL]].to_numpy()
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


def _log_variance_ahead(bars: pd.DataFrame, horizon: int) -> np.ndarray:
    """Return the log of mean Garman–Klass variance over the next 1…H sessions, (T, H)."""
    variance = garman_klass_variance(bars)
    ahead = [variance.rolling(h).mean().shift(-h) for h in range(1, horizon + 1)]
    return np.log(np.column_stack(ahead))


def scale_from(columns: pd.DataFrame, predicted: np.ndarray, bars: pd.DataFrame) -> np.ndarray:
    """Return the volatility of the cumulative returns, (T, H), from predictions of `y`."""
    root = root_of_steps(predicted.shape[1])
    level = columns[[LEVEL]].to_numpy()
    return at_least_half_a_tick(np.exp((predicted + level) / 2) * root, bars)
