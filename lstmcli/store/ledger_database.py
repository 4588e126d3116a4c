"""The ledger's SQLite file: opened, brought up to the present schema, its errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lstmcli.errors import DataError, DiskError, LockError, LstmError
from lstmcli.store.lease import check_leases
from lstmcli.store.ledger_schema import MIGRATIONS

PATIENCE = 30.0
"""Seconds to wait for another writer: one writes for milliseconds."""

SCHEMA = len(MIGRATIONS)

_VERSION = "PRAGMA user_version"

# Codes which say that the disk is full, or may not be written or read.
_DISK = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
}


@contextmanager
def open_ledger(path: Path, *, write: bool = False) -> Iterator[sqlite3.Connection]:
    """Open a ledger for the time of a `with`; to be written, brought up to the present schema.

    Raises:
        DataError: it is damaged, of a newer version, or a database of something else.
        DiskError: no space, or not writable.
        LockError: another process kept it busy, or has taken over the workspace.
    """
    connection = None
    try:
        if write:
            check_leases()
            path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        try:
            version = connection.execute(_VERSION).fetchone()[0]
        except sqlite3.Error as error:
            if write or _code(error) not in _DISK or _has_wal(path):
                raise
            # In a folder that may not be written, the file can still be read.
            connection.close()
            address = f"{path.resolve().as_uri()}?immutable=1"
            connection = sqlite3.connect(address, uri=True, isolation_level=None)
            version = connection.execute(_VERSION).fetchone()[0]
        if version > SCHEMA:
            raise DataError(
                f"{path}: Expected a ledger of version {SCHEMA} or older. "
                f"Received: version {version}.",
                hint="use the newer lstm that wrote it",
            )
        if version < (SCHEMA if write else 1):  # what is only read stays as it is
            _migrate(path, connection)
        connection.execute("PRAGMA synchronous = FULL")
        yield connection
    except LstmError:
        raise
    except sqlite3.Error as error:
        raise _translated(path, error) from error
    except OSError as error:
        raise DiskError(f"{path}: {error.strerror or error}.") from error
    finally:
        if connection is not None:
            connection.close()


def _migrate(path: Path, connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    # Another process may have done it since the version was read.
    version = connection.execute(_VERSION).fetchone()[0]
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise damaged(path, "it is a database of something else")
    for script in MIGRATIONS[version:]:
        for statement in _statements(script):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA}")
    connection.execute("COMMIT")


def _has_wal(path: Path) -> bool:
    """Return whether rows wait in a log beside the file."""
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def _translated(path: Path, error: sqlite3.Error) -> LstmError:
    primary = _code(error)
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LockError(f"{path} is in use by another process.", hint="wait until it has finished")
    if primary in _DISK:
        return DiskError(
            f"{path}: cannot be written: {error}. What was stored is unchanged.",
            hint="free some space, or choose a folder that you may write with --workspace",
        )
    return damaged(path, str(error))


def _code(error: sqlite3.Error) -> int | None:
    """Return SQLite's primary result code."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def damaged(path: Path, reason: str) -> DataError:
    """Return the error about a damaged ledger; its hint says how to save the rows."""
    return DataError(f"{path} is damaged ({reason}).", hint=recovery(path))


def recovery(path: Path) -> str:
    """Return how to go on with a ledger that is damaged or was changed."""
    name = path.name
    return (
        f"keep a copy of {name}; sqlite3 {name} .recover | sqlite3 recovered.sqlite saves what "
        f"can be read; then move {name} away: lstm daily starts a new one"
    )


def _statements(script: str) -> Iterator[str]:
    """Cut a script into statements, some of which hold semicolons."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
