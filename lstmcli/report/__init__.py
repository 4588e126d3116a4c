"""Frames and figures → one HTML page that needs nothing else.

No script, no font, no request: styles stand in the page and charts are embedded. All
text goes through Jinja's escaping, so that a ticker called `<script>` stays a name.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.figure import Figure

# What charts are drawn in → the property of the page's style that takes its place.
_COLOURS = {
    "#222222": ("--ink", "#e8e6e1"),
    "#444444": ("--label", "#c9c6bf"),
    "#555555": ("--muted", "#b5b1a8"),
    "#666666": ("--axis", "#9b978e"),
    "#dddddd": ("--grid", "#3a3d42"),
    "#ffffff": ("--paper", "#17191c"),
    "#002b4d": ("--median", "#cfe6f7"),
    "#d3e5f2": ("--cone95", "#1d3a50"),
    "#9cc5e1": ("--cone80", "#28587c"),
    "#5b9fce": ("--cone50", "#3c7fb0"),
    "#0072b2": ("--blue", "#58b4e8"),
    "#d55e00": ("--orange", "#ff9a52"),
    "#fff3c4": ("--note", "#4a3f14"),
    "#8a6d00": ("--note-edge", "#c9a93a"),
}


@dataclass(frozen=True)
class Picture:
    """A chart for the page: an SVG and what it shows, in words."""

    svg: str
    alt: str

    @property
    def address(self) -> str:
        """Return the chart as an address that holds it."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg.encode()).decode()}"


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column heads its row. A folded one opens on a click."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    folded: bool = False


@dataclass
class Section:
    """One ticker of the page.

    Attributes:
        anchor: its id, unique in the page.
        line: its row of the overview; as many cells as the overview has heads.
        price_note: what a reader of the prices must know; empty where they are closes.
        stale: what to do about a forecast that others should have followed.
        link: another page that holds the details; None where they stand here.
        facts: names and what they are, in the order in which they are shown.
    """

    ticker: str
    anchor: str
    line: tuple[str, ...]
    failed: str | None = None
    stale: str | None = None
    note: str | None = None
    sentence: str = ""
    price_note: str = ""
    verdict: str | None = None
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    link: str | None = None


@dataclass
class Page:
    """Everything that a page shows."""

    title: str
    made: str
    sentence: str
    overview_head: tuple[str, ...]
    sections: list[Section]
    failures: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    back: str | None = None


def render(page: Page) -> str:
    """Return the page as HTML."""
    return _environment().get_template("page.html").render(page=page)


def picture(figure: Figure, *, alt: str, name: str) -> Picture:
    """Return a figure as an SVG that follows the reader's light or dark scheme.

    Args:
        name: makes its inner names its own, the same on every day.
    """
    import matplotlib

    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    svg = stream.getvalue().decode()
    svg = svg[svg.index("<svg") :]  # no prologue: nothing in it is needed
    for colour, (variable, _) in _COLOURS.items():
        svg = svg.replace(colour, f"var({variable})")
    head = svg.index(">") + 1
    return Picture(svg[:head] + _scheme() + svg[head:], alt)


def _scheme() -> str:
    light = "".join(f"{name}:{colour};" for colour, (name, _) in _COLOURS.items())
    dark = "".join(f"{name}:{colour};" for name, colour in _COLOURS.values())
    return (
        f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        "text{font-family:system-ui,'DejaVu Sans',sans-serif!important}</style>"
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def anchor(ticker: str) -> str:
    """Return an id that any ticker can have."""
    return "t-" + "".join(c if c.isalnum() and c.isascii() else f"-{ord(c):x}-" for c in ticker)
