"""`lstm fetch`."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.failures import said_once
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
from lstmcli.errors import ConfigError, shell_word

if TYPE_CHECKING:
    from lstmcli.pipeline.update import FetchResult
    from lstmcli.sources import AnySource


def fetch(
    tickers: Tickers = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="NAME",
            help="Such as csv, sample. Else as stored, or yahoo.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Of --source csv: CSV or Parquet; - is stdin."),
    ] = None,
    dates: Annotated[
        str | None,
        typer.Option("--dates", metavar="ORDER", help="Of 3/8/2024 in the file: dmy, mdy, ymd."),
    ] = None,
    decimal: Annotated[
        str | None,
        typer.Option("--decimal", metavar="MARK", help="The decimal mark of the file: . or ,"),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--columns", metavar="ROLE=NAME", help="Such as close=Last,volume=Qty."),
    ] = None,
    allow_jumps: Annotated[
        list[str] | None,
        typer.Option("--allow-jumps", metavar="DATE", help="A jump of the price that is real."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", metavar="DATE", help="The first session wanted.")
    ] = None,
    calendar: Annotated[
        str | None,
        typer.Option("--calendar", metavar="NAME", help="Such as XNYS, 24/7, weekdays."),
    ] = None,
    market: Annotated[
        bool, typer.Option("--market", help="A market series: stored, never forecast.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace stored bars that the new ones do not join."),
    ] = False,
    bars_only: Annotated[
        bool, typer.Option("--bars-only", help="Of Yahoo: leave out when companies report.")
    ] = False,
    universe: Universe = None,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Bring bars up to date.

    No ticker: every stored one; with --market, every stored market series. Of
    these, and of --universe, those without their newest session; a ticker that
    you name always. With the bars of Yahoo comes when a company reports, once a
    day: lstm events.

    \b
    lstm fetch MRK MDT
    lstm fetch ^GSPC --source sample
    lstm fetch MRK --source csv --file MRK.csv
    lstm fetch MRK --file export.csv --dates dmy --columns close=Last
    lstm fetch --market ^VIX
    """
    prepare(quiet=quiet)
    from lstmcli.pipeline import fetch as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    def show(result: FetchResult) -> None:
        if result.error is None:
            say(_line(result), quiet=quiet)

    if bars_only and (market or source not in (None, "yahoo") or file is not None):
        without = "a file" if file is not None else "--market" if market else f"--source {source}"
        raise ConfigError(
            f"Expected --bars-only with bars of Yahoo. Received: it with {without}.",
            hint="leave out --bars-only: no other bars bring anything else",
        )
    session = Session(Workspace(workspace))
    results = pipeline.fetch(
        session,
        named_tickers(tickers, None),
        universe=named_tickers(None, universe),
        store=session.workspace.market if market else None,
        source=_source(
            source,
            "lstm fetch --market" if market else "lstm fetch",
            file=file,
            dates=dates,
            decimal=decimal,
            columns=_columns(columns),
        ),
        start=parse_day(start, "--start"),
        calendar=calendar,
        allow_jumps=[
            day
            for text in allow_jumps or []
            for part in text.split(",")
            if (day := parse_day(part, "--allow-jumps"))
        ],
        replace_others=replace,
        with_announcements=not bars_only,
        on_result=show,
        say=lambda line: say(line, quiet=quiet),
    )
    if as_json:
        print_json({"market" if market else "tickers": [_answer(result) for result in results]})
    failed = [(result.ticker, result.error) for result in results if result.error]
    code = highest(
        (error for _, error in failed) if as_json else said_once(failed), as_json=as_json
    )
    if not code and not market:
        say_next(f"lstm train {shell_word(results[0].ticker)}", quiet=quiet)
    return code


def _columns(stated: list[str] | None) -> dict[str, str] | None:
    """Return role → name of the column, as `close=Last,volume=Qty` says.

    Raises:
        ConfigError: a part is no ROLE=NAME.
    """
    if not stated:
        return None
    columns: dict[str, str] = {}
    for text in stated:
        parts = text.split(",")
        # A name may hold a comma itself.
        for part in parts if all("=" in part for part in parts) else [text]:
            role, equals, name = part.partition("=")
            if not equals or not name.strip():
                raise ConfigError(
                    f"Expected --columns as ROLE=NAME, such as close=Last. Received: {text!r}.",
                    hint="lstm fetch MRK --source csv --file MRK.csv --columns close=Last",
                )
            columns[role.strip().lower()] = name.strip()
    return columns


def _source(name: str | None, command: str, **options: object) -> AnySource | None:
    """Return the source that `--source` and its options name; None if they name none.

    An option such as `--file` belongs to the sources that have a field of this name.
    `command` begins the hints.

    Raises:
        ConfigError: no source has this name, or it has other options.
    """
    from pydantic import TypeAdapter, ValidationError

    from lstmcli.sources import SOURCES, AnySource

    # Options that were not given are None.
    given = {option: value for option, value in options.items() if value is not None}
    fitting = [name for name, kind in SOURCES.items() if given.keys() <= kind.model_fields.keys()]
    if name is None:
        if not given:
            return None
        name = fitting[0]
    if name not in SOURCES:
        near = difflib.get_close_matches(name.lower(), SOURCES, n=1) or ["yahoo"]
        raise ConfigError(
            f"Expected --source as one of {', '.join(SOURCES)}. Received: {name!r}.",
            hint=f"did you mean --source {near[0]}?",
        )
    if name not in fitting:
        written = " ".join(f"--{option} {value}" for option, value in given.items())
        raise ConfigError(
            f"Expected {written} with --source {' or '.join(fitting)} only. "
            f"Received: --source {name}.",
            hint=f"{command} --source {fitting[0]} {written}",
        )
    for field, info in SOURCES[name].model_fields.items():
        if info.is_required() and field not in given:
            raise ConfigError(
                f"Expected a {field} with --source {name}. Received: none.",
                hint=f"{command} MRK --source {name} --{field} MRK.{name}",
            )
    adapter: TypeAdapter[AnySource] = TypeAdapter(AnySource)
    try:
        return adapter.validate_python({"name": name, **given})
    except ValidationError as error:
        fault = error.errors()[0]
        option = f"--{fault['loc'][-1]}"
        raise ConfigError(
            f"{option}: {fault['msg']}. Received: {fault['input']!r}.", hint=f"{command} --help"
        ) from error


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
