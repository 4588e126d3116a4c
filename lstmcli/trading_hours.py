"""When an exchange opens and closes, as exchange_calendars knows it."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from functools import cache

import pandas as pd

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TradingHours:
    """Regular opens and closes (UTC) by session, and the days that they cover."""

    first: pd.Timestamp
    last: pd.Timestamp
    opens: pd.Series
    closes: pd.Series
    zone: str


def trading_hours(calendar: str, first: pd.Timestamp, last: pd.Timestamp) -> TradingHours | None:
    """Return the hours of an exchange around two days, as far as its calendar reaches.

    None, with a warning, where the calendar cannot be built.
    """
    # Whole decades: a build takes 0.2 s however few days it covers, and is kept.
    return _build(calendar, min(first.year, 2000) // 10, max(last.year, 2025) // 10)


@cache
def _build(calendar: str, first_decade: int, last_decade: int) -> TradingHours | None:
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
                # Outside the calendar's bounds, which only an instance tells.
                probe = exchange_calendars.get_calendar(calendar)
                first = max(first, probe.bound_min() or first)
                last = min(last, probe.bound_max() or last)
                built = exchange_calendars.get_calendar(calendar, start=first, end=last)
        except Exception as error:  # Some calendars fail on some pandas, each in its own way.
            warn_once(
                f"the calendar {calendar} cannot be built here ({type(error).__name__}): "
                "sessions are the weekdays seen in the ticker's own bars"
            )
            return None
    table = built.schedule
    return TradingHours(first, last, table["open"], table["close"], str(built.tz))


@cache
def warn_once(message: str) -> None:
    """Log a warning, the first time that it is given."""
    log.warning("%s", message)
