"""Several tickers side by side: how far each may move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lstmcli.charts._figure import new_figure, number_axis, settle
from lstmcli.charts.theme import PAPER, Palette, Theme
from lstmcli.frames import COVERAGES, interval_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TICKERS = 40
"""Rows that a picture holds."""

_ROW = 0.24  # inches


def compare_chart(
    forecasts: pd.DataFrame,
    *,
    title: str,
    lines: Sequence[str],
    note: str | None = None,
    remark: str = "",
    theme: Theme = PAPER,
) -> Figure:
    """Return the cones of tickers for the next session and the last one, in %.

    The ticker with the narrowest 80 % cone at the last step is on top. What stands beside
    the bars is the 80 % cone.

    Args:
        forecasts: `ticker step target_on q50` and the ends of the cones as changes from the last
            close, fractions.
        lines: what is said below the title.

    Raises:
        ValueError: more tickers than `MOST_TICKERS`.
    """
    from matplotlib import style

    last = forecasts.loc[forecasts.groupby("ticker")["step"].idxmax()].set_index("ticker")
    low, high = interval_columns(0.8)
    order = list((last[high] - last[low]).sort_values(kind="stable").index)
    if len(order) > MOST_TICKERS:
        raise ValueError(f"Expected at most {MOST_TICKERS} tickers. Received: {len(order)}.")
    first = forecasts[forecasts["step"] == 1].set_index("ticker")
    panels = [first, last] if int(last["step"].max()) > 1 else [first]
    rows = _ROW * len(order) + 0.9
    colours = theme.colours

    with style.context(["default", theme.style]):
        figure = new_figure(
            theme,
            title=title,
            lines=lines,
            note=note,
            footer=" ".join(
                filter(
                    None,
                    [
                        "Bars: 50, 80 and 95 % of outcomes; line: the median; numbers: 80 %.",
                        remark,
                        "Not investment advice.",
                    ],
                )
            ),
            body=rows * len(panels) if theme.phone else max(rows, 1.6),
        )
        shape = (len(panels), 1) if theme.phone else (1, len(panels))
        drawn = figure.subplots(*shape, squeeze=False).ravel()
        for axes, cones in zip(drawn, panels, strict=True):
            _draw(axes, cones.loc[order], colours, narrow=not theme.phone)
        settle(figure)
    return figure


def _draw(axes: Axes, cones: pd.DataFrame, colours: Palette, *, narrow: bool) -> None:
    y = np.arange(len(cones))
    axes.use_sticky_edges = False  # the widest bar shall not end at the frame
    for coverage in sorted(COVERAGES, reverse=True):
        low, high = (100 * cones[column].to_numpy(float) for column in interval_columns(coverage))
        axes.barh(y, high - low, left=low, height=0.62, color=colours.cones[coverage])
    median = 100 * cones["q50"].to_numpy(float)
    axes.vlines(median, y - 0.31, y + 0.31, color=colours.median, linewidth=1.8)
    axes.axvline(0, color=colours.ink, linewidth=0.8)
    step = int(cones["step"].max())
    dates = pd.DatetimeIndex(cones["target_on"])
    until = f"{dates.max():%d %b %Y}"
    ahead = f"{step} sessions, to {until}" if step > 1 else f"the next session, {until}"
    axes.set_title(ahead, loc="left", fontsize=10)
    axes.set_yticks(y, list(cones.index))
    axes.set_ylim(len(cones) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.locator_params(axis="x", nbins=4 if narrow else 5)
    number_axis(axes.xaxis, suffix="" if narrow else " %", signed=True)
    low, high = (100 * cones[column].to_numpy(float) for column in interval_columns(0.8))
    digits = 2 if max(abs(low).max(), abs(high).max()) < 1 else 1
    numbers = axes.twinx()
    numbers.set_ylim(axes.get_ylim())
    numbers.set_yticks(
        y,
        [
            f"{start:+.{digits}f} to {end:+.{digits}f} %".replace("-", "−")
            for start, end in zip(low, high, strict=True)
        ],
    )
    numbers.tick_params(length=0)
