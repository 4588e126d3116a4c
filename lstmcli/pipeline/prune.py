"""Prune: delete old files that nothing needs any more. The ledger keeps every forecast."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lstmcli import clock
from lstmcli.errors import DiskError, LockError
from lstmcli.pipeline.session import Session
from lstmcli.store.backtests import BacktestStore
from lstmcli.store.backups import SET_ASIDE
from lstmcli.store.files import delete
from lstmcli.store.runs import RunStore
from lstmcli.store.shipped import shipped_run


@dataclass(frozen=True)
class Pruned:
    """What of one kind is gone, or would go.

    Attributes:
        kind: `forecasts`, `charts`, `interrupted`, `runs`, `state` or `set aside`.
        files: how many files.
        size: their bytes.
    """

    kind: str
    files: int
    size: int


@dataclass(frozen=True)
class _Old:
    kind: str
    path: Path


def prune(session: Session, keep: timedelta, *, dry_run: bool = False) -> list[Pruned]:
    """Delete what is older than `keep`, and return how much of each kind.

    Forecast files but those of the newest day; charts; interrupted runs and backtests; runs
    that are the newest of none of their tickers and issued no forecast; what evenings keep of
    runs that are gone or go now; what a restore set aside. Bars, events, finished backtests, the
    log and the ledger stay.

    Args:
        dry_run: delete nothing.

    Raises:
        DataError: the ledger is damaged, so that nobody knows which runs it needs.
        DiskError: something cannot be deleted.
        LockError: another process works in this workspace.
    """
    before = clock.now() - keep
    if not session.workspace.root.is_dir():
        return []
    with session.workspace.lock():
        every = [*_old(session, before)]
        found: dict[str, list[_Old]] = {}
        for old in every:
            found.setdefault(old.kind, []).append(old)
        pruned = []
        for kind, group in found.items():
            files = [file for old in group for file in _files(old.path)]
            pruned.append(Pruned(kind, len(files), sum(file.stat().st_size for file in files)))
            if not dry_run:
                for old in group:
                    _remove(old.path)
    return pruned


def _old(session: Session, before: datetime) -> Iterator[_Old]:
    workspace = session.workspace
    days = sorted(path for path in workspace.forecasts.glob("*-*-*") if path.is_dir())
    for day in days[:-1]:
        if day.name < f"{before:%Y-%m-%d}":
            yield _Old("forecasts", day)
    for chart in sorted(workspace.charts.rglob("*")):
        if chart.is_file() and _changed(chart) < before:
            yield _Old("charts", chart)
    for store in (workspace.runs, workspace.backtests):
        for name in store.interrupted():
            path = store.path(name)
            if max(map(_changed, [path, *_files(path)])) < before and not _is_held(store, name):
                yield _Old("interrupted", path)
    superseded = list(_superseded(session, before))
    yield from superseded
    go_now = {old.path.name for old in superseded}
    known = {manifest.run for manifest in session.manifests()} | {shipped_run().manifest.run}
    for run in workspace.calibrations.runs():
        path = workspace.calibrations.of(run).folder
        if run in go_now or (run not in known and _changed(path) < before):
            yield _Old("state", path)
    for path in sorted(workspace.root.glob(f"{SET_ASIDE}*")):
        if path.is_dir() and _changed(path) < before:
            yield _Old("set aside", path)


def _is_held(store: RunStore | BacktestStore, name: str) -> bool:
    """Return whether a process works on what looks interrupted."""
    try:
        with store.hold(name):
            return False
    except LockError:
        return True


def _superseded(session: Session, before: datetime) -> Iterator[_Old]:
    """Yield old runs that no forecast needs: each of their tickers has a newer one."""
    workspace = session.workspace
    manifests = session.manifests()
    newest = {ticker: run.run for run in manifests for ticker in run.tickers}
    issued = workspace.ledger.runs()  # the page shows their verdicts
    for manifest in manifests:
        needed = manifest.run in issued or manifest.run in newest.values() or manifest.any_ticker
        if not needed and manifest.created_at < before:
            yield _Old("runs", workspace.runs.path(manifest.run))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file())


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _remove(path: Path) -> None:
    if path.is_file():
        delete(path)
        return
    # The manifest goes first: a run that is half deleted is an interrupted one.
    delete(path / "manifest.json")
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise DiskError(
            f"{error.filename or path}: cannot be deleted: {error.strerror or error}.",
            hint="choose a folder that you may write with --workspace",
        ) from error
