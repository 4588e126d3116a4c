"""Bring bars up to date, ticker by ticker. A ticker that fails keeps its old file."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from lstmcli.errors import (
    ConfigError,
    DataError,
    LstmError,
    NoDataError,
    shell_word,
)
from lstmcli.frames import small_tables
from lstmcli.pipeline.announcement_fetch import fetch_announcements
from lstmcli.pipeline.announcements import Announcements
from lstmcli.pipeline.fetch_plan import plan_fetch
from lstmcli.pipeline.hints import complete_hint, fetch_options
from lstmcli.pipeline.progress import Progress
from lstmcli.pipeline.refusals import Refusals
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.update import FetchResult, update
from lstmcli.sessions import check_calendar, settled_session
from lstmcli.sources import AnySource, YahooSource
from lstmcli.store.bars import BarsStore
from lstmcli.store.files import check_ticker

log = logging.getLogger(__name__)


def fetch(
    session: Session,
    tickers: Sequence[str],
    *,
    universe: Sequence[str] = (),
    store: BarsStore | None = None,
    source: AnySource | None = None,
    start: date | None = None,
    calendar: str | None = None,
    allow_jumps: Collection[date] = (),
    replace_others: bool = False,
    with_announcements: bool = True,
    on_result: Callable[[FetchResult], None] = lambda result: None,
    say: Callable[[str], None] = lambda line: None,
) -> list[FetchResult]:
    """Bring tickers up to date and return one result for each.

    Of a list, such as `universe` or every stored one, only those are asked for whose last
    settled session is not stored; a ticker that is named always is, and where something else
    than the newest bars is asked for. With the bars of Yahoo come the announcement dates of
    companies, once a day; what fails there is logged in a line.

    Without tickers: every one that the source can name, else every stored one
    (of that source, if there is one). Without a source each stored ticker comes
    from where it came before, and a new one from Yahoo. They go into
    `session.workspace.bars` unless `store` is another one, such as its `market`.
    A wrong name among `tickers` stops everything; one of a list, such as `universe` or
    the names in a file, fails alone.

    Raises:
        ConfigError: a ticker or the calendar is wrong; nothing was asked.
        NoDataError: there is no ticker to fetch.
        LockError: another process is fetching into this workspace.
    """
    store = store or session.workspace.bars
    if calendar is not None:
        check_calendar(calendar)
    try:
        wanted = list(dict.fromkeys([*map(check_ticker, tickers), *universe]))
        wanted = wanted or _tickers_without_names(store, source)
    except LstmError as error:
        complete_hint(error, fetch_options(store, source))
        raise
    _say_what_is_left(wanted, source)
    ordinary = start is None and calendar is None and not (allow_jumps or replace_others)
    asks_dates = with_announcements and not store.market
    with session.workspace.lock(), Announcements(session) as announcements:
        plan = plan_fetch(
            session,
            wanted,
            announcements if asks_dates else None,
            store=store,
            source=source,
            may_skip=lambda ticker: ordinary and ticker not in tickers,
        )
        sentence = plan.sentence()
        if sentence is not None:
            say(sentence)
        progress = Progress(len(plan.due), say, done="fetched")

        def after_bars(result: FetchResult) -> None:
            on_result(result)
            if asks_dates:
                announcements.ask_after_bars(result)
            progress.advance()

        results = fetch_each(
            session,
            plan.due,
            store=store,
            source=source,
            start=start,
            calendar=calendar,
            allow_jumps=allow_jumps,
            replace_others=replace_others,
            on_result=after_bars,
        )
        if asks_dates:
            due = [ticker for ticker in plan.fresh if announcements.is_due(ticker)]
            fetch_announcements(due, announcements)
    results += plan.results()
    if sentence is None:  # of few tickers each has its line
        for result in plan.results():
            on_result(result)
    place = {ticker: number for number, ticker in enumerate(wanted)}
    results.sort(key=lambda result: place[result.ticker])
    if note := announcements.note():
        log.warning("%s", note)
    return results


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


@small_tables
def fetch_each(
    session: Session,
    wanted: Sequence[str],
    *,
    store: BarsStore | None = None,
    source: AnySource | None = None,
    start: date | None = None,
    calendar: str | None = None,
    allow_jumps: Collection[date] = (),
    replace_others: bool = False,
    on_result: Callable[[FetchResult], None] = lambda result: None,
) -> list[FetchResult]:
    """Bring the named tickers up to date, for a caller that holds the workspace.

    A source that asks us to wait, or fails too often, is not asked again; see `Refusals`.
    """
    store = store or session.workspace.bars
    results: list[FetchResult] = []
    refusals = Refusals()  # by name of the source
    pause = 0.0
    for ticker in wanted:
        asked = ""
        try:
            _check_listed(ticker)
            ticker_source = source or _remembered_source(store, ticker)
            refusals.check(ticker_source.name, ticker)
            asked = ticker_source.name
            time.sleep(pause)
            pause = ticker_source.pause_between_tickers()
            result = update(
                store,
                ticker,
                source=ticker_source,
                start=start,
                calendar=calendar,
                allow_jumps=allow_jumps,
                replace_others=replace_others,
                cache=session.workspace.cache,
            )
            refusals.answered(asked)
        except LstmError as error:
            if asked:
                refusals.failed(asked, ticker, error)
            complete_hint(error, fetch_options(store, source, start, calendar, allow_jumps))
            result = _failed(store, ticker, error)
        results.append(result)
        on_result(result)
    return results


def _check_listed(ticker: str) -> None:
    try:
        check_ticker(ticker)
    except ConfigError as error:
        hint = "correct it in the list; it stops none of the others"
        raise ConfigError(str(error), hint=hint) from error


def _tickers_without_names(store: BarsStore, source: AnySource | None) -> list[str]:
    if source is not None and (named := source.tickers()):
        return named
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
            hint="lstm fetch MRK, or without network: lstm fetch ^GSPC --source sample",
        )
    return stored


def _say_what_is_left(wanted: Sequence[str], source: AnySource | None) -> None:
    """Say which other symbols a file holds, if some of its tickers were named."""
    try:
        symbols = {} if source is None else source.symbols()
    except LstmError:
        return  # each ticker says why
    if source is None or len(symbols) < 2:
        return
    spelled = {source.spelled(ticker) for ticker in wanted}
    left = {name: lines for name, lines in symbols.items() if name not in spelled}
    if left:
        shown = ", ".join(f"{name} ({lines:,} lines)" for name, lines in list(left.items())[:5])
        log.warning(
            "not read: %d other symbol%s of the file: %s%s",
            len(left),
            "s" if len(left) > 1 else "",
            shown,
            " …" if len(left) > 5 else "",
        )


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
        source = adapter.validate_python(stated)
    except ValidationError as error:
        raise DataError(
            f"{ticker}: this version does not know the source that it came from: {stated}.",
            hint=f"lstm fetch {shell_word(ticker)} --source yahoo",
        ) from error
    if not source.repeatable:
        raise NoDataError(
            f"{ticker}: its bars came through standard input, which is not read again.",
            hint=f"name a file: {store.fetch_command(ticker)} --source csv --file {ticker}.csv",
        )
    return source


def _failed(store: BarsStore, ticker: str, error: LstmError) -> FetchResult:
    try:
        bars, _ = store.read(ticker)
    except LstmError:
        return FetchResult(ticker, "failed", error=error)
    return FetchResult(
        ticker, "failed", rows=len(bars), first=bars.index[0], last=bars.index[-1], error=error
    )
