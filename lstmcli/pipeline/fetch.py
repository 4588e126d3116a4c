"""Bring bars up to date, ticker by ticker. A ticker that fails keeps its old file."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from lstmcli import clock
from lstmcli.errors import DataError, LstmError, NoDataError, RateLimitError, SourceError
from lstmcli.sessions import check_calendar
from lstmcli.sources import (
    AnySource,
    Delivery,
    YahooSource,
    calendar_for,
    check_series,
    joined,
    restatement,
    same,
    update_start,
)
from lstmcli.store import Workspace
from lstmcli.store.bars import BarsMeta, BarsStore
from lstmcli.store.files import check_ticker

log = logging.getLogger(__name__)

MAX_FAILURES = 5
"""After so many in a row a source counts as down: to ask it for 500 tickers would take hours."""

Status = Literal["new", "updated", "up to date", "restated", "failed"]


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


def fetch(
    workspace: Workspace,
    tickers: Sequence[str],
    *,
    store: BarsStore | None = None,
    source: AnySource | None = None,
    start: date | None = None,
    calendar: str | None = None,
    on_result: Callable[[FetchResult], None] = lambda result: None,
) -> list[FetchResult]:
    """Bring tickers up to date and return one result for each.

    Without tickers: every one that the source can name, else every stored one
    (of that source, if there is one). Without a source each stored ticker comes
    from where it came before, and a new one from Yahoo. They go into `workspace.bars`
    unless `store` is another one, such as `workspace.market`.

    Raises:
        ConfigError: a ticker or the calendar is wrong; nothing was asked.
        NoDataError: there is no ticker to fetch.
        LockError: another process is fetching into this workspace.
    """
    store = store or workspace.bars
    if calendar is not None:
        check_calendar(calendar)
    try:
        wanted = [check_ticker(ticker) for ticker in dict.fromkeys(tickers)]
        wanted = wanted or _tickers_without_names(store, source)
    except LstmError as error:
        raise _with_hint_for(store, error) from None
    with workspace.lock():
        return fetch_each(
            workspace,
            wanted,
            store=store,
            source=source,
            start=start,
            calendar=calendar,
            on_result=on_result,
        )


def fetch_each(
    workspace: Workspace,
    wanted: Sequence[str],
    *,
    store: BarsStore | None = None,
    source: AnySource | None = None,
    start: date | None = None,
    calendar: str | None = None,
    on_result: Callable[[FetchResult], None] = lambda result: None,
) -> list[FetchResult]:
    """Bring the named tickers up to date, for a caller that holds the workspace.

    A source that asks us to wait, or fails `MAX_FAILURES` times in a row, is not asked again.
    """
    store = store or workspace.bars
    results: list[FetchResult] = []
    refused: SourceError | None = None
    in_a_row = 0
    pause = 0.0
    for ticker in wanted:
        try:
            if refused is not None:
                raise type(refused)(f"{ticker}: not asked for: {refused}", hint=refused.hint)
            ticker_source = source or _remembered_source(store, ticker)
            time.sleep(pause)
            pause = ticker_source.pause_between_tickers()
            result = _Update(store, workspace.cache, ticker, ticker_source, start, calendar).run()
            in_a_row = 0
        except LstmError as error:
            in_a_row = in_a_row + 1 if isinstance(error, SourceError) else 0
            asked_to_wait = isinstance(error, RateLimitError)
            if isinstance(error, SourceError) and (asked_to_wait or in_a_row == MAX_FAILURES):
                refused = refused or error
            result = _failed(store, ticker, _with_hint_for(store, error))
        results.append(result)
        on_result(result)
    return results


def _tickers_without_names(store: BarsStore, source: AnySource | None) -> list[str]:
    if source is not None and (named := source.tickers()):
        return [check_ticker(ticker) for ticker in named]
    stored = store.tickers()
    if source is not None:
        known = {ticker: store.sidecar(ticker) for ticker in stored}
        stored = [t for t, meta in known.items() if meta and meta.source["name"] == source.name]
    if not stored and store.market:
        raise NoDataError(
            f"Expected the name of a market series. Received: none, and {store.folder} has none.",
            hint=store.fetch_command("^VIX"),
        )
    if not stored:
        raise NoDataError(
            "Expected a ticker, or bars that were fetched before. Received: neither.",
            hint="lstm fetch MRK, or without network: lstm fetch --source sample",
        )
    return stored


def _with_hint_for(store: BarsStore, error: LstmError) -> LstmError:
    """Return the error with `--market` in its hint, if that is what the store needs.

    Sources and checks write their hints for tickers, and do not know the store.
    """
    if store.market and error.hint and "lstm fetch --market" not in error.hint:
        error.hint = error.hint.replace("lstm fetch", "lstm fetch --market")
    return error


def _remembered_source(store: BarsStore, ticker: str) -> AnySource:
    try:
        stated = store.read(ticker)[1].source
    except NoDataError:
        return YahooSource()
    except DataError:
        sidecar = store.sidecar(ticker)  # the file is damaged, its readable copy may be whole
        if sidecar is None:
            raise
        stated = sidecar.source
    try:
        adapter: TypeAdapter[AnySource] = TypeAdapter(AnySource)
        return adapter.validate_python(stated)
    except ValidationError as error:
        raise DataError(
            f"{ticker}: this version does not know the source that it came from: {stated}.",
            hint=f"lstm fetch {ticker} --source yahoo",
        ) from error


def _failed(store: BarsStore, ticker: str, error: LstmError) -> FetchResult:
    try:
        bars, _ = store.read(ticker)
    except LstmError:
        return FetchResult(ticker, "failed", error=error)
    return FetchResult(
        ticker, "failed", rows=len(bars), first=bars.index[0], last=bars.index[-1], error=error
    )


class _Update:
    """One ticker on its way from the source to the store."""

    def __init__(
        self,
        store: BarsStore,
        cache: Path,
        ticker: str,
        source: AnySource,
        start: date | None,
        calendar: str | None,
    ) -> None:
        self.store = store
        self.cache = cache
        self.ticker = ticker
        self.source = source
        self.start = start
        self.calendar = calendar

    def run(self) -> FetchResult:
        try:
            stored, meta = self.store.read(self.ticker)
        except NoDataError:
            return self._first()
        except DataError as error:
            return self._first(f"replaced what was stored: {error}")
        if meta.source["name"] != self.source.name:
            return self._first(f"replaced bars from {meta.source['name']}")
        if self.start is None:
            self.start = meta.start
        elif meta.start is not None and self.start < meta.start:
            # Earlier history was left out before, and is asked for now.
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
            raise NoDataError(
                f"{self.ticker}: {self.source.name} has no settled session"
                + (f" since {self.start}." if self.start else "."),
                hint=f"lstm fetch {self.ticker} --start 2000-01-01",
            )
        return self._keep("new", delivery.bars, delivery, added=len(delivery.bars), notes=notes)

    def _extend(self, stored: pd.DataFrame, meta: BarsMeta) -> FetchResult:
        """Ask for the last sessions alone, and for all if they show that history changed."""
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
        known = stored if self.start is None else stored.loc[pd.Timestamp(self.start) :]
        if delivery.bars.empty or len(delivery.bars) < len(known) // 2:
            raise DataError(
                f"{self.ticker}: {reason}, but the history asked for anew has "
                f"{len(delivery.bars)} sessions instead of {len(known)}. Nothing was replaced.",
                hint=f"try again later: lstm fetch {self.ticker}",
            )
        added = len(delivery.bars.index.difference(stored.index))
        note = f"{reason}: the whole history was fetched again"
        return self._keep("restated", delivery.bars, delivery, added=added, notes=(note,))

    def _compare(self, stored: pd.DataFrame, meta: BarsMeta) -> FetchResult:
        """Take what a complete source holds, and say where it differs from before."""
        delivery = self._deliver(self.start)
        bars = delivery.bars
        if bars.empty:
            return self._unchanged(stored, meta)
        lost = len(stored.index.difference(bars.index))
        reason = f"{lost} stored sessions are no longer there" if lost else None
        reason = reason or restatement(stored, bars)
        if reason is None:
            return self._settle(stored, meta, bars, delivery)
        added = len(bars.index.difference(stored.index))
        return self._keep("restated", bars, delivery, added=added, notes=(reason,))

    def _settle(
        self, stored: pd.DataFrame, meta: BarsMeta, bars: pd.DataFrame, delivery: Delivery
    ) -> FetchResult:
        added = len(bars.index.difference(stored.index))
        if same(stored, bars):
            if (meta.source, meta.calendar) == (self._source(), self.calendar):
                return self._unchanged(stored, meta)
            return self._keep("up to date", bars, delivery, added=0, notes=())
        both = stored.index.intersection(bars.index)
        revised = not same(stored.loc[both], bars.loc[both])
        notes = ("the last sessions were revised",) if revised else ()
        return self._keep("updated", bars, delivery, added=added, notes=notes)

    def _unchanged(self, stored: pd.DataFrame, meta: BarsMeta) -> FetchResult:
        return FetchResult(
            self.ticker,
            "up to date",
            rows=len(stored),
            first=stored.index[0],
            last=stored.index[-1],
            notes=(meta.label,) if meta.label else (),
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
        calendar = self.calendar or calendar_for(self.ticker, delivery.exchange)
        # An index has no volume. An ETF has, and splits, as a market series too.
        can_split = not self.store.market or bool(bars["volume"].any())
        check_series(bars, self.ticker, calendar=calendar, can_split=can_split)
        meta = BarsMeta.of(
            bars,
            ticker=self.ticker,
            source=self._source(),
            calendar=calendar,
            fetched_at=clock.now(),
            exchange=delivery.exchange,
            timezone=delivery.timezone,
            currency=delivery.currency,
            label=delivery.label,
            # A later start than before does not delete the bars that are stored already.
            start=self.start if self.start and bars.index[0].date() >= self.start else None,
        )
        self.store.write(bars, meta)
        if delivery.label:
            notes = (*notes, delivery.label)
        return FetchResult(
            self.ticker,
            status,
            rows=len(bars),
            added=added,
            first=bars.index[0],
            last=bars.index[-1],
            notes=notes,
        )

    def _deliver(self, start: date | None) -> Delivery:
        return self.source.bars(self.ticker, start, cache=self.cache)

    def _source(self) -> dict[str, object]:
        return self.source.model_dump(mode="json", exclude_defaults=True) | {
            "name": self.source.name
        }
