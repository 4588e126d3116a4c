"""What is told of announcement dates that could not be asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lstmcli.errors import LstmError, cause_of

SHOWN = 5
"""Tickers that a note names."""


@dataclass(frozen=True)
class Missing:
    """Why dates are not known in full: an error, and its cause without a ticker."""

    error: LstmError
    cause: str

    @classmethod
    def of(cls, ticker: str, error: LstmError) -> Missing:
        """Return it of the error that came when a ticker was asked about."""
        words = cause_of(ticker, error).rstrip(".")
        return cls(error, words.replace(" (", ": ").replace(")", ""))  # it stands in parentheses


def note_on_missing(missing: Mapping[str, Missing], known: Collection[str]) -> str | None:
    """Return a line about the dates of tickers that could not be asked for; None of none.

    Args:
        known: tickers with dates that were stored before, or of which some came.
    """
    parts = []
    for words, some in (("not known", False), ("not known in full", True)):
        causes: dict[str, list[str]] = {}
        for ticker, one in missing.items():
            if (ticker in known) == some:
                causes.setdefault(one.cause, []).append(ticker)
        if causes:
            told = "; ".join(f"{_names(tickers)} ({why})" for why, tickers in causes.items())
            parts.append(f"announcement dates {words}: {told}")
    return ", ".join(parts) or None


def _names(tickers: Sequence[str]) -> str:
    more = len(tickers) - SHOWN
    return " ".join(tickers[:SHOWN]) + (f" and {more} more" if more > 0 else "")
