"""Correction A: quantiles moved by order statistics of past errors."""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from lstmcli.forecasters.order_statistics import order_statistics
from lstmcli.frames import MEDIAN, QUANTILES

MEMORY = 2500
"""Dates whose errors move the quantiles: ten years."""

MIN_INDEPENDENT = 50
"""Errors that do not overlap without which the quantiles of a step are left as they are."""

POOL_WEIGHT = 1000
"""Independent errors of its own that a ticker needs to count as much as the pool."""

STANDARD_ERRORS = 1.5
"""Standard errors within which a correction passes for chance."""

LARGEST = float(np.finfo(np.float16).max)
"""The largest error in widths: that of a share whose price hardly moved, and then jumped."""

SPREAD = QUANTILES.index(0.15), QUANTILES.index(0.85)


class History(NamedTuple):
    """What one recipe forecast, from N tickers and dates at S steps, and what came.

    Attributes:
        steps: (S,) ascending.
        ticker: (N,) numbers of tickers.
        made_on: (N,) datetime64, ascending.
        target_on: (N, S) datetime64.
        quantiles: (N, S, Q) log returns.
        width: (N, S) log returns, between the quantiles 0.15 and 0.85.
        outcome: (N, S) log returns; NaN where there is no label to learn from.
        least: (N,) half a tick, a log return.
    """

    steps: np.ndarray
    ticker: np.ndarray
    made_on: np.ndarray
    target_on: np.ndarray
    quantiles: np.ndarray
    width: np.ndarray
    outcome: np.ndarray
    least: np.ndarray


class Errors(NamedTuple):
    """Errors of forecasts that are no longer kept, from N origins at S steps.

    Attributes:
        ticker: (N,) numbers of tickers, as in the history beside them.
        target_on: (N, S) datetime64.
        errors: (N, S, Q) float32 rounded to 16 bits, in widths; NaN where there is no label.
    """

    ticker: np.ndarray
    target_on: np.ndarray
    errors: np.ndarray


def errors_of(history: History, place: int, rows: np.ndarray) -> np.ndarray:
    """Return the errors (n, Q) of one step in widths, NaN where there is none.

    Rounded to the 16 bits that a run keeps of them, a two-thousandth of an error: so that
    errors that were kept and errors that were computed again are the same numbers.
    """
    width = history.width[rows, place]
    # A forecast without width has no unit for its error.
    unit = np.where(width > 0, width, np.nan)
    errors = history.outcome[rows, place, None] - history.quantiles[rows, place]
    return np.clip(errors / unit[:, None], -LARGEST, LARGEST).astype(np.float16).astype(np.float32)


def _unit_error() -> np.ndarray:
    """Return the standard error (Q,) of each quantile of one normal draw, in widths."""
    normal = NormalDist()
    z = [normal.inv_cdf(level) for level in QUANTILES]
    width = z[SPREAD[1]] - z[SPREAD[0]]
    return np.array(
        [
            np.sqrt(level * (1 - level)) / (normal.pdf(score) * width)
            for level, score in zip(QUANTILES, z, strict=True)
        ]
    )


_UNIT_ERROR = _unit_error()


def move_quantiles(
    history: History, place: int, rows: np.ndarray, *, past: Errors | None = None
) -> np.ndarray:
    """Return the quantiles of one step after A, from some rows of the history, (n, Q).

    An origin learns from the labels that arrived before its calendar week: in a week few
    errors of 2,500 dates change, and which ones an origin has seen depends on nothing else.

    Args:
        place: of the step, among `history.steps`.
        rows: (n,) positions.
        past: what is known from before the history.
    """
    step = int(history.steps[place])
    quantiles = history.quantiles[rows, place]
    if not len(rows):
        return quantiles
    week = week_of(history.made_on[rows])
    labels = _labels(history, place, past)
    weeks = np.unique(week)
    dates = _remembered(labels.arrived, weeks)[2]
    weeks, dates = weeks[dates >= MIN_INDEPENDENT * step], dates[dates >= MIN_INDEPENDENT * step]
    speaks = np.isin(week, weeks)
    if not speaks.any():
        return quantiles
    pool = _seen(labels, weeks)[0]
    alone = len(np.unique(labels.ticker)) == 1
    seen = np.searchsorted(weeks, week)  # of no meaning where A is silent
    ticker = history.ticker[rows]
    for code in np.unique(ticker[speaks]):
        own, origins = (pool, dates) if alone else _seen(_of_ticker(labels, code), weeks)
        # Errors of h steps overlap: n of them say as much as n/h that do not.
        effective = origins[:, None] / step
        weight = effective / (effective + POOL_WEIGHT)
        shift = _shrunk(weight * own + (1 - weight) * pool, dates / step)
        at = np.flatnonzero(speaks & (ticker == code))
        quantiles[at] += shift[seen[at]] * history.width[rows[at], place, None]
    # Held to its side of the median, no quantile moves the median when all are sorted.
    median = quantiles[:, MEDIAN, None]
    np.minimum(quantiles[:, :MEDIAN], median, out=quantiles[:, :MEDIAN])
    np.maximum(quantiles[:, MEDIAN:], median, out=quantiles[:, MEDIAN:])
    quantiles.sort(axis=-1)
    return quantiles


