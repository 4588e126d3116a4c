"""Announcements of results: which were known, and when.

Statements about one announcement may come from several sources, and a date may move or be
taken back before it is reached. All that is said here holds for a day, and reads nothing that
became known later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.features.events import WITHDRAWN
from lstmcli.frames import ASSUMED, EARNINGS_SOURCES
from lstmcli.sessions import sessions_between

FOREVER = np.datetime64("9999-01-01", "D")
"""The end of a span that has none."""

CLOSURE = pd.Timedelta(21, "D")
"""Days in which every exchange has a session."""

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
    columns = ["session", "timing", "status", "source", "known_on"]
    said = events[columns].reset_index(drop=True)
    rank = said["source"].map(_rank).to_numpy(int)
    order = np.lexsort([np.arange(len(said)), said["known_on"], said["session"], rank])
    said, rank = said.iloc[order].reset_index(drop=True), rank[order]
    session = said["session"].to_numpy("datetime64[D]")
    since = said["known_on"].to_numpy("datetime64[D]")
    same = np.zeros(len(said), bool)  # as the statement before it: about the same announcement
    same[1:] = (rank[1:] == rank[:-1]) & (session[1:] == session[:-1])
    until = np.full(len(said), FOREVER)
    until[:-1][same[1:]] = since[1:][same[1:]]
    withdrawn = (said["status"] == WITHDRAWN).to_numpy()
    again = ~same  # what was taken back, and is said anew, is known since then
    again[1:] |= withdrawn[:-1]
    said["known_on"] = since[np.maximum.accumulate(np.where(again, np.arange(len(said)), -1))]
    held = ~withdrawn & (since < until)
    said = said.assign(since=since, until=until)[held]
    return _first_source_alone(said, rank[held])


def _rank(source: str) -> int:
    known = EARNINGS_SOURCES
    return known.index(source) if source in known else len(known)


def _first_source_alone(spans: pd.DataFrame, rank: np.ndarray) -> pd.DataFrame:
    """Return spans less the days on which a source that stands before names the same one."""
    if len(np.unique(rank)) < 2:
        return spans.reset_index(drop=True)
    session = spans["session"].to_numpy("datetime64[D]")
    apart = np.abs((session[:, None] - session).astype(int))
    hides = (apart <= SAME_REPORT) & (rank < rank[:, None])  # (E, E): the second the first
    since, until = (
        spans["since"].to_numpy("datetime64[D]"),
        spans["until"].to_numpy("datetime64[D]"),
    )
    rows, begins, ends = [], [], []
    for row in range(len(spans)):
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
    found = spans.iloc[rows].reset_index(drop=True)
    return found.assign(
        since=np.array(begins, "datetime64[D]"), until=np.array(ends, "datetime64[D]")
    )


def announcements_at(events: pd.DataFrame, day: pd.Timestamp) -> list[Announcement]:
    """Return the announcements known at the close of a day, past ones too, by session.

    Args:
        events: statements about the announcements of one ticker.

    Example:
        >>> announcements_at(view.events("earnings"), pd.Timestamp("2024-04-19"))[-1].session
        Timestamp('2024-04-25 00:00:00')
    """
    spans = known_spans(events)
    at = np.datetime64(day, "D")
    spans = spans[(spans["since"].to_numpy() <= at) & (at < spans["until"].to_numpy())]
    return [
        Announcement(row.session, row.timing, row.status, row.source, row.known_on)
        for row in spans.sort_values("session", kind="stable").itertuples()
    ]


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
