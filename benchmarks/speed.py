"""Measure training, start-up, forecasting and memory against other libraries.

    make bench          # about 45 minutes on two idle cores

Builds an environment for the peers (`peers.txt`), then runs ours and theirs in
turn, A B A B, each in a process of its own, and prints medians with ratios.
Machines are noisy and shared: the ratios travel, the seconds do not. Writes
results/performance.csv.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

import lstmcli
from lstmcli.evaluation.backtest import BacktestConfig, cut_folds
from lstmcli.frames import QUANTILES
from lstmcli.models.runtime import usable_cores
from lstmcli.store import Workspace

HERE = Path(__file__).parent
OUTPUT = HERE.parent / "results" / "performance.csv"
PEERS = HERE / ".venv"
OURS = sys.executable

WINDOWS = 7500
TRAINERS = {
    "ours": (OURS, "ours.py"),
    "stock Keras": (OURS, "stock.py"),
    "PyTorch loop": (str(PEERS / "bin" / "python"), "torch_loop.py"),
    "neuralforecast": (str(PEERS / "bin" / "python"), "neuralforecast_lstm.py"),
    "darts": (str(PEERS / "bin" / "python"), "darts_lstm.py"),
}
HORIZON = 20
FOLDS, FOLD_SESSIONS = 2, 126
"""Of the walk-forward: two half years."""

GIGAFLOP = 48 / WINDOWS
"""Of a window: 60 sessions x 2·4·64·(5 + 64) multiply-adds, and twice that backward."""

Row = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=MEASURES, help="keeps the rows of others")
    parser.add_argument("--windows", type=int, default=WINDOWS, help="of an epoch")
    parser.add_argument("--tickers", type=int, default=500, help="of a universe")
    parser.add_argument("--sessions", type=int, default=5000, help="of each ticker")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    build_peers()
    rows: list[Row] = []
    others = stored(arguments.output) if arguments.only else None
    for name in arguments.only or MEASURES:
        rows += MEASURES[name](arguments)
        write(rows, arguments.output, others=others)
    print(table(rows).to_string(index=False))


def stored(path: Path) -> pd.DataFrame | None:
    """Return a table as it was written, all of it text; None where there is none."""
    return pd.read_csv(path, dtype=str) if path.exists() else None


def write(rows: list[Row], path: Path, *, others: pd.DataFrame | None) -> None:
    """Write a table: what others say of other works, then these rows."""
    found = table(rows).astype(object)
    if others is not None:
        found = pd.concat([others[~others["what"].isin(found["what"])], found])
    found.to_csv(path, index=False, lineterminator="\n")


def table(rows: list[Row]) -> pd.DataFrame:
    stamp = {
        "cores": usable_cores(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "lstmcli": lstmcli.__version__,
        "date": datetime.date.today().isoformat(),
    }
    return pd.DataFrame([{**row, **stamp} for row in rows])


def build_peers() -> None:
    """Install the peers where they cannot disturb our own lock."""
    ready = PEERS / ".ready"
    wanted = (HERE / "peers.txt").read_text()
    if ready.exists() and ready.read_text() == wanted:
        return
    print("installing the peers …", file=sys.stderr)
    subprocess.run([OURS, "-m", "venv", "--clear", str(PEERS)], check=True)
    pip = [str(PEERS / "bin" / "python"), "-m", "pip", "install", "-q"]
    subprocess.run([*pip, "-r", str(HERE / "peers.txt")], check=True)
    ready.write_text(wanted)


def in_turn(rounds: int, works: dict[str, Callable[[], float]], what: str) -> list[Row]:
    """Run each work once a round, in turn, and return medians with the ratio to ours."""
    figures: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds):
        for name, work in works.items():
            figures[name].append(work())
            print(f"{what}: {name}, round {turn + 1}: {figures[name][-1]:.3f}", file=sys.stderr)
    ours = next(iter(figures.values()))
    rows: list[Row] = []
    for name, values in figures.items():
        ratios = [theirs / mine for theirs, mine in zip(values, ours, strict=True)]
        rows.append(
            {
                "what": what,
                "who": name,
                "median": round(statistics.median(values), 4),
                "least": round(min(values), 4),
                "most": round(max(values), 4),
                "ratio_to_ours": round(statistics.median(ratios), 2),
            }
        )
    return rows


def epoch(who: str, batch: int, layers: int, windows: int) -> float:
    """Return the seconds of one epoch after warm-up, in a process of its own."""
    python, script = TRAINERS[who]
    command = [python, str(HERE / "work" / script), str(batch), str(layers), str(windows)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.strip().splitlines()[-1])["seconds"])


def training(arguments: argparse.Namespace) -> list[Row]:
    rows = []
    # Figures of other windows stand beside those that are told of.
    less = "" if arguments.windows == WINDOWS else f", {arguments.windows} windows"
    for layers in (1, 2):
        for batch in (32, 64, 256):
            works = {who: partial(epoch, who, batch, layers, arguments.windows) for who in TRAINERS}
            what = f"epoch seconds, {layers} layers, batch {batch}{less}"
            rows += in_turn(arguments.rounds, works, what)
    return rows


def growth(arguments: argparse.Namespace) -> list[Row]:
    works = {
        f"ours, {times} x the windows": partial(epoch, "ours", 64, 1, arguments.windows * times)
        for times in (1, 2, 4, 8)
    }
    return in_turn(arguments.rounds, works, "epoch seconds as windows grow")


def whole(*command: str) -> float:
    """Return the seconds of a whole process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def imports(arguments: argparse.Namespace) -> list[Row]:
    theirs = TRAINERS["darts"][0]
    works = {
        "lstm --help": partial(whole, OURS, "-m", "lstmcli", "--help"),
        "import tensorflow": partial(whole, OURS, "-c", "import tensorflow"),
        "import neuralforecast": partial(whole, theirs, "-c", "import neuralforecast"),
        "import darts": partial(whole, theirs, "-c", "import darts.models"),
    }
    return in_turn(arguments.rounds, works, "start-up seconds")


