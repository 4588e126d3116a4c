"""The index of many tickers: one table that the reader sorts and filters without a script.

Every row carries its place in each order, and what it needs: radio buttons choose which of
them the styles use. A row is a kilobyte, so that 500 fit a page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lstmcli.evaluation.sequences import MIN_SKILL_OUTCOMES
from lstmcli.report.page import Section, Table, environment
from lstmcli.report.pictures import scheme_css

SOON = "report within a week"

LOOK, FAILED, STALE, REPORT, NONE = "looked-at", "fails", "ages", "reports", "waits"
"""Classes of rows that can be shown alone."""


@dataclass(frozen=True)
class Line:
    """A row of the index.

    Attributes:
        section: what a page of its own shows of the ticker.
        width: of the 80 % range of the next close, a fraction; None without a forecast.
        report_in: days to the next report; None where none is known.
        held: share of the ranges that held the next close; None where none was scored.
        waits: whether it has no forecast, and nothing has failed.
    """

    section: Section
    width: float | None = None
    report_in: int | None = None
    held: float | None = None
    waits: bool = False

    @property
    def classes(self) -> list[str]:
        """Return what can be asked for that concerns the ticker."""
        failed, stale = bool(self.section.failed), bool(self.section.stale)
        soon = self.report_in is not None and 0 <= self.report_in <= 7
        named = {
            LOOK: failed or stale,
            FAILED: failed,
            STALE: stale and not failed,
            REPORT: soon,
            NONE: self.waits,
        }
        return [name for name, holds in named.items() if holds]


@dataclass(frozen=True)
class Choice:
    """One of several buttons: what it shows, how many rows, and their class in the styles."""

    name: str
    words: str
    count: int = 0
    css: str = ""


@dataclass(frozen=True)
class Row:
    """A row as the template takes it."""

    ticker: str
    anchor: str
    link: str | None
    sketch: str
    line: tuple[str, ...]
    css: str
    style: str


@dataclass
class Universe:
    """Everything that the index shows; see `Page`."""

    title: str
    made: str
    sentence: str
    overview_head: tuple[str, ...]
    lines: Sequence[Line]
    colours: Mapping[str, tuple[str, str]]
    failures: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)

    @property
    def has_reports(self) -> bool:
        return any(line.report_in is not None for line in self.lines)

    @property
    def filters(self) -> list[Choice]:
        """Return what can be shown alone; what no ticker needs is left out."""
        words = {
            LOOK: "what needs a look",
            FAILED: "failed",
            STALE: "stale",
            REPORT: SOON,
            NONE: "without a forecast",
        }
        classes = [name for line in self.lines for name in line.classes]
        found = [Choice(name, of, classes.count(name), name) for name, of in words.items()]
        alone = [choice for choice in found if choice.count]
        return [Choice("all", "all", len(self.lines)), *alone]

    @property
    def orders(self) -> list[Choice]:
        """Return the orders; rows stand in the first one."""
        report = [Choice("report", "next report first")] if self.has_reports else []
        held = (
            [Choice("held", "fewest held first")]
            if any(line.held is not None for line in self.lines)
            else []
        )
        return [
            Choice("look", "what needs a look first, then A to Z"),
            Choice("range", "widest next range first"),
            *report,
            *held,
        ]

    @property
    def letters(self) -> list[tuple[str, str]]:
        """Return first letters, each with the first ticker of it that needs no look."""
        first: dict[str, str] = {}
        for line in sorted(self._sorted(), key=lambda line: bool(line.classes[:1] == [LOOK])):
            first.setdefault(line.section.ticker.lstrip("^")[:1].upper(), line.section.anchor)
        return sorted(first.items())

    @property
    def rows(self) -> list[Row]:
        """Return the rows, what needs a look first."""
        places = {
            "range": _places(self.lines, lambda line: _last(line.width, sign=-1)),
            "report": _places(self.lines, lambda line: _last(line.report_in)),
            "held": _places(self.lines, lambda line: _last(line.held)),
        }
        shown = [choice.name for choice in self.orders if choice.name in places]
        return [
            Row(
                line.section.ticker,
                line.section.anchor,
                line.section.link,
                line.section.sketch,
                line.section.line,
                " ".join(line.classes + ["bad"] * (LOOK in line.classes)),
                ";".join(f"--{name}:{places[name][line.section.ticker]}" for name in shown),
            )
            for line in self._sorted()
        ]

    def _sorted(self) -> list[Line]:
        return sorted(
            self.lines,
            key=lambda line: (not line.section.failed, not line.section.stale, line.section.ticker),
        )


def _last(value: float | None, *, sign: int = 1) -> tuple[bool, float]:
    """Return a key by which None comes last."""
    return value is None, 0.0 if value is None else sign * value


def _places(lines: Sequence[Line], key) -> dict[str, int]:  # type: ignore[no-untyped-def]
    """Return the place of each ticker in an order."""
    ordered = sorted(lines, key=lambda line: (key(line), line.section.ticker))
    return {line.section.ticker: place for place, line in enumerate(ordered)}


def render_universe(page: Universe) -> str:
    """Return the index as HTML."""
    template = environment().get_template("universe.html")
    return template.render(
        page=page,
        columns=len(page.overview_head),
        scheme_css=scheme_css(page.colours),
        skill_sessions=MIN_SKILL_OUTCOMES,
    )
