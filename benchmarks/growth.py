"""Measure how time and memory grow with the number of tickers.

    python benchmarks/growth.py

Whole commands on simulated bars of 5,000 sessions a ticker, each in a process of its own:
`lstm fetch` from a CSV file of all of them, a training of one epoch, `lstm predict`, and the
second evening of `lstm daily`, against Yahoo imitated on loopback (see evenings.py). The numbers of
tickers go up and down in turn, so that a machine that slows down shows. Writes results/growth.csv:
medians, the ratio to half as many tickers, and the exponent of the power law that fits all numbers
of tickers best. CPU seconds hardly change with other work on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from evening_market import yahoo
from evenings import Used, evening
from evenings import lstm as run
from speed import HERE, simulate, stored, write

from lstmcli.store import Workspace

OUTPUT = HERE.parent / "results" / "growth.csv"
TICKERS = (100, 200, 400, 800)
SESSIONS = 5000

UNITS = {"seconds": "seconds", "CPU seconds": "cpu", "peak MB": "peak"}
"""What is told of a process, and where `Used` has it."""

Row = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tickers", type=int, nargs="+", default=TICKERS)
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--only", nargs="+", choices=WORKS, help="keeps the rows of others")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    numbers = sorted(arguments.tickers)
    used: dict[tuple[str, int], list[Used]] = {}
    others = stored(arguments.output) if arguments.only else None
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(arguments.rounds):
            for number in numbers if turn % 2 == 0 else reversed(numbers):
                workspace = Path(folder) / f"{number}-{turn}"
                simulate(workspace, number, arguments.sessions)
                for name in arguments.only or WORKS:
                    found = WORKS[name](workspace)
                    used.setdefault((name, number), []).append(found)
                    print(f"{name}, {number} tickers: {found.row()}", file=sys.stderr)
                    rows = growth(used, arguments.sessions)
                    write(rows, arguments.output, others=others)
    print(pd.DataFrame(rows).to_string(index=False))


def lstm(workspace: Path, command: str, *words: str) -> Used:
    return run(workspace, {}, command, *words)


def universe(workspace: Path) -> tuple[str, str]:
    return "--universe", str(workspace / "universe.txt")


def fetch(workspace: Path) -> Used:
    """Fetch all tickers anew from a file."""
    store, file = Workspace(workspace).bars, workspace / "quotes.csv"
    columns = ["Open", "High", "Low", "Close", "Volume"]
    with file.open("w") as out:
        out.write(",".join(["Date", "Ticker", *columns]) + "\n")
        for ticker in store.tickers():
            bars = store.read(ticker)[0].rename(columns=str.title).rename_axis("Date")
            bars.insert(0, "Ticker", ticker)
            bars[["Ticker", *columns]].to_csv(out, header=False)
    return lstm(workspace / "fetched", "fetch", "--source", "csv", "--file", str(file))


def train(workspace: Path) -> Used:
    small = ("training.members=1", "training.epochs=1", "training.refit=false")
    words = [word for each in small for word in ("--set", each)]
    return lstm(workspace, "train", *universe(workspace), "--config", "lstm", *words)


def predict(workspace: Path) -> Used:
    return lstm(
        workspace, "predict", *universe(workspace), "--run", "pretrained", "--offline", "--json"
    )


def daily(workspace: Path) -> Used:
    """Run two evenings, and return what the second one took."""
    names = Workspace(workspace).bars.tickers()
    sessions = len(Workspace(workspace).bars.read(names[0])[0])
    root = workspace / "evenings"
    with yahoo(root, len(names), sessions, 2) as server:
        return [evening(root, server.environment(number)) for number in (1, 2)][-1]


WORKS: dict[str, Callable[[Path], Used]] = {
    "fetch": fetch,
    "predict": predict,
    "train": train,
    "daily": daily,
}


def growth(used: dict[tuple[str, int], list[Used]], sessions: int) -> list[Row]:
    """Return medians, ratios to half as many tickers, and the exponent of a power law."""
    rows: list[Row] = []
    for what in dict.fromkeys(name for name, _ in used):
        numbers = sorted(number for name, number in used if name == what)
        for unit, place in UNITS.items():
            medians = {
                number: statistics.median(getattr(found, place) for found in used[what, number])
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
                        "sessions": sessions,
                        "median": round(median, 2),
                        "ratio_to_half": round(median / half, 3),
                        "exponent": round(float(exponent), 3),
                    }
                )
    return rows


if __name__ == "__main__":
    main()
