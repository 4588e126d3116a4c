"""What an evening's answer adds to the statements that are stored.

A source is asked again and again. What it says for the first time, or in another way, is a
statement of that evening. What it does not repeat is taken back, but only where its answer
could be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from lstmcli.features.announcements import SAME_REPORT
from lstmcli.features.events import WITHDRAWN
from lstmcli.frames import ASSUMED, EARNINGS, EVENT_COLUMNS, EX_DIVIDEND
from lstmcli.sources.announcements.days import (
    LONGEST_CLOSURE,
    TWICE,
    Exchange,
    Stated,
    known_ahead,
    reaction,
)

REPORTED = "reported"


@dataclass(frozen=True)
class Snapshot:
    """What a source said of a ticker's announcements on a day.

    Attributes:
        source: yahoo or sec.
        on: the day on which it was asked.
        today: the day at the exchange.
        past: those that were reported.
        ahead: those that are to come.
        next_read: whether it said what comes next, or that nothing does.
        all_read: whether it listed what comes after that, too.
    """

    source: str
    on: pd.Timestamp
    today: date
    past: Sequence[Stated] = ()
    ahead: Sequence[Stated] = ()
    next_read: bool = False
    all_read: bool = False


@dataclass(frozen=True)
class Statement:
    """A statement of a source about an event of a ticker, as a row of an Events table."""

    ticker: str
    kind: str
    session: pd.Timestamp
    timing: str
    status: str
    known_on: pd.Timestamp
    source: str


def table_of(statements: Sequence[Statement]) -> pd.DataFrame:
    """Return statements as an Events table; none has an amount."""
    table = pd.DataFrame([vars(each) for each in statements])
    table = table.assign(amount=np.nan)[list(EVENT_COLUMNS)]
    dates = {name: table[name].astype("datetime64[ns]") for name in ("session", "known_on")}
    return table.assign(**dates)


def announced(
    ticker: str, stored: pd.DataFrame, snapshot: Snapshot, exchange: Exchange
) -> list[Statement]:
    """Return the statements about announcements that a snapshot adds.

    Past dates of the first snapshot get a source that says that their `known_on` is assumed.
    Later ones were known when they were found. The newest is also stated as found that day,
    so that the statements tell when the first snapshot was.

    Args:
        stored: all statements about the announcements of the ticker.
    """
    held = _held(stored, snapshot.source)
    rows = list(_of_past(stored, held, snapshot, exchange))
    done = {session for session, _, status, *_ in rows if status != WITHDRAWN}
    rows += _of_ahead({**held, **dict.fromkeys(done, REPORTED)}, snapshot, exchange)
    return [Statement(ticker, EARNINGS, *row) for row in rows]


Row = tuple[pd.Timestamp, str, str, pd.Timestamp, str]
"""session, timing, status, known_on, source."""


def _of_past(
    stored: pd.DataFrame, held: dict[pd.Timestamp, str], snapshot: Snapshot, exchange: Exchange
) -> Iterator[Row]:
    source, on = snapshot.source, snapshot.on
    own = stored[stored["source"] == source]
    first = own["known_on"].min() if len(own) else on
    assumed = set(stored.loc[stored["source"] == source + ASSUMED, "session"])
    for number, stated in enumerate(snapshot.past, 1):
        session, timing = reaction(stated, exchange)
        near = {other: status for other, status in held.items() if _days(other, session) <= TWICE}
        if REPORTED in near.values():
            continue
        for moved in near.keys() - {session}:
            yield moved, "unknown", WITHDRAWN, on, source
        newest = number == len(snapshot.past)
        if session <= first and not near:
            if not any(_days(other, session) <= TWICE for other in assumed):
                ahead = known_ahead(session, exchange)
                yield session, timing, REPORTED, ahead, source + ASSUMED
            if len(own) or not newest:
                continue
        yield session, timing, REPORTED, on, source


def _of_ahead(
    held: dict[pd.Timestamp, str], snapshot: Snapshot, exchange: Exchange
) -> Iterator[Row]:
    source, on = snapshot.source, snapshot.on
    said = {}
    for stated in snapshot.ahead:
        session, timing = reaction(stated, exchange)
        if stated.at is None:
            session, timing = _with_known_time(held, stated, session, timing, exchange)
        said[session] = f"{stated.status} {timing}"
    nearest = min(said, default=None)
    soon = exchange.sessions(snapshot.today, snapshot.today + timedelta(days=LONGEST_CLOSURE))[1]
    for session, status in held.items():
        if session in said or status == REPORTED or session.date() < snapshot.today:
            continue
        # What is reported tonight is no longer the next one: it has not been taken back.
        apart = TWICE if session <= soon else SAME_REPORT
        same = nearest is not None and (
            _days(session, nearest) <= apart or soon < session < nearest
        )
        if snapshot.next_read and (snapshot.all_read or same):
            yield session, "unknown", WITHDRAWN, on, source
    for session, words in said.items():
        if held.get(session) not in (words, REPORTED):
            status, _, timing = words.partition(" ")
            yield session, timing, status, on, source


def _with_known_time(
    held: dict[pd.Timestamp, str],
    stated: Stated,
    session: pd.Timestamp,
    timing: str,
    exchange: Exchange,
) -> tuple[pd.Timestamp, str]:
    """Return the session and the timing of a date without a time, where it was known before."""
    last = stated.day + timedelta(days=LONGEST_CLOSURE)
    for other in exchange.sessions(stated.day, last)[:2]:
        known = held.get(other, "").partition(" ")[2]
        if (other == session and known) or (other != session and known == "after"):
            return other, known
    return session, timing


def ex_dates(
    ticker: str, stored: pd.DataFrame, ex_date: date | None, snapshot: Snapshot, exchange: Exchange
) -> list[Statement]:
    """Return the statements about ex-dates ahead that a snapshot adds; their amount is unknown.

    Args:
        stored: all statements about the dividends of the ticker.
        ex_date: the newest one; it may be past.
    """
    held = _held(stored, snapshot.source)
    said = None
    if ex_date is not None and ex_date >= snapshot.today:
        said, _ = reaction(Stated(ex_date, None, "confirmed"), exchange)
    rows = [
        (session, "before", WITHDRAWN, snapshot.on, snapshot.source)
        for session in held
        if session != said and session.date() > snapshot.today
    ]
    if said is not None and said not in held:
        rows.append((said, "before", "confirmed", snapshot.on, snapshot.source))
    return [Statement(ticker, EX_DIVIDEND, *row) for row in rows]


def _held(stored: pd.DataFrame, source: str) -> dict[pd.Timestamp, str]:
    """Return what a source holds by session: `reported`, or status and timing in a word each."""
    own = np.flatnonzero(stored["source"].to_numpy(object) == source)
    own = own[np.argsort(stored["known_on"].to_numpy()[own], kind="stable")]
    sessions = pd.DatetimeIndex(stored["session"].to_numpy()[own])
    words = (stored[name].to_numpy(object)[own] for name in ("status", "timing"))
    newest = {session: said for session, *said in zip(sessions, *words, strict=True)}
    return {
        session: REPORTED if status == REPORTED else f"{status} {timing}"
        for session, (status, timing) in newest.items()
        if status != WITHDRAWN
    }


def _days(one: pd.Timestamp, other: pd.Timestamp) -> int:
    return abs((one - other).days)
