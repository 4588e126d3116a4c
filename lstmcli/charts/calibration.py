"""Whether cones hold what they promise: PIT, coverage, and coverage over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lstmcli.charts._style import (
    BLUE,
    CONE_BLUES,
    INK,
    MEDIAN_BLUE,
    MUTED,
    ORANGE,
    STYLE,
    new_figure,
    number_axis,
    session_axis,
    settle,
)
from lstmcli.errors import NoDataError
from lstmcli.frames import COVERAGES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 20
SHADES = {0.50: CONE_BLUES[0.50], 0.80: BLUE, 0.95: MEDIAN_BLUE}


def calibration_chart(
    pit: np.ndarray,
    coverage: pd.DataFrame,
    rolling: pd.DataFrame,
    *,
    title: str,
    line: str,
    sessions: int,
    note: str | None = None,
) -> Figure:
    """Return the PIT histogram, coverage against nominal, and coverage over time.

    A PIT that is flat says that outcomes fall everywhere in the forecast
    distribution as often as promised: a hump in the middle means cones too
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
    with style.context(["default", STYLE]):
        figure = new_figure(
            title=title,
            lines=[line],
            note=note,
            footer="Where outcomes fell in their forecast distribution. Not investment advice.",
        )
        axes = figure.subplot_mosaic([["pit", "steps"], ["rolling", "rolling"]])
        _histogram(axes["pit"], pit)
        _by_step(axes["steps"], coverage)
        _over_time(axes["rolling"], rolling, sessions)
        settle(figure)
    return figure


def _histogram(axes: Axes, pit: np.ndarray) -> None:
    counts, edges = np.histogram(pit, bins=BINS, range=(0, 1))
    share = 100 * counts / counts.sum()
    axes.bar(
        edges[:-1],
        share,
        width=1 / BINS,
        align="edge",
        color=CONE_BLUES[0.50],
        linewidth=0.5,
        edgecolor="white",
    )
    axes.axhline(100 / BINS, color=INK, linewidth=1.2, linestyle="--")
    axes.set_title("PIT (flat is right)", loc="left", fontsize=10)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["lowest", "median", "highest"])
    number_axis(axes.yaxis, suffix=" %")


def _by_step(axes: Axes, coverage: pd.DataFrame) -> None:
    x = np.arange(len(coverage))
    for share in COVERAGES:
        axes.axhline(100 * share, color=MUTED, linewidth=0.8, linestyle="--")
        came = 100 * coverage[f"coverage{share * 100:.0f}"].to_numpy(float)
        axes.plot(x, came, "o-", color=SHADES[share], linewidth=1.4, markersize=5)
    axes.set_title("outcomes inside, by sessions ahead", loc="left", fontsize=10)
    axes.set_xticks(x, [str(step) for step in coverage["step"]])
    axes.set_yticks([100 * share for share in COVERAGES], [f"{share:.0%}" for share in COVERAGES])
    axes.set_ylim(35, 100)
    axes.margins(x=0.1)


def _over_time(axes: Axes, rolling: pd.DataFrame, sessions: int) -> None:
    title = f"inside at 1 session, over the last {sessions} origins"
    axes.set_title(title, loc="left", fontsize=10)
    if rolling.empty:
        axes.text(
            0.5,
            0.5,
            f"fewer than {sessions} origins",
            transform=axes.transAxes,
            ha="center",
            va="center",
            color=MUTED,
        )
        axes.set_xticks([])
        axes.set_yticks([])
        return
    x = np.arange(len(rolling))
    for share in COVERAGES:
        axes.axhline(100 * share, color=MUTED, linewidth=0.8, linestyle="--")
        axes.plot(x, 100 * rolling[share].to_numpy(float), color=SHADES[share], linewidth=1.5)
        lowest = int(rolling[share].to_numpy().argmin())
        if share == 0.8:
            axes.plot(
                [lowest], [100 * rolling[share].iloc[lowest]], "o", color=ORANGE, markersize=5
            )
            axes.annotate(
                f"{100 * rolling[share].iloc[lowest]:.1f} %",
                (lowest, 100 * rolling[share].iloc[lowest]),
                xytext=(0, -5),
                textcoords="offset points",
                ha="center",
                va="top",
                color=INK,
            )
    axes.set_yticks([100 * share for share in COVERAGES], [f"{share:.0%}" for share in COVERAGES])
    axes.margins(x=0.01, y=0.08)
    session_axis(axes, pd.DatetimeIndex(rolling.index), first=0)
