"""Frames and figures → one HTML page that needs nothing else.

No script, no font, no request: styles stand in the page and charts are embedded. All
text goes through Jinja's escaping, so that a ticker called `<script>` stays a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lstmcli.evaluation.sequences import MIN_SKILL_OUTCOMES
from lstmcli.report.pictures import Picture, scheme_css

if TYPE_CHECKING:
    from jinja2 import Environment


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
        line: its row of the overview after name and sketch; a cell for each other head.
        sketch: a small cone for that row, as markup that this package made.
        answer: what the forecast says, in a sentence or two.
        horizon: the last step of the forecast; 0 without one.
        unissued: why no record is kept of the forecast; None where it stands in the ledger.
        verdict_lines: the verdict in three lines.
        verdict: the same in full, in paragraphs with an empty line between them.
        next_report: when the company reports next, in a sentence or two.
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
    sketch: str = ""
    answer: str = ""
    horizon: int = 0
    unissued: str | None = None
    sentence: str = ""
    next_report: str = ""
    price_note: str = ""
    verdict_lines: list[str] = field(default_factory=list)
    verdict: str | None = None
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    link: str | None = None


@dataclass
class Page:
    """Everything that a page shows.

    Attributes:
        colours: of the small cones, in light and in dark, by name.
    """

    title: str
    made: str
    sentence: str
    overview_head: tuple[str, ...]
    sections: list[Section]
    colours: Mapping[str, tuple[str, str]]
    failures: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    back: str | None = None


def render(page: Page) -> str:
    """Return the page as HTML."""
    return (
        environment()
        .get_template("page.html")
        .render(
            page=page,
            scheme_css=scheme_css(page.colours),
            skill_sessions=MIN_SKILL_OUTCOMES,
        )
    )


@cache
def environment() -> Environment:
    """Return what renders the templates of this package; all text is escaped."""
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
