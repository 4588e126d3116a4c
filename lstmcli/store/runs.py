"""Runs on disk: config, state, the files of what was fitted, history, scores."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field, field_validator

from lstmcli.errors import DataError, NoDataError, shell_word
from lstmcli.frames import Section
from lstmcli.store import recipe_names
from lstmcli.store.checkpoints import Checkpoints
from lstmcli.store.files import write_atomically
from lstmcli.store.records import (
    MANIFEST,
    PLAN,
    Record,
    RecordStore,
    label_of,
    to_csv,
    to_json,
    to_parquet,
)

FORMAT = 1

CONFIG = "config.yaml"
STATE = "state.json"
HISTORY = "history.csv"
SCORES = "scores.csv"
CALIBRATION = "calibration.npz"
OUTCOMES = "outcomes.parquet"
_RESUME = "resume"

OWN = (CONFIG, STATE, HISTORY, SCORES, CALIBRATION, OUTCOMES, PLAN, MANIFEST)
"""Files that every run has, whatever was fitted."""


class Plan(Section):
    """What a run set out to do; a resumed one must find the same bars.

    Attributes:
        bars: SHA-256 of each ticker's bars.
    """

    config_sha: str
    bars: dict[str, str]


class Manifest(Record):
    """What a finished run is.

    Attributes:
        tickers: whose bars it was fitted on.
        bars: SHA-256 of each ticker's bars at the time.
        labels: notes that must show with every forecast, such as "sample data".
        test: first and last origin of the test block, and how many runs of this
            workspace had used an overlapping block by then, this one included.
        parameters: trainable numbers of one member.
        threads: TensorFlow's, on which the last digits depend.
        verdict: of the scored fit on the test block; None of a run from before there were any.
        crps: a log return, of what is published, over the tickers and steps of the test block;
            None of a run up to version 0.2.
        files: SHA-256 of every other file of the run.
        any_ticker: whether it forecasts tickers that it was not fitted on.
    """

    format: int
    run: str
    created_at: datetime
    variant: str
    tickers: tuple[str, ...]
    features: tuple[str, ...]
    config_sha: str
    bars: dict[str, str]
    labels: dict[str, str]
    test: tuple[str, str, int]
    parameters: int
    seconds: float
    threads: dict[str, int]
    versions: dict[str, str]
    verdict: dict[str, Any] | None = None
    crps: float | None = None
    files: dict[str, str] = Field(default_factory=dict)
    any_ticker: bool = False

    @field_validator("verdict")
    @classmethod
    def _of_any_version(cls, verdict: dict[str, Any] | None) -> dict[str, Any] | None:
        return verdict and recipe_names.decode_verdict(verdict)

    @property
    def evaluated(self) -> tuple[tuple[str, ...], str, str]:
        return self.tickers, self.test[0], self.test[1]

    @property
    def config_name(self) -> str:
        """The name of its config; of a run of version 0.1 that of its network."""
        return label_of(self.run).removesuffix(f"-{self.config_sha[:8]}")


@dataclass(frozen=True)
class RunFiles:
    """What a run keeps to forecast again.

    Attributes:
        config: YAML.
        state: JSON of what was fitted; it has the keys of `FitSummary`.
        fitted: the other files of what was fitted, by name: networks, arrays.
        calibration: what calibration had learnt by the last bar; None of a run from before
            it was kept.
    """

    config: str
    state: bytes
    fitted: Mapping[str, bytes]
    history: pd.DataFrame
    calibration: bytes | None = None


class RunStore(RecordStore[Manifest]):
    """The runs of a workspace, newest last."""

    noun = "run"
    listing = "lstm runs"
    record = Manifest

    def start(self, *, at: datetime, variant: str, config: str, plan: Plan) -> str:
        """Make the folder of a new run and return its name."""
        label = f"{variant}-{plan.config_sha[:8]}"
        return self._begin(label, {CONFIG: config.encode(), PLAN: to_json(plan)}, at=at)

    def plan(self, run: str) -> tuple[str, Plan]:
        """Return the config text and the plan of an interrupted run.

        Raises:
            DataError: its files are damaged.
        """
        folder = self.path(run)
        try:
            plan = Plan.model_validate_json((folder / PLAN).read_bytes())
            return (folder / CONFIG).read_text("utf-8"), plan
        except (OSError, ValueError) as error:
            raise DataError(
                f"{folder} is damaged (its plan cannot be read).",
                hint="lstm train starts a new one",
            ) from error

    def checkpoints(self, run: str) -> Checkpoints:
        return Checkpoints(self.path(run) / _RESUME)

    def finish(
        self,
        manifest: Manifest,
        *,
        state: bytes,
        fitted: Mapping[str, bytes],
        history: pd.DataFrame,
        scores: pd.DataFrame,
        calibration: bytes | None = None,
        outcomes: pd.DataFrame | None = None,
    ) -> None:
        """Write everything that a forecast needs, the manifest last.

        Args:
            state: see `RunFiles`, as for `fitted` and `calibration`.
            outcomes: what came of the published forecasts of the test block.

        Raises:
            DiskError: a file cannot be written; the run stays interrupted.
            ValueError: `fitted` has a file of a name that every run has.
        """
        files = {STATE: state, HISTORY: to_csv(history), SCORES: to_csv(scores)}
        taken = sorted({*OWN} & {*fitted})
        if taken:
            raise ValueError(f"Expected files of other names than a run's own. Received: {taken}.")
        files |= fitted
        if calibration is not None:
            files[CALIBRATION] = calibration
        if outcomes is not None:
            files[OUTCOMES] = to_parquet(outcomes)
        config = (self.path(manifest.run) / CONFIG).read_bytes()
        hashes = {name: _sha256(content) for name, content in {**files, CONFIG: config}.items()}
        whole = manifest.model_copy(update={"files": hashes})
        self._finish(manifest.run, files, whole, leftover=_RESUME)

    def read(self, manifest: Manifest) -> RunFiles:
        """Return what a run keeps to forecast again; each file is what was written.

        Raises:
            DataError: naming the first that is not.
        """
        files = self.contents(manifest)
        return RunFiles(
            config=files[CONFIG].decode(),
            state=files[STATE],
            fitted={name: content for name, content in files.items() if name not in OWN},
            history=pd.read_csv(io.BytesIO(files[HISTORY])),
            calibration=files.get(CALIBRATION),
        )

    def contents(self, manifest: Manifest) -> dict[str, bytes]:
        """Return the files of a run by name, without its manifest; each is what was written.

        Raises:
            DataError: naming the first that is not.
        """
        folder, files = self.path(manifest.run), {}
        unlisted = [name for name in (CONFIG, STATE, HISTORY) if name not in manifest.files]
        if unlisted:
            raise self.damaged(folder / MANIFEST, f"it does not list {unlisted[0]}")
        for name, expected in manifest.files.items():
            path = folder / name
            try:
                files[name] = path.read_bytes()
            except OSError as error:
                raise self.damaged(path, "it cannot be read") from error
            if _sha256(files[name]) != expected:
                raise self.damaged(path, "its content does not match its hash")
        return files

    def add(self, manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
        """Write a finished run that was made elsewhere, the manifest last.

        Args:
            files: all of it by name, as `contents` returns them.

        Returns:
            The manifest as it is written, with the hashes of these files.

        Raises:
            DiskError: a file cannot be written; nothing of the run is left.
        """
        hashes = {name: _sha256(content) for name, content in files.items()}
        whole = manifest.model_copy(update={"files": hashes})
        folder = self.path(manifest.run)
        try:
            for name, content in files.items():
                write_atomically(folder / name, content)
            write_atomically(folder / MANIFEST, to_json(whole))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return whole

    def latest(self, tickers: Iterable[str] = ()) -> Manifest:
        """Return the newest run that knows all of `tickers`.

        Raises:
            NoDataError: there is none.
            DataError: a newer one is damaged; an older one is never taken in silence.
        """
        wanted = tuple(tickers)
        for run in reversed(self.names()):
            manifest = self.manifest(run)
            if set(wanted) <= set(manifest.tickers):
                return manifest
        named = " ".join(map(shell_word, wanted))
        if wanted and self.names():
            raise NoDataError(f"No run knows {named}.", hint=f"lstm train {named}")
        new = f"lstm train {named}".rstrip()
        raise NoDataError(
            f"There is no finished run in {self.folder}.",
            hint="lstm train --resume" if self.interrupted() else new,
        )

    def scores(self, manifest: Manifest) -> pd.DataFrame:
        """Return Scores on the blocks of a run, with a column `block`.

        Raises:
            DataError: they are damaged or missing.
        """
        path = self.path(manifest.run) / SCORES
        try:
            return recipe_names.decode(pd.read_csv(path))
        except (OSError, ValueError, KeyError) as error:
            raise self.damaged(path, "it cannot be read") from error

    def outcomes(self, manifest: Manifest) -> pd.DataFrame | None:
        """Return what came of the published forecasts of the test block.

        None of a run up to version 0.2, which kept their scores alone.

        Raises:
            DataError: the file is damaged.
        """
        if OUTCOMES not in manifest.files:
            return None
        path = self.path(manifest.run) / OUTCOMES
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise self.damaged(path, "it cannot be read") from error

    def state(self, manifest: Manifest) -> bytes:
        """Return the state of a run alone, whose hash nobody checks; see `RunFiles`.

        Raises:
            DataError: it cannot be read.
        """
        path = self.path(manifest.run) / STATE
        try:
            return path.read_bytes()
        except OSError as error:
            raise self.damaged(path, "it cannot be read") from error

    def train_again(self, run: str) -> str:
        """Return the command that makes a run with the config of this one."""
        return f"train again: lstm train --config {self.config_path(run)}"

    def config_path(self, run: str) -> Path:
        """Return where the config of a run is kept."""
        return self.path(run) / CONFIG

    def damaged(self, path: Path, reason: str) -> DataError:
        return DataError(
            f"{path} is damaged ({reason}).",
            hint="train again with lstm train, or name an older run with --run (lstm runs)",
        )

    def _unfinished(self, name: str) -> NoDataError:
        return NoDataError(f"The run {name} is unfinished.", hint="lstm train --resume")

    def _check_version(self, path: Path, content: Any) -> None:
        stated = content.get("format") if isinstance(content, dict) else None
        if stated != FORMAT:
            raise DataError(
                f"{path}: Expected a run in format {FORMAT}. Received: {stated}.",
                hint=self.train_again(path.parent.name),
            )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
