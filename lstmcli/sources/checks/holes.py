"""Checks of the days that bars have: how often, on which calendar, with which holes."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from lstmcli.errors import DataError, shell_word
from lstmcli.sessions import ALWAYS_OPEN, WEEKDAYS, sessions_between
from lstmcli.sources.checks.faults import listed

log = logging.getLogger(__name__)

RECENT = 10
"""Sessions at the end, where a hole is refused because forecasts start there."""

MAX_OUTSIDE_CALENDAR = 0.01
"""Fraction of bars on days that are no sessions: some sessions are special."""

MAX_MISSING = 0.01
"""Fraction of sessions that a series may lack of the calendar that is found for it."""

MIN_SHIFTED = 0.1
"""Fraction of bars off the calendar that dates of another day explain: Fridays are a fifth."""

# Calendars that are tried where nothing names the exchange; the largest markets first.
_CANDIDATES = (
    *("XNYS", ALWAYS_OPEN, "XETR", "XLON", "XTKS", "XHKG", "XSHG", "XBOM", "XPAR", "XKRX"),
    *("XTSE", "XASX", "XSWX", "XMIL", "XMAD", "XAMS", "XSTO", "XTAI", "BVMF", "XSES", "XJSE"),
)

_SPANS = {"weekly": (5, 9), "monthly": (27, 33), "quarterly": (80, 100), "yearly": (350, 380)}
"""Days between bars that are not daily."""


def check_daily(bars: pd.DataFrame, ticker: str) -> None:
    """Refuse bars of weeks or months.

    Raises:
        DataError: the usual step between bars is not a day.
    """
    if len(bars) < 4:
        return
    step = float(np.median(np.diff(bars.index.asi8)) / 86_400e9)
    for name, (least, most) in _SPANS.items():
        if least <= step <= most:
            raise DataError(
                f"{ticker}: Expected daily bars. Received: {name} bars, {step:.0f} days apart.",
                hint="download or export daily bars: one line per session",
            )


def likely_calendar(bars: pd.DataFrame, guess: str) -> str:
    """Return the calendar that the days of bars show, for a ticker that names no exchange.

    `guess` unless two bars or more, and over 1 %, lie outside it, and another calendar
    holds them all.
    """
    index = pd.DatetimeIndex(bars.index)
    outside, _ = _misfit(index, guess)
    if outside * len(index) < 2 or outside <= MAX_OUTSIDE_CALENDAR:
        return guess
    for candidate in _CANDIDATES:
        outside, missing = _misfit(index, candidate)
        if outside == 0 and missing <= MAX_MISSING:
            return candidate
    return guess


def _misfit(index: pd.DatetimeIndex, calendar: str) -> tuple[float, float]:
    """Return the fractions of bars outside a calendar, and of its sessions without a bar."""
    expected = sessions_between(calendar, index[0], index[-1], observed=index)
    outside = len(index.difference(expected)) / len(index)
    return outside, len(expected.difference(index)) / max(len(expected), 1)


def check_days(bars: pd.DataFrame, ticker: str, calendar: str) -> None:
    """Check bars against the sessions of their calendar.

    A hole before the last ten sessions is a warning. No hole is ever filled.

    Raises:
        DataError: dates are a day off, or a recent session is missing.
    """
    index = pd.DatetimeIndex(bars.index)
    expected = sessions_between(calendar, index[0], index[-1], observed=index)
    strange = index.difference(expected)
    if len(strange) > MIN_SHIFTED * len(index):
        _check_shift(index, ticker, calendar, len(strange))
    if len(strange) > MAX_OUTSIDE_CALENDAR * len(index):
        log.warning(
            "%s: %d of %d bars lie on days that are no sessions of %s, last on %s: "
            "if that is not its exchange, name it with --calendar",
            ticker,
            len(strange),
            len(index),
            calendar,
            f"{strange[-1]:%Y-%m-%d}",
        )
    missing = expected.difference(index)
    if missing.empty:
        return
    recent = missing[missing >= expected[-RECENT:][0]]
    if len(recent):
        raise DataError(
            f"{ticker}: Expected every session of {calendar} among the last {RECENT}. "
            f"Missing: {listed(recent)}.",
            hint=_recent_hint(ticker, calendar, len(strange), recent),
        )
    log.warning(
        "%s: %d of %d sessions of %s are missing, none of them recent: %s",
        ticker,
        len(missing),
        len(expected),
        calendar,
        listed(missing),
    )


def _check_shift(index: pd.DatetimeIndex, ticker: str, calendar: str, strange: int) -> None:
    """Refuse dates that are sessions one day later, or one day earlier."""
    for days, word in ((1, "early"), (-1, "late")):
        shifted = index + pd.Timedelta(days=days)
        outside, _ = _misfit(shifted, calendar)
        if outside * len(index) < strange / 5:
            raise DataError(
                f"{ticker}: Expected dates of sessions of {calendar}. Received: dates one day "
                f"{word}: {strange} of {len(index)} are no sessions, such as "
                f"{listed(index.difference(shifted)[:1])}, and of the days "
                f"{'after' if days > 0 else 'before'} them {outside * len(index):.0f}. "
                "They may have been cut from times in UTC.",
                hint="export the dates of the exchange's own zone",
            )


def _recent_hint(ticker: str, calendar: str, strange: int, recent: pd.DatetimeIndex) -> str:
    """Return a way out of a recent hole; never one that makes wrong dates pass."""
    again = f"lstm fetch {shell_word(ticker)}"
    if strange or len(recent) > 2 or calendar == WEEKDAYS:
        return f"add the missing sessions, or fetch again later: {again}"
    return f"fetch again later; if {calendar} was closed then: {again} --calendar {WEEKDAYS}"
