"""Backtest: refit fold by fold, beside every baseline, and judge what came of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from lstmcli import clock
from lstmcli.config import RunConfig
from lstmcli.errors import ConfigError, NoDataError
from lstmcli.evaluation.backtest import (
    MIN_HISTORY,
    Fold,
    check_span,
    cut_folds,
    forecast_fold,
    judged_steps,
    taking_part,
)
from lstmcli.evaluation.metrics import score_fully
from lstmcli.evaluation.verdict import Verdict, judge, outcomes
from lstmcli.fanout import fan_out
from lstmcli.forecasters.base import Recipe
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.forecasters.blend import FittedBlend
from lstmcli.forecasters.calibrated import SUFFIX
from lstmcli.forecasters.network import FittedNetwork
from lstmcli.models.runtime import usable_cores
from lstmcli.panel import Panel
from lstmcli.pipeline._panel import Loaded, load_panel
from lstmcli.pipeline.train import versions
from lstmcli.report.wording import verdict_json
from lstmcli.store import Workspace
from lstmcli.store.backtests import BacktestManifest, BacktestRecord

log = logging.getLogger(__name__)

MOST_WORKERS = 4
"""Processes unless the user asks for more; each holds TensorFlow, about 700 MB."""

KEYS = ["ticker", "made_on", "step"]


@dataclass(frozen=True)
class Task:
    """One recipe on one fold: all that a process of its own needs to know.

    Attributes:
        label: the config's or the baseline's name.
        config: None for a baseline.
    """

    root: Path
    tickers: tuple[str, ...]
    last: pd.Timestamp
    label: str
    config: RunConfig | None
    horizon: int
    fold: Fold

    @property
    def key(self) -> str:
        return f"{self.label}-{self.fold.number:02d}"


@dataclass(frozen=True)
class BacktestPlan:
    """Everything that is settled before the first fit."""

    configs: Mapping[str, RunConfig]
    loaded: Loaded
    folds: tuple[Fold, ...]
    tasks: tuple[Task, ...]
    record: BacktestRecord
    left_out: dict[str, tuple[str, ...]]
    steps: tuple[int, ...]


@dataclass(frozen=True)
class BacktestResult:
    """A finished backtest: scores of every recipe, and a verdict for each config."""

    manifest: BacktestManifest
    scores: pd.DataFrame
    verdicts: dict[str, Verdict]


@dataclass(frozen=True)
class Progress:
    """One piece that is done."""

    label: str
    fold: int
    seconds: float
    done: int
    of: int


def plan_backtest(
    workspace: Workspace, configs: Mapping[str, RunConfig], tickers: Sequence[str]
) -> BacktestPlan:
    """Return the folds and what has to be fitted; fits nothing.

    Args:
        configs: by label; all with the same horizon and the same `backtest` section.
        tickers: else the first config's, else every stored one.

    Raises:
        NoDataError: too few sessions for the folds; says how many folds fit.
        ConfigError: the configs cannot be compared.
    """
    check_span({label: config.backtest for label, config in configs.items()})
    horizons = {config.window.horizon for config in configs.values()}
    if len(horizons) > 1:
        raise ConfigError(
            f"Expected one horizon in all configs. Received: {sorted(horizons)}.",
            hint="--set window.horizon=20 sets it for all",
        )
    first = next(iter(configs.values()))
    clash = [label for label in configs if label in BASELINES]
    if clash:
        raise ConfigError(f"Expected a config with a name of its own. Received: {clash[0]}.")
    loaded = load_panel(workspace, tickers or first.tickers)
    panel, horizon = loaded.panel, first.window.horizon
    sessions = panel.sessions()
    least = max(_least_sessions(config) for config in configs.values())
    folds = cut_folds(sessions, first.backtest, horizon=horizon, least=least)
    left_out = {
        str(fold.number): tuple(sorted(set(panel) - set(taking_part(panel, fold))))
        for fold in folds
    }
    for fold in folds:
        if len(left_out[str(fold.number)]) == len(panel):
            raise NoDataError(
                f"Expected a ticker with {MIN_HISTORY} sessions before "
                f"{fold.origins[0]:%Y-%m-%d}. Received: none.",
                hint="--set backtest.folds=1, or lstm fetch --start 2000-01-01",
            )
    settled = {
        # One thread each: the last digits must not depend on how many workers there are.
        label: config.model_copy(
            update={
                "tickers": tuple(panel),
                "training": config.training.model_copy(
                    update={"threads": config.training.threads or 1}
                ),
            }
        )
        for label, config in configs.items()
    }
    jobs: list[tuple[str, RunConfig | None]] = [
        *settled.items(),
        *((name, None) for name in BASELINES),
    ]
    return BacktestPlan(
        configs=settled,
        loaded=loaded,
        folds=folds,
        tasks=tuple(
            Task(workspace.root, tuple(panel), sessions[-1], label, config, horizon, fold)
            for label, config in jobs
            for fold in folds
        ),
        record=BacktestRecord(
            configs={label: config.to_yaml() for label, config in settled.items()},
            bars={ticker: meta.sha256 for ticker, meta in loaded.metas.items()},
            folds=tuple(
                (str(fold.origins[0].date()), str(fold.origins[-1].date())) for fold in folds
            ),
            last=str(sessions[-1].date()),
            versions=versions(),
        ),
        left_out={number: names for number, names in left_out.items() if names},
        steps=judged_steps(horizon),
    )


def _least_sessions(config: RunConfig) -> int:
    """Return the sessions that a fit needs, features and lookback warmed up."""
    window = config.window
    return config.split.origins_needed(window.horizon) + window.lookback + window.horizon


def backtest(
    workspace: Workspace,
    plan: BacktestPlan,
    *,
    workers: int | None = None,
    on_start: Callable[[str, int, int], None],
    on_piece: Callable[[Progress], None],
    on_stage: Callable[[str], None],
) -> BacktestResult:
    """Run what is not done yet, score every forecast, judge, and store it all.

    Args:
        workers: processes; else one a core, four at most.
        on_start: is told the backtest's name, how many pieces exist and how many
            there will be.

    Raises:
        LockError: another process runs the same backtest.
        DiskError: it could not be written; the finished pieces remain.
    """
    store = workspace.backtests
    name = store.start(plan.record, at=clock.now())
    with store.hold(name):
        notes = store.pieces(name)
        left = [task for task in plan.tasks if task.key not in notes]
        on_start(name, len(plan.tasks) - len(left), len(plan.tasks))
        count = workers or min(usable_cores(), MOST_WORKERS)
        done = len(plan.tasks) - len(left)
        for task, (rows, note) in fan_out(run_task, left, workers=count):
            store.save_piece(name, task.key, rows, note)
            notes[task.key] = note
            done += 1
            on_piece(Progress(task.label, task.fold.number, note["seconds"], done, len(plan.tasks)))
        on_stage("scoring")
        return _judge(workspace, plan, name, notes)


def run_task(task: Task) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Fit one recipe for one fold and return its realised forecasts, and notes on the fit."""
    started = time.perf_counter()
    panel = taking_part(_panel(task.root, task.tickers, task.last), task.fold)
    recipe: Recipe = (
        BASELINES[task.label](task.horizon)
        if task.config is None
        else task.config.model_copy(update={"name": task.label}).recipe()
    )
    steps = judged_steps(task.horizon)
    # Workers that each use every core wait for each other.
    with threadpool_limits(1):
        fitted = recipe.fit(panel, task.fold.until)
        rows = forecast_fold(fitted, panel, task.fold, steps)
    notes: dict[str, Any] = {
        "seconds": round(time.perf_counter() - started, 1),
        "fallbacks": list(getattr(fitted, "fallbacks", ())),
    }
    if isinstance(fitted, FittedNetwork | FittedBlend):
        notes["best_epochs"] = list(fitted.network.state.best_epochs)
    return rows, notes


