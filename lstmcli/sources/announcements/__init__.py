"""Where the dates of announcements come from: Yahoo, and the SEC's filings."""

from __future__ import annotations

from lstmcli.sources.announcements.days import Exchange, Stated, ahead_and_past
from lstmcli.sources.announcements.sec import SecResults
from lstmcli.sources.announcements.snapshot import (
    Snapshot,
    Statement,
    announced,
    ex_dates,
    table_of,
)
from lstmcli.sources.announcements.yahoo import Calendar, UnreadableError, ask_calendar, ask_page

__all__ = [
    "Calendar",
    "Exchange",
    "SecResults",
    "Snapshot",
    "Stated",
    "Statement",
    "UnreadableError",
    "ahead_and_past",
    "announced",
    "ask_calendar",
    "ask_page",
    "ex_dates",
    "table_of",
]
