"""Trading days of an exchange, and when they open and close.

A calendar is a name: one of exchange_calendars (`XNYS`), `24/7`, or `weekdays`.
Sessions are timezone-naive dates at midnight. `weekdays` takes its sessions from
the bars that a ticker has (`observed`), and goes on with the same days of the week.
It also stands in for a calendar that cannot be built, and for the years that a
calendar does not cover. A warning says so, once.
"""

from __future__ import annotations

import difflib
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np
import pandas as pd

from lstmcli.errors import ConfigError
from lstmcli.trading_hours import TradingHours, trading_hours, warn_once

WEEKDAYS = "weekdays"
ALWAYS_OPEN = "24/7"

SETTLE_MARGIN = timedelta(minutes=30)
"""After the regular close: free quotes lag 15 to 20 minutes, auctions run up to 10."""

HABIT = 60
"""Sessions, twelve weeks, that show on which days of the week a ticker trades."""

_LOOK_BACK = 14
"""Days among which the last settled session is looked for first."""

MIN_ON_A_WEEKDAY = 3
"""A day of the week with fewer of these sessions was an exception."""


def check_calendar(name: str) -> None:
    """Check that a calendar of this name exists.

    Raises:
        ConfigError: it does not; the hint holds the nearest name.
    """
    from exchange_calendars import get_calendar_names

    names = [WEEKDAYS, *get_calendar_names()]
    if name in names:
        return
    near = difflib.get_close_matches(name.upper(), names, n=1) or ["XNYS"]
    raise ConfigError(
        f"Expected the name of an exchange calendar, or {WEEKDAYS}. Received: {name!r}.",
        hint=f"did you mean --calendar {near[0]}?",
    )


def sessions_between(
    calendar: str, first: pd.Timestamp, last: pd.Timestamp, *, observed: pd.DatetimeIndex
) -> pd.DatetimeIndex:
    """Return the sessions from `first` to `last`, both included.

    Without an exchange calendar, the sessions inside the observed span are the
    observed ones: a holiday that no calendar knows is no hole.
    """
    first, last = pd.Timestamp(first).normalize(), pd.Timestamp(last).normalize()
    if first > last:
        return pd.DatetimeIndex([])
    hours = _trading_hours(calendar, first, last)
    if hours is None:
        return _observed_or_weekdays(first, last, observed).as_unit("ns")
    inside = hours.closes.index
    parts = [pd.DatetimeIndex(inside[(inside >= first) & (inside <= last)])]
    if first < hours.first:
        before = min(last, hours.first - timedelta(days=1))
        parts.insert(0, _observed_or_weekdays(first, before, observed))
    if last > hours.last:
        warn_once(
            f"the calendar {calendar} ends on {hours.last:%Y-%m-%d}: "
            "later sessions are weekdays, without holidays"
        )
        after = max(first, hours.last + timedelta(days=1))
        parts.append(_observed_or_weekdays(after, last, observed))
    return parts[0].append(parts[1:]).as_unit("ns")


def next_sessions(
    calendar: str, after: pd.Timestamp, count: int, *, observed: pd.DatetimeIndex
) -> pd.DatetimeIndex:
    """Return the first `count` sessions strictly after `after`.

    Observed sessions after `after` do not count: dates must not depend on later bars.
    """
    after = pd.Timestamp(after).normalize()
    known = observed[observed <= after]
    days = 2 * count + 14  # the longest closures, such as Lunar New Year, last about ten days
    while True:
        found = sessions_between(
            calendar, after + timedelta(days=1), after + timedelta(days=days), observed=known
        )
        if len(found) >= count:
            return found[:count]
        days *= 2


def sessions_after(
    calendar: str, origins: pd.DatetimeIndex, count: int, *, observed: pd.DatetimeIndex
) -> np.ndarray:
    """Return the `count` sessions after each origin, (N, count) datetime64; origins ascend.

    The same as `next_sessions` of each origin, but in one look-up.
    """
    if not len(origins):
        return np.empty((0, count), "datetime64[ns]")
    last = next_sessions(calendar, origins[-1], count, observed=observed)
    hours = _trading_hours(calendar, origins[0], last[-1])
    if hours is None:
        return _weekdays_after(origins, count, observed)
    if origins[0] < hours.first or last[-1] > hours.last:
        rows = [next_sessions(calendar, at, count, observed=observed) for at in origins]
        return np.array([days.to_numpy() for days in rows], "datetime64[ns]")
    days = sessions_between(calendar, origins[0], last[-1], observed=observed)
    first = days.searchsorted(origins, side="right")
    return days.to_numpy("datetime64[ns]")[first[:, None] + np.arange(count)]


