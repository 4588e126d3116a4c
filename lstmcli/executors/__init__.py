"""Executors: they run tasks here, in several processes, or on a dask cluster.

An executor is one of `concurrent.futures`. Another one is added in three steps: a
subclass of `TaskExecutor` in a file of its own, a line in `open_executor`, a name in
`EXECUTORS`. It may run tasks on another machine: tasks, panels and results are values that
can be pickled, and no task needs a disk or a clock.
"""

from __future__ import annotations

from collections.abc import Mapping

from lstmcli.executors.dask import DaskExecutor
from lstmcli.executors.processes import ProcessExecutor
from lstmcli.executors.serial import SerialExecutor
from lstmcli.executors.tasks import (
    Done,
    Failure,
    Task,
    TaskExecutor,
    hold_panels,
    run_tasks,
    task_error,
)
from lstmcli.executors.workers import EXECUTORS, HERE, Workers
from lstmcli.models.runtime import usable_cores
from lstmcli.panel import Panel

__all__ = [
    "EXECUTORS",
    "HERE",
    "Done",
    "Failure",
    "Task",
    "TaskExecutor",
    "Workers",
    "open_executor",
    "run_tasks",
    "task_error",
]


def open_executor(
    workers: Workers, *, panels: Mapping[str, Panel], tasks: int, most: int | None = None
) -> TaskExecutor:
    """Return an executor whose workers hold some panels.

    Use it in a `with` statement: its workers end there.

    Args:
        panels: by hash; each worker receives them once.
        tasks: how many there are; no more workers are started.
        most: workers at most, where the user has not said how many.

    Raises:
        ConfigError: dask is not installed, or its workers are other than this process.
        SourceError: the scheduler does not answer, or has no worker.
    """
    count = workers.count or min(usable_cores(), most or usable_cores())
    count = max(1, min(count, tasks))
    name = workers.executor or ("processes" if count > 1 else "serial")
    if name == "dask":
        return DaskExecutor(count, panels=panels, workers=workers)
    local = ProcessExecutor if name == "processes" else SerialExecutor
    return local(count, initializer=hold_panels, initargs=(dict(panels),))
