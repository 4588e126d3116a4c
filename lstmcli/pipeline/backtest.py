"""The backtest: fit every recipe before each fold, score its forecasts, judge them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lstmcli import clock
from lstmcli.config import RunConfig
from lstmcli.errors import ConfigError, NoDataError
from lstmcli.evaluation.backtest import (
    MIN_HISTORY,
    Fold,
    calibrate_folds,
    check_span,
    cut_folds,
    judged_steps,
    taking_part,
)
from lstmcli.evaluation.direction import UP, usual_signs
from lstmcli.evaluation.metrics import score_fully
from lstmcli.evaluation.tasks import FoldTask
from lstmcli.evaluation.verdict import Verdict, judge, outcomes
from lstmcli.executors import Failure, open_executor, run_tasks, task_error
from lstmcli.forecasters.base import Recipe
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.forecasters.network import UNTRAINED
from lstmcli.frames import IDENTITY
from lstmcli.models.runtime import usable_cores
from lstmcli.pipeline.session import Loaded, Session
from lstmcli.pipeline.training_plan import sessions_needed
from lstmcli.pipeline.versions import versions
from lstmcli.report.verdict import verdict_json
from lstmcli.store import Workspace
from lstmcli.store.backtests import BacktestManifest, BacktestRecord

log = logging.getLogger(__name__)

MAX_WORKERS = 4
"""Processes at most, unless the user asks for more. Each takes about 700 MB of memory."""

KEYS = ["ticker", "made_on", "step"]


@dataclass(frozen=True)
class BacktestPlan:
    """A backtest before its first fit.

    Attributes:
        configs: by label, which is also the name of the config's recipe.
        tasks: every recipe on every fold.
        left_out: by fold, the tickers that it does without.
        steps: the steps that are judged.
    """

    configs: Mapping[str, RunConfig]
    loaded: Loaded
    folds: tuple[Fold, ...]
    tasks: tuple[FoldTask, ...]
    record: BacktestRecord
    left_out: dict[str, tuple[str, ...]]
    steps: tuple[int, ...]


@dataclass(frozen=True)
class BacktestResult:
    """A finished backtest: scores of every recipe, and a verdict for each config.

    Attributes:
        lacking: by recipe, tickers of which it lacks forecasts that others made, with how
            many. All are scored and judged on those that every recipe has.
    """

    manifest: BacktestManifest
    scores: pd.DataFrame
    verdicts: dict[str, Verdict]
    lacking: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Progress:
    """One finished task, and how many of all tasks are done."""

    label: str
    fold: int
    seconds: float
    done: int
    of: int


def plan_backtest(
    session: Session, configs: Mapping[str, RunConfig], tickers: Sequence[str]
) -> BacktestPlan:
    """Return the folds and their tasks; fits nothing.

    Args:
        configs: by label; all with the same horizon and the same `backtest` section.
        tickers: if none, those of the first config; if it has none, every stored one.

    Raises:
        NoDataError: too few sessions for the folds; the hint says how many they allow.
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
    taken = {*BASELINES, *(f"{label}{UNTRAINED}" for label in configs)}
    clash = [label for label in configs if label in taken]
    if clash:
        raise ConfigError(f"Expected a config with a name of its own. Received: {clash[0]}.")
    loaded = session.panel_to_learn_from(tickers or first.tickers, tuple(configs.values()))
    panel, horizon = loaded.panel, first.window.horizon
    sessions = panel.sessions()
    least = max(sessions_needed(config) for config in configs.values())
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
        # With one thread per network, the digits do not depend on the number of workers.
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
    recipes: list[Recipe] = [
        # The label is the name in every table, also where the config has a name of its own.
        *(c.model_copy(update={"name": label}).recipe() for label, c in settled.items()),
        *(baseline(horizon) for baseline in BASELINES.values()),
    ]
    steps = judged_steps(horizon)
    return BacktestPlan(
        configs=settled,
        loaded=loaded,
        folds=folds,
        tasks=tuple(
            FoldTask(recipe, panel.sha256, fold, steps) for recipe in recipes for fold in folds
        ),
        record=BacktestRecord(
            configs={label: config.to_yaml() for label, config in settled.items()},
            bars=loaded.hashes,
            folds=tuple(
                (str(fold.origins[0].date()), str(fold.origins[-1].date())) for fold in folds
            ),
            last=str(sessions[-1].date()),
            versions=versions(),
        ),
        left_out={number: names for number, names in left_out.items() if names},
        steps=steps,
    )