def settled_session(calendar: str, moment: datetime, *, observed: pd.DatetimeIndex) -> pd.Timestamp:
    """Return the last session whose regular close plus margin has passed.

    Without an exchange calendar a session settles after its day has ended in UTC:
    by then every exchange that opened on that date has closed.
    """
    # Exchanges close at whole minutes: within a minute nothing settles.
    known = settled_by_calendar(calendar, moment.replace(second=0, microsecond=0))
    return _settled(calendar, moment, observed) if known is None else known


@lru_cache(maxsize=256)
def settled_by_calendar(calendar: str, moment: datetime) -> pd.Timestamp | None:
    """Return `settled_session` where it depends on no bars, which an exchange calendar tells.

    A universe asks for it once per calendar, and not once per ticker.
    """
    today = pd.Timestamp(moment).tz_convert("UTC").tz_localize(None).normalize()
    first, last = today - timedelta(days=_LOOK_BACK), today + timedelta(days=1)
    hours = _trading_hours(calendar, first, last)
    if hours is None or first < hours.first or last > hours.last:
        return None
    found = _settled(calendar, moment, pd.DatetimeIndex([]))
    return found if found >= first else None


def _settled(calendar: str, moment: datetime, observed: pd.DatetimeIndex) -> pd.Timestamp:
    now = pd.Timestamp(moment).tz_convert("UTC")
    today = now.tz_localize(None).normalize()
    days = _LOOK_BACK
    while True:
        # One day more: east of UTC the next session may have closed already.
        first, last = today - timedelta(days=days), today + timedelta(days=1)
        sessions = sessions_between(calendar, first, last, observed=observed)
        closes = _closes(calendar, sessions)
        settled = sessions[closes + SETTLE_MARGIN <= now]
        if len(settled):
            return settled[-1]
        days *= 2


def sessions_behind(
    calendar: str, last_bar: pd.Timestamp, moment: datetime, *, observed: pd.DatetimeIndex
) -> int:
    """Return how many settled sessions have passed since the last bar."""
    settled = settled_session(calendar, moment, observed=observed)
    first = pd.Timestamp(last_bar).normalize() + timedelta(days=1)
    return len(sessions_between(calendar, first, settled, observed=observed))


