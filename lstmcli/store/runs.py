"""Runs on disk: config, networks, scaling, history, scores, and a manifest written last.

A folder without `manifest.json` is an interrupted run: it holds what `--resume`
needs, and no other command reads it.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from lstmcli.errors import DataError, NoDataError
from lstmcli.features import find_feature
from lstmcli.forecasters.blend import FittedRun, RunRecipe, restored, stored_state
from lstmcli.forecasters.network import FittedNetwork, NetworkState
from lstmcli.frames import Section
from lstmcli.models.litert import LiteNetwork
from lstmcli.models.runtime import load_tensorflow
from lstmcli.store.files import write_atomically
from lstmcli.store.locks import forget, hold

if TYPE_CHECKING:
    import keras

FORMAT = 1

_CONFIG = "config.yaml"
_PLAN = "plan.json"
_STATE = "state.json"
_HISTORY = "history.csv"
_SCORES = "scores.csv"
_LITE = "forecast.tflite"
_MANIFEST = "manifest.json"
_RESUME = "resume"


class Plan(Section):
    """What a run set out to do; a resumed one must find the same bars.

    Attributes:
        bars: SHA-256 of each ticker's bars.
    """

    config_sha: str
    bars: dict[str, str]


class Manifest(Section):
    """What a finished run is, written last.

    Attributes:
        tickers: whose bars the networks were fitted on.
        bars: SHA-256 of each ticker's bars at the time.
        labels: notes that must show with every forecast, such as "sample data".
        test: first and last origin of the test block, and of how many evaluations
            of an overlapping block in this workspace this was the latest.
        parameters: trainable numbers of one member.
        threads: TensorFlow's, on which the last digits depend.
        verdict: of the scored fit on the test block; None of a run from before there were any.
        files: SHA-256 of every other file of the run.
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
    files: dict[str, str] = Field(default_factory=dict)


