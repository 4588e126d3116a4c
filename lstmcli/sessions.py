"""Trading days of an exchange.

A calendar is a name: one of exchange_calendars (`XNYS`), `24/7`, or `weekdays`,
which is what the ticker's own bars show. Sessions are timezone-naive dates at
midnight. A calendar that cannot be built becomes `weekdays`, and one that ends
is continued by weekdays; either is said once.
"""

from __future__ import annotations

import difflib
import logging
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd

from lstmcli.errors import ConfigError

log = logging.getLogger(__name__)

WEEKDAYS = "weekdays"
ALWAYS_OPEN = "24/7"

SETTLE_MARGIN = timedelta(minutes=30)
"""After the regular close: free quotes lag 15 to 20 minutes, auctions run up to 10."""

# What Yahoo reports as exchangeName; a block shares one set of trading days.
_EXCHANGES = {
    "XNYS": "NMS NGM NCM NAS NYQ NYS ASE PCX BTS PNK OQB OQX OEM SNP DJI NIM WCB CXI CGI",
    "XLON": "LSE IOB FGI",
    "XTKS": "JPX OSA TYO",
    "XHKG": "HKG HKS",
    "XSHG": "SHH SHZ",
    "XKRX": "KSC KOE",
    "XTAI": "TAI TWO",
    "XTAE": "TLV",
    "XETR": "GER",
    "XFRA": "FRA BER MUN HAN",
    "XDUS": "DUS",
    "XHAM": "HAM",
    "XSTU": "STU",
    "XPAR": "PAR",
    "XAMS": "AMS",
    "XBRU": "BRU",
    "XLIS": "LIS",
    "XMIL": "MIL",
    "XMAD": "MCE",
    "XSWX": "EBS",
    "XWBO": "VIE",
    "XSTO": "STO",
    "XCSE": "CPH",
    "XHEL": "HEL",
    "XOSL": "OSL",
    "XICE": "ICE",
    "XWAR": "WSE",
    "XPRA": "PRA",
    "XBUD": "BUD",
    "ASEX": "ATH",
    "XIST": "IST",
    "XDUB": "ISE",
    "XTSE": "TOR VAN CNQ NEO",
    "BVMF": "SAO",
    "XMEX": "MEX",
    "XBUE": "BUE",
    "XSGO": "SGO",
    "XASX": "ASX",
    "XNZE": "NZE",
    "XSES": "SES",
    "XKLS": "KLS",
    "XIDX": "JKT",
    "XBKK": "SET",
    "XBOM": "NSI BSE",
    "XJSE": "JNB",
    "XSAU": "SAU",
    ALWAYS_OPEN: "CCC",
    WEEKDAYS: "CCY",
}
_SUFFIXES = {
    "XLON": ".L .IL",
    "XTKS": ".T",
    "XHKG": ".HK",
    "XSHG": ".SS .SZ",
    "XKRX": ".KS .KQ",
    "XTAI": ".TW .TWO",
    "XTAE": ".TA",
    "XETR": ".DE",
    "XFRA": ".F .BE .MU .HA",
    "XDUS": ".DU",
    "XHAM": ".HM",
    "XSTU": ".SG",
    "XPAR": ".PA",
    "XAMS": ".AS",
    "XBRU": ".BR",
    "XLIS": ".LS",
    "XMIL": ".MI",
    "XMAD": ".MC",
    "XSWX": ".SW",
    "XWBO": ".VI",
    "XSTO": ".ST",
    "XCSE": ".CO",
    "XHEL": ".HE",
    "XOSL": ".OL",
    "XICE": ".IC",
    "XWAR": ".WA",
    "XPRA": ".PR",
    "XBUD": ".BD",
    "ASEX": ".AT",
    "XIST": ".IS",
    "XDUB": ".IR",
    "XTSE": ".TO .V .CN .NE",
    "BVMF": ".SA",
    "XMEX": ".MX",
    "XBUE": ".BA",
    "XSGO": ".SN",
    "XASX": ".AX",
    "XNZE": ".NZ",
    "XSES": ".SI",
    "XKLS": ".KL",
    "XIDX": ".JK",
    "XBKK": ".BK",
    "XBOM": ".NS .BO",
    "XJSE": ".JO",
    "XSAU": ".SR",
    ALWAYS_OPEN: "-USD -USDT -USDC -EUR -GBP -JPY -BTC -ETH",
    WEEKDAYS: "=X =F",  # neither currencies nor futures keep an exchange's holidays
}
HABIT = 60
"""Sessions, twelve weeks, that show on which weekdays a ticker trades."""

EXCEPTIONS = 3
"""Sessions on a weekday in that time without which it is not one of them."""

