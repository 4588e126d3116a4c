"""Backup and restore: a workspace in one file, and a workspace out of one."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lstmcli import clock
from lstmcli.errors import ConfigError, DataError, DiskError, LstmError, shell_word
from lstmcli.pipeline.plot import check_folder
from lstmcli.store import Workspace
from lstmcli.store.backups import KEPT, KEPT_FILES, SET_ASIDE, STAGING, BackupList, pack, unpack
from lstmcli.store.ledger import NAME as LEDGER
from lstmcli.store.ledger import Ledger
from lstmcli.version import __version__


@dataclass(frozen=True)
class BackedUp:
    """A workspace that was written into a file.

    Attributes:
        size: bytes of the file.
        error: why the ledger does not verify; it is in the file as it is. None: it does.
    """

    path: Path
    size: int
    found: BackupList
    error: LstmError | None


@dataclass(frozen=True)
class Restored:
    """A workspace that came from a file.

    Attributes:
        root: the workspace.
        set_aside: where what was there before lies now; None where nothing was.
        error: why the ledger does not verify; it was so when the backup was made. None: it does.
    """

    root: Path
    found: BackupList
    set_aside: Path | None
    error: LstmError | None


def backup(workspace: Workspace, path: Path, *, force: bool = False) -> BackedUp:
    """Write a workspace into one file, while nothing else works in it.

    Raises:
        ConfigError: the file exists, or its folder does not.
        DiskError: there is no workspace, or a file cannot be read or written.
        LockError: another process works in this workspace.
    """
    check_folder(path)
    if path.is_dir():
        raise ConfigError(
            f"Expected a file. Received a folder: {path}.",
            hint=f"lstm backup {shell_word(str(path / 'forecasts.tar.gz'))}",
        )
    if path.exists() and not force:
        raise ConfigError(
            f"Expected a new file. Received one that exists: {path}.",
            hint="--force replaces it, or choose another name",
        )
    if not _holds_something(workspace.root):
        raise ConfigError(
            f"Expected a workspace with something in it. Received: {workspace.root}.",
            hint="--workspace names another one",
        )
    with workspace.lock():
        head, error = _verified(workspace.ledger)
        found = pack(
            workspace.root,
            path,
            made_at=clock.now(),
            version=__version__,
            head=head,
        )
    return BackedUp(path, path.stat().st_size, found, error)


def restore(workspace: Workspace, path: Path, *, force: bool = False) -> Restored:
    """Fill a workspace from a backup; all of it, or nothing where a byte is wrong.

    What was there is set aside, never deleted. A restore that was interrupted is done again by
    the same command with `force`.

    Raises:
        ConfigError: the workspace holds something, and `force` is not set.
        DataError: the file is no backup, damaged, or of a newer version.
        DiskError: a file cannot be read or written.
        LockError: another process works in this workspace.
    """
    root = workspace.root
    if _holds_something(root) and not force:
        raise ConfigError(
            f"Expected an empty workspace. Received: {root}, which holds "
            f"{' '.join(_held(root)[:3])}.",
            hint="--workspace names another folder; --force sets aside what is there",
        )
    if not path.is_file():
        raise ConfigError(f"Expected a file. Received: {path}.", hint="lstm backup FILE makes one")
    with workspace.lock():
        staging = root / STAGING
        try:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            found = unpack(path, staging)
            head, error = _verified(Ledger(staging / LEDGER))
            if head != found.head:
                error = error or DataError(f"{path}: its ledger ends elsewhere than it says.")
            set_aside = _set_aside(root, clock.now())
            for name in sorted(os.listdir(staging)):
                (staging / name).replace(root / name)
        except OSError as error_of_disk:
            raise DiskError(
                f"{error_of_disk.filename or root}: {error_of_disk.strerror or error_of_disk}. "
                "What was stored is unchanged, or set aside.",
                hint="free some space, or choose a folder that you may write with --workspace",
            ) from error_of_disk
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return Restored(root, found, set_aside, error)


def _verified(ledger: Ledger) -> tuple[str | None, LstmError | None]:
    """Return the head of a ledger, and why it does not verify."""
    if not ledger.exists():
        return None, None
    try:
        return ledger.verify().head, None
    except LstmError as error:
        return None, error


def _held(root: Path) -> list[str]:
    """Return which of the files and folders that a backup holds are there and not empty."""
    return [
        name
        for name in (*KEPT, *KEPT_FILES)
        if (root / name).is_file() or ((root / name).is_dir() and any((root / name).iterdir()))
    ]


def _holds_something(root: Path) -> bool:
    return bool(_held(root))


def _set_aside(root: Path, now: datetime) -> Path | None:
    """Move what the workspace holds into a folder of its own, and return that."""
    held = [name for name in (*KEPT, *KEPT_FILES) if (root / name).exists()]
    # Rows that wait in the log of the ledger belong to it.
    held += [path.name for path in root.glob(f"{LEDGER}-*")]
    if not _holds_something(root):
        for name in held:
            (root / name).rmdir()
        return None
    folder = root / f"{SET_ASIDE}{now:%Y%m%dT%H%M%S}"
    folder.mkdir()
    for name in held:
        (root / name).replace(folder / name)
    return folder
