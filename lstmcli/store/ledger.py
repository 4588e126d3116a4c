"""Every forecast that was issued, in SQLite: append-only and hash-chained.

One row per ticker, origin, step, run and recipe. Triggers refuse to change or
delete a row; each row's hash covers its content and the hash before it, so that
`verify` names what somebody changed all the same. Any SQLite reader may open the
file: quantiles and intervals are log returns from `made_on`, dates are ISO.

Outcomes are not in it: they are computed from the bars whenever they are asked for.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from lstmcli import __version__
from lstmcli.errors import DataError, DiskError, LockError, LstmError
from lstmcli.frames import INTERVAL_COLUMNS, QUANTILE_COLUMNS

NAME = "ledger.sqlite"
GENESIS = "0" * 64
"""What stands before the first row."""

PATIENCE = 30.0
"""Seconds to wait for another writer: one writes for milliseconds."""

CLOCK_SLIP = timedelta(minutes=10)
"""How far a clock may be set back between two rows, as time servers do."""

_KEYS = ("ticker", "made_on", "step", "run", "recipe")
_NUMBERS = ("last_close", "sigma", *QUANTILE_COLUMNS, *INTERVAL_COLUMNS)
_PROOFS = ("bars_sha", "config_sha", "version")
COLUMNS = (*_KEYS, "target_on", "issued_at", *_NUMBERS, *_PROOFS)
"""What a row's hash covers, in this order, after the hash before it."""

_MIGRATIONS = (
    f"""
    CREATE TABLE forecasts (
        id INTEGER PRIMARY KEY,
        ticker TEXT NOT NULL,
        made_on TEXT NOT NULL,
        step INTEGER NOT NULL,
        run TEXT NOT NULL,
        recipe TEXT NOT NULL,
        target_on TEXT NOT NULL,
        issued_at TEXT NOT NULL,
        {", ".join(f"{name} REAL" for name in _NUMBERS)},
        bars_sha TEXT NOT NULL,
        config_sha TEXT NOT NULL,
        version TEXT NOT NULL,
        previous TEXT NOT NULL,
        hash TEXT NOT NULL UNIQUE,
        UNIQUE (ticker, made_on, step, run, recipe)
    );
    CREATE TRIGGER forecasts_are_not_changed BEFORE UPDATE ON forecasts
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
    CREATE TRIGGER forecasts_are_not_deleted BEFORE DELETE ON forecasts
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
    """,
)
"""What leads from each schema version to the next; the last one is the present."""

SCHEMA = len(_MIGRATIONS)


@dataclass(frozen=True)
class Verified:
    """A chain that holds: how many rows, and the hash of the last."""

    rows: int
    head: str


