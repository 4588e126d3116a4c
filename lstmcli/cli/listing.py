"""Lists of runs and of backtests: a line each that fits the terminal, or CSV."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from lstmcli.cli.screen import GAP, screen_width
from lstmcli.cli.terminal import print_table

_TICKERS = 2
"""The column that may be cut: the tickers, behind a name and a config."""

_FEW = 14
"""Columns of tickers below which names are cut, too."""

DATE = "made on"
"""The column that a narrow list leaves out: the name begins with the date."""


def print_listing(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> None:
    """Print a table whose first columns are a name, a config and tickers.

    On a terminal the tickers are cut, and if need be the names: the time at the beginning
    of a name belongs to it alone. Elsewhere a line has everything.
    """
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        head, rows = _fitted(list(head), [list(row) for row in rows], screen_width())
    print_table(head, rows, left=left, may_cut=(_TICKERS,))


def _fitted(
    head: list[str], rows: list[list[str]], width: int
) -> tuple[list[str], list[list[str]]]:
    if _width(head, rows) > width:
        rows = [[row[0].partition("-")[0], *row[1:]] for row in rows]
    if _width(head, rows) > width and head[-1] == DATE:
        head, rows = head[:-1], [row[:-1] for row in rows]
    return head, rows


def _width(head: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return the width of a table whose tickers are few."""
    longest = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]
    longest[_TICKERS] = min(longest[_TICKERS], _FEW)
    return sum(longest) + len(GAP) * (len(head) - 1)


def print_csv(rows: Iterable[Mapping[str, object]]) -> None:
    """Print rows as CSV under the keys of the first; nothing without rows."""
    import csv

    out: csv.DictWriter[str] | None = None
    for row in rows:
        if out is None:
            out = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
            out.writeheader()
        out.writerow(row)
