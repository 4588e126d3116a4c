"""Measure what a task costs on a simulated market: seconds, memory and bytes that travel.

    python benchmarks/scaling.py

Writes results/scaling.csv. Each task runs as a worker runs it: in a process of its own that was
started for it, with one thread, on a panel that came to it pickled; its seconds are those of the
CPU, which other work on the machine does not change. The tasks are a fold of two
baselines, a fold of a network, and a member of a network that is trained by itself. Each runs on
two sizes of market, so that what a ticker costs can be told from what a process costs. Then the
same eight folds run in one worker and in two, processes and dask on this machine, by the clock:
that needs a machine with nothing else to do, and --alone leaves it out.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import pickle
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from lstmcli.config import load_config
from lstmcli.evaluation.backtest import BacktestConfig, cut_folds
from lstmcli.evaluation.simulation import simulated
from lstmcli.evaluation.tasks import FoldTask, MemberTask
from lstmcli.executors import Done, Workers, open_executor, run_tasks
from lstmcli.executors.tasks import Task
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.panel import Panel
from lstmcli.version import __version__

OUTPUT = Path(__file__).parent.parent / "results" / "scaling.csv"
HORIZON = 20
STEPS = (1, 5, 10, 20)
EPOCHS = 3
"""Of a network: more take longer in proportion."""
COLUMNS = [
    *("stage", "workers", "tickers", "sessions", "seconds", "peak_mb", "start_mb"),
    *("panel_bytes", "task_bytes", "result_bytes", "lstmcli"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tickers", type=int, nargs=2, default=(20, 60), metavar=("FEW", "MANY"))
    parser.add_argument("--sessions", type=int, default=2500)
    parser.add_argument("--alone", action="store_true", help="no workers side by side")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    rows = []
    for tickers in arguments.tickers:
        panel = market(tickers, arguments.sessions)
        for stage, task in tasks_of(panel).items():
            rows.append({"stage": stage, "workers": 1, **sizes(panel), **measured(task, panel)})
            print(rows[-1], flush=True)
    panel = market(arguments.tickers[0], arguments.sessions)
    for name in () if arguments.alone else ("processes", "dask"):
        for count in (1, 2):
            seconds = side_by_side(panel, Workers(count, name))
            rows.append({"stage": name, "workers": count, **sizes(panel), "seconds": seconds})
            print(rows[-1], flush=True)
    with arguments.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "lstmcli": __version__} for row in rows)


def market(tickers: int, sessions: int) -> Panel:
    """Return random walks in bars."""
    generator = np.random.default_rng(0)
    walks = {f"T{n:04d}": 0.01 * generator.standard_normal(sessions) for n in range(tickers)}
    return simulated(walks, seed=0)


def sizes(panel: Panel) -> dict[str, int]:
    return {"tickers": len(panel), "sessions": len(panel.sessions())}


def tasks_of(panel: Panel) -> dict[str, Task]:
    """Return one task of each stage."""
    settings = [f"training.epochs={EPOCHS}", f"training.patience={EPOCHS}", "training.members=1"]
    network = load_config("lstm", overrides=[*settings, "training.threads=1"]).recipe()
    folds = cut_folds(
        panel.sessions(), BacktestConfig(folds=4, train_years=5), horizon=HORIZON, least=500
    )
    recipes = {name: BASELINES[name](HORIZON) for name in ("har_ridge", "garch")}
    recipes["lstm"] = network
    found: dict[str, Task] = {
        f"fold, {name}": FoldTask(recipe, panel.sha256, folds[-1], STEPS)
        for name, recipe in recipes.items()
    }
    until = panel.sessions()[-1]
    found["member, lstm"] = MemberTask(network, panel.sha256, until, "final", 1)
    return found


def measured(task: Task, panel: Panel) -> dict[str, float]:
    """Return what a task takes in a worker of its own."""
    sent = pickle.dumps(panel, protocol=pickle.HIGHEST_PROTOCOL)
    asked = pickle.dumps(task)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(work, asked, sent).result()
    return {**found, "panel_bytes": len(sent), "task_bytes": len(asked)}


def work(asked: bytes, sent: bytes) -> dict[str, float]:
    """Run a task in this process, as a worker does."""
    task, panel = pickle.loads(asked), pickle.loads(sent)
    before, started = peak(), time.process_time()
    with threadpool_limits(1):
        value = task.run(panel)
    return {
        "seconds": round(time.process_time() - started, 2),
        "peak_mb": round(peak()),
        "start_mb": round(before),
        "result_bytes": len(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)),
    }


def peak() -> float:
    """Return the most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def side_by_side(panel: Panel, workers: Workers) -> float:
    """Return the seconds of eight equal folds, workers started."""
    folds = cut_folds(
        panel.sessions(), BacktestConfig(folds=4, train_years=5), horizon=HORIZON, least=500
    )
    recipe = BASELINES["garch"](HORIZON)
    tasks = [FoldTask(recipe, panel.sha256, folds[-1], (step,)) for step in range(1, 9)]
    # Equal work under eight names.
    tasks = [Numbered(task, number) for number, task in enumerate(tasks)]
    with open_executor(workers, panels={panel.sha256: panel}, tasks=len(tasks)) as executor:
        list(run_tasks(executor, [Numbered(tasks[0].task, -n) for n in range(1, 3)]))  # imports
        started = time.perf_counter()
        outcomes = list(run_tasks(executor, tasks))
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    return round(time.perf_counter() - started, 2)


class Numbered:
    """A task under a name of its own."""

    def __init__(self, task: FoldTask, number: int) -> None:
        self.task, self.number = task, number

    @property
    def key(self) -> str:
        return f"{self.number}-{self.task.key}"

    @property
    def panel_sha(self) -> str:
        return self.task.panel_sha

    def run(self, panel: Panel) -> object:
        return self.task.run(panel)


if __name__ == "__main__":
    main()
