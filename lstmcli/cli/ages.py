"""Ages on the command line, such as 36h or 3d, and ages in words."""

from __future__ import annotations

from datetime import timedelta

from lstmcli.errors import ConfigError

_UNITS = {"m": 60, "h": 3600, "d": 86400}


def parse_age(text: str, *, hint: str) -> timedelta:
    """Return an age such as 90m, 36h or 3d.

    Raises:
        ConfigError: it is none.
    """
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isdecimal() or not 0 < int(number) < 100_000:
        raise ConfigError(
            f"Expected an age in minutes, hours or days. Received: {text!r}.", hint=hint
        )
    return timedelta(seconds=int(number) * _UNITS[unit])
