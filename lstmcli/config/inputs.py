"""The names of what a network reads: features, market series, inputs known ahead.

Each name belongs into one list of a config. One that stands in another is refused with
the list where it belongs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lstmcli.config._words import suggest
from lstmcli.config._yaml import show_value
from lstmcli.features import CALENDAR_INPUTS, MARKET_KINDS, OWN_FEATURES, find_feature, is_event
from lstmcli.frames import EARNINGS, EVENT_NAME, USER_KIND

_SERIES = re.compile(r"[a-z][a-z0-9_]{0,31}")


def check_series(name: str) -> str:
    """Return the name of a market series.

    Raises:
        ValueError: it cannot begin the name of a feature.
    """
    if not _SERIES.fullmatch(name):
        raise ValueError(
            f"Expected a series' name of lower-case letters, digits and _, as in "
            f"`market: {{vix: ^VIX}}`. Received: {show_value(name)}."
        )
    for kind in MARKET_KINDS:
        if f"{name}_{kind}" in OWN_FEATURES:
            raise ValueError(
                f"Expected another name: {name}_{kind} is a feature of a ticker's own bars. "
                f"Received: {show_value(name)}."
            )
    return name


def check_feature(name: str) -> str:
    """Return the name of a feature.

    Raises:
        ValueError: there is none, or it is known ahead.
    """
    if find_feature(name) is not None:
        return name
    if is_event(name) or name in CALENDAR_INPUTS:
        raise ValueError(f"{name} is known ahead of a session; name it under `future:`")
    raise ValueError(f"unknown feature {show_value(name)}{suggest(name, OWN_FEATURES)}")


def check_future(name: str) -> str:
    """Return the name of an input that is known ahead.

    Raises:
        ValueError: there is none, or it is known only when a session has closed.
    """
    user_kind = is_event(name) and EVENT_NAME.fullmatch(name.removeprefix(USER_KIND))
    if name in CALENDAR_INPUTS or user_kind:
        return name
    if find_feature(name) is not None:
        raise ValueError(f"{name} is known when its session has closed; name it under `features:`")
    if is_event(name):
        raise ValueError(
            f"Expected user: and a name of lower-case letters, digits, _ and -. "
            f"Received: {show_value(name)}."
        )
    known = [*CALENDAR_INPUTS, EARNINGS, "user:NAME"]
    raise ValueError(f"unknown input {show_value(name)}{suggest(name, known)}")


def missing_series(features: tuple[str, ...], market: Mapping[str, str]) -> dict[int, str]:
    """Return by the position of a feature what is wrong: its market series has no entry."""
    found = {}
    for position, name in enumerate(features):
        feature = find_feature(name)
        if feature is not None and feature.series and feature.series not in market:
            found[position] = (
                f"{name} reads the market series {feature.series}; "
                f"add `market: {{{feature.series}: ^VIX}}` with its ticker"
            )
    return found
