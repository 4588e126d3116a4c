"""What baselines share: quantiles of realised errors, times the volatility of today."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from lstmcli.errors import NoDataError, shell_word
from lstmcli.features import StackedBars, stacks
from lstmcli.forecasters.base import forecast_rows, join_forecasts
from lstmcli.forecasters.rolling_quantiles import rolling_quantiles
from lstmcli.frames import QUANTILES, moved_of
from lstmcli.panel import Panel
from lstmcli.sessions import WEEKDAYS
from lstmcli.trading import least_volatility
from lstmcli.windows import target_sessions

MEMORY = 2500
"""Realised origins whose errors shape the quantiles: about ten years."""

MIN_MEMORY = 100
"""Realised origins without which 2.5 % tails would be a guess."""

MIN_ROWS = 32
"""Rows that a memory has at least."""

MIN_POOL = 20
"""Tickers whose mean says something of all; of fewer, a shape of many others is better."""

POOL_WEIGHT = 300
"""Independent errors of its own with which a ticker's quantiles count as much as the mean of
all tickers; 100 and 1,000 do as well at every step to 0.1 %."""


AT_ONCE = 8
"""Tickers whose errors are looked at together: more are no quicker, and take more memory."""

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
    alone: bool = False,
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
        alone: of each ticker z̄ is z: the same as a call for each by itself.
    """
    horizon = next(iter(scales.values())).shape[1] if scales else 0
    sessions = panel.sessions().intersection(origins)
    pool = np.zeros((len(sessions), horizon, len(QUANTILES)))
    members = np.zeros(len(sessions), int)
    own: dict[str, _Shapes] = {}
    names = list(scales)
    for start in range(0, len(names), AT_ONCE):
        some = {ticker: panel[ticker] for ticker in names[start : start + AT_ONCE]}
        for tickers, bars in stacks(some):
            scale = np.stack([scales[ticker] for ticker in tickers])
            found = _own_shapes(
                bars, scale, origins, memory=memory, since=since, lent=lend is not None
            )
            own |= zip(tickers, found, strict=True)
        if alone:
            continue
        for ticker in some:  # in this order, on which the last digit of a sum depends
            shapes = own[ticker]
            at = sessions.get_indexer(panel[ticker].index[shapes.rows[shapes.remembers]])
            pool[at] += shapes.quantiles[shapes.remembers]
            members[at] += 1
            if only is not None and ticker not in only:
                del own[ticker]  # of a universe they take a gigabyte
    pool /= np.maximum(members, 1)[:, None, None]
    parts, least = {}, {}
    for ticker in [ticker for ticker in names if only is None or ticker in only]:
        shapes = own.pop(ticker)  # of many tickers they do not fit twice
        share = own_share(shapes.known, np.arange(1, horizon + 1))[:, :, None]
        if alone:
            shape, few = shapes.quantiles.copy(), np.ones(len(shapes.rows), bool)
        else:
            at = sessions.get_indexer(panel[ticker].index[shapes.rows])
            shape, few = pool[at], members[at] < MIN_POOL
        if lend is not None:
            shape[few] = lend(ticker, shapes.rows[few])
        parts[ticker] = shapes.rows, share * shapes.quantiles + (1 - share) * shape
        least[ticker] = shapes.least
    return _joined(name, panel, parts, scales, least)


class _Shapes(NamedTuple):
    """The shapes that a ticker's own errors have, on n rows of its bars.

    Attributes:
        rows: (n,)
        remembers: (n,) whether there are errors enough.
        known: (n, H) how many there are; 0 where too few.
        quantiles: (n, H, Q) in units of σ̂; 0 where too few.
        least: (n,) half a tick as a log return.
    """

    rows: np.ndarray
    remembers: np.ndarray
    known: np.ndarray
    quantiles: np.ndarray
    least: np.ndarray


