"""Inputs that are known ahead: what the calendar and announcements say of coming sessions.

A network reads them for each session that it forecasts. The weekday of a session is known
at every origin; an event only at those from `known_on` on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.frames import EARNINGS, USER_KIND
from lstmcli.panel import View

FOREVER = np.iinfo(np.int32).max
"""The end of a span that has none, in days since 1970."""

WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class CalendarInput:
    """Something that the date of a session says.

    Attributes:
        channels: numbers for each session.
        table: from sessions (S,) to (S, channels) float32.
    """

    name: str
    description: str
    channels: int
    table: Callable[[pd.DatetimeIndex], np.ndarray]


def _weekday(sessions: pd.DatetimeIndex) -> np.ndarray:
    return np.eye(7, dtype=np.float32)[sessions.day_of_week]


CALENDAR_INPUTS = {
    calendar_input.name: calendar_input
    for calendar_input in (
        CalendarInput("weekday", "day of the week of the session, one-hot", 7, _weekday),
    )
}


def is_event(name: str) -> bool:
    """Return whether the name of a known-ahead input is that of a kind of events."""
    return name == EARNINGS or name.startswith(USER_KIND)


def channels_ahead(names: Sequence[str]) -> int:
    """Return K, how many numbers these inputs have for each session."""
    return sum(1 if is_event(name) else CALENDAR_INPUTS[name].channels for name in names)


def known_ahead(
    view: View, sessions: pd.DatetimeIndex, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return what is known ahead of some sessions, and since when.

    Args:
        sessions: (S,) of the ticker's calendar, ascending.
        names: inputs; those of the calendar come first in the result.

    Returns:
        The channels of the calendar (S, C) float32, and the spans of the E kinds of
        events (S, E, D, 2) int32: at origins from the first day to the day before the
        second, in days since 1970, an event on the session was known. D spans fit the
        session with the most; the others are empty.
    """
    tables = [CALENDAR_INPUTS[name].table(sessions) for name in names if not is_event(name)]
    calendar = np.concatenate([np.zeros((len(sessions), 0), np.float32), *tables], axis=1)
    spans = [_spans(view.events(name), sessions) for name in names if is_event(name)]
    depth = max((part.shape[1] for part in spans), default=0)
    together = np.zeros((len(sessions), len(spans), depth, 2), np.int32)
    for position, part in enumerate(spans):
        together[:, position, : part.shape[1]] = part
    return calendar, together


def _spans(events: pd.DataFrame, sessions: pd.DatetimeIndex) -> np.ndarray:
    """Return the spans (S, D, 2) in which an event on each session was known."""
    found: dict[int, list[tuple[int, int]]] = {}
    at = sessions.get_indexer(pd.DatetimeIndex(events["session"]))
    days = events["known_on"].to_numpy("datetime64[D]").astype(np.int32)
    for (_, position), rows in events.assign(at=at, day=days).groupby(["source", "at"]):
        if position < 0:
            continue
        # Of statements made on one day the last one counts.
        holds = rows.drop_duplicates("day", keep="last").sort_values("day")
        begins = holds["day"].to_numpy()
        ends = np.append(begins[1:], FOREVER)
        expected = (holds["status"] != WITHDRAWN).to_numpy()
        found.setdefault(int(position), []).extend(
            zip(begins[expected].tolist(), ends[expected].tolist(), strict=True)
        )
    depth = max(map(len, found.values()), default=0)
    spans = np.zeros((len(sessions), depth, 2), np.int32)
    for position, known in found.items():
        spans[position, : len(known)] = np.reshape(known, (-1, 2))  # none: taken back at once
    return spans
