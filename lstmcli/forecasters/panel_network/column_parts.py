"""How the columns of several tickers with the same sessions are made, (T, N) each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lstmcli.features import StackedBars
from lstmcli.forecasters.panel_network.modes import (
    HAR,
    LAGS,
    MOMENTUM_SPANS,
    REPORTS,
    SHAPE_SPANS,
    VOLUME,
)
from lstmcli.forecasters.volatility.clock import (
    CLOCK_STEPS,
    LONGEST_QUARTER,
    Days,
    FittedClock,
    clock_ahead,
    clock_columns_of,
    day_of_quarter,
)
from lstmcli.forecasters.volatility.regressors import (
    LEVEL,
    har_of,
    lags_of,
    reports_of,
)
from lstmcli.rolling import rolling_max, rolling_mean, rolling_median, rolling_sum, shifted

REPORT_HORIZON = 20
"""Sessions ahead whose quarterly cycle the regressors read; the clock reads any."""

LARGE = 3.0
"""Volatilities of one session beyond which a return is large."""

LONG_AGO = 252
"""Sessions since a large return beyond which no difference is made."""

PAST = 6
"""Sessions up to the last one whose largest variance by the clock is a column."""


def own_columns(bars: StackedBars, own: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
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


def less(
    own: Mapping[str, np.ndarray], usual: pd.DataFrame | None, sessions: pd.DatetimeIndex
) -> dict[str, np.ndarray]:
    """Return the shocks of several tickers, (T, N) each; see `shocks`."""
    if usual is None:
        return dict(own)
    at = usual.reindex(sessions)
    return {name: column - at[[name]].to_numpy(float) for name, column in own.items()}


def calendar_columns(sessions: pd.DatetimeIndex, days: Days) -> dict[str, np.ndarray]:
    ahead = days.sessions[days.origins(sessions) + 1]
    phase = 2 * np.pi * day_of_quarter(sessions) / LONGEST_QUARTER
    columns = {
        "days_to_next": np.minimum((ahead - sessions).days.to_numpy(), 5).astype(float),
        "friday": (sessions.day_of_week == 4).astype(float),
    }
    for k in (1, 2, 3):
        columns |= {f"sin_{k}": np.sin(k * phase), f"cos_{k}": np.cos(k * phase)}
    return columns


def columns_of_clock(
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
