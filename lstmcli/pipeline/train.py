"""Train: score a network on a test block, then refit it up to the last bar."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import reduce

import numpy as np
import pandas as pd

from lstmcli import clock
from lstmcli.errors import ConfigError, NoDataError, shell_word
from lstmcli.evaluation.backtest import judged_steps
from lstmcli.evaluation.direction import usual_signs
from lstmcli.evaluation.known_dates import known_dates
from lstmcli.evaluation.metrics import published_crps, summary
from lstmcli.evaluation.scored_block import ScoredBlock
from lstmcli.evaluation.shared_outcomes import kept_outcomes, outcomes_with_units
from lstmcli.evaluation.verdict import Verdict, judge
from lstmcli.executors import Workers
from lstmcli.executors.versions import versions
from lstmcli.forecasters.base import Fitted
from lstmcli.forecasters.baselines import BASELINES, QUICK_BASELINES
from lstmcli.forecasters.calibrated import FittedCalibrated
from lstmcli.forecasters.run_recipe import FittedRun, Stage
from lstmcli.forecasters.training import Epoch
from lstmcli.frames import of_recipe
from lstmcli.models.runtime import arrays_given_back, threads, usable_cores
from lstmcli.panel import Panel
from lstmcli.pipeline.members import MemberDone, train_members
from lstmcli.pipeline.predecessor import learnt_by
from lstmcli.pipeline.saved import stored_config
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.training_plan import TrainPlan, plan_training
from lstmcli.report.verdict_record import verdict_json
from lstmcli.store.checkpoints import Checkpoints
from lstmcli.store.runs import FORMAT, Manifest
from lstmcli.store.shipped import PRETRAINED

log = logging.getLogger(__name__)

MAX_SCORED = 30
"""Tickers of a universe on which a training is scored: more would say the same, later."""


@dataclass(frozen=True)
class TrainResult:
    """A finished run, and how it did beside the baselines.

    Attributes:
        validation, test: one row per recipe, by `recipe calibrated`: `crps` (log return)
            and coverages.
        evaluations: how often this workspace has used an overlapping test block.
        verdict: on the test block.
        scored_tickers: how many tickers the tables are of.
    """

    manifest: Manifest
    validation: pd.DataFrame
    test: pd.DataFrame
    best_epochs: tuple[int, ...]
    evaluations: int
    verdict: Verdict
    scored_tickers: int


@dataclass(frozen=True)
class _RunWatch:
    """Hands epochs to the terminal and checkpoints to the run's folder."""

    checkpoints: Checkpoints
    on_epoch: Callable[[Epoch], None]

    def load(self, key: str) -> Mapping[str, np.ndarray] | None:
        return self.checkpoints.load(key)

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        self.checkpoints.save(key, arrays)


def start_run(session: Session, plan: TrainPlan) -> str:
    """Make the run's folder with its config and return its name.

    Raises:
        ConfigError: there is nothing to train.
        DiskError: the workspace cannot be written.
    """
    if not plan.recipe.work.most:
        raise ConfigError(
            f"Expected model.batches of 1 or more. Received: 0, by which {plan.recipe.name} stays "
            "as it is: there is nothing to train.",
            hint=f"lstm predict {' '.join(map(shell_word, plan.panel))} needs no training; "
            f"lstm train --from {PRETRAINED} trains it on",
        )
    return session.workspace.runs.start(
        at=clock.now(),
        variant=plan.recipe.name,
        config=plan.config.to_yaml(),
        plan=plan.record,
    )


