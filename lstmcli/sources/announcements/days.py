"""From a day and a time to the session whose prices react first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd

from lstmcli.features.announcements import SAME_REPORT
from lstmcli.frames import ASSUMED_AHEAD
from lstmcli.sessions import sessions_between, time_zone, trading_time

TWICE = 14
"""Days between two dates of one source that name one announcement."""

LONGEST_CLOSURE = 21
"""Days in which every exchange has a session."""


@dataclass(frozen=True)
class Stated:
    """A date of an announcement, as a source states it.

    Attributes:
        day: at the exchange, or as the source writes it where the exchange is not known.
        at: the moment; None where the source states no time.
        status: expected, confirmed or reported.
    """

    day: date
    at: datetime | None
    status: str


@dataclass(frozen=True)
class Exchange:
    """Where a ticker trades: the name of a calendar, and the sessions that it has had."""

    calendar: str
    observed: pd.DatetimeIndex

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(time_zone(self.calendar))

    def sessions(self, first: date, last: date) -> pd.DatetimeIndex:
        """Return the sessions from one day to another."""
        span = pd.Timestamp(first), pd.Timestamp(last)
        return sessions_between(self.calendar, *span, observed=self.observed)


def stated_at(moment: datetime, zone: ZoneInfo, status: str) -> Stated:
    """Return a date with a time; at midnight, in UTC or at the exchange, it has none."""
    local = moment.astimezone(zone)
    for clock in (moment, local):
        if (clock.hour, clock.minute, clock.second) == (0, 0, 0):
            return Stated(clock.date(), None, status)
    return Stated(local.date(), moment, status)


def reaction(stated: Stated, exchange: Exchange) -> tuple[pd.Timestamp, str]:
    """Return the session whose prices react first, and the timing, as in an Events table.

    What is announced on a day without a session comes before the next one.
    """
    days = exchange.sessions(stated.day, stated.day + timedelta(days=LONGEST_CLOSURE))
    first, following = days[0], days[1]
    if first.date() != stated.day:
        return first, "before"
    hours = trading_time(exchange.calendar, first)
    if stated.at is None or hours is None:
        return first, "unknown"
    opens, closes = hours
    if stated.at < opens:
        return first, "before"
    return (first, "during") if stated.at < closes else (following, "after")


def known_ahead(session: pd.Timestamp, exchange: Exchange) -> pd.Timestamp:
    """Return the session on which a past announcement is taken as known."""
    before = exchange.sessions(
        session.date() - timedelta(days=3 * ASSUMED_AHEAD + 14), session.date()
    )
    return before[max(len(before) - 1 - ASSUMED_AHEAD, 0)]


def ahead_and_past(
    listed: Sequence[Stated], coming: Sequence[Stated], today: date
) -> tuple[list[Stated], list[Stated]]:
    """Return the announcements ahead and those that were reported, one date for each.

    Args:
        listed: dates of a list, those ahead and those that were reported.
        coming: the next one, as another answer states it: a date, or both ends of a range.
        today: the day at the exchange.
    """
    reported = _apart([each for each in listed if _is_past(each, today)])
    ahead = [each for each in listed if each.status != "reported" and each.day >= today]
    left = [each for each in coming if each.day >= today]
    if left:
        first, last = left[0], left[-1]
        inside = [each for each in ahead if first.day <= each.day <= last.day]
        following = inside[0] if inside else first
        upcoming = replace(following, at=following.at or first.at, status=first.status)
        later = upcoming.day + timedelta(days=SAME_REPORT)
        ahead = [upcoming, *(each for each in ahead if each.day > later)]
    done = [each.day for each in reported]
    return [each for each in _apart(ahead) if not _is_near(each.day, done)], reported


def _is_past(stated: Stated, today: date) -> bool:
    return stated.status == "reported" and stated.day <= today


def _apart(dates: Sequence[Stated]) -> list[Stated]:
    """Return dates by day; of those that name one announcement the first."""
    kept: list[Stated] = []
    for stated in sorted(dates, key=lambda each: each.day):
        if not kept or (stated.day - kept[-1].day).days > TWICE:
            kept.append(stated)
    return kept


def _is_near(day: date, others: Sequence[date]) -> bool:
    return any(abs((day - other).days) <= TWICE for other in others)
