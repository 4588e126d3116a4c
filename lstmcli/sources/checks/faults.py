"""Refusals of a session, each with a way out that works."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from lstmcli.errors import DataError, shell_word

ENOUGH = 100
"""Sessions that a later start must keep, to be proposed."""


class SessionError(DataError):
    """The bars of a session are at fault; `session` lets a reader name its line.

    `others` are further sessions with the same fault.
    """

    def __init__(
        self,
        message: str,
        session: pd.Timestamp,
        *,
        others: Sequence[pd.Timestamp] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.session = session
        self.others = tuple(others)


def listed(sessions: Iterable[pd.Timestamp], *, limit: int = 5) -> str:
    """Return the dates, at most `limit` of them."""
    dates = [f"{session:%Y-%m-%d}" for session in sessions]
    shown = ", ".join(dates[:limit])
    return f"{shown} and {len(dates) - limit} more" if len(dates) > limit else shown


def allow_jumps(ticker: str, sessions: Sequence[pd.Timestamp]) -> str:
    """Return the hint for jumps that may be real."""
    dates = ",".join(f"{session:%Y-%m-%d}" for session in sessions)
    return f"or if that is real: lstm fetch {shell_word(ticker)} --allow-jumps {dates}"


def later_start(ticker: str, index: pd.Index, session: pd.Timestamp) -> str | None:
    """Return the hint to start at a session, or None if that keeps too few."""
    if (index >= session).sum() < ENOUGH:
        return None
    return f"leave out what lies before: lstm fetch {shell_word(ticker)} --start {session:%Y-%m-%d}"


def start_after(ticker: str, index: pd.Index, session: pd.Timestamp) -> str | None:
    """Return the hint to start after a session, or None if that keeps too few."""
    later = index[index > session]
    return later_start(ticker, index, later[0]) if len(later) else None


def correct(sessions: Sequence[pd.Timestamp]) -> str:
    """Return the hint for faults at the end, which no later start leaves out."""
    place = f"of {sessions[0]:%Y-%m-%d}"
    if len(sessions) > 1:
        place = f"from {sessions[0]:%Y-%m-%d} to {sessions[-1]:%Y-%m-%d}"
    return f"correct the prices {place} in the file, or wait until the source has"
