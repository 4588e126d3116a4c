"""How issued forecasts turned out: the last ones beside what came, and the skill so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lstmcli.charts._figure import new_figure, number_axis, session_axis, settle
from lstmcli.charts.theme import PAPER, Palette, Theme
from lstmcli.errors import NoDataError
from lstmcli.evaluation.sequences import MIN_OUTCOMES, MIN_SKILL_OUTCOMES
from lstmcli.frames import COVERAGES, endpoints

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 40
"""Outcomes in the first panel: two months. A phone shows half of them."""


def live_chart(
    scored: pd.DataFrame,
    skills: pd.DataFrame,
    *,
    title: str,
    against: str,
    note: str | None = None,
    theme: Theme = PAPER,
) -> Figure:
    """Return the last one-session forecasts with what came, and the skill since the first.

    Args:
        scored: published step-1 forecasts of one ticker with `realised`, by origin.
        skills: by origin: `skill low high`, fractions, against `against`; NaN where there is
            nothing to say yet, as `skill_sequence` returns them.
        against: the name of a baseline in a sentence.

    Raises:
        NoDataError: nothing has been scored yet.
    """
    from matplotlib import style

    if scored.empty or skills.empty:
        raise NoDataError("Expected a scored forecast or more. Received: none.")
    colours = theme.colours
    with style.context(["default", theme.style]):
        figure = new_figure(
            theme,
            title=title,
            lines=["Returns with dividends, one session ahead, as issued. Nothing was filled in."],
            note=note,
            footer="Shaded: 50, 80 and 95 % of outcomes. Skill: CRPS in units of volatility; "
            "95 % confidence sequence, valid at every look. Not investment advice.",
            body=4.8 if theme.phone else None,
        )
        if theme.phone:
            first, second = figure.subplots(2, 1, height_ratios=[1.2, 1])
        else:
            first, second = figure.subplots(1, 2, width_ratios=[1.5, 1])
        _outcomes(first, scored.tail(SHOWN // 2 if theme.phone else SHOWN), colours)
        _skill(second, skills, against, colours)
        settle(figure)
    return figure


def _outcomes(axes: Axes, rows: pd.DataFrame, colours: Palette) -> None:
    x = np.arange(len(rows))
    for coverage in sorted(COVERAGES, reverse=True):
        low, high = endpoints(rows, coverage)
        axes.fill_between(*_columns(x, low, high), color=colours.cones[coverage], linewidth=0)
    came = rows["realised"].to_numpy(float)
    low, high = endpoints(rows, 0.95)
    missed = (came < low) | (came > high)
    axes.plot(x[~missed], 100 * came[~missed], "o", color=colours.ink, markersize=4)
    axes.plot(x[missed], 100 * came[missed], "D", color=colours.orange, markersize=5)
    axes.axhline(0, color=colours.ink, linewidth=0.7)
    axes.set_title("cones, and what came\n(diamonds: outside 95 %)", loc="left", fontsize=10)
    axes.margins(x=0.01)
    axes.grid(axis="y")
    session_axis(axes, pd.DatetimeIndex(rows["target_on"]))
    number_axis(axes.yaxis, suffix=" %", signed=True)


def _columns(
    x: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the corners of columns of 0.8 around x from low to high, in %.

    One area with gaps is drawn several times as fast as forty bars.
    """
    gap = np.full(len(x), np.nan)
    lower, upper = (np.column_stack([100 * end, 100 * end, gap]).ravel() for end in (low, high))
    return np.column_stack([x - 0.4, x + 0.4, x + 0.5]).ravel(), lower, upper


def _skill(axes: Axes, skills: pd.DataFrame, against: str, colours: Palette) -> None:
    said = skills.iloc[MIN_OUTCOMES - 1 :]
    axes.set_title(f"CRPS skill so far\nagainst {against}", loc="left", fontsize=10)
    axes.grid(axis="y")
    _wait(axes, len(skills), colours)
    if not len(said):
        axes.set_axis_off()
        return
    x = np.arange(len(said))
    low, skill, high = (100 * said[name].to_numpy(float) for name in ("low", "skill", "high"))
    # Each evening's interval is as wide as its session, the first one too.
    edges = np.ravel([x - 0.5, x + 0.5], order="F")
    axes.fill_between(
        edges, np.repeat(low, 2), np.repeat(high, 2), facecolor=colours.cone95, linewidth=0
    )
    axes.plot(x, skill, color=colours.blue, linewidth=1.8)
    axes.plot(x[-1:], skill[-1:], "o", color=colours.blue, markersize=5)
    axes.axhline(0, color=colours.ink, linewidth=1.0)
    # The first intervals say nothing, very widely.
    top = np.nanmax(np.abs([*skill, low[-1], high[-1], 1.0]))
    axes.set_ylim(-1.3 * top, 1.3 * top)
    axes.margins(x=0.02)
    session_axis(axes, pd.DatetimeIndex(said.index))
    number_axis(axes.yaxis, suffix=" %", signed=True)


def _wait(axes: Axes, sessions: int, colours: Palette) -> None:
    """Write how long it takes until there is an interval; nothing once there is one."""
    waiting = MIN_SKILL_OUTCOMES - sessions
    if waiting <= 0:
        return
    axes.text(
        0.5,
        0.04,
        f"no interval before {MIN_SKILL_OUTCOMES}\nsessions: {waiting} to come",
        transform=axes.transAxes,
        ha="center",
        va="bottom",
        color=colours.muted,
        bbox={"facecolor": colours.paper, "edgecolor": "none", "pad": 1},
    )
