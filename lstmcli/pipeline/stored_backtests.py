"""Finished backtests: a list of them, and the result of one without computing anything."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from lstmcli.errors import DataError, LstmError
from lstmcli.evaluation.metrics import published_crps, summary
from lstmcli.pipeline.backtest_result import BacktestResult
from lstmcli.report.stored_verdict import restored_verdict, verdict_in_words
from lstmcli.store import Workspace
from lstmcli.store.backtests import BacktestManifest, BacktestRecord

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BacktestLine:
    """A finished backtest in a list.

    Attributes:
        verdicts: in a few words, by config.
        crps: of what each config publishes, a log return, by config; without those unknown.
    """

    manifest: BacktestManifest
    verdicts: Mapping[str, str]
    crps: Mapping[str, float]


def list_backtests(
    workspace: Workspace,
) -> tuple[list[BacktestLine], list[str], list[LstmError]]:
    """Return finished ones, oldest first, names of interrupted ones, and errors of the others."""
    store = workspace.backtests
    lines, errors = [], []
    for name in store.names():
        try:
            manifest = store.manifest(name)
            lines.append(
                BacktestLine(
                    manifest,
                    {label: verdict_in_words(found) for label, found in manifest.verdicts.items()},
                    manifest.crps or _crps(workspace, manifest),
                )
            )
        except LstmError as error:
            errors.append(error)
    return lines, store.interrupted(), errors


def stored_backtest(workspace: Workspace, name: str) -> BacktestResult:
    """Return the result of a finished backtest.

    Args:
        name: its name, or a beginning that only it has.

    Raises:
        NoDataError: there is none, or it was interrupted.
        ConfigError: several names begin so.
        DataError: it is damaged.
    """
    store = workspace.backtests
    manifest = store.manifest(name)
    restored = {label: restored_verdict(found) for label, found in manifest.verdicts.items()}
    return BacktestResult(
        manifest=manifest,
        scores=store.scores(manifest.backtest),
        verdicts={label: verdict for label, verdict in restored.items() if verdict is not None},
        evaluations=store.evaluations(*manifest.evaluated),
    )


def same_backtest(workspace: Workspace, record: BacktestRecord) -> BacktestResult | None:
    """Return the newest finished backtest that would give the same numbers.

    It has the same configs, bars, folds and versions. One of other versions is named in a
    warning; one that is damaged, too.
    """
    others: list[BacktestManifest] = []
    for manifest in workspace.backtests.same_as(record):
        if manifest.record.versions != record.versions:
            others.append(manifest)
            continue
        try:
            found = stored_backtest(workspace, manifest.backtest)
        except DataError as error:
            log.warning("%s It is computed anew.", error)
            continue
        if len(found.verdicts) == len(manifest.verdicts):
            return found
    if others:
        stored, now = others[0].record.versions, record.versions
        changed = [name for name in now if stored.get(name) != now[name]]
        log.warning(
            "the same backtest was computed with another version of %s: "
            "lstm backtest --show %s shows it",
            ", ".join(changed),
            others[0].backtest,
        )
    return None


def _crps(workspace: Workspace, manifest: BacktestManifest) -> dict[str, float]:
    table = summary(workspace.backtests.scores(manifest.backtest))
    found = {label: published_crps(table, label) for label in manifest.verdicts}
    return {label: value for label, value in found.items() if value is not None}
