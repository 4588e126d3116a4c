"""Events: import a user's file, fetch announcement dates, and say what is stored."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from lstmcli.errors import ConfigError, NoDataError, shell_word
from lstmcli.frames import EVENT_NAME, USER_KIND, empty_bars, full_kind
from lstmcli.pipeline.event_file import Listing, read_event_file
from lstmcli.sources.exchanges import calendar_for
from lstmcli.store import Workspace


@dataclass(frozen=True)
class Imported:
    """What an import has read, and how many of its statements were new."""

    kind: str
    statements: int
    new: int
    tickers: tuple[str, ...]
    first: pd.Timestamp
    last: pd.Timestamp


@dataclass(frozen=True)
class StoredEvents:
    """The stored statements of one kind: of which tickers, how many, about which sessions.

    Attributes:
        amounts: the smallest and the largest; None where none is stated.
    """

    kind: str
    tickers: tuple[str, ...]
    statements: int
    first: pd.Timestamp
    last: pd.Timestamp
    amounts: tuple[float, float] | None


def import_events(workspace: Workspace, file: Path, *, name: str) -> Imported:
    """Store the statements of a CSV file as events of the kind `user:NAME`, or `ex_dividend`.

    Raises:
        ConfigError: the name or the file is wrong, with a line for each mistake;
            nothing was stored.
        LockError: another process holds the workspace.
        DataError: stored events or bars are damaged.
    """
    command = f"lstm events import {shell_word(str(file))} --kind"
    if not EVENT_NAME.fullmatch(name):
        near = re.sub(r"[^a-z0-9_-]+", "-", name.lower().removeprefix(USER_KIND)).strip("-_")[:32]
        raise ConfigError(
            "Expected --kind as a word of lower-case letters, digits, _ and -, at most 32. "
            f"Received: {name!r}.",
            hint=f"{command} {near or 'launch'}",
        )

    @cache
    def listing_of(ticker: str) -> Listing:
        try:
            bars, meta = workspace.bars.read(ticker)
        except NoDataError:
            return Listing(calendar_for(ticker), empty_bars())
        return Listing(meta.calendar, bars, meta.currency)

    kind = full_kind(name)
    events = read_event_file(file, kind, listing_of, command=f"{command} {name}")
    with workspace.lock():
        new = workspace.events.append(events)
    return Imported(
        kind,
        len(events),
        new,
        tuple(sorted(events["ticker"].unique())),
        events["session"].min(),
        events["session"].max(),
    )


def stored_events(
    workspace: Workspace,
    tickers: Sequence[str] = (),
    *,
    kind: str | None = None,
    known: Collection[str] = (),
) -> list[StoredEvents]:
    """Return what is stored, kind by kind.

    Args:
        tickers: count these alone; empty means all.
        kind: `earnings`, `ex_dividend`, `user:launch`, or `launch` for short.
        known: tickers of which something is known though nothing is stored.

    Raises:
        NoDataError: nothing is stored of the kind, or of a ticker.
        DataError: a file is damaged.
    """
    kinds = workspace.events.kinds()
    if kind is not None:
        kinds = [kind if kind in kinds else full_kind(kind)]
    tables = {name: workspace.events.read(name, tickers) for name in kinds}
    stored = {ticker for events in tables.values() for ticker in events["ticker"].unique()}
    unknown = [ticker for ticker in tickers if ticker not in {*stored, *known}]
    if unknown:
        of_kind = f" of the kind {kinds[0]}" if kind else ""
        raise NoDataError(
            f"There are no events{of_kind} of {', '.join(unknown)} in {workspace.root}.",
            hint="lstm events list" if kind else f"lstm events fetch {shell_word(unknown[0])}",
        )
    return [
        StoredEvents(
            name,
            tuple(sorted(events["ticker"].unique())),
            len(events),
            events["session"].min(),
            events["session"].max(),
            _range(events["amount"]),
        )
        for name, events in tables.items()
        if len(events)
    ]


def _range(amounts: pd.Series) -> tuple[float, float] | None:
    return (float(amounts.min()), float(amounts.max())) if amounts.notna().any() else None