def processes(arguments: argparse.Namespace) -> list[Row]:
    """Whole commands on simulated bars: one ticker, and all of them."""
    rounds, tickers, sessions = arguments.rounds, arguments.tickers, arguments.sessions
    with tempfile.TemporaryDirectory() as folder:
        universe = simulate(Path(folder), tickers, sessions)

        def lstm(command: str, *words: str) -> float:
            return whole(OURS, "-m", "lstmcli", command, *words, "--workspace", folder)

        small = ("--config", "lstm", "--set", "training.members=1", "--set", "training.epochs=3")
        rows = in_turn(
            rounds,
            {"lstm train, 3 epochs, 2 fits": partial(lstm, "train", "T000", *small)},
            "train",
        )
        works = {
            "lstm predict, one ticker": partial(lstm, "predict", "T000"),
            "import tensorflow": partial(whole, OURS, "-c", "import tensorflow"),
        }
        rows += in_turn(rounds, works, "predict, whole process")
        # Eight features and one epoch; the largest process yet is what counts.
        features = "log_return,range,volume,momentum_5,momentum_20,rsi,macd,atr"
        pooled = (
            *("--set", f"features=[{features}]", "--set", "training.epochs=1"),
            *("--set", "training.refit=false", "--set", "training.batch_size=1024"),
            # Without a refit the fit ends before the test block; a refit ends at the last bar.
            *("--set", "split.test=21"),
        )
        seconds = lstm("train", "--universe", str(universe), *small, *pooled)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        what = f"{tickers} tickers x {sessions:,} sessions x 8 features"
        rows.append({"what": f"train seconds, {what}", "who": "ours", "median": round(seconds)})
        rows.append({"what": f"peak MB, {what}", "who": "ours", "median": round(peak)})
        every = partial(lstm, "predict", "--universe", str(universe), "--json")
        works = {f"lstm predict, {tickers} tickers": every}
        return rows + in_turn(rounds, works, "predict a universe")


