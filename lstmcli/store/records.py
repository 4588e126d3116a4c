"""What runs and backtests share: a folder each, the plan first and the manifest last.

A folder that has a plan and no manifest was interrupted. It holds what the same
command needs to go on, and no other command reads it.
"""

from __future__ import annotations

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

from lstmcli.errors import DataError, NoDataError
from lstmcli.frames import Section
from lstmcli.store.files import write_atomically
from lstmcli.store.locks import forget, hold

PLAN = "plan.json"
MANIFEST = "manifest.json"


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

    def manifest(self, name: str) -> AnyRecord:
        """Return the manifest of a finished one.

        Raises:
            NoDataError: there is none of this name, or it was interrupted.
            DataError: it is damaged, or another version wrote it.
        """
        path = self.path(name) / MANIFEST
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise self._missing(name) from error
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
    def _missing(self, name: str) -> NoDataError:
        """Return the error about a name that has no manifest."""

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


def to_json(section: Section) -> bytes:
    return (section.model_dump_json(indent=2) + "\n").encode()


def to_csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def wrong_fields(error: ValidationError) -> str:
    """Return how many fields are wrong, for an error about a damaged file."""
    return f"{error.error_count()} fields are wrong"
