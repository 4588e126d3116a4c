"""Products of small matrices: on one thread, and with digits that depend on nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

ROWS = 128
"""Rows that are multiplied at once."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Let numpy use one thread: several of them would wait for each other.

    It holds for the libraries that are loaded already, which numpy is. So nothing that loads
    another one, such as scipy, belongs inside: its digits would depend on what ran before.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def by_rows(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return x @ weights, where a row has the same digits however many rows follow.

    BLAS chooses its way of adding by the shape of a matrix. So a forecast made today and the same
    one made again among later sessions would differ in their last digits.

    Args:
        x: (…, T, K)
        weights: (K, M), or (K,)
    """
    if weights.ndim == 1:
        return by_rows(x, weights[:, None])[..., 0]
    *outer, count, width = x.shape
    blocks = -(-count // ROWS)
    padded = np.zeros((*outer, blocks * ROWS, width), x.dtype)
    padded[..., :count, :] = x
    found = padded.reshape(*outer, blocks, ROWS, width) @ weights
    return np.asarray(found.reshape(*outer, blocks * ROWS, weights.shape[1])[..., :count, :])
