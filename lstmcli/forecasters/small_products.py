"""Products of small matrices, for which one thread is faster than several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Let numpy use one thread: several of them would wait for each other.

    It holds for the libraries that are loaded already, which numpy is. So nothing that loads
    another one, such as scipy, belongs inside: its digits would depend on what ran before.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
