"""The screen: its width, tables and text that fit it, colours, a bar and a spinner."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress

NARROW = 60
"""Columns that every screen is laid out for; a narrower terminal wraps lines by itself."""

READABLE = 100
"""Columns of text at most: the eye loses longer lines."""

GAP = "  "

STICKY = "\u00a0"
"""A space at which `wrapped` breaks no line."""

_CODES = {"green": "32", "red": "31", "yellow": "33", "dim": "2"}

MEANINGS = {
    "BEATS": "green",
    "LOSES": "red",
    "cannot tell": "dim",
    "not asked": "dim",
    "no verdict": "dim",
}
"""Colours of the words of a verdict. The word says the same without a colour."""


def screen_width() -> int:
    """Return the columns of the terminal, or of COLUMNS; 80 where there is neither."""
    return max(shutil.get_terminal_size((80, 24)).columns, NARROW)


def screen_height() -> int:
    """Return the lines of the terminal, or of LINES; 24 where there is neither."""
    return shutil.get_terminal_size((80, 24)).lines


def wrapped(text: str, *, indent: str = "") -> str:
    """Return a text in lines that fit the screen; a number stays with its %."""
    lines = textwrap.fill(
        text.replace(" %", f"{STICKY}%"),
        min(screen_width(), READABLE) - 1,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,  # a path stays one that can be copied
    )
    return lines.replace(STICKY, " ")


def has_colour(stream: TextIO) -> bool:
    """Return whether colours may be written: on a terminal that knows them, unless NO_COLOR."""
    return (
        stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") != "dumb"
    )


def painted(text: str, colour: str, stream: TextIO | None = None) -> str:
    """Return a text in a colour, where the stream has colours.

    Args:
        colour: green, red, yellow or dim.
        stream: where it is written; else standard output.
    """
    if not has_colour(stream or sys.stdout):
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def cut(text: str, width: int) -> str:
    """Return a text in at most `width` columns; an ellipsis says that something is left out."""
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"


def table_lines(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: int = 1,
    may_cut: Collection[int] = (),
    width: int | None = None,
) -> list[str]:
    """Return columns under their heads, as lines.

    What is too wide loses the ends of the columns that may be cut. If that is not enough, the
    last columns follow below, in a table that begins with the first column again.

    Args:
        left: how many columns, from the first on, are flush left; the others are flush right.
        may_cut: numbers of the columns that may be cut, from 0.
        width: in which it should fit; None is any.
    """
    table = [list(head)] if any(head) else []
    table += map(list, rows)
    widths = [max((len(row[n]) for row in table), default=0) for n in range(len(head))]
    for n in may_cut:
        excess = 0 if width is None else _total(widths) - width
        widths[n] = max(widths[n] - max(excess, 0), min(widths[n], max(len(head[n]), 8)))
    lines: list[str] = []
    for columns in _blocks(widths, width):
        lines += [""] if lines else []
        for row in table:
            cells = (_cell(row[n], widths[n], flush_left=n < left) for n in columns)
            lines.append(GAP.join(cells).rstrip())
    return lines


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _blocks(widths: Sequence[int], width: int | None) -> list[list[int]]:
    """Return the numbers of the columns of each table, each with the first column."""
    blocks: list[list[int]] = [[0]]
    for n in range(1, len(widths)):
        block = blocks[-1]
        full = width is not None and _total([widths[k] for k in (*block, n)]) > width
        if full and len(block) > 1:
            blocks.append([0, n])
        else:
            block.append(n)
    return blocks


def _cell(text: str, width: int, *, flush_left: bool) -> str:
    shown = cut(text, width)
    shown = shown.ljust(width) if flush_left else shown.rjust(width)
    return painted(shown, MEANINGS[text]) if text in MEANINGS else shown


def counting_bar() -> Progress:
    """Return a bar that counts what is finished, on standard error; it goes when it is stopped."""
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
    )


@contextmanager
def spinner(text: str, *, quiet: bool = False) -> Iterator[None]:
    """Show what is going on: a spinner on a terminal, a plain line elsewhere."""
    stages = Stages(quiet=quiet)
    stages.begin(text)
    try:
        yield
    finally:
        stages.end()


class Stages:
    """Shows a stage of unknown length by its name, one after another, on standard error."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._end: Iterator[None] | None = None

    def begin(self, text: str) -> None:
        """Show that a stage has begun; the one before it has ended."""
        self.end()
        if self._quiet:
            return
        if not sys.stderr.isatty():
            print(f"{text} …", file=sys.stderr, flush=True)
            return
        self._end = _spinning(text)
        next(self._end)

    def end(self) -> None:
        """Remove the spinner."""
        if self._end is not None:
            next(self._end, None)
            self._end = None


def _spinning(text: str) -> Iterator[None]:
    from rich.console import Console

    # What is printed meanwhile appears above the spinner.
    with Console(stderr=True).status(f"{text} …"):
        yield
