"""What baselines share: quantiles of realised errors, times the volatility of today."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np
import pandas as pd

from lstmcli.errors import NoDataError, shell_word
from lstmcli.forecasters.base import forecast_rows, join_forecasts
from lstmcli.forecasters.rolling_quantiles import rolling_quantiles
from lstmcli.frames import QUANTILES, cumulative_returns
from lstmcli.panel import Panel
from lstmcli.trading import least_volatility
from lstmcli.windows import target_sessions

MEMORY = 2500
"""Realised origins whose errors shape the quantiles: about ten years."""

MIN_MEMORY = 100
"""Realised origins without which 2.5 % tails would be a guess."""

MIN_POOL = 20
"""Tickers whose mean says something of all; of fewer, a shape of many others is better."""

POOL_WEIGHT = 300
"""Independent errors of its own with which a ticker's quantiles count as much as the mean of
all tickers; 100 and 1,000 do as well at every step to 0.1 %."""


Lend = Callable[[str, np.ndarray], np.ndarray]
"""From a ticker and some rows (N,) of its bars to a shape (N, H, Q), in units of σ̂."""


def filtered_simulation(
    name: str,
    panel: Panel,
    origins: pd.DatetimeIndex,
    scales: Mapping[str, np.ndarray],
    *,
    memory: int = MEMORY,
    lend: Lend | None = None,
    only: Collection[str] | None = None,
    since: pd.Timestamp | None = None,
) -> pd.DataFrame:
    """Return a Forecast: quantiles of past errors y/σ̂, times the σ̂ of the origin.

    The quantiles are those of the ticker's own errors and the mean of all tickers': long
    steps overlap, so that the years of one ticker say little about its tails and next to
    nothing about its drift.

    Equation: q[τ,t,h] = σ̂[t,h] · (w·z[τ,t,h] + (1 − w)·z̄[τ,t,h]), z the τ-quantile of
    y[s,h] / σ̂[s,h] over the last 2,500 origins s whose outcome has arrived, s + h ≤ t, z̄
    its mean over the tickers, w = m / (m + 300), m = n/h of n such origins.
    Source: Barone-Adesi, Giannopoulos, Vosper (1999), VaR without correlations
    for portfolios of derivative securities, Journal of Futures Markets 19.

    Args:
        scales: per ticker (T, H), σ̂ of the cumulative return; NaN while it warms up.
        memory: origins that are remembered.
        lend: a shape that stands in for z̄ on sessions on which fewer than `MIN_POOL` tickers
            have one. With it a ticker needs no errors of its own.
        only: the tickers that are forecast; the others serve the pool alone.
        since: the first origin whose error counts; those before it are in sample.
    """
    horizon = next(iter(scales.values())).shape[1] if scales else 0
    sessions = panel.sessions().intersection(origins)
    pool = np.zeros((len(sessions), horizon, len(QUANTILES)))
    members = np.zeros(len(sessions), int)
    own = {}
    for ticker, scale in scales.items():
        errors = cumulative_returns(panel[ticker], horizon) / scale
        if since is not None:
            errors[panel[ticker].index < since] = np.nan
        errors = arrived(errors)
        enough = remembered_origins(panel[ticker], origins, errors)
        rows = enough if lend is None else np.flatnonzero(panel[ticker].index.isin(origins))
        rows = rows[np.isfinite(scale[rows]).all(axis=1)]
        remembers = np.isin(rows, enough)
        known = np.minimum(np.cumsum(np.isfinite(errors), axis=0), memory)[rows]  # (N, H)
        known[~remembers] = 0
        quantiles = np.zeros((len(rows), horizon, len(QUANTILES)))
        quantiles[remembers] = rolling_quantiles(errors, rows[remembers], memory=memory)
        own[ticker] = rows, known, quantiles
        at = sessions.get_indexer(panel[ticker].index[rows[remembers]])
        pool[at] += quantiles[remembers]
        members[at] += 1
    pool /= np.maximum(members, 1)[:, None, None]
    parts = []
    for ticker, (rows, known, quantiles) in own.items():
        if only is not None and ticker not in only:
            continue
        share = own_share(known, np.arange(1, horizon + 1))[:, :, None]
        at = sessions.get_indexer(panel[ticker].index[rows])
        shape = pool[at]
        if lend is not None:
            few = members[at] < MIN_POOL
            shape[few] = lend(ticker, rows[few])
        quantiles = share * quantiles + (1 - share) * shape
        scale = scales[ticker][rows]
        parts.append(rows_of(name, panel, ticker, rows, scale, quantiles * scale[:, :, None]))
    return join_forecasts(parts)


def own_share(known: np.ndarray | int, step: np.ndarray | int) -> np.ndarray:
    """Return how much quantiles of their own count beside a shape that they borrow.

    Errors of h steps overlap: n of them say as much as n/h that do not.
    """
    effective = np.asarray(known) / step
    return np.asarray(effective / (effective + POOL_WEIGHT))


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
