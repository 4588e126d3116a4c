"""The outlook: what a forecast says, in the sentence that answers first.

Changes are fractions of the last close. A day is said as people say it: tomorrow, on Monday.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from lstmcli.digits import five_digits

SPARK = "▁▂▃▄▅▆▇█"

SYMMETRIC = 1.25
"""How much further one end of a range may lie than the other to be said as ±."""

TABLE_STEPS = (1, 5, 20)
"""Sessions ahead that a first look shows: tomorrow, in a week, in a month."""

_SPANS = {
    "in a week": (6, 8),
    "in two weeks": (13, 15),
    "in a month": (27, 32),
    "in two months": (57, 63),
    "in three months": (87, 95),
    "in half a year": (178, 188),
    "in a year": (358, 372),
}
"""Words for days from the last bar to the last session of a range."""


@dataclass(frozen=True)
class Range:
    """The 80 % range of one session of a forecast.

    Attributes:
        target_on: the session whose close it is of.
        low, high: changes since the last close, as fractions.
    """

    step: int
    target_on: date
    low: float
    high: float


@dataclass(frozen=True)
class Previous:
    """The forecast before this one, and what came.

    Attributes:
        low, high: its 80 % range of the next close, as prices.
        close: the close that came.
        issued: whether it stands in the ledger; else it is what the run would have said.
    """

    made_on: date
    target_on: date
    low: float
    high: float
    close: float
    issued: bool

    @property
    def where(self) -> str:
        """Where the close lay: `inside`, `below` or `above` the range."""
        return "below" if self.close < self.low else "above" if self.close > self.high else "inside"


def shown_steps(horizon: int, steps: Sequence[int] = TABLE_STEPS) -> tuple[int, ...]:
    """Return the sessions ahead that a first look shows; the last one always."""
    return tuple(sorted({*(step for step in steps if step <= horizon), horizon}))


def outlook(edge: bool | None, ranges: Sequence[Range], *, made_on: date, today: date) -> str:
    """Return what a forecast says, in two sentences.

    Args:
        edge: whether there was evidence that it knows the direction; None: nothing to test.
        ranges: of the steps that are shown; said are the first, and that of a month.
        made_on: the last bar.
        today: the day on which it is read.
    """
    direction = (
        "There is evidence that it knows the direction a little"
        if edge
        else "No sign that it knows the direction"
    )
    month = max((of for of in ranges if of.step <= TABLE_STEPS[-1]), key=lambda of: of.step)
    said = dict.fromkeys((ranges[0], month))
    whens = [when(of.target_on, today) for of in said]
    old = ranges[0].target_on < today
    if len(said) > 1 and not old:
        whens[-1] = _ahead(month, made_on)
    parts = [f"{change_range(of.low, of.high)} {at}" for of, at in zip(said, whens, strict=True)]
    return f"{direction}. Expect {', '.join(parts)}."


def when(day: date, today: date) -> str:
    """Return a day from today on as people say it; a day before it, and a far one, as a date."""
    days = (day - today).days
    if days == 0:
        return "today"
    if days == 1:
        return "tomorrow"
    return f"on {day:%A}" if 1 < days < 7 else f"on {day:%Y-%m-%d}"


def _ahead(of: Range, made_on: date) -> str:
    days = (of.target_on - made_on).days
    named = [words for words, (low, high) in _SPANS.items() if low <= days <= high]
    return named[0] if named else f"in {of.step} sessions"


def change_range(low: float, high: float) -> str:
    """Return a range of changes for a sentence: `±2 %`, or `-23 to +41 %` where it is lopsided."""
    if low < 0 < high and max(-low, high) <= SYMMETRIC * min(-low, high):
        return f"±{_rough(max(-low, high)).removeprefix('+')} %"
    return f"{_rough(low)} to {_rough(high)} %"


def _rough(change: float) -> str:
    """Return a change in %, with as many digits as a first look needs: +0.6, +2.4, -23."""
    percent = 100 * change
    digits = 2 if abs(percent) < 0.095 else 1 if abs(percent) < 2.95 else 0
    text = f"{percent:+.{digits}f}"
    return text.removesuffix(".0")


def change_cell(change: float) -> str:
    """Return a change in % for a table: -6.5, +12.1."""
    return f"{100 * change:+.1f}"


def short_range(low: float, high: float) -> str:
    """Return a range of changes in % for a narrow column: `-1.9/+2.1`, `-23/+41`."""
    digits = 0 if max(abs(low), abs(high)) >= 0.0995 else 1
    return f"{100 * low:+.{digits}f}/{100 * high:+.{digits}f}"


def chance(share: float) -> str:
    """Return a probability for a table; the ends of what a forecast knows are said as such."""
    percent = round(100 * share)
    return "<3 %" if percent < 3 else ">97 %" if percent > 97 else f"{percent} %"


def previous_sentence(previous: Previous, *, today: date) -> str:
    """Return what the last forecast said and what came: inside its range, below or above."""
    days = (today - previous.made_on).days
    at = (
        "Yesterday"
        if days == 1
        else f"On {previous.made_on:%A}"
        if 1 < days < 7
        else f"On {previous.made_on:%Y-%m-%d}"
    )
    says = "said" if previous.issued else "would have said"
    came = "it" if days == 1 else f"{previous.target_on:%Y-%m-%d}"
    return (
        f"{at} it {says} {five_digits(previous.low)} to {five_digits(previous.high)}; "
        f"{came} closed at {five_digits(previous.close)}: {previous.where}."
    )


def sparkline(values: Sequence[float]) -> str:
    """Return a line of blocks as high as the values; the middle one where nothing moves."""
    low, high = min(values), max(values)
    if not low < high:
        return SPARK[3] * len(values)
    return "".join(SPARK[round((value - low) / (high - low) * 7)] for value in values)
