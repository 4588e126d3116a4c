"""A verdict on the terminal: its sentences, then the table of the ladder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lstmcli.cli.terminal import print_table

if TYPE_CHECKING:
    from lstmcli.evaluation.verdict import Verdict


def print_verdict(verdict: Verdict) -> None:
    """Print what a recipe beats, and by how much."""
    from lstmcli.report.verdict import TABLE_LEGEND, headline, table_head, table_rows

    print(headline(verdict))
    rows = table_rows(verdict)
    if verdict.steps and rows:
        print()
        print_table(table_head(verdict), rows)
        print(f"\n{TABLE_LEGEND}")
