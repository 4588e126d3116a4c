"""Session: what one command has read so far, so that it reads nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from lstmcli import clock
from lstmcli.config import RunConfig
from lstmcli.errors import LstmError, NoDataError
from lstmcli.forecasters.blend import FittedRun
from lstmcli.panel import Panel
from lstmcli.pipeline.saved import fitted_from, stored_config
from lstmcli.sessions import settled_session
from lstmcli.store import Workspace
from lstmcli.store.bars import BarsMeta, BarsStore, as_read
from lstmcli.store.runs import Manifest, RunFiles, RunStore

Key = TypeVar("Key")
Known = TypeVar("Known")


@dataclass(frozen=True)
class Loaded:
    """A panel of settled bars, and the metadata of each ticker's bars."""

    panel: Panel
    metas: dict[str, BarsMeta]

    @property
    def labels(self) -> dict[str, str]:
        """Notes that must show wherever these bars do, such as "sample data"."""
        return {ticker: meta.label for ticker, meta in self.metas.items() if meta.label}


class Session:
    """What one command has read from a workspace.

    Each file of bars, each manifest and each run is read and checked once; a file that
    could not be read is not tried again. What this command writes replaces what it has
    read. What another process writes meanwhile may be seen or not: files are replaced
    whole, so it is never seen in part.

    Attributes:
        workspace: the folder; its bars, market series and runs remember what was read.
        disk: the same folder without a memory, for verbs that read every file once.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.disk = workspace
        self.workspace = copy(workspace)
        self.workspace.bars = _BarsReadOnce(workspace.bars.folder)
        self.workspace.market = _BarsReadOnce(workspace.market.folder, market=True)
        self.workspace.runs = _RunsReadOnce(workspace.runs.folder)
        self._files: dict[str, RunFiles | LstmError] = {}
        self._configs: dict[str, RunConfig | LstmError] = {}
        self._fitted: dict[tuple[str, bool], FittedRun | LstmError] = {}

    def bars(self, ticker: str) -> tuple[pd.DataFrame, BarsMeta]:
        """Return the stored bars of a ticker and their metadata.

        Raises:
            NoDataError: the ticker was never fetched.
            DataError: the file is damaged, or a newer version wrote it.
        """
        return self.workspace.bars.read(ticker)

    def panel(self, tickers: Sequence[str]) -> Loaded:
        """Return the stored bars that have settled by now.

        No ticker: every stored one. Bars after the clock are left out, as a replay needs it.

        Raises:
            NoDataError: nothing is stored, or a ticker is not.
            DataError: a bars file is damaged.
        """
        wanted = tuple(tickers) or tuple(self.workspace.bars.tickers())
        if not wanted:
            raise NoDataError(
                f"There are no bars in {self.workspace.bars.folder}.",
                hint="lstm fetch MRK, or without network: lstm fetch GOOG --source sample",
            )
        now = clock.now()
        bars, metas = {}, {}
        for ticker in wanted:
            stored, meta = self.bars(ticker)
            sessions = pd.DatetimeIndex(stored.index)
            settled = settled_session(meta.calendar, now, observed=sessions)
            bars[ticker], metas[ticker] = stored.loc[:settled], meta
            if not len(bars[ticker]):
                raise NoDataError(
                    f"{ticker}: its first session, {sessions[0]:%Y-%m-%d}, lies after the clock's "
                    f"{now:%Y-%m-%d}.",
                    hint=f"check {clock.VARIABLE}",
                )
        return Loaded(Panel(bars, {ticker: meta.calendar for ticker, meta in metas.items()}), metas)

    def manifest(self, run: str) -> Manifest:
        """Return the manifest of a finished run.

        Raises:
            NoDataError: no such run, or it was interrupted.
            DataError: it is damaged, or another version wrote it.
        """
        return self.workspace.runs.manifest(run)

    def manifests(self) -> list[Manifest]:
        """Return the readable manifests, oldest first."""
        return self.workspace.runs.manifests()

    def latest(self, tickers: Sequence[str] = ()) -> Manifest:
        """Return the manifest of the newest run that knows all of `tickers`.

        Raises:
            NoDataError: there is none.
            DataError: a newer manifest is damaged.
        """
        return self.workspace.runs.latest(tickers)

    def files(self, run: str) -> RunFiles:
        """Return the files of a finished run; each is what was written.

        Raises:
            NoDataError: no such run.
            DataError: a file is missing or not what was written.
        """
        return _once(self._files, run, lambda: self.workspace.runs.read(self.manifest(run)))

    def config(self, run: str) -> RunConfig:
        """Return the config of a finished run.

        Raises:
            NoDataError: no such run.
            DataError: the run is damaged, or this version cannot read the config.
        """
        runs = self.workspace.runs
        return _once(self._configs, run, lambda: stored_config(runs, run, self.files(run).config))

    def fitted(self, run: str, *, with_keras: bool = False) -> FittedRun:
        """Return the fitted networks of a run.

        Args:
            with_keras: load the Keras networks too, which imports TensorFlow.

        Raises:
            NoDataError: no such run.
            DataError: the run is damaged, or another version wrote it.
        """

        def load() -> FittedRun:
            files, recipe = self.files(run), self.config(run).recipe()
            runs = self.workspace.runs
            return fitted_from(files, recipe, store=runs, run=run, with_keras=with_keras)

        return _once(self._fitted, (run, with_keras), load)


class _BarsReadOnce(BarsStore):
    """Stored bars; each file is read and hashed once."""

    def __init__(self, folder: Path, *, market: bool = False) -> None:
        super().__init__(folder, market=market)
        self._known: dict[str, tuple[pd.DataFrame, BarsMeta] | LstmError] = {}

    def read(self, ticker: str) -> tuple[pd.DataFrame, BarsMeta]:
        read = super().read
        return _once(self._known, ticker, lambda: read(ticker))

    def write(self, bars: pd.DataFrame, meta: BarsMeta) -> None:
        super().write(bars, meta)
        self._known[meta.ticker] = as_read(bars), meta


class _RunsReadOnce(RunStore):
    """Stored runs; their names are listed once and each manifest is parsed once."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._names: list[str] | None = None
        self._manifests: dict[str, Manifest | LstmError] = {}

    def names(self) -> list[str]:
        if self._names is None:
            self._names = super().names()
        return list(self._names)

    def manifest(self, name: str) -> Manifest:
        read = super().manifest
        return _once(self._manifests, name, lambda: read(name))

    def finish(self, manifest: Manifest, **files: Any) -> None:
        super().finish(manifest, **files)
        self._names = None
        self._manifests.pop(manifest.run, None)


def _once(known: dict[Key, Known | LstmError], key: Key, read: Callable[[], Known]) -> Known:
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
