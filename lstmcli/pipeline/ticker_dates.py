"""The dates of each ticker that are known now: announcements and the next ex-date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache

import pandas as pd

from lstmcli import clock
from lstmcli.errors import LstmError
from lstmcli.features.announcements import Announcement, announcements_at, day_of
from lstmcli.features.events import WITHDRAWN
from lstmcli.frames import EARNINGS, EX_DIVIDEND, empty_events
from lstmcli.pipeline.session import Session
from lstmcli.sessions import WEEKDAYS, settled_session
from lstmcli.sources.exchanges import calendar_for
from lstmcli.store.asked import Asked

RECENT = timedelta(days=500)
"""Before the last session: a company reports at least once a year."""


@dataclass(frozen=True)
class KnownAnnouncement:
    """An announcement, and the day on which it comes.

    Attributes:
        day: the session itself, or of what comes after the close the session before it.
    """

    day: date
    known: Announcement


@dataclass(frozen=True)
class ExDate:
    """The next ex-date of a ticker; `amount` is NaN where it is not known."""

    session: pd.Timestamp
    amount: float
    known_on: pd.Timestamp
    source: str


@dataclass(frozen=True)
class TickerDates:
    """What is known now of a ticker.

    Attributes:
        next: the announcement that moves a session to come; None where none is known.
        last: the newest one that was reported.
        ex_date: the next one.
        asked_on: the day on which a source was asked last; None where that is not known.
    """

    ticker: str
    next: KnownAnnouncement | None
    last: KnownAnnouncement | None
    ex_date: ExDate | None
    asked_on: date | None


def ticker_dates(session: Session, tickers: Sequence[str] = ()) -> list[TickerDates]:
    """Return what is known now of each ticker with such events, or stored and asked about.

    Args:
        tickers: these alone; empty means all.

    Raises:
        DataError: a file of events is damaged.
    """
    store, asked = session.workspace.events, Asked(session.workspace.asked)
    tables = {
        kind: store.read(kind) if kind in store.kinds() else empty_events()
        for kind in (EARNINGS, EX_DIVIDEND)
    }
    stated = {str(ticker) for events in tables.values() for ticker in events["ticker"]}
    there = {*asked.tickers()} & {*session.workspace.bars.tickers(), *tickers}
    wanted = sorted(stated | there)
    groups = {
        kind: {str(ticker): rows for ticker, rows in events.groupby("ticker")}
        for kind, events in tables.items()
    }
    none, moment = empty_events(), clock.now()
    return [
        _known(
            session,
            ticker,
            groups[EARNINGS].get(ticker, none),
            groups[EX_DIVIDEND].get(ticker, none),
            asked.day(ticker, "asked"),
            moment,
        )
        for ticker in wanted
        if not tickers or ticker in tickers
    ]


def _known(
    session: Session,
    ticker: str,
    announcements: pd.DataFrame,
    dividends: pd.DataFrame,
    asked_on: date | None,
    moment: datetime,
) -> TickerDates:
    calendar, observed = _sessions_of(session, ticker)
    today = pd.Timestamp(moment).tz_localize(None).normalize()
    last = (
        settled_session(calendar, moment, observed=observed)
        if len(observed)
        else _last_session(calendar, moment)
    )

    def on_its_day(found: Announcement | None) -> KnownAnnouncement | None:
        if found is None:
            return None
        day = day_of(found.session, found.timing, calendar, observed)
        return KnownAnnouncement(day.date(), found)

    recent = announcements[announcements["session"] > last - RECENT]
    found = announcements_at(recent, today)
    coming = next((each for each in found if each.session > last), None)
    done = [each for each in found if each.status == "reported" and each.session <= last]
    return TickerDates(
        ticker,
        on_its_day(coming),
        on_its_day(done[-1] if done else None),
        _next_ex_date(dividends, last, today),
        asked_on,
    )


@cache
def _last_session(calendar: str, moment: datetime) -> pd.Timestamp:
    return settled_session(calendar, moment, observed=pd.DatetimeIndex([]))


def _sessions_of(session: Session, ticker: str) -> tuple[str, pd.DatetimeIndex]:
    """Return the calendar of a ticker and, where that has no sessions of its own, those seen."""
    none = pd.DatetimeIndex([])
    meta = session.workspace.bars.sidecar(ticker)
    if meta is None or meta.calendar != WEEKDAYS:
        return meta.calendar if meta else calendar_for(ticker), none
    try:
        return meta.calendar, pd.DatetimeIndex(session.bars(ticker)[0].index)
    except LstmError:
        return meta.calendar, none


def _next_ex_date(events: pd.DataFrame, last: pd.Timestamp, today: pd.Timestamp) -> ExDate | None:
    """Return the first ex-date after a session; of several statements one with an amount."""
    said = events[(events["known_on"] <= today) & (events["session"] > last)]
    newest = said.sort_values("known_on", kind="stable")
    held = newest.drop_duplicates(["source", "session"], keep="last")
    held = held[held["status"] != WITHDRAWN]
    if not len(held):
        return None
    first = held[held["session"] == held["session"].min()]
    row = first.sort_values("amount", na_position="first", kind="stable").iloc[-1]
    return ExDate(row["session"], float(row["amount"]), row["known_on"], row["source"])
