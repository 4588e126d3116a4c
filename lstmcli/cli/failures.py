"""Failures of several tickers, as they are said."""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli.errors import LstmError, RateLimitError, SourceError, cause_of

SHOWN_OTHERS = 5
"""Tickers that are named of those which failed for the same reason as one before."""


def said_once(failed: Sequence[tuple[str, LstmError]]) -> list[LstmError]:
    """Return the errors to show; a failure of the source that several share comes once."""
    groups: dict[object, list[tuple[str, LstmError]]] = {}
    for number, (ticker, error) in enumerate(failed):
        is_shared = isinstance(error, SourceError)
        groups.setdefault(cause_of(ticker, error) if is_shared else number, []).append(
            (ticker, error)
        )
    shown = []
    for group in groups.values():
        first, others = group[0][1], [ticker for ticker, _ in group[1:]]
        if others:
            count = f"{len(others):,} other ticker{'s' * (len(others) > 1)}"
            listed = " ".join(others[:SHOWN_OTHERS]) + " …" * (len(others) > SHOWN_OTHERS)
            hint = first.hint if isinstance(first, RateLimitError) else "the same command, later"
            together = type(first)(f"{first} {count}: the same ({listed}).", hint=hint)
            together.__cause__ = first  # for --debug
            first = together
        shown.append(first)
    return shown
