"""Announcements of results: which were known, and when.

Statements about one announcement may come from several sources, and a date may move or be
taken back before it is reached. All that is said here holds for a day, and reads nothing that
became known later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from lstmcli.features.events import WITHDRAWN
from lstmcli.frames import ASSUMED, EARNINGS_SOURCES
from lstmcli.sessions import sessions_between

FOREVER = np.datetime64("9999-01-01", "D")
"""The end of a span that has none."""

CLOSURE = pd.Timedelta(21, "D")
"""Days in which every exchange has a session."""

_WORDS = ("timing", "status", "source")

SAME_REPORT = 30
"""Days between two dates that name one announcement, where they are from different sources."""


@dataclass(frozen=True)
class Announcement:
    """An announcement of results, as it was known on a day.

    Attributes:
        session: the one whose prices react first.
        timing, status, source: as in an Events table.
        known_on: since when this source has said so.
    """

    session: pd.Timestamp
    timing: str
    status: str
    source: str
    known_on: pd.Timestamp

    @property
    def assumed(self) -> bool:
        """Whether it is a past date that is taken as known some sessions ahead."""
        return self.source.endswith(ASSUMED)


def known_spans(events: pd.DataFrame) -> pd.DataFrame:
    """Return which announcements were known on which days, one row per span.

    Of two sources that name one announcement, within `SAME_REPORT` days, the one that stands
    first in `EARNINGS_SOURCES` counts while both speak.

    Args:
        events: statements about the announcements of one ticker; see `lstmcli.frames`.

    Returns:
        `session`, `timing`, `status`, `source`; `since` and `until`, days: it was known at the
        close of days from the first to the one before the second; `known_on`, since when the
        source has said so without taking it back.
    """
    spans = _spans(events)
    table = events[["session", "timing", "status", "source"]].iloc[spans.row]
    return table.reset_index(drop=True).assign(
        since=spans.since, until=spans.until, known_on=spans.known_on
    )


class _Spans(NamedTuple):
    """Spans of `known_spans` as arrays (E,); `row` says of which statement each one is."""

    row: np.ndarray
    since: np.ndarray
    until: np.ndarray
    known_on: np.ndarray


def _spans(events: pd.DataFrame) -> _Spans:
    # Arrays, not tables: a universe asks for thousands of tickers with a few statements each.
    rank = np.array([_rank(source) for source in events["source"].to_numpy(object)], int)
    known_on, session = events["known_on"].to_numpy(), events["session"].to_numpy()
    order = np.lexsort([known_on, session, rank])
    rank, session = rank[order], session[order].astype("datetime64[D]")
    since = known_on[order].astype("datetime64[D]")
    same = np.zeros(len(order), bool)  # as the statement before it: about the same announcement
    same[1:] = (rank[1:] == rank[:-1]) & (session[1:] == session[:-1])
    until = np.full(len(order), FOREVER)
    until[:-1][same[1:]] = since[1:][same[1:]]
    withdrawn = events["status"].to_numpy(object)[order] == WITHDRAWN
    again = ~same  # what was taken back, and is said anew, is known since then
    again[1:] |= withdrawn[:-1]
    first = since[np.maximum.accumulate(np.where(again, np.arange(len(order)), -1))]
    held = np.flatnonzero(~withdrawn & (since < until))
    spans = _Spans(order[held], since[held], until[held], first[held])
    return _first_source_alone(spans, rank[held], session[held])


def _rank(source: str) -> int:
    known = EARNINGS_SOURCES
    return known.index(source) if source in known else len(known)


def _first_source_alone(spans: _Spans, rank: np.ndarray, session: np.ndarray) -> _Spans:
    """Return spans less the days on which a source that stands before names the same one."""
    if len(np.unique(rank)) < 2:
        return spans
    apart = np.abs((session[:, None] - session).astype(int))
    hides = (apart <= SAME_REPORT) & (rank < rank[:, None])  # (E, E): the second the first
    since, until = spans.since, spans.until
    rows, begins, ends = [], [], []
    for row in range(len(since)):
        left = [(since[row], until[row])]
        for other in np.flatnonzero(hides[row]):
            left = [
                part
                for begin, end in left
                for part in ((begin, min(end, since[other])), (max(begin, until[other]), end))
                if part[0] < part[1]
            ]
        for begin, end in left:
            rows.append(row)
            begins.append(begin)
            ends.append(end)
    begin, end = (np.array(days, "datetime64[D]") for days in (begins, ends))
    return _Spans(spans.row[rows], begin, end, spans.known_on[rows])


def announcements_at(events: pd.DataFrame, day: pd.Timestamp) -> list[Announcement]:
    """Return the announcements known at the close of a day, past ones too, by session.

    Args:
        events: statements about the announcements of one ticker.

    Example:
        >>> announcements_at(view.events("earnings"), pd.Timestamp("2024-04-19"))[-1].session
        Timestamp('2024-04-25 00:00:00')
    """
    spans, at = _spans(events), np.datetime64(day, "D")
    held = np.flatnonzero((spans.since <= at) & (at < spans.until))
    session = events["session"].to_numpy()[spans.row]
    held = held[np.argsort(session[held], kind="stable")]
    words = [events[name].to_numpy(object)[spans.row[held]] for name in _WORDS]
    sessions, known_on = (
        pd.DatetimeIndex(days[held].astype("datetime64[ns]")) for days in (session, spans.known_on)
    )
    return [Announcement(*each) for each in zip(sessions, *words, known_on, strict=True)]


def next_announcement(
    events: pd.DataFrame, after: pd.Timestamp, *, known: pd.Timestamp | None = None
) -> Announcement | None:
    """Return the first announcement that moves a session after a day; None if none is known.

    Args:
        events: statements about the announcements of one ticker.
        known: the day on which it has to be known; None: `after`.
    """
    found = announcements_at(events, after if known is None else known)
    return next((each for each in found if each.session > after), None)


def day_of(
    session: pd.Timestamp, timing: str, calendar: str, observed: pd.DatetimeIndex
) -> pd.Timestamp:
    """Return the day of an announcement, from the session whose prices react first.

    What comes after the close moves the session after it.

    Args:
        calendar, observed: of the ticker; see `sessions_between`.
    """
    if timing != "after":
        return session
    yesterday = session - pd.Timedelta(1, "D")
    before = sessions_between(calendar, session - CLOSURE, yesterday, observed=observed)
    return before[-1] if len(before) else session
