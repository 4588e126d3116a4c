"""What is here, how old it is, and whether it is whole."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd

from lstmcli import __version__, clock
from lstmcli.config import shipped_configs
from lstmcli.errors import ConfigError, DataError, LstmError
from lstmcli.models.runtime import usable_cores
from lstmcli.pipeline.daily import last_day
from lstmcli.sessions import sessions_behind
from lstmcli.store import Workspace
from lstmcli.store.bars import BarsMeta, BarsStore
from lstmcli.store.runs import Manifest


@dataclass(frozen=True)
class SeriesStatus:
    """How fresh one market series is, or the bars of a ticker.

    Attributes:
        sessions_behind: settled sessions without a bar; None where unreadable.
        error: why its bars cannot be read.
    """

    ticker: str
    source: str | None = None
    label: str | None = None
    rows: int | None = None
    last_session: date | None = None
    sessions_behind: int | None = None
    error: LstmError | None = None


@dataclass(frozen=True)
class TickerStatus(SeriesStatus):
    """How fresh one ticker is.

    Attributes:
        run: the newest run that knows it.
        forecast: the newest origin that was forecast.
    """

    run: str | None = None
    forecast: str | None = None


def status(workspace: Workspace) -> list[TickerStatus]:
    """Return every stored ticker with its age; damaged ones carry their error."""
    manifests = workspace.runs.manifests()
    found = []
    for series in _series(workspace.bars):
        runs = [manifest.run for manifest in manifests if series.ticker in manifest.tickers]
        found.append(
            TickerStatus(
                **vars(series),
                run=runs[-1] if runs else None,
                forecast=workspace.latest_forecast(series.ticker),
            )
        )
    return found


def market_status(workspace: Workspace) -> list[SeriesStatus]:
    """Return every stored market series with its age; damaged ones carry their error."""
    return _series(workspace.market)


def _series(store: BarsStore) -> list[SeriesStatus]:
    found = []
    for ticker in store.tickers():
        try:
            bars, meta = store.read(ticker)
        except LstmError as error:
            found.append(SeriesStatus(ticker, error=error))
            continue
        found.append(
            SeriesStatus(
                ticker,
                source=str(meta.source.get("name")),
                label=meta.label,
                rows=meta.rows,
                last_session=meta.last_session,
                sessions_behind=_sessions_behind(bars, meta),
            )
        )
    return found


def _sessions_behind(bars: pd.DataFrame, meta: BarsMeta) -> int:
    sessions = pd.DatetimeIndex(bars.index)
    return sessions_behind(meta.calendar, sessions[-1], clock.now(), observed=sessions)


def check_age(workspace: Workspace, most: timedelta) -> datetime:
    """Return when `lstm daily` last succeeded, for monitoring.

    Raises:
        DataError: never, or longer ago than `most`.
    """
    last = last_day(workspace) or {}
    stated = last.get("succeeded_at")
    hint = f"{last['sentence']}; lstm daily" if last.get("sentence") else "lstm daily"
    if not stated:
        raise DataError(f"lstm daily has not succeeded yet in {workspace.root}.", hint=hint)
    at = datetime.fromisoformat(stated)
    age = clock.now() - at
    if age > most:
        hours = age.total_seconds() / 3600
        raise DataError(
            f"lstm daily last succeeded at {stated}, {hours:,.1f} hours ago; "
            f"allowed are {most.total_seconds() / 3600:,.1f}.",
            hint=hint,
        )
    return at


def runs(workspace: Workspace) -> tuple[list[Manifest], list[str], list[LstmError]]:
    """Return manifests, oldest first, names of interrupted runs, and what is wrong with others."""
    finished, errors = [], []
    for run in workspace.runs.names():
        try:
            finished.append(workspace.runs.manifest(run))
        except LstmError as error:
            errors.append(error)
    return finished, workspace.runs.interrupted(), errors


@dataclass(frozen=True)
class Check:
    """One line of `doctor`: what was looked at, what it said, whether that is well."""

    name: str
    value: str
    error: LstmError | None = None


def doctor(workspace: Workspace) -> list[Check]:
    """Return versions, paths and the state of every stored file."""
    checks = [
        Check("lstm", __version__),
        Check("python", f"{platform.python_version()} ({sys.executable})"),
        Check("platform", f"{platform.platform()}, {usable_cores()} usable cores"),
    ]
    named = (
        "tensorflow",
        "keras",
        "numba",
        "numpy",
        "pandas",
        "scikit-learn",
        "yfinance",
        "TA-Lib",
    )
    for name in named:
        checks.append(Check(name, importlib.metadata.version(name)))
    checks.append(Check("configs", str(next(iter(shipped_configs().values())).parent)))
    checks.append(Check("clock", clock.now().isoformat(timespec="seconds")))
    checks.append(_checked("workspace", _writable, workspace))
    for ticker in workspace.bars.tickers():
        checks.append(_checked(f"bars {ticker}", _bars, workspace.bars, ticker))
    for name in workspace.market.tickers():
        checks.append(_checked(f"market {name}", _bars, workspace.market, name))
    for kind in workspace.events.kinds():
        checks.append(_checked(f"events {kind}", _events, workspace, kind))
    for run in workspace.runs.names():
        checks.append(_checked(f"run {run}", _run, workspace, run))
    for run in workspace.runs.interrupted():
        checks.append(Check(f"run {run}", "interrupted; lstm train --resume continues it"))
    for backtest in workspace.backtests.names():
        checks.append(_checked(f"backtest {backtest}", _backtest, workspace, backtest))
    for backtest in workspace.backtests.interrupted():
        checks.append(Check(f"backtest {backtest}", "interrupted; the same command goes on"))
    if workspace.ledger.exists():
        checks.append(_checked("ledger", _ledger, workspace))
    last = last_day(workspace)
    if last is not None:
        checks.append(Check("last daily", f"{last.get('at')}: {last.get('sentence')}"))
    return checks


def _checked(name: str, look: Callable[..., str], *what: object) -> Check:
    try:
        return Check(name, look(*what))
    except LstmError as error:
        return Check(name, "failed", error)


def _writable(workspace: Workspace) -> str:
    workspace.check_writable()
    free = shutil.disk_usage(workspace.root).free
    return f"{workspace.root.resolve()}, writable, {free / 1e9:.1f} GB free"


def _bars(store: BarsStore, ticker: str) -> str:
    bars, meta = store.read(ticker)
    span = f"{meta.first_session} to {meta.last_session}"
    return f"{meta.rows:,} sessions, {span}, {_sessions_behind(bars, meta):,} behind"


def _events(workspace: Workspace, kind: str) -> str:
    return f"{len(workspace.events.read(kind)):,} statements, readable"


def _run(workspace: Workspace, run: str) -> str:
    manifest = workspace.runs.manifest(run)
    workspace.runs.read(manifest)
    return f"{len(manifest.files)} files, whole"


def _ledger(workspace: Workspace) -> str:
    verified = workspace.ledger.verify()
    return f"{verified.rows:,} rows, every hash as it was written"


def _backtest(workspace: Workspace, name: str) -> str:
    manifest = workspace.backtests.manifest(name)
    rows = workspace.backtests.forecasts(name)
    return f"{len(rows):,} forecasts, {len(manifest.record.folds)} folds, readable"


def init(folder: Path, *, force: bool) -> list[Path]:
    """Copy the shipped configs into `folder/configs` and make `folder/data`.

    Raises:
        ConfigError: a config is there already and `force` is not set.
    """
    workspace = Workspace(folder / "data")
    copies = {folder / "configs" / path.name: path for path in shipped_configs().values()}
    there = [copy for copy in copies if copy.exists()]
    if there and not force:
        raise ConfigError(
            f"{there[0]} exists already, and {len(there) - 1} more.",
            hint="lstm init --force overwrites them; another folder: lstm init FOLDER",
        )
    workspace.check_writable()
    for copy, path in copies.items():
        workspace.write(copy, path.read_bytes())
    return sorted(copies)
