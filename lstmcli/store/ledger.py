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

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from lstmcli.errors import DataError
from lstmcli.store.ledger_blocks import Packed, append_block, last_hash, pack_issued
from lstmcli.store.ledger_database import damaged, open_ledger
from lstmcli.store.ledger_query import (
    Where,
    cuts,
    evenings_where,
    is_issued,
    joined,
    last_issue,
    rows_where,
    tables,
)
from lstmcli.store.ledger_schema import GENESIS, has_blocks
from lstmcli.store.ledger_verify import Verified, verify

__all__ = ["GENESIS", "NAME", "Issued", "Ledger", "Verified"]

NAME = "ledger.sqlite"

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
        if not self.exists():
            return set()
        with open_ledger(self.path) as connection:
            return {
                (ticker, run)
                for table in tables(connection)
                for ticker, run in connection.execute(
                    f"SELECT DISTINCT ticker, run FROM {table} WHERE made_on = ?",
                    (f"{made_on:%Y-%m-%d}",),
                )
            }

    def tickers(self) -> dict[str, int]:
        """Return how many origins each ticker was forecast from, in the order of issue."""
        if not self.exists():
            return {}
        found: dict[str, list[Any]] = {}
        with open_ledger(self.path) as connection:
            for table in tables(connection):
                first = "id" if table == "forecasts" else "first_row"
                for ticker, _, made_on in connection.execute(
                    f"SELECT ticker, MIN({first}) AS first, made_on FROM {table} "
                    "GROUP BY ticker, made_on ORDER BY first"
                ):
                    found.setdefault(ticker, []).append(made_on)
        return {ticker: len(set(origins)) for ticker, origins in found.items()}

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
        where = Where(ticker, made_on_from)
        parts = []
        if self.exists():
            with open_ledger(self.path) as connection:
                if since_block is None:
                    parts.append(rows_where(connection, where))
                if has_blocks(connection) and until_block != 0:
                    blocks = since_block or 0, until_block
                    parts.append(
                        evenings_where(
                            connection, where.between(connection, *blocks), self._damaged
                        )
                    )
        return joined(parts)

    def read_by_blocks(self, rows: int = 250_000) -> Iterator[pd.DataFrame]:
        """Yield what `read` returns in parts of about so many rows, so that memory stays small.

        What another process appends meanwhile is not in it.
        """
        last, start = self.blocks(), 0
        yield self.read(until_block=0)
        if not last:
            return
        with open_ledger(self.path) as connection:
            ends = list(cuts(connection, last, rows))
        for end in ends:
            yield self.read(since_block=start, until_block=end)
            start = end

    def last_before(self, ticker: str, made_on: pd.Timestamp) -> pd.DataFrame:
        """Return the rows of one session ahead from the newest origin before a session.

        Of all runs and recipes, in the order of `read`; no rows where there is none.
        """
        parts = []
        if self.exists():
            with open_ledger(self.path) as connection:
                origins = [
                    connection.execute(
                        f"SELECT MAX(made_on) FROM {table} WHERE ticker = ? AND made_on < ?",
                        (ticker, f"{made_on:%Y-%m-%d}"),
                    ).fetchone()[0]
                    for table in tables(connection)
                ]
                newest = max(filter(None, origins), default=None)
                if newest:
                    where = Where(ticker).at(newest)
                    parts.append(rows_where(connection, where))
                    if has_blocks(connection):
                        parts.append(evenings_where(connection, where, self._damaged))
        rows = joined(parts)
        return rows[rows["step"] == 1].reset_index(drop=True)

    def head(self) -> str:
        """Return the hash of the last block, which stands for all that was issued."""
        if not self.exists():
            return GENESIS
        with open_ledger(self.path) as connection:
            return last_hash(connection)

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

    def _damaged(self, reason: str) -> DataError:
        return damaged(self.path, reason)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
