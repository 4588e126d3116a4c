"""What the attention of one window weighs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lstmcli.charts._style import (
    BLUE,
    CONE_BLUES,
    INK,
    STYLE,
    dates_with_years,
    new_figure,
    number_axis,
    settle,
)
from lstmcli.errors import NoDataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attention_chart(weights: pd.DataFrame, *, title: str, note: str | None = None) -> Figure:
    """Return the attention on each session of the window as bars.

    The dashed line is 1/L, which a network without preference would give.

    Raises:
        NoDataError: when the window is empty.
    """
    from matplotlib import style

    if weights.empty:
        raise NoDataError("Expected an attention weight or more. Received: none.")
    sessions = pd.DatetimeIndex(weights["session"])
    percent = 100 * weights["weight"].to_numpy(float)
    uniform = 100 / len(percent)

    with style.context(["default", STYLE]):
        figure = new_figure(
            title=title,
            lines=[f"window of {len(sessions)} sessions up to {sessions[-1]:%d %b %Y}"],
            note=note,
            footer=None,
        )
        axes = figure.add_subplot()
        # By position and not by date: weekends would tear holes between the bars.
        positions = np.arange(len(sessions))
        heaviest = int(percent.argmax())
        bars = axes.bar(positions, percent, width=0.85, color=CONE_BLUES[0.50])
        axes.axhline(uniform, color=INK, linewidth=1.2, linestyle="--")
        axes.annotate(
            f"uniform\n{uniform:.2g} %",
            (1, uniform),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=INK,
        )
        # Equal weights have no heaviest; a hair above is rounding.
        if percent[heaviest] > 1.01 * uniform:
            bars[heaviest].set_facecolor(BLUE)
            share = heaviest / max(len(sessions) - 1, 1)
            axes.annotate(
                f"{sessions[heaviest]:%d %b}: {percent[heaviest]:.2g} %",
                (heaviest, percent[heaviest]),
                xytext=(0, 3),
                textcoords="offset points",
                ha="left" if share < 0.1 else "right" if share > 0.9 else "center",
                va="bottom",
                color=INK,
            )
        ticks = np.unique(np.linspace(0, len(sessions) - 1, 6).round().astype(int))
        axes.set_xticks(ticks, dates_with_years(sessions[ticks], "%d %b"))
        number_axis(axes.yaxis, suffix=" %")
        axes.set_ylabel("share of the attention")
        axes.set_xlim(-0.8, len(sessions) - 0.2)
        axes.set_ylim(0, 1.12 * max(percent.max(), uniform))
        axes.grid(axis="y")
        settle(figure)
    return figure
