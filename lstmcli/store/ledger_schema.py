"""The tables of the ledger's SQLite file, and the columns that hashes cover."""

from __future__ import annotations

import sqlite3

from lstmcli.frames import INTERVAL_COLUMNS, QUANTILE_COLUMNS

KEYS = ("ticker", "made_on", "step", "run", "recipe")
NUMBERS = ("last_close", "sigma", *QUANTILE_COLUMNS, *INTERVAL_COLUMNS)
_PROOFS = ("bars_sha", "config_sha", "version")
COLUMNS = (*KEYS, "target_on", "issued_at", *NUMBERS, *_PROOFS)
"""What the hash of a row of `forecasts` covers, in this order, after the hash before it."""

REPORT = ("report_session", "report_timing", "report_status", "report_source")
"""What was known at issue of the ticker's next report, as in an Events table. The hash of a row
of `forecasts` covers all four after `COLUMNS` where one of them is not NULL: older rows have
none."""

NOT_KNOWN = "not known"
"""The `report_status` of a forecast that knew of no next report; the other three are NULL."""

SHOWN_STEPS = (1, 5, 20)
"""Steps whose median and 80 % range are plain columns of `evenings`."""

SHOWN = tuple(f"{name}_{step}" for step in SHOWN_STEPS for name in ("q50", "lo80", "hi80"))

PLAIN = (
    *("first_row", "ticker", "made_on", "run", "recipe", "target_on"),
    *("last_close", "sigma", *SHOWN, *REPORT, "bars_sha", "config_sha", "row_count"),
)
"""What a leaf of `evenings` covers, in this order, before the layout and the payload's hash."""

BLOCK = ("number", "issued_at", "count", "first_row", "root", "previous", "version")
"""What the hash of a block covers, in this order."""

GENESIS = "0" * 64
"""The hash before the first row, or before the first block where there are no rows."""

_APPEND_ONLY = "RAISE(ABORT, 'the ledger is append-only')"


def _triggers(table: str, *, delete_when: str = "") -> str:
    return f"""
    CREATE TRIGGER {table}_are_not_changed BEFORE UPDATE ON {table}
        BEGIN SELECT {_APPEND_ONLY}; END;
    CREATE TRIGGER {table}_are_not_deleted BEFORE DELETE ON {table} {delete_when}
        BEGIN SELECT {_APPEND_ONLY}; END;
    """


_ROWS = f"""
    CREATE TABLE forecasts (
        id INTEGER PRIMARY KEY,
        ticker TEXT NOT NULL,
        made_on TEXT NOT NULL,
        step INTEGER NOT NULL,
        run TEXT NOT NULL,
        recipe TEXT NOT NULL,
        target_on TEXT NOT NULL,
        issued_at TEXT NOT NULL,
        {", ".join(f"{name} REAL" for name in NUMBERS)},
        bars_sha TEXT NOT NULL,
        config_sha TEXT NOT NULL,
        version TEXT NOT NULL,
        previous TEXT NOT NULL,
        hash TEXT NOT NULL UNIQUE,
        UNIQUE (ticker, made_on, step, run, recipe)
    );
    {_triggers("forecasts")}
    """

_REPORTS = "".join(f"ALTER TABLE forecasts ADD COLUMN {name} TEXT;\n" for name in REPORT)

_IN_AN_ARCHIVE = """WHEN NOT EXISTS (
        SELECT 1 FROM archives JOIN evenings ON evenings.first_row = OLD.first_row
        WHERE evenings.block <= archives.last_block
    )"""

_BLOCKS = f"""
    CREATE TABLE blocks (
        number INTEGER PRIMARY KEY,
        issued_at TEXT NOT NULL,
        count INTEGER NOT NULL,
        first_row INTEGER NOT NULL,
        root TEXT NOT NULL,
        previous TEXT NOT NULL,
        version TEXT NOT NULL,
        hash TEXT NOT NULL UNIQUE
    );
    CREATE TABLE evenings (
        first_row INTEGER PRIMARY KEY,
        block INTEGER NOT NULL REFERENCES blocks (number),
        ticker TEXT NOT NULL,
        made_on TEXT NOT NULL,
        run TEXT NOT NULL,
        recipe TEXT NOT NULL,
        target_on TEXT NOT NULL,
        last_close REAL NOT NULL,
        sigma REAL NOT NULL,
        {", ".join(f"{name} REAL" for name in SHOWN)},
        {", ".join(f"{name} TEXT" for name in REPORT)},
        bars_sha TEXT NOT NULL,
        config_sha TEXT NOT NULL,
        row_count INTEGER NOT NULL,
        layout INTEGER NOT NULL REFERENCES layouts (layout),
        payload_sha BLOB NOT NULL,
        leaf BLOB NOT NULL,
        UNIQUE (ticker, made_on, run)
    );
    CREATE TABLE layouts (layout INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
    CREATE TABLE payloads (first_row INTEGER PRIMARY KEY, payload BLOB NOT NULL);
    CREATE TABLE breaks (
        block INTEGER PRIMARY KEY,
        row_count INTEGER NOT NULL,
        text TEXT NOT NULL,
        content TEXT NOT NULL,
        leaf BLOB NOT NULL
    );
    CREATE TABLE archives (
        number INTEGER PRIMARY KEY,
        last_block INTEGER NOT NULL,
        file TEXT NOT NULL,
        archived_at TEXT NOT NULL
    );
    {"".join(map(_triggers, ("blocks", "evenings", "layouts", "breaks", "archives")))}
    {_triggers("payloads", delete_when=_IN_AN_ARCHIVE)}
    """

MIGRATIONS = (_ROWS, _REPORTS, _BLOCKS)
"""SQL that brings a file from each schema version to the next."""


def columns_of(connection: sqlite3.Connection) -> str:
    """Return what to select for `COLUMNS` and `REPORT`, whatever version wrote the file."""
    known = {row[1] for row in connection.execute("PRAGMA table_info(forecasts)")}
    report = (name if name in known else f"NULL AS {name}" for name in REPORT)
    return ", ".join((*COLUMNS, *report))


def has_blocks(connection: sqlite3.Connection) -> bool:
    """Return whether the file has blocks: before version 3 it has rows alone."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] >= 3)
