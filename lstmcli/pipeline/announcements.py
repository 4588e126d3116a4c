"""Announcement dates: asked for once a day a ticker, stored as what was known that day.

Whatever fails here is said in a line, and stops nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import TypeVar

import pandas as pd

from lstmcli import clock
from lstmcli.errors import LstmError, NoDataError, RateLimitError, SourceError
from lstmcli.frames import EARNINGS, EX_DIVIDEND, empty_bars, empty_events
from lstmcli.pipeline.missing_dates import Missing, note_on_missing
from lstmcli.pipeline.notes import is_share
from lstmcli.pipeline.pending_answers import Answer, PendingAnswers
from lstmcli.pipeline.refusals import Refusals
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.update import FetchResult
from lstmcli.sessions import ALWAYS_OPEN
from lstmcli.sources import YahooSource, calendar_for
from lstmcli.sources.announcements import (
    Exchange,
    SecResults,
    Snapshot,
    Stated,
    Statement,
    UnreadableError,
    ahead_and_past,
    announced,
    ask_calendar,
    ask_page,
    ex_dates,
    table_of,
)
from lstmcli.store.asked import Asked
from lstmcli.store.bars import BarsMeta
from lstmcli.trading import has_shares

log = logging.getLogger(__name__)

WEEK = timedelta(days=7)
"""After so long the long page is asked for again, though nothing seems to have changed."""

MONTH = timedelta(days=30)
"""After so long the SEC is asked again about a ticker that it did not know."""

Said = TypeVar("Said")


class Announcements:
    """Asks for the announcement dates of tickers, for a caller that holds the workspace.

    As a context manager it stores what it has learnt at its end, also where an error ends it.

    Attributes:
        asked: tickers that sources were asked about.
        added: statements that were new.
        missing: why dates of a ticker are not known in full, by ticker.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.asked: list[str] = []
        self.added = 0
        self.missing: dict[str, Missing] = {}
        self._cache = session.workspace.cache
        self._today = clock.now().date()  # in UTC, as `known_on` is
        self._kept = Asked(session.workspace.asked)
        self._sec = SecResults.where_allowed(self._cache)
        self._stored: dict[str, dict[str, pd.DataFrame]] = {}
        self._new: list[Statement] = []
        self._none = empty_events()
        self._refusals = Refusals()  # by what was asked for
        self._stopped: Missing | None = None
        self._pending = PendingAnswers(self._cache / "announcements-pending.jsonl")

    def __enter__(self) -> Announcements:
        if left := self._pending.read():  # by a process that was killed
            for answer in left:
                self._kept.keep(answer.ticker, **answer.kept)
                self._new.extend(answer.statements)
            if self._store():
                self._new.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._store()

    def is_due(self, ticker: str, *, since: date | None = None) -> bool:
        """Return whether a ticker that has results was not asked about today.

        Args:
            since: or on this day, or after it.
        """
        asked = self._kept.day(ticker, "asked")
        if self._stopped or (asked is not None and (since or self._today) <= asked <= self._today):
            return False
        meta = meta_of(self.session, ticker)
        return meta is not None and is_from_yahoo(meta) and has_results(ticker, meta)

    def was_asked(self, ticker: str) -> bool:
        """Return whether sources were asked about a ticker today."""
        return self._kept.day(ticker, "asked") == self._today

    def knows(self, ticker: str) -> bool:
        """Return whether the page of a ticker was read before."""
        return self._kept.day(ticker, "page") is not None

    def ask_after_bars(self, result: FetchResult) -> None:
        """Ask about a ticker whose bars have come from Yahoo, if it has results."""
        if result.error is None and self.is_due(result.ticker):
            self.ask(result.ticker)

    def ask(self, ticker: str) -> None:
        """Ask about a ticker once a day, and remember what the answers add."""
        if self._stopped or self.was_asked(ticker):
            return
        unknown_since = self._kept.day(ticker, "unknown")
        if unknown_since is not None and self._today - unknown_since < WEEK:
            return
        self._kept.keep(ticker, asked=self._today)
        self.asked.append(ticker)
        exchange = self._exchange(ticker)
        try:
            announcements, dividends = self._events(EARNINGS), self._events(EX_DIVIDEND)
        except LstmError as error:  # a damaged file
            self.missing[ticker] = self._stopped = Missing.of(ticker, error)
            return
        stored = announcements.get(ticker, self._none)
        before = len(self._new)
        page_was_due = self._ask_yahoo(ticker, exchange, stored, dividends.get(ticker, self._none))
        if self._sec is not None and "." not in ticker:
            self._ask_sec(self._sec, ticker, exchange, stored, due=page_was_due)
        self._pending.add(Answer(ticker, self._kept.of(ticker), self._new[before:]))

    def note(self) -> str | None:
        """Return what to tell of dates that could not be asked for, in a line; else None."""
        known = {each.ticker for each in self._new}
        return note_on_missing(self.missing, {*known, *self._stored.get(EARNINGS, {})})

    def _ask_yahoo(
        self, ticker: str, exchange: Exchange, stored: pd.DataFrame, dividends: pd.DataFrame
    ) -> bool:
        """Ask Yahoo, and return whether its page was due."""
        calendar, is_down = self._answer(
            ticker, "calendar", lambda: ask_calendar(ticker, exchange.zone, cache=self._cache)
        )
        if is_down:
            return False  # and so would the page be
        today = clock.now().astimezone(exchange.zone).date()
        coming = calendar.announcement if calendar else ()
        snapshot = Snapshot("yahoo", pd.Timestamp(self._today), today, next_read=bool(calendar))
        said = _in_words(coming) if calendar else self._kept.words(ticker, "said") or ""
        is_page_due = self._is_page_due(ticker, said, stored, today)
        listed = None
        expected = bool(coming) or len(stored) > 0
        if is_page_due:
            listed, _ = self._answer(
                ticker, "page", lambda: self._page(ticker, exchange, expected=expected)
            )
        if any(each.status == "reported" and each.day > today for each in listed or ()):
            behind = SourceError(f"{ticker}: Yahoo has results after {today}, the clock's day.")
            self.missing.setdefault(ticker, Missing.of(ticker, behind))
            return True
        if calendar is not None:
            self._new.extend(ex_dates(ticker, dividends, calendar.ex_dividend, snapshot, exchange))
        if not is_page_due:
            return False
        if listed is not None:
            nothing = not listed and calendar is not None and not calendar.known
            unknown = self._today if nothing else None
            self._kept.keep(ticker, page=self._today, said=said, unknown=unknown)
        ahead, past = ahead_and_past(listed or (), coming, today)
        if past or ahead:
            self._kept.keep(ticker, found="yes")
        whole = replace(snapshot, past=past, ahead=ahead, all_read=listed is not None)
        self._new.extend(announced(ticker, stored, whole, exchange))
        return True

    def _page(self, ticker: str, exchange: Exchange, *, expected: bool) -> list[Stated]:
        """Return what the page lists; nothing of a ticker without dates anywhere."""
        listed = ask_page(ticker, exchange.zone, cache=self._cache)
        if listed is None and expected:
            raise UnreadableError(f"{ticker}: the page has no table.")
        return listed or []

    def _is_page_due(self, ticker: str, said: str, stored: pd.DataFrame, today: date) -> bool:
        """Return whether the page may say more than it did."""
        asked = self._kept.day(ticker, "page")
        if asked is None or said != self._kept.words(ticker, "said"):
            return True
        if not len(stored) and self._kept.words(ticker, "found"):
            return True  # the file of events is gone
        if self._today - asked >= WEEK:
            return True
        own = stored["source"].to_numpy(object) == "yahoo"
        sessions = pd.DatetimeIndex(stored["session"].to_numpy()[own])
        newest = dict(zip(sessions, stored["status"].to_numpy(object)[own], strict=True))
        return any(
            status in ("expected", "confirmed") and today - WEEK < session.date() <= today
            for session, status in newest.items()
        )

    def _ask_sec(
        self, sec: SecResults, ticker: str, exchange: Exchange, stored: pd.DataFrame, *, due: bool
    ) -> None:
        asked, unknown = self._kept.day(ticker, "sec"), self._kept.day(ticker, "not_of_sec")
        if asked is not None and not due:
            return
        if unknown is not None and self._today - unknown < MONTH:
            return
        try:
            filed, _ = self._answer(ticker, "sec", lambda: sec.ask(ticker, older=asked is None))
        except NoDataError as error:
            self.missing.setdefault(ticker, Missing.of(ticker, error))
            self._kept.keep(ticker, not_of_sec=self._today)
            return
        if filed is None:
            return
        self._kept.keep(ticker, sec=self._today, not_of_sec=None)
        today = clock.now().astimezone(exchange.zone).date()
        _, past = ahead_and_past(filed, (), today)
        snapshot = Snapshot("sec", pd.Timestamp(self._today), today, past=past)
        self._new.extend(announced(ticker, stored, snapshot, exchange))

    def _answer(self, ticker: str, what: str, ask: Callable[[], Said]) -> tuple[Said | None, bool]:
        """Return an answer or None, and whether nobody answers at all."""
        refused = self._refusals.refused(what)
        stopped = self._stopped or (Missing.of(*refused) if refused else None)
        if stopped:
            self.missing.setdefault(ticker, stopped)
            return None, True
        try:
            answer = ask()
        except SourceError as error:
            missing = Missing.of(ticker, error)
            self._refusals.failed(what, ticker, error)
            self.missing.setdefault(ticker, missing)
            if isinstance(error, RateLimitError):
                self._stopped = missing
            return None, not isinstance(error, UnreadableError)
        except NoDataError:
            raise
        except LstmError as error:  # yfinance cannot write its cache
            self.missing[ticker] = self._stopped = Missing.of(ticker, error)
            return None, True
        self._refusals.answered(what)
        return answer, False

    def _exchange(self, ticker: str) -> Exchange:
        try:
            bars, meta = self.session.bars(ticker)
        except LstmError:
            return Exchange(calendar_for(ticker), pd.DatetimeIndex(empty_bars().index))
        return Exchange(meta.calendar, pd.DatetimeIndex(bars.index))

    def _events(self, kind: str) -> dict[str, pd.DataFrame]:
        """Return the stored statements of a kind, by ticker."""
        if kind not in self._stored:
            store = self.session.workspace.events
            events = store.read(kind) if kind in store.kinds() else self._none
            self._stored[kind] = {str(ticker): rows for ticker, rows in events.groupby("ticker")}
        return self._stored[kind]

    def _store(self) -> bool:
        """Store what was learnt, and return whether that was done; else it stays pending."""
        try:
            if self._new:
                self.added += self.session.add_events(table_of(self._new))
            if self.asked or self._new:
                self._kept.write()
            self._pending.clear()
        except LstmError as error:
            self.missing.update({ticker: Missing.of(ticker, error) for ticker in self.asked})
            return False
        return True


def has_results(ticker: str, meta: BarsMeta | None) -> bool:
    """Return whether a company with results stands behind a ticker, as far as is known."""
    if meta is None:
        return has_shares(ticker) and calendar_for(ticker) != ALWAYS_OPEN
    return is_share(meta, ticker) and meta.calendar != ALWAYS_OPEN


def meta_of(session: Session, ticker: str) -> BarsMeta | None:
    """Return the metadata of a ticker's bars; None where none can be read."""
    try:
        return session.bars(ticker)[1]
    except LstmError:
        return None


def is_from_yahoo(meta: BarsMeta) -> bool:
    """Return whether bars came from Yahoo."""
    return meta.source.get("name") == YahooSource().name


def _in_words(coming: Sequence[Stated]) -> str:
    return " ".join(f"{each.day} {each.status}" for each in coming)