_CALENDAR_OF_EXCHANGE = {code: name for name, codes in _EXCHANGES.items() for code in codes.split()}
_CALENDAR_OF_SUFFIX = {end: name for name, ends in _SUFFIXES.items() for end in ends.split()}


def calendar_for(ticker: str, exchange: str | None = None) -> str:
    """Return the calendar of a ticker, from its exchange or its suffix.

    `exchange` is what the source reports (Yahoo's `exchangeName`). A code that
    nobody placed gives `weekdays`: a wrong calendar would find holes in sound bars.
    """
    if exchange in _CALENDAR_OF_EXCHANGE:
        return _CALENDAR_OF_EXCHANGE[exchange]
    endings = [end for end in _CALENDAR_OF_SUFFIX if ticker.upper().endswith(end)]
    if endings:
        return _CALENDAR_OF_SUFFIX[max(endings, key=len)]
    return WEEKDAYS if exchange else "XNYS"


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

    Where no exchange calendar reaches, the sessions inside the observed span
    are the observed ones: holidays that nobody listed are not holes.
    """
    first, last = pd.Timestamp(first).normalize(), pd.Timestamp(last).normalize()
    if first > last:
        return pd.DatetimeIndex([])
    schedule = _schedule(calendar, first, last)
    if schedule is None:
        return _seen_or_weekdays(first, last, observed).as_unit("ns")
    inside = schedule.closes.index
    parts = [pd.DatetimeIndex(inside[(inside >= first) & (inside <= last)])]
    if first < schedule.first:
        before = min(last, schedule.first - timedelta(days=1))
        parts.insert(0, _seen_or_weekdays(first, before, observed))
    if last > schedule.last:
        _say_that_it_ends(calendar, schedule.last)
        after = max(first, schedule.last + timedelta(days=1))
        parts.append(_seen_or_weekdays(after, last, observed))
    return parts[0].append(parts[1:]).as_unit("ns")


def next_sessions(
    calendar: str, after: pd.Timestamp, count: int, *, observed: pd.DatetimeIndex
) -> pd.DatetimeIndex:
    """Return the first `count` sessions strictly after `after`.

    Of the observed sessions only those up to `after` count, so that dates do
    not depend on bars from the future.
    """
    after = pd.Timestamp(after).normalize()
    known = observed[observed <= after]
    days = 2 * count + 14  # the longest closures, Lunar New Year among them, last about ten days
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

    The same as `next_sessions` for each, in one look-up where the exchange's
    calendar reaches that far, or where there is none.
    """
    if not len(origins):
        return np.empty((0, count), "datetime64[ns]")
    last = next_sessions(calendar, origins[-1], count, observed=observed)
    schedule = _schedule(calendar, origins[0], last[-1])
    if schedule is None:
        return _weekdays_after(origins, count, observed)
    if origins[0] < schedule.first or last[-1] > schedule.last:
        each = [next_sessions(calendar, at, count, observed=observed) for at in origins]
        return np.array([days.to_numpy() for days in each], "datetime64[ns]")
    days = sessions_between(calendar, origins[0], last[-1], observed=observed)
    first = days.searchsorted(origins, side="right")
    return days.to_numpy("datetime64[ns]")[first[:, None] + np.arange(count)]


def settled_session(calendar: str, moment: datetime, *, observed: pd.DatetimeIndex) -> pd.Timestamp:
    """Return the last session whose regular close plus margin has passed.

    Without an exchange calendar a session settles when its day ends in UTC: by
    then every exchange that opened on that date has closed.
    """
    now = pd.Timestamp(moment).tz_convert("UTC")
    today = now.tz_localize(None).normalize()
    days = 14
    while True:
        # One day more: east of UTC the next session may be over already.
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

    Without an exchange calendar, when its day begins in UTC: earlier than most, so
    that a forecast which counts as made before it was made before it.
    """
    return _at(calendar, sessions, "opens", otherwise=sessions.tz_localize("UTC"))


def _closes(calendar: str, sessions: pd.DatetimeIndex) -> pd.DatetimeIndex:
    days_end = sessions.tz_localize("UTC") + timedelta(days=1)
    return _at(calendar, sessions, "closes", otherwise=days_end)


def _at(
    calendar: str, sessions: pd.DatetimeIndex, what: str, *, otherwise: pd.DatetimeIndex
) -> pd.DatetimeIndex:
    schedule = _schedule(calendar, sessions.min(), sessions.max()) if len(sessions) else None
    if schedule is None:
        return otherwise
    exact = getattr(schedule, what).reindex(sessions)
    return pd.DatetimeIndex(exact.where(exact.notna(), otherwise.to_series(sessions)))


def closing_times(calendar: str, first: pd.Timestamp, last: pd.Timestamp) -> pd.DatetimeIndex:
    """Return when the sessions between two moments close, UTC.

    Without an exchange calendar, when their days end in UTC.
    """
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
    """Return the name of the exchange's time zone; UTC where nobody knows it."""
    schedule = (
        None if calendar == WEEKDAYS else _schedule(calendar, *[pd.Timestamp(2020, 1, 1)] * 2)
    )
    return schedule.zone if schedule is not None else "UTC"


