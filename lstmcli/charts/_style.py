"""Colours, sizes, figures and axes that every chart shares."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SIZE = (7.0, 4.5)
"""Width and height, in inches."""

DPI = 150

FONT = "DejaVu Sans"  # ships with matplotlib, so that a chart is the same everywhere
STYLE = {
    "font.family": FONT,
    "font.size": 10,
    "text.color": "#222222",
    "axes.titlecolor": "#222222",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": "#444444",
    "xtick.color": "#666666",
    "ytick.color": "#666666",
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
}

INK = "#222222"
MUTED = "#555555"
BLUE = "#0072b2"  # Okabe and Ito (2008), as is ORANGE: apart for every colour vision
ORANGE = "#d55e00"
MEDIAN_BLUE = "#002b4d"
CONE_BLUES = {0.95: "#d3e5f2", 0.80: "#9cc5e1", 0.50: "#5b9fce"}

FOOTER_WIDTH = 104
"""Characters that fit a line of the footer."""

MARGIN = 0.1  # inches, around everything
LINE = 0.2  # inches, one line of 10 points


def new_figure(*, title: str, lines: Sequence[str], note: str | None, footer: str | None) -> Figure:
    """Return a figure with its header and footer, and room for axes between them."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=SIZE, dpi=DPI)
    width, height = SIZE
    left, top = MARGIN / width, height - MARGIN  # a fraction, inches

    def write(text: str, **style: Any) -> None:
        figure.text(
            left,
            top / height,
            _shortened(figure, text, style),
            va="top",
            parse_math=False,
            **style,
        )

    write(title, fontsize=13, fontweight="bold", color=INK)
    top -= 1.3 * LINE
    for line in lines:
        write(line, color=MUTED)
        top -= LINE
    if note:
        top -= 0.05
        left += 0.05 / width
        box = {"boxstyle": "round,pad=0.25", "facecolor": "#fff3c4", "edgecolor": "#8a6d00"}
        style: dict[str, Any] = {"fontsize": 10, "color": INK}
        wrapped = textwrap.wrap(note, 78, max_lines=2, placeholder=" …")
        text = "\n".join(_shortened(figure, line, style) for line in wrapped)
        figure.text(left, top / height, text, va="top", parse_math=False, bbox=box, **style)
        left -= 0.05 / width
        top -= LINE * len(wrapped) + 0.05
    bottom = MARGIN
    if footer:
        wrapped = textwrap.wrap(drawable(footer), FOOTER_WIDTH)
        figure.text(
            left,
            MARGIN / height,
            "\n".join(wrapped),
            fontsize=8,
            va="bottom",
            color=MUTED,
            parse_math=False,
        )
        bottom += 0.18 + 0.14 * (len(wrapped) - 1)
    # One margin less at the sides: constrained layout pads the axes by about as much.
    rect = (0.03 / width, bottom / height, 1 - 0.06 / width, (top - bottom) / height)
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=rect, w_pad=0.06, h_pad=0.04))
    return figure


def settle(figure: Figure) -> None:
    """Lay the figure out once and for all, so that every format gets the same."""
    lay_out(figure)
    figure.set_layout_engine(None)  # "none" would be an engine that draws everything twice


def lay_out(figure: Figure) -> None:
    """Give the axes their places, without the cost of a drawing."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


def _shortened(figure: Figure, text: str, style: dict[str, Any]) -> str:
    """Return text that fits the figure's width, its middle left out if need be."""
    text = drawable(text)
    probe = figure.text(0, 0, text, parse_math=False, **style)
    # A hundredth less: SVG and PDF measure text a little differently.
    room = 0.99 * (SIZE[0] - 2 * MARGIN - 0.1) * DPI
    kept = len(text)
    while probe.get_window_extent().width > room:
        kept -= 1
        probe.set_text(text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :])
    probe.remove()
    return probe.get_text()


def drawable(text: str) -> str:
    """Return the text with characters that the font lacks as question marks."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known = get_font(findfont(FontProperties(family=FONT))).get_charmap()
    return "".join(character if ord(character) in known else "?" for character in text)


def number_axis(axis: Axis, *, suffix: str = "") -> None:
    """Write ticks with thousands separators and no more decimals than they need."""
    from matplotlib.ticker import Formatter

    class Numbers(Formatter):
        # Asked some hundred times a chart, for which numpy would be slow.
        def format_ticks(self, values: Sequence[float]) -> list[str]:
            step = float(values[1]) - float(values[0]) if len(values) > 1 else 0.0
            rounded = ((d, round(step, d)) for d in range(12))
            decimals = next((d for d, r in rounded if abs(step - r) <= 1e-6 * abs(r)), 12)
            return [f"{value:,.{decimals}f}{suffix}" for value in values]

        def __call__(self, value: float, _position: int | None = None) -> str:
            return self.format_ticks([value])[0]

    axis.set_major_formatter(Numbers())


def session_axis(axes: Axes, dates: pd.DatetimeIndex, *, first: int) -> None:
    """Write the dates of the positions first, first + 1, … where a period starts."""
    starts, form = _period_starts(dates, most=7)
    axes.set_xticks(first + starts, dates_with_years(dates[starts], form))


def _period_starts(dates: pd.DatetimeIndex, *, most: int) -> tuple[np.ndarray, str]:
    """Return where weeks, months or longer periods start, and their date form.

    Of up to twice as many as `most`, every other one.
    """
    if len(dates) <= most:
        return np.arange(len(dates)), "%d %b"
    for period, form in (("W", "%d %b"), ("M", "%b"), ("Q", "%b"), ("Y", "%b")):
        starts = 1 + np.flatnonzero(np.diff(dates.to_period(period).asi8))
        if len(starts) <= 2 * most:
            return starts[:: 2 if len(starts) > most else 1], form
    return starts[:: len(starts) // most], "%b"  # every few years


def dates_with_years(dates: pd.DatetimeIndex, form: str) -> list[str]:
    """Return the dates in a form, with the year under the first of each year."""
    new = np.diff(dates.year, prepend=-1) != 0
    return [
        f"{date:{form}}\n{date:%Y}" if first else f"{date:{form}}"
        for date, first in zip(dates, new, strict=True)
    ]
