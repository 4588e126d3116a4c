"""Measure how time and memory grow with the number of tickers.

    python benchmarks/growth.py          # about an hour on two idle cores

Whole commands on simulated bars of 5,000 sessions a ticker, each in a process of its own:
a training of one epoch, and `lstm predict`. The numbers of tickers go up and down in turn, so
that a machine that slows down shows. Writes results/growth.csv: medians, the ratio to half as
many tickers, and the exponent of the power law that fits all numbers of tickers best.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from speed import HERE, OURS, table

OUTPUT = HERE.parent / "results" / "growth.csv"
TICKERS = (100, 200, 400, 800)
SESSIONS = 5000

Row = dict[str, object]
Used = tuple[float, float]
"""Seconds and peak megabytes of one process."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tickers", type=int, nargs="+", default=TICKERS)
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--only", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    numbers = sorted(arguments.tickers)
    used: dict[tuple[str, int], list[Used]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(arguments.rounds):
            for number in numbers if turn % 2 == 0 else reversed(numbers):
                workspace = Path(folder) / f"{number}-{turn}"
                simulate(workspace, number, arguments.sessions)
                for name in arguments.only:
                    for what, found in WORKS[name](workspace).items():
                        used.setdefault((what, number), []).append(found)
                        print(f"{what}, {number} tickers: {found}", file=sys.stderr)
    rows = growth(used, numbers)
    table(rows).to_csv(arguments.output, index=False, lineterminator="\n")
    print(pd.DataFrame(rows).to_string(index=False))


def simulate(workspace: Path, tickers: int, sessions: int) -> None:
    """Write bars of some tickers, and a universe file that names them."""
    script = str(HERE / "work" / "simulate.py")
    subprocess.run([OURS, script, str(workspace), str(tickers), str(sessions)], check=True)
    names = "\n".join(f"T{number:03d}" for number in range(tickers))
    (workspace / "universe.txt").write_text(names + "\n")


def lstm(workspace: Path, command: str, *words: str) -> Used:
    """Return what a command used, the largest process of its own counted for memory."""
    line = [OURS, "-m", "lstmcli", command, *words, "--workspace", str(workspace)]
    started = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, resources = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        if os.waitstatus_to_exitcode(status):
            errors.seek(0)
            raise SystemExit(errors.read().decode())
    return seconds, resources.ru_maxrss / 1024


def train(workspace: Path) -> dict[str, Used]:
    small = ("training.members=1", "training.epochs=1", "training.refit=false")
    words = [word for each in small for word in ("--set", each)]
    universe = ("--universe", str(workspace / "universe.txt"))
    return {"train": lstm(workspace, "train", *universe, "--config", "lstm", *words)}


def predict(workspace: Path) -> dict[str, Used]:
    universe = ("--universe", str(workspace / "universe.txt"))
    return {
        "predict": lstm(
            workspace, "predict", *universe, "--run", "pretrained", "--offline", "--json"
        )
    }


WORKS: dict[str, Callable[[Path], dict[str, Used]]] = {"predict": predict, "train": train}


def growth(used: dict[tuple[str, int], list[Used]], numbers: list[int]) -> list[Row]:
    """Return medians, ratios to half as many tickers, and the exponent of a power law."""
    rows: list[Row] = []
    for what in dict.fromkeys(name for name, _ in used):
        for place, unit in enumerate(("seconds", "peak MB")):
            medians = {
                number: statistics.median(found[place] for found in used[what, number])
                for number in numbers
            }
            exponent = np.nan
            if len(medians) > 1:
                exponent = np.polyfit(np.log(list(medians)), np.log(list(medians.values())), 1)[0]
            for number, median in medians.items():
                half = medians.get(number // 2, np.nan)
                rows.append(
                    {
                        "what": f"{what}, {unit}",
                        "tickers": number,
                        "median": round(median, 2),
                        "ratio_to_half": round(median / half, 3),
                        "exponent": round(float(exponent), 3),
                    }
                )
    return rows


if __name__ == "__main__":
    main()