def backtest(
    session: Session,
    plan: BacktestPlan,
    *,
    workers: int | None = None,
    on_start: Callable[[str, int, int], None] = lambda name, done, of: None,
    on_piece: Callable[[Progress], None] = lambda progress: None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> BacktestResult:
    """Run the tasks that are not done, score every forecast, judge, and store it all.

    A task that fails ends no other. The results of the others are kept, and the next call
    runs the failed ones alone.

    Args:
        workers: processes; None: one per core, `MAX_WORKERS` at most.
        on_start: is told the backtest's name, how many tasks are done, and how many
            there are.

    Raises:
        LstmError: tasks failed; it has the highest of their exit codes.
        LockError: another process runs the same backtest.
        DiskError: it could not be written; the finished tasks are kept.
    """
    store = session.workspace.backtests
    name = store.start(plan.record, at=clock.now())
    with store.hold(name):
        notes = store.pieces(name)
        left = {task.key: task for task in plan.tasks if task.key not in notes}
        done, of = len(plan.tasks) - len(left), len(plan.tasks)
        on_start(name, done, of)
        count = min(workers or min(usable_cores(), MAX_WORKERS), len(left))
        panel = plan.loaded.panel
        failures = []
        with open_executor(count, panels={panel.sha256: panel}) as executor:
            for outcome in run_tasks(executor, list(left.values())):
                if isinstance(outcome, Failure):
                    failures.append(outcome)
                    log.warning("%s failed: %s", outcome.key, outcome.line)
                    continue
                task, (rows, noted) = left[outcome.key], outcome.value
                note = {"seconds": round(outcome.seconds, 1), **noted}
                store.save_piece(name, task.key, rows, note)
                notes[task.key] = note
                done += 1
                on_piece(Progress(task.recipe.name, task.fold.number, note["seconds"], done, of))
        if failures:
            raise task_error(failures, of=of, hint="the same command runs what failed again")
        rows = _calibrated(session.workspace, plan, name, on_stage)
        on_stage("scoring")
        return _judge(session.workspace, plan, name, notes, rows)


def _calibrated(
    workspace: Workspace, plan: BacktestPlan, name: str, on_stage: Callable[[str], None]
) -> pd.DataFrame:
    """Return the realised forecasts of every recipe, raw and calibrated.

    One recipe after the other: the errors of all at once would need the room.
    """
    of_recipe: dict[str, list[FoldTask]] = {}
    for task in plan.tasks:
        of_recipe.setdefault(task.recipe.name, []).append(task)
    parts = []
    for recipe, tasks in of_recipe.items():
        on_stage(f"calibrating {recipe}")
        pieces = [workspace.backtests.piece(name, task.key) for task in tasks]
        raw = pd.concat(pieces, ignore_index=True)
        parts.append(calibrate_folds(raw, plan.loaded.panel, plan.folds))
    return pd.concat(parts, ignore_index=True)


def _judge(
    workspace: Workspace,
    plan: BacktestPlan,
    name: str,
    notes: dict[str, dict[str, Any]],
    rows: pd.DataFrame,
) -> BacktestResult:
    store = workspace.backtests
    whole = rows.assign(usual_sign=_usual_signs(rows, plan))
    rows = shared_rows(whole)
    scores = score_fully(rows)
    baselines = [label for label in BASELINES if label in set(rows["recipe"])]
    verdicts = judge(
        outcomes(rows), list(plan.configs), baselines, calibrated=True, fits=len(plan.folds)
    )
    spans = plan.record.folds
    manifest = BacktestManifest(
        backtest=name,
        created_at=clock.now(),
        record=plan.record,
        tickers=tuple(plan.loaded.panel),
        evaluations=1 + store.evaluations(set(plan.loaded.panel), spans[0][0], spans[-1][1]),
        seconds={key: note["seconds"] for key, note in notes.items()},
        left_out=plan.left_out,
        fallbacks={key: note["fallbacks"] for key, note in notes.items() if note["fallbacks"]},
        best_epochs={
            key: note["best_epochs"] for key, note in notes.items() if "best_epochs" in note
        },
        labels=plan.loaded.labels,
        verdicts={label: verdict_json(verdict) for label, verdict in verdicts.items()},
    )
    tables = [
        table.assign(recipe=label, calibrated=verdict.calibrated)
        for label, verdict in verdicts.items()
        for table in (verdict.ladder.assign(step="all"), verdict.table)
    ]
    store.finish(
        manifest,
        forecasts=rows,
        scores=scores,
        verdicts=pd.concat(tables, ignore_index=True),
    )
    return BacktestResult(manifest, scores, verdicts, left_out_rows(whole))


def shared_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose ticker, origin and step every recipe has forecast.

    Recipes need histories of different lengths; all are judged on the same days.
    """
    recipes = rows.groupby(list(IDENTITY)).ngroups
    have = rows.groupby(KEYS, sort=False)["recipe"].transform("size")
    return rows[have == recipes].reset_index(drop=True)


def left_out_rows(rows: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return by recipe and ticker how many forecasts it lacks that another recipe made."""
    of = rows.loc[~rows["calibrated"], [*KEYS, "recipe"]]
    had = of.groupby(["ticker", "recipe"], observed=True).size().unstack(fill_value=0)
    made = of.drop_duplicates(KEYS).groupby("ticker", observed=True).size()
    lacking = had.rsub(made, axis=0)
    return {
        str(recipe): {str(ticker): int(count) for ticker, count in of_recipe.items() if count}
        for recipe, of_recipe in lacking.items()
        if of_recipe.any()
    }


def _usual_signs(rows: pd.DataFrame, plan: BacktestPlan) -> pd.Series:
    """Return for each row the usual direction of its ticker in the fold's training block."""
    signs = pd.Series(UP, index=rows.index)
    for fold in plan.folds:
        here = rows["made_on"].isin(fold.origins)
        known = usual_signs(taking_part(plan.loaded.panel, fold), fold.until)
        signs[here] = rows.loc[here, "ticker"].astype(str).map(known).fillna(UP).astype(int)
    return signs
