"""How commands name a run, and show what it is."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lstmcli.pipeline.runs import RunLine

Name = Annotated[str, typer.Argument(metavar="RUN", help="A name, or its beginning.")]


def run_answer(line: RunLine) -> dict[str, Any]:
    """Return a run as JSON."""
    return {
        **line.manifest.model_dump(mode="json"),
        "config": line.manifest.config_name,
        "trained_to": line.trained_to,
        "crps": line.crps,
        "verdict_in_words": line.verdict,
    }


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Print a fact a line, by its name."""
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        indent = " " * (width + 2)
        print(textwrap.fill(f"{name:<{width}}  {value}", 79, subsequent_indent=indent))
