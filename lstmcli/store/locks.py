"""One process at a time, on one machine or on several that share a disk.

The lock of the operating system ends with its process. Where it does not reach, on a network
disk, a lease does; see `lease`.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lstmcli.errors import DiskError, LockError
from lstmcli.store import lease
from lstmcli.store.lease import EXPIRES_AFTER, Lease

NAME = ".lock"

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""What a disk answers that has no locks of the operating system."""

_LOOKS_EVERY = 0.2
"""Seconds between two looks at the lease of another process."""


@contextmanager
def hold(folder: Path, *, patience: float, hint: str) -> Iterator[None]:
    """Hold a folder.

    Raises:
        LockError: another process held it for `patience` seconds; with its number, and with
            its host where that is another one.
        DiskError: the folder cannot be written.
    """
    until = time.monotonic() + patience
    path = folder / NAME
    lock = FileLock(path, timeout=patience)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(lock)
        held = _lease(folder, until, hint)
    except Timeout as error:
        raise _in_use(folder, hint) from error
    except OSError as error:
        lock.release()
        raise DiskError(
            f"{path}: cannot be written: {error.strerror or error}.",
            hint="free some space, or choose a folder that you may write with --workspace",
        ) from error
    except BaseException:
        lock.release()
        raise
    try:
        yield
    finally:
        held.release()
        lock.release()


def forget(folder: Path) -> None:
    """Remove what a lock leaves in a folder that needs none any more."""
    lease.forget(folder)
    for name in (NAME, lease.NAME):
        (folder / name).unlink(missing_ok=True)


def _acquire(lock: FileLock) -> None:
    try:
        lock.acquire()
    except OSError as error:
        if isinstance(error, Timeout) or error.errno not in _NO_LOCKS:
            raise


def _lease(folder: Path, until: float, hint: str) -> Lease:
    while True:
        held = lease.take(folder)
        if held is not None:
            return held
        if time.monotonic() >= until:
            raise _in_use(folder, hint)
        time.sleep(_LOOKS_EVERY)


def _in_use(folder: Path, hint: str) -> LockError:
    holder = lease.holder_of(folder)
    if holder is not None and not holder.is_here:
        hint += (
            f"; if {holder.host} is off, the folder is free {EXPIRES_AFTER / 60:g} minutes later"
        )
    return LockError(f"{folder} is in use by {holder or 'another process'}.", hint=hint)
