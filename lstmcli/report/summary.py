"""Summary: an evening of `lstm daily` in plain text, for a terminal, a mail or a webhook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from lstmcli.digits import five_digits, in_words
from lstmcli.report.announcements import Reports, report_from_json, reports_ahead

_HEAD = ("ticker", "session", "", "next median", "80 % cone", "prices")
_LEFT = 3

WEEK = timedelta(days=7)
"""How far ahead an evening tells of reports."""


def summary_text(day: Mapping[str, Any]) -> str:
    """Return an evening as text: a sentence, tonight's numbers, and what was not done and why.

    Args:
        day: as `Day.as_dict`.
    """
    lines = [f"lstm daily {day['sentence']}", "", summary_table(day).rstrip("\n")]
    remarks = [*_remarks([*day["tickers"], *day["errors"]]), *day["notes"]]
    ahead = _reports_ahead(day)
    lines += ["", ahead] if ahead else []
    lines += ["", *remarks] if remarks else []
    lines += ["", f"report: {day['report']}"] if day["report"] else []
    return "\n".join(lines) + "\n"


def _reports_ahead(day: Mapping[str, Any]) -> str:
    """Return which tickers report within a week; empty where none does."""
    shown = {
        entry["ticker"]: Reports(report_from_json(entry["next_report"]))
        for entry in day["tickers"]
        if entry.get("next_report")
    }
    today = date.fromisoformat(day["at"][:10])
    return reports_ahead(shown, today + WEEK, today=today)


def summary_table(day: Mapping[str, Any], *, lines: int | None = None) -> str:
    """Return a line for each ticker: the session, what was done, and its next step in prices.

    Args:
        lines: at most so many, what has no forecast first, and how many are left out.
    """
    entries = day["tickers"]
    shown, left = entries, 0
    if lines is not None and len(entries) > lines:
        shown = sorted(entries, key=lambda entry: entry["median"] is not None)[: lines - 1]
        left = len(entries) - len(shown)
    rows = [_HEAD, *map(_row, shown)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(_HEAD))]
    table = "".join(f"{_line(row, widths)}\n" for row in rows)
    return table + (f"… and {left:,} more: --summary FILE has all\n" if left else "")


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = zip(row, widths, range(len(row)), strict=True)
    padded = (cell.ljust(width) if n < _LEFT else cell.rjust(width) for cell, width, n in cells)
    return "  ".join(padded).rstrip()


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = ("", "", "")
    if entry["median"] is not None:
        low, high = entry["cone80"]
        declared = entry["declared"]
        numbers = (
            five_digits(entry["median"]),
            f"{five_digits(low)} - {five_digits(high)}",
            f"less {in_words(declared)}" if declared else entry["prices"],
        )
    return (entry["ticker"], entry["session"] or "", entry["outcome"], *numbers)


def _remarks(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return why there is no forecast, and what to do: once, with the tickers it concerns."""
    groups: dict[str, list[str]] = {}
    for entry in entries:
        reason, ticker = entry.get("error") or entry.get("note"), entry.get("ticker")
        if not reason:
            continue
        cause = str(reason).removeprefix(f"{ticker}: ")
        text = cause + (f" Next: {entry['hint']}." if entry.get("hint") else "")
        concerned = groups.setdefault(text, [])
        if ticker and (cause != reason or ticker not in cause):
            concerned.append(ticker)
    return [f"{', '.join(of)}: {text}" if of else text for text, of in groups.items()]
