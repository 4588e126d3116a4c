"""A run between the files of a workspace and the one file in which it travels."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from lstmcli.config import RunConfig, config_sha, parse_config
from lstmcli.errors import ConfigError
from lstmcli.evaluation.metrics import published_crps, summary
from lstmcli.evaluation.shared_outcomes import OUTCOME_COLUMNS
from lstmcli.forecasters.calibration_state import CalibrationState
from lstmcli.forecasters.run_arrays import from_arrays, npz_arrays, npz_bytes, to_arrays
from lstmcli.forecasters.run_recipe import FitSummary, FittedRun, RunRecipe, UnexpectedContent
from lstmcli.forecasters.training import HISTORY_COLUMNS
from lstmcli.report.stored_verdict import restored_verdict, verdict_in_words
from lstmcli.report.verdict import paragraphs, table_head, table_rows
from lstmcli.report.verdict_record import stored_paragraphs
from lstmcli.store import recipe_names
from lstmcli.store.files import check_ticker
from lstmcli.store.plain_arrays import array_bytes
from lstmcli.store.records import label_of, to_parquet, wrong_fields
from lstmcli.store.run_file import RunFile
from lstmcli.store.runs import (
    CALIBRATION,
    CONFIG,
    FORMAT,
    HISTORY,
    OUTCOMES,
    OWN,
    SCORES,
    STATE,
    Manifest,
)
from lstmcli.version import __version__

TEXTS = (CONFIG, STATE, HISTORY, SCORES)

_CALIBRATION, _OUTCOMES = "calibration", "outcomes"
"""Stems of the arrays that are no part of what was fitted."""

_NAME = re.compile(r"\d{8}T\d{6}Z-[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Unpacked:
    """What a file of a run says, with its settings and its state read.

    Attributes:
        crps: of what it publishes on its test block, a log return; None where unknown.
    """

    run_file: RunFile
    config: RunConfig
    recipe: RunRecipe
    state: FitSummary
    crps: float | None

    @property
    def manifest(self) -> Manifest:
        return self.run_file.manifest


def pack_run(manifest: Manifest, contents: Mapping[str, bytes]) -> RunFile:
    """Return the file of a run.

    Args:
        contents: the files of the run, by name.

    Raises:
        ValueError: this version cannot read one of them; the message is a clause.
        UnexpectedContent: another version made them; the message is a sentence.
    """
    fitted = {name: content for name, content in contents.items() if name not in OWN}
    arrays = to_arrays(fitted)
    if CALIBRATION in contents:
        arrays[_CALIBRATION] = npz_arrays(contents[CALIBRATION])
    if OUTCOMES in contents:
        arrays[_OUTCOMES] = _columns(pd.read_parquet(io.BytesIO(contents[OUTCOMES])))
    texts = {name: contents[name].decode("utf-8") for name in TEXTS}
    unpacked = unpack_run(RunFile(manifest, {}, texts, arrays))
    restore_run(unpacked)
    return RunFile(manifest, _provenance(unpacked), texts, arrays)


def unpack_run(run_file: RunFile) -> Unpacked:
    """Return what a file says of its run, checked; nothing is restored yet.

    Raises:
        ValueError: a part is damaged, or parts contradict each other; the message is a clause.
        UnexpectedContent: another version made it; the message is a sentence.
    """
    manifest = run_file.manifest
    if manifest.format != FORMAT:
        raise UnexpectedContent(f"Expected a run in format {FORMAT}. Received: {manifest.format}.")
    missing = [name for name in TEXTS if name not in run_file.texts]
    if missing or len(run_file.texts) > len(TEXTS):
        raise ValueError(f"it lacks {missing[0]}" if missing else "it has a text too many")
    try:
        config = parse_config(run_file.texts[CONFIG], CONFIG)
    except ConfigError as error:
        raise UnexpectedContent(
            f"It keeps a config that this version cannot read:\n{error}"
        ) from error
    recipe = config.recipe()
    _check_manifest(manifest, config, recipe)
    state = _state(run_file.texts[STATE], manifest)
    return Unpacked(run_file, config, recipe, state, _crps(run_file, recipe))


def restore_run(unpacked: Unpacked) -> FittedRun:
    """Return what a file has fitted, all of it checked.

    Raises:
        ValueError: its arrays are not those of its recipe; the message is a clause.
        UnexpectedContent: another version made it; the message is a sentence.
    """
    texts = unpacked.run_file.texts
    state = texts[STATE].encode()
    arrays = dict(unpacked.run_file.arrays)
    calibration, outcomes = arrays.pop(_CALIBRATION, None), arrays.pop(_OUTCOMES, None)
    try:
        history = pd.read_csv(io.StringIO(texts[HISTORY]))
        if not {*HISTORY_COLUMNS} <= {*history} or not len(history):
            raise ValueError(f"{HISTORY} is not what it should be")
        files = from_arrays(unpacked.recipe, state, arrays)
        fitted = unpacked.recipe.restore(state, files, history=history, with_keras=True)
        if calibration is not None:
            CalibrationState.from_bytes(npz_bytes(calibration))
        if outcomes is not None:
            _table(outcomes)
    except ValidationError as error:
        raise ValueError(f"its state: {wrong_fields(error)}") from error
    except UnexpectedContent:
        raise
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise ValueError(f"its arrays do not fit: {type(error).__name__}") from error
    _check_kept(arrays, fitted.files())
    return fitted


def contents_of(unpacked: Unpacked, fitted: FittedRun) -> dict[str, bytes]:
    """Return the files that a workspace keeps of a run.

    Args:
        fitted: what `restore_run` returned, exported.
    """
    run_file = unpacked.run_file
    contents = {name: run_file.texts[name].encode() for name in TEXTS} | fitted.files()
    if _CALIBRATION in run_file.arrays:
        contents[CALIBRATION] = npz_bytes(run_file.arrays[_CALIBRATION])
    if _OUTCOMES in run_file.arrays:
        contents[OUTCOMES] = to_parquet(_table(run_file.arrays[_OUTCOMES]))
    return contents


def _check_manifest(manifest: Manifest, config: RunConfig, recipe: RunRecipe) -> None:
    """Check a manifest against the config, and that it can be shown.

    Raises:
        ValueError: the message is a clause.
    """
    name = f"{recipe.name}-{manifest.config_sha[:8]}"
    if not _NAME.fullmatch(manifest.run) or label_of(manifest.run) != name:
        raise ValueError("its name is not that of its config")
    # A setting that came since then would change the hash of an older config.
    ours = manifest.versions.get("lstmcli") == __version__
    if ours and config_sha(config) != manifest.config_sha:
        raise ValueError("its config is not that of its manifest")
    if (manifest.variant, manifest.features) != (config.model.name, config.features):
        raise ValueError("its manifest has another network than its config")
    if not manifest.tickers or len({*manifest.tickers}) < len(manifest.tickers):
        raise ValueError("its tickers are not what they should be")
    try:
        for ticker in manifest.tickers:
            check_ticker(ticker)
        first, last, count = manifest.test
        ordered = date.fromisoformat(first) <= date.fromisoformat(last) and count >= 1
    except (ConfigError, ValueError) as error:
        raise ValueError("its tickers or its test sessions are not what they should be") from error
    if not ordered:
        raise ValueError("its test sessions are not what they should be")
    _check_printable(manifest.model_dump(mode="json"))
    try:
        _show_verdict(manifest.verdict)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError("its verdict is not what it should be") from error


def _show_verdict(stored: Mapping[str, Any] | None) -> None:
    """Make all that is ever shown of a verdict, which fails where a part of it is missing."""
    verdict_in_words(stored)
    restored = restored_verdict(stored) if stored else None
    if restored is not None:
        paragraphs(restored), table_head(restored), table_rows(restored)
    elif stored:
        stored_paragraphs(stored)


def _check_printable(value: Any) -> None:
    """Check that no text of a manifest steers a terminal."""
    if isinstance(value, dict):
        _check_printable([*value, *value.values()])
    elif isinstance(value, list):
        for part in value:
            _check_printable(part)
    elif isinstance(value, str) and not value.replace("\n", "").isprintable():
        raise ValueError("its manifest holds text that does not print")


def _state(text: str, manifest: Manifest) -> FitSummary:
    try:
        state = FitSummary.model_validate_json(text)
        tickers = json.loads(text).get("tickers", manifest.tickers)
        for day in (state.fit_end, *(day for block in state.blocks.values() for day in block)):
            date.fromisoformat(day)
    except ValidationError as error:
        raise ValueError(f"its state: {wrong_fields(error)}") from error
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError("its state is not what it should be") from error
    if list(tickers) != list(manifest.tickers) or not state.best_epochs:
        raise ValueError("its state is not that of its manifest")
    return state


def _crps(run_file: RunFile, recipe: RunRecipe) -> float | None:
    try:
        scores = recipe_names.decode(pd.read_csv(io.StringIO(run_file.texts[SCORES])))
        tables = [summary(scores[scores["block"] == name]) for name in ("validation", "test")]
        found = published_crps(tables[1], recipe.name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{SCORES} is not what it should be") from error
    return found if run_file.manifest.crps is None else run_file.manifest.crps


def _check_kept(given: Mapping[str, Mapping[str, np.ndarray]], files: Mapping[str, bytes]) -> None:
    """Check that a restored recipe keeps the arrays that it was given, and no others.

    Raises:
        ValueError: it does not.
    """
    kept = {name.rpartition(".")[0]: name for name in files if not name.endswith(".tflite")}
    if {*kept} != {*given}:
        raise ValueError("it has other arrays than its recipe")
    for stem, name in kept.items():
        if name.endswith(".npz"):
            found = npz_arrays(files[name])
            same = {*found} == {*given[stem]} and all(
                array_bytes(array) == array_bytes(given[stem][of]) for of, array in found.items()
            )
            if not same:
                raise ValueError(f"{stem} has other arrays than its recipe")


def _columns(table: pd.DataFrame) -> dict[str, np.ndarray]:
    return {
        str(name): column.to_numpy(str if column.dtype.kind not in "bifuM" else None)
        for name, column in table.items()
    }


def _table(columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Return outcomes from their columns.

    Raises:
        ValueError: they are others than those of outcomes; the message is a clause.
    """
    kinds = dict(zip(OUTCOME_COLUMNS, "UMiMfffbbb", strict=True))
    found = {name: array.dtype.kind for name, array in columns.items()}
    if found != kinds or len({array.shape for array in columns.values()}) > 1:
        raise ValueError("its outcomes are not what they should be")
    if columns["ticker"].ndim != 1:
        raise ValueError("its outcomes are no columns")
    return pd.DataFrame({name: columns[name] for name in OUTCOME_COLUMNS})


def _provenance(unpacked: Unpacked) -> dict[str, Any]:
    """Return where a run comes from, for people."""
    manifest, config, state = unpacked.manifest, unpacked.config, unpacked.state
    bars = json.dumps(manifest.bars, sort_keys=True, separators=(",", ":"))
    return {
        "tickers": list(manifest.tickers),
        "span": {
            "trained_to": state.fit_end,
            "blocks": {name: list(days) for name, days in state.blocks.items()},
            "test": list(manifest.test[:2]),
        },
        "seeds": {"seed": config.seed, "networks": unpacked.recipe.work.networks},
        "command": f"lstm train --config {CONFIG}",
        "scores": {"crps": unpacked.crps, "verdict": verdict_in_words(manifest.verdict)},
        "bars": hashlib.sha256(bars.encode()).hexdigest(),
        "versions": dict(manifest.versions),
        "exported_by": __version__,
    }
