"""How far work on many tickers is, in a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY = 60.0
"""Seconds between two lines of progress."""


class Progress:
    """Says now and then how many tickers are done, and how long the others take."""

    def __init__(self, total: int, say: Callable[[str], None], *, done: str) -> None:
        """Take what was done to a ticker in a word, such as `fetched`."""
        self._total, self._say, self._word = total, say, done
        self._done = 0
        self._began = self._said = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Note that more tickers are done."""
        self._done += count
        now = time.monotonic()
        if now - self._said < EVERY or self._done >= self._total:
            return
        self._said = now
        left = (now - self._began) / self._done * (self._total - self._done)
        self._say(
            f"{self._word} {self._done:,} of {self._total:,} tickers, about {in_minutes(left)} left"
        )


def in_minutes(seconds: float) -> str:
    """Return a time to wait in words."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes:,} minute{'s' * (minutes > 1)}"
