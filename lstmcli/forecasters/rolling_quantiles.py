"""Quantiles of windows that overlap."""

from __future__ import annotations

import numpy as np

from lstmcli.frames import QUANTILES

_TOGETHER = 32
"""Neighbouring rows whose windows are looked at together: what they share is sorted once."""

_STEPS = 64
"""Columns that are looked at together: more are no quicker, and take more memory."""


def rolling_quantiles(values: np.ndarray, rows: np.ndarray, *, memory: int) -> np.ndarray:
    """Return quantiles (N, H, Q) of the finite values in the `memory` rows up to each row.

    The same numbers as `np.quantile`, several times as fast: neighbouring windows share all
    but a few values, and those few are merged with what is sorted already.

    Args:
        values: (T, H). Each of the windows must hold a finite value.
        rows: (N,) ascending.
        memory: at least 32 rows.
    """
    found = np.empty((len(rows), values.shape[1], len(QUANTILES)))
    for start in range(0, values.shape[1], _STEPS):
        some = slice(start, start + _STEPS)
        found[:, some] = _of_some(values[:, some], rows, memory)
    return found


def _of_some(values: np.ndarray, rows: np.ndarray, memory: int) -> np.ndarray:
    """Return `rolling_quantiles` of columns that are few enough to be looked at together."""
    sessions, steps = values.shape
    columns = np.full((steps, memory + sessions), np.nan)
    columns[:, memory:] = values.T
    finite = np.cumsum(np.isfinite(columns), axis=1)
    highest = (finite[:, memory + rows] - finite[:, rows] - 1)[:, :, None]  # (H, N, 1) ranks
    place = np.asarray(QUANTILES) * highest  # (H, N, Q)
    below = place.astype(np.intp)
    ranks = np.concatenate([below, np.minimum(below + 1, highest)], axis=2)  # (H, N, 2·Q)
    found = np.empty(ranks.shape)
    cuts = np.flatnonzero(np.diff(rows // _TOGETHER)) + 1
    for group in np.split(np.arange(len(rows)), cuts) if len(rows) else ():
        found[:, group] = _order_statistics(columns, rows[group], ranks[:, group], memory)
    low, high = np.split(found, 2, axis=2)
    return (low + (place - below) * (high - low)).transpose(1, 0, 2)


def _order_statistics(
    columns: np.ndarray, rows: np.ndarray, ranks: np.ndarray, memory: int
) -> np.ndarray:
    """Return the values of some ranks, (H, n, K), within the window of each row.

    Args:
        columns: (H, memory + T); the window of row t is `columns[:, t + 1 : t + 1 + memory]`.
        rows: (n,) ascending, less than `memory` apart.
        ranks: (H, n, K) integers from 0, of finite values.
    """
    first, last = rows[0] + 1, rows[-1] + 1
    shared = np.sort(columns[:, last : first + memory], axis=1)  # (H, ·), NaN comes last
    apart = last - first
    if not apart:
        return np.take_along_axis(shared, ranks[:, 0], axis=1)[:, None]
    edges = [columns[:, first:last], columns[:, first + memory : last + memory]]
    others = np.concatenate(edges, axis=1)  # (H, 2·apart): the first leave, the last enter
    number = np.arange(apart)
    leaves = number >= (rows + 1 - first)[:, None]
    inside = np.concatenate([leaves, ~leaves], axis=1)  # (n, 2·apart); `apart` in each row
    order = np.argsort(others, axis=1)
    others = np.take_along_axis(others, order, axis=1)
    smaller = np.stack([np.searchsorted(*pair) for pair in zip(shared, others, strict=True)])
    # (H, n, apart): which of the others a window holds, ascending, and their ranks in it.
    own = np.nonzero(inside[:, order].transpose(1, 0, 2))[2].reshape(len(order), len(rows), apart)
    step = np.arange(len(order))[:, None, None]
    rank = smaller[step, own] + number
    passed = (rank[..., None, :] < ranks[..., None]).sum(axis=-1)  # (H, n, K)
    at = np.minimum(passed, apart - 1)
    window = np.arange(len(rows))[:, None]
    hit = (passed < apart) & (rank[step, window, at] == ranks)
    return np.where(
        hit, others[step, own[step, window, at]], shared[step, np.where(hit, 0, ranks - passed)]
    )