@cache
def _panel(root: Path, tickers: tuple[str, ...], last: pd.Timestamp) -> Panel:
    return load_panel(Workspace(root), tickers).panel.until(last)


def _judge(
    workspace: Workspace, plan: BacktestPlan, name: str, notes: dict[str, dict[str, Any]]
) -> BacktestResult:
    store = workspace.backtests
    rows = pd.concat([store.piece(name, task.key) for task in plan.tasks], ignore_index=True)
    rows = shared_rows(rows)
    scores = score_fully(rows)
    baselines = [label for label in BASELINES if label in set(rows["recipe"])]
    judged = judge(outcomes(rows), [f"{label}{SUFFIX}" for label in plan.configs], baselines)
    verdicts = {label: judged[f"{label}{SUFFIX}"] for label in plan.configs}
    spans = plan.record.folds
    manifest = BacktestManifest(
        backtest=name,
        created_at=clock.now(),
        record=plan.record,
        tickers=tuple(plan.loaded.panel),
        evaluations=1 + store.evaluations(set(plan.loaded.panel), spans[0][0], spans[-1][1]),
        seconds={key: note["seconds"] for key, note in notes.items()},
        left_out=plan.left_out,
        fallbacks={
            key: tuple(note["fallbacks"]) for key, note in notes.items() if note["fallbacks"]
        },
        labels=plan.loaded.labels,
        verdicts={label: verdict_json(verdict) for label, verdict in verdicts.items()},
    )
    tables = [verdict.table.assign(recipe=label) for label, verdict in verdicts.items()]
    store.finish(
        manifest,
        forecasts=rows,
        scores=scores,
        verdicts=pd.concat(tables, ignore_index=True),
    )
    return BacktestResult(manifest, scores, verdicts)


def shared_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of origins that every recipe has forecast.

    Otherwise the recipe with the shortest warm-up would be judged on other days.
    """
    recipes = rows["recipe"].nunique()
    have = rows.groupby(KEYS, sort=False)["recipe"].transform("size")
    return rows[have == recipes].reset_index(drop=True)