def resume_run(session: Session) -> tuple[str, TrainPlan]:
    """Return the newest interrupted run and its plan.

    Raises:
        NoDataError: no run was interrupted.
        ConfigError: the bars are not those that it began with.
    """
    store = session.workspace.runs
    interrupted = store.interrupted()
    if not interrupted:
        raise NoDataError(
            f"There is no interrupted run in {store.folder}.",
            hint="lstm train MRK starts one",
        )
    run = interrupted[-1]
    text, record = store.plan(run)
    plan = plan_training(session, stored_config(store, run, text), ())
    now = plan.record.bars
    changed = [of for of in {**now, **record.bars} if now.get(of) != record.bars.get(of)]
    if changed or plan.record.config_sha != record.config_sha:
        what = f"The bars of {' '.join(changed)}" if changed else "The bars or this program"
        config = store.path(run) / "config.yaml"
        raise ConfigError(
            f"{what} have changed since {run} began, so it cannot be continued.",
            hint=f"lstm train {' '.join(map(shell_word, plan.panel))} --config {config}",
        )
    return run, plan


def train(
    session: Session,
    plan: TrainPlan,
    run: str,
    *,
    workers: Workers | None = None,
    on_epoch: Callable[[Epoch], None],
    on_stage: Stage,
    on_member: Callable[[MemberDone], None] = lambda done: None,
) -> TrainResult:
    """Fit, score beside the baselines, refit up to the last bar, and store the run.

    Args:
        workers: train the members as tasks there, with the digits that this process would
            give; None: one after the other here.
        on_member: is told of each member that such a worker has trained.

    Raises:
        LstmError: a member's task failed; the others are kept.
        DiskError: the run could not be written; its checkpoints remain.
        LockError: another process trains this run.
    """
    with session.workspace.runs.hold(run):
        if workers is not None:
            on_stage("training members")
            train_members(session, plan, run, workers, on_member)
        return _train(session, plan, run, on_epoch, on_stage)


def _train(
    session: Session,
    plan: TrainPlan,
    run: str,
    on_epoch: Callable[[Epoch], None],
    on_stage: Stage,
) -> TrainResult:
    started = time.perf_counter()
    workspace = session.workspace
    watch = _RunWatch(workspace.runs.checkpoints(run), on_epoch)
    on_stage(f"loading {plan.recipe.library}")
    scored = plan.recipe.fit(
        plan.panel, plan.until, watch=watch, fit="scored", prepared=plan.prepared
    )
    on_stage("scoring")
    scores, verdict, came = score_blocks(plan, scored)
    final, history = scored, scored.history
    if plan.config.training.refit:
        last = plan.panel.sessions()[-1]
        on_stage("fitting up to the last bar")
        final = plan.recipe.fit(plan.panel, last, watch=watch, fit="final", prepared=plan.prepared)
        history = pd.concat([history, final.history], ignore_index=True)
    # By what will forecast, the calibration is learnt, too.
    final = final.exported(on_stage)
    on_stage("calibrating")
    # What forecasts each ticker alone learns from the misses since its start, whenever it does.
    with arrays_given_back():
        calibration = None if plan.recipe.alone else learnt_by(session, plan, final)
    on_stage("saving")
    on_test = summary(scores[scores["block"] == "test"])
    test = plan.scored["test"]
    dates = str(test.first.date()), str(test.last.date())
    evaluations = 1 + workspace.runs.evaluations(plan.panel, *dates)
    manifest = Manifest(
        format=FORMAT,
        run=run,
        created_at=clock.now(),
        variant=plan.config.model.name,
        tickers=tuple(plan.panel),
        features=plan.config.features,
        config_sha=plan.record.config_sha,
        bars=plan.record.bars,
        labels=plan.loaded.labels,
        test=(*dates, evaluations),
        parameters=final.parameters,
        seconds=round(time.perf_counter() - started, 1),
        threads={**asdict(threads()), "cores": usable_cores()},
        versions=versions(),
        verdict=verdict_json(verdict),
        crps=published_crps(on_test, scored.name),
    )
    workspace.runs.finish(
        manifest,
        state=final.stored_state(),
        fitted=final.files(),
        history=history,
        scores=scores,
        calibration=None if calibration is None else calibration.to_bytes(),
        outcomes=came,
    )
    return TrainResult(
        manifest=manifest,
        validation=summary(scores[scores["block"] == "validation"]),
        test=on_test,
        best_epochs=final.best_epochs,
        evaluations=evaluations,
        verdict=verdict,
        scored_tickers=scores["ticker"].nunique(),
    )


