"""Measure an older version against this one: the same commands on the same bars, in turn.

    git worktree add ../old COMMIT
    python benchmarks/versions.py --old ../old

Each version has a workspace of its own. It fetches ten years of a hundred tickers from Yahoo
imitated on loopback, trains `lstm.yaml` on all of them for one epoch, forecasts them, and does two
evenings; once more when nothing is new; then it verifies its ledger. Each is a process of its
own. Both versions pause for a second between tickers of Yahoo: where they fetch, CPU seconds tell
more. Writes results/versions.csv, a row for each process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
from evening_market import Yahoo, yahoo
from evenings import LSTM, Row, lstm, sizes, stamped

HERE = Path(__file__).parent
OUTPUT = HERE.parent / "results" / "versions.csv"

SMALL = ("training.members=1", "training.epochs=1", "training.refit=false")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", type=Path, required=True, help="a checkout of the older version")
    parser.add_argument("--tickers", type=int, default=100)
    parser.add_argument("--sessions", type=int, default=2500, help="before the first evening")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    of = {"tickers": arguments.tickers, "sessions": arguments.sessions}
    rows: list[Row] = []
    with yahoo(None, arguments.tickers, arguments.sessions, evenings=2) as server:
        for turn in range(arguments.rounds):
            for tree in (arguments.old.resolve(), HERE.parent):
                # Else Python takes the package of the folder in which this runs.
                code = {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}
                version = version_of(code)
                with tempfile.TemporaryDirectory() as folder:
                    for row in life(Path(folder), server, code, arguments.tickers):
                        rows.append({"round": turn + 1, "version": version, **of, **row})
                        print({name: value for name, value in row.items() if value}, flush=True)
                        stamped(rows).to_csv(arguments.output, index=False, lineterminator="\n")
    print(compared(pd.DataFrame(rows)).to_string())


def version_of(code: Mapping[str, str]) -> str:
    line = [*LSTM, "--version"]
    environment = {**os.environ, **code}
    return subprocess.run(
        line, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def life(folder: Path, server: Yahoo, code: Mapping[str, str], tickers: int) -> Iterator[Row]:
    """Yield what each process of a version used, from an empty workspace on."""
    root, names = folder / "data", folder / "names.txt"
    names.write_text("".join(f"T{number:03d}\n" for number in range(tickers)))
    universe = ("--universe", str(names))
    before = {**server.environment(0), **code}
    settings = [word for each in SMALL for word in ("--set", each)]
    for what, words in (
        ("fetch", ("fetch", *universe)),
        ("train", ("train", *universe, "--config", "lstm", *settings)),
        ("predict", ("predict", *universe, "--json")),
        ("predict one", ("predict", "T000", "--json")),
    ):
        yield {"what": what, **lstm(root, before, *words).row()}
    for number, what in ((1, "first evening"), (2, "evening"), (2, "nothing new")):
        environment = {**server.environment(number), **code}
        there = sizes(root)
        used = lstm(root, environment, "daily").row()
        grown = {name: size - there[name] for name, size in sizes(root).items()}
        yield {"what": what, **used, **grown}
    yield {"what": "verify", **lstm(root, environment, "ledger", "verify").row()}


def compared(rows: pd.DataFrame) -> pd.DataFrame:
    """Return medians by process, one column a version."""
    numbers = ["seconds", "cpu", "peak_mb", "ledger_bytes", "forecasts_bytes"]
    order = list(dict.fromkeys(rows["version"]))
    medians = rows.groupby(["what", "version"], sort=False)[numbers].median()
    return medians.unstack().reindex(columns=order, level=1)


if __name__ == "__main__":
    main()
