"""Which sources a command asks no more, and why."""

from __future__ import annotations

import re

from lstmcli.errors import (
    NOT_ASKED,
    DiskError,
    LstmError,
    RateLimitError,
    SourceError,
    cause_of,
    shell_word,
)

MAX_FAILURES = 5
"""After so many in a row a source counts as down: to ask it for 500 tickers would take hours."""


class Refusals:
    """Counts the failures of sources; each is a name of what is asked.

    A source that asks us to wait is not asked again, nor one that has failed `MAX_FAILURES`
    times in a row. Where the disk is full, none is: what comes could not be kept.
    """

    def __init__(self) -> None:
        self._in_a_row: dict[str, int] = {}
        self._refused: dict[str, tuple[str, LstmError]] = {}
        self._disk: tuple[str, LstmError] | None = None

    def refused(self, source: str) -> tuple[str, LstmError] | None:
        """Return the ticker and the error after which a source is not asked; else None."""
        return self._disk or self._refused.get(source)

    def answered(self, source: str) -> None:
        """Note that a source works."""
        self._in_a_row[source] = 0

    def failed(self, source: str, ticker: str, error: LstmError) -> None:
        """Note what went wrong with a ticker; what says nothing of the source counts as answer."""
        if isinstance(error, DiskError):
            self._disk = self._disk or (ticker, error)
        if not isinstance(error, SourceError):
            self.answered(source)
            return
        self._in_a_row[source] = self._in_a_row.get(source, 0) + 1
        if isinstance(error, RateLimitError) or self._in_a_row[source] >= MAX_FAILURES:
            self._refused.setdefault(source, (ticker, error))

    def check(self, source: str, ticker: str) -> None:
        """Check that a source may be asked about a ticker.

        Raises:
            SourceError: it had failed for others.
            DiskError: the disk is full, or cannot be written.
        """
        refused = self.refused(source)
        if refused is None:
            return
        other, error = refused
        words = f"{ticker}: {NOT_ASKED}{cause_of(other, error)}"
        if isinstance(error, DiskError):
            # The file of the other one is named: what is said must fit all of them.
            words = re.sub(rf"(?<!\w){re.escape(other)}(?!\w)", "…", words)
            raise DiskError(words, hint=error.hint)
        if isinstance(error, RateLimitError):
            raise RateLimitError(words, hint=error.hint)
        raise SourceError(words, hint=f"try again later: lstm fetch {shell_word(ticker)}")