class Ledger:
    """The ledger of a workspace. Several processes may read and append at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        return self.path.exists()

    def append(
        self,
        forecast: pd.DataFrame,
        *,
        run: str,
        issued_at: datetime,
        bars_sha: str,
        config_sha: str,
    ) -> bool:
        """Append the forecasts of one ticker from one origin, all or none of them.

        Returns:
            Whether they were appended: False where this run has forecast that
            ticker from that origin before.

        Raises:
            DataError: the ledger is damaged, of a newer version, or issued its last
                row later than the clock says it is now.
            DiskError: no space, or not writable; nothing was appended.
            LockError: another process kept it busy.
        """
        rows = _rows(forecast, run, issued_at, bars_sha, config_sha)
        with self._open(write=True) as connection:
            connection.execute("BEGIN IMMEDIATE")
            known = connection.execute(
                "SELECT 1 FROM forecasts WHERE ticker = ? AND made_on = ? AND run = ? LIMIT 1",
                (rows[0][0], rows[0][1], run),
            ).fetchone()
            if known:
                connection.execute("ROLLBACK")
                return False
            last = connection.execute(
                "SELECT hash, issued_at FROM forecasts ORDER BY id DESC LIMIT 1"
            ).fetchone()
            previous, before = last or (GENESIS, _time(issued_at))
            if issued_at < datetime.fromisoformat(before) - CLOCK_SLIP:
                connection.execute("ROLLBACK")
                raise DataError(
                    f"{self.path}: its last forecast was issued at {before}, and the clock says "
                    f"{_time(issued_at)}: nothing is issued in the past.",
                    hint="set the clock right (LSTM_NOW, or the machine's)",
                )
            for row in rows:
                digest = _hash(previous, row)
                connection.execute(_INSERT, (*row, previous, digest))
                previous = digest
            connection.execute("COMMIT")
        return True

    def has(self, ticker: str, made_on: pd.Timestamp, run: str) -> bool:
        """Return whether the run has forecast the ticker from that origin."""
        if not self.exists():
            return False
        with self._open() as connection:
            found = connection.execute(
                "SELECT 1 FROM forecasts WHERE ticker = ? AND made_on = ? AND run = ? LIMIT 1",
                (ticker, f"{made_on:%Y-%m-%d}", run),
            ).fetchone()
        return found is not None

    def read(self, ticker: str | None = None) -> pd.DataFrame:
        """Return issued forecasts in the order in which they were issued.

        A Forecast with `run`, `issued_at` (UTC), the hashes and `id`. Of a ledger that
        does not exist: no rows.
        """
        columns = ("id", *COLUMNS, "previous", "hash")
        if not self.exists():
            return _typed(pd.DataFrame(columns=list(columns)))
        where, values = ("WHERE ticker = ?", (ticker,)) if ticker else ("", ())
        with self._open() as connection:
            found = connection.execute(
                f"SELECT {', '.join(columns)} FROM forecasts {where} ORDER BY id", values
            ).fetchall()
        return _typed(pd.DataFrame(found, columns=list(columns)))

    def head(self) -> str:
        """Return the hash of the last row, which stands for all of them."""
        if not self.exists():
            return GENESIS
        with self._open() as connection:
            last = connection.execute(
                "SELECT hash FROM forecasts ORDER BY id DESC LIMIT 1"
            ).fetchone()
        return last[0] if last else GENESIS

    def verify(self, *, holds: str | None = None) -> Verified:
        """Compute every hash again.

        Args:
            holds: a head that was noted earlier and must be part of the chain; without
                one, rows missing from the end cannot be told.

        Raises:
            DataError: a row was changed, is missing or stands where it should not; or
                the file is damaged. The first such row is named.
        """
        if not self.exists():
            return Verified(0, GENESIS)
        previous, count, held = GENESIS, 0, holds in (None, GENESIS)
        with self._open() as connection:
            broken = connection.execute("PRAGMA integrity_check").fetchone()[0]
            if broken != "ok":
                raise _damaged(self.path, broken)
            rows = connection.execute(
                f"SELECT id, previous, hash, {', '.join(COLUMNS)} FROM forecasts ORDER BY id"
            )
            for number, stated, digest, *row in rows:
                count += 1
                where = " ".join(str(value) for value in row[: len(_KEYS)])
                if number != count or stated != previous:
                    raise self._tampered(f"row {number} ({where}) does not follow row {count - 1}")
                if _hash(previous, tuple(row)) != digest:
                    raise self._tampered(f"row {number} ({where}) was changed")
                previous = digest
                held = held or digest == holds
        if not held:
            raise self._tampered(f"no row has the hash {holds}: rows are missing from the end")
        return Verified(count, previous)

    def _tampered(self, what: str) -> DataError:
        return DataError(f"{self.path}: {what}.", hint=_RECOVERY.format(name=self.path.name))

    @contextmanager
    def _open(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """Open the ledger in its present schema; errors of SQLite come out as ours."""
        connection = None
        try:
            if write:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
            try:
                version = connection.execute(_VERSION).fetchone()[0]
            except sqlite3.Error as error:
                if write or _code(error) not in _DISK or self._has_wal():
                    raise
                # Where no file can be made beside it, it can still be read.
                connection.close()
                address = f"{self.path.resolve().as_uri()}?immutable=1"
                connection = sqlite3.connect(address, uri=True, isolation_level=None)
                version = connection.execute(_VERSION).fetchone()[0]
            if version > SCHEMA:
                raise DataError(
                    f"{self.path}: Expected a ledger of version {SCHEMA} or older. "
                    f"Received: version {version}.",
                    hint="use the newer lstm that wrote it",
                )
            if version < SCHEMA:
                self._migrate(connection)
            connection.execute("PRAGMA synchronous = FULL")
            yield connection
        except LstmError:
            raise
        except sqlite3.Error as error:
            raise self._translated(error) from error
        except OSError as error:
            raise DiskError(f"{self.path}: {error.strerror or error}.") from error
        finally:
            if connection is not None:
                connection.close()

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        # Another process may have been faster.
        version = connection.execute(_VERSION).fetchone()[0]
        if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise _damaged(self.path, "it is a database of something else")
        for script in _MIGRATIONS[version:]:
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
        connection.execute("COMMIT")

    def _has_wal(self) -> bool:
        """Return whether rows wait in a log beside the file."""
        log = self.path.with_name(f"{self.path.name}-wal")
        return log.exists() and log.stat().st_size > 0

    def _translated(self, error: sqlite3.Error) -> LstmError:
        primary = _code(error)
        if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return LockError(
                f"{self.path} is in use by another process.", hint="wait until it has finished"
            )
        if primary in _DISK:
            return DiskError(
                f"{self.path}: cannot be written: {error}. What was stored is unchanged.",
                hint="free some space, or choose a folder that you may write with --workspace",
            )
        return _damaged(self.path, str(error))


def _code(error: sqlite3.Error) -> int | None:
    """Return SQLite's primary result code."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