def week_of(dates: np.ndarray) -> np.ndarray:
    """Return the number of each date's calendar week, from Monday to Sunday."""
    # 1970-01-01 was a Thursday.
    return (dates.astype("datetime64[D]").astype(np.int64) + 3) // 7


def _shrunk(shift: np.ndarray, effective: np.ndarray) -> np.ndarray:
    """Return corrections (W, Q), less those that may be chance; the median has none.

    Equation: c · max(0, 1 − (1.5 e/c)²), e = √(τ(1−τ)/n) / (φ(z_τ)·(z_.85 − z_.15)), the
        standard error of a quantile in widths, of a normal distribution and n independent draws.
    Source: Breiman (1995), Better Subset Regression Using the Nonnegative Garrote,
        Technometrics 37.
    """
    error = STANDARD_ERRORS * _UNIT_ERROR / np.sqrt(effective)[:, None]
    ratio = np.divide(error, shift, out=np.ones_like(shift), where=shift != 0)
    shift = shift * np.maximum(0.0, 1 - ratio**2)
    shift[:, MEDIAN] = 0.0
    return shift


class _Labels(NamedTuple):
    """Labels of one step in the order in which they arrived.

    Attributes:
        arrived: (M,) datetime64, ascending.
        ticker: (M,)
        errors: (Q, M) float32, in widths.
    """

    arrived: np.ndarray
    ticker: np.ndarray
    errors: np.ndarray


def _labels(history: History, place: int, past: Errors | None) -> _Labels:
    known = np.isfinite(history.outcome[:, place]) & (history.width[:, place] > 0)
    rows = np.flatnonzero(known)
    arrived, ticker = history.target_on[rows, place], history.ticker[rows]
    errors = errors_of(history, place, rows)
    if past is not None:
        kept = np.isfinite(past.errors[:, place, MEDIAN])
        arrived = np.concatenate([past.target_on[kept, place], arrived])
        ticker = np.concatenate([past.ticker[kept], ticker])
        errors = np.concatenate([past.errors[kept, place], errors])
    order = np.argsort(arrived, kind="stable")
    return _Labels(arrived[order], ticker[order], np.ascontiguousarray(errors[order].T))


def _of_ticker(labels: _Labels, code: int) -> _Labels:
    some = labels.ticker == code
    return _Labels(labels.arrived[some], labels.ticker[some], labels.errors[:, some])


def _remembered(
    arrived: np.ndarray, weeks: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the labels start … stop − 1 that each week (W,) remembers, and of how many dates.

    The memory is counted in dates on which labels arrived, so that a pool of many
    tickers remembers as many dates as one ticker does.
    """
    dates, first = np.unique(arrived, return_index=True)
    first = np.append(first, len(arrived))  # the labels of date d: first[d] … first[d+1] − 1
    last = np.searchsorted(week_of(dates), weeks, side="left")
    oldest = np.maximum(last - MEMORY, 0)
    return first[oldest], first[last], last - oldest


def _seen(labels: _Labels, weeks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what the errors before a week say of each level, (W, Q), and of how many dates.

    Equation: the error of number ⌊(n+1)τ⌋ of n in ascending order below the median,
        ⌈(n+1)τ⌉ above, within 1 … n.
    """
    start, stop, dates = _remembered(labels.arrived, weeks)
    levels = np.asarray(QUANTILES)
    seen = np.zeros((len(weeks), len(levels)))
    some = stop > start
    if not some.any():
        return seen, dates
    count = (stop - start)[some]
    # 21 · 0.05 is 1.05 and a little more: unrounded, a whole number may pass for the next one.
    number = np.round((count + 1) * levels[:, None], 9)  # (Q, ·)
    number = np.where(levels[:, None] < 0.5, np.floor(number), np.ceil(number))
    rank = np.clip(number, 1, count).astype(int) - 1
    seen[some] = order_statistics(labels.errors, start[some], stop[some], rank).T
    return seen, dates
