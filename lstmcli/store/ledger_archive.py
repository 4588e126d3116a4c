"""The numbers of old blocks in a file of their own: what stays, and how they are found again.

A ledger keeps of an archived forecast all but the payload: its columns, its hashes, and with
them the chain. An archive is an SQLite file with the same table `payloads`.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lstmcli.errors import DataError, DiskError, NoDataError
from lstmcli.store.ledger_schema import has_blocks

KIND = 0x6C73746D
"""The `application_id` of an archive: lstm."""

_AT_ONCE = 500


@dataclass(frozen=True)
class Archived:
    """What was moved.

    Attributes:
        forecasts: how many.
        last_block: up to which block.
        size: bytes of the file.
        compact: whether the ledger's file became smaller, for which there must be room.
    """

    forecasts: int
    last_block: int
    size: int
    compact: bool


def move_to_archive(
    connection: sqlite3.Connection, path: Path, file: Path, *, before: str, now: str
) -> Archived:
    """Move the payloads of blocks that were issued before a date into a new file.

    The file is whole and compared with the hashes before anything leaves the ledger.

    Raises:
        NoDataError: no payload is older.
        DiskError: the file is there already, or cannot be written.
    """
    if file.exists():
        raise DiskError(
            f"{file} is there already; an archive replaces nothing.", hint="choose another name"
        )
    connection.execute("BEGIN IMMEDIATE")
    last = connection.execute(
        "SELECT MAX(number) FROM blocks WHERE issued_at < ?", (before,)
    ).fetchone()[0]
    chosen = "first_row IN (SELECT first_row FROM evenings WHERE block <= ?)"
    count = connection.execute(
        f"SELECT COUNT(*) FROM payloads WHERE {chosen}", (last or 0,)
    ).fetchone()[0]
    if not count:
        connection.execute("ROLLBACK")
        raise NoDataError(
            f"{path} holds no numbers of a forecast that was issued before {before}.",
            hint="lstm ledger verify says what it holds",
        )
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        with closing(sqlite3.connect(temporary, isolation_level=None)) as archive:
            archive.execute(f"PRAGMA application_id = {KIND}")
            archive.execute("PRAGMA synchronous = FULL")
            archive.execute("BEGIN")
            archive.execute(
                "CREATE TABLE payloads (first_row INTEGER PRIMARY KEY, payload BLOB NOT NULL)"
            )
            archive.executemany(
                "INSERT INTO payloads VALUES (?, ?)",
                connection.execute(
                    f"SELECT first_row, payload FROM payloads WHERE {chosen}", (last,)
                ),
            )
            archive.execute("COMMIT")
        _compare(connection, temporary, last)
        size = temporary.stat().st_size
        temporary.replace(file)
    except OSError as error:
        raise DiskError(f"{file}: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)
    connection.execute(
        "INSERT INTO archives (last_block, file, archived_at) VALUES (?, ?, ?)",
        (last, str(file.resolve()), now),
    )
    connection.execute(f"DELETE FROM payloads WHERE {chosen}", (last,))
    connection.execute("COMMIT")
    return Archived(int(count), int(last), size, _compact(connection))


def _compact(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        return False
    return True


def archived_payloads(
    connection: sqlite3.Connection, path: Path, rows: Sequence[int]
) -> dict[int, bytes]:
    """Return the payloads of forecasts that are in archives, by the number of their first row.

    Raises:
        DataError: an archive is not there, or does not hold what was put into it.
    """
    found: dict[int, bytes] = {}
    missing = []
    for name, file in archives(connection, path):
        if file is None:
            missing.append(name)
            continue
        with _opened(file) as archive:
            for start in range(0, len(rows), _AT_ONCE):
                some = rows[start : start + _AT_ONCE]
                marks = ", ".join("?" * len(some))
                found |= archive.execute(
                    f"SELECT first_row, payload FROM payloads WHERE first_row IN ({marks})", some
                )
    absent = [row for row in rows if row not in found]
    if absent:
        where = f", which {'is' if len(missing) == 1 else 'are'} not there" if missing else ""
        raise DataError(
            f"{path}: the numbers of {len(absent):,} forecast{'s' * (len(absent) > 1)} are in an "
            "archive: "
            f"{' '.join(missing) or 'an unknown file'}{where}.",
            hint=f"put the file into {path.parent.resolve()}",
        )
    for row in rows:
        stated = connection.execute(
            "SELECT payload_sha FROM evenings WHERE first_row = ?", (row,)
        ).fetchone()[0]
        if hashlib.sha256(found[row]).digest() != stated:
            raise DataError(
                f"{path}: an archive holds other numbers of row {row} than were issued.",
                hint="look for another copy of the archive",
            )
    return found


def archives(connection: sqlite3.Connection, path: Path) -> Iterator[tuple[str, Path | None]]:
    """Yield the name of each archive and where it is: as it was written, or beside the ledger."""
    if not has_blocks(connection):
        return
    for (text,) in connection.execute("SELECT file FROM archives ORDER BY number"):
        written = Path(text)
        places = (path.parent / written.name, written)
        yield written.name, next((place for place in places if place.is_file()), None)


def last_archived(connection: sqlite3.Connection) -> int:
    """Return the last block whose numbers are in an archive; 0 where there is none."""
    return int(connection.execute("SELECT MAX(last_block) FROM archives").fetchone()[0] or 0)


def _compare(connection: sqlite3.Connection, file: Path, last: int) -> None:
    """Check that a new archive holds what the ledger has, as it was issued."""
    stated = connection.execute(
        "SELECT first_row, payload_sha FROM evenings JOIN payloads USING (first_row) "
        "WHERE block <= ? ORDER BY first_row",
        (last,),
    )
    with _opened(file) as archive:
        kept = archive.execute("SELECT first_row, payload FROM payloads ORDER BY first_row")
        for (first_row, digest), (number, payload) in zip(stated, kept, strict=True):
            if number != first_row or hashlib.sha256(payload).digest() != digest:
                raise DataError(
                    f"The numbers of row {first_row} were changed; nothing is moved.",
                    hint="lstm ledger verify",
                )


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """Open an archive to be read.

    Raises:
        DataError: it is none, or it is damaged.
    """
    try:
        address = f"{file.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as archive:
            if archive.execute("PRAGMA application_id").fetchone()[0] != KIND:
                raise DataError(f"{file} is no archive of a ledger.")
            yield archive
    except sqlite3.Error as error:
        raise DataError(
            f"{file} is damaged ({error}).", hint="look for another copy of the archive"
        ) from error
