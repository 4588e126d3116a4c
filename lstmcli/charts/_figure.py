"""Figures with a header and a footer, and the axes that charts share."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lstmcli.charts.theme import FONT, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

HEIGHT = 4.5
"""Inches of a chart on paper."""

DPI = 150

MARGIN = 0.1  # inches, around everything
LINE = 0.2  # inches, one line of 10 points
SMALL_LINE = 0.14  # inches, one line of 8 points


def new_figure(
    theme: Theme,
    *,
    title: str,
    lines: Sequence[str],
    note: str | None,
    footer: str,
    body: float | None = None,
) -> Figure:
    """Return a figure with its header and footer, and room for axes between them.

    Args:
        lines: what is said below the title; each is wrapped, to four lines at most.
        note: what stands in a box; each of its lines is wrapped.
        body: inches of the axes, else 3. A figure on paper is 4.5 inches high or more.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    width = theme.width
    figure = Figure(figsize=(width, HEIGHT), dpi=DPI)
    colours = theme.colours
    # A hundredth less: SVG and PDF measure text a little differently.
    room = 0.99 * (width - 2 * MARGIN)
    heading: dict[str, Any] = {"fontsize": 13, "fontweight": "bold", "color": colours.ink}
    plain: dict[str, Any] = {"fontsize": 10, "color": colours.muted}
    boxed: dict[str, Any] = {"fontsize": 10, "color": colours.ink}
    small: dict[str, Any] = {"fontsize": 8, "color": colours.muted}
    titles = _wrapped(title, heading, room, most=2 if theme.phone else 1)
    said = [row for line in lines for row in _wrapped(line, plain, room, most=4)]
    most = 4 if theme.phone else 3
    notes = [
        row
        for line in (note or "").splitlines()
        for row in _wrapped(line, boxed, room - 0.1, most=most)
    ]
    below = _wrapped(footer, small, room, most=9)

    above = 1.3 * LINE * len(titles) + LINE * len(said) + (LINE * len(notes) + 0.1) * bool(notes)
    bottom = MARGIN + 0.04 + SMALL_LINE * len(below)
    least = 0.0 if theme.phone else HEIGHT
    height = max(least, MARGIN + above + (body or 3.0) + bottom)
    figure.set_size_inches(width, height)

    def write(rows: Sequence[str], top: float, *, left: float = MARGIN, **style: Any) -> None:
        text = "\n".join(rows)
        figure.text(left / width, top / height, text, va="top", parse_math=False, **style)

    top = height - MARGIN
    write(titles, top, linespacing=1.3, **heading)
    top -= 1.3 * LINE * len(titles)
    for row in said:
        write([row], top, **plain)
        top -= LINE
    if notes:
        box = {"boxstyle": "round,pad=0.25"}
        box |= {"facecolor": colours.note, "edgecolor": colours.note_edge}
        write(notes, top - 0.05, left=MARGIN + 0.05, bbox=box, **boxed)
        top -= LINE * len(notes) + 0.1
    write(below, bottom - 0.04, **small)
    # One margin less at the sides: constrained layout pads the axes by about as much.
    rect = (0.03 / width, bottom / height, 1 - 0.06 / width, (top - bottom) / height)
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=rect, w_pad=0.06, h_pad=0.04))
    return figure


