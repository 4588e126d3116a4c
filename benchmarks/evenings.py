"""Measure evenings of a universe: seconds, memory and disk of `lstm daily`.

    LSTM_MARKET_DATA=FOLDER python benchmarks/evenings.py --tickers 500 --evenings 3

Each evening is a process of its own, with the network that ships, against Yahoo imitated on
loopback in another process, without the pauses between its tickers. It comes twice: with a new
session of each ticker (the first evening begins the ledger and asks for all announcement dates),
and once more, when nothing is new. Then the ledger is verified, and the workspace goes into a
backup and comes out of it in another folder, where it has to verify and to forecast the same.
Writes results/evenings.csv, a row for each process. `--inside` runs the evenings in this process,
which saves what starting one takes; so a year of evenings can be run.
"""

from __future__ import annotations

import argparse
import datetime
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from evening_market import yahoo

import lstmcli
from lstmcli.models.runtime import usable_cores
from lstmcli.pipeline.daily import daily
from lstmcli.pipeline.session import Session
from lstmcli.store import Workspace

OUTPUT = Path(__file__).parent.parent / "results" / "evenings.csv"
LSTM = (sys.executable, "-m", "lstmcli")

STAGES = {
    "fetching": "fetch",
    "forecasting": "forecast",
    "scoring": "score",
    "drawing": "report",
    "daily": "end",
}
"""The stage that begins where `lstm daily` says this word."""

PARTS = {"ledger": ("ledger.sqlite",), "forecasts": ("forecasts",), "log": ("log",)}
"""What grows with each evening; the rest is replaced."""

Row = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tickers", type=int, default=500)
    parser.add_argument("--evenings", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--sessions", type=int, default=5000, help="before the first evening")
    parser.add_argument("--inside", action="store_true", help="evenings in this process")
    parser.add_argument("--minutes", type=float, help="after which no other evening begins")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    rows: list[Row] = []
    for turn in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for row in life(Path(folder), arguments):
                of = {"round": turn + 1, "tickers": arguments.tickers}
                rows.append({**of, "sessions": arguments.sessions, **row})
                print({key: value for key, value in row.items() if value == value}, flush=True)
                stamped(rows).to_csv(arguments.output, index=False, lineterminator="\n")


def stamped(rows: list[Row]) -> pd.DataFrame:
    stamp = {
        "cores": usable_cores(),
        "date": datetime.date.today().isoformat(),
        "lstmcli": lstmcli.__version__,
    }
    return pd.DataFrame([{**row, **stamp} for row in rows])


def life(folder: Path, arguments: argparse.Namespace) -> Iterator[Row]:
    """Yield what each process used, from an empty ledger to a restored workspace."""
    root = folder / "data"
    run = evening_here if arguments.inside else evening
    data = os.environ.get("LSTM_MARKET_DATA")
    of = (arguments.tickers, arguments.sessions, arguments.evenings)
    until = time.monotonic() + 60 * (arguments.minutes or float("inf"))
    with yahoo(root, *of, data=Path(data) if data else None) as server:
        for number in range(1, arguments.evenings + 1):
            if time.monotonic() > until:
                break
            last, environment = number, server.environment(number)
            for what in ("first" if number == 1 else "evening", "nothing new"):
                before = sizes(root)
                used = run(root, environment)
                grown = {name: size - before[name] for name, size in sizes(root).items()}
                yield {"what": what, "evening": number, **used.row(), **grown}
    kept, other = folder / "backup.tar.gz", folder / "other"
    for what, words, place in (
        ("verify", ("ledger", "verify"), root),
        ("backup", ("backup", str(kept)), root),
        ("restore", ("restore", str(kept)), other),
        ("verify restored", ("ledger", "verify"), other),
    ):
        used = lstm(place, environment, *words)
        yield {"what": what, "evening": last, **used.row(), **sizes(place)}
    words = ("predict", *Workspace(root).bars.tickers()[:20], "--offline", "--json")
    said = [
        lstm(place, environment, *words).said.replace(str(place).encode(), b"")
        for place in (root, other)
    ]
    if said[0] != said[1]:
        sys.exit("The restored workspace forecasts something else.")


def sizes(root: Path) -> dict[str, int]:
    """Return the bytes on disk of what grows with the evenings, and of the rest."""
    found = dict.fromkeys((f"{name}_bytes" for name in (*PARTS, "other")), 0)
    for path in root.rglob("*"):
        if path.is_file():
            top = path.relative_to(root).parts[0]
            name = next((n for n, tops in PARTS.items() if top.startswith(tops)), "other")
            found[f"{name}_bytes"] += path.stat().st_size
    return found


@dataclass
class Used:
    """What a process took: seconds, CPU seconds, peak megabytes, and seconds of its stages."""

    seconds: float
    cpu: float
    peak: float
    stages: dict[str, float] = field(default_factory=dict)
    said: bytes = b""

    def row(self) -> Row:
        found: Row = {"seconds": self.seconds, "cpu": self.cpu, "peak_mb": self.peak}
        stages = ("start", *dict.fromkeys(STAGES.values()))
        found |= {f"{stage}_s": self.stages.get(stage) for stage in stages if self.stages}
        return {name: value and round(value, 2) for name, value in found.items()}


class Watch:
    """Tells the stages of an evening by what it says."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self._stage, self._since = "start", time.perf_counter()

    def hear(self, line: str) -> None:
        stage = STAGES.get(line.partition(" ")[0])
        if stage is not None:
            self.stop()
            self._stage = stage

    def stop(self) -> None:
        now = time.perf_counter()
        self.stages[self._stage] = self.stages.get(self._stage, 0.0) + now - self._since
        self._since = now


def evening(root: Path, environment: dict[str, str]) -> Used:
    """Run `lstm daily`."""
    watch = Watch()
    used = lstm(root, environment, "daily", watch=watch)
    used.stages = watch.stages
    return used


def evening_here(root: Path, environment: dict[str, str]) -> Used:
    """Run what `lstm daily` runs in this process; its peak is that of all evenings so far."""
    os.environ.update(environment)
    watch, started, before = Watch(), time.perf_counter(), time.process_time()
    day = daily(Session(Workspace(root)), on_step=watch.hear)
    watch.stop()
    if day.exit_code:
        sys.exit(f"An evening failed: {day.as_dict()}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.perf_counter() - started
    return Used(seconds, time.process_time() - before, peak, watch.stages)


def lstm(root: Path, environment: dict[str, str], *words: str, watch: Watch | None = None) -> Used:
    """Run one command, and return what it and its children took."""
    line = [*LSTM, *words, "--workspace", str(root)]
    started, said = time.perf_counter(), []
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            line,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        for text in process.stderr:
            said.append(text)
            if watch is not None:
                watch.hear(text)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        if watch is not None:
            watch.stop()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{' '.join(line)} ended with {process.returncode}:\n{''.join(said)[-3000:]}")
        output.seek(0)
        answer = output.read()
    cpu = used.ru_utime + used.ru_stime
    return Used(seconds, cpu, used.ru_maxrss / 1024, said=answer)


if __name__ == "__main__":
    main()
