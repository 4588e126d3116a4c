"""Yahoo's dates of announcements: a page with past and next ones, and the next one alone.

The page is HTML, which yfinance reads; the next date and the next ex-date are an answer in
JSON. yfinance turns its moments into days of the local time zone, so it is read here.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from lstmcli.errors import LstmError, SourceError
from lstmcli.sources.announcements.days import Stated, stated_at
from lstmcli.sources.yahoo_client import (
    ANNOUNCEMENTS,
    BARS,
    check_cool_down,
    failure_of_cache,
    remember_cool_down,
    set_up,
)
from lstmcli.sources.yahoo_failures import is_of_network, words_of_answer, words_of_failure

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

ROWS = 100
"""Of the page: the most that it has, about 25 years."""

TIMEOUT = 10.0
"""Seconds for an answer. yfinance waits 30 seconds for the page."""

_PAGE = "https://finance.yahoo.com/calendar/earnings?symbol={}&offset=0&size={}"
_SUMMARY = "https://query2.finance.yahoo.com/v10/finance/quoteSummary/"


class UnreadableError(SourceError):
    """A source has answered, and its answer cannot be read."""


@dataclass(frozen=True)
class Calendar:
    """What Yahoo says is next of a ticker.

    Attributes:
        announcement: the date, or both ends of a range; nothing where none is known.
        ex_dividend: the newest ex-date, which may be past; without an amount.
        known: whether Yahoo keeps such an answer of the ticker at all.
    """

    announcement: tuple[Stated, ...] = ()
    ex_dividend: date | None = None
    known: bool = True


def ask_page(ticker: str, zone: ZoneInfo, *, cache: Path) -> list[Stated] | None:
    """Return the dates of the page, past and next; None where it has no table.

    Raises:
        RateLimitError: Yahoo answers 429, or did so minutes ago.
        SourceError: it did not answer, or the page cannot be read.
        DiskError: yfinance cannot write its cache.
    """

    def ask() -> list[Stated] | None:
        import yfinance
        from yfinance.data import YfData

        YfData.cache_get.cache_clear()  # yfinance remembers an answer for the life of the process
        table = yfinance.Ticker(ticker).get_earnings_dates(limit=ROWS)
        if table is not None:
            return _rows(table, zone)
        # yfinance hides the status. It has just remembered this answer: nothing is asked again.
        answer = YfData().cache_get(_PAGE.format(ticker, ROWS))
        if answer.status_code >= 400:
            raise _failed(ticker, words_of_answer(answer.status_code, answer.text))
        return None

    return _asked(ticker, ask, cache, otherwise="the page cannot be read")


def _rows(table: pd.DataFrame, zone: ZoneInfo) -> list[Stated]:
    reported = np.isfinite(table["Reported EPS"].to_numpy(float))
    found = []
    for at, done in zip(table.index, reported, strict=True):
        status = "reported" if done else "expected"
        # Midnight where the page is written is no time, whatever it is at the exchange.
        moment = at.to_pydatetime()
        if (moment.hour, moment.minute) == (0, 0):
            found.append(Stated(moment.date(), None, status))
        else:
            found.append(stated_at(moment.astimezone(UTC), zone, status))
    return found


def ask_calendar(ticker: str, zone: ZoneInfo, *, cache: Path) -> Calendar:
    """Return the next announcement and the newest ex-date.

    Raises:
        RateLimitError: Yahoo answers 429, or did so minutes ago.
        SourceError: it did not answer, or the answer cannot be read.
        DiskError: yfinance cannot write its cache.
    """

    def ask() -> Calendar:
        from yfinance.data import YfData

        answer = YfData().get(
            _SUMMARY + quote(ticker),
            params={"modules": "calendarEvents", "formatted": "false", "symbol": ticker},
            timeout=TIMEOUT,
        )
        if answer.status_code == 404:
            return Calendar(known=False)
        if answer.status_code >= 400:
            raise _failed(ticker, words_of_answer(answer.status_code, answer.text))
        return _calendar(answer.json()["quoteSummary"]["result"][0]["calendarEvents"], zone)

    return _asked(ticker, ask, cache, otherwise="Yahoo's calendar cannot be read")


def _calendar(events: dict[str, Any], zone: ZoneInfo) -> Calendar:
    about = events.get("earnings") or {}
    moments = sorted(_moment(each) for each in about.get("earningsDate") or [])
    certain = len(moments) == 1 and not about.get("isEarningsDateEstimate")
    dates = [stated_at(at, zone, "confirmed" if certain else "expected") for at in moments]
    if len(dates) > 1:  # the ends of a range have no time that means something
        dates = [Stated(each.day, None, each.status) for each in (dates[0], dates[-1])]
    ex_date = events.get("exDividendDate")
    return Calendar(tuple(dates), _moment(ex_date).date() if ex_date else None)


def _moment(value: Any) -> datetime:
    """Return a moment that Yahoo states in seconds, with or without a text beside it."""
    seconds = value["raw"] if isinstance(value, dict) else value
    return datetime.fromtimestamp(int(seconds), UTC)


def _asked(ticker: str, ask: Callable[[], Answer], cache: Path, *, otherwise: str) -> Answer:
    """Ask Yahoo, and tell its failures apart.

    Args:
        otherwise: what to say of an answer that is not as expected.
    """
    for about in (BARS, ANNOUNCEMENTS):
        check_cool_down(cache, about)
    set_up(cache)
    from yfinance.exceptions import YFRateLimitError

    began = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # yfinance uses what pandas 3 has deprecated
            return ask()
    except LstmError:
        raise
    except YFRateLimitError as error:
        raise remember_cool_down(cache, ANNOUNCEMENTS) from error
    except Exception as error:  # yfinance documents no exceptions, and pandas reads the page
        failure = failure_of_cache(ticker, error, cache)
        if failure is not None:
            raise failure from error
        log.info("%s: %s: %s", ticker, type(error).__name__, error)
        if is_of_network(error):
            waited = max(TIMEOUT, round(time.monotonic() - began))
            raise _failed(ticker, words_of_failure(error, waited)) from error
        raise UnreadableError(f"{ticker}: {otherwise}.") from error


def _failed(ticker: str, words: str) -> SourceError:
    return SourceError(f"{ticker}: {words}.", hint="lstm events fetch, on another day")
