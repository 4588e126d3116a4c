"""Processes on this machine, each started afresh."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import wait
from typing import Any, ParamSpec, TypeVar

from pebble import ProcessExpired, ProcessPool

from lstmcli.executors.tasks import TRIES, TaskExecutor

P = ParamSpec("P")
R = TypeVar("R")


class ProcessExecutor(TaskExecutor):
    """Runs calls in processes, which end no later than their parent.

    They are spawned, because TensorFlow does not survive a fork. When one is killed, its
    call fails, another process takes its place, and the other calls go on; the pools of
    `concurrent.futures` and loky fail every call then.
    """

    worker_errors = (ProcessExpired,)
    tries = TRIES

    def __init__(
        self, max_workers: int, *, initializer: Callable[..., None], initargs: tuple[Any, ...]
    ) -> None:
        self.max_workers = self.queued = max_workers
        self._pool = ProcessPool(
            max_workers,
            initializer=_start_worker,
            initargs=(initializer, initargs),
            context=multiprocessing.get_context("spawn"),
        )

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        return self._pool.schedule(fn, args=args, kwargs=kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes, after the calls or at once.

        Args:
            wait: wait for calls that are not finished.
            cancel_futures: do not wait; also end the calls that are running.
        """
        if wait and not cancel_futures:
            self._pool.close()
        else:
            self._pool.stop()
        self._pool.join()


def _start_worker(initializer: Callable[..., None], initargs: tuple[Any, ...]) -> None:
    # Pebble's own handler runs between two steps of Python, and a step of TensorFlow may
    # take seconds.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    initializer(*initargs)


def _end_with_parent() -> None:
    """End this process when its parent is gone, which `kill -9` does not let it announce."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
