"""Runs: what is there, everything about one, and several beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from lstmcli.config import RunConfig
from lstmcli.errors import ConfigError, LstmError
from lstmcli.evaluation.metrics import published_crps, summary
from lstmcli.forecasters.network_state import NetworkState
from lstmcli.frames import of_recipe
from lstmcli.pipeline.session import Session
from lstmcli.report.stored_verdict import verdict_in_words
from lstmcli.store.records import wrong_fields
from lstmcli.store.runs import Manifest

WALK = "random_walk"
"""The baseline that every training is scored beside."""


@dataclass(frozen=True)
class RunLine:
    """A finished run in a line of a list.

    Attributes:
        trained_to: the last session that its networks learnt from, as an ISO date.
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
    state: NetworkState
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
        differ: why the scores cannot stand side by side; None where they can.
        tickers, steps: those that all were scored on.
        scores: of what each publishes, a row per run: `crps` and `tails` (log returns), `skill`
            against the random walk and coverages (fractions). Empty where they differ.
    """

    runs: tuple[RunDetails, ...]
    settings: dict[str, tuple[Any, ...]]
    differ: str | None
    tickers: tuple[str, ...]
    steps: tuple[int, ...]
    scores: pd.DataFrame


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
    """Return what tells runs apart, and their scores if they are of the same sessions.

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
    scores = [_test_scores(session, of.manifest) for of in details]
    tickers = _common([set(of["ticker"]) for of in scores])
    steps = _common([set(of["step"]) for of in scores])
    differ = _why_not([of.manifest for of in details], scores, tickers)
    rows = []
    for of, own in zip(details, scores, strict=True):
        shared = own[own["ticker"].isin(tickers) & own["step"].isin(steps)]
        rows.append(_scores(shared, of.manifest))
    return RunComparison(
        runs=tuple(details),
        settings=_differing([of.config for of in details]),
        differ=differ,
        tickers=tuple(tickers),
        steps=tuple(steps),
        scores=pd.DataFrame([] if differ else rows, index=[] if differ else found),
    )


def _line(session: Session, manifest: Manifest) -> RunLine:
    crps = manifest.crps
    if crps is None:
        on_test = summary(_test_scores(session, manifest))
        crps = published_crps(on_test, _recipe(manifest))
    return RunLine(
        manifest, _state(session, manifest).fit_end, crps, verdict_in_words(manifest.verdict)
    )


def _state(session: Session, manifest: Manifest) -> NetworkState:
    store = session.workspace.runs
    try:
        return NetworkState.model_validate_json(store.state(manifest))
    except ValidationError as error:
        reason = f"its state: {wrong_fields(error)}"
        raise store.damaged(store.path(manifest.run), reason) from error


def _recipe(manifest: Manifest) -> str:
    """Return the name that a run has in its own tables."""
    return str((manifest.verdict or {}).get("recipe") or manifest.config_name)


def _test_scores(session: Session, manifest: Manifest) -> pd.DataFrame:
    scores = session.workspace.runs.scores(manifest)
    return scores[scores["block"] == "test"]


def _common(of_runs: Sequence[set[Any]]) -> list[Any]:
    return sorted(set.intersection(*of_runs))


def _why_not(
    manifests: Sequence[Manifest], scores: Sequence[pd.DataFrame], tickers: Sequence[str]
) -> str | None:
    """Return why scores are not of the same sessions of the same tickers; None if they are."""
    spans = {manifest.test[:2] for manifest in manifests}
    if len(spans) > 1:
        listed = " and ".join(f"{first} to {last}" for first, last in sorted(spans))
        return f"They were scored on different sessions: {listed}."
    if not tickers:
        return "They were scored on different tickers."
    changed = [ticker for ticker in tickers if len({m.bars.get(ticker) for m in manifests}) > 1]
    if changed:
        return f"The bars of {' '.join(changed[:5])} were others when each of them was scored."
    counts = []
    for manifest, own in zip(manifests, scores, strict=True):
        rows = of_recipe(own, _recipe(manifest), calibrated=True)
        rows = rows[(rows["metric"] == "crps") & rows["ticker"].isin(tickers)]
        counts.append(rows.set_index(["ticker", "step"])["n"])
    first, *others = counts
    if any(not len(own) for own in counts):
        return "One of them was not scored as it is published."
    for own in others:
        both = first.index.intersection(own.index)
        if not len(both) or (first[both] != own[both]).any():
            return "They were scored on different sessions of the same months."
    return None


def _scores(shared: pd.DataFrame, manifest: Manifest) -> dict[str, float]:
    """Return the scores of what a run publishes, from its Scores on some tickers and steps."""
    table = summary(shared)
    key = _recipe(manifest), True
    if key not in table.index:
        return {}
    own = table.loc[key, :]
    names = [n for n in ("crps", "tails", "coverage50", "coverage80", "coverage95") if n in table]
    walk = table["crps"].get((WALK, False))
    skill = {} if walk is None else {"skill": float(1 - own["crps"] / walk)}
    return {**{name: float(own[name]) for name in names}, **skill}


def _differing(configs: Sequence[RunConfig]) -> dict[str, tuple[Any, ...]]:
    flat = [_flat(config.model_dump(mode="json", exclude={"name"})) for config in configs]
    names = dict.fromkeys(name for settings in flat for name in settings)
    rows = {name: tuple(settings.get(name) for settings in flat) for name in names}
    return {name: values for name, values in rows.items() if any(v != values[0] for v in values)}


def _flat(settings: dict[str, Any], under: str = "") -> dict[str, Any]:
    """Return settings by their name on the command line, such as `model.units`."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            found |= _flat(value, f"{under}{name}.")
        else:
            found[f"{under}{name}"] = value
    return found
