"""Lists of runs and of backtests: a line each, cut to the terminal, or CSV."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence

from lstmcli.cli.terminal import print_table

_TICKERS = 2
"""The column that may be cut: the tickers, behind a name and a config."""

_MIN_TICKERS = 7
"""Columns that they have at least: the width of their head."""


def print_listing(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> None:
    """Print a table whose first columns are a name, a config and tickers.

    On a terminal the tickers are cut, and if need be the names: the time at the beginning
    of a name belongs to it alone. Elsewhere a line has everything.
    """
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        rows = _fitted(head, rows, shutil.get_terminal_size().columns)
    print_table(head, rows, left=left)


def _fitted(
    head: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> Sequence[Sequence[str]]:
    longest = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]
    room = width - (sum(longest) - longest[_TICKERS] + 2 * (len(head) - 1))
    if room < min(longest[_TICKERS], 2 * _MIN_TICKERS):
        rows = [[row[0].partition("-")[0], *row[1:]] for row in rows]
        room += longest[0] - max(len(row[0]) for row in rows)
    room = max(room, _MIN_TICKERS)
    return [[*row[:_TICKERS], cut(row[_TICKERS], room), *row[_TICKERS + 1 :]] for row in rows]


def cut(text: str, width: int) -> str:
    """Return a text in at most `width` columns; an ellipsis says that something is left out."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def print_csv(rows: Iterable[Mapping[str, object]]) -> None:
    """Print rows as CSV under the keys of the first; nothing without rows."""
    import csv

    out: csv.DictWriter[str] | None = None
    for row in rows:
        if out is None:
            out = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
            out.writeheader()
        out.writerow(row)
