"""Measure the ledger of a year, and the migration of one of version 0.1.

    python benchmarks/ledger.py

Writes results/ledger.csv, a row for each process. The year: 250 evenings of 500 tickers, each a
block, with random numbers of the shape that `lstm daily` issues: the published recipe at 20
steps, nine others at five. The numbers of 20 tickers are repeated under other names and on later
days, each with hashes of its own. Then `lstm ledger verify`. The migration: 30 evenings of three
tickers as version 0.1 wrote them, ten recipes at all steps. The first block of today's version has
to follow them, the hash of their last row before it, and they have to stay as they are, byte for
byte.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from evening_market import CALENDAR, FIRST, evening_of
from evenings import Row, Used, lstm, stamped

from lstmcli.frames import INTERVAL_COLUMNS, QUANTILE_COLUMNS
from lstmcli.pipeline.issue import BESIDE
from lstmcli.sessions import sessions_between
from lstmcli.store import Workspace
from lstmcli.store.ledger_blocks import Packed, append_block, pack_issued
from lstmcli.store.ledger_database import open_ledger

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from ledger_01 import append_rows

OUTPUT = Path(__file__).parent.parent / "results" / "ledger.csv"
STEPS, JUDGED = tuple(range(1, 21)), (1, 2, 5, 10, 20)
RUN, HASH = "20261126T210000Z-pretrained-0123abcd", "0123456789abcdef" * 4
OLD_EVENINGS, OLD_TICKERS = 30, 3
DIFFERENT = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tickers", type=int, default=500)
    parser.add_argument("--evenings", type=int, default=250)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        year_of = (arguments.tickers, arguments.evenings)
        for row in chain(year(Path(folder) / "year", *year_of), migration(Path(folder) / "old")):
            rows.append(row)
            print(row, flush=True)
            stamped(rows).to_csv(arguments.output, index=False, lineterminator="\n")


def days(count: int) -> pd.DatetimeIndex:
    """Return so many sessions from the first evening, and those that are forecast from the last."""
    end = FIRST + pd.Timedelta(int(1.6 * count) + 60, "D")
    return sessions_between(CALENDAR, FIRST, end, observed=pd.DatetimeIndex([]))


def forecast(ticker: str, every: pd.DatetimeIndex, seed: int, *, steps: tuple[int, ...]):
    """Return what is issued of a ticker from the first of some sessions.

    Args:
        steps: of what is not published.
    """
    generator = np.random.default_rng(seed)
    recipes = [("pretrained", True, STEPS)]
    recipes += [(recipe, False, steps) for recipe in ("pretrained", *BESIDE)]
    parts = []
    for recipe, calibrated, own in recipes:
        count = len(own)
        levels = np.sort(0.02 * generator.standard_normal((count, len(QUANTILE_COLUMNS))))
        table = pd.DataFrame(levels, columns=list(QUANTILE_COLUMNS))
        ends = np.sort(0.02 * generator.standard_normal((count, len(INTERVAL_COLUMNS))))
        ends = ends if calibrated else np.full_like(ends, np.nan)
        table[list(INTERVAL_COLUMNS)] = ends
        parts.append(
            table.assign(
                recipe=recipe,
                calibrated=calibrated,
                ticker=ticker,
                made_on=every[0],
                step=own,
                target_on=every[list(own)],
                last_close=100.0 + seed,
                sigma=0.01 * np.sqrt(own),
            )
        )
    return pd.concat(parts, ignore_index=True)


def packed(tickers: int, every: pd.DatetimeIndex) -> list[Packed]:
    """Return an evening: the numbers of a few tickers under many names."""
    few = [
        pack_issued(forecast("T", every, seed, steps=JUDGED), RUN, HASH, HASH, ())
        for seed in range(min(tickers, DIFFERENT))
    ]
    evening = [few[n % len(few)] for n in range(tickers)]
    names = [(f"T{n:03d}", *one.plain[1:]) for n, one in enumerate(evening)]
    return [replace(one, plain=plain) for one, plain in zip(evening, names, strict=True)]


def moved(one: Packed, by: pd.Timedelta) -> Packed:
    """Return a forecast of some days later: its first days are those of `PLAIN`."""
    plain = list(one.plain)
    for place in (1, 4):  # made_on, target_on
        plain[place] = f"{pd.Timestamp(plain[place]) + by:%Y-%m-%d}"
    return replace(one, plain=tuple(plain))


def year(root: Path, tickers: int, evenings: int) -> Iterator[Row]:
    every = days(evenings)
    ledger, of_evening = Workspace(root).ledger, packed(tickers, every)
    used = Used(0.0, 0.0, 0.0)
    for session in every[:evenings]:
        block = [moved(one, session - every[0]) for one in of_evening]
        before, cpu = time.perf_counter(), time.process_time()
        with open_ledger(ledger.path, write=True) as connection:
            connection.execute("BEGIN IMMEDIATE")
            append_block(connection, block, evening_of(session).isoformat(timespec="seconds"))
            connection.execute("COMMIT")
        used.seconds += time.perf_counter() - before
        used.cpu += time.process_time() - cpu
    size = {"tickers": tickers, "evenings": evenings, "bytes": ledger.path.stat().st_size}
    yield {"what": "append", **size, "seconds": round(used.seconds, 2), "cpu": round(used.cpu, 2)}
    yield {"what": "verify", **size, **lstm(root, {}, "ledger", "verify").row()}


def migration(root: Path) -> Iterator[Row]:
    every, ledger = days(OLD_EVENINGS), Workspace(root).ledger
    root.mkdir(parents=True)
    for number, session in enumerate(every[:OLD_EVENINGS]):
        rows = [forecast(f"T{n:03d}", every[number:], n, steps=STEPS) for n in range(OLD_TICKERS)]
        at = evening_of(session)
        append_rows(ledger.path, pd.concat(rows), at=at, run=RUN, schema=1)
    size = {"tickers": OLD_TICKERS, "evenings": OLD_EVENINGS, "bytes": ledger.path.stat().st_size}
    head, before = ledger.head(), content(ledger.path)
    yield {"what": "verify 0.1", **size, **lstm(root, {}, "ledger", "verify").row()}
    session = every[OLD_EVENINGS]
    block = packed(OLD_TICKERS, every[OLD_EVENINGS:])
    started, cpu = time.perf_counter(), time.process_time()
    with open_ledger(ledger.path, write=True) as connection:
        connection.execute("BEGIN IMMEDIATE")
        append_block(connection, block, evening_of(session).isoformat(timespec="seconds"))
        connection.execute("COMMIT")
        first = connection.execute("SELECT previous FROM blocks WHERE number = 1").fetchone()[0]
    used = Used(time.perf_counter() - started, time.process_time() - cpu, 0.0).row()
    del used["peak_mb"]
    if first != head:
        sys.exit("The first block does not follow the last row of version 0.1.")
    if content(ledger.path) != before:
        sys.exit("Rows of version 0.1 were changed.")
    size["bytes"] = ledger.path.stat().st_size
    yield {"what": "first block after 0.1", **size, **used}
    yield {"what": "verify migrated", **size, **lstm(root, {}, "ledger", "verify").row()}


def content(path: Path) -> list[tuple]:
    """Return the rows of version 0.1."""
    with sqlite3.connect(path) as plain:
        names = [name for _, name, *_ in plain.execute("PRAGMA table_info(forecasts)")]
        kept = ", ".join(name for name in names if not name.startswith("report"))
        rows = plain.execute(f"SELECT {kept} FROM forecasts ORDER BY id").fetchall()
    plain.close()
    return rows


if __name__ == "__main__":
    main()
