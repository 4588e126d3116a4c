"""The backtest: fit every recipe before each fold, score its forecasts, judge them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from lstmcli import clock
from lstmcli.executors import Failure, Workers, open_executor, run_tasks, task_error
from lstmcli.pipeline.backtest_plan import BacktestPlan
from lstmcli.pipeline.backtest_result import BacktestResult, judge_backtest
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.stored_backtests import same_backtest

log = logging.getLogger(__name__)

MAX_WORKERS = 4
"""Processes at most, unless the user says how many. Each takes about 700 MB of memory."""


DEFAULT_WORKERS = Workers()


@dataclass(frozen=True)
class Progress:
    """One finished task, and how many of all tasks are done."""

    label: str
    fold: int
    seconds: float
    done: int
    of: int


def backtest(
    session: Session,
    plan: BacktestPlan,
    *,
    workers: Workers = DEFAULT_WORKERS,
    again: bool = False,
    on_found: Callable[[BacktestResult], None] = lambda result: None,
    on_start: Callable[[str, int, int], None] = lambda name, done, of: None,
    on_piece: Callable[[Progress], None] = lambda progress: None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> BacktestResult:
    """Run the tasks that are not done, score every forecast, judge, and store it all.

    A backtest that was finished before, with the same configs, bars, folds and versions, is
    returned as it is stored: it would give the same numbers.

    A task that fails ends no other. The results of the others are kept, and the next call
    runs the failed ones alone.

    Args:
        workers: where the tasks run; else one process per core, `MAX_WORKERS` at most.
        again: compute it even if it was finished before.
        on_found: is told the result that was finished before, if there is one.
        on_start: is told the backtest's name, how many tasks are done, and how many
            there are.

    Raises:
        LstmError: tasks failed; it has the highest of their exit codes.
        LockError: another process runs the same backtest.
        DiskError: it could not be written; the finished tasks are kept.
    """
    found = None if again else same_backtest(session.workspace, plan.record)
    if found is not None:
        on_found(found)
        return found
    store = session.workspace.backtests
    name = store.start(plan.record, at=clock.now())
    with store.hold(name):
        notes = store.pieces(name)
        left = {task.key: task for task in plan.tasks if task.key not in notes}
        done, of = len(plan.tasks) - len(left), len(plan.tasks)
        on_start(name, done, of)
        panel = plan.loaded.panel
        failures = []
        panels = {panel.sha256: panel}
        with open_executor(workers, panels=panels, tasks=len(left), most=MAX_WORKERS) as executor:
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
        return judge_backtest(session.workspace, plan, name, notes, on_stage=on_stage)
