"""Yahoo's and the SEC's answers about announcements, as of a day.

An announcement is what Yahoo says of it, by the day since when it says so:

    {"2024-03-01": "expected 2024-04-23 2024-04-27",
     "2024-04-08": "confirmed 2024-04-25 8 AM",
     "2024-04-25": "reported 2024-04-25 8 AM"}

`gone` takes it off. A day without a time has midnight, as Yahoo writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
Announcement = Mapping[str, str]
HEAD = ("Symbol", "Company", "Earnings Date", "EPS Estimate", "Reported EPS", "Surprise (%)")
NO_TABLE = "<html><body><p>We're sorry, we weren't able to find any data.</p></body></html>"


def quarters(newest: str, count: int = 8, *, time: str = "8 AM") -> list[Announcement]:
    """Return announcements of the past, 91 days apart, the newest first."""
    days = [date.fromisoformat(newest) - timedelta(days=91 * n) for n in range(count)]
    return [{str(day): f"reported {day} {time}"} for day in days]


def said_on(announcement: Announcement, day: date) -> list[str]:
    """Return the words that hold on a day; none before the first."""
    since = max((each for each in announcement if each <= str(day)), default=None)
    words = announcement[since].split() if since else []
    return [] if words == ["gone"] else words


def page_of(symbol: str, announcements: Sequence[Announcement], today: date) -> str:
    """Return the page with past and next dates."""
    rows = []
    for announcement in announcements:
        words = said_on(announcement, today)
        if words:
            eps = "1.57" if words[0] == "reported" else "-"
            rows.append([symbol, "A Company", written(words), "1.5", eps, "-"])
    return table_page(sorted(rows, key=lambda row: _moment_of(row[2]), reverse=True))


def table_page(rows: Sequence[Sequence[str]], head: Sequence[str] = HEAD) -> str:
    """Return a page with one table; without rows it has none, as Yahoo does it."""
    if not rows:
        return NO_TABLE
    lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    titles = "".join(f"<th>{name}</th>" for name in head)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    table = f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
    return f"<html><body>{table}</body></html>"


def written(words: Sequence[str]) -> str:
    """Return the first day of a statement as the page writes it."""
    days, time = _days_and_time(words)
    zone = datetime.combine(days[0], datetime.min.time().replace(hour=12), NEW_YORK).tzname()
    return f"{days[0]:%B} {days[0].day}, {days[0].year} at {time or '12 AM'} {zone}"


def calendar_of(
    announcements: Sequence[Announcement], today: date, ex_date: str | None
) -> dict[str, Any]:
    """Return the answer about what is next."""
    words = [said_on(announcement, today) for announcement in announcements]
    ahead = sorted(
        [each for each in words if each and each[0] != "reported"], key=lambda each: each[1]
    )
    moments = []
    if ahead:
        days, time = _days_and_time(ahead[0])
        for day in days:
            hour = datetime.strptime(time, "%I %p").time() if time else None
            at = datetime.combine(day, hour, NEW_YORK) if hour else _midnight(day)
            moments.append(int(at.timestamp()))
    events: dict[str, Any] = {"maxAge": 1, "earnings": {"earningsDate": moments}}
    if ex_date:
        events["exDividendDate"] = int(_midnight(date.fromisoformat(ex_date)).timestamp())
    return {"quoteSummary": {"result": [{"calendarEvents": events}], "error": None}}


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _days_and_time(words: Sequence[str]) -> tuple[list[date], str]:
    days = [date.fromisoformat(word) for word in words[1:] if word.count("-") == 2]
    return days, " ".join(words[1 + len(days) :])


def _moment_of(text: str) -> datetime:
    return datetime.strptime(text.rpartition(" at ")[0], "%B %d, %Y")


def submissions(filed: Sequence[tuple[str, str, str]]) -> dict[str, list[str]]:
    """Return filings as the SEC lists them: form, items, and when they were accepted."""
    return {
        "form": [form for form, _, _ in filed],
        "items": [items for _, items, _ in filed],
        "filingDate": [accepted[:10] for _, _, accepted in filed],
        "acceptanceDateTime": [accepted for _, _, accepted in filed],
    }
