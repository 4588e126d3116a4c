"""What can go wrong, and the exit code that says so.

    LstmError                1  a bug, or anything without a more exact name
    ├── ConfigError          2  usage or config: the user's input must change
    ├── NoDataError          3  no bars, no run, too few bars, unknown symbol
    │   └── TooYoungError    3  a ticker has too few bars yet, for any run
    ├── SourceError          4  network down, or the source answers nonsense
    │   └── RateLimitError   5  the source asks us to wait
    ├── DataError            6  bars or a stored file failed validation
    ├── LockError            7  another process holds the workspace
    └── DiskError            8  disk full, or not writable

Ctrl-C exits with 130. With several tickers the highest code wins.
"""

from __future__ import annotations

import re
import shlex

EXIT_CODES = {
    0: "ok",
    1: "a bug",
    2: "usage or config",
    3: "no such data, unknown symbol",
    4: "network or source down",
    5: "rate limited: come back later",
    6: "bars or a stored file not valid",
    7: "workspace in use by another",
    8: "disk full or not writable",
    130: "Ctrl-C",
}
"""What each exit code means, in words; an error's class has its code."""


class LstmError(Exception):
    """An error that the user can act on.

    The message reads "Expected …. Received: …." where that fits; `hint` is the
    next step, printed on its own line.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(LstmError):
    """The command line or the YAML is wrong."""

    exit_code = 2


class NoDataError(LstmError):
    """What was asked for does not exist, or there is too little of it."""

    exit_code = 3


class TooYoungError(NoDataError):
    """A ticker has too few bars for any forecast; its next sessions bring more."""


class SourceError(LstmError):
    """The source of bars could not be reached or understood."""

    exit_code = 4


class RateLimitError(SourceError):
    """The source asked us to come back later."""

    exit_code = 5


class DataError(LstmError):
    """Bars, or a file that we stored, failed validation."""

    exit_code = 6


class LockError(LstmError):
    """Another process holds the workspace."""

    exit_code = 7


class DiskError(LstmError):
    """The workspace cannot be written: no space, no permission, read-only."""

    exit_code = 8


def shell_word(text: str) -> str:
    """Return a text, such as a ticker or a path, as one word of a command in a hint."""
    # Unlike `shlex` alone, ^GSPC and EURUSD=X stay as people type them.
    return text if re.fullmatch(r"[\w@%+=:,./^-]+", text) else shlex.quote(text)


NOT_ASKED = "not asked for: "
"""Begins what is said of a ticker whose source had failed for others."""


def cause_of(ticker: str, error: LstmError) -> str:
    """Return what an error says, without the ticker that it happened to."""
    return str(error).removeprefix(f"{ticker}: ").removeprefix(NOT_ASKED)
