"""Marks of reports at the axis of sessions: those that were, and the next one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lstmcli.charts.theme import Palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROOM = 0.1
"""Share of the axes' height that is kept free for the name of the next report."""


_NAME = 0.25
"""Share of the axes' width that the name may need, on a phone."""


def mark_reports(
    axes: Axes,
    dates: pd.DatetimeIndex,
    sessions: Sequence[date],
    *,
    origin: int,
    first: int,
    colours: Palette,
) -> None:
    """Draw a triangle at each session that reacts to a report, and name those that are ahead.

    Args:
        dates: of the positions first, first + 1, …
        sessions: from the first of them to the last.
        origin: how many of them were known when the forecast was made.
    """
    days = pd.DatetimeIndex(sessions).as_unit("ns")
    places = np.searchsorted(dates.to_numpy("datetime64[ns]"), days.to_numpy("datetime64[ns]"))
    past, ahead = places[places < origin] + first, places[places >= origin] + first
    across = axes.get_xaxis_transform()
    for at, colour, size, label in (
        (past, colours.muted, 5.5, "_past reports"),
        (ahead, colours.ink, 7.0, "_next report"),
    ):
        if len(at):
            axes.plot(
                at,
                np.full(len(at), 0.02),
                "^",
                color=colour,
                markersize=size,
                markeredgewidth=0,
                transform=across,
                clip_on=False,
                label=label,
            )
    if not len(ahead):
        return
    low, high = axes.get_ylim()
    axes.set_ylim(low - _ROOM * (high - low), high)
    left, right = axes.get_xlim()
    for at in ahead:
        near_right = (right - at) / (right - left) < _NAME
        axes.annotate(
            "report",
            (at, 0.02),
            xycoords=across,
            xytext=(-6 if near_right else 6, 0),
            textcoords="offset points",
            ha="right" if near_right else "left",
            va="center",
            color=colours.ink,
        )
