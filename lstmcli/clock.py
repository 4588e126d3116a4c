"""The one clock: staleness, partial bars and dates all read it."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from lstmcli.errors import ConfigError

VARIABLE = "LSTM_NOW"


def now() -> datetime:
    """Return the current time in UTC, or what `LSTM_NOW` says it is.

    Raises:
        ConfigError: `LSTM_NOW` is not an ISO time with a zone.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _bad(text) from error
    if moment.tzinfo is None:
        raise _bad(text)
    return moment.astimezone(UTC)


def _bad(text: str) -> ConfigError:
    return ConfigError(
        f"Expected {VARIABLE} as an ISO time with a zone. Received: {text!r}.",
        hint=f"{VARIABLE}=2024-03-08T18:00:00-05:00, or unset it",
    )
