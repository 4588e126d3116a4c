"""How a block of forecasts is written into the ledger."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.errors import DataError
from lstmcli.store.ledger_chain import hash_block, hash_leaf, merkle_root
from lstmcli.store.ledger_payload import NOT_FINITE, PACKED, pack, unpack
from lstmcli.store.ledger_rows import hash_break, read_chain
from lstmcli.store.ledger_schema import (
    BLOCK,
    GENESIS,
    NOT_KNOWN,
    PLAIN,
    REPORT,
    SHOWN_STEPS,
    has_blocks,
)
from lstmcli.version import __version__


@dataclass(frozen=True)
class Packed:
    """One ticker's forecast as the ledger keeps it.

    Attributes:
        plain: the values of `PLAIN` after the first, `first_row`.
        layout: see `Layout.text`.
    """

    plain: tuple[Any, ...]
    layout: str
    payload: bytes

    @property
    def key(self) -> tuple[str, str, str]:
        """Ticker, origin and run."""
        return self.plain[0], self.plain[1], self.plain[2]

    @property
    def row_count(self) -> int:
        return int(self.plain[-1])


def pack_issued(
    forecast: pd.DataFrame,
    run: str,
    bars_sha: str,
    config_sha: str,
    report: Sequence[str] | None,
) -> Packed:
    """Return the forecasts of one ticker from one origin as the ledger keeps them.

    The columns for people are of the first calibrated recipe, or of the first one.

    Raises:
        DataError: a number is not finite.
        ValueError: these are several tickers, origins or closes.
    """
    keys = {name: forecast[name].to_numpy() for name in ("ticker", "made_on", "last_close")}
    if not len(forecast) or any((own != own[0]).any() for own in keys.values()):
        if len(forecast) and np.isnan(keys["last_close"].astype(float)).any():
            raise DataError(NOT_FINITE)
        raise ValueError("Expected the forecasts of one ticker from one origin and close.")
    if not np.isfinite(float(keys["last_close"][0])):
        raise DataError(NOT_FINITE)
    layout, payload = pack(forecast)
    days, values = unpack(layout, [payload])
    recipes, calibrated = layout.repeat("recipe"), layout.repeat("calibrated")
    first = int(np.argmax(calibrated))  # the first row where none is calibrated
    own = (recipes == recipes[first]) & (calibrated == calibrated[first])
    numbers = {
        int(step): dict(zip(PACKED, row, strict=True))
        for step, row in zip(layout.steps[own], values[0][own].tolist(), strict=True)
    }
    # SQLite gives −0.0 back as 0.0, and the hash tells them apart: plus zero makes it 0.0.
    shown = [
        numbers[step][name] + 0.0 if step in numbers and np.isfinite(numbers[step][name]) else None
        for step in SHOWN_STEPS
        for name in ("q50", "lo80", "hi80")
    ]
    target_on = keys["made_on"][0] + days[0][first].astype("timedelta64[D]")
    plain = (
        str(keys["ticker"][0]),
        _date(keys["made_on"][0]),
        run,
        str(recipes[first]),
        _date(target_on),
        float(keys["last_close"][0]) + 0.0,
        float(forecast["sigma"].to_numpy(float)[first]) + 0.0,
        *shown,
        *_report(report),
        bars_sha,
        config_sha,
        len(forecast),
    )
    return Packed(plain, layout.text, payload)


def append_block(connection: sqlite3.Connection, packed: Sequence[Packed], issued_at: str) -> None:
    """Write forecasts as the next block, within a transaction that the caller began.

    Before the first block, rows of older versions are verified: where their chain is
    broken, a block of its own says so for ever.
    """
    if not connection.execute("SELECT 1 FROM blocks LIMIT 1").fetchone():
        _note_breaks(connection, issued_at)
    first_row, number = _next_row(connection), _next_block(connection)
    leaves, row = [], first_row
    for each in packed:
        digest = hashlib.sha256(each.payload)
        values = (row, *each.plain)
        leaf = hash_leaf([*values, each.layout, digest.hexdigest()])
        layout = _layout_number(connection, each.layout)
        connection.execute(
            _insert("evenings", (*PLAIN, "block", "layout", "payload_sha", "leaf")),
            (*values, number, layout, digest.digest(), leaf),
        )
        connection.execute(_insert("payloads", ("first_row", "payload")), (row, each.payload))
        leaves.append(leaf)
        row += each.row_count
    _add_block(connection, number, issued_at, first_row, leaves)


def last_hash(connection: sqlite3.Connection) -> str:
    """Return the hash of the last block, else of the last row of `forecasts`."""
    tables = [("blocks", "number")] if has_blocks(connection) else []
    for table, key in (*tables, ("forecasts", "id")):
        query = f"SELECT hash FROM {table} ORDER BY {key} DESC LIMIT 1"
        if found := connection.execute(query).fetchone():
            return str(found[0])
    return GENESIS


def _note_breaks(connection: sqlite3.Connection, issued_at: str) -> None:
    rows = read_chain(connection)
    if not rows.found:
        return
    number = _next_block(connection)
    leaf = hash_break(number, rows)
    connection.execute(
        _insert("breaks", ("block", "row_count", "text", "content", "leaf")),
        (number, rows.count, rows.text, rows.content, leaf),
    )
    _add_block(connection, number, issued_at, _next_row(connection), [leaf])


def _add_block(
    connection: sqlite3.Connection,
    number: int,
    issued_at: str,
    first_row: int,
    leaves: Sequence[bytes],
) -> None:
    root, previous = merkle_root(leaves), last_hash(connection)
    values = (number, issued_at, len(leaves), first_row, root, previous, __version__)
    connection.execute(_insert("blocks", (*BLOCK, "hash")), (*values, hash_block(values)))


def _next_block(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT COALESCE(MAX(number), 0) + 1 FROM blocks").fetchone()[0])


def _next_row(connection: sqlite3.Connection) -> int:
    last = connection.execute(
        "SELECT first_row + row_count FROM evenings ORDER BY first_row DESC LIMIT 1"
    ).fetchone()
    if last:
        return int(last[0])
    return int(connection.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM forecasts").fetchone()[0])


def _layout_number(connection: sqlite3.Connection, text: str) -> int:
    query = "SELECT layout FROM layouts WHERE text = ?"
    found = connection.execute(query, (text,)).fetchone()
    if not found:
        connection.execute(_insert("layouts", ("text",)), (text,))
        found = connection.execute(query, (text,)).fetchone()
    return int(found[0])


def _insert(table: str, names: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


def _date(day: np.datetime64) -> str:
    return str(day.astype("datetime64[D]"))


def _report(known: Sequence[str] | None) -> tuple[str | None, ...]:
    """Return the values of `REPORT`."""
    if known is None:
        return (None,) * len(REPORT)
    return tuple(known) if known else (None, None, NOT_KNOWN, None)
