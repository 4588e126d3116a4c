"""Order statistics of many windows that overlap."""

from __future__ import annotations

import numpy as np

AT_ONCE = 2_000_000
"""Cells of levels, windows and values that are looked at without cutting them into blocks."""


def order_statistics(
    values: np.ndarray, start: np.ndarray, stop: np.ndarray, rank: np.ndarray
) -> np.ndarray:
    """Return the value of a rank within each window, (L, N), as sorting it would.

    To sort each window anew would take most of the time of a backtest. Here
    all values are sorted once. Few of them are searched whole, all levels
    together. Many are cut into blocks of neighbours by size: counts say which block
    holds the wanted value, and only that block is searched.

    Args:
        values: (L, M), each row in the order of time.
        start, stop: (N,) a window is `values[:, start:stop]`, never empty.
        rank: (L, N) integers from 0.
    """
    levels, rows = values.shape
    if levels * rows * len(start) <= AT_ONCE:
        return _search_whole(values, start, stop, rank)
    size = max(int(np.sqrt(rows)), 1)
    blocks = -(-rows // size)
    window = np.arange(len(start))
    edges = np.unique(np.concatenate([start, stop]))
    opened, closed = np.searchsorted(edges, start), np.searchsorted(edges, stop)
    stretch = np.searchsorted(edges, np.arange(rows), side="right")  # edges up to each row
    # 32 bits halve what the caches have to hold.
    first, end = start.astype(np.int32)[:, None], stop.astype(np.int32)[:, None]
    order = np.full(blocks * size, rows, np.int32)  # the filling lies in no window
    block = np.empty(rows, int)
    found = np.empty(rank.shape)
    for level in range(levels):
        order[:rows] = np.argsort(values[level])
        block[order[:rows]] = np.arange(rows) // size
        counts = np.bincount(stretch * blocks + block, minlength=(len(edges) + 1) * blocks)
        # (E+1, B): how many values of a block come before each edge.
        before = counts.astype(np.int32).reshape(-1, blocks).cumsum(axis=0, dtype=np.int32)
        inside = before[closed] - before[opened]  # (N, B)
        up_to = inside.cumsum(axis=1, dtype=np.int32)
        wanted = rank[level].astype(np.int32)
        holder = (up_to <= wanted[:, None]).sum(axis=1)
        left = wanted - up_to[window, holder] + inside[window, holder]
        members = order.reshape(blocks, size)[holder]  # (N, size) rows, ascending by value
        hit = (members >= first) & (members < end)
        place = (hit.cumsum(axis=1, dtype=np.int32) <= left[:, None]).sum(axis=1)
        found[level] = values[level, members[window, place]]
    return found


def _search_whole(
    values: np.ndarray, start: np.ndarray, stop: np.ndarray, rank: np.ndarray
) -> np.ndarray:
    order = np.argsort(values, axis=1)  # (L, M)
    hit = (order[:, None] >= start[:, None]) & (order[:, None] < stop[:, None])  # (L, N, M)
    place = (hit.cumsum(axis=2, dtype=np.int32) <= rank[..., None]).sum(axis=2)
    return np.take_along_axis(values, np.take_along_axis(order, place, axis=1), axis=1)
