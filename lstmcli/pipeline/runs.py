"""Runs: what is there, everything about one, and several beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from lstmcli.config import RunConfig
from lstmcli.errors import ConfigError, LstmError
from lstmcli.evaluation.metrics import published_crps, summary
from lstmcli.evaluation.shared_outcomes import score_shared, shared_outcomes, skill_against
from lstmcli.evaluation.significance import SIGNIFICANCE
from lstmcli.forecasters.run_recipe import FitSummary
from lstmcli.pipeline.session import Session
from lstmcli.report.stored_verdict import verdict_in_words
from lstmcli.store.records import wrong_fields
from lstmcli.store.runs import Manifest


@dataclass(frozen=True)
class RunLine:
    """A finished run in a line of a list.

    Attributes:
        trained_to: the last session that its fit learnt from, as an ISO date.
        crps: of what it publishes, on its own test block, a log return; None where unknown.
        verdict: in a few words.
    """

    manifest: Manifest
    trained_to: str
    crps: float | None
    verdict: str


@dataclass(frozen=True)
class RunDetails:
    """Everything about one run.

    Attributes:
        validation, test: one row per recipe, by `recipe calibrated`: `crps` (log return)
            and coverages.
        scored_tickers: how many tickers these are of.
    """

    line: RunLine
    config: RunConfig
    state: FitSummary
    validation: pd.DataFrame
    test: pd.DataFrame
    scored_tickers: int
    folder: Path

    @property
    def manifest(self) -> Manifest:
        return self.line.manifest


@dataclass(frozen=True)
class RunComparison:
    """Several runs beside each other.

    Attributes:
        settings: those that differ, by their name in the config, a value for each run; None
            where a run has no such setting.
        differ: why no scores stand side by side; None where they do.
        tickers, steps: those on which all were scored.
        sessions: how many origins they share, with the first and the last; None without any.
        scores: of what each publishes on these, a row per run: `crps` (log return), coverages
            (fractions), and `skill low high` against the first run, of losses in units of
            volatility (fractions; NaN without enough sessions for a test).
    """

    runs: tuple[RunDetails, ...]
    settings: dict[str, tuple[Any, ...]]
    differ: str | None = None
    tickers: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()
    sessions: tuple[int, pd.Timestamp, pd.Timestamp] | None = None
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)


def runs(session: Session) -> tuple[list[RunLine], list[str], list[LstmError]]:
    """Return finished runs, oldest first, names of interrupted ones, and errors of the others."""
    store = session.workspace.runs
    finished, errors = [], []
    for run in store.names():
        try:
            finished.append(_line(session, session.manifest(run)))
        except LstmError as error:
            errors.append(error)
    return finished, store.interrupted(), errors


def show_run(session: Session, run: str) -> RunDetails:
    """Return everything about a run.

    Args:
        run: its name, or a beginning that only it has.

    Raises:
        NoDataError: there is none, or it was interrupted.
        ConfigError: several names begin so.
        DataError: a file of it is damaged.
    """
    manifest = session.manifest(run)
    store = session.workspace.runs
    config = session.config(manifest.run)
    scores = store.scores(manifest)
    return RunDetails(
        line=_line(session, manifest),
        config=config,
        state=_state(session, manifest),
        validation=summary(scores[scores["block"] == "validation"]),
        test=summary(scores[scores["block"] == "test"]),
        scored_tickers=scores["ticker"].nunique(),
        folder=store.path(manifest.run),
    )


def compare_runs(session: Session, names: Sequence[str]) -> RunComparison:
    """Return what tells runs apart, and their scores on the sessions that they share.

    Raises:
        ConfigError: fewer than two runs, or one of them twice; several names begin so.
        NoDataError: there is no such run.
        DataError: a file of one is damaged.
    """
    details = [show_run(session, name) for name in names]
    found = [of.manifest.run for of in details]
    if len(set(found)) < max(len(found), 2):
        raise ConfigError(
            f"Expected two or more different runs. Received: {' '.join(found)}.",
            hint="lstm runs lists them",
        )
    settings = _differing([of.config for of in details])
    store = session.workspace.runs
    tables = [store.outcomes(of.manifest) for of in details]
    known = [table for table in tables if table is not None]
    if len(known) < len(tables):
        older = [run for run, table in zip(found, tables, strict=True) if table is None]
        why = f"{' and '.join(older)} kept no outcomes: an older version trained it."
        return RunComparison(tuple(details), settings, differ=why)
    shared = shared_outcomes(known)
    first = shared[0]
    if first.empty:
        return RunComparison(tuple(details), settings, differ=_why_none(details, known))
    alpha = SIGNIFICANCE / 2 / (len(shared) - 1)
    rows = [
        {**score_shared(own), **(skill_against(own, first, alpha=alpha) if n else {})}
        for n, own in enumerate(shared)
    ]
    return RunComparison(
        runs=tuple(details),
        settings=settings,
        tickers=tuple(sorted(first["ticker"].unique())),
        steps=tuple(sorted(first["step"].unique())),
        sessions=(first["made_on"].nunique(), first["made_on"].min(), first["made_on"].max()),
        scores=pd.DataFrame(rows, index=found),
    )


def _line(session: Session, manifest: Manifest) -> RunLine:
    crps = manifest.crps
    if crps is None:
        scores = session.workspace.runs.scores(manifest)
        recipe = str((manifest.verdict or {}).get("recipe") or manifest.config_name)
        crps = published_crps(summary(scores[scores["block"] == "test"]), recipe)
    return RunLine(
        manifest, _state(session, manifest).fit_end, crps, verdict_in_words(manifest.verdict)
    )


def _state(session: Session, manifest: Manifest) -> FitSummary:
    store = session.workspace.runs
    try:
        return FitSummary.model_validate_json(store.state(manifest))
    except ValidationError as error:
        reason = f"its state: {wrong_fields(error)}"
        raise store.damaged(store.path(manifest.run), reason) from error


def _why_none(details: Sequence[RunDetails], tables: Sequence[pd.DataFrame]) -> str:
    """Return why runs share no outcome."""
    if not set.intersection(*(set(table["ticker"]) for table in tables)):
        return "They were scored on different tickers."
    spans = sorted({of.manifest.test[:2] for of in details})
    listed = " and ".join(f"{first} to {last}" for first, last in spans)
    if len(spans) > 1:
        return f"They were scored on different sessions: {listed}."
    return "Their outcomes differ: the bars were others when each of them was scored."


def _differing(configs: Sequence[RunConfig]) -> dict[str, tuple[Any, ...]]:
    flat = [_flat(config.model_dump(mode="json", exclude={"name"})) for config in configs]
    names = dict.fromkeys(name for settings in flat for name in settings)
    rows = {name: tuple(settings.get(name) for settings in flat) for name in names}
    return {name: values for name, values in rows.items() if any(v != values[0] for v in values)}


def _flat(settings: dict[str, Any], under: str = "") -> dict[str, Any]:
    """Return settings by their name on the command line, such as `model.units`."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):  # an empty one says nothing
            found |= _flat(value, f"{under}{name}.")
        else:
            found[f"{under}{name}"] = value
    return found
