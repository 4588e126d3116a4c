"""Bars on disk: one Parquet file per ticker, and a JSON copy of its metadata."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from lstmcli.errors import DataError, DiskError, NoDataError, shell_word
from lstmcli.frames import BAR_COLUMNS, Section, values_of
from lstmcli.store.files import (
    check_ticker,
    delete,
    file_name,
    read_content,
    ticker_of,
    write_atomically,
)
from lstmcli.version import __version__

FORMAT = 2
"""Of the metadata. Format 1, of 0.1 and 0.2, had no `allowed_jumps`."""
_KEY = b"lstm"

_COLUMNS = pd.Index(BAR_COLUMNS)


class BarsMeta(Section):
    """Where bars came from, when, and the hash of their content."""

    format: int = FORMAT
    ticker: str
    source: dict[str, Any]
    exchange: str | None = None  # as the source reports it
    calendar: str
    timezone: str | None = None
    currency: str | None = None
    kind: str | None = None  # of security, as Yahoo calls it: EQUITY, ETF, INDEX
    label: str | None = None
    start: date | None = None  # what was asked for; None: all there is
    allowed_jumps: tuple[date, ...] = ()  # sessions whose jump is real, as the user said
    fetched_at: datetime
    first_session: date
    last_session: date
    rows: int
    sha256: str
    versions: dict[str, str]

    @classmethod
    def of(
        cls,
        bars: pd.DataFrame,
        *,
        ticker: str,
        source: dict[str, Any],
        calendar: str,
        fetched_at: datetime,
        **details: Any,
    ) -> BarsMeta:
        """Return the metadata of bars that are about to be written."""
        return cls(
            ticker=ticker,
            source=source,
            calendar=calendar,
            fetched_at=fetched_at.astimezone(UTC),
            first_session=bars.index[0].date(),
            last_session=bars.index[-1].date(),
            rows=len(bars),
            sha256=content_hash(bars),
            versions=dict(_versions()),
            **details,
        )


@cache
def _versions() -> dict[str, str]:
    """Return the versions that bars are written with; each is looked up on disk."""
    names = ("pandas", "pyarrow", "yfinance")
    return {"lstmcli": __version__, **{name: importlib.metadata.version(name) for name in names}}


class BarsStore:
    """Bars in a folder, by ticker.

    The Parquet file holds the bars and their metadata. The JSON file beside it is
    a copy of the metadata for people; if a kill left an old copy, reading replaces it.

    Attributes:
        market: whether these are market series, which nobody forecasts.
    """

    def __init__(self, folder: Path, *, market: bool = False) -> None:
        self.folder = folder
        self.market = market

    def fetch_command(self, ticker: str) -> str:
        """Return the command that brings a ticker into this store."""
        word = shell_word(ticker)
        return f"lstm fetch --market {word}" if self.market else f"lstm fetch {word}"

    def tickers(self) -> list[str]:
        """Return the stored tickers, sorted."""
        names = (path.stem for path in self.folder.glob("*.parquet"))
        return sorted(ticker_of(name) for name in names if not name.startswith("."))

    def read(self, ticker: str) -> tuple[pd.DataFrame, BarsMeta]:
        """Return the bars of a ticker and their metadata.

        Raises:
            NoDataError: the ticker was never fetched.
            DataError: the file is damaged, or a newer version wrote it.
        """
        path = self._path(ticker)
        content = read_content(path, self._absent(ticker))
        bars, meta = _decode(content, path, ticker, fetch=self.fetch_command(ticker))
        self._keep_in_step(meta)
        return bars, meta

    def sidecar(self, ticker: str) -> BarsMeta | None:
        """Return the readable copy of the metadata, or None if it is of no use."""
        try:
            return BarsMeta.model_validate_json(self._path(ticker, ".json").read_bytes())
        except (OSError, ValidationError):
            return None

    def meta_of_unchanged(self, ticker: str) -> BarsMeta | None:
        """Return the readable copy of the metadata, if the bars were not written after it.

        It tells of bars that nobody has to decode. None: they have to be read.
        """
        try:
            copy, bars = self._path(ticker, ".json").stat(), self._path(ticker).stat()
        except OSError:
            return None
        meta = self.sidecar(ticker) if copy.st_mtime_ns >= bars.st_mtime_ns else None
        return meta if meta is not None and meta.ticker == ticker else None

    def check_stored(self, ticker: str) -> None:
        """Check that there are bars of a ticker, whatever they hold.

        Raises:
            NoDataError: the ticker was never fetched.
        """
        if not self._path(ticker).exists():
            raise self._absent(ticker)

    def write(self, bars: pd.DataFrame, meta: BarsMeta) -> None:
        """Replace the bars of `meta.ticker` in one step.

        Raises:
            DiskError: nothing was replaced.
        """
        write_atomically(self._path(meta.ticker), _encode(bars, meta))
        # A copy, which a power cut may cost: the next `read` writes it again.
        write_atomically(self._path(meta.ticker, ".json"), _readable(meta), flush=False)

    def remove(self, ticker: str) -> None:
        """Delete the bars of a ticker; nothing happens where there are none.

        Raises:
            DiskError: they cannot be deleted.
        """
        # The bars first: a readable copy that a crash left behind is of no use to anybody.
        delete(self._path(ticker))
        delete(self._path(ticker, ".json"))

    def _absent(self, ticker: str) -> NoDataError:
        return NoDataError(
            f"There are no bars of {ticker} in {self.folder}.", hint=self.fetch_command(ticker)
        )

    def _keep_in_step(self, meta: BarsMeta) -> None:
        path, content = self._path(meta.ticker, ".json"), _readable(meta)
        try:
            if not path.exists() or path.read_bytes() != content:
                write_atomically(path, content, flush=False)
        except (OSError, DiskError):
            pass  # A folder without write permission can still be read.

    def _path(self, ticker: str, ending: str = ".parquet") -> Path:
        return self.folder / (file_name(check_ticker(ticker)) + ending)


def content_hash(bars: pd.DataFrame) -> str:
    """Return the SHA-256 of sessions and values, independent of the file format."""
    return _hash_of(bars.index.to_numpy(), values_of(bars, BAR_COLUMNS).astype("<f8", copy=False))


def _hash_of(sessions: np.ndarray, values: np.ndarray) -> str:
    """Return `content_hash` of sessions (T,) and values (T, C)."""
    digest = hashlib.sha256(",".join(BAR_COLUMNS).encode())
    digest.update(sessions.astype("datetime64[D]").astype("<i8").tobytes())
    digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _encode(bars: pd.DataFrame, meta: BarsMeta) -> bytes:
    import pyarrow
    import pyarrow.parquet

    sessions = bars.index.to_numpy().astype("datetime64[D]")
    columns = {"session": pyarrow.array(sessions, pyarrow.date32())}
    columns |= {name: pyarrow.array(bars[name].to_numpy("f8")) for name in BAR_COLUMNS}
    table = pyarrow.table(columns, metadata={_KEY: meta.model_dump_json().encode()})
    stream = io.BytesIO()
    # Prices repeat too seldom for a dictionary of them: without one files are a quarter smaller.
    pyarrow.parquet.write_table(table, stream, compression="zstd", use_dictionary=False)
    return stream.getvalue()


def _decode(
    content: bytes, path: Path, ticker: str, *, fetch: str
) -> tuple[pd.DataFrame, BarsMeta]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content)) as file:
            table = file.read()
        stated = json.loads((table.schema.metadata or {})[_KEY])
        newer = int(stated.get("format", 0)) > FORMAT
        if not newer:
            meta = BarsMeta.model_validate(stated)
            sessions = table["session"].to_numpy()
            columns = [table[name].to_numpy() for name in BAR_COLUMNS]
            values = np.stack(columns, dtype="<f8")  # (C, T)
    except (pyarrow.ArrowException, OSError, KeyError, ValueError, AttributeError) as error:
        raise _damaged(path, ticker, type(error).__name__, fetch=fetch) from error
    if newer:
        raise DataError(
            f"{path}: Expected bars in format {FORMAT} or older. Received: {stated['format']}.",
            hint=f"use the newer lstm that wrote it, or delete it and: {fetch}",
        )
    if _hash_of(sessions, values.T) != meta.sha256 or meta.ticker != ticker:
        raise _damaged(path, ticker, "its content does not match its hash", fetch=fetch)
    return _frame(sessions, values), meta


def as_read(bars: pd.DataFrame) -> pd.DataFrame:
    """Return bars that were written as `read` would return them."""
    values = np.stack([bars[name].to_numpy("f8") for name in BAR_COLUMNS])
    return _frame(bars.index.to_numpy().astype("datetime64[D]"), values)


def _frame(sessions: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    """Return bars from sessions (T,) and values (C, T), which lie as pandas keeps them."""
    index = pd.DatetimeIndex(sessions.astype("datetime64[ns]"), name="session")
    return pd.DataFrame(values.T, index=index, columns=_COLUMNS, copy=False)


def _damaged(path: Path, ticker: str, reason: str, *, fetch: str) -> DataError:
    return DataError(
        f"{path} is damaged ({reason}). Expected the bars of {ticker}.",
        hint=f"{fetch} brings them back from where they came",
    )


def _readable(meta: BarsMeta) -> bytes:
    return (meta.model_dump_json(indent=2) + "\n").encode()