def simulate(workspace: Path, tickers: int, sessions: int) -> Path:
    """Write bars of some tickers, and return a universe file that names them."""
    script = str(HERE / "work" / "simulate.py")
    subprocess.run([OURS, script, str(workspace), str(tickers), str(sessions)], check=True)
    names = workspace / "universe.txt"
    names.write_text("".join(f"T{number:03d}\n" for number in range(tickers)))
    return names


def universe(arguments: argparse.Namespace) -> list[Row]:
    """Forecasts of many tickers, and a walk-forward, against neuralforecast on the same bars.

    Whole processes, from bars on disk to forecasts at the same quantile levels. `lstm predict`
    also calibrates its intervals on the past, which neuralforecast does not. In the walk-forward
    both fit a network of the same size anew before each fold, one epoch, and forecast
    20 sessions from each session of the fold.
    """
    theirs, work = TRAINERS["neuralforecast"][0], HERE / "work"
    rounds, tickers = arguments.rounds, arguments.tickers
    with tempfile.TemporaryDirectory() as folder:
        names = simulate(Path(folder), tickers, arguments.sessions)
        write_task(Path(folder))
        script = str(work / "neuralforecast_market.py")
        subprocess.run([theirs, script, folder, "save"], check=True, capture_output=True)
        words = ("--run", "pretrained", "--offline", "--json", "--workspace", folder)
        works = {
            "lstm predict": partial(
                whole, OURS, "-m", "lstmcli", "predict", "--universe", str(names), *words
            ),
            "neuralforecast": partial(whole, theirs, script, folder, "predict"),
        }
        rows = in_turn(rounds, works, f"predict, whole process, {tickers} tickers")
        works = {
            "ours": partial(whole, OURS, str(work / "our_walk_forward.py"), folder),
            "neuralforecast": partial(whole, theirs, script, folder, "walk"),
        }
        return rows + in_turn(rounds, works, f"walk-forward, whole process, {tickers} tickers")


def write_task(folder: Path) -> None:
    """Write the folds of a walk-forward over the bars of a workspace, for every library."""
    bars = Workspace(folder).bars
    sessions = pd.DatetimeIndex(bars.read(bars.tickers()[0])[0].index)
    start = sessions[-FOLDS * FOLD_SESSIONS - HORIZON].date()
    config = BacktestConfig(folds=FOLDS, start=start)
    folds = []
    for fold in cut_folds(sessions, config, horizon=HORIZON, least=1000):
        # Outcomes of the last origin arrive so many sessions later.
        last = sessions[sessions.get_loc(fold.origins[-1]) + HORIZON]
        days = {"since": fold.since, "until": fold.until, "last": last}
        found = {name: day.date().isoformat() for name, day in days.items()}
        folds.append({**found, "origins": len(fold.origins)})
    content = {"quantiles": QUANTILES, "folds": folds}
    (folder / "task.json").write_text(json.dumps(content), "utf-8")


def matrix_product(arguments: argparse.Namespace) -> list[Row]:
    """The share of the machine's float32 matrix-product peak while training."""

    def peak() -> float:
        a = np.random.default_rng(0).standard_normal((2048, 2048), np.float32)
        a @ a
        started = time.perf_counter()
        for _ in range(10):
            a @ a
        return 10 * 2 * 2048**3 / (time.perf_counter() - started) / 1e9

    shares = []
    windows = arguments.windows
    for _ in range(arguments.rounds):
        ours = GIGAFLOP * windows / epoch("ours", 64, 1, windows)
        shares.append(100 * ours / peak())
    return [
        {
            "what": "% of the float32 matrix-product peak, 1 layer, batch 64",
            "who": "ours",
            "median": round(statistics.median(shares), 1),
            "least": round(min(shares), 1),
            "most": round(max(shares), 1),
        }
    ]


MEASURES: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "training": training,
    "growth": growth,
    "imports": imports,
    "processes": processes,
    "peak": matrix_product,
    "universe": universe,
}

if __name__ == "__main__":
    main()