@dataclass(frozen=True)
class _Schedule:
    """What an exchange calendar knows, and from when to when."""

    first: pd.Timestamp
    last: pd.Timestamp
    opens: pd.Series  # regular open (UTC) by session
    closes: pd.Series  # regular close (UTC) by session
    zone: str


def _schedule(calendar: str, first: pd.Timestamp, last: pd.Timestamp) -> _Schedule | None:
    if calendar == WEEKDAYS:
        return None
    # Whole decades, because a build costs 0.2 s however short it is.
    return _build(calendar, min(first.year, 2000) // 10, max(last.year, 2025) // 10)


@cache
def _build(calendar: str, first_decade: int, last_decade: int) -> _Schedule | None:
    import exchange_calendars

    first = pd.Timestamp(first_decade * 10, 1, 1)
    last = pd.Timestamp(last_decade * 10 + 9, 12, 31)
    with warnings.catch_warnings():
        # exchange_calendars 4.13 uses what pandas 3.1 has deprecated.
        warnings.simplefilter("ignore")
        try:
            try:
                built = exchange_calendars.get_calendar(calendar, start=first, end=last)
            except ValueError:
                # Out of the calendar's bounds, which only an instance tells.
                probe = exchange_calendars.get_calendar(calendar)
                first = max(first, probe.bound_min() or first)
                last = min(last, probe.bound_max() or last)
                built = exchange_calendars.get_calendar(calendar, start=first, end=last)
        except Exception as error:  # Some calendars break on some pandas, each in its own way.
            _say_that_it_breaks(calendar, type(error).__name__)
            return None
    table = built.schedule
    return _Schedule(first, last, table["open"], table["close"], str(built.tz))


@cache
def _say_that_it_breaks(calendar: str, reason: str) -> None:
    log.warning(
        "the calendar %s cannot be built here (%s): "
        "sessions are the weekdays seen in the ticker's own bars",
        calendar,
        reason,
    )


@cache
def _say_that_it_ends(calendar: str, last: pd.Timestamp) -> None:
    log.warning(
        "the calendar %s ends on %s: later sessions are weekdays, without holidays",
        calendar,
        f"{last:%Y-%m-%d}",
    )


def _seen_or_weekdays(
    first: pd.Timestamp, last: pd.Timestamp, observed: pd.DatetimeIndex
) -> pd.DatetimeIndex:
    """Return observed sessions inside their span, and weekdays like them outside."""
    days = pd.date_range(first, last)
    wanted = days.day_of_week.isin(_usual_weekdays(observed))
    if len(observed):
        inside = (days >= observed[0]) & (days <= observed[-1])
        wanted = (wanted & ~inside) | days.isin(observed)
    return pd.DatetimeIndex(days[wanted])


def _weekdays_after(
    origins: pd.DatetimeIndex, count: int, observed: pd.DatetimeIndex
) -> np.ndarray:
    """Return the `count` days after each origin that trade usually, (N, count) datetime64."""
    days = origins.normalize()
    known = observed.searchsorted(days, side="right")  # bars up to each origin
    seen = np.zeros((len(observed) + 1, 7), int)
    seen[np.arange(1, len(observed) + 1), observed.day_of_week] = 1
    seen = seen.cumsum(axis=0)
    usual = seen[known] - seen[np.maximum(known - HABIT, 0)] >= EXCEPTIONS
    usual[known < HABIT] = np.arange(7) < 5
    ahead = np.empty((len(days), count), int)
    # What follows depends on the habit and on the day of the week alone.
    kinds, of = np.unique(np.column_stack([usual, days.day_of_week]), axis=0, return_inverse=True)
    for number, kind in enumerate(kinds):
        trading = np.flatnonzero(kind[:7][(kind[7] + 1 + np.arange(7 * count)) % 7])
        ahead[of == number] = 1 + trading[:count]
    return days.to_numpy("datetime64[ns]")[:, None] + ahead.astype("timedelta64[D]")


def _usual_weekdays(observed: pd.DatetimeIndex) -> list[int]:
    # Twelve weeks show the present habit: an exchange may change its week, as Tel Aviv did
    # in 2026. A weekday with fewer sessions than a few in that time was an exception.
    if len(observed) < HABIT:
        return list(range(5))
    seen = observed[-HABIT:].day_of_week.value_counts()
    return [int(day) for day in seen.index[seen >= EXCEPTIONS]]
