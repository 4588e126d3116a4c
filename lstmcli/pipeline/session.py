"""Session: what one command has read so far, so that it reads nothing twice."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from lstmcli import clock
from lstmcli.config import RunConfig
from lstmcli.errors import LstmError, NoDataError
from lstmcli.features import is_event
from lstmcli.features.announcements import Announcement, announcements_at
from lstmcli.forecasters.calibration_state import CalibrationState
from lstmcli.forecasters.run_recipe import FittedRun
from lstmcli.frames import EARNINGS, EX_DIVIDEND, empty_events
from lstmcli.panel import MarketSeries, Panel
from lstmcli.pipeline.market import note_without, series_key, wanted_series
from lstmcli.pipeline.read_once import BarsReadOnce, RunsReadOnce, once
from lstmcli.pipeline.saved import fitted_from, stored_config
from lstmcli.sessions import settled_session
from lstmcli.store import Workspace
from lstmcli.store.bars import BarsMeta
from lstmcli.store.runs import Manifest, RunFiles
from lstmcli.trading import check_moves, readable, trading_notes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A panel of the bars that forecasts may read, and the metadata of each ticker's bars.

    Attributes:
        hashes: SHA-256 of the bars by ticker, of market series as `market ^VIX`, and of
            the events of one kind.
        unread: by ticker, what of its bars is stored and not read, and why; see `trading_notes`.
        absent: tickers of market series that would be read and are not stored.
    """

    panel: Panel
    metas: dict[str, BarsMeta]
    hashes: dict[str, str]
    unread: dict[str, tuple[str, ...]] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

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
        self.workspace.bars = BarsReadOnce(workspace.bars.folder)
        self.workspace.market = BarsReadOnce(workspace.market.folder, market=True)
        self.workspace.runs = RunsReadOnce(workspace.runs.folder)
        self._files: dict[str, RunFiles | LstmError] = {}
        self._configs: dict[str, RunConfig | LstmError] = {}
        self._calibrations: dict[str, CalibrationState | LstmError | None] = {}
        self._fitted: dict[tuple[str, bool], FittedRun | LstmError] = {}
        self._dividends: dict[str, pd.DataFrame | LstmError] = {}
        self._announcements: dict[str, dict[str, pd.DataFrame] | LstmError] = {}
        self._known_announcements: dict[tuple[Any, ...], list[Announcement]] = {}
        self._said: set[str] = set()

    def bars(self, ticker: str) -> tuple[pd.DataFrame, BarsMeta]:
        """Return the stored bars of a ticker and their metadata.

        Raises:
            NoDataError: the ticker was never fetched.
            DataError: the file is damaged, or a newer version wrote it.
        """
        return self.workspace.bars.read(ticker)

    def settled(self, ticker: str) -> tuple[pd.DataFrame, BarsMeta]:
        """Return the stored bars of a ticker that have settled by now, and their metadata.

        Raises:
            NoDataError: the ticker was never fetched, or all of its bars lie after the clock.
            DataError: the file is damaged, or a newer version wrote it.
        """
        stored, meta = self.bars(ticker)
        bars = _settled(stored, meta)
        if not len(bars):
            raise NoDataError(
                f"{ticker}: its first session, {stored.index[0]:%Y-%m-%d}, lies after the "
                f"clock's {clock.now():%Y-%m-%d}.",
                hint=f"check {clock.VARIABLE}",
            )
        return bars, meta

    def panel(self, tickers: Sequence[str], configs: Sequence[RunConfig] = ()) -> Loaded:
        """Return the bars that forecasts may read: settled, since a relisting, with trades.

        No ticker: every stored one. Bars after the clock are left out, as a replay needs it;
        what else is left out, `lstmcli.trading` says.

        Args:
            configs: whose market series and events belong to the panel.

        Raises:
            NoDataError: nothing is stored, or a ticker, a series or a kind of events is not.
            DataError: a file is damaged, or a price never moves.
            ConfigError: two configs mean different series by one name.
        """
        wanted = tuple(tickers) or tuple(self.workspace.bars.tickers())
        if not wanted:
            raise NoDataError(
                f"There are no bars in {self.workspace.bars.folder}.",
                hint="lstm fetch MRK, or without network: lstm fetch ^GSPC --source sample",
            )
        bars, metas, unread = {}, {}, {}
        for ticker in wanted:
            settled, meta = self.settled(ticker)
            check_moves(settled, ticker)
            bars[ticker], metas[ticker] = readable(settled, meta.calendar), meta
            if len(bars[ticker]) < len(settled):
                unread[ticker] = trading_notes(settled, meta.calendar)
        panel = Panel(bars, {ticker: meta.calendar for ticker, meta in metas.items()})
        hashes = {ticker: meta.sha256 for ticker, meta in metas.items()}
        return self.with_inputs(Loaded(panel, metas, hashes, unread), configs)

    def panel_to_learn_from(self, tickers: Sequence[str], configs: Sequence[RunConfig]) -> Loaded:
        """Return `panel`, and log what of the tickers and of the market is not learnt from."""
        loaded = self.panel(tickers, configs)
        for ticker, notes in loaded.unread.items():
            log.warning("%s: %s", ticker, "; ".join(notes))
        for series in loaded.absent:
            self.warn_once(note_without(series), about=series)
        return loaded

    def with_inputs(
        self,
        loaded: Loaded,
        configs: Sequence[RunConfig],
        *,
        known: pd.Timestamp | None = None,
    ) -> Loaded:
        """Return a panel with the market series and the events that configs read; see `panel`.

        A series that is optional and not stored is `absent`.

        Args:
            known: the day by which events have to be known; None: today.
        """
        panel, hashes = loaded.panel, dict(loaded.hashes)
        market: dict[str, MarketSeries] = {}
        absent = []
        for name, wanted in wanted_series(configs).items():
            ticker = wanted.ticker
            try:
                bars, meta = self.workspace.market.read(ticker)
            except NoDataError as error:
                if not wanted.required:
                    absent.append(ticker)
                    continue
                raise NoDataError(
                    f"Expected the market series {name}, which features read: {ticker}. "
                    f"Received: none in {self.workspace.market.folder}.",
                    hint=error.hint,
                ) from error
            market[name] = MarketSeries(ticker, _settled(bars, meta), meta.calendar)
            hashes[series_key(ticker)] = meta.sha256
        parts = []
        for kind in self._kinds(configs):
            parts.append(self._known_events(kind, panel, known or today()))
            hashes[kind] = hashlib.sha256(
                pd.util.hash_pandas_object(parts[-1], index=False).to_numpy().tobytes()
            ).hexdigest()
        if parts:
            panel = panel.with_(events=pd.concat(parts, ignore_index=True))
        panel = panel.with_(market=market)
        return replace(loaded, panel=panel, hashes=hashes, absent=tuple(absent))

    def _kinds(self, configs: Sequence[RunConfig]) -> list[str]:
        """Return the kinds of events that configs read: those asked for, and optional ones."""
        asked = {name for config in configs for name in config.known_ahead if is_event(name)}
        optional = {kind for config in configs for kind in config.model.optional_events}
        return sorted(asked | (optional & {*self.workspace.events.kinds()}))

    def _known_events(self, kind: str, panel: Panel, known: pd.Timestamp) -> pd.DataFrame:
        """Return the statements of a kind that are known by a day.

        What became known after the last bar of a ticker, such as on a weekend, is known to the
        forecast from that bar: it is made on that day.
        """
        events = self.workspace.events.read(kind, tuple(panel))
        events = events[events["known_on"] <= known].reset_index(drop=True)
        last = events["ticker"].map({ticker: bars.index[-1] for ticker, bars in panel.items()})
        known_on = events["known_on"].where(events["known_on"] <= last, last)
        return events.assign(known_on=known_on.astype("datetime64[ns]"))

    def add_events(self, events: pd.DataFrame) -> int:
        """Store statements about events and return how many were new.

        Raises:
            DataError: a stored file is damaged.
            DiskError: a file cannot be written.
        """
        self._dividends.clear()
        self._announcements.clear()
        self._known_announcements.clear()
        return self.workspace.events.append(events)

    def warn_once(self, note: str, *, about: str | None = None) -> None:
        """Log a note that concerns the whole command, the first time that it comes up.

        Args:
            about: of notes about one thing the first is enough; None: notes alike are one.
        """
        subject = about or note
        if subject not in self._said:
            log.warning("%s", note)
        self._said.add(subject)

    def mark_said(self, about: str) -> None:
        """Log no note about something that the user is told in another place."""
        self._said.add(about)

    def dividends(self) -> pd.DataFrame:
        """Return the statements about declared dividends of all tickers, as Events.

        Raises:
            DataError: the file is damaged, or a newer version wrote it.
        """

        def read() -> pd.DataFrame:
            stored = self.workspace.events
            return stored.read(EX_DIVIDEND) if EX_DIVIDEND in stored.kinds() else empty_events()

        return once(self._dividends, EX_DIVIDEND, read)

    def announcements(self, ticker: str) -> pd.DataFrame:
        """Return the statements about a ticker's announcements of results that are known by now.

        Raises:
            DataError: the file is damaged, or a newer version wrote it.
        """

        def read() -> dict[str, pd.DataFrame]:
            stored = self.workspace.events
            events = stored.read(EARNINGS) if EARNINGS in stored.kinds() else empty_events()
            events = events[events["known_on"] <= today()]
            groups = events.groupby("ticker", sort=False)
            return {"": events.iloc[:0], **{str(name): rows for name, rows in groups}}

        found = once(self._announcements, EARNINGS, read)
        return found.get(ticker, found[""])

    def known_announcements(
        self, ticker: str, since: pd.Timestamp, known: pd.Timestamp
    ) -> list[Announcement]:
        """Return the announcements of a ticker that were known on a day, by session.

        Args:
            since: the first session of interest.
            known: the day.

        Raises:
            DataError: see `announcements`.
        """
        key = ticker, since, known
        if key not in self._known_announcements:
            events = self.announcements(ticker)
            near = events[events["session"] > since]
            found = announcements_at(near, known) if len(near) else []
            self._known_announcements[key] = found
        return self._known_announcements[key]

    def manifest(self, run: str) -> Manifest:
        """Return the manifest of a finished run.

        Args:
            run: its name, or a beginning that only it has.

        Raises:
            NoDataError: no such run, or it was interrupted.
            ConfigError: several names begin so.
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
        return once(self._files, run, lambda: self.workspace.runs.read(self.manifest(run)))

    def config(self, run: str) -> RunConfig:
        """Return the config of a finished run.

        Raises:
            NoDataError: no such run.
            DataError: the run is damaged, or this version cannot read the config.
        """
        runs = self.workspace.runs
        return once(self._configs, run, lambda: stored_config(runs, run, self.files(run).config))

    def calibration(self, run: str) -> CalibrationState | None:
        """Return what a run keeps of its calibration; None of a run that keeps nothing.

        Raises:
            NoDataError: no such run.
            DataError: the run is damaged.
        """

        def load() -> CalibrationState | None:
            content, runs = self.files(run).calibration, self.workspace.runs
            try:
                return None if content is None else CalibrationState.from_bytes(content)
            except ValueError as error:
                raise runs.damaged(runs.path(run), "its calibration cannot be read") from error

        return once(self._calibrations, run, load)

    def fitted(self, run: str, *, with_keras: bool = False) -> FittedRun:
        """Return what a run has fitted.

        Args:
            with_keras: load what `FittedRun.attention` needs, too, which takes seconds.

        Raises:
            NoDataError: no such run.
            DataError: the run is damaged, or another version wrote it.
        """

        def load() -> FittedRun:
            files, recipe = self.files(run), self.config(run).recipe()
            runs = self.workspace.runs
            return fitted_from(files, recipe, store=runs, run=run, with_keras=with_keras)

        return once(self._fitted, (run, with_keras), load)


def today() -> pd.Timestamp:
    """Return the day of the clock, in UTC, as events are dated."""
    return pd.Timestamp(clock.now()).tz_localize(None).normalize()


def _settled(bars: pd.DataFrame, meta: BarsMeta) -> pd.DataFrame:
    sessions = pd.DatetimeIndex(bars.index)
    last = settled_session(meta.calendar, clock.now(), observed=sessions)
    return bars.iloc[: sessions.searchsorted(last, side="right")]
