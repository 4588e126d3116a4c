"""Travel: a run leaves its workspace in one file, and enters another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lstmcli.errors import ConfigError, DataError, DiskError, LstmError, shell_word
from lstmcli.forecasters.run_recipe import FitSummary, Stage, UnexpectedContent
from lstmcli.pipeline.plot import check_folder
from lstmcli.pipeline.portable import Unpacked, contents_of, pack_run, restore_run, unpack_run
from lstmcli.pipeline.runs import RunLine
from lstmcli.pipeline.session import Session
from lstmcli.report.stored_verdict import verdict_in_words
from lstmcli.store.exact_zip import MAX_BYTES
from lstmcli.store.files import write_atomically
from lstmcli.store.records import PLAN
from lstmcli.store.run_file import (
    NewerRunFileError,
    RunFile,
    RunFileError,
    from_bytes,
    same_run,
    to_bytes,
)
from lstmcli.store.runs import Manifest, RunStore
from lstmcli.store.shipped import shipped_run, ships


@dataclass(frozen=True)
class Exported:
    """A run that was written into a file.

    Attributes:
        size: bytes of the file.
    """

    manifest: Manifest
    path: Path
    size: int


@dataclass(frozen=True)
class Imported:
    """A run that came from a file.

    Attributes:
        already: the workspace had the same run before; nothing was written.
        made_by: the version of the program that trained it.
        with_bars: those of its tickers whose bars are stored here.
    """

    line: RunLine
    folder: Path
    already: bool
    made_by: str
    with_bars: tuple[str, ...]

    @property
    def manifest(self) -> Manifest:
        return self.line.manifest


def export_run(session: Session, run: str, path: Path, *, force: bool, on_stage: Stage) -> Exported:
    """Write a run into one file.

    Args:
        run: its name, or a beginning that only it has.
        force: replace a file that exists.

    Raises:
        ConfigError: the file exists, or its folder does not; several names begin so.
        NoDataError: there is no such run.
        DataError: the run is damaged, or another version made it.
        DiskError: the file cannot be written.
    """
    _check_output(path, run, force=force)
    manifest = session.manifest(run)
    runs = session.disk.runs
    on_stage("reading the run")
    try:
        if ships(manifest.run):
            content = to_bytes(shipped_run().run_file)
        else:
            content = to_bytes(pack_run(manifest, runs.contents(manifest)))
    except UnexpectedContent as error:
        folder = runs.path(manifest.run)
        raise DataError(f"{folder}: {error}", hint=runs.train_again(manifest.run)) from error
    except (ValueError, KeyError) as error:
        raise runs.damaged(runs.path(manifest.run), str(error)) from error
    try:
        write_atomically(path, content)
    except DiskError as error:
        raise DiskError(
            str(error), hint=f"name a file that you may write: lstm runs export {run} ~/run.lstmrun"
        ) from error
    return Exported(manifest, path, len(content))


def import_run(session: Session, path: Path, *, on_stage: Stage) -> Imported:
    """Write the run of a file into the workspace, under its own name.

    Everything is checked before anything is written.

    Raises:
        ConfigError: the file cannot be read.
        DataError: it is no whole run of this version, or another run has its name.
        LockError: another process works in this workspace.
        DiskError: the run cannot be written; nothing of it is left.
    """
    try:
        found = from_bytes(_content(path))
        if ships(found.manifest.run) and same_run(shipped_run().run_file, found):
            return _ships_already(session, found.manifest)
        unpacked = unpack_run(found)
        known = _known(session, unpacked, path)
        if known:
            return _imported(session, unpacked, unpacked.manifest, already=True)
        on_stage(f"building what {unpacked.manifest.run} has fitted")
        fitted = restore_run(unpacked)
    except NewerRunFileError as error:
        raise DataError(
            f"{path} was made by a newer version: {error}. Nothing was changed.",
            hint="update lstm, then import it again: lstm --version tells yours",
        ) from error
    except UnexpectedContent as error:
        config = shell_word(f"{path.stem}.yaml")
        raise DataError(
            f"{path} was made by another version of lstm. {error} Nothing was changed.",
            hint=f"train anew with its config: unzip -p {shell_word(str(path))} config.yaml "
            f"> {config}, then: lstm train --config {config}",
        ) from error
    except ValueError as error:
        raise DataError(
            f"{path} is no run that can be imported: {error}. Nothing was changed.",
            hint="copy the file again, or export the run again where it is: "
            "lstm runs export RUN FILE",
        ) from error
    contents = contents_of(unpacked, fitted.exported(on_stage))
    with session.disk.lock():
        if _known(session, unpacked, path):
            return _imported(session, unpacked, unpacked.manifest, already=True)
        manifest = session.disk.runs.add(unpacked.manifest, contents)
    return _imported(session, unpacked, manifest, already=False)


def _ships_already(session: Session, manifest: Manifest) -> Imported:
    state = FitSummary.model_validate_json(session.files(manifest.run).state)
    return Imported(
        line=RunLine(manifest, state.fit_end, manifest.crps, verdict_in_words(manifest.verdict)),
        folder=session.workspace.runs.path(manifest.run),
        already=True,
        made_by=str(manifest.versions.get("lstmcli")),
        with_bars=tuple(session.disk.bars.tickers()),
    )


def _content(path: Path) -> bytes:
    again = "name a file that exists: lstm runs import FILE"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RunFileError(f"it has more than {MAX_BYTES // 2**20} MB")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"Expected the file of a run. Received: {path}: {error.strerror or error}.", hint=again
        ) from error


def _known(session: Session, unpacked: Unpacked, path: Path) -> bool:
    """Return whether the workspace has the same run already.

    Raises:
        DataError: it has another one of that name.
    """
    runs, name = session.disk.runs, unpacked.manifest.run
    folder, root = runs.path(name), session.disk.root
    if name not in runs.names():
        if (folder / PLAN).exists():
            raise DataError(
                f"An unfinished training here has the name of this run: {folder}. "
                "Nothing was changed.",
                hint="finish it first: lstm train --resume",
            )
        return False
    away = shell_word(str(root / f"{name}.old"))
    hint = (
        f"keep it elsewhere, then import again: mv {shell_word(str(folder))} {away} && "
        f"lstm runs import {shell_word(str(path))}"
    )
    try:
        same = same_run(_stored(runs, name), unpacked.run_file)
    except (LstmError, ValueError, KeyError) as error:
        raise DataError(
            f"A run of this name is here, and cannot be read: {error} Nothing was changed.",
            hint=hint,
        ) from error
    if not same:
        raise DataError(
            f"Another run of this name is here: {folder}. Nothing was changed.", hint=hint
        )
    return True


def _stored(runs: RunStore, name: str) -> RunFile:
    manifest = runs.manifest(name)
    return pack_run(manifest, runs.contents(manifest))


def _imported(
    session: Session, unpacked: Unpacked, manifest: Manifest, *, already: bool
) -> Imported:
    stored = {*session.disk.bars.tickers()}
    return Imported(
        line=RunLine(
            manifest, unpacked.state.fit_end, unpacked.crps, verdict_in_words(manifest.verdict)
        ),
        folder=session.workspace.runs.path(manifest.run),
        already=already,
        made_by=str(manifest.versions.get("lstmcli", "of an unknown version")),
        with_bars=tuple(ticker for ticker in manifest.tickers if ticker in stored),
    )


def _check_output(path: Path, run: str, *, force: bool) -> None:
    """Check that a file may be written, before the run is read.

    Raises:
        ConfigError: it exists, or its folder does not.
    """
    check_folder(path)
    words = f"{shell_word(run)} {shell_word(str(path))}"
    if path.is_dir():
        raise ConfigError(
            f"Expected a file. Received: {path}, a folder.",
            hint=f"lstm runs export {shell_word(run)} {shell_word(str(path / 'run.lstmrun'))}",
        )
    if path.exists() and not force:
        raise ConfigError(
            f"{path} exists already.",
            hint=f"lstm runs export {words} --force overwrites it",
        )