class RunStore:
    """The runs of a workspace, newest last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Return finished runs, oldest first."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{_MANIFEST}"))

    def interrupted(self) -> list[str]:
        """Return runs that were started and not finished, oldest first."""
        plans = {path.parent.name for path in self.folder.glob(f"*/{_PLAN}")}
        return sorted(plans - set(self.names()))

    def path(self, run: str) -> Path:
        return self.folder / run

    def start(self, *, at: datetime, variant: str, config: str, plan: Plan) -> str:
        """Make the folder of a new run and return its name.

        Names sort by age: a second that a run has is not given to another.
        """
        while any(self.folder.glob(f"{at:%Y%m%dT%H%M%SZ}-*")):
            at += timedelta(seconds=1)
        name = f"{at:%Y%m%dT%H%M%SZ}-{variant}-{plan.config_sha[:8]}"
        write_atomically(self.path(name) / _CONFIG, config.encode())
        write_atomically(self.path(name) / _PLAN, _json(plan))
        return name

    def plan(self, run: str) -> tuple[str, Plan]:
        """Return the config text and the plan of an interrupted run.

        Raises:
            DataError: its files are damaged.
        """
        folder = self.path(run)
        try:
            plan = Plan.model_validate_json((folder / _PLAN).read_bytes())
            return (folder / _CONFIG).read_text("utf-8"), plan
        except (OSError, ValueError) as error:
            raise _damaged(
                folder, "its plan cannot be read", "lstm train starts a new one"
            ) from error

    def hold(self, run: str) -> AbstractContextManager[None]:
        """Hold a run while it is trained.

        Raises:
            LockError: another process trains it.
        """
        return hold(self.path(run), patience=0, hint="let it finish, or start another run")

    def checkpoints(self, run: str) -> Checkpoints:
        return Checkpoints(self.path(run) / _RESUME)

    def finish(
        self,
        fitted: FittedRun,
        manifest: Manifest,
        *,
        history: pd.DataFrame,
        scores: pd.DataFrame,
        lite: bytes | None,
    ) -> None:
        """Write everything that a forecast needs, the manifest last.

        Args:
            lite: the members for LiteRT; None where they were not exported.
        """
        folder = self.path(manifest.run)
        files = {
            _STATE: _json(stored_state(fitted)),
            _HISTORY: history.to_csv(index=False, lineterminator="\n").encode(),
            _SCORES: scores.to_csv(index=False, lineterminator="\n").encode(),
        }
        for member, network in enumerate(fitted.network.networks, start=1):
            files[_network_file(member)] = _network_bytes(network)
        if lite is not None:
            files[_LITE] = lite
        for name, content in files.items():
            write_atomically(folder / name, content)
        files[_CONFIG] = (folder / _CONFIG).read_bytes()
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        write_atomically(folder / _MANIFEST, _json(manifest.model_copy(update={"files": hashes})))
        (folder / _PLAN).unlink(missing_ok=True)
        shutil.rmtree(folder / _RESUME, ignore_errors=True)
        forget(folder)

    def manifest(self, run: str) -> Manifest:
        """Return the manifest of a finished run.

        Raises:
            NoDataError: no such run, or it was interrupted.
            DataError: it is damaged, or another version wrote it.
        """
        path = self.path(run) / _MANIFEST
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            if run in self.interrupted():
                raise NoDataError(
                    f"The run {run} is unfinished.", hint="lstm train --resume"
                ) from error
            raise NoDataError(
                f"There is no run {run} in {self.folder}.", hint="lstm runs"
            ) from error
        except (OSError, ValueError) as error:
            raise _damaged(path, "it is not JSON") from error
        stated = content.get("format") if isinstance(content, dict) else None
        if stated != FORMAT:
            raise DataError(
                f"{path}: Expected a run in format {FORMAT}. Received: {stated}.",
                hint=f"train again: lstm train --config {self.path(run) / _CONFIG}",
            )
        try:
            return Manifest.model_validate(content)
        except ValidationError as error:
            raise _damaged(path, f"{error.error_count()} fields are wrong") from error

    def manifests(self) -> list[Manifest]:
        """Return the readable manifests, oldest first."""
        found = []
        for run in self.names():
            try:
                found.append(self.manifest(run))
            except DataError:
                continue  # `load` and `doctor` name it.
        return found

    def latest(self, tickers: Iterable[str] = ()) -> Manifest:
        """Return the newest run that knows all of `tickers`.

        Raises:
            NoDataError: there is none.
        """
        wanted = tuple(tickers)
        for run in reversed(self.names()):
            manifest = self.manifest(run)
            if set(wanted) <= set(manifest.tickers):
                return manifest
        named = " ".join(wanted)
        if wanted and self.names():
            raise NoDataError(
                f"No run knows {named}.", hint=f"lstm train {named} --config lstm.yaml"
            )
        unfinished = self.interrupted()
        raise NoDataError(
            f"There is no finished run in {self.folder}.",
            hint="lstm train --resume"
            if unfinished
            else f"lstm train {named or 'MRK'} --config lstm.yaml",
        )

    def config_text(self, manifest: Manifest) -> str:
        """Return the config of a finished run.

        Raises:
            DataError: a file of the run is not what was written.
        """
        self.check(manifest)
        return (self.path(manifest.run) / _CONFIG).read_text("utf-8")

    def load(self, manifest: Manifest, recipe: RunRecipe, *, with_keras: bool = False) -> FittedRun:
        """Return the fitted networks of a run, for LiteRT where they were exported.

        Args:
            with_keras: load the Keras networks too, which imports TensorFlow.

        Raises:
            DataError: a file is missing or not what was written, or the run was
                made with other feature columns.
        """
        folder = self.path(manifest.run)
        self.check(manifest)
        try:
            state = NetworkState.model_validate_json((folder / _STATE).read_bytes())
        except ValidationError as error:
            reason = f"{error.error_count()} fields are wrong"
            raise _damaged(folder / _STATE, reason) from error
        unknown = [name for name in state.features if find_feature(name) is None]
        if unknown or state.features != recipe.network.features:
            raise DataError(
                f"{folder}: Expected the feature columns {', '.join(recipe.network.features)}. "
                f"Received: {', '.join(state.features)}.",
                hint=f"train again: lstm train --config {folder / _CONFIG}",
            )
        lite = self._lite(manifest)
        networks = self._networks(manifest, state) if with_keras or lite is None else ()
        history = self.history(manifest)
        return restored(recipe, FittedNetwork(recipe.network, networks, state, history, lite))

    def _lite(self, manifest: Manifest) -> LiteNetwork | None:
        if _LITE not in manifest.files:
            return None
        path = self.path(manifest.run) / _LITE
        try:
            return LiteNetwork(path.read_bytes())
        except (ValueError, RuntimeError) as error:
            raise _damaged(path, f"it does not load: {type(error).__name__}") from error

    def _networks(self, manifest: Manifest, state: NetworkState) -> tuple[keras.Model, ...]:
        load_tensorflow()
        import keras

        from lstmcli.models import layers  # noqa: F401  (its layers must be registered)

        folder = self.path(manifest.run)
        paths = sorted(folder / name for name in manifest.files if name.endswith(".keras"))
        try:
            networks = tuple(
                keras.saving.load_model(path, compile=False, safe_mode=True) for path in paths
            )
        except (ValueError, TypeError, OSError, KeyError) as error:
            raise _damaged(folder, f"a network does not load: {type(error).__name__}") from error
        width = networks[0].inputs[0].shape[-1] if networks else 0
        if width != len(state.features):
            raise DataError(
                f"{folder}: Expected networks with {len(state.features)} feature columns. "
                f"Received: {width}.",
                hint=f"train again: lstm train --config {folder / _CONFIG}",
            )
        return networks

    def check(self, manifest: Manifest) -> None:
        """Check that every file of a run is what was written.

        Raises:
            DataError: naming the first that is not.
        """
        folder = self.path(manifest.run)
        for name, expected in manifest.files.items():
            try:
                actual = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            except OSError as error:
                raise _damaged(folder / name, "it cannot be read") from error
            if actual != expected:
                raise _damaged(folder / name, "its content does not match its hash")

    def history(self, manifest: Manifest) -> pd.DataFrame:
        return pd.read_csv(self.path(manifest.run) / _HISTORY)

    def scores(self, manifest: Manifest) -> pd.DataFrame:
        return pd.read_csv(self.path(manifest.run) / _SCORES)

    def evaluations(self, tickers: Iterable[str], first: str, last: str) -> int:
        """Return how often finished runs have used a test block that overlaps this one.

        A test block that chooses between many runs stops being a test: reports
        say how many had a look.
        """
        wanted = set(tickers)
        return sum(
            bool(wanted & set(other.tickers)) and other.test[0] <= last and first <= other.test[1]
            for other in self.manifests()
        )


class Checkpoints:
    """What an interrupted fit goes on from: arrays by key, no pickle."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **dict(arrays))
        write_atomically(self.folder / f"{key}.npz", stream.getvalue())

    def load(self, key: str) -> dict[str, np.ndarray] | None:
        path = self.folder / f"{key}.npz"
        try:
            # From memory: of a damaged file numpy would leave the handle open.
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as saved:
                return {name: saved[name] for name in saved.files}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
            raise _damaged(
                path, "it cannot be read", "delete it: its member starts anew"
            ) from error


def _network_file(member: int) -> str:
    return f"network-{member:02d}.keras"


def _network_bytes(network: Any) -> bytes:
    # Keras saves to a path of its own ending only.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _network_file(1)
        network.save(path)
        return path.read_bytes()


def _json(section: Section) -> bytes:
    return (section.model_dump_json(indent=2) + "\n").encode()


def _damaged(path: Path, reason: str, way_back: str | None = None) -> DataError:
    return DataError(
        f"{path} is damaged ({reason}).",
        hint=way_back or "train again with lstm train, or name an older run with --run (lstm runs)",
    )
