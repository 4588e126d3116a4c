"""Stores of bars and of runs that remember what they have read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from lstmcli.errors import LstmError, NoDataError
from lstmcli.frames import SCORE_COLUMNS
from lstmcli.store.bars import BarsMeta, BarsStore, as_read
from lstmcli.store.runs import Manifest, RunFiles, RunStore
from lstmcli.store.shipped import PATH, PRETRAINED, shipped_run, ships

Key = TypeVar("Key")
Known = TypeVar("Known")


def once(known: dict[Key, Known | LstmError], key: Key, read: Callable[[], Known]) -> Known:
    """Return what `read` returned the first time, or raise the error that it raised."""
    if key not in known:
        try:
            known[key] = read()
        except LstmError as error:
            known[key] = error
    answer = known[key]
    if isinstance(answer, LstmError):
        raise answer
    return answer


class BarsReadOnce(BarsStore):
    """Stored bars; each file is read and hashed once."""

    def __init__(self, folder: Path, *, market: bool = False) -> None:
        super().__init__(folder, market=market)
        self._known: dict[str, tuple[pd.DataFrame, BarsMeta] | LstmError] = {}

    def read(self, ticker: str) -> tuple[pd.DataFrame, BarsMeta]:
        read = super().read
        return once(self._known, ticker, lambda: read(ticker))

    def write(self, bars: pd.DataFrame, meta: BarsMeta) -> None:
        super().write(bars, meta)
        self._known[meta.ticker] = as_read(bars), meta


class RunsReadOnce(RunStore):
    """Stored runs, and the one that ships with the program, which no list of them names.

    Names are listed once, and each manifest is parsed once.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._names: list[str] | None = None
        self._manifests: dict[str, Manifest | LstmError] = {}

    def names(self) -> list[str]:
        if self._names is None:
            self._names = super().names()
        return list(self._names)

    def find(self, beginning: str) -> str:
        if beginning == PRETRAINED:
            return shipped_run().manifest.run
        try:
            return super().find(beginning)
        except NoDataError:
            if beginning and ships(beginning):
                return beginning
            raise

    def manifest(self, name: str) -> Manifest:
        read, name = super().manifest, self.find(name)
        if ships(name):
            return shipped_run().manifest
        return once(self._manifests, name, lambda: read(name))

    def read(self, manifest: Manifest) -> RunFiles:
        return shipped_run().files if ships(manifest.run) else super().read(manifest)

    def scores(self, manifest: Manifest) -> pd.DataFrame:
        if ships(manifest.run):
            return pd.DataFrame(
                columns=["block", *SCORE_COLUMNS]
            )  # they are of other tickers, and stand in its verdict
        return super().scores(manifest)

    def state(self, manifest: Manifest) -> bytes:
        return shipped_run().files.state if ships(manifest.run) else super().state(manifest)

    def path(self, name: str) -> Path:
        return PATH if ships(name) else super().path(name)

    def finish(self, manifest: Manifest, **files: Any) -> None:
        super().finish(manifest, **files)
        self._names = None
        self._manifests.pop(manifest.run, None)
