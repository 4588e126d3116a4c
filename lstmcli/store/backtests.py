"""Backtests on disk: a piece per recipe and fold as they are finished, then one table.

The pieces of an interrupted backtest are good: the same backtest goes on after them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field, field_validator

from lstmcli.errors import DataError, NoDataError
from lstmcli.frames import Section
from lstmcli.store import recipe_names
from lstmcli.store.files import replaced_atomically, write_atomically
from lstmcli.store.records import PLAN, Record, RecordStore, to_csv, to_json, to_parquet

_PIECES = "raw"
"""Not calibrated yet. Those of versions up to 0.2 were, and lie in `pieces`: they are not read."""

_FORECASTS = "forecasts.parquet"
_SCORES = "scores.csv"
_VERDICTS = "verdicts.csv"

_ANEW = "lstm backtest --again makes a new one"

MAX_LABEL = 63
"""Letters of the configs' names in the name of a folder."""


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


class BacktestManifest(Record):
    """A finished backtest.

    Attributes:
        evaluations: how many backtests of this workspace had judged one of these
            tickers in an overlapping span by then, this one included.
        left_out: tickers that a fold had no use for, by fold.
        fallbacks: what served the tickers whose fit failed, by recipe and fold, then ticker.
        best_epochs: of the members of each network and fold; 0 is the untrained baseline. Empty
            in backtests up to version 0.2.
        labels: notes that must show with every score, such as "sample data".
        lacking: by recipe, tickers of which it lacks forecasts that others made, with how
            many. All are scored and judged on those that every recipe has.
        crps: of what each config publishes, a log return, by the config's name. This and
            `lacking` are empty in backtests up to version 0.2.
    """

    backtest: str
    created_at: datetime
    record: BacktestRecord
    tickers: tuple[str, ...]
    evaluations: int
    seconds: dict[str, float]
    left_out: dict[str, tuple[str, ...]]
    fallbacks: dict[str, dict[str, str]]
    best_epochs: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    labels: dict[str, str]
    verdicts: dict[str, dict[str, Any]]
    lacking: dict[str, dict[str, int]] = Field(default_factory=dict)
    crps: dict[str, float] = Field(default_factory=dict)

    @field_validator("fallbacks", mode="before")
    @classmethod
    def _with_what_served(cls, fallbacks: dict[str, Any]) -> dict[str, Any]:
        """Return the fallbacks; versions up to 0.2 had one, EWMA, and kept tickers alone."""
        return {
            key: served if isinstance(served, dict) else dict.fromkeys(served, "ewma")
            for key, served in fallbacks.items()
        }

    @field_validator("verdicts")
    @classmethod
    def _of_any_version(cls, verdicts: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {label: recipe_names.decode_verdict(verdict) for label, verdict in verdicts.items()}

    @property
    def evaluated(self) -> tuple[tuple[str, ...], str, str]:
        return self.tickers, self.record.folds[0][0], self.record.folds[-1][1]


class BacktestStore(RecordStore[BacktestManifest]):
    """The backtests of a workspace, newest last."""

    noun = "backtest"
    listing = "lstm backtest --list"
    record = BacktestManifest

    def start(self, record: BacktestRecord, *, at: datetime) -> str:
        """Return the name of the interrupted backtest with this record, or of a new one."""
        for name in reversed(self.interrupted()):
            try:
                content = (self.path(name) / PLAN).read_bytes()
                if BacktestRecord.model_validate_json(content) == record:
                    return name
            except (OSError, ValueError):
                continue  # of another version, or damaged: it is not this one
        label = "-".join(record.configs)[:MAX_LABEL]
        return self._begin(label, {PLAN: to_json(record)}, at=at)

    def same_as(self, record: BacktestRecord) -> list[BacktestManifest]:
        """Return finished backtests of the same configs, bars and folds, the newest first.

        Those of other versions are among them: their digits may differ.
        """
        wanted = record.model_copy(update={"versions": {}})
        return [
            manifest
            for manifest in reversed(self.manifests())
            if manifest.record.model_copy(update={"versions": {}}) == wanted
        ]

    def save_piece(self, name: str, key: str, rows: pd.DataFrame, notes: dict[str, Any]) -> None:
        """Keep the forecasts of one recipe and fold, its notes last."""
        folder = self.path(name) / _PIECES
        write_atomically(folder / f"{key}.parquet", to_parquet(rows))
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

    def piece(self, name: str, key: str, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the forecasts of one piece.

        Args:
            columns: those that are wanted; None: all.

        Raises:
            DataError: it is damaged.
        """
        path = self.path(name) / _PIECES / f"{key}.parquet"
        return _read(path, "delete it and start again", columns=columns)

    @contextmanager
    def forecast_file(self, name: str) -> Iterator[Callable[[pd.DataFrame], None]]:
        """Write the forecasts of a backtest part by part; all of them or none.

        Raises:
            DiskError: it cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        with replaced_atomically(self.path(name) / _FORECASTS) as stream:
            writer: pq.ParquetWriter | None = None

            def append(rows: pd.DataFrame) -> None:
                nonlocal writer
                schema = None if writer is None else writer.schema
                table = pa.Table.from_pandas(rows, schema=schema, preserve_index=False)
                writer = writer or pq.ParquetWriter(stream, table.schema, compression="zstd")
                writer.write_table(table)

            try:
                yield append
            finally:
                if writer is not None:
                    writer.close()

    def finish(
        self,
        manifest: BacktestManifest,
        *,
        scores: pd.DataFrame,
        verdicts: pd.DataFrame,
    ) -> None:
        """Write the tables, the manifest last, and remove the pieces.

        The forecasts have been written already; see `forecast_file`.
        """
        files = {_SCORES: to_csv(scores), _VERDICTS: to_csv(verdicts)}
        self._finish(manifest.backtest, files, manifest, leftover=_PIECES)

    def latest(self) -> BacktestManifest:
        """Return the newest finished backtest.

        Raises:
            NoDataError: there is none.
        """
        if not self.names():
            raise NoDataError(
                f"There is no finished backtest in {self.folder}.",
                hint="lstm backtest",
            )
        return self.manifest(self.names()[-1])

    def forecasts(self, name: str, *, recipes: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the forecasts of a backtest, with their outcomes.

        Args:
            recipes: names of those that are wanted; None: all.

        Raises:
            DataError: the file is damaged.
        """
        path = self.path(name) / _FORECASTS
        rows = _read(path, _ANEW, recipes=recipes)
        return rows if recipes is None else rows[rows["recipe"].isin(recipes)]

    def scores(self, name: str) -> pd.DataFrame:
        """Return the Scores of a backtest.

        Raises:
            DataError: the file is damaged or missing.
        """
        path = self.path(name) / _SCORES
        try:
            return recipe_names.decode(pd.read_csv(path))
        except (OSError, ValueError, KeyError) as error:
            raise self.damaged(path, "it cannot be read") from error

    def damaged(self, path: Path, reason: str) -> DataError:
        return DataError(f"{path} is damaged ({reason}).", hint=_ANEW)

    def _unfinished(self, name: str) -> NoDataError:
        return NoDataError(
            f"The backtest {name} is unfinished.", hint="the command that began it goes on"
        )


def _read(
    path: Path,
    hint: str,
    *,
    columns: Sequence[str] | None = None,
    recipes: Sequence[str] | None = None,
) -> pd.DataFrame:
    wanted: Any = None
    if recipes is not None:
        wanted = [("recipe", "in", recipe_names.of_any_version(recipes))]
    try:
        return recipe_names.decode(
            pd.read_parquet(path, columns=columns and list(columns), filters=wanted)
        )
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged or missing.", hint=hint) from error
