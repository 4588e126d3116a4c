"""Every forecast that was issued, in SQLite: append-only and hash-chained.

Forecasts that are issued together are a block: one transaction, with a Merkle root over
them and a hash over that root and the hash of the block before. Each ticker of an evening
is one row of `evenings`, with the numbers that people ask for as columns; all numbers are
packed beside it, see `ledger_payload`. What versions before 0.3 issued stays as they
wrote it, one row of `forecasts` per ticker, origin, step, run and recipe, each hash over
the row and the hash before; the last of them is the hash before the first block. Triggers
refuse to change or delete anything. Where somebody has removed them and changed
something, `verify` names it. Any SQLite reader can open the file: quantiles and intervals
are log returns from `made_on`, dates are ISO.

The ledger holds no outcomes. They are computed from the bars when they are asked for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd

from lstmcli.errors import DataError, NoDataError
from lstmcli.store.ledger_archive import Archived, move_to_archive
from lstmcli.store.ledger_blocks import Packed, append_block, last_hash, pack_issued
from lstmcli.store.ledger_database import open_ledger
from lstmcli.store.ledger_query import (
    Where,
    end_of_block,
    end_of_rows,
    hash_at,
    is_issued,
    last_issue,
    newest_origins,
    next_end,
    no_rows,
    read_where,
    tables,
)
from lstmcli.store.ledger_schema import GENESIS, has_blocks
from lstmcli.store.ledger_verify import Verified, verify

__all__ = ["GENESIS", "NAME", "Issued", "Ledger", "Verified"]

NAME = "ledger.sqlite"

Position = tuple[int, str]
"""Where a reader of the ledger stands: the `id` and the `hash` of the last row that it has read."""

START: Position = (0, GENESIS)

CLOCK_SLIP = timedelta(minutes=10)
"""How far a clock may be set back between two blocks, as time servers do."""


@dataclass(frozen=True)
class Issued:
    """A forecast to be issued.

    Attributes:
        forecast: the rows of one ticker from one origin, of all recipes.
        run: the run that made it.
        bars_sha: the hash of the bars that it read.
        config_sha: the hash of the run's config.
        report: what was known of the ticker's next report: session (ISO), timing, status
            and source. Empty: nothing. None: nobody looked.
    """

    forecast: pd.DataFrame
    run: str
    bars_sha: str
    config_sha: str
    report: Sequence[str] | None = None


class Ledger:
    """The ledger of a workspace. Several processes may read and append at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        return self.path.exists()

    def append_all(self, issued: Sequence[Issued], *, issued_at: datetime) -> list[bool]:
        """Append forecasts in one block, all or none of those that are new.

        Returns:
            Whether each was appended: False where its run has forecast that ticker from
            that origin before.

        Raises:
            DataError: the ledger is damaged, of a newer version, or issued its last
                block later than the clock says it is now; or a number is not finite.
            DiskError: no space, or not writable; nothing was appended.
            LockError: another process kept it busy.
        """
        packed = [
            pack_issued(each.forecast, each.run, each.bars_sha, each.config_sha, each.report)
            for each in issued
        ]
        if not packed:
            return []
        with open_ledger(self.path, write=True) as connection:
            connection.execute("BEGIN IMMEDIATE")
            appended, new = [], dict[tuple[str, str, str], Packed]()
            for each in packed:
                known = each.key in new or is_issued(connection, *each.key)
                appended.append(not known)
                if not known:
                    new[each.key] = each
            if not new:
                connection.execute("ROLLBACK")
                return appended
            before = last_issue(connection)
            if before and issued_at < datetime.fromisoformat(before) - CLOCK_SLIP:
                connection.execute("ROLLBACK")
                raise DataError(
                    f"{self.path}: its last forecast was issued at {before}, and the clock says "
                    f"{_time(issued_at)}: nothing is issued in the past.",
                    hint="set the clock right (LSTM_NOW, or the machine's)",
                )
            append_block(connection, list(new.values()), _time(issued_at))
            connection.execute("COMMIT")
        return appended

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
        """Append the forecasts of one ticker from one origin; see `append_all`."""
        issued = Issued(forecast, run, bars_sha, config_sha, report)
        return self.append_all([issued], issued_at=issued_at)[0]

    def has(self, ticker: str, made_on: pd.Timestamp, run: str) -> bool:
        """Return whether the run has forecast the ticker from that origin."""
        return bool(self.has_each([(ticker, made_on, run)]))

    def has_each(
        self, forecasts: Collection[tuple[str, pd.Timestamp, str]]
    ) -> set[tuple[str, pd.Timestamp, str]]:
        """Return which of the forecasts were issued: each a ticker, an origin and a run."""
        if not forecasts or not self.exists():
            return set()
        with open_ledger(self.path) as connection:
            return {
                (ticker, made_on, run)
                for ticker, made_on, run in forecasts
                if is_issued(connection, ticker, f"{made_on:%Y-%m-%d}", run)
            }

    def issued_keys(self, made_on: pd.Timestamp) -> set[tuple[str, str]]:
        """Return ticker and run of every forecast that was issued from an origin."""
        where = "WHERE made_on = ?"
        return set(self._distinct("ticker, run", where, f"{made_on:%Y-%m-%d}"))

    def knows(self, ticker: str) -> bool:
        """Return whether any forecast of the ticker was issued."""
        return self.origins(ticker) > 0

    def origins(self, ticker: str) -> int:
        """Return from how many sessions a ticker was forecast."""
        return len({row[0] for row in self._distinct("made_on", "WHERE ticker = ?", ticker)})

    def tickers(self) -> list[str]:
        """Return the tickers that were forecast, in the order of their first forecast."""
        return list(dict.fromkeys(row[0] for row in self._distinct("ticker")))

    def runs(self) -> set[str]:
        """Return the runs that have issued forecasts."""
        return {row[0] for row in self._distinct("run")}

    def blocks(self) -> int:
        """Return the number of the last block; 0 where there is none."""
        if not self.exists():
            return 0
        with open_ledger(self.path) as connection:
            if not has_blocks(connection):
                return 0
            return int(connection.execute("SELECT MAX(number) FROM blocks").fetchone()[0] or 0)

    def read(
        self,
        ticker: str | None = None,
        *,
        since_block: int | None = None,
        until_block: int | None = None,
        made_on_from: pd.Timestamp | None = None,
    ) -> pd.DataFrame:
        """Return issued forecasts in the order in which they were issued.

        A Forecast with `run`, `issued_at` (UTC), what was known of the next report, the
        hashes and `id`, which never changes. `hash` and `previous` are those of its block. It
        has no rows where the ledger does not exist.

        Args:
            ticker: of this one alone.
            since_block: of later blocks alone; 0: without what versions before 0.3 issued.
            until_block: of blocks up to this one; 0: only what versions before 0.3 issued.
            made_on_from: from this origin on.

        Raises:
            DataError: the ledger is damaged.
        """
        if not self.exists():
            return no_rows().copy()
        with open_ledger(self.path) as connection:
            after, until = (
                None if number is None else end_of_block(connection, number)
                for number in (since_block, until_block)
            )
            where = Where(ticker=ticker, made_on_from=made_on_from, after=after, until=until)
            return self._read(connection, [where])

    def read_origins(self, origins: Sequence[pd.Timestamp]) -> pd.DataFrame:
        """Return what was forecast from some sessions, as `read` does."""
        if not self.exists():
            return no_rows().copy()
        with open_ledger(self.path) as connection:
            dates = [f"{origin:%Y-%m-%d}" for origin in origins]
            return self._read(connection, [Where(made_on=dates)])

    def position(self) -> Position:
        """Return where the ledger ends: the `id` of its last row, and that row's `hash`."""
        if not self.exists():
            return START
        with open_ledger(self.path) as connection:
            row = end_of_rows(connection)
            return (row, hash_at(connection, row) or GENESIS) if row else START

    def holds(self, position: Position) -> bool:
        """Return whether a position that was noted earlier is part of the ledger."""
        if position[0] == 0 or not self.exists():
            return position == START
        with open_ledger(self.path) as connection:
            return hash_at(connection, position[0]) == position[1]

    def read_after(self, position: Position | None, *, limit: int) -> tuple[pd.DataFrame, Position]:
        """Return the next rows after a position, as `read` does, and the position behind them.

        Args:
            limit: about how many; blocks are not divided.
        """
        before = position or START
        if not self.exists():
            return no_rows().copy(), before
        with open_ledger(self.path) as connection:
            row = before[0]
            while True:
                until = next_end(connection, row, limit)
                rows = self._read(connection, [Where(after=row, until=until)])
                if len(rows) or until <= row:
                    break
                row = until  # a block whose forecasts somebody has deleted
        if not len(rows):
            return rows, before
        return rows, (int(rows["id"].iloc[-1]), str(rows["hash"].iloc[-1]))

    def no_rows(self) -> pd.DataFrame:
        """Return what `read` returns of a ledger without forecasts."""
        return no_rows().copy()

    def read_in_parts(self, rows: int = 250_000) -> Iterator[pd.DataFrame]:
        """Yield what `read` returns in parts of about so many rows, so that memory stays small.

        What is appended meanwhile is not in it.
        """
        end, place = self.position(), START
        while place[0] < end[0]:
            part, place = self.read_after(place, limit=rows)
            if not len(part):
                return
            yield part

    def last_before(self, ticker: str, made_on: pd.Timestamp) -> pd.DataFrame:
        """Return the rows of one session ahead from the newest origin before a session.

        Of all runs and recipes, in the order of `read`; no rows where there is none.
        """
        return self.last_before_each({ticker: made_on}).get(ticker, no_rows().copy())

    def last_before_each(self, before: Mapping[str, pd.Timestamp]) -> dict[str, pd.DataFrame]:
        """Return the same for several tickers, each with a session; those that have some."""
        if not before or not self.exists():
            return {}
        with open_ledger(self.path) as connection:
            origins = newest_origins(connection, before)
            wheres = [Where(ticker=ticker, made_on=[origin]) for ticker, origin in origins.items()]
            rows = self._read(connection, wheres)
        rows = rows[rows["step"] == 1]
        return {
            str(ticker): own.reset_index(drop=True)
            for ticker, own in rows.groupby("ticker", sort=False)
        }

    def head(self) -> str:
        """Return the hash of the last block, which stands for all that was issued."""
        if not self.exists():
            return GENESIS
        with open_ledger(self.path) as connection:
            return last_hash(connection)

    def archive(self, file: Path, *, before: date, now: datetime) -> Archived:
        """Move the numbers of what was issued before a date (UTC) into a file.

        All else of it stays, and with it the chain. They are read from the file from then on.

        Raises:
            NoDataError: nothing is older.
            DataError: the ledger is damaged.
            DiskError: the file is there already, or there is no room.
            LockError: another process kept the ledger busy.
        """
        if not self.exists():
            raise NoDataError(f"There is no ledger {self.path}.", hint="lstm daily begins one")
        with open_ledger(self.path, write=True) as connection:
            day, at = before.isoformat(), _time(now)
            return move_to_archive(connection, self.path, file, before=day, now=at)

    def verify(self, *, holds: str | None = None) -> Verified:
        """Compute every hash again.

        Args:
            holds: a head that was noted earlier and must be part of the chain. Without
                one, nobody can see that the end is missing.

        Raises:
            DataError: something was changed, is missing or is in the wrong place, and is
                named; or the file is damaged.
        """
        if not self.exists():
            return Verified(0, GENESIS)
        with open_ledger(self.path) as connection:
            return verify(connection, self.path, holds)

    def _read(self, connection: sqlite3.Connection, wheres: Sequence[Where]) -> pd.DataFrame:
        return read_where(connection, self.path, wheres)

    def _distinct(self, name: str, where: str = "", *values: str) -> list[tuple]:
        """Return the values of a column, those of older versions first, by their first row."""
        if not self.exists():
            return []
        with open_ledger(self.path) as connection:
            return [
                row
                for table in tables(connection)
                for row in connection.execute(
                    f"SELECT {name} FROM {table} {where} GROUP BY {name} ORDER BY MIN(rowid)",
                    values,
                )
            ]


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
