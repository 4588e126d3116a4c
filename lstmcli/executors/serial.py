"""One task after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

from lstmcli.executors.tasks import TaskExecutor

P = ParamSpec("P")
R = TypeVar("R")


class SerialExecutor(TaskExecutor):
    """Runs each call while it is submitted, whatever the number of workers."""

    def __init__(
        self, max_workers: int, *, initializer: Callable[..., None], initargs: tuple[Any, ...]
    ) -> None:
        self.max_workers = 1
        initializer(*initargs)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Return a future that is done. Ctrl-C is raised here, and stored in no future."""
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
