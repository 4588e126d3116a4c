"""A lease on a folder, where the locks of the operating system do not reach.

On a network disk they often do nothing between two machines. The lease is a file that only
one process can make. Its holder touches it now and then; a process that finds it untouched
for `EXPIRES_AFTER` takes it over. All ages are by the clock of the file server, which stamps
the files: the clocks of two machines may differ.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lstmcli.errors import LockError

NAME = ".lock-holder"
_TAKEOVER = ".lock-takeover"

RENEWED_EVERY = 20.0
"""Seconds after which the holder touches its lease again."""

EXPIRES_AFTER = 120.0
"""Seconds without a touch after which the holder counts as gone."""

_held: dict[Path, Lease] = {}
"""What this process holds, by folder."""


@dataclass(frozen=True)
class Holder:
    """Who holds a folder.

    Attributes:
        machine: the kernel that runs the process, as far as it can be told: two machines may
            have one host name.
    """

    host: str
    pid: int
    machine: str
    token: str

    @classmethod
    def this_process(cls) -> Holder:
        """Return this process, as the holder of one lease."""
        return cls(socket.gethostname(), os.getpid(), _machine(), secrets.token_hex(8))

    @property
    def is_here(self) -> bool:
        """Return whether the process ran on this machine."""
        return (self.host, self.machine) == (socket.gethostname(), _machine())

    @property
    def is_gone(self) -> bool:
        """Return whether the process ran on this machine and has ended."""
        if not self.is_here:
            return False
        if self.pid == os.getpid():
            return True  # of this process there is one lease a folder: its number was used before
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            pass  # of another user
        return False

    def __str__(self) -> str:
        return f"process {self.pid}" if self.is_here else f"process {self.pid} on {self.host}"


class Lease:
    """A lease that this process holds; a thread renews it."""

    def __init__(self, folder: Path, holder: Holder) -> None:
        self.folder = folder
        self.holder = holder
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name="lease")
        self._thread.start()
        _held[folder] = self

    def check(self) -> None:
        """Check that no other process has taken the lease over.

        Raises:
            LockError: one has, as after a suspension of this machine.
        """
        now = holder_of(self.folder)
        if now is None or now.token != self.holder.token:
            raise LockError(
                f"{self.folder} was taken over by {now or 'another process'}: this one had not "
                f"renewed its lease for {EXPIRES_AFTER:g} seconds. It writes nothing more.",
                hint="the same command again, when the other one has finished",
            )

    def release(self) -> None:
        """End the lease; nothing happens where another process has it."""
        self._ended.set()
        _held.pop(self.folder, None)
        now = holder_of(self.folder)
        if now is not None and now.token == self.holder.token:
            with suppress(OSError):
                (self.folder / NAME).unlink()

    def _renew(self) -> None:
        while not self._ended.wait(RENEWED_EVERY):
            now = holder_of(self.folder)
            if now is not None and now.token == self.holder.token:
                with suppress(OSError):  # a network that is down for a moment
                    os.utime(self.folder / NAME)


def check_leases() -> None:
    """Check that this process still has what it holds, before it writes.

    Raises:
        LockError: another process has taken it over.
    """
    for lease in list(_held.values()):
        lease.check()


def forget(folder: Path) -> None:
    """End a lease whose folder needs none any more."""
    if folder in _held:
        _held[folder].release()


def take(folder: Path) -> Lease | None:
    """Take the lease of a folder; None where another process has it.

    Raises:
        OSError: the folder cannot be written.
    """
    holder = Holder.this_process()
    content = json.dumps(vars(holder)).encode()
    if _make(folder / NAME, content) or _take_over(folder, content):
        return Lease(folder, holder)
    return None


def holder_of(folder: Path) -> Holder | None:
    """Return who holds a folder; None where that cannot be read."""
    try:
        return Holder(**json.loads((folder / NAME).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _take_over(folder: Path, content: bytes) -> bool:
    """Replace the lease of a holder that is gone; return whether that was done.

    Only who makes the file beside it may do so, and looks once more: of two that find the
    same lease expired, the later one finds the lease of the earlier one.
    """
    if not _is_free(folder, now=None):
        return False
    takeover = folder / _TAKEOVER
    if not _make(takeover, content):
        with suppress(OSError):
            if _age(takeover, _now(folder)) > EXPIRES_AFTER:
                takeover.unlink()  # of a process that was killed here
        return False
    try:
        if not _is_free(folder, now=takeover.stat().st_mtime):
            return False
        takeover.replace(folder / NAME)
        return True
    finally:
        takeover.unlink(missing_ok=True)


def _is_free(folder: Path, *, now: float | None) -> bool:
    """Return whether the holder of a folder is gone.

    Args:
        now: the file server's time; None asks for it.
    """
    path, holder = folder / NAME, holder_of(folder)
    if holder is not None and holder.is_gone:
        return True
    try:
        if holder is None and path.read_bytes().isdigit():
            return True  # of an older version, which left its number and held another lock
        return _age(path, _now(folder) if now is None else now) > EXPIRES_AFTER
    except FileNotFoundError:
        return True


def _age(path: Path, now: float) -> float:
    """Return how far a file's stamp is from a time, also where a clock was set back."""
    return abs(now - path.stat().st_mtime)


def _now(folder: Path) -> float:
    """Return the time of the file server: what it stamps a new file with."""
    probe = folder / f"{_TAKEOVER}.{secrets.token_hex(8)}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _make(path: Path, content: bytes) -> bool:
    """Make a file; return False where there is one."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return True


def _machine() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
