"""A verdict on the terminal: its sentences, then the table of the ladder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lstmcli.cli.screen import wrapped
from lstmcli.cli.terminal import print_table

if TYPE_CHECKING:
    from lstmcli.evaluation.verdict import Verdict


def print_verdict(verdict: Verdict, *, legend: bool = True) -> None:
    """Print what a recipe beats, and by how much; the legend says what the columns mean."""
    from lstmcli.report.verdict import TABLE_LEGEND, paragraphs, table_head, table_rows

    print_paragraphs(paragraphs(verdict))
    rows = table_rows(verdict)
    if verdict.steps and rows:
        print()
        print_table(table_head(verdict), rows)
        if legend:
            print(f"\n{wrapped(TABLE_LEGEND)}")


def print_paragraphs(paragraphs: Iterable[str]) -> None:
    """Print paragraphs in lines that fit the terminal, with an empty line between them."""
    print("\n\n".join(map(wrapped, paragraphs)))


def print_stored_verdict(stored: Mapping[str, Any], *, legend: bool = True) -> None:
    """Print a verdict of a manifest; of versions before 0.3 its sentences alone."""
    from lstmcli.report.stored_verdict import restored_verdict
    from lstmcli.report.verdict_record import stored_paragraphs

    verdict = restored_verdict(stored)
    if verdict is None:
        print_paragraphs(stored_paragraphs(stored))
    else:
        print_verdict(verdict, legend=legend)
