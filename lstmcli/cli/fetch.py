"""`lstm fetch`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    AsJson,
    Quiet,
    Tickers,
    Universe,
    WorkspaceFolder,
    highest,
    named_tickers,
    parse_day,
    prepare,
    print_json,
    say,
    say_next,
)
from lstmcli.errors import ConfigError

if TYPE_CHECKING:
    from lstmcli.pipeline.fetch import FetchResult
    from lstmcli.sources import AnySource


class Source(StrEnum):
    yahoo = "yahoo"
    csv = "csv"
    sample = "sample"


def fetch(
    tickers: Tickers = None,
    source: Annotated[
        Source | None, typer.Option("--source", help="Else where the ticker came from; yahoo.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="The CSV of --source csv.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", metavar="DATE", help="The first session wanted.")
    ] = None,
    calendar: Annotated[
        str | None,
        typer.Option("--calendar", metavar="NAME", help="Such as XNYS, 24/7, weekdays."),
    ] = None,
    universe: Universe = None,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Bring bars up to date.

    No ticker: every stored one.

    \b
    lstm fetch MRK MDT
    lstm fetch GOOG --source sample
    lstm fetch MRK --source csv --file MRK.csv
    """
    prepare(quiet=quiet)
    from lstmcli.pipeline import fetch as pipeline
    from lstmcli.store import Workspace

    def show(result: FetchResult) -> None:
        if result.error is None:
            say(_line(result), quiet=quiet)

    results = pipeline.fetch(
        Workspace(workspace),
        named_tickers(tickers, universe),
        source=_source(source, file),
        start=parse_day(start, "--start"),
        calendar=calendar,
        on_result=show,
    )
    if as_json:
        print_json({"tickers": [_answer(result) for result in results]})
    code = highest((each.error for each in results if each.error), as_json=as_json)
    if not code:
        say_next(f"lstm train {results[0].ticker} --config lstm.yaml", quiet=quiet)
    return code


def _source(source: Source | None, file: Path | None) -> AnySource | None:
    from lstmcli.sources import CsvSource, SampleSource, YahooSource

    if file is not None and source not in {None, Source.csv}:
        raise ConfigError(
            f"Expected --file with --source csv only. Received: --source {source}.",
            hint=f"lstm fetch --source csv --file {file}",
        )
    if source is Source.csv or file is not None:
        if file is None:
            raise ConfigError(
                "Expected a file with --source csv. Received: none.",
                hint="lstm fetch MRK --source csv --file MRK.csv",
            )
        return CsvSource(file=str(file.resolve()))
    if source is None:
        return None
    return SampleSource() if source is Source.sample else YahooSource()


def _line(result: FetchResult) -> str:
    span = f"{result.first:%Y-%m-%d} to {result.last:%Y-%m-%d}" if result.first else ""
    line = f"{result.ticker}: {result.status}, {result.rows:,} sessions, {span}"
    return "\n".join([line, *(f"  {note}" for note in result.notes)])


def _answer(result: FetchResult) -> dict[str, object]:
    return {
        "ticker": result.ticker,
        "status": result.status,
        "rows": result.rows,
        "added": result.added,
        "first_session": result.first and result.first.date(),
        "last_session": result.last and result.last.date(),
        "notes": list(result.notes),
        "error": str(result.error) if result.error else None,
    }