def _own_shapes(
    bars: StackedBars,
    scales: np.ndarray,
    origins: pd.DatetimeIndex,
    *,
    memory: int,
    since: pd.Timestamp | None,
    lent: bool,
) -> list[_Shapes]:
    """Return the shapes of several tickers with the same sessions.

    Args:
        scales: (N, T, H)
        lent: whether a row needs no errors of its own.
    """
    count, _, horizon = scales.shape
    errors = moved_of(bars.returns, horizon) / scales
    if since is not None:
        errors[:, bars.sessions < since] = np.nan
    errors = np.stack([arrived(each) for each in errors])
    wanted = bars.sessions.isin(origins)
    finite = np.isfinite(errors)
    # The labels of the last step take longest to arrive.
    enough = wanted & (np.cumsum(finite[:, :, -1], axis=1) >= MIN_MEMORY)  # (N, T)
    asked = (wanted[None] if lent else enough) & np.isfinite(scales).all(axis=2)
    known = np.minimum(np.cumsum(finite, axis=1), memory)
    # Tickers whose rows are the same are looked at together.
    alike: dict[bytes, list[int]] = {}
    for number in range(count):
        alike.setdefault((enough & asked)[number].tobytes(), []).append(number)
    quantiles = {}
    for numbers in alike.values():
        rows = np.flatnonzero((enough & asked)[numbers[0]])
        every = errors[numbers].transpose(1, 0, 2).reshape(len(bars.sessions), -1)
        found = _quantiles(every, rows, memory=memory).reshape(
            len(rows), len(numbers), horizon, len(QUANTILES)
        )
        for place, number in enumerate(numbers):
            quantiles[number] = found[:, place]
    result = []
    for number in range(count):
        rows = np.flatnonzero(asked[number])
        remembers = enough[number, rows]
        counted, shape = known[number, rows], np.zeros((len(rows), horizon, len(QUANTILES)))
        counted[~remembers] = 0
        shape[remembers] = quantiles[number]
        result.append(_Shapes(rows, remembers, counted, shape, bars.least[rows, number]))
    return result


def _quantiles(errors: np.ndarray, rows: np.ndarray, *, memory: int) -> np.ndarray:
    """Return `rolling_quantiles`; what lies before the first error is not looked at."""
    known = np.isfinite(errors).any(axis=1)
    first = min(int(known.argmax()), int(rows[0])) if len(rows) else 0
    errors, rows = errors[first:], rows - first
    return rolling_quantiles(errors, rows, memory=max(min(memory, len(errors)), MIN_ROWS))


def _joined(
    name: str,
    panel: Panel,
    parts: dict[str, tuple[np.ndarray, np.ndarray]],
    scales: Mapping[str, np.ndarray],
    least: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """Return the Forecast of all tickers.

    Args:
        parts: by ticker the rows (n,) of its bars and their shapes (n, H, Q); they are used up.
    """
    some = [ticker for ticker, (rows, _) in parts.items() if len(rows)]
    if not some:
        return join_forecasts([])
    columns: dict[str, list[np.ndarray]] = {}
    known: dict[tuple[str, bytes], np.ndarray] = {}
    for ticker in some:
        rows, shape = parts.pop(ticker)
        scale, calendar = scales[ticker][rows], panel.calendars.get(ticker, WEEKDAYS)
        made_on = pd.DatetimeIndex(panel[ticker].index[rows])
        # Without an exchange calendar a ticker's own bars show which days trade.
        key = (ticker if calendar == WEEKDAYS else calendar, made_on.asi8.tobytes())
        if key not in known:
            known[key] = target_sessions(panel, ticker, made_on, shape.shape[1])
        of_ticker = {
            "ticker": np.full(len(rows), ticker, object),
            "made_on": made_on.to_numpy(),
            "target_on": known[key],
            "last_close": panel[ticker]["close"].to_numpy(float)[rows],
            "sigma": scale,
            # Two products of neighbours may differ in their last digit, in the wrong order.
            "quantiles": np.maximum.accumulate(shape * scale[:, :, None], axis=-1),
            "least": least[ticker],
        }
        for key_, values in of_ticker.items():
            columns.setdefault(key_, []).append(values)
    return forecast_rows(
        name, **{key_: np.concatenate(columns.pop(key_)) for key_ in list(columns)}
    )


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
