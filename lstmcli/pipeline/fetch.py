"""Bring bars up to date, ticker by ticker. A ticker that fails keeps its old file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date, datetime

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from lstmcli.errors import DataError, LstmError, NoDataError, RateLimitError, SourceError
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.update import FetchResult, update
from lstmcli.sessions import check_calendar, settled_session
from lstmcli.sources import AnySource, YahooSource
from lstmcli.store.bars import BarsStore
from lstmcli.store.files import check_ticker

MAX_FAILURES = 5
"""After so many in a row a source counts as down: to ask it for 500 tickers would take hours."""


def fetch(
    session: Session,
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
    from where it came before, and a new one from Yahoo. They go into
    `session.workspace.bars` unless `store` is another one, such as its `market`.

    Raises:
        ConfigError: a ticker or the calendar is wrong; nothing was asked.
        NoDataError: there is no ticker to fetch.
        LockError: another process is fetching into this workspace.
    """
    store = store or session.workspace.bars
    if calendar is not None:
        check_calendar(calendar)
    try:
        wanted = [check_ticker(ticker) for ticker in dict.fromkeys(tickers)]
        wanted = wanted or _tickers_without_names(store, source)
    except LstmError as error:
        _adapt_hint(error, store)
        raise
    with session.workspace.lock():
        return fetch_each(
            session,
            wanted,
            store=store,
            source=source,
            start=start,
            calendar=calendar,
            on_result=on_result,
        )


def series_behind(session: Session, at: datetime) -> list[str]:
    """Return the stored market series that lack a session which has settled by a moment."""
    store, behind = session.workspace.market, []
    for name in store.tickers():
        try:
            bars, meta = store.read(name)
        except LstmError:
            behind.append(name)  # a damaged file is fetched again
            continue
        sessions = pd.DatetimeIndex(bars.index)
        if sessions[-1] < settled_session(meta.calendar, at, observed=sessions):
            behind.append(name)
    return behind


def fetch_each(
    session: Session,
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
    store = store or session.workspace.bars
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
            result = update(
                store,
                ticker,
                source=ticker_source,
                start=start,
                calendar=calendar,
                cache=session.workspace.cache,
            )
            in_a_row = 0
        except LstmError as error:
            in_a_row = in_a_row + 1 if isinstance(error, SourceError) else 0
            asked_to_wait = isinstance(error, RateLimitError)
            if isinstance(error, SourceError) and (asked_to_wait or in_a_row == MAX_FAILURES):
                refused = refused or error
            _adapt_hint(error, store)
            result = _failed(store, ticker, error)
        results.append(result)
        on_result(result)
    return results


def _tickers_without_names(store: BarsStore, source: AnySource | None) -> list[str]:
    if source is not None and (named := source.tickers()):
        return [check_ticker(ticker) for ticker in named]
    stored = store.tickers()
    if source is not None:
        known = {ticker: store.sidecar(ticker) for ticker in stored}
        stored = [
            ticker for ticker, meta in known.items() if meta and meta.source["name"] == source.name
        ]
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


def _adapt_hint(error: LstmError, store: BarsStore) -> None:
    """Add `--market` to the command in a hint, where the store holds market series.

    Sources and checks write hints for tickers: they do not know the store.
    """
    if store.market and error.hint and "lstm fetch --market" not in error.hint:
        error.hint = error.hint.replace("lstm fetch", "lstm fetch --market")


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
