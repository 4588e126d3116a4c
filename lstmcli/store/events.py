"""Events on disk: one Parquet file per kind. Statements are added, never changed.

Only with their ticker do they go.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lstmcli.errors import DataError, NoDataError
from lstmcli.frames import (
    BUILT_IN_KINDS,
    EARNINGS,
    EVENT_COLUMNS,
    USER_KIND,
    check_events,
    empty_events,
)
from lstmcli.store.files import delete, file_name, read_content, ticker_of, write_atomically

FORMAT = 1
_VERSION = b"lstm_events"

_ABOUT = ["ticker", "kind", "session", "known_on", "source"]
_SAID = ["timing", "status", "amount"]


class EventStore:
    """The statements about events of a workspace, by kind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def kinds(self) -> list[str]:
        """Return the stored kinds, sorted."""
        names = (path.stem for path in self.folder.glob("*.parquet"))
        return sorted(ticker_of(name) for name in names if not name.startswith("."))

    def read(self, kind: str, tickers: Sequence[str] = ()) -> pd.DataFrame:
        """Return the statements of a kind in the order in which they were stored.

        Without tickers: of all of them. A ticker without events has no rows.

        Raises:
            NoDataError: nothing of this kind is stored.
            DataError: the file is damaged, or a newer version wrote it.
        """
        path = self._path(kind)
        missing = NoDataError(
            f"There are no events of the kind {kind} in {self.folder}.",
            hint=_brings_back(kind) or "lstm events list",
        )
        content = read_content(path, missing)
        events = _decode(content, path, kind)
        if tickers:
            events = events[events["ticker"].isin(list(tickers))].reset_index(drop=True)
        return events

    def append(self, events: pd.DataFrame) -> int:
        """Add statements and return how many were new.

        A statement that repeats what is stored is not stored again. One that
        contradicts an older statement of the same day is stored after it, and holds.

        Raises:
            DataError: `events` or a stored file is not valid; nothing of its kind was added.
            DiskError: a file cannot be written.
        """
        check_events(events)
        added = 0
        for kind, statements in events.groupby("kind", sort=True):
            path = self._path(str(kind))
            stored = self.read(str(kind)) if path.exists() else empty_events()
            both = pd.concat([stored, statements], ignore_index=True) if len(stored) else statements
            new = ~_repeats(both)[len(stored) :]
            if new.any():
                whole = pd.concat([both.iloc[: len(stored)], both.iloc[len(stored) :][new]])
                write_atomically(path, _encode(whole))
            added += int(new.sum())
        return added

    def remove(self, ticker: str) -> int:
        """Delete the statements about a ticker and return how many there were.

        Raises:
            DataError: a file is damaged; it remains.
            DiskError: a file cannot be written.
        """
        removed = 0
        for kind in self.kinds():
            stored = self.read(kind)
            kept = stored[stored["ticker"] != ticker]
            if len(kept) == len(stored):
                continue
            if len(kept):
                write_atomically(self._path(kind), _encode(kept.reset_index(drop=True)))
            else:
                delete(self._path(kind))
            removed += len(stored) - len(kept)
        return removed

    def _path(self, kind: str) -> Path:
        return self.folder / f"{file_name(kind)}.parquet"


def _repeats(events: pd.DataFrame) -> pd.Series:
    """Return which rows say what the row before them about the same event said."""
    groups = events.groupby(_ABOUT, sort=False)
    before = groups[_SAID].shift()
    same = (events[_SAID] == before) | (events[_SAID].isna() & before.isna())
    return same.all(axis=1) & (groups.cumcount() > 0)


def _encode(events: pd.DataFrame) -> bytes:
    import pyarrow
    import pyarrow.parquet

    columns = {
        name: pyarrow.array(
            events[name].to_numpy("datetime64[D]")
            if name in ("session", "known_on")
            else events[name].to_numpy(float if name == "amount" else object)
        )
        for name in EVENT_COLUMNS
    }
    table = pyarrow.table(columns, metadata={_VERSION: str(FORMAT).encode()})
    stream = io.BytesIO()
    pyarrow.parquet.write_table(table, stream, compression="zstd", write_page_checksum=True)
    return stream.getvalue()


def _decode(content: bytes, path: Path, kind: str) -> pd.DataFrame:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(io.BytesIO(content), page_checksum_verification=True)
        version = int((table.schema.metadata or {})[_VERSION])
        if version > FORMAT:
            raise DataError(
                f"{path}: Expected events in format {FORMAT} or older. Received: {version}.",
                hint="use the newer lstm that wrote it",
            )
        events = table.select(list(EVENT_COLUMNS)).to_pandas(date_as_object=False)
        dates = {name: events[name].astype("datetime64[ns]") for name in ("session", "known_on")}
        events = events.assign(**dates)
    except (pyarrow.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise _damaged(path, kind, type(error).__name__) from error
    try:
        check_events(events)
    except DataError as error:
        raise _damaged(path, kind, str(error)) from error
    if not (events["kind"] == kind).all():
        raise _damaged(path, kind, "it holds another kind")
    return events


def _damaged(path: Path, kind: str, reason: str) -> DataError:
    again = _brings_back(kind) or "store its events again"
    return DataError(f"{path} is damaged ({reason}).", hint=f"move it away, then: {again}")


def _brings_back(kind: str) -> str | None:
    """Return the command that stores events of a kind; None of a kind that none stores."""
    if kind == EARNINGS:
        return "lstm events fetch"
    if kind.startswith(USER_KIND) or kind in BUILT_IN_KINDS:
        return f"lstm events import FILE --kind {kind.removeprefix(USER_KIND)}"
    return None
