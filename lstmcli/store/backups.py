"""A workspace in one file: a gzipped tar with a list of what it holds, and its hashes.

Any tar program opens it. The ledger in it is a copy of one moment. What a command can make
again is left out: charts, pages and caches.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO

from pydantic import ValidationError

from lstmcli.errors import DataError, DiskError
from lstmcli.frames import Section
from lstmcli.store.files import replaced_atomically
from lstmcli.store.ledger import NAME as LEDGER
from lstmcli.store.ledger_database import open_ledger
from lstmcli.store.records import wrong_fields

FORMAT = 1

LIST = "backup.json"
"""The last member: what the others are. A file that was cut short has none."""

KEPT = ("bars", "market", "events", "runs", "backtests", "forecasts", "log")
"""Folders of a workspace that a backup holds."""

KEPT_FILES = (LEDGER, "daily.json", "cron.log", "cron.log.1")

STAGING = ".restore"
"""Where a restore writes the files until all of them are whole."""

SET_ASIDE = "before-restore-"
"""What the folder is called, before its time, into which a restore moves what was there."""

LEVEL = 1
"""Of gzip: bars and networks are compressed already."""

MAX_LIST = 256 * 2**20
"""Bytes of the list, about a million files."""

_CHUNK = 2**20


class KeptFile(Section):
    """One file of a backup."""

    size: int
    sha256: str


class BackupList(Section):
    """What a backup holds.

    Attributes:
        version: of the program that made it.
        head: of the ledger; None where there was none, or it could not be read.
        files: by path below the workspace, with `/`.
    """

    format: int
    made_at: datetime
    version: str
    head: str | None
    files: dict[str, KeptFile]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())


@dataclass(frozen=True)
class _Copied:
    """A file that is written into a backup from elsewhere than where it lies."""

    name: str
    path: Path


def pack(
    root: Path,
    path: Path,
    *,
    made_at: datetime,
    version: str,
    head: str | None,
) -> BackupList:
    """Write a workspace into one file and return the list of what it holds.

    The caller holds the workspace.

    Raises:
        DiskError: a file cannot be read, or the backup not be written; an old one remains.
    """
    files = {}
    with tempfile.TemporaryDirectory() as folder, replaced_atomically(path) as stream:
        wanted = [*_kept(root, apart=path), *_copied_ledger(root, Path(folder))]
        # Without a name and a time in the header, equal content gives equal bytes.
        with (
            gzip.GzipFile("", "wb", compresslevel=LEVEL, fileobj=stream, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            for each in wanted:
                files[each.name] = _add(tar, each)
            found = BackupList(
                format=FORMAT, made_at=made_at, version=version, head=head, files=files
            )
            content = found.model_dump_json(indent=2).encode()
            tar.addfile(_member(LIST, len(content)), io.BytesIO(content))
    return found


def unpack(path: Path, folder: Path) -> BackupList:
    """Write the files of a backup into an empty folder and return the list of them.

    Each is what was written, and nothing else is there.

    Raises:
        DataError: the file is no backup, or damaged, or of a newer version.
        DiskError: it cannot be read, or there is no space.
    """
    seen: dict[str, KeptFile] = {}
    content: bytes | None = None
    try:
        # Streamed: whatever a header says, nothing is read twice or out of order.
        with path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r|gz") as tar:
            for member in tar:
                if content is not None or not member.isreg():
                    raise _damaged(path, "it holds something else than files and their list")
                source = tar.extractfile(member)
                if source is None:
                    raise _damaged(path, f"{member.name} cannot be read")
                if member.name == LIST:
                    content = source.read(MAX_LIST)
                    continue
                if member.name in seen or not _is_kept(member.name):
                    raise _damaged(path, f"{member.name!r} is no file of a workspace")
                seen[member.name] = _written(source, folder / member.name)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, f"it cannot be read: {error}") from error
    except FileNotFoundError as error:
        raise DiskError(f"{path}: there is no such file.") from error
    except OSError as error:
        raise DiskError(f"{error.filename or folder}: {error.strerror or error}.") from error
    if content is None:
        raise _damaged(path, "it is cut short, or something else")
    return _checked(path, content, seen)


def _checked(path: Path, content: bytes, seen: Mapping[str, KeptFile]) -> BackupList:
    """Return the list of a backup, once every file is what it says."""
    try:
        found = BackupList.model_validate_json(content)
    except ValidationError as error:
        raise _damaged(path, f"its list: {wrong_fields(error)}") from error
    if found.format > FORMAT:
        raise DataError(
            f"{path}: Expected a backup of format {FORMAT} or older. Received: {found.format}.",
            hint="use the newer lstm that made it",
        )
    for name in sorted({*found.files} | {*seen}):
        if found.files.get(name) != seen.get(name):
            raise _damaged(path, f"{name} is not what was written")
    return found


def _kept(root: Path, *, apart: Path) -> list[_Copied]:
    """Return the files of a workspace that a backup holds, but the ledger."""
    found = []
    for name in KEPT_FILES:
        if name != LEDGER and (root / name).is_file():
            found.append(_Copied(name, root / name))
    for top in KEPT:
        for folder, folders, names in os.walk(root / top):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                file = Path(folder) / name
                # What begins with a dot is a lock, or half a file that a crash has left.
                if (
                    not name.startswith(".")
                    and file.is_file()
                    and file.resolve() != apart.resolve()
                ):
                    found.append(_Copied(file.relative_to(root).as_posix(), file))
    return found


def _copied_ledger(root: Path, folder: Path) -> Iterator[_Copied]:
    """Copy the ledger as it is at one moment; rows that wait in its log are in the copy."""
    path = root / LEDGER
    if not path.exists():
        return
    copy = folder / LEDGER
    try:
        with open_ledger(path) as source:
            target = sqlite3.connect(copy)
            try:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")
            finally:
                target.close()
    except DataError:
        copy = path  # damaged as it is, others may save its rows
    yield _Copied(LEDGER, copy)


def _add(tar: tarfile.TarFile, file: _Copied) -> KeptFile:
    with file.path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        hashed = _Hashed(stream)
        tar.addfile(_member(file.name, size), hashed)
    return KeptFile(size=size, sha256=hashed.digest.hexdigest())


class _Hashed(io.RawIOBase):
    """A stream that is hashed while it is read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size)
        self.digest.update(content)
        return content


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def _written(source: IO[bytes], path: Path) -> KeptFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as target:
        while content := source.read(_CHUNK):
            target.write(content)
            digest.update(content)
            size += len(content)
        target.flush()
        os.fsync(target.fileno())
    return KeptFile(size=size, sha256=digest.hexdigest())


def _is_kept(name: str) -> bool:
    """Return whether a name is that of a file which a backup may hold."""
    path = PurePosixPath(name)
    plain = path.as_posix() == name and not any(part.startswith(".") for part in path.parts)
    inside = len(path.parts) > 1 and path.parts[0] in KEPT
    return plain and "\\" not in name and (inside or name in KEPT_FILES)


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} is no whole backup: {reason}.", hint="take another copy, or an older backup"
    )
