"""Correction B: published endpoints that move after each miss, and cones that never narrow."""

from __future__ import annotations

import numpy as np

from lstmcli.forecasters.base import NO_WIDTH
from lstmcli.forecasters.corrections import History
from lstmcli.frames import COVERAGES, MEDIAN, QUANTILE_COLUMNS, cone_columns

RATE = 0.02
"""Widths by which one miss of a one-step forecast moves an endpoint, at most."""

BOUNDS = (-1.0, 3.0)
"""Least and most widths that an endpoint moves outward: finite, whatever happens."""

OUTWARD = np.array([-1.0, 1.0])
"""The directions in which a lower and an upper endpoint move away from the median."""

TAILS = (1 - np.asarray(COVERAGES)) / 2
"""(C,) how often an outcome should lie beyond one endpoint."""

_ENDS = np.array(  # (2, C): quantile columns of the lower and the upper endpoints
    [[QUANTILE_COLUMNS.index(name) for name in cone_columns(share)] for share in COVERAGES]
).T


def reach_of(quantiles: np.ndarray) -> np.ndarray:
    """Return how far the central intervals reach from the median, outward.

    (…, 2, C) of quantiles (…, Q): lower before upper, coverages ascending.
    """
    reach = quantiles[..., _ENDS]
    reach -= quantiles[..., MEDIAN, None, None]
    reach *= OUTWARD[:, None]
    return reach


def track_endpoints(
    history: History, start: np.ndarray, theta: np.ndarray, *, issued: int = 0
) -> np.ndarray:
    """Return how far the published endpoints reach from the median, (N, S, 2, C).

    Dates go one after the other, all tickers together. On each, the labels that arrived
    move θ; then the cones of the date are published, and they are what later counts as hit
    or miss. A ticker without a forecast on a date, or for a year, goes on where it stood.

    Args:
        start: (N, S, 2, C) the reach before B, as `reach_of` returns it; what is returned
            overwrites it.
        theta: (K, S, 2, C) widths by which endpoints lie further out than that; it is
            moved in place, up to the last label.
        issued: how many origins, the first ones, were published before. Their `start`
            is what was published, and only waits for labels.
    """
    rate = (RATE / history.steps)[:, None, None]
    beyond = history.outcome - history.quantiles[..., MEDIAN]
    row, place = np.nonzero(np.isfinite(beyond))  # (M,) one for each label
    arrived = history.target_on[row, place]
    order = np.argsort(arrived, kind="stable")
    row, place, arrived = row[order], place[order], arrived[order]
    made_on = history.made_on[issued:]
    dates = np.unique(np.concatenate([made_on, arrived]))
    made = (issued + np.searchsorted(made_on, dates, side) for side in ("left", "right"))
    came = (np.searchsorted(arrived, dates, side) for side in ("left", "right"))
    for first, last, known, until in zip(*made, *came, strict=True):
        if until > known:
            r, p = row[known:until], place[known:until]
            k = history.ticker[r]
            miss = (beyond[r, p, None] * OUTWARD)[..., None] > start[r, p]
            theta[k, p] = np.clip(theta[k, p] + rate[p] * (miss - TAILS), *BOUNDS)
        if last > first:
            now = slice(first, last)
            wanted = start[now] + theta[history.ticker[now]] * history.width[now, :, None, None]
            start[now] = published(wanted, history.least[now])
    return start


def published(reach: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Return the reach (n, S, 2, C) as it is published: cones nest and never narrow.

    Each side's reach is made non-decreasing in the step: a cone is as wide as the one a
    step earlier, or wider. It is counted from the median of its own step, which may drift.
    Where a 50 % cone has no width, half a tick is added; see `with_width`.

    Args:
        least: (n,) half a tick, a log return.
    """
    reach = np.moveaxis(non_decreasing(np.moveaxis(reach, 1, -1)), -1, 1)
    reach = np.maximum.accumulate(np.maximum(reach, 0.0), axis=-1)
    thin = reach[..., 0].sum(axis=-1) < NO_WIDTH * least[:, None]  # (n, S)
    if thin.any():
        tick = thin * least[:, None]
        reach = reach + tick[:, :, None, None] * np.asarray(COVERAGES)
        reach = np.maximum.accumulate(reach, axis=1)
    return reach


def non_decreasing(values: np.ndarray) -> np.ndarray:
    """Return the least-squares fit to values (…, S) that does not decrease in S.

    Equation: g_i = max_{a ≤ i} min_{b ≥ i} mean(v_a … v_b).
    Source: Barlow, Bartholomew, Bremner, Brunk (1972), Statistical Inference under Order
        Restrictions, for isotonic regression and its max–min formula.
    """
    falls = (np.diff(values, axis=-1) < 0).any(axis=-1)
    if not falls.any():
        return values
    some = values[falls]  # (m, S)
    steps = np.arange(some.shape[-1])
    total = np.concatenate([np.zeros((len(some), 1)), some.cumsum(axis=-1)], axis=-1)
    count = steps - steps[:, None] + 1  # (a, b)
    mean = (total[:, None, 1:] - total[:, :-1, None]) / np.where(count > 0, count, 1)
    mean[:, count < 1] = np.inf
    lowest = np.minimum.accumulate(mean[..., ::-1], axis=-1)[..., ::-1]  # (m, a, i) over b ≥ i
    lowest[:, count < 1] = -np.inf  # a > i
    fitted = values.copy()
    fitted[falls] = lowest.max(axis=1)
    return fitted
