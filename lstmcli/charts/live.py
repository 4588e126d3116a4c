"""How issued forecasts turned out: the last ones beside what came, and the skill so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lstmcli.charts._style import (
    BLUE,
    CONE_BLUES,
    INK,
    ORANGE,
    STYLE,
    new_figure,
    number_axis,
    session_axis,
    settle,
)
from lstmcli.errors import NoDataError
from lstmcli.frames import endpoints

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 40
"""Outcomes in the left panel: two months."""


def live_chart(
    scored: pd.DataFrame, skills: pd.DataFrame, *, title: str, against: str, note: str | None = None
) -> Figure:
    """Return the last one-session forecasts with what came, and the skill since the first.

    Args:
        scored: published step-1 forecasts of one ticker with `realised`, by origin.
        skills: by origin: `skill low high`, fractions, against `against`.

    Raises:
        NoDataError: nothing has been scored yet.
    """
    from matplotlib import style

    if scored.empty or skills.empty:
        raise NoDataError("Expected a scored forecast or more. Received: none.")
    with style.context(["default", STYLE]):
        figure = new_figure(
            title=title,
            lines=["one session ahead, as issued; nothing filled in afterwards"],
            note=note,
            footer="Left: bars hold 50, 80 and 95 % of outcomes. Right: 95 % confidence sequence, "
            "valid at every look.",
        )
        left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
        _outcomes(left, scored.tail(SHOWN))
        _skill(right, skills, against)
        settle(figure)
    return figure


def _outcomes(axes: Axes, rows: pd.DataFrame) -> None:
    x = np.arange(len(rows))
    for coverage in sorted(CONE_BLUES, reverse=True):
        low, high = endpoints(rows, coverage)
        axes.bar(x, 100 * (high - low), bottom=100 * low, width=0.8, color=CONE_BLUES[coverage])
    came = rows["realised"].to_numpy(float)
    low, high = endpoints(rows, 0.95)
    missed = (came < low) | (came > high)
    axes.plot(x[~missed], 100 * came[~missed], "o", color=INK, markersize=4)
    axes.plot(x[missed], 100 * came[missed], "D", color=ORANGE, markersize=5)
    axes.axhline(0, color=INK, linewidth=0.7)
    axes.set_title("dots: what came\n(diamonds: outside 95 %)", loc="left", fontsize=10)
    axes.margins(x=0.01)
    axes.grid(axis="y")
    session_axis(axes, pd.DatetimeIndex(rows["target_on"]), first=0)
    number_axis(axes.yaxis, suffix=" %")


def _skill(axes: Axes, skills: pd.DataFrame, against: str) -> None:
    x = np.arange(len(skills))
    low, high = 100 * skills["low"].to_numpy(float), 100 * skills["high"].to_numpy(float)
    skill = 100 * skills["skill"].to_numpy(float)
    axes.fill_between(x, low, high, facecolor=CONE_BLUES[0.95], linewidth=0)
    axes.plot(x, skill, color=BLUE, linewidth=1.8)
    axes.axhline(0, color=INK, linewidth=1.0)
    # The first dates say nothing, very widely.
    settled = slice(min(20, len(x) - 1), None)
    top = np.nanmax(np.abs(np.concatenate([low[settled], high[settled]])))
    axes.set_ylim(-1.1 * max(top, 1.0), 1.1 * max(top, 1.0))
    axes.set_title(f"CRPS skill so far\nagainst {against}", loc="left", fontsize=10)
    axes.margins(x=0.01)
    axes.grid(axis="y")
    session_axis(axes, pd.DatetimeIndex(skills.index), first=0)
    number_axis(axes.yaxis, suffix=" %")
