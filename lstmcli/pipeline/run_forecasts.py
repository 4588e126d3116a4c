"""Forecasts of a run from one origin: here, or side by side by workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.errors import LstmError
from lstmcli.evaluation.backtest import judged_steps
from lstmcli.evaluation.forecast_task import Forecasts, ForecastTask, loaded
from lstmcli.executors import HERE, Failure, TaskExecutor, Workers, open_executor, run_tasks
from lstmcli.forecasters.base import in_order, join_forecasts
from lstmcli.forecasters.baselines.kept_fits import KeptFits
from lstmcli.forecasters.calibration_state import CalibrationState
from lstmcli.forecasters.run_recipe import FittedRun
from lstmcli.frames import empty_forecast
from lstmcli.panel import Panel
from lstmcli.pipeline.inputs import Inputs, panel_of_run
from lstmcli.pipeline.kept import keep_calibration, keep_fits, kept_calibration, kept_fits
from lstmcli.pipeline.progress import Progress
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.stored_calibration import calibration_of

AT_ONCE = 50
"""Tickers of a task: fewer than that do not pay for the start of a worker."""


@dataclass(frozen=True)
class RunForecasts:
    """What a run and its baselines forecast of some tickers from one origin, in log returns.

    Attributes:
        panel: what the run read of them.
        raw, published: before and after calibration.
        earlier: published from the session before, where that was asked for and is cheap.
        beside: Forecasts of baselines, by name.
        failed: by ticker, why there is none.
    """

    panel: Panel
    raw: pd.DataFrame
    published: pd.DataFrame
    earlier: pd.DataFrame
    beside: dict[str, pd.DataFrame]
    failed: dict[str, LstmError]

    def issued(self) -> pd.DataFrame:
        """Return what the ledger keeps, the rows of each ticker together.

        The published forecasts at all steps, then those before calibration and of baselines
        where they are judged.
        """
        if self.published.empty:
            return self.published
        rows = join_forecasts([self.published, self.raw, *self.beside.values()])
        steps = rows["step"].to_numpy()
        judged = np.isin(steps, judged_steps(int(self.published["step"].max())))
        judged[: len(self.published)] = True
        return in_order(rows[judged], list(self.panel))


class ManyWorkers:
    """The workers of a command, which start once and serve all of its runs."""

    def __init__(self, workers: Workers, tickers: int) -> None:
        """Take what the user has asked for, and how many tickers are forecast."""
        self._workers, self._tasks = workers, -(-tickers // AT_ONCE)
        self._stack = ExitStack()
        self._executor: TaskExecutor | None = None

    def __enter__(self) -> ManyWorkers:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def serve(self, tasks: int) -> bool:
        """Return whether so many tasks of a run go to workers; else they run here."""
        return tasks > 1 or self._workers != HERE

    def start(self) -> None:
        """Let the workers load what they need, where there is work for them."""
        if self._executor is None and self.serve(self._tasks):
            executor = self.executor()
            for _ in range(executor.max_workers):
                executor.submit(loaded)

    def executor(self) -> TaskExecutor:
        """Return where tasks run; it is opened the first time."""
        if self._executor is None:
            executor = open_executor(self._workers, panels={}, tasks=max(self._tasks, 1))
            self._executor = self._stack.enter_context(executor)
        return self._executor


def forecasts_of_run(
    session: Session,
    fitted: FittedRun,
    asked: Sequence[Inputs],
    *,
    beside: Sequence[str],
    keep: bool,
    with_earlier: bool,
    workers: ManyWorkers,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[RunForecasts]:
    """Yield the forecasts of some tickers of a run, all from one origin, as they are made.

    Each is of the tickers of one task, so that a caller goes on with them while workers
    forecast others.

    Args:
        asked: of one run and one origin.
        beside: names of baselines.
        keep: whether to go on from what earlier evenings have learnt, and to keep what is learnt.
        with_earlier: see `predict`.
        workers: where tickers are forecast that need no others. A few are forecast here, unless
            the user has said where.
        say: is told now and then how many are done.

    Raises:
        LstmError: nothing could be forecast.
    """
    run, origin = asked[0].manifest.run, asked[0].origin
    panel = panel_of_run(session, asked)
    state = calibration_of(session, run, panel)
    before = _sessions_before(asked, fitted, state) if with_earlier else {}
    recipe = fitted.recipe
    task = ForecastTask(
        fitted=fitted,
        panel=panel,
        origins=pd.DatetimeIndex([origin]).union([*before.values()]),
        beside=tuple(beside),
        state=state,
        enough=[inputs.ticker for inputs in asked] if recipe.reads_others else None,
        kept=kept_calibration(session, run) if keep and recipe.alone else None,
        fits=kept_fits(session) if keep else KeptFits(),
    )
    progress = Progress(len(asked), say, done="forecast")
    for part, each in _run(_parts(task) if recipe.alone else [task], workers):
        progress.advance(len(part.panel))
        if isinstance(each, LstmError):
            nothing = empty_forecast()
            yield RunForecasts(
                panel=part.panel,
                raw=nothing,
                published=nothing,
                earlier=nothing,
                beside=dict.fromkeys(beside, nothing),
                failed=dict.fromkeys(part.panel, each),
            )
            continue
        if keep:
            keep_calibration(session, run, each.learnt)
            keep_fits(session, each.fits)
        raw, published = (in_order(rows, list(part.panel)) for rows in (each.raw, each.published))
        yield RunForecasts(
            panel=part.panel,
            raw=_from(raw, origin),
            published=_from(published, origin),
            earlier=_from_each(published, before),
            beside={name: each.beside[name] for name in beside},
            failed={},
        )


def _parts(task: ForecastTask) -> list[ForecastTask]:
    """Return tasks of some tickers each, whose histories are about as long."""
    panel = task.panel
    by_length = sorted(panel, key=lambda ticker: len(panel[ticker]))
    parts = []
    for first in range(0, len(by_length), AT_ONCE):
        tickers = by_length[first : first + AT_ONCE]
        part = panel.only(tickers)
        kept = task.kept and task.kept.only(tickers)
        parts.append(replace(task, panel=part, kept=kept, fits=task.fits.only(tickers)))
    return parts


def _run(
    tasks: Sequence[ForecastTask], workers: ManyWorkers
) -> Iterator[tuple[ForecastTask, Forecasts | LstmError]]:
    """Yield each task, and what became of it."""
    if not workers.serve(len(tasks)):
        yield tasks[0], tasks[0].run()
        return
    of_key = {task.key: task for task in tasks}
    for outcome in run_tasks(workers.executor(), tasks):
        found = outcome.as_error() if isinstance(outcome, Failure) else outcome.value
        yield of_key[outcome.key], found


def _sessions_before(
    asked: Sequence[Inputs], fitted: FittedRun, state: CalibrationState | None
) -> dict[str, pd.Timestamp]:
    """Return the session before the origin, by ticker, where a forecast from it is cheap.

    That is where it is out of sample, and where calibration forecasts it anyway.
    """
    first = max(fitted.fit_end, fitted.learns_from)
    first = first if state is None else max(first, state.before)
    before = {inputs.ticker: inputs.bars.index[-2] for inputs in asked if len(inputs.bars) > 1}
    return {ticker: session for ticker, session in before.items() if session >= first}


def _from(rows: pd.DataFrame, origin: pd.Timestamp) -> pd.DataFrame:
    return rows[rows["made_on"] == origin].reset_index(drop=True)


def _from_each(rows: pd.DataFrame, origins: dict[str, pd.Timestamp]) -> pd.DataFrame:
    """Return the rows of each ticker from its own origin; none of a ticker without one."""
    if not origins or not len(rows):
        return rows.iloc[:0]
    return rows[rows["made_on"] == rows["ticker"].map(origins)]
