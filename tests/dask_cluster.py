"""A dask scheduler and workers in processes of their own, as a user would start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).parent
ONE_THREAD = ("--nthreads", "1")


@contextmanager
def _process(
    words: Sequence[str], log: Path, changes: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    paths = [changes.get("first", ""), str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH")]
    environment = {**os.environ, **changes, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words],
            env=environment,
            cwd=log.parent,
            stdout=file,
            stderr=file,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def scheduler(
    folder: Path, *, protocol: str = "tcp", changes: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Start a scheduler and yield its address. It tries a task thrice."""
    found = folder / "scheduler.json"
    found.unlink(missing_ok=True)
    words = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    words += ["--protocol", protocol, "--dashboard-address", "127.0.0.1:0"]
    words += ["--scheduler-file", str(found)]
    settings = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "2", **(changes or {})}
    with _process(words, folder / "scheduler.log", settings) as process:
        end = time.monotonic() + 60
        while not (found.exists() and found.read_text().strip().endswith("}")):
            assert time.monotonic() < end, (folder / "scheduler.log").read_text()
            time.sleep(0.05)
        # With it stands its process, for a test that ends it.
        found.write_text(json.dumps({**json.loads(found.read_text()), "pid": process.pid}))
        yield json.loads(found.read_text())["address"]


@contextmanager
def worker(
    address: str,
    folder: Path,
    *,
    name: str = "worker",
    options: Sequence[str] = ONE_THREAD,
    changes: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker with a nanny, which starts it again when it is killed.

    Args:
        changes: variables; `first` is a folder whose modules go before all others.
    """
    words = ["worker", address, "--no-dashboard", "--name", name, *options]
    words += ["--local-directory", str(folder)]
    with _process(words, folder / f"{name}.log", changes or {}) as process:
        yield process


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Start a scheduler and two workers; yield the scheduler's address."""
    with ExitStack() as opened:
        address = opened.enter_context(scheduler(folder))
        for name in ("one", "two"):
            opened.enter_context(worker(address, folder, name=name))
        yield address
