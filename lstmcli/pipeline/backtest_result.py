"""What a backtest finds: its forecasts calibrated and scored, and a verdict for each config."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from lstmcli import clock
from lstmcli.evaluation.backtest import calibrate_folds, taking_part
from lstmcli.evaluation.comparison import KEYS
from lstmcli.evaluation.direction import UP, usual_signs
from lstmcli.evaluation.known_dates import known_dates
from lstmcli.evaluation.metrics import published_crps, score_fully, summary
from lstmcli.evaluation.tasks import FoldTask
from lstmcli.evaluation.verdict import Verdict, judge, outcomes
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.pipeline.backtest_plan import BacktestPlan
from lstmcli.report.verdict_record import verdict_json
from lstmcli.store import Workspace
from lstmcli.store.backtests import BacktestManifest


@dataclass(frozen=True)
class BacktestResult:
    """A finished backtest: scores of every recipe, and a verdict for each config.

    Attributes:
        verdicts: by config; none of a backtest of a version before 0.3, whose manifest has
            their sentences.
        evaluations: how many backtests of this workspace have judged one of these tickers
            in an overlapping span by now, this one included.
    """

    manifest: BacktestManifest
    scores: pd.DataFrame
    verdicts: dict[str, Verdict]
    evaluations: int


@dataclass
class _Found:
    """What is kept of each recipe once its forecasts are on disk."""

    scores: list[pd.DataFrame] = field(default_factory=list)
    outcomes: list[pd.DataFrame] = field(default_factory=list)


def judge_backtest(
    workspace: Workspace,
    plan: BacktestPlan,
    name: str,
    notes: Mapping[str, Mapping[str, Any]],
    *,
    on_stage: Callable[[str], None],
) -> BacktestResult:
    """Calibrate, score and judge the finished pieces of a backtest, and store it all.

    One recipe is in memory at a time: the forecasts of ten networks on thirty tickers
    would take gigabytes.

    Raises:
        DiskError: it could not be written; the pieces are kept.
    """
    store = workspace.backtests
    made = _made(workspace, plan, name)
    found = _Found()
    with store.forecast_file(name) as append:
        for rows in _realised(workspace, plan, name, _shared(made), on_stage):
            append(rows)
            found.scores.append(score_fully(rows))
            found.outcomes.append(outcomes(rows).astype(made.dtypes[["recipe", "ticker"]]))
    on_stage("judging")
    scores = pd.concat(found.scores, ignore_index=True)
    baselines = [label for label in BASELINES if label in set(scores["recipe"])]
    verdicts = judge(
        pd.concat(found.outcomes, ignore_index=True),
        list(plan.configs),
        baselines,
        calibrated=True,
        fits=len(plan.folds),
    )
    verdicts = {label: _with_dates(verdict, plan, label) for label, verdict in verdicts.items()}
    spans = plan.record.folds
    table = summary(scores)
    crps = {label: published_crps(table, label) for label in plan.configs}
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
        lacking=left_out_rows(made),
        crps={label: value for label, value in crps.items() if value is not None},
    )
    tables = [
        table.assign(recipe=label, calibrated=verdict.calibrated)
        for label, verdict in verdicts.items()
        for table in (verdict.ladder.assign(step="all"), verdict.table)
    ]
    store.finish(manifest, scores=scores, verdicts=pd.concat(tables, ignore_index=True))
    return BacktestResult(manifest, scores, verdicts, manifest.evaluations)


def _with_dates(verdict: Verdict, plan: BacktestPlan, label: str) -> Verdict:
    """Return a verdict with how many dates were known, where its config reads them."""
    config, panel = plan.configs[label], plan.loaded.panel
    if not config.reads_announcements:
        return verdict
    dates = known_dates(panel, verdict.first, verdict.last, horizon=config.window.horizon)
    return replace(verdict, dates=dates)


def _tasks_of_recipes(plan: BacktestPlan) -> dict[str, list[FoldTask]]:
    found: dict[str, list[FoldTask]] = {}
    for task in plan.tasks:
        found.setdefault(task.recipe.name, []).append(task)
    return found


def _made(workspace: Workspace, plan: BacktestPlan, name: str) -> pd.DataFrame:
    """Return `recipe ticker made_on step` of every forecast in the folds, not calibrated."""
    parts = []
    for task in plan.tasks:
        keys = workspace.backtests.piece(name, task.key, columns=["recipe", *KEYS])
        parts.append(keys[keys["made_on"].isin(task.fold.origins)])
    made = pd.concat(parts, ignore_index=True)
    return made.astype({"recipe": "category", "ticker": "category"})


def _shared(made: pd.DataFrame) -> pd.MultiIndex:
    """Return ticker, origin and step of the forecasts that every recipe has made.

    Recipes need histories of different lengths; all are judged on the same days.
    """
    count = made.groupby(KEYS, observed=True).size()
    return pd.MultiIndex.from_frame(
        count.index[count == made["recipe"].nunique()].to_frame().astype({"ticker": str})
    )


def _realised(
    workspace: Workspace,
    plan: BacktestPlan,
    name: str,
    shared: pd.MultiIndex,
    on_stage: Callable[[str], None],
) -> Iterator[pd.DataFrame]:
    """Yield the realised forecasts of each recipe, raw and calibrated, that all have made."""
    for recipe, tasks in _tasks_of_recipes(plan).items():
        on_stage(f"calibrating {recipe}")
        pieces = [workspace.backtests.piece(name, task.key) for task in tasks]
        raw = pd.concat(pieces, ignore_index=True)
        alone = [label for label, config in plan.configs.items() if config.recipe().alone]
        rows = calibrate_folds(raw, plan.loaded.panel, plan.folds, alone=alone)
        rows = rows[pd.MultiIndex.from_frame(rows[KEYS]).isin(shared)].reset_index(drop=True)
        yield rows.assign(usual_sign=_usual_signs(rows, plan))


def left_out_rows(made: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return by recipe and ticker how many forecasts it lacks that another recipe made.

    Args:
        made: `recipe ticker made_on step` of every forecast.
    """
    had = made.groupby(["ticker", "recipe"], observed=True).size().unstack(fill_value=0)
    all_made = made.drop_duplicates(KEYS).groupby("ticker", observed=True).size()
    lacking = had.rsub(all_made, axis=0)
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
