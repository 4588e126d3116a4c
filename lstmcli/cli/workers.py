"""Options that say where tasks run, the same for every command that has tasks."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lstmcli.executors import Workers


class Name(StrEnum):
    """The executors, by the names that `lstmcli.executors` gives them."""

    SERIAL = "serial"
    PROCESSES = "processes"
    DASK = "dask"


Executor = Annotated[
    Name | None, typer.Option("--executor", help="Else processes, or serial for one worker.")
]
Count = Annotated[int | None, typer.Option("--workers", min=1, help="At a time; else one a core.")]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="ADDRESS", help="Of dask: tcp://… or tls://…, as printed."),
]


def workers_of(count: int | None, executor: Name | None, scheduler: str | None) -> Workers:
    """Return where tasks run.

    Raises:
        ConfigError: the options do not go together.
    """
    from lstmcli.executors.workers import Workers

    return Workers(count, None if executor is None else executor.value, scheduler)