def opening_times(calendar: str, sessions: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Return when each session opens, UTC.

    Without an exchange calendar a session opens when its day begins in UTC. Most open
    later, so that a forecast made before this time was made before the session.
    """
    return _times(calendar, sessions, "opens", otherwise=sessions.tz_localize("UTC"))


def trading_time(calendar: str, session: pd.Timestamp) -> tuple[datetime, datetime] | None:
    """Return when a session opens and closes, UTC; None where no exchange calendar knows it."""
    hours = _trading_hours(calendar, session, session)
    if hours is None or session not in hours.opens.index:
        return None
    return hours.opens.loc[session].to_pydatetime(), hours.closes.loc[session].to_pydatetime()


def _closes(calendar: str, sessions: pd.DatetimeIndex) -> pd.DatetimeIndex:
    ends_of_days = sessions.tz_localize("UTC") + timedelta(days=1)
    return _times(calendar, sessions, "closes", otherwise=ends_of_days)


def _times(
    calendar: str, sessions: pd.DatetimeIndex, what: str, *, otherwise: pd.DatetimeIndex
) -> pd.DatetimeIndex:
    hours = _trading_hours(calendar, sessions.min(), sessions.max()) if len(sessions) else None
    if hours is None:
        return otherwise
    exact = getattr(hours, what).reindex(sessions)
    return pd.DatetimeIndex(exact.where(exact.notna(), otherwise.to_series(sessions)))


def closing_times(calendar: str, first: pd.Timestamp, last: pd.Timestamp) -> pd.DatetimeIndex:
    """Return the closes between two moments, UTC."""
    days = (first - timedelta(days=2)).tz_localize(None).normalize(), last.tz_localize(None)
    sessions = sessions_between(calendar, *days, observed=pd.DatetimeIndex([]))
    closes = _closes(calendar, sessions)
    return closes[(closes >= first) & (closes <= last)]


def last_closed(
    calendar: str,
    sessions: pd.DatetimeIndex,
    other: str,
    other_sessions: pd.DatetimeIndex,
) -> np.ndarray:
    """Return which session of another series had closed by each close, (T,) int.

    Row t holds the position in `other_sessions` of its last session that closes
    no later than `sessions[t]` does; −1 where none does. `calendar` and `other`
    are the calendars of the two series, whose sessions ascend. Closing times are
    compared in UTC, so that London's session of a day sees New York's of the day before.
    """
    closes = _closes(calendar, sessions).as_unit("ns").asi8
    others = _closes(other, other_sessions).as_unit("ns").asi8
    return np.searchsorted(others, closes, side="right") - 1


def expected_sessions(
    calendar: str,
    sessions: pd.DatetimeIndex,
    other: str,
    observed: pd.DatetimeIndex,
) -> np.ndarray:
    """Return which session of calendar `other` is due at each close, (T,) datetime64[ns].

    The session that `last_closed` would find if the other series had every session
    of its calendar: an older one means that the series has a hole or is stale.
    `observed` are the sessions that it has; they count where no exchange calendar reaches.
    """
    if sessions.empty:
        return np.empty(0, "datetime64[ns]")
    days = 14
    while True:
        first = sessions[0] - timedelta(days=days)
        # One day more: east of UTC the next session may have closed already.
        last = sessions[-1] + timedelta(days=1)
        due = sessions_between(other, first, last, observed=observed)
        found = last_closed(calendar, sessions, other, due)
        if found[0] >= 0:
            return due.to_numpy()[found]
        days *= 2


def time_zone(calendar: str) -> str:
    """Return the name of the exchange's time zone; UTC without an exchange calendar."""
    day = pd.Timestamp(2020, 1, 1)  # any day will do
    hours = _trading_hours(calendar, day, day)
    return hours.zone if hours is not None else "UTC"


def _trading_hours(calendar: str, first: pd.Timestamp, last: pd.Timestamp) -> TradingHours | None:
    return None if calendar == WEEKDAYS else trading_hours(calendar, first, last)


def _observed_or_weekdays(
    first: pd.Timestamp, last: pd.Timestamp, observed: pd.DatetimeIndex
) -> pd.DatetimeIndex:
    """Return observed sessions inside their span, and the usual weekdays outside."""
    days = pd.date_range(first, last)
    recent = observed[-HABIT:]
    (usual,) = _usual_weekdays(recent, np.array([len(recent)]))
    wanted = usual[days.day_of_week]
    if len(observed):
        inside = (days >= observed[0]) & (days <= observed[-1])
        wanted = (wanted & ~inside) | days.isin(observed)
    return pd.DatetimeIndex(days[wanted])


def _weekdays_after(
    origins: pd.DatetimeIndex, count: int, observed: pd.DatetimeIndex
) -> np.ndarray:
    """Return the `count` usual weekdays after each origin, (N, count) datetime64."""
    days = origins.normalize()
    usual = _usual_weekdays(observed, observed.searchsorted(days, side="right"))
    ahead = np.empty((len(days), count), int)
    # What follows depends only on the usual weekdays and on the origin's own.
    kinds, of = np.unique(np.column_stack([usual, days.day_of_week]), axis=0, return_inverse=True)
    for number, kind in enumerate(kinds):
        trading = np.flatnonzero(kind[:7][(kind[7] + 1 + np.arange(7 * count)) % 7])
        ahead[of == number] = 1 + trading[:count]
    return days.to_numpy("datetime64[ns]")[:, None] + ahead.astype("timedelta64[D]")


def _usual_weekdays(observed: pd.DatetimeIndex, known: np.ndarray) -> np.ndarray:
    """Return the days of the week that trade usually, after so many sessions, (N, 7) bool.

    Only the sessions just before count, because an exchange may change its week,
    as Tel Aviv did in 2026.
    """
    seen = np.zeros((len(observed) + 1, 7), int)
    seen[np.arange(1, len(observed) + 1), observed.day_of_week] = 1
    seen = seen.cumsum(axis=0)
    usual = seen[known] - seen[np.maximum(known - HABIT, 0)] >= MIN_ON_A_WEEKDAY
    usual[known < HABIT] = np.arange(7) < 5
    return usual
