"""What baselines share: quantiles of realised errors, times the volatility of today."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lstmcli.errors import NoDataError, shell_word
from lstmcli.forecasters.base import forecast_rows, join_forecasts
from lstmcli.frames import QUANTILES, cumulative_returns
from lstmcli.panel import Panel
from lstmcli.trading import least_volatility
from lstmcli.windows import target_sessions

MEMORY = 1000
"""Realised origins whose errors shape the quantiles: about four years."""

MIN_MEMORY = 100
"""Realised origins without which 2.5 % tails would be a guess."""

POOL_WEIGHT = 300
"""Of recipes that are pooled anyway; 100 and 1,000 do as well at every step to 0.1 %."""

_AT_ONCE = 128
"""Origins sorted together: 1 MB of memories, which a core's cache holds."""


def filtered_simulation(
    name: str,
    panel: Panel,
    origins: pd.DatetimeIndex,
    scales: Mapping[str, np.ndarray],
    *,
    pool_weight: float = 0.0,
) -> pd.DataFrame:
    """Return a Forecast: quantiles of past errors y/σ̂, times the σ̂ of the origin.

    Equation: q[τ,t,h] = σ̂[t,h] · z[τ,t,h], z the τ-quantile of y[s,h] / σ̂[s,h] over
    the last 1,000 origins s whose outcome has arrived, s + h ≤ t.
    Source: Barone-Adesi, Giannopoulos, Vosper (1999), VaR without correlations
    for portfolios of derivative securities, Journal of Futures Markets 19.

    Args:
        scales: per ticker (T, H), σ̂ of the cumulative return; NaN while it warms up.
        pool_weight: independent errors of its own with which a ticker's z counts as
            much as the mean z of all tickers; 0 leaves its own.
    """
    horizon = next(iter(scales.values())).shape[1] if scales else 0
    sessions = panel.sessions().intersection(origins)
    pool = np.zeros((len(sessions), horizon, len(QUANTILES)))
    members = np.zeros((len(sessions), 1, 1))
    own = {}
    for ticker, scale in scales.items():
        errors = arrived(cumulative_returns(panel[ticker], horizon) / scale)
        rows = remembered_origins(panel[ticker], origins, errors)
        rows = rows[np.isfinite(scale[rows]).all(axis=1)]
        known = np.minimum(np.cumsum(np.isfinite(errors), axis=0), MEMORY)[rows]  # (N, H)
        own[ticker] = rows, known, rolling_quantiles(errors, rows)
        if pool_weight:
            at = sessions.get_indexer(panel[ticker].index[rows])
            pool[at] += own[ticker][2]
            members[at] += 1
    pool /= np.maximum(members, 1)
    parts = []
    for ticker, (rows, known, quantiles) in own.items():
        if pool_weight:
            # Errors of h steps overlap: n of them say as much as n/h that do not.
            effective = known[:, :, None] / np.arange(1, horizon + 1)[:, None]
            share = effective / (effective + pool_weight)
            at = sessions.get_indexer(panel[ticker].index[rows])
            quantiles = share * quantiles + (1 - share) * pool[at]
        scale = scales[ticker][rows]
        parts.append(rows_of(name, panel, ticker, rows, scale, quantiles * scale[:, :, None]))
    return join_forecasts(parts)


def arrived(labels: np.ndarray) -> np.ndarray:
    """Return labels (T, H) by the row on which they are known: h sessions later."""
    later = np.full_like(labels, np.nan)
    for h in range(1, min(labels.shape[1], len(labels) - 1) + 1):
        later[h:, h - 1] = labels[:-h, h - 1]
    return later


def remembered_origins(
    bars: pd.DataFrame, origins: pd.DatetimeIndex, errors: np.ndarray
) -> np.ndarray:
    """Return the rows (N,) of `origins` at which enough errors of every step are known."""
    # The labels of the last step take longest to arrive.
    known = np.cumsum(np.isfinite(errors[:, -1]))
    return np.flatnonzero(bars.index.isin(origins) & (known >= MIN_MEMORY))


def rolling_quantiles(values: np.ndarray, rows: np.ndarray, *, memory: int = MEMORY) -> np.ndarray:
    """Return quantiles (N, H, Q) of the finite values in the `memory` rows up to each row.

    `values` is (T, H). The same numbers as `np.quantile`, four times as fast:
    sorting contiguous rows is vectorised, selecting down columns is not.
    Each of the windows must hold a finite value.
    """
    sessions, steps = values.shape
    levels = np.asarray(QUANTILES)
    before = np.full((memory, steps), np.nan)
    columns = np.ascontiguousarray(np.concatenate([before, values]).T)  # (H, memory + T)
    finite = np.cumsum(np.isfinite(columns), axis=1)
    result = np.empty((len(rows), steps, len(levels)))
    for h in range(steps):
        windows = np.lib.stride_tricks.sliding_window_view(columns[h, 1:], memory)  # (T, memory)
        count = finite[h, memory:] - finite[h, :sessions]
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            ordered = np.sort(windows[some], axis=1)  # NaN comes last
            place = levels * (count[some] - 1)[:, None]  # (n, Q)
            below = place.astype(np.intp)
            above = np.minimum(below + 1, (count[some] - 1)[:, None])
            low = np.take_along_axis(ordered, below, axis=1)
            high = np.take_along_axis(ordered, above, axis=1)
            result[start : start + _AT_ONCE, h] = low + (place - below) * (high - low)
    return result


def rows_of(
    name: str,
    panel: Panel,
    ticker: str,
    rows: np.ndarray,
    sigma: np.ndarray,
    quantiles: np.ndarray,
) -> pd.DataFrame:
    """Return the Forecast of one ticker from some rows (N,) of its bars."""
    bars = panel[ticker]
    made_on = pd.DatetimeIndex(bars.index[rows])
    return forecast_rows(
        name,
        ticker,
        made_on=made_on,
        target_on=target_sessions(panel, ticker, made_on, quantiles.shape[1]),
        last_close=bars["close"].to_numpy(float)[rows],
        sigma=sigma,
        # Two products of neighbours may differ in their last digit, in the wrong order.
        quantiles=np.maximum.accumulate(quantiles, axis=-1),
        least=least_volatility(bars)[rows],
    )


def with_history(panel: Panel, least: int) -> Panel:
    """Return the panel of the tickers that have bars enough; the others get no forecast.

    Raises:
        NoDataError: none has; naming the one with most.
    """
    enough = [ticker for ticker, bars in panel.items() if len(bars) >= least]
    if enough:
        return panel if len(enough) == len(panel) else panel.only(enough)
    longest = max(panel, key=lambda ticker: len(panel[ticker]))
    raise NoDataError(
        f"{longest}: Expected at least {least} sessions for the baselines. "
        f"Received: {len(panel[longest])}.",
        hint=f"lstm fetch {shell_word(longest)} --start 2000-01-01",
    )
