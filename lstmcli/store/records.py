"""What runs and backtests share: a folder each, the plan first and the manifest last.

A folder that has a plan and no manifest was interrupted. It holds what the same
command needs to go on, and no other command reads it.
"""

from __future__ import annotations

import difflib
import io
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pandas as pd
from pydantic import ValidationError

from lstmcli.errors import ConfigError, DataError, NoDataError
from lstmcli.frames import Section
from lstmcli.store.files import write_atomically
from lstmcli.store.locks import forget, hold

PLAN = "plan.json"
MANIFEST = "manifest.json"

MAX_LISTED = 10
"""Names in an error about a beginning that several have."""


class Record(Section):
    """A manifest: what was done, written when it was finished."""

    @property
    @abstractmethod
    def evaluated(self) -> tuple[tuple[str, ...], str, str]:
        """The tickers, and the first and last origin, on which forecasts were judged."""


AnyRecord = TypeVar("AnyRecord", bound=Record)


class RecordStore(ABC, Generic[AnyRecord]):
    """Runs or backtests of a workspace, newest last."""

    noun: ClassVar[str]
    """Of one of them, in messages."""

    listing: ClassVar[str]
    """The command that lists them, for hints."""

    record: type[AnyRecord]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Return the finished ones, oldest first."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{MANIFEST}"))

    def interrupted(self) -> list[str]:
        """Return those that were started and not finished, oldest first."""
        plans = {path.parent.name for path in self.folder.glob(f"*/{PLAN}")}
        return sorted(plans - set(self.names()))

    def path(self, name: str) -> Path:
        return self.folder / name

    def hold(self, name: str) -> AbstractContextManager[None]:
        """Hold a folder while its work is done.

        Raises:
            LockError: another process does it.
        """
        hint = f"let it finish, or start another {self.noun}"
        return hold(self.path(name), patience=0, hint=hint)

    def find(self, beginning: str) -> str:
        """Return the whole name of the only one that begins so.

        A name is a time and a label, and the time may be left out: `stacked` is the only
        one of a config of that name. So may the folder be given, as a shell completes it.
        Interrupted ones count where no finished one begins so.

        Raises:
            ConfigError: several begin so; the message lists them.
            NoDataError: none does; the hint has the nearest name.
        """
        wanted = Path(beginning).name
        if wanted and self._is_finished(wanted):
            return wanted
        for names in (self.names(), self.interrupted()):
            found = [name for name in names if wanted and _begins(name, wanted)]
            if len(found) > 1:
                listed = "\n".join(f"  {name}" for name in found[-MAX_LISTED:])
                more = len(found) - MAX_LISTED
                raise ConfigError(
                    f"Expected the beginning of one {self.noun}. "
                    f"Received: {wanted}, with which {len(found)} begin:\n{listed}"
                    + (f"\n  and {more} older ones" if more > 0 else ""),
                    hint=f"type more of its name; {self.listing} lists all",
                )
            if found:
                return found[0]
        raise NoDataError(
            f"There is no {self.noun} {beginning} in {self.folder}.", hint=self._near(wanted)
        )

    def manifest(self, name: str) -> AnyRecord:
        """Return the manifest of a finished one.

        Args:
            name: its name, or a beginning that only it has; see `find`.

        Raises:
            NoDataError: there is none of this name, or it was interrupted.
            ConfigError: several names begin so.
            DataError: it is damaged, or another version wrote it.
        """
        name = self.find(name)
        path = self.path(name) / MANIFEST
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise self._unfinished(name) from error
        except (OSError, ValueError) as error:
            raise self.damaged(path, "it is not JSON") from error
        self._check_version(path, content)
        try:
            return self.record.model_validate(content)
        except ValidationError as error:
            raise self.damaged(path, wrong_fields(error)) from error

    def manifests(self) -> list[AnyRecord]:
        """Return the readable manifests, oldest first."""
        found = []
        for name in self.names():
            try:
                found.append(self.manifest(name))
            except DataError:
                continue  # whoever asks for this one, and `doctor`, gets the error
        return found

    def evaluations(self, tickers: Iterable[str], first: str, last: str) -> int:
        """Return how many finished ones have judged forecasts of a ticker in this span.

        A test block that chooses between many configs stops being a test: reports say
        how often it was used. Dates are ISO; either end counts.
        """
        wanted, count = set(tickers), 0
        for manifest in self.manifests():
            others, start, end = manifest.evaluated
            count += bool(wanted & set(others)) and start <= last and first <= end
        return count

    @abstractmethod
    def damaged(self, path: Path, reason: str) -> DataError:
        """Return the error about a damaged file, with a way back."""

    @abstractmethod
    def _unfinished(self, name: str) -> NoDataError:
        """Return the error about one that was interrupted."""

    def _is_finished(self, name: str) -> bool:
        try:
            return (self.path(name) / MANIFEST).is_file()
        except OSError:  # longer than the file system takes
            return False

    def _near(self, wanted: str) -> str:
        """Return the hint about a name that does not exist."""
        # By name, and by label with and without what follows the config's name.
        known = {
            text: name
            for name in self.names()
            for text in (name, label_of(name), label_of(name).rpartition("-")[0])
            if text
        }
        near = difflib.get_close_matches(wanted, known, n=1)
        did_you_mean = f"did you mean {known[near[0]]}? " if near else ""
        return f"{did_you_mean}{self.listing} lists all"

    def _check_version(self, path: Path, content: Any) -> None:
        """Check that this version can read a manifest, which may be any JSON.

        Raises:
            DataError: it cannot.
        """

    def _begin(self, label: str, files: Mapping[str, bytes], *, at: datetime) -> str:
        """Make a folder, write its files in their order, and return its name.

        Names sort by age: a second that one has is not given to another.
        """
        while any(self.folder.glob(f"{at:%Y%m%dT%H%M%SZ}-*")):
            at += timedelta(seconds=1)
        name = f"{at:%Y%m%dT%H%M%SZ}-{label}"
        for file, content in files.items():
            write_atomically(self.path(name) / file, content)
        return name

    def _finish(
        self, name: str, files: Mapping[str, bytes], manifest: AnyRecord, *, leftover: str
    ) -> None:
        """Write files, the manifest last, and remove what an interrupted one needed.

        Args:
            leftover: the folder of its intermediate results.
        """
        folder = self.path(name)
        for file, content in files.items():
            write_atomically(folder / file, content)
        write_atomically(folder / MANIFEST, to_json(manifest))
        (folder / PLAN).unlink(missing_ok=True)
        shutil.rmtree(folder / leftover, ignore_errors=True)
        forget(folder)


def to_parquet(table: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    table.to_parquet(stream, index=False, compression="zstd")
    return stream.getvalue()


def label_of(name: str) -> str:
    """Return what follows the time in a name."""
    return name.partition("-")[2]


def _begins(name: str, beginning: str) -> bool:
    return name.startswith(beginning) or label_of(name).startswith(beginning)


def to_json(section: Section) -> bytes:
    return (section.model_dump_json(indent=2) + "\n").encode()


def to_csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def wrong_fields(error: ValidationError) -> str:
    """Return how many fields are wrong, for an error about a damaged file."""
    return f"{error.error_count()} fields are wrong"
