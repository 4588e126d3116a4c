"""Writing files that are either old or new, never half; names that are safe."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote

from lstmcli.errors import ConfigError, DiskError, NoDataError
from lstmcli.store.lease import check_leases

MAX_TICKER = 32
"""Characters of a ticker that can name a file."""

MAX_FILE_NAME = 120
"""Characters of its file name: file systems take 255, with a run and an ending."""


_DEVICES = {
    "CON",
    "PRN",
    "AUX",
    "NUL",
    *(f"{name}{n}" for name in ("COM", "LPT") for n in "123456789"),
}


def read_content(path: Path, missing: NoDataError) -> bytes:
    """Return the content of a stored file.

    Raises:
        NoDataError: `missing`, if there is no such file.
        DiskError: it may not be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise missing from error
    except OSError as error:
        raise DiskError(
            f"{path}: cannot be read: {error.strerror or error}.",
            hint="choose a folder that you may read with --workspace",
        ) from error


def write_atomically(path: Path, content: bytes, *, flush: bool = True) -> None:
    """Write a file so that a reader sees the old content or the new one.

    Args:
        flush: see `replaced_atomically`.

    Raises:
        DiskError: disk full, quota, no permission, read-only, or no folder.
    """
    with replaced_atomically(path, flush=flush) as stream:
        stream.write(content)


@contextmanager
def replaced_atomically(path: Path, *, flush: bool = True) -> Iterator[BinaryIO]:
    """Open a stream whose content replaces a file once it is whole.

    The content goes to a temporary name in the same folder, is flushed to disk
    and renamed. A failure removes the temporary file.

    Args:
        flush: whether the content must survive a power cut.

    Raises:
        DiskError: disk full, quota, no permission, read-only, or no folder.
        LockError: another process has taken over what this one held; see `lease`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as stream:
                yield stream
                stream.flush()
                if flush:
                    os.fsync(stream.fileno())
            check_leases()
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        if flush:
            _flush_folder(path.parent)
    except OSError as error:
        raise DiskError(
            f"{path}: cannot be written: {error.strerror or error}. What was stored is unchanged.",
            hint="free some space, or choose a folder that you may write with --workspace",
        ) from error


def delete(path: Path) -> None:
    """Delete a file; nothing happens where there is none.

    Raises:
        DiskError: no permission, or read-only.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DiskError(
            f"{path}: cannot be deleted: {error.strerror or error}.",
            hint="choose a folder that you may write with --workspace",
        ) from error


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the file system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_ticker(ticker: str) -> str:
    """Return the ticker as typed, if it can name a file.

    Raises:
        ConfigError: empty, too long, or able to leave the folder.
    """
    reason = None
    if not ticker.strip():
        reason = "it is empty"
    elif any(mark in ticker for mark in ",;|"):
        reason = "it holds a comma or another mark between names"
    elif len(ticker) > MAX_TICKER:
        reason = f"it has {len(ticker)} characters, more than {MAX_TICKER}"
    elif "/" in ticker or "\\" in ticker:
        reason = "it holds a path separator"
    elif ticker[0] in ".-":
        reason = f"it starts with {ticker[0]!r}"
    elif not ticker.isprintable() or ticker != ticker.strip():
        reason = "it holds a character that does not print, or a space at an end"
    elif len(file_name(ticker)) > MAX_FILE_NAME:
        reason = "its letters make a file name that is too long"
    if reason:
        shown = ticker if len(ticker) <= MAX_TICKER else ticker[:MAX_TICKER] + "…"
        raise ConfigError(
            f"Expected a ticker such as MRK, BRK-B, ^GSPC, 7203.T or BTC-USD. "
            f"Received: {shown!r}: {reason}.",
            hint="lstm fetch MRK",
        )
    return ticker


def file_name(ticker: str) -> str:
    """Return the file name of a ticker, without an ending."""
    name = quote(ticker, safe="^=")
    # Devices on Windows, whatever the ending; CON is a ticker of the NYSE.
    return f"%{ord(name[0]):02X}{name[1:]}" if name.upper() in _DEVICES else name


def ticker_of(name: str) -> str:
    """Return the ticker that `file_name` made this name from."""
    return unquote(name)
