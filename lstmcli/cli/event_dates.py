"""The table of the dates that are known of each ticker, and the same for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lstmcli.cli.terminal import print_table
from lstmcli.digits import in_words

if TYPE_CHECKING:
    from lstmcli.pipeline.ticker_dates import KnownAnnouncement, TickerDates

NOT_KNOWN = "not known"

_TIMES = {
    "before": "before open",
    "during": "in trading",
    "after": "after close",
    "unknown": "no time",
}


def print_dates(dates: Sequence[TickerDates]) -> None:
    """Print what is known of each ticker: a line each."""
    head = ["ticker", "next report", "time", "status", "known since", "source"]
    head += ["last report", "ex-date"]
    rows = [_row(each) for each in dates]
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    print_table(head, rows, left=len(head))


def _row(dates: TickerDates) -> list[str]:
    cells = [NOT_KNOWN, "", "", "", ""]
    if dates.next is not None:
        known = dates.next.known
        cells = [
            f"{dates.next.day:%a %Y-%m-%d}",
            _TIMES[known.timing],
            known.status,
            f"{known.known_on:%Y-%m-%d}",
            known.source,
        ]
    last = f"{dates.last.day:%Y-%m-%d}" if dates.last else NOT_KNOWN
    return [dates.ticker, *cells, last, _ex_date(dates)]


def _ex_date(dates: TickerDates) -> str:
    if dates.ex_date is None:
        return ""
    amount = "" if math.isnan(dates.ex_date.amount) else f" {in_words(dates.ex_date.amount)}"
    return f"{dates.ex_date.session:%Y-%m-%d}{amount}"


def dates_as_json(dates: TickerDates) -> dict[str, Any]:
    """Return the same as JSON takes it."""
    ex_date = dates.ex_date
    return {
        "ticker": dates.ticker,
        "next": _announcement(dates.next),
        "last": _announcement(dates.last),
        "ex_dividend": ex_date
        and {
            "session": ex_date.session.date(),
            "amount": None if math.isnan(ex_date.amount) else ex_date.amount,
            "known_on": ex_date.known_on.date(),
            "source": ex_date.source,
        },
        "asked_on": dates.asked_on,
    }


def _announcement(found: KnownAnnouncement | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "day": found.day,
        "session": found.known.session.date(),
        "timing": found.known.timing,
        "status": found.known.status,
        "known_on": found.known.known_on.date(),
        "known_on_is_assumed": found.known.assumed,
        "source": found.known.source,
    }
