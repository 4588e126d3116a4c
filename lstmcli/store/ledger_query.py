"""What is asked of the ledger's tables: conditions, rows and evenings as one table."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd

from lstmcli.store.ledger_frames import OF_EVENING, of_evenings, of_rows
from lstmcli.store.ledger_schema import columns_of, has_blocks


class Where:
    """A condition that holds for rows of `forecasts` and for evenings."""

    def __init__(self, ticker: str | None = None, made_on_from: pd.Timestamp | None = None) -> None:
        self.conditions: list[str] = []
        self.values: list[Any] = []
        if ticker is not None:
            self._add("ticker = ?", ticker)
        if made_on_from is not None:
            self._add("made_on >= ?", f"{made_on_from:%Y-%m-%d}")

    def at(self, made_on: str) -> Where:
        self._add("made_on = ?", made_on)
        return self

    def between(self, connection: sqlite3.Connection, since: int, until: int | None) -> Where:
        """Add the blocks after one and up to another, by the rows that they begin with."""
        query = "SELECT MIN(first_row) FROM blocks WHERE number > ?"
        first = connection.execute(query, (since,)).fetchone()[0]
        self._add("evenings.first_row >= ?", _NO_ROW if first is None else first)
        if until is not None:
            end = connection.execute(query, (until,)).fetchone()[0]
            if end is not None:
                self._add("evenings.first_row < ?", end)
        return self

    def text(self) -> str:
        return f"WHERE {' AND '.join(self.conditions)}" if self.conditions else ""

    def _add(self, condition: str, value: Any) -> None:
        self.conditions.append(condition)
        self.values.append(value)


_NO_ROW = 2**62
"""More than the number of any row."""

_SOURCES = {
    "text": "layouts.text",
    "payload": "payloads.payload",
    **{name: f"blocks.{name}" for name in ("issued_at", "version", "previous", "hash")},
}
"""Where the fields of `OF_EVENING` lie that are no columns of `evenings`."""


def evenings_where(
    connection: sqlite3.Connection, where: Where, damaged: Callable[[str], Exception]
) -> pd.DataFrame:
    """Return evenings as the table; `damaged` makes the error about numbers that are no more."""
    names = ", ".join(_SOURCES.get(name, f"evenings.{name}") for name in OF_EVENING)
    found = connection.execute(
        f"SELECT {names} FROM evenings JOIN blocks ON blocks.number = evenings.block "
        "JOIN layouts ON layouts.layout = evenings.layout "
        "LEFT JOIN payloads ON payloads.first_row = evenings.first_row "
        f"{where.text()} ORDER BY evenings.first_row",
        where.values,
    ).fetchall()
    return of_evenings(found, damaged) if found else of_rows([])


def cuts(connection: sqlite3.Connection, last: int, rows: int) -> Iterator[int]:
    """Yield the blocks up to a last one after which parts of about so many rows end."""
    starts = connection.execute(
        "SELECT number, first_row FROM blocks WHERE number <= ? ORDER BY number", (last,)
    ).fetchall()
    begin = starts[0][1]
    for (number, _), (_, after) in itertools.pairwise(starts):
        if after - begin >= rows:
            yield number
            begin = after
    yield last


def rows_where(connection: sqlite3.Connection, where: Where) -> pd.DataFrame:
    """Return rows of `forecasts` as the table."""
    query = f"SELECT id, {columns_of(connection)}, previous, hash FROM forecasts {where.text()}"
    return of_rows(connection.execute(f"{query} ORDER BY id", where.values).fetchall())


def joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return tables below one another; those without rows could change the types."""
    some = [part for part in parts if len(part)]
    if len(some) > 1:
        return pd.concat(some, ignore_index=True)
    return some[0] if some else of_rows([])


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
