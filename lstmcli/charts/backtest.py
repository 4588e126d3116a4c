"""A backtest: what each recipe gained over time, and where it stands on the ladder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from lstmcli.charts._figure import (
    new_figure,
    number_axis,
    session_axis,
    settle,
    spread,
    text_width,
)
from lstmcli.charts.theme import PAPER, Palette, Theme
from lstmcli.errors import NoDataError
from lstmcli.evaluation.ladder import BEATS, LOSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 8
"""Recipes in one picture; more cannot be told apart."""

FEW = 4
"""Recipes whose skill is written where their line ends."""

_DASHES = ("-", (0, (5, 2)))

_MARKERS = {BEATS: "^", LOSES: "v"}

_LABEL_GAP = 13.0  # points, between the centres of two labels above each other


class _Line(NamedTuple):
    """How a recipe is drawn."""

    colour: str
    dashes: object


def backtest_chart(
    growth: Mapping[str, pd.DataFrame],
    ladder: pd.DataFrame,
    *,
    folds: Sequence[pd.Timestamp],
    title: str,
    against: str,
    steps: Sequence[int],
    footer: str,
    note: str | None = None,
    theme: Theme = PAPER,
) -> Figure:
    """Return the skill of recipes over time, and against every baseline of the ladder.

    The first panel has what has been gained so far against one baseline, in % of its
    whole loss: a line ends at the skill of its verdict. Of a single recipe the band is the 95 %
    interval of the mean at that point. The second panel has the skill against each
    baseline with its interval, the hardest baseline on top.

    Args:
        growth: of each recipe by origin, ascending: `gain low high`, fractions.
        ladder: `recipe baseline skill low high word`, fractions; of each recipe the weakest
            baseline first. NaN where there is no test.
        folds: first origin of each fold.
        against: the baseline of the first panel.
        steps: sessions ahead that are judged together.

    Raises:
        NoDataError: when there is no origin.
    """
    from matplotlib import style

    if not growth or all(one.empty for one in growth.values()):
        raise NoDataError("Expected a backtest with an origin or more. Received: none.")
    colours = theme.colours
    rungs = list(dict.fromkeys(ladder["baseline"]))
    ahead = f"{', '.join(map(str, steps))} session{'s' * (steps[-1] > 1)} ahead"
    # Every style of a line appears once before one comes twice.
    styles = cycle(_Line(colour, dashes) for dashes in _DASHES for colour in colours.series)
    lines = dict(zip(growth, styles, strict=False))
    # A mark needs a tenth of an inch, and the titles of the panels half an inch.
    room = 0.5 + len(rungs) * max(0.3, 0.1 * (len(growth) + 1))

    with style.context(["default", theme.style]):
        figure = new_figure(
            theme,
            title=title,
            lines=[f"Skill is the loss saved against a baseline, {ahead}. Above zero is better."],
            note=note,
            footer=f"▲ shown to be better, ▼ shown to be worse, ○ cannot be told apart. {footer} "
            "Past skill is no promise. Not investment advice.",
            body=2.6 + room if theme.phone else max(3.0, room),
        )
        if theme.phone:
            over_time, of_rungs = figure.subplots(2, 1, height_ratios=[2.0, room - 0.5])
        else:
            over_time, of_rungs = figure.subplots(1, 2, width_ratios=[1.5, 1])
        _over_time(over_time, growth, lines, folds, against, colours)
        _ladder(of_rungs, ladder, rungs, lines, colours)
        _label_ends(figure, over_time, growth, lines)
    return figure


def _over_time(
    axes: Axes,
    growth: Mapping[str, pd.DataFrame],
    lines: Mapping[str, _Line],
    folds: Sequence[pd.Timestamp],
    against: str,
    colours: Palette,
) -> None:
    dates = pd.DatetimeIndex([])
    for one in growth.values():
        dates = dates.union(pd.DatetimeIndex(one.index))
    for name, one in growth.items():
        x = dates.searchsorted(pd.DatetimeIndex(one.index))
        if len(growth) == 1:
            low, high = (100 * one[end].to_numpy(float) for end in ("low", "high"))
            axes.fill_between(x, low, high, facecolor=colours.cone95, linewidth=0)
        line = lines[name]
        gain = 100 * one["gain"].to_numpy(float)
        axes.plot(x, gain, color=line.colour, linestyle=line.dashes, linewidth=1.8, label=name)
    axes.axhline(0, color=colours.ink, linewidth=1.0)
    for first in folds:
        at = dates.searchsorted(first)
        axes.axvline(at, color=colours.muted, linewidth=0.7, linestyle=":")
    axes.set_title(f"gained so far against\n{against} (dotted: a new fit)", loc="left", fontsize=10)
    axes.margins(x=0.0)
    axes.grid(axis="y")
    session_axis(axes, dates)
    number_axis(axes.yaxis, suffix=" %", signed=True)


def _ladder(
    axes: Axes,
    ladder: pd.DataFrame,
    rungs: Sequence[str],
    lines: Mapping[str, _Line],
    colours: Palette,
) -> None:
    names = list(lines)
    # Those of one rung stand in the middle 0.7 of it, the first one on top.
    gap = 0.7 / max(len(names), 3)
    for row in ladder.to_dict("records"):
        if not np.isfinite(row["skill"]):
            continue
        number = names.index(row["recipe"])
        y = rungs.index(row["baseline"]) - gap * (number - (len(names) - 1) / 2)
        line = lines[row["recipe"]]
        ends = [100 * row["low"], 100 * row["high"]]
        axes.plot(ends, [y, y], color=line.colour, linestyle=line.dashes, linewidth=1.4)
        axes.plot(
            [100 * row["skill"]],
            [y],
            _MARKERS.get(row["word"], "o"),
            color=line.colour,
            markerfacecolor=line.colour if row["word"] in _MARKERS else colours.paper,
            markersize=6 if len(names) <= 4 else 4.5,
        )
    axes.axvline(0, color=colours.ink, linewidth=1.0)
    axes.set_title("against each baseline,\nthe hardest on top", loc="left", fontsize=10)
    axes.set_yticks(range(len(rungs)), rungs)
    axes.set_ylim(-0.6, len(rungs) - 0.4)
    axes.margins(x=0.08)
    axes.grid(axis="x")
    axes.locator_params(axis="x", nbins=3)
    number_axis(axes.xaxis, suffix=" %", signed=True)


def _label_ends(
    figure: Figure, axes: Axes, growth: Mapping[str, pd.DataFrame], lines: Mapping[str, _Line]
) -> None:
    """Write name and skill where each line ends, above each other where they are close.

    Of many recipes the name alone: the other panel has their skill.
    """
    ends = {name: 100 * float(one["gain"].iloc[-1]) for name, one in growth.items() if len(one)}
    names = sorted(ends, key=lambda name: ends[name])
    few = len(names) <= FEW
    texts = [f"{name}\n{ends[name]:+.2f} %".replace("-", "−") if few else name for name in names]
    rows = [row for text in texts for row in text.splitlines()]
    needed = 0.1 + max(text_width(row, fontsize=10, fontweight="bold") for row in rows)
    settle(figure)
    box = axes.get_window_extent()
    # The axes go on behind the last date, as far as the longest name.
    share = min(needed * figure.dpi / box.width, 0.6)
    first, last = axes.get_xlim()
    axes.set_xlim(first, last + (last - first) * share / (1 - share))
    height = box.height * 72 / figure.dpi
    low, high = axes.get_ylim()
    gap = _LABEL_GAP * (2 if few else 1)
    # No label reaches beyond the axes: its middle stays half a label away from their ends.
    wanted = [(ends[name] - low) / (high - low) * height - gap / 2 for name in names]
    places = spread(wanted, gap=gap, top=height - gap)
    for text, name, at in zip(texts, names, places, strict=True):
        axes.annotate(
            text,
            (1 - share, (at + gap / 2) / height),
            xycoords="axes fraction",
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=lines[name].colour,
            fontsize=10,
            fontweight="bold",
            linespacing=1.0,
            bbox={"facecolor": axes.get_facecolor(), "edgecolor": "none", "pad": 0.5},
        )
