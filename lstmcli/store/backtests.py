"""Backtests on disk: pieces as they are finished, then one table, the manifest last.

A folder without `manifest.json` is an interrupted backtest; its pieces are
good, and the same backtest started again goes on after them.
"""

from __future__ import annotations

import io
import json
import shutil
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from lstmcli.errors import DataError, NoDataError
from lstmcli.frames import Section
from lstmcli.store.files import write_atomically
from lstmcli.store.locks import forget, hold

_PLAN = "plan.json"
_PIECES = "pieces"
_FORECASTS = "forecasts.parquet"
_SCORES = "scores.csv"
_VERDICTS = "verdicts.csv"
_MANIFEST = "manifest.json"


class BacktestRecord(Section):
    """What a backtest depends on; equal records give equal forecasts.

    Attributes:
        configs: the resolved YAML of each recipe that is compared, by its label.
        bars: SHA-256 of each ticker's bars.
        folds: first and last origin of each fold.
        last: the last session that was known.
    """

    configs: dict[str, str]
    bars: dict[str, str]
    folds: tuple[tuple[str, str], ...]
    last: str
    versions: dict[str, str]


class BacktestManifest(Section):
    """A finished backtest.

    Attributes:
        evaluations: how many finished backtests of this workspace have used an
            overlapping span with one of these tickers, this one included.
        left_out: tickers that a fold had no use for, by fold.
        fallbacks: tickers whose fit failed and fell back, by recipe and fold.
        labels: notes that must show with every score, such as "sample data".
    """

    backtest: str
    created_at: datetime
    record: BacktestRecord
    tickers: tuple[str, ...]
    evaluations: int
    seconds: dict[str, float]
    left_out: dict[str, tuple[str, ...]]
    fallbacks: dict[str, tuple[str, ...]]
    labels: dict[str, str]
    verdicts: dict[str, Any]


class BacktestStore:
    """The backtests of a workspace, newest last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Return finished backtests, oldest first."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{_MANIFEST}"))

    def interrupted(self) -> list[str]:
        """Return backtests that were started and not finished, oldest first."""
        plans = {path.parent.name for path in self.folder.glob(f"*/{_PLAN}")}
        return sorted(plans - set(self.names()))

    def path(self, name: str) -> Path:
        return self.folder / name

    def start(self, record: BacktestRecord, *, at: datetime) -> str:
        """Return the folder's name of the interrupted backtest that did the same, or a new one."""
        for path in sorted(self.folder.glob(f"*/{_PLAN}"), reverse=True):
            if (path.parent / _MANIFEST).exists():
                continue
            try:
                if BacktestRecord.model_validate_json(path.read_bytes()) == record:
                    return path.parent.name
            except (OSError, ValidationError):
                continue  # of another version, or damaged: it is not this one
        while any(self.folder.glob(f"{at:%Y%m%dT%H%M%SZ}-*")):
            at += timedelta(seconds=1)
        name = f"{at:%Y%m%dT%H%M%SZ}-{'-'.join(record.configs)}"[:80]
        write_atomically(self.path(name) / _PLAN, _json(record))
        return name

    def hold(self, name: str) -> AbstractContextManager[None]:
        """Hold a backtest while it runs.

        Raises:
            LockError: another process runs it.
        """
        return hold(self.path(name), patience=0, hint="let it finish")

    def save_piece(self, name: str, key: str, rows: pd.DataFrame, notes: dict[str, Any]) -> None:
        """Keep the forecasts of one recipe and fold, its notes last."""
        folder = self.path(name) / _PIECES
        write_atomically(folder / f"{key}.parquet", _parquet(rows))
        write_atomically(folder / f"{key}.json", json.dumps(notes).encode())

    def pieces(self, name: str) -> dict[str, dict[str, Any]]:
        """Return the notes of every finished piece by its key; a damaged one is made again."""
        found = {}
        for path in sorted((self.path(name) / _PIECES).glob("*.json")):
            try:
                found[path.stem] = json.loads(path.read_bytes())
            except ValueError:
                continue
        return found

    def piece(self, name: str, key: str) -> pd.DataFrame:
        """Return the forecasts of one piece.

        Raises:
            DataError: it is damaged.
        """
        return _read(self.path(name) / _PIECES / f"{key}.parquet", "delete it and start again")

    def finish(
        self,
        manifest: BacktestManifest,
        *,
        forecasts: pd.DataFrame,
        scores: pd.DataFrame,
        verdicts: pd.DataFrame,
    ) -> None:
        """Write the tables, the manifest last, and drop the pieces."""
        folder = self.path(manifest.backtest)
        write_atomically(folder / _FORECASTS, _parquet(forecasts))
        for name, table in ((_SCORES, scores), (_VERDICTS, verdicts)):
            write_atomically(folder / name, table.to_csv(index=False, lineterminator="\n").encode())
        write_atomically(folder / _MANIFEST, _json(manifest))
        shutil.rmtree(folder / _PIECES, ignore_errors=True)
        forget(folder)

    def manifest(self, name: str) -> BacktestManifest:
        """Return the manifest of a finished backtest.

        Raises:
            NoDataError: there is none.
            DataError: it is damaged.
        """
        path = self.path(name) / _MANIFEST
        try:
            return BacktestManifest.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise NoDataError(
                f"There is no backtest {name} in {self.folder}.", hint="lstm backtest"
            ) from error
        except (OSError, ValidationError) as error:
            raise DataError(f"{path} is damaged.", hint="lstm backtest makes a new one") from error

    def latest(self) -> BacktestManifest:
        """Return the newest finished backtest.

        Raises:
            NoDataError: there is none.
        """
        if not self.names():
            raise NoDataError(
                f"There is no finished backtest in {self.folder}.",
                hint="lstm backtest MRK --config stacked.yaml",
            )
        return self.manifest(self.names()[-1])

    def forecasts(self, name: str) -> pd.DataFrame:
        """Return every forecast of a backtest, with what came.

        Raises:
            DataError: the file is damaged.
        """
        return _read(self.path(name) / _FORECASTS, "lstm backtest makes a new one")

    def scores(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.path(name) / _SCORES)

    def verdicts(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.path(name) / _VERDICTS)

    def evaluations(self, tickers: set[str], first: str, last: str) -> int:
        """Return how many finished backtests have used an overlapping span."""
        count = 0
        for name in self.names():
            try:
                other = self.manifest(name)
            except DataError:
                continue
            folds = other.record.folds
            count += bool(
                tickers & set(other.tickers) and folds[0][0] <= last and first <= folds[-1][1]
            )
        return count


def _parquet(rows: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    rows.to_parquet(stream, index=False, compression="zstd")
    return stream.getvalue()


def _read(path: Path, hint: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged or missing.", hint=hint) from error


def _json(section: Section) -> bytes:
    return (section.model_dump_json(indent=2) + "\n").encode()
