"""Every forecast that was issued, in SQLite: append-only and hash-chained.

There is one row per ticker, origin, step, run and recipe. Triggers refuse to change
or delete a row. Each row's hash covers its content and the hash of the row before:
where somebody has removed the triggers and changed a row, `verify` names it. Any
SQLite reader can open the file: quantiles and intervals are log returns from
`made_on`, dates are ISO.

The ledger holds no outcomes. They are computed from the bars when they are asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from lstmcli.errors import DataError
from lstmcli.frames import INTERVAL_COLUMNS
from lstmcli.store import recipe_names
from lstmcli.store.ledger_database import (
    COLUMNS,
    KEYS,
    NOT_KNOWN,
    NUMBERS,
    REPORT,
    columns_of,
    damaged,
    open_ledger,
    recovery,
)
from lstmcli.version import __version__

NAME = "ledger.sqlite"
GENESIS = "0" * 64
"""The hash before the first row."""

CLOCK_SLIP = timedelta(minutes=10)
"""How far a clock may be set back between two rows, as time servers do."""


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
        report: Sequence[str] | None = None,
    ) -> bool:
        """Append the forecasts of one ticker from one origin, all or none of them.

        Args:
            report: what was known of the ticker's next report: session (ISO), timing, status
                and source. Empty: nothing. None: nobody looked.

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
        rows = [(*row, *_report(report)) for row in rows]
        with open_ledger(self.path, write=True) as connection:
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
        with open_ledger(self.path) as connection:
            found = connection.execute(
                "SELECT 1 FROM forecasts WHERE ticker = ? AND made_on = ? AND run = ? LIMIT 1",
                (ticker, f"{made_on:%Y-%m-%d}", run),
            ).fetchone()
        return found is not None

    def read(self, ticker: str | None = None) -> pd.DataFrame:
        """Return issued forecasts in the order in which they were issued.

        A Forecast with `run`, `issued_at` (UTC), the hashes and `id`. It has no rows
        where the ledger does not exist.
        """
        if not self.exists():
            return _nothing()
        where, values = ("WHERE ticker = ?", (ticker,)) if ticker else ("", ())
        with open_ledger(self.path) as connection:
            found = connection.execute(
                f"SELECT id, {columns_of(connection)}, previous, hash FROM forecasts {where} "
                "ORDER BY id",
                values,
            ).fetchall()
        return _typed(pd.DataFrame(found, columns=list(_READ)))

    def last_before(self, ticker: str, made_on: pd.Timestamp) -> pd.DataFrame:
        """Return the rows of one session ahead from the newest origin before a session.

        Of all runs and recipes, in the order of `read`; no rows where there is none.
        """
        found: list[tuple] = []
        if self.exists():
            with open_ledger(self.path) as connection:
                found = connection.execute(
                    f"SELECT id, {columns_of(connection)}, previous, hash FROM forecasts "
                    "WHERE ticker = ? AND step = 1 AND made_on = "
                    "(SELECT MAX(made_on) FROM forecasts WHERE ticker = ? AND made_on < ?) "
                    "ORDER BY id",
                    (ticker, ticker, f"{made_on:%Y-%m-%d}"),
                ).fetchall()
        return _typed(pd.DataFrame(found, columns=list(_READ))) if found else _nothing()

    def head(self) -> str:
        """Return the hash of the last row, which stands for all of them."""
        if not self.exists():
            return GENESIS
        with open_ledger(self.path) as connection:
            last = connection.execute(
                "SELECT hash FROM forecasts ORDER BY id DESC LIMIT 1"
            ).fetchone()
        return last[0] if last else GENESIS

    def verify(self, *, holds: str | None = None) -> Verified:
        """Compute every hash again.

        Args:
            holds: a head that was noted earlier and must be part of the chain. Without
                one, nobody can see that rows are missing from the end.

        Raises:
            DataError: a row was changed, is missing or is in the wrong place, and is
                named; or the file is damaged.
        """
        if not self.exists():
            return Verified(0, GENESIS)
        previous, count, held = GENESIS, 0, holds in (None, GENESIS)
        with open_ledger(self.path) as connection:
            broken = connection.execute("PRAGMA integrity_check").fetchone()[0]
            if broken != "ok":
                raise damaged(self.path, broken)
            rows = connection.execute(
                f"SELECT id, previous, hash, {columns_of(connection)} FROM forecasts ORDER BY id"
            )
            for number, stated, digest, *row in rows:
                count += 1
                where = " ".join(str(value) for value in row[: len(KEYS)])
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
        return DataError(f"{self.path}: {what}.", hint=recovery(self.path))


_WRITTEN = (*COLUMNS, *REPORT)

_READ = ("id", *_WRITTEN, "previous", "hash")

_INSERT = (
    f"INSERT INTO forecasts ({', '.join(_WRITTEN)}, previous, hash) "
    f"VALUES ({', '.join('?' * (len(_WRITTEN) + 2))})"
)


def _report(known: Sequence[str] | None) -> tuple[str | None, ...]:
    """Return the values of `REPORT`."""
    if known is None:
        return (None,) * len(REPORT)
    return tuple(known) if known else (None, None, NOT_KNOWN, None)


def _rows(
    forecast: pd.DataFrame, run: str, issued_at: datetime, bars_sha: str, config_sha: str
) -> list[tuple]:
    """Return the values of `COLUMNS`, row by row, as SQLite and JSON take them."""
    if not len(forecast) or forecast[["ticker", "made_on"]].drop_duplicates().shape[0] != 1:
        raise ValueError("Expected the forecasts of one ticker from one origin.")
    # SQLite gives −0.0 back as 0.0, and the hash tells them apart: plus zero makes it 0.0.
    numbers = forecast.reindex(columns=list(NUMBERS)).to_numpy(float) + 0.0
    needed = numbers[:, : len(NUMBERS) - len(INTERVAL_COLUMNS)]
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
                recipe_names.encode(str(row.recipe), calibrated=bool(row.calibrated)),
                f"{row.target_on:%Y-%m-%d}",
                _time(issued_at),
                # Only calibrated recipes have intervals.
                *(float(value) if np.isfinite(value) else None for value in values),
                bars_sha,
                config_sha,
                __version__,
            )
        )
    return rows


def _hash(previous: str, row: tuple) -> str:
    """Return the SHA-256 of a JSON list: the hash before, then the row's values.

    A row that says nothing of a report is hashed without `REPORT`, as all rows once were.
    The list has no spaces. A number has the fewest digits from which it can be read back.
    """
    said = row if any(value is not None for value in row[len(COLUMNS) :]) else row[: len(COLUMNS)]
    text = json.dumps([previous, *said], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


@cache
def _nothing() -> pd.DataFrame:
    return _typed(pd.DataFrame(columns=list(_READ)))


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    rows = recipe_names.decode(rows)
    rows = rows.astype({name: float for name in NUMBERS})
    for name in ("made_on", "target_on", "report_session"):
        rows[name] = pd.to_datetime(rows[name], format="%Y-%m-%d").astype("datetime64[ns]")
    rows["issued_at"] = pd.to_datetime(rows["issued_at"], utc=True).astype("datetime64[ns, UTC]")
    rows["step"] = rows["step"].astype(int)
    for name in REPORT[1:]:  # texts, and None where a row has none
        rows[name] = rows[name].astype(object).where(rows[name].notna(), None)
    return rows
