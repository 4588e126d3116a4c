"""How charts theme: colours in light and in dark, on paper and on a phone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

FONT = "DejaVu Sans"  # ships with matplotlib, so that a chart is the same everywhere


@dataclass(frozen=True)
class Palette:
    """The colours of a scheme, as `#rrggbb`.

    No two of a palette are equal, so that a page can tell what a colour stands for. Blue,
    orange, green and purple are told apart by every colour vision; in light, they are
    darker than in the source, so that names can be written in them.
    Source: Okabe, Ito (2008), Color Universal Design.
    """

    ink: str
    label: str
    muted: str
    axis: str
    grid: str
    paper: str
    median: str
    cone95: str
    cone80: str
    cone50: str
    blue: str
    orange: str
    green: str
    purple: str
    note: str
    note_edge: str

    @property
    def cones(self) -> dict[float, str]:
        """Return the colour of each cone, by coverage."""
        return {0.95: self.cone95, 0.80: self.cone80, 0.50: self.cone50}

    @property
    def series(self) -> tuple[str, ...]:
        """Return the colours of lines that are compared, in their order."""
        return (self.blue, self.orange, self.green, self.purple)


LIGHT = Palette(
    ink="#222222",
    label="#444444",
    muted="#555555",
    axis="#666666",
    grid="#dddddd",
    paper="#ffffff",
    median="#002b4d",
    cone95="#d3e5f2",
    cone80="#9cc5e1",
    cone50="#5b9fce",
    blue="#0072b2",
    orange="#c25400",
    green="#00805c",
    purple="#a9478a",
    note="#fff3c4",
    note_edge="#8a6d00",
)

DARK = Palette(
    ink="#e8e6e1",
    label="#c9c6bf",
    muted="#b5b1a8",
    axis="#9b978e",
    grid="#3a3d42",
    paper="#17191c",
    median="#cfe6f7",
    cone95="#1d3a50",
    cone80="#28587c",
    cone50="#3c7fb0",
    blue="#58b4e8",
    orange="#ff9a52",
    green="#3ecf9f",
    purple="#e69bcb",
    note="#4a3f14",
    note_edge="#c9a93a",
)

SCHEMES = {name: (colour, asdict(DARK)[name]) for name, colour in asdict(LIGHT).items()}
"""The light and the dark colour of everything that a chart draws, by name."""


@dataclass(frozen=True)
class Theme:
    """What a chart is drawn for.

    Attributes:
        dark: light letters on a dark ground.
        phone: a narrow column that is read without turning or scrolling: panels stand below
            each other, texts are wrapped, and less of the past is shown.
    """

    dark: bool = False
    phone: bool = False

    @property
    def colours(self) -> Palette:
        return DARK if self.dark else LIGHT

    @property
    def width(self) -> float:
        """Return the width of a chart in inches: 3.5 are 336 pixels of a phone."""
        return 3.5 if self.phone else 7.0

    @property
    def style(self) -> dict[str, Any]:
        """Return the settings of matplotlib."""
        colours = self.colours
        return {
            "font.family": FONT,
            "font.size": 10,
            "figure.facecolor": colours.paper,
            "savefig.facecolor": colours.paper,
            "axes.facecolor": colours.paper,
            "text.color": colours.ink,
            "axes.titlecolor": colours.ink,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": colours.axis,
            "axes.labelcolor": colours.label,
            "xtick.color": colours.axis,
            "ytick.color": colours.axis,
            "xtick.labelcolor": colours.ink,
            "ytick.labelcolor": colours.ink,
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
            "grid.color": colours.grid,
            "grid.linewidth": 0.7,
            "axes.axisbelow": True,
        }


PAPER = Theme()
