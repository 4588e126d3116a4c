"""A ledger as versions before 0.3 wrote it: one row for each step and recipe."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from lstmcli.store import recipe_names
from lstmcli.store.ledger_chain import hash_row
from lstmcli.store.ledger_schema import COLUMNS, GENESIS, MIGRATIONS, NUMBERS, REPORT


def append_rows(
    path: Path,
    forecast: pd.DataFrame,
    *,
    at: datetime,
    run: str = "r1",
    report: Sequence[str | None] | None = None,
    schema: int = 2,
) -> None:
    """Append a forecast as rows; 0.1 and 0.2 had schema 1."""
    names = (*COLUMNS, *REPORT[: 4 * (schema - 1)], "previous", "hash")
    with sqlite3.connect(path) as plain:
        if not plain.execute("PRAGMA user_version").fetchone()[0]:
            plain.execute("PRAGMA journal_mode = WAL")
            for script in MIGRATIONS[:schema]:
                plain.executescript(script)
            plain.execute(f"PRAGMA user_version = {schema}")
        last = plain.execute("SELECT hash FROM forecasts ORDER BY id DESC LIMIT 1").fetchone()
        previous = last[0] if last else GENESIS
        numbers = forecast.reindex(columns=list(NUMBERS)).to_numpy(float)
        for row, values in zip(forecast.itertuples(index=False), numbers, strict=True):
            written = [
                row.ticker,
                f"{row.made_on:%Y-%m-%d}",
                row.step,
                run,
                recipe_names.encode(row.recipe, calibrated=row.calibrated),
                f"{row.target_on:%Y-%m-%d}",
                at.isoformat(timespec="seconds"),
                *(value if np.isfinite(value) else None for value in values.tolist()),
                *("b", "c", "0.2.0"),
            ]
            if schema > 1:
                written += report or [None] * len(REPORT)
            digest = hash_row(previous, written)
            marks = ", ".join("?" * len(names))
            plain.execute(
                f"INSERT INTO forecasts ({', '.join(names)}) VALUES ({marks})",
                (*written, previous, digest),
            )
            previous = digest
    plain.close()
    with sqlite3.connect(path) as plain:
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    plain.close()


def change(path: Path, *statements: str) -> None:
    """Change a ledger by hand, as somebody who knows how to remove its triggers."""
    with sqlite3.connect(path) as plain:
        for (name,) in plain.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            plain.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            plain.execute(statement)
    plain.close()
