"""The record of a workspace, rolled forward: an evening scores what it can score first.

What was scored before is read as sums. A ticker whose bars have changed where they were read
before, by a correction or a split, is scored anew. The numbers are those of a record that is
built from nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.evaluation.live import OPEN, SCORED, UNMATCHED, WAITING
from lstmcli.evaluation.live_record import (
    ROW_COLUMNS,
    Summary,
    doubtful,
    enter,
    judge,
    mark_repeated,
    month_of,
    needs_quantiles,
    print_of,
    summarise,
    with_scores,
)
from lstmcli.panel import Panel
from lstmcli.sessions import WEEKDAYS, settled_session
from lstmcli.store.ledger import Ledger
from lstmcli.store.record import Outdated, RecordStore
from lstmcli.version import __version__

CHUNK = 300_000
"""Rows of the ledger that are read at once: those of nine evenings of 500 tickers."""

_PARTS = tuple(each.name for each in fields(Summary))


@dataclass
class Record:
    """What is known of all issued forecasts.

    Attributes:
        months: what tables need, by month of the origins.
        rows: of the months that were read, by month.
        changed: months that are not on disk as they are here.
        position: where the ledger was read up to; see `Ledger.position`.
        prints: by ticker, how many sessions its outcomes were taken from, the hash of the
            bars, and that of what outcomes depend on; None where there were no bars.
    """

    months: dict[str, Summary] = field(default_factory=dict)
    rows: dict[str, pd.DataFrame] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    position: tuple[int, str] | None = None
    prints: dict[str, tuple[int, str, str] | None] = field(default_factory=dict)
    hashes: dict[str, dict[str, str]] = field(default_factory=dict)

    def table(self, part: str) -> pd.DataFrame:
        """Return one part of the summaries of all months."""
        found = [getattr(self.months[month], part) for month in sorted(self.months)]
        filled = [table for table in found if len(table)]
        return pd.concat(filled or found[:1], ignore_index=True)

    def recent(self, store: RecordStore, months: int) -> pd.DataFrame:
        """Return the rows of the last months."""
        found = []
        for month in sorted(self.months)[-months:]:
            if month not in self.rows:
                self.rows[month] = store.read(f"{month}-rows", self.hashes[month]["rows"])
            found.append(self.rows[month])
        return pd.concat(found, ignore_index=True)


def rolled(
    ledger: Ledger,
    store: RecordStore,
    panel: Panel,
    hashes: Mapping[str, str],
    now: datetime,
    *,
    write: bool = False,
) -> Record:
    """Return the record as of now.

    Args:
        panel: settled bars of every ticker that counts.
        hashes: of the stored bars, by ticker.
        write: keep it for the next evening.

    Raises:
        DataError: the ledger is damaged.
        DiskError: it cannot be written.
    """
    try:
        record = _Roll(ledger, store, panel, hashes, now, _stored(ledger, store, now)).run()
    except Outdated:
        record = _Roll(ledger, store, panel, hashes, now, Record()).run()
    if write:
        _write(store, record, now)
    return record


def _stored(ledger: Ledger, store: RecordStore, now: datetime) -> Record:
    """Return the record that is kept, without its rows; an empty one where it is of no use.

    A replay of the past starts with an empty one: what came later is not known then.
    """
    state = store.state()
    if (
        state is None
        or state.get("version") != __version__
        or datetime.fromisoformat(state["at"]) > now
        or not ledger.holds(tuple(state["position"]))
    ):
        return Record()
    prints = {ticker: kept and tuple(kept) for ticker, kept in state["prints"].items()}
    record = Record(position=tuple(state["position"]), prints=prints, hashes=state["hashes"])
    for month, kept in record.hashes.items():
        record.months[month] = Summary(
            **{part: store.read(f"{month}-{part}", kept[part]) for part in _PARTS}
        )
    return record


def _write(store: RecordStore, record: Record, now: datetime) -> None:
    for month in sorted(record.changed):
        summary = record.months[month]
        kept = {part: store.write(f"{month}-{part}", getattr(summary, part)) for part in _PARTS}
        kept["rows"] = store.write(f"{month}-rows", record.rows[month])
        record.hashes[month] = kept
    record.changed.clear()
    store.finish(
        {
            "version": __version__,
            "at": now.isoformat(),
            "position": record.position,
            "prints": record.prints,
            "hashes": record.hashes,
        }
    )


@dataclass
class _Roll:
    """One roll of a record: which rows are due, and what came of them."""

    ledger: Ledger
    store: RecordStore
    panel: Panel
    bars_hashes: Mapping[str, str]
    now: datetime
    record: Record

    def run(self) -> Record:
        record = self.record
        self.counted = set(self.panel)
        self.anew = self._changed_tickers()
        self.settled: dict[str, pd.Timestamp] = {}
        for month in self._months_of(self.anew) | self._months_due():
            self._load(month)
        self._score(pd.DataFrame(columns=list(ROW_COLUMNS)))
        while True:
            issued, position = self.ledger.read_after(record.position, limit=CHUNK)
            if not len(issued):
                break
            record.position = position
            for month in set(month_of(issued["made_on"])):
                self._load(month)
            self._score(issued)
        for ticker in {*record.prints, *self._known()}:
            record.prints[ticker] = self._print(ticker)
        return record

    def _known(self) -> set[str]:
        return {t for each in self.record.months.values() for t in each.origins["ticker"]}

    def _print(self, ticker: str) -> tuple[int, str, str] | None:
        if ticker not in self.panel:
            return None
        bars, sha256 = self.panel[ticker], self.bars_hashes[ticker]
        before = self.record.prints.get(ticker)
        if before is not None and before[:2] == (len(bars), sha256):
            return before
        return len(bars), sha256, print_of(bars, len(bars))

    def _changed_tickers(self) -> set[str]:
        """Return tickers whose bars are no longer those that outcomes were taken from.

        So are those with an origin that their bars do not hold: what is said of one origin
        depends on the others.
        """
        changed = set()
        for ticker, before in self.record.prints.items():
            if (before is None) != (ticker not in self.panel):
                changed.add(ticker)
            elif before is not None:
                sessions, sha256, seen = before
                bars = self.panel[ticker]
                if (sessions, sha256) != (len(bars), self.bars_hashes[ticker]):
                    changed |= {ticker} if print_of(bars, sessions) != seen else set()
        if self.record.months:
            counts = self.record.table("counts")
            changed |= set(counts.loc[counts["status"] == UNMATCHED, "ticker"]) & self.counted
        return changed

    def _months_of(self, tickers: set[str]) -> set[str]:
        return {
            month
            for month, each in self.record.months.items()
            if tickers and each.origins["ticker"].isin(tickers).any()
        }

    def _months_due(self) -> set[str]:
        """Return months with a forecast whose target has settled since, or whose bar came."""
        return {
            month
            for month, each in self.record.months.items()
            if self._is_due(each.unsettled).any()
        }

    def _is_due(self, rows: pd.DataFrame) -> np.ndarray:
        """Return whether there may be an outcome of open and waiting rows by now, (N,)."""
        codes, names = pd.factorize(rows["ticker"])
        settled = np.array([self._settled(name) for name in names], "datetime64[ns]")[codes]
        grown = np.array([self._has_grown(name) for name in names], bool)[codes]
        is_open = (rows["status"] == OPEN).to_numpy(bool)
        return (rows["target_on"].to_numpy() <= settled) & (is_open | grown)

    def _settled(self, ticker: str) -> pd.Timestamp:
        if ticker not in self.settled:
            calendar = self.panel.calendars.get(ticker, WEEKDAYS)
            bars = self.panel.get(ticker)
            observed = pd.DatetimeIndex([] if bars is None else bars.index)
            self.settled[ticker] = settled_session(calendar, self.now, observed=observed)
        return self.settled[ticker]

    def _has_grown(self, ticker: str) -> bool:
        before = self.record.prints.get(ticker)
        return ticker in self.panel and (
            before is None or before[:2] != (len(self.panel[ticker]), self.bars_hashes[ticker])
        )

    def _load(self, month: str) -> None:
        """Read the rows of a month, unless they are here."""
        record = self.record
        if month in record.rows:
            return
        if month in record.months:
            record.rows[month] = self.store.read(f"{month}-rows", record.hashes[month]["rows"])
        else:
            record.rows[month] = pd.DataFrame(columns=list(ROW_COLUMNS))

    def _score(self, issued: pd.DataFrame) -> None:
        """Enter rows of the ledger, and follow up what is due of those that are loaded."""
        new = enter(issued) if len(issued) else issued
        due = [new] if len(new) else []
        for rows in self.record.rows.values():
            if len(rows):
                waits = rows["status"].isin([OPEN, WAITING])
                is_due = waits & self._is_due(rows) | rows["ticker"].isin(self.anew)
                due += [rows[is_due]] if is_due.any() else []
        if not due:
            return
        judged = judge(pd.concat(due, ignore_index=True), self.panel, self.now)
        if doubts := doubtful(judged) - self.anew:
            self.anew |= doubts
            for month in self._months_of(doubts):
                self._load(month)
            self._score(issued)
            return
        wanted = judged[(judged["status"] == SCORED).to_numpy() & needs_quantiles(judged)]
        judged = with_scores(judged, self._quantiles(wanted, issued))
        self.anew = set()  # they are now
        self._put(judged)

    def _quantiles(self, wanted: pd.DataFrame, issued: pd.DataFrame) -> pd.DataFrame:
        """Return rows of the ledger, with what is in hand looked at first."""
        parts = [issued[issued["id"].isin(wanted["id"])]] if len(issued) else []
        left = wanted[~wanted["id"].isin(issued["id"])] if len(issued) else wanted
        of_ticker = left["ticker"].isin(self.anew)
        tickers, origins = (
            sorted(set(left.loc[which, name]))
            for which, name in ((of_ticker, "ticker"), (~of_ticker, "made_on"))
        )
        found = itertools.chain(
            map(self.ledger.read, tickers), map(self.ledger.read_origins, _in_chunks(origins, 8))
        )
        parts += [rows[rows["id"].isin(left["id"])] for rows in found]
        parts = [part for part in parts if len(part)]
        return pd.concat(parts, ignore_index=True) if parts else self.ledger.read("")

    def _put(self, judged: pd.DataFrame) -> None:
        """Put rows into their months, in place of what was there."""
        record = self.record
        for month, fresh in judged.groupby(month_of(judged["made_on"]), sort=True):
            rows = record.rows[str(month)]
            kept = rows[~rows["id"].isin(fresh["id"])]
            parts = [kept, fresh[list(ROW_COLUMNS)]] if len(kept) else [fresh[list(ROW_COLUMNS)]]
            rows = mark_repeated(pd.concat(parts, ignore_index=True))
            record.rows[str(month)] = rows
            record.months[str(month)] = summarise(rows, self.counted)
            record.changed.add(str(month))


def _in_chunks(values: list[Any], size: int) -> Iterable[list[Any]]:
    return (values[n : n + size] for n in range(0, len(values), size))
