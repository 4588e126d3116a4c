"""Tasks: values that an executor runs, and what becomes of each."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from lstmcli.errors import LstmError
from lstmcli.panel import Panel

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)

FEWER_WORKERS = "fewer --workers need less memory"

TRIES = 3
"""How often a task is begun whose worker is killed, before it is given up."""


class Task(Protocol[Result_co]):
    """A piece of work that can be pickled and depends on nothing but itself and a panel."""

    @property
    def key(self) -> str:
        """The task's name, unique among those that are run together."""
        ...

    @property
    def panel_sha(self) -> str | None:
        """The hash of the panel that the task reads; None if it reads none."""
        ...

    def run(self, panel: Any, /) -> Result_co:
        """Return the result; uses no disk, no clock and nothing kept from other tasks.

        Args:
            panel: the panel of `panel_sha`, or None.
        """
        ...


@dataclass(frozen=True)
class Done(Generic[Result]):
    """The result of a task."""

    key: str
    value: Result
    seconds: float


@dataclass(frozen=True)
class Failure:
    """What a person needs to know about a task that failed.

    Attributes:
        line: the last line of the traceback: the error's class and message.
        details: the whole traceback.
    """

    key: str
    line: str
    exit_code: int
    hint: str | None
    details: str

    @classmethod
    def of(cls, key: str, error: BaseException) -> Failure:
        """Return the failure of a task that raised `error`."""
        # A message may have several lines; the first says what happened.
        line = f"{type(error).__name__}: {error}".splitlines()[0]
        details = "".join(traceback.format_exception(error))
        if isinstance(error, LstmError):
            return cls(key, line, error.exit_code, error.hint, details)
        return cls(key, line, LstmError.exit_code, "--debug shows where", details)

    def as_error(self) -> LstmError:
        """Return the error of the task, where others are not told of with it."""
        error = LstmError(f"{self.key}: {self.line}", hint=self.hint)
        error.exit_code = self.exit_code
        error.add_note(self.details)
        return error


class TaskExecutor(Executor):
    """An executor of `concurrent.futures` that tells how many tasks it runs at a time.

    A future raises an `LstmError` where the executor can run no more tasks.

    Attributes:
        worker_errors: what a future raises when its worker ended before the task did.
        tries: how often a task is submitted whose worker ends.
        max_workers: tasks at a time.
        queued: tasks that are submitted beyond those, for workers that become free while the
            caller is busy with a result.
    """

    worker_errors: tuple[type[BaseException], ...] = ()
    tries: ClassVar[int] = 1
    max_workers: int
    queued: int = 0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the workers, after the calls; at once after an error or Ctrl-C."""
        self.shutdown(cancel_futures=kind is not None)


_panels: dict[str, Panel] = {}
"""The panels of this worker, by hash."""


def hold_panels(panels: Mapping[str, Panel]) -> None:
    """Keep panels in this worker, in place of those that it had."""
    _panels.clear()
    _panels.update(panels)


@contextmanager
def panel_held(sha: str | None, panel: Panel | None) -> Iterator[None]:
    """Keep a panel in this worker meanwhile; none where `sha` is None."""
    if sha is None or panel is None:
        yield
        return
    _panels[sha] = panel
    try:
        yield
    finally:
        del _panels[sha]


def run_tasks(
    executor: TaskExecutor, tasks: Sequence[Task[Result]]
) -> Iterator[Done[Result] | Failure]:
    """Yield what became of each task as soon as it is known; a failure ends no other task.

    A task is submitted when a worker is free, or will be next; see `TaskExecutor.queued`. So
    results are handed on soon, and little is lost when the executor is closed early. One whose
    worker was killed, such as for want of memory, is tried again: `TRIES` times in all.

    Raises:
        LstmError: the executor can run no more tasks.
    """
    waiting = iter(tasks)
    running: dict[Future[Done[Result] | Failure], Task[Result]] = {}
    tried: Counter[str] = Counter()
    while True:
        for task in islice(waiting, executor.max_workers + executor.queued - len(running)):
            running[executor.submit(_attempt, task)] = task
        if not running:
            return
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            task = running.pop(future)
            tried[task.key] += 1
            killed = isinstance(future.exception(), executor.worker_errors)
            if killed and tried[task.key] < executor.tries:
                running[executor.submit(_attempt, task)] = task
            else:
                yield _outcome(task.key, future, executor.worker_errors)


def _attempt(task: Task[Result]) -> Done[Result] | Failure:
    """Run a task in this worker. Its error becomes text: some errors cannot be pickled."""
    from threadpoolctl import threadpool_limits

    started = time.perf_counter()
    try:
        panel = None if task.panel_sha is None else _panels[task.panel_sha]
        # Workers that each use every core wait for each other.
        with threadpool_limits(1):
            value = task.run(panel)
    except Exception as error:
        return Failure.of(task.key, error)
    return Done(task.key, value, time.perf_counter() - started)


def _outcome(
    key: str,
    future: Future[Done[Result] | Failure],
    worker_errors: tuple[type[BaseException], ...],
) -> Done[Result] | Failure:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, LstmError):
        raise error
    if isinstance(error, BrokenExecutor):
        message = f"{key}: no worker process is left. The machine may be out of memory."
        raise LstmError(message, hint=FEWER_WORKERS) from error
    if isinstance(error, worker_errors):
        line = "its process was killed each time that it was tried. Memory may not suffice."
        return Failure(key, line, LstmError.exit_code, FEWER_WORKERS, "")
    return Failure.of(key, error)  # such as a result that cannot be pickled


def task_error(failures: Sequence[Failure], *, of: int, hint: str = "") -> LstmError:
    """Return the error that reports failed tasks, with the highest of their exit codes.

    Args:
        of: how many tasks there were.
        hint: what to do next, after what the first failure suggests.
    """
    lines = "".join(f"\n  {failure.key}: {failure.line}" for failure in failures)
    first = next((failure.hint for failure in failures if failure.hint), None)
    error = LstmError(
        f"{len(failures)} of {of} tasks failed:{lines}",
        hint="; ".join(part for part in (first, hint) if part) or None,
    )
    error.exit_code = max(failure.exit_code for failure in failures)
    for failure in failures:
        error.add_note(f"{failure.key}:\n{failure.details}")
    return error
