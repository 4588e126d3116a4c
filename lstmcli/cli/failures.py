"""Failures of several tickers, as they are said."""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli.errors import (
    ConfigError,
    DiskError,
    LstmError,
    NoDataError,
    RateLimitError,
    SourceError,
    cause_of,
)

SHOWN_OTHERS = 5
"""Tickers that are named of those for which a source failed as for one before."""

SHOWN_NAMES = 20
"""Tickers that are named where something is wrong with their names."""

_OF_NAMES = (ConfigError, NoDataError)
_SHARED = (*_OF_NAMES, SourceError, DiskError)


def said_once(failed: Sequence[tuple[str, LstmError]]) -> list[LstmError]:
    """Return the errors to show; a failure that several tickers share comes once."""
    groups: dict[object, list[tuple[str, LstmError]]] = {}
    for number, (ticker, error) in enumerate(failed):
        cause = cause_of(ticker, error).replace(ticker, "…") if ticker else str(error)
        key: object = (type(error), cause) if isinstance(error, _SHARED) else number
        groups.setdefault(key, []).append((ticker, error))
    shown = []
    for group in groups.values():
        first, others = group[0][1], [ticker for ticker, _ in group[1:]]
        if others:
            count = f"{len(others):,} other ticker{'s' * (len(others) > 1)}"
            most = SHOWN_NAMES if isinstance(first, _OF_NAMES) else SHOWN_OTHERS
            listed = " ".join(others[:most]) + " …" * (len(others) > most)
            comes_back = isinstance(first, SourceError) and not isinstance(first, RateLimitError)
            hint = "the same command, later" if comes_back else first.hint
            together = type(first)(f"{first} {count}: the same ({listed}).", hint=hint)
            together.__cause__ = first  # for --debug
            first = together
        shown.append(first)
    return shown


def disk_once(errors: Sequence[LstmError]) -> list[LstmError]:
    """Return the errors with one for all files that the disk did not take: it has one reason."""
    of_disk = [error for error in errors if isinstance(error, DiskError)]
    if len(of_disk) < 2:
        return [*errors]
    first, *others = of_disk
    files = dict.fromkeys(str(error).partition(": ")[0].rpartition("/")[2] for error in others)
    together = DiskError(f"{first} The same of: {', '.join(files)}.", hint=first.hint)
    together.__cause__ = first  # for --debug
    rest = [error for error in errors if not isinstance(error, DiskError)]
    return [*rest, together]
