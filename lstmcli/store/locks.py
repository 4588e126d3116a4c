"""One process at a time; the operating system releases a lock when its process ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lstmcli.errors import DiskError, LockError

NAME = ".lock"
_HOLDER = ".lock-holder"


@contextmanager
def hold(folder: Path, *, patience: float, hint: str) -> Iterator[None]:
    """Hold a folder.

    Raises:
        LockError: another process held it for `patience` seconds; with its number.
        DiskError: the folder cannot be written.
    """
    path = folder / NAME
    lock = FileLock(path, timeout=patience)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        (folder / _HOLDER).write_text(str(os.getpid()))
    except Timeout as error:
        raise LockError(f"{folder} is in use by process {_holder(folder)}.", hint=hint) from error
    except OSError as error:
        lock.release()
        raise DiskError(
            f"{path}: cannot be written: {error.strerror or error}.",
            hint="choose a folder that you may write with --workspace",
        ) from error
    try:
        yield
    finally:
        lock.release()


def forget(folder: Path) -> None:
    """Remove what a lock leaves in a folder that needs none any more."""
    for name in (NAME, _HOLDER):
        (folder / name).unlink(missing_ok=True)


def _holder(folder: Path) -> str:
    try:
        return (folder / _HOLDER).read_text() or "?"
    except OSError:
        return "?"