_VERSION = "PRAGMA user_version"

_DISK = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
}

_INSERT = (
    f"INSERT INTO forecasts ({', '.join(COLUMNS)}, previous, hash) "
    f"VALUES ({', '.join('?' * (len(COLUMNS) + 2))})"
)

_RECOVERY = (
    "keep a copy of {name}; sqlite3 {name} .recover | sqlite3 recovered.sqlite saves what can be "
    "read; then move {name} away: lstm daily starts a new one"
)


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(f"{path} is damaged ({reason}).", hint=_RECOVERY.format(name=path.name))


def _statements(script: str) -> Iterator[str]:
    """Cut a script into statements; a trigger holds semicolons of its own."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _rows(
    forecast: pd.DataFrame, run: str, issued_at: datetime, bars_sha: str, config_sha: str
) -> list[tuple]:
    """Return the values of `COLUMNS`, row by row, as SQLite and JSON take them."""
    if not len(forecast) or forecast[["ticker", "made_on"]].drop_duplicates().shape[0] != 1:
        raise ValueError("Expected the forecasts of one ticker from one origin.")
    numbers = forecast.reindex(columns=list(_NUMBERS)).to_numpy(float)
    needed = numbers[:, : len(_NUMBERS) - len(INTERVAL_COLUMNS)]
    if not np.isfinite(needed).all():
        raise DataError("A forecast holds a number that is not finite; it is not issued.")
    rows = []
    for row, values in zip(forecast.itertuples(index=False), numbers, strict=True):
        rows.append(
            (
                str(row.ticker),
                f"{row.made_on:%Y-%m-%d}",
                int(row.step),
                run,
                str(row.recipe),
                f"{row.target_on:%Y-%m-%d}",
                _time(issued_at),
                # A recipe without intervals of its own has none here either.
                *(float(value) if np.isfinite(value) else None for value in values),
                bars_sha,
                config_sha,
                __version__,
            )
        )
    return rows


def _hash(previous: str, row: tuple) -> str:
    """Return the SHA-256 of a JSON list: the hash before, then the row's values.

    Without spaces; numbers in the fewest digits that give them back.
    """
    text = json.dumps([previous, *row], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.astype({name: float for name in _NUMBERS})
    for name in ("made_on", "target_on"):
        rows[name] = pd.to_datetime(rows[name], format="%Y-%m-%d").astype("datetime64[ns]")
    rows["issued_at"] = pd.to_datetime(rows["issued_at"], utc=True).astype("datetime64[ns, UTC]")
    rows["step"] = rows["step"].astype(int)
    return rows
