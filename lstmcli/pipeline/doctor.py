"""Doctor: versions, paths and the state of every stored file."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from lstmcli import clock
from lstmcli.config import config_folders
from lstmcli.errors import DiskError, LstmError
from lstmcli.executors.versions import LIBRARIES
from lstmcli.models.runtime import usable_cores
from lstmcli.pipeline.day import last_day
from lstmcli.pipeline.kept import kept_fits
from lstmcli.pipeline.session import Session
from lstmcli.sessions import sessions_behind
from lstmcli.store import Workspace
from lstmcli.store.bars import BarsStore
from lstmcli.store.shipped import PRETRAINED
from lstmcli.version import __version__


@dataclass(frozen=True)
class Check:
    """One line of `doctor`: what was looked at, its state, and the error if it has one."""

    name: str
    value: str
    error: LstmError | None = None


def doctor(session: Session) -> list[Check]:
    """Return versions, paths and the state of every stored file; make none."""
    workspace = session.workspace
    checks = [
        Check("lstm", __version__),
        Check("python", f"{platform.python_version()} ({sys.executable})"),
        Check("platform", f"{platform.platform()}, {usable_cores()} usable cores"),
    ]
    for name in (*LIBRARIES, "yfinance"):
        checks.append(Check(name, importlib.metadata.version(name)))
    checks.append(Check("configs", ", then ".join(map(str, config_folders()))))
    checks.append(_checked("pretrained", _pretrained, session))
    checks.append(Check("clock", clock.now().isoformat(timespec="seconds")))
    checks.append(_checked("workspace", _writable, workspace))
    if not workspace.root.is_dir():
        return checks
    bars, market = session.disk.bars, session.disk.market
    for ticker in bars.tickers():
        checks.append(_checked(f"bars {ticker}", _bars, bars, ticker))
    for name in market.tickers():
        checks.append(_checked(f"market {name}", _bars, market, name))
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
    if workspace.fits.tickers():
        checks.append(Check("kept fits", _fits(session)))
    last = last_day(workspace)
    if last is not None:
        checks.append(Check("last daily", f"{last.get('at')}: {last.get('sentence')}"))
    return checks


def _checked(name: str, check: Callable[..., str], *what: object) -> Check:
    try:
        return Check(name, check(*what))
    except LstmError as error:
        return Check(name, "failed", error)


def _pretrained(session: Session) -> str:
    """Return what the run that ships is, once its file is read and found whole."""
    manifest, fitted = session.manifest(PRETRAINED), session.fitted(PRETRAINED)
    size = session.workspace.runs.path(manifest.run).stat().st_size
    return (
        f"{manifest.run}, fitted on {len(manifest.tickers):,} tickers to "
        f"{fitted.fit_end:%Y-%m-%d}, {size / 1000:,.0f} kB, whole"
    )


def _writable(workspace: Workspace) -> str:
    """Return where the workspace lies and what room it has; nothing is written.

    Raises:
        DiskError: it may not be written.
    """
    root = workspace.root.resolve()
    elsewhere = "choose a folder that you may write with --workspace"
    if root.exists() and not root.is_dir():
        raise DiskError(f"{root}: is a file, where a folder is expected.", hint=elsewhere)
    if not root.is_dir():
        return f"{root}: none yet; lstm fetch MRK makes it"
    if not os.access(root, os.W_OK | os.X_OK):
        raise DiskError(f"{root}: may not be written.", hint=elsewhere)
    free = shutil.disk_usage(root).free
    return f"{root}, writable, {free / 1e9:.1f} GB free"


def _bars(store: BarsStore, ticker: str) -> str:
    bars, meta = store.read(ticker)
    sessions = pd.DatetimeIndex(bars.index)
    behind = sessions_behind(meta.calendar, sessions[-1], clock.now(), observed=sessions)
    span = f"{meta.first_session} to {meta.last_session}"
    return f"{meta.rows:,} sessions, {span}, {behind:,} behind"


def _events(workspace: Workspace, kind: str) -> str:
    return f"{len(workspace.events.read(kind)):,} statements, readable"


def _run(workspace: Workspace, run: str) -> str:
    manifest = workspace.runs.manifest(run)
    workspace.runs.read(manifest)
    return f"{len(manifest.files)} files, whole"


def _ledger(workspace: Workspace) -> str:
    verified = workspace.ledger.verify()
    return f"{verified.rows:,} rows, every hash as it was written"


def _fits(session: Session) -> str:
    kept, tickers = kept_fits(session), session.workspace.fits.tickers()
    count = sum(len(kept.of(ticker)) for ticker in tickers)
    return f"{count:,}, whole" if count else "of no use; the next lstm daily makes them anew"


def _backtest(workspace: Workspace, name: str) -> str:
    manifest = workspace.backtests.manifest(name)
    rows = workspace.backtests.forecasts(name)
    return f"{len(rows):,} forecasts, {len(manifest.record.folds)} folds, readable"
