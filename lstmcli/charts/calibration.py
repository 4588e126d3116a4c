"""Whether cones hold what they promise: PIT, coverage, and coverage over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lstmcli.charts._figure import new_figure, number_axis, session_axis, settle
from lstmcli.charts.theme import PAPER, Palette, Theme
from lstmcli.errors import NoDataError
from lstmcli.frames import COVERAGES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY = 1_000
"""Outcomes from which on the histogram has 20 bins instead of 10."""


def calibration_chart(
    pit: np.ndarray,
    coverage: pd.DataFrame,
    rolling: pd.DataFrame,
    *,
    title: str,
    line: str,
    sessions: int,
    note: str | None = None,
    theme: Theme = PAPER,
) -> Figure:
    """Return where outcomes fell, coverage by step, and coverage over time.

    A histogram of where outcomes fell (PIT) that is flat says that they fall everywhere
    in the forecast distribution as often as promised: a hump in the middle means cones too
    wide, horns at the ends too narrow.

    Args:
        pit: (N,) where each outcome fell, 0 to 1.
        coverage: one row per step: `step`, and `coverage50 coverage80 coverage95`.
        rolling: by origin, one column per nominal coverage (0.5, 0.8, 0.95): the
            share of outcomes inside over the last `sessions` origins.

    Raises:
        NoDataError: when there is no outcome.
    """
    from matplotlib import style

    if not len(pit):
        raise NoDataError("Expected an outcome or more. Received: none.")
    colours = theme.colours
    with style.context(["default", theme.style]):
        figure = new_figure(
            theme,
            title=title,
            lines=[line],
            note=note,
            footer="Dashed: what is promised. Not investment advice.",
            body=6.0 if theme.phone else None,
        )
        places: list[Any] = [["pit", "steps"], ["rolling", "rolling"]]
        if theme.phone:
            places = [["pit"], ["steps"], ["rolling"]]
        axes = figure.subplot_mosaic(places)
        _histogram(axes["pit"], pit, colours)
        _by_step(axes["steps"], coverage, colours)
        _over_time(axes["rolling"], rolling, sessions, colours)
        settle(figure)
    return figure


def _shades(colours: Palette) -> dict[float, str]:
    return {0.50: colours.cone50, 0.80: colours.blue, 0.95: colours.median}


def _histogram(axes: Axes, pit: np.ndarray, colours: Palette) -> None:
    bins = 20 if len(pit) >= MANY else 10
    counts, edges = np.histogram(pit, bins=bins, range=(0, 1))
    axes.bar(
        edges[:-1],
        100 * counts / counts.sum(),
        width=1 / bins,
        align="edge",
        color=colours.cone50,
        linewidth=0.5,
        edgecolor=colours.paper,
    )
    axes.axhline(100 / bins, color=colours.ink, linewidth=1.2, linestyle="--")
    axes.set_title("where outcomes fell (flat is right)", loc="left", fontsize=10)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["lowest", "median", "highest"])
    number_axis(axes.yaxis, suffix=" %")


def _by_step(axes: Axes, coverage: pd.DataFrame, colours: Palette) -> None:
    x = np.arange(len(coverage))
    for share, colour in _shades(colours).items():
        axes.axhline(100 * share, color=colours.muted, linewidth=0.8, linestyle="--")
        came = 100 * coverage[f"coverage{share * 100:.0f}"].to_numpy(float)
        axes.plot(x, came, "o-", color=colour, linewidth=1.4, markersize=5)
    axes.set_title("inside, by sessions ahead", loc="left", fontsize=10)
    axes.set_xticks(x, [str(step) for step in coverage["step"]])
    _coverage_ticks(axes)
    low = float(coverage.drop(columns="step").to_numpy().min())
    axes.set_ylim(100 * min(0.35, low - 0.05), 102)
    axes.margins(x=0.1)


def _coverage_ticks(axes: Axes) -> None:
    shares = [100 * share for share in COVERAGES]
    axes.set_yticks(shares, [f"{share:.0f} %" for share in shares])


def _over_time(axes: Axes, rolling: pd.DataFrame, sessions: int, colours: Palette) -> None:
    title = f"inside at 1 session, over {sessions} origins"
    if rolling.empty:
        axes.text(
            0.5,
            0.5,
            f"fewer than {sessions} origins",
            transform=axes.transAxes,
            ha="center",
            va="center",
            color=colours.muted,
        )
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(title, loc="left", fontsize=10)
        return
    x = np.arange(len(rolling))
    marker = "." if len(rolling) == 1 else None
    for share, colour in _shades(colours).items():
        axes.axhline(100 * share, color=colours.muted, linewidth=0.8, linestyle="--")
        came = 100 * rolling[share].to_numpy(float)
        axes.plot(x, came, color=colour, linewidth=1.5, marker=marker)
    _coverage_ticks(axes)
    axes.margins(x=0.01, y=0.08)
    session_axis(axes, pd.DatetimeIndex(rolling.index))
    inside = 100 * rolling[0.8].to_numpy(float)
    lowest = int(inside.argmin())
    axes.plot([lowest], [inside[lowest]], "o", color=colours.orange, markersize=5)
    axes.set_title(f"{title}\nlowest 80 %: {inside[lowest]:.1f} % (dot)", loc="left", fontsize=10)
