"""A backtest as the skill of a recipe against a baseline: over time, and per step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lstmcli.charts._style import (
    BLUE,
    CONE_BLUES,
    INK,
    MUTED,
    STYLE,
    new_figure,
    number_axis,
    session_axis,
    settle,
)
from lstmcli.errors import NoDataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def backtest_chart(
    growth: pd.DataFrame,
    skills: pd.DataFrame,
    *,
    folds: Sequence[pd.Timestamp],
    title: str,
    line: str,
    note: str | None = None,
) -> Figure:
    """Return cumulative skill against a baseline, and the skill at each step.

    Left, what has been gained so far over all steps, in % of the whole loss of the
    baseline: it ends at the skill of the verdict, and its band is the 95 % interval of
    the mean at that point. Right, the skill of each step with its 95 % interval.

    Args:
        growth: by origin, ascending: `gain low high`, fractions.
        skills: one row per step: `step skill low high`, fractions; NaN without a test.
        folds: first origin of each fold.
        line: what the skill is of and against.

    Raises:
        NoDataError: when there is no origin.
    """
    from matplotlib import style

    if growth.empty:
        raise NoDataError("Expected a backtest with an origin or more. Received: none.")
    with style.context(["default", STYLE]):
        figure = new_figure(
            title=title,
            lines=[line],
            note=note,
            footer="Bands and whiskers: 95 % confidence. Past skill is no promise. "
            "Not investment advice.",
        )
        left, right = figure.subplots(1, 2, width_ratios=[1.7, 1])
        _over_time(left, growth, folds, list(skills["step"]))
        _per_step(right, skills)
        settle(figure)
    return figure


def _over_time(
    axes: Axes, growth: pd.DataFrame, folds: Sequence[pd.Timestamp], steps: Sequence[int]
) -> None:
    x = np.arange(len(growth))
    days = pd.DatetimeIndex(growth.index)
    low, high = 100 * growth["low"].to_numpy(float), 100 * growth["high"].to_numpy(float)
    gain = 100 * growth["gain"].to_numpy(float)
    axes.fill_between(x, low, high, facecolor=CONE_BLUES[0.95], linewidth=0)
    axes.plot(x, gain, color=BLUE, linewidth=1.8)
    axes.axhline(0, color=INK, linewidth=1.0)
    for first in folds:
        axes.axvline(days.searchsorted(first), color=MUTED, linewidth=0.7, linestyle=":")
    axes.annotate(
        f"{gain[-1]:+.2f} %",
        (x[-1], np.nanmax([gain[-1], high[-1]])),
        xytext=(-2, 4),
        textcoords="offset points",
        ha="right",
        fontweight="bold",
        color=INK,
    )
    axes.set_title(
        f"gained so far at {', '.join(map(str, steps))} session{'s' * (steps[-1] > 1)}\n"
        "(dotted: a new fit)",
        loc="left",
        fontsize=10,
    )
    axes.margins(x=0.01)
    axes.grid(axis="y")
    session_axis(axes, days, first=0)
    number_axis(axes.yaxis, suffix=" %")


def _per_step(axes: Axes, skills: pd.DataFrame) -> None:
    x = np.arange(len(skills))
    values = 100 * skills[["skill", "low", "high"]].to_numpy(float)
    for at, (skill, low, high) in zip(x, values, strict=True):
        axes.plot([at, at], [low, high], color=BLUE, linewidth=1.6)
        axes.plot([at], [skill], "o", color=BLUE, markersize=6)
    axes.axhline(0, color=INK, linewidth=1.0)
    axes.set_xticks(x, [str(step) for step in skills["step"]])
    axes.set_xlabel("sessions ahead")
    axes.set_title("at each step\n", loc="left", fontsize=10)
    axes.set_xlim(-0.6, len(skills) - 0.4)
    axes.margins(y=0.18)
    axes.grid(axis="y")
    number_axis(axes.yaxis, suffix=" %")
