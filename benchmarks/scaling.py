"""Measure what a task costs on a simulated market: seconds, memory and bytes that travel.

    python benchmarks/scaling.py

Writes results/scaling.csv. Each task runs as a worker runs it: in a process of its own that was
started for it, with one thread, on a panel that came to it pickled; its seconds are those of the
CPU, which other work on the machine does not change. The tasks are a fold of two
baselines, a fold of a network, and a member of a network that is trained by itself. Each runs on
two sizes of market, so that what a ticker costs can be told from what a process costs.

Then equal folds, and the forecasts of a universe, run on one worker and on more, by the clock: that
needs a machine with nothing else to do. On one with 16 cores, where the tasks above are not wanted:

    python benchmarks/scaling.py --side-by-side --counts 1 2 4 8 16 --tasks 32

writes results/cores.csv.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import pickle
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from lstmcli.config import load_config
from lstmcli.evaluation.backtest import BacktestConfig, cut_folds
from lstmcli.evaluation.forecast_task import ForecastTask
from lstmcli.evaluation.simulation import simulated
from lstmcli.evaluation.tasks import FoldTask, MemberTask
from lstmcli.executors import Done, Workers, open_executor, run_tasks
from lstmcli.executors.tasks import Task
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.forecasters.kept_calibration import KeptCalibration
from lstmcli.panel import Panel
from lstmcli.pipeline.saved import fitted_from, stored_config
from lstmcli.store.runs import RunStore
from lstmcli.store.shipped import shipped_run
from lstmcli.version import __version__

RESULTS = Path(__file__).parent.parent / "results"
HORIZON = 20
STEPS = (1, 5, 10, 20)
FORECASTS = "forecasts, pretrained"
"""The stage of `lstm predict` and `lstm daily`."""

LEARNT = 250
"""Sessions of the market since the end of training of the network that ships: about a year."""
EPOCHS = 3
"""Of a network: more take longer in proportion."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tickers", type=int, nargs=2, default=(50, 150), metavar=("FEW", "MANY"))
    parser.add_argument("--sessions", type=int, default=2500)
    parser.add_argument("--side-by-side", action="store_true", help="workers, not single tasks")
    parser.add_argument("--counts", type=int, nargs="+", default=(1, 2), help="of workers")
    parser.add_argument("--tasks", type=int, default=8, help="that run side by side")
    parser.add_argument("--executors", nargs="+", default=("processes", "dask"))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    found = side_by_side(arguments) if arguments.side_by_side else tasks_alone(arguments)
    rows = []
    for row in found:
        rows.append({**row, "lstmcli": __version__})
        print(row, flush=True)
    default = RESULTS / ("cores.csv" if arguments.side_by_side else "scaling.csv")
    with (arguments.output or default).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def tasks_alone(arguments: argparse.Namespace) -> Iterator[dict[str, object]]:
    for tickers in arguments.tickers:
        panel = market(tickers, arguments.sessions)
        for stage, task in tasks_of(panel).items():
            yield {"stage": stage, "workers": 1, **sizes(panel), **measured(task, panel)}


def side_by_side(arguments: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Yield the seconds that the same tasks take on some numbers of workers."""
    few = market(arguments.tickers[0] * 2 // 5, arguments.sessions)
    universe = market(arguments.tickers[0] * arguments.tasks, arguments.sessions)
    works = {
        "folds, garch": (folds_of(few, arguments.tasks), {few.sha256: few}, few),
        FORECASTS: (forecasts_of(universe, arguments.tickers[0]), {}, universe),
    }
    for what, (tasks, panels, panel) in works.items():
        for executor in arguments.executors:
            first = None
            for count in arguments.counts:
                seconds = seconds_of(tasks, panels, Workers(count, executor))
                first = first or seconds
                yield {
                    "stage": what,
                    "executor": executor,
                    "workers": count,
                    "tasks": len(tasks),
                    **sizes(panel),
                    "seconds": seconds,
                    "ratio_to_first": round(first / seconds, 2),
                    "cores": os.cpu_count(),
                }


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
    (found[FORECASTS],) = forecasts_of(panel, len(panel))
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


def folds_of(panel: Panel, count: int) -> list[Task]:
    """Return equal tasks under names of their own."""
    folds = cut_folds(
        panel.sessions(), BacktestConfig(folds=4, train_years=5), horizon=HORIZON, least=500
    )
    task = FoldTask(BASELINES["garch"](HORIZON), panel.sha256, folds[-1], STEPS)
    return [Numbered(task, number) for number in range(count)]


def forecasts_of(panel: Panel, together: int) -> list[Task]:
    """Return the forecasts of a universe by the network that ships, so many tickers a task.

    Nothing is kept of evenings before: the calibration of a year is learnt anew.
    """
    run = shipped_run()
    runs = RunStore(Path("none"))
    recipe = stored_config(runs, run.manifest.run, run.files.config).recipe()
    fitted = fitted_from(run.files, recipe, store=runs, run=run.manifest.run)
    fitted = replace(fitted, learns_from=panel.sessions()[-LEARNT])
    tickers = list(panel)
    return [
        ForecastTask(
            fitted=fitted,
            panel=panel.only(tickers[first : first + together]),
            origins=panel.sessions()[-1:],
            beside=("har_ridge",),
            kept=KeptCalibration(HORIZON, "", {}.get),
        )
        for first in range(0, len(tickers), together)
    ]


def seconds_of(tasks: list[Task], panels: dict[str, Panel], workers: Workers) -> float:
    """Return the seconds of some tasks, the start of workers and their imports left out."""
    with open_executor(workers, panels=panels, tasks=len(tasks)) as executor:
        first = [Numbered(tasks[0], -1 - n) for n in range(executor.max_workers)]
        list(run_tasks(executor, first))
        started = time.perf_counter()
        outcomes = list(run_tasks(executor, tasks))
    assert all(isinstance(outcome, Done) for outcome in outcomes), outcomes
    return round(time.perf_counter() - started, 2)


class Numbered:
    """A task under a name of its own."""

    def __init__(self, task: Task, number: int) -> None:
        self.task, self.number = task, number

    @property
    def key(self) -> str:
        return f"{self.number}-{self.task.key}"

    @property
    def panel_sha(self) -> str | None:
        return self.task.panel_sha

    def run(self, panel: Panel | None) -> object:
        return self.task.run(panel)


if __name__ == "__main__":
    main()
