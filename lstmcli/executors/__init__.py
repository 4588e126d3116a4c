"""Executors: they run tasks here, or in several processes.

An executor is one of `concurrent.futures`. Another one is added in three steps: a
subclass of `TaskExecutor` in a file of its own, a line in `EXECUTORS`, a name in the
tests. It may run tasks on another machine: tasks, panels and results are values that can
be pickled, and no task needs a disk or a clock.
"""

from __future__ import annotations

from collections.abc import Mapping

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
from lstmcli.panel import Panel

__all__ = ["EXECUTORS", "Done", "Failure", "Task", "open_executor", "run_tasks", "task_error"]

EXECUTORS: dict[str, type[TaskExecutor]] = {
    "serial": SerialExecutor,
    "processes": ProcessExecutor,
}


def open_executor(
    workers: int, *, panels: Mapping[str, Panel], name: str | None = None
) -> TaskExecutor:
    """Return an executor whose workers hold some panels.

    Use it in a `with` statement: its workers end there.

    Args:
        workers: how many tasks are run at a time.
        panels: by hash; each worker receives them once.
        name: a key of `EXECUTORS`; else `serial` for one worker, `processes` for more.
    """
    name = name or ("processes" if workers > 1 else "serial")
    return EXECUTORS[name](workers, initializer=hold_panels, initargs=(dict(panels),))
