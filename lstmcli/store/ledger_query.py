"""What is asked of the ledger's tables: conditions, rows and evenings as one table."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from lstmcli.store.ledger_archive import archived_payloads
from lstmcli.store.ledger_database import damaged
from lstmcli.store.ledger_frames import OF_EVENING, of_evenings, of_rows
from lstmcli.store.ledger_schema import columns_of, has_blocks


class Where:
    """A condition that holds for rows of `forecasts` and for evenings."""

    def __init__(
        self,
        *,
        ticker: str | None = None,
        made_on_from: pd.Timestamp | None = None,
        made_on: Sequence[str] | None = None,
        after: int | None = None,
        until: int | None = None,
    ) -> None:
        """Args: `after` and `until` are numbers of long rows, between evenings."""
        self.conditions: list[str] = []
        self.values: list[Any] = []
        if ticker is not None:
            self._add("ticker = ?", ticker)
        if made_on_from is not None:
            self._add("made_on >= ?", f"{made_on_from:%Y-%m-%d}")
        if made_on is not None:
            self._add(f"made_on IN ({', '.join('?' * len(made_on))})", *made_on)
        if after is not None:
            self._add("{table}.{row} > ?", after)
        if until is not None:
            self._add("{table}.{row} <= ?", until)

    def text(self, table: str) -> str:
        text = f"WHERE {' AND '.join(self.conditions)}" if self.conditions else ""
        return text.format(table=table, row=_NUMBER_OF_ROW[table])

    def _add(self, condition: str, *values: Any) -> None:
        self.conditions.append(condition)
        self.values += values


_NUMBER_OF_ROW = {"forecasts": "id", "evenings": "first_row"}

_SOURCES = {
    "text": "layouts.text",
    "payload": "payloads.payload",
    **{name: f"blocks.{name}" for name in ("issued_at", "version", "previous", "hash")},
}
"""Where the fields of `OF_EVENING` lie that are no columns of `evenings`."""


def read_where(connection: sqlite3.Connection, path: Path, wheres: Sequence[Where]) -> pd.DataFrame:
    """Return what meets one of some conditions as one table, in the order of issue.

    Args:
        wheres: nothing meets two of them.

    Raises:
        DataError: numbers cannot be unpacked, or are in an archive that is not there.
    """
    rows, evenings = [], []
    names = ", ".join(_SOURCES.get(name, f"evenings.{name}") for name in OF_EVENING)
    packed = has_blocks(connection)
    for where in wheres:
        rows += connection.execute(
            f"SELECT id, {columns_of(connection)}, previous, hash FROM forecasts "
            f"{where.text('forecasts')}",
            where.values,
        ).fetchall()
        if packed:
            evenings += connection.execute(
                f"SELECT {names} FROM evenings JOIN blocks ON blocks.number = evenings.block "
                "JOIN layouts ON layouts.layout = evenings.layout "
                "LEFT JOIN payloads ON payloads.first_row = evenings.first_row "
                f"{where.text('evenings')}",
                where.values,
            ).fetchall()
    parts = [of_rows(sorted(rows))] if rows else []  # the first value of each is its number
    if evenings:
        whole = _with_payloads(connection, path, sorted(evenings))
        parts.append(of_evenings(whole, lambda reason: damaged(path, reason)))
    if len(parts) > 1:
        return pd.concat(parts, ignore_index=True)
    return parts[0] if parts else no_rows()


def _with_payloads(
    connection: sqlite3.Connection, path: Path, evenings: list[tuple]
) -> list[tuple]:
    """Return evenings with the payloads that are in archives."""
    missing = [evening[0] for evening in evenings if evening[-1] is None]
    if not missing:
        return evenings
    found = archived_payloads(connection, path, missing)
    return [(*evening[:-1], found.get(evening[0], evening[-1])) for evening in evenings]


def end_of_rows(connection: sqlite3.Connection) -> int:
    """Return the number of the last long row; 0 where there is none."""
    if has_blocks(connection):
        query = "SELECT first_row + row_count - 1 FROM evenings ORDER BY first_row DESC LIMIT 1"
        if last := connection.execute(query).fetchone():
            return int(last[0])
    return int(connection.execute("SELECT MAX(id) FROM forecasts").fetchone()[0] or 0)


def end_of_block(connection: sqlite3.Connection, number: int) -> int:
    """Return the number of the last long row up to the end of a block; 0: of older versions."""
    after = None
    if has_blocks(connection):
        query = "SELECT MIN(first_row) FROM blocks WHERE number > ?"
        after = connection.execute(query, (number,)).fetchone()[0]
    return end_of_rows(connection) if after is None else int(after) - 1


def next_end(connection: sqlite3.Connection, row: int, limit: int) -> int:
    """Return where to end a part behind a row: after so many, or a whole number of blocks."""
    # Numbers have gaps where somebody has deleted rows.
    some = "SELECT id FROM forecasts WHERE id > ? ORDER BY id LIMIT ?"
    last = connection.execute(f"SELECT MAX(id) FROM ({some})", (row, limit)).fetchone()[0]
    if last is not None:
        return int(last)
    if not has_blocks(connection):
        return row
    query = "SELECT MIN(first_row) FROM blocks WHERE first_row > ?"
    after = connection.execute(query, (row + limit,)).fetchone()[0]
    return end_of_rows(connection) if after is None else int(after) - 1


def hash_at(connection: sqlite3.Connection, row: int) -> str | None:
    """Return the hash of a long row, or of the block that ends with it."""
    query = "SELECT hash FROM forecasts WHERE id = ?"
    if found := connection.execute(query, (row,)).fetchone():
        return str(found[0])
    if not has_blocks(connection):
        return None
    found = connection.execute(
        "SELECT number, hash FROM blocks WHERE first_row <= ? ORDER BY number DESC LIMIT 1", (row,)
    ).fetchone()
    return str(found[1]) if found and end_of_block(connection, found[0]) == row else None


def newest_origins(
    connection: sqlite3.Connection, before: Mapping[str, pd.Timestamp]
) -> dict[str, str]:
    """Return the newest origin of each ticker before a session, where there is one."""
    found: dict[str, str] = {}
    for table in tables(connection):
        query = f"SELECT MAX(made_on) FROM {table} WHERE ticker = ? AND made_on < ?"
        for ticker, session in before.items():
            newest = connection.execute(query, (ticker, f"{session:%Y-%m-%d}")).fetchone()[0]
            if newest:
                found[ticker] = max(newest, found.get(ticker, ""))
    return found


@cache
def no_rows() -> pd.DataFrame:
    """Return the table without rows."""
    return of_rows([])


def tables(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Return the tables that hold forecasts."""
    return ("forecasts", "evenings") if has_blocks(connection) else ("forecasts",)


def is_issued(connection: sqlite3.Connection, ticker: str, made_on: str, run: str) -> bool:
    """Return whether a run has forecast a ticker from an origin."""
    return any(
        connection.execute(
            f"SELECT 1 FROM {table} WHERE ticker = ? AND made_on = ? AND run = ? LIMIT 1",
            (ticker, made_on, run),
        ).fetchone()
        for table in tables(connection)
    )


def last_issue(connection: sqlite3.Connection) -> str | None:
    """Return when something was issued last."""
    for table, key in (("blocks", "number"), ("forecasts", "id")):
        found = connection.execute(
            f"SELECT issued_at FROM {table} ORDER BY {key} DESC LIMIT 1"
        ).fetchone()
        if found:
            return str(found[0])
    return None
