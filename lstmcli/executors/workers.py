"""Where tasks run, as a user has asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lstmcli.errors import ConfigError

EXECUTORS = ("serial", "processes", "dask")
"""In this process; in several of this machine; on a dask cluster, or one of this machine."""

_ADDRESS = re.compile(r"(?P<scheme>tcp|tls)://(?P<host>[^/\s]+):\d{1,5}")
_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|\[::1\]")


@dataclass(frozen=True)
class Workers:
    """How many tasks run at a time, and where.

    It belongs to the machine and not to the config: the digits do not depend on it.

    Attributes:
        count: tasks at a time; None: one per core, or all that the scheduler has.
        executor: one of `EXECUTORS`; None: `serial` for one task at a time, else `processes`.
        scheduler: the address of a dask scheduler that runs already; None: dask starts one here.

    Raises:
        ConfigError: they do not go together.
    """

    count: int | None = None
    executor: str | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.executor not in (None, *EXECUTORS):
            raise ConfigError(
                f"Expected --executor {', '.join(EXECUTORS)}. Received: {self.executor}."
            )
        if self.executor == "serial" and (self.count or 1) > 1:
            raise ConfigError(
                f"Expected --executor serial without --workers {self.count}: it runs one task "
                "after the other.",
                hint=f"--executor processes --workers {self.count}",
            )
        if self.scheduler is None:
            return
        if self.executor != "dask":
            raise ConfigError(
                "Expected --scheduler with --executor dask. "
                f"Received: {f'--executor {self.executor}' if self.executor else 'no --executor'}.",
                hint=f"--executor dask --scheduler {self.scheduler}",
            )
        if not _ADDRESS.fullmatch(self.scheduler):
            raise ConfigError(
                f"Expected --scheduler as tcp://HOST:PORT or tls://HOST:PORT. "
                f"Received: {self.scheduler}.",
                hint="dask scheduler prints its address when it starts, "
                "such as tcp://127.0.0.1:8786",
            )
        if self.count is not None:
            raise ConfigError(
                f"Expected --scheduler without --workers {self.count}: the scheduler has its own.",
                hint="start as many as you want: dask worker ADDRESS --nworkers 4 --nthreads 1",
            )

    @property
    def exposed(self) -> bool:
        """Whether others can reach the scheduler without a certificate."""
        address = None if self.scheduler is None else _ADDRESS.fullmatch(self.scheduler)
        if address is None or address["scheme"] == "tls":
            return False
        return not _LOOPBACK.fullmatch(address["host"])


HERE = Workers()
"""The user has said nothing: a single task then runs in this process."""