def score_blocks(plan: TrainPlan, scored: FittedRun) -> tuple[pd.DataFrame, Verdict, pd.DataFrame]:
    """Return Scores on validation and test origins, the verdict on the test block, and outcomes.

    The outcomes are those of published forecasts, for comparisons; see `kept_outcomes`.

    Of the network, of what is published (the network, calibrated), of the network before
    its first epoch, and of the baselines.
    """
    panel, horizon = _sample(plan.panel), plan.recipe.horizon
    baselines = []
    for name in QUICK_BASELINES:
        try:
            baselines.append(BASELINES[name](horizon).fit(panel, plan.until))
        except NoDataError:
            # HAR needs a longer history than a network may do with.
            log.info("%s: too few sessions, left out of the table", name)
    # What reads a whole universe to forecast one ticker forecasts both blocks in one pass.
    # Of others the memory of one block goes before that of the next is taken.
    every = [name for name in ("validation", "test") if name in plan.scored]
    passes = [every] if plan.recipe.reads_others else [[name] for name in every]
    scores: list[pd.DataFrame] = []
    for names in passes:
        with arrays_given_back():
            blocks = {name: _block(plan, panel, name) for name in names}
            for fitted in (scored, scored.untrained(), *baselines):
                _forecast(plan, panel, fitted, blocks, calibrated=fitted is scored)
            scores += [block.scores().assign(block=name) for name, block in blocks.items()]
            if "test" in blocks:
                of = pd.concat(list(blocks["test"].rows()), ignore_index=True)
    judged = judge(
        of,
        [scored.name],
        [baseline.name for baseline in baselines],
        calibrated=True,
        fits=1,
    )
    table = pd.concat([rows for rows in scores if len(rows)], ignore_index=True)
    came = kept_outcomes(of_recipe(of, scored.name, calibrated=True))
    verdict = judged[scored.name]
    if plan.config.reads_announcements:
        dates = known_dates(panel, verdict.first, verdict.last, horizon=horizon)
        verdict = replace(verdict, dates=dates)
    return table[["block", *table.columns.drop("block")]], verdict, came


def _block(plan: TrainPlan, panel: Panel, name: str) -> ScoredBlock:
    """Return what scores a block; of the test block it also keeps what came of each forecast."""
    if name != "test":
        return ScoredBlock(panel, shown=(), keep=pd.DataFrame.copy)
    usual = usual_signs(panel, plan.until)
    return ScoredBlock(
        panel,
        shown=judged_steps(plan.recipe.horizon),
        keep=lambda rows: outcomes_with_units(rows.assign(usual_sign=rows["ticker"].map(usual))),
    )


def _forecast(
    plan: TrainPlan,
    panel: Panel,
    fitted: Fitted,
    blocks: Mapping[str, ScoredBlock],
    *,
    calibrated: bool,
) -> None:
    """Add a recipe's forecasts to some blocks, and to the test block those calibrated, too."""
    origins = {name: plan.scored[name].origins for name in blocks}
    every = reduce(pd.DatetimeIndex.union, origins.values())

    def add(forecast: pd.DataFrame, name: str) -> None:
        alone = len(blocks) == 1
        blocks[name].add(forecast if alone else forecast[forecast["made_on"].isin(origins[name])])

    if not (calibrated and "test" in blocks):
        forecast = fitted.forecast(panel, every)
    else:
        of = FittedCalibrated(fitted, alone=plan.recipe.alone)
        forecast, published = of.with_inner(panel, every)
    for name in blocks:
        add(forecast, name)
    del forecast  # of many tickers its memory is needed
    if calibrated and "test" in blocks:
        add(published, "test")


def _sample(panel: Panel) -> Panel:
    """Return a panel that forecasts at most `MAX_SCORED` tickers, spread over the list."""
    tickers = list(panel)
    if len(tickers) <= MAX_SCORED:
        return panel
    chosen = np.linspace(0, len(tickers) - 1, MAX_SCORED).round().astype(int)
    return panel.narrow([tickers[number] for number in chosen])
