"""Bring the bars of one ticker, or of one market series, up to date."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal

import pandas as pd

from lstmcli import clock
from lstmcli.errors import DataError, LstmError, NoDataError, TooYoungError, shell_word
from lstmcli.pipeline.succession import (
    doubts_of,
    lost,
    refusal,
    too_short,
    why_no_succession,
)
from lstmcli.sources import (
    AnySource,
    Delivery,
    calendar_for,
    check_series,
    has_one_scale,
    joined,
    likely_calendar,
    names_exchange,
    restatement,
    same,
    update_start,
    without_open_sessions,
)
from lstmcli.store.bars import BarsMeta, BarsStore
from lstmcli.trading import check_moves, has_shares, trading_notes, without_filled_days

Status = Literal["new", "updated", "up to date", "restated", "replaced", "failed"]


@dataclass(frozen=True)
class FetchResult:
    """What became of one ticker. `rows` is what is stored now, `added` how many are new."""

    ticker: str
    status: Status
    rows: int = 0
    added: int = 0
    first: pd.Timestamp | None = None
    last: pd.Timestamp | None = None
    notes: tuple[str, ...] = ()
    error: LstmError | None = None


def update(
    store: BarsStore,
    ticker: str,
    *,
    source: AnySource,
    start: date | None,
    calendar: str | None,
    allow_jumps: Collection[date] = (),
    replace_others: bool = False,
    cache: Path,
) -> FetchResult:
    """Ask the source for what is new, check all of it, and store it.

    Args:
        allow_jumps: sessions whose jump is real. They are stored with the bars.
        replace_others: store bars also in place of others that they do not join.

    Raises:
        LstmError: the source failed, or what it delivered; what was stored stays.
    """
    jumps = frozenset(allow_jumps)
    return _Update(store, ticker, source, start, calendar, jumps, replace_others, cache).run()


@dataclass
class _Update:
    """The update of one ticker: what was asked for, and the steps."""

    store: BarsStore
    ticker: str
    source: AnySource
    start: date | None
    calendar: str | None
    allow_jumps: frozenset[date]
    replace_others: bool
    cache: Path
    filled: int = 0  # rows on days without a session, which were dropped

    def __post_init__(self) -> None:
        # What is stored may add to them; of another company it does not count.
        self.named_calendar, self.named_jumps = self.calendar, self.allow_jumps

    def run(self) -> FetchResult:
        try:
            stored, meta = self.store.read(self.ticker)
        except NoDataError:
            return self._first()
        except DataError as error:
            return self._first(f"replaced what was stored: {error}")
        self.allow_jumps |= set(meta.allowed_jumps)
        if meta.source["name"] != self.source.name:
            return self._compare(stored, meta, f"replaced bars from {meta.source['name']}")
        if self.start is None:
            self.start = meta.start
        elif meta.start is not None and self.start < meta.start:
            # The earlier history was not stored before. Now it is wanted.
            return self._replace(stored, meta, "history from an earlier start")
        if self.calendar is None:
            self.calendar = meta.calendar
        if not self.source.incremental:
            return self._compare(stored, meta)
        return self._extend(stored, meta)

    def _first(self, *notes: str) -> FetchResult:
        """Store a ticker for the first time, or in place of something else."""
        delivery = self._deliver(self.start)
        if delivery.bars.empty:
            raise self._nothing(delivery)
        if self.source.incremental and len(delivery.bars) == 1:
            raise self._too_young(delivery.bars)
        return self._keep("new", delivery.bars, delivery, added=len(delivery.bars), notes=notes)

    def _nothing(self, delivery: Delivery) -> NoDataError:
        return NoDataError(
            f"{self.ticker}: {self.source.name} has no settled session"
            + (f" since {self.start}" if self.start else "")
            + "".join(f", {note}" for note in delivery.notes[-1:])
            + ".",
            hint=f"lstm fetch {shell_word(self.ticker)} --start 2000-01-01",
        )

    def _too_young(self, bars: pd.DataFrame) -> TooYoungError:
        return TooYoungError(
            f"{self.ticker}: Expected at least two sessions. Received: the first one, "
            f"{bars.index[0]:%Y-%m-%d}.",
            hint=f"lstm fetch {shell_word(self.ticker)}, once the next session has settled",
        )

    def _extend(self, stored: pd.DataFrame, meta: BarsMeta) -> FetchResult:
        """Ask for the last sessions. Ask for all if these show that history changed."""
        delivery = self._deliver(update_start(stored).date())
        if delivery.bars.empty:
            return self._unchanged(stored, meta)
        reason = restatement(stored, delivery.bars)
        if reason is not None:
            return self._replace(stored, meta, reason)
        bars = joined(stored, delivery.bars)
        return self._settle(stored, meta, bars, delivery)

    def _replace(self, stored: pd.DataFrame, meta: BarsMeta, reason: str) -> FetchResult:
        delivery = self._deliver(self.start)
        note = f"{reason}: the whole history was fetched again"
        return self._restate(stored, meta, delivery, delivery.bars, (note,))

    def _compare(self, stored: pd.DataFrame, meta: BarsMeta, *notes: str) -> FetchResult:
        """Take all that a source delivers, and say where it differs from what is stored."""
        delivery = self._deliver(self.start)
        bars = delivery.bars
        if bars.empty:
            if notes:
                raise self._nothing(delivery)
            return self._unchanged(stored, meta)
        if not self.source.incremental and len(bars) > 1 and bars.index[0] in stored.index[1:]:
            bars = bars.iloc[1:]  # a file has no close before its first, so no dividend of it
        reason = restatement(stored, bars)
        if reason is not None:
            return self._restate(stored, meta, delivery, bars, (*notes, reason))
        notes += lost(stored, delivery.bars, "stay stored")
        return self._settle(stored, meta, joined(stored, bars), delivery, *notes)

    def _restate(
        self,
        stored: pd.DataFrame,
        meta: BarsMeta,
        delivery: Delivery,
        fresh: pd.DataFrame,
        notes: tuple[str, ...],
    ) -> FetchResult:
        """Store the history of the same security with other values; refuse another one's."""
        reason = why_no_succession(stored, meta, delivery, fresh)
        if reason is None and has_one_scale(stored, fresh):
            bars = joined(stored, fresh)
            notes += lost(stored, delivery.bars, "stay stored")
        else:
            bars = delivery.bars
            reason = reason or too_short(stored, bars, self.start)
            notes += lost(stored, bars, "are gone")
        notes += doubts_of(stored, meta, delivery)
        status: Status = "restated"
        if reason is not None:
            if not self.replace_others or bars.empty:
                raise refusal(self.ticker, self.source.name, reason)
            status, notes = "replaced", (f"they did not join what was stored: {reason}",)
            self.calendar, self.allow_jumps = self.named_calendar, self.named_jumps
        added = len(bars.index.difference(stored.index))
        return self._keep(status, bars, delivery, added=added, notes=notes)

    def _settle(
        self,
        stored: pd.DataFrame,
        meta: BarsMeta,
        bars: pd.DataFrame,
        delivery: Delivery,
        *notes: str,
    ) -> FetchResult:
        notes += doubts_of(stored, meta, delivery)
        added = len(bars) - len(stored)
        if same(stored, bars):
            if (meta.source, meta.calendar) == (self._source(), self.calendar):
                return self._unchanged(stored, meta, *notes)
            return self._keep("up to date", bars, delivery, added=0, notes=notes)
        again = delivery.bars.index.intersection(stored.index)
        if not same(stored.loc[again], bars.loc[again]):
            notes += ("the last sessions were revised",)
        return self._keep("updated", bars, delivery, added=added, notes=notes)

    def _unchanged(self, stored: pd.DataFrame, meta: BarsMeta, *notes: str) -> FetchResult:
        return FetchResult(
            self.ticker,
            "up to date",
            rows=len(stored),
            first=stored.index[0],
            last=stored.index[-1],
            notes=(*notes, *self._notes(stored, meta.calendar, meta.label)),
        )

    def _keep(
        self,
        status: Status,
        bars: pd.DataFrame,
        delivery: Delivery,
        *,
        added: int,
        notes: tuple[str, ...],
    ) -> FetchResult:
        calendar = self._calendar(delivery)
        if self.calendar is None and not names_exchange(self.ticker, delivery.exchange):
            guess, calendar = calendar, likely_calendar(bars, calendar)
            if calendar != guess:
                notes = (*notes, f"its days are those of {calendar}, not of {guess}")
        # An index has no volume. An ETF has, and splits, as a market series too.
        can_split = not self.store.market or bool(bars["volume"].any())
        check_series(
            bars,
            self.ticker,
            calendar=calendar,
            can_split=can_split and has_shares(self.ticker),
            allowed=[pd.Timestamp(day) for day in self.allow_jumps],
        )
        if not self.store.market:
            check_moves(bars, self.ticker)
        meta = BarsMeta.of(
            bars,
            ticker=self.ticker,
            source=self._source(),
            calendar=calendar,
            fetched_at=clock.now(),
            exchange=delivery.exchange,
            timezone=delivery.timezone,
            currency=delivery.currency,
            kind=delivery.kind,
            label=delivery.label,
            allowed_jumps=tuple(sorted(self.allow_jumps)),
            # A later start than before does not delete the bars that are stored already.
            start=self.start if self.start and bars.index[0].date() >= self.start else None,
        )
        self.store.write(bars, meta)
        return FetchResult(
            self.ticker,
            status,
            rows=len(bars),
            added=added,
            first=bars.index[0],
            last=bars.index[-1],
            notes=(*notes, *delivery.notes, *self._notes(bars, calendar, delivery.label)),
        )

    def _notes(self, bars: pd.DataFrame, calendar: str, label: str | None) -> tuple[str, ...]:
        """Return what a user must know of stored bars, whether they have changed or not."""
        rows = "row was" if self.filled == 1 else "rows were"
        filled = f"{self.filled:,} flat {rows} dropped: on days without a session"
        return (
            *([filled] if self.filled else []),
            *(() if self.store.market else trading_notes(bars, calendar)),
            *([label] if label else []),
        )

    def _deliver(self, start: date | None) -> Delivery:
        """Return what the source has, without filled days and sessions that have not settled."""
        allowed = [pd.Timestamp(day) for day in self.allow_jumps]
        delivery = self.source.bars(self.ticker, start, cache=self.cache, allowed=allowed)
        bars, self.filled = without_filled_days(delivery.bars, self._calendar(delivery))
        delivery = replace(delivery, bars=bars)
        if self.source.settles:
            return delivery
        return without_open_sessions(delivery, self._calendar(delivery), clock.now())

    def _calendar(self, delivery: Delivery) -> str:
        return self.calendar or calendar_for(self.ticker, delivery.exchange)

    def _source(self) -> dict[str, object]:
        return self.source.model_dump(mode="json", exclude_defaults=True) | {
            "name": self.source.name
        }