def settle(figure: Figure) -> None:
    """Give the axes their places once and for all, so that every format gets the same.

    It costs no drawing. What is written afterwards must lie inside what had its place.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine(None)  # "none" would be an engine that draws everything twice


def text_width(text: str, *, fontsize: float, fontweight: str = "normal") -> float:
    """Return how wide a text is, in inches; a drawn probe would take a hundred times as long."""
    from matplotlib.font_manager import get_font

    font = get_font(_font_file(fontweight))
    font.set_size(fontsize, DPI)
    font.set_text(text, 0.0)
    return float(font.get_width_height()[0] / 64 / DPI)


@cache
def _font_file(weight: str) -> str:
    from matplotlib.font_manager import FontProperties, findfont

    return str(findfont(FontProperties(family=FONT, weight=weight)))


@cache
def _known_characters() -> frozenset[int]:
    from matplotlib.font_manager import get_font

    return frozenset(get_font(_font_file("normal")).get_charmap())


def _wrapped(text: str, style: dict[str, Any], room: float, *, most: int) -> list[str]:
    """Return lines of a text that fit; where there are more, the last one ends with "…".

    A single line is shortened in its middle, so that a date at its end stays.
    """
    text = drawable(text)
    if not text:
        return []
    font = {name: value for name, value in style.items() if name != "color"}
    width = text_width(text, **font)
    if width <= room:
        return [text]
    if most == 1:
        return [_shortened(text, font, room)]
    columns = int(len(text) * room / width * 1.1)
    whole = text.replace(" %", "\N{NO-BREAK SPACE}%")  # no line begins with a percent sign
    while True:
        rows = textwrap.wrap(whole, max(columns, 4), max_lines=most, placeholder=" …")
        rows = [row.replace("\N{NO-BREAK SPACE}", " ") for row in rows]
        if columns <= 4 or all(text_width(row, **font) <= room for row in rows):
            return rows
        columns -= 1


def _shortened(text: str, font: dict[str, Any], room: float) -> str:
    kept, short = len(text), text
    while (width := text_width(short, **font)) > room:
        kept = min(kept - 1, int(kept * room / width) + 1)
        short = text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]
    return short


def drawable(text: str) -> str:
    """Return the text with characters that the font lacks as question marks."""
    known = _known_characters()
    return "".join(character if ord(character) in known else "?" for character in text)


def number_axis(axis: Axis, *, suffix: str = "", signed: bool = False) -> None:
    """Write ticks with thousands separators and no more decimals than they need."""
    from matplotlib.ticker import Formatter

    sign = "+" if signed else ""

    class Numbers(Formatter):
        # Asked some hundred times a chart, for which numpy would be slow.
        def format_ticks(self, values: Sequence[float]) -> list[str]:
            step = float(values[1]) - float(values[0]) if len(values) > 1 else 0.0
            rounded = ((d, round(step, d)) for d in range(12))
            decimals = next((d for d, r in rounded if abs(step - r) <= 1e-6 * abs(r)), 12)
            shown = (0.0 if abs(value) < 1e-9 * abs(step) else value for value in values)
            return [
                f"{value:{sign if value else ''},.{decimals}f}{suffix}".replace("-", "−")
                for value in shown
            ]

        def __call__(self, value: float, _position: int | None = None) -> str:
            return self.format_ticks([value])[0]

    axis.set_major_formatter(Numbers())


_LABEL_INCHES = {"%d %b": 0.66, "%b": 0.5}
"""Room that a date needs, with some air beside it."""

_PERIODS = (("D", "%d %b"), ("W", "%d %b"), ("M", "%b"), ("Q", "%b"), ("Y", "%b"))


def session_axis(axes: Axes, dates: pd.DatetimeIndex, *, first: int = 0) -> None:
    """Write dates below the positions first, first + 1, … where a period starts.

    The periods are as long as it takes until their dates do not touch each other, which
    only the drawn axes know.
    """
    from matplotlib.ticker import Formatter, Locator

    # A layout asks dozens of times, mostly for the same room.
    starts_of = cache(partial(period_starts, dates))

    class Starts(Locator):
        def __call__(self) -> list[float]:
            low, high = sorted(axes.get_xlim())
            inches = axes.get_window_extent().width / axes.figure.dpi
            starts, _ = starts_of(round(float(inches / max(high - low, 1e-9)), 9))
            return [float(start + first) for start in starts]

        def tick_values(self, vmin: float, vmax: float) -> list[float]:
            del vmin, vmax  # what is drawn depends on the axes alone
            return self()

    class Dates(Formatter):
        def format_ticks(self, values: Sequence[float]) -> list[str]:
            at = np.asarray(values, int) - first
            days = dates[at]
            apart = np.diff(at).max() if len(at) > 1 else len(dates)
            form = "%d %b" if apart < 15 else "%b"
            return dates_with_years(days, form)

        def __call__(self, value: float, _position: int | None = None) -> str:
            return f"{dates[int(value) - first]:%d %b %Y}"

    axes.xaxis.set_major_locator(Starts())
    axes.xaxis.set_major_formatter(Dates())


def period_starts(dates: pd.DatetimeIndex, inches: float) -> tuple[np.ndarray, str]:
    """Return where days, weeks, months or longer periods start, and their date form.

    Args:
        inches: from one date to the next.
    """
    positions = np.arange(len(dates))
    for period, form in _PERIODS:
        starts = (
            positions
            if period == "D"
            else 1 + np.flatnonzero(np.diff(dates.to_period(period).asi8))
        )
        for every in (1, 2):
            kept = starts[::every]
            if len(kept) < 2 or np.diff(kept).min() * inches >= _LABEL_INCHES[form]:
                # A period that started before the first date has no start to show.
                return (kept, form) if len(kept) else (positions[:1], "%d %b")
    least = int(np.ceil(_LABEL_INCHES["%b"] / inches / max(np.diff(starts).min(), 1)))
    return starts[::least], "%b"  # every few years


def dates_with_years(dates: pd.DatetimeIndex, form: str) -> list[str]:
    """Return the dates in a form, with the year under the first of each year."""
    new = np.diff(dates.year, prepend=-1) != 0
    return [
        f"{date:{form}}\n{date:%Y}" if first else f"{date:{form}}"
        for date, first in zip(dates, new, strict=True)
    ]


def spread(wanted: Sequence[float], *, gap: float, top: float) -> list[float]:
    """Return ascending places at least `gap` apart, in 0…top, near those wanted.

    The middle one stays where it is, if it can, and pushes the others outward.
    """
    places = list(wanted)
    middle = len(places) // 2
    for k in range(middle + 1, len(places)):
        places[k] = max(places[k], places[k - 1] + gap)
    for k in range(middle - 1, -1, -1):
        places[k] = min(places[k], places[k + 1] - gap)
    # Those that this pushed off the paper push back.
    floor, ceiling = 0.0, top
    for k, place in enumerate(places):
        places[k] = max(place, floor)
        floor = places[k] + gap
    for k in reversed(range(len(places))):
        places[k] = min(places[k], ceiling)
        ceiling = places[k] - gap
    return places
