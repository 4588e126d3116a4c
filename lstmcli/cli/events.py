"""`lstm events`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    AsJson,
    ListsByDefault,
    Quiet,
    Tickers,
    WorkspaceFolder,
    named_tickers,
    prepare,
    print_json,
    print_table,
    say,
    say_next,
)
from lstmcli.digits import in_words

events = typer.Typer(rich_markup_mode=None, cls=ListsByDefault)


@events.callback()
def _events() -> None:
    """List or import events of tickers.

    An event is what a ticker is known to have on a coming session. A config
    reads events of your own as `future: [user:NAME]`. Without a command: list.

    \b
    lstm events list
    lstm events import launches.csv --kind launch
    """


@events.command("list")
def list_(
    tickers: Tickers = None,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help="Of one kind: user:launch.")
    ] = None,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """List stored events by kind.

    \b
    lstm events list
    lstm events list MRK --kind user:launch
    """
    prepare(quiet=quiet)
    from lstmcli.pipeline import events as pipeline
    from lstmcli.store import Workspace

    named = named_tickers(tickers, None)
    found = pipeline.stored_events(Workspace(workspace), named, kind=kind)
    if as_json:
        print_json(
            {
                "events": [
                    {
                        "kind": stored.kind,
                        "tickers": list(stored.tickers),
                        "statements": stored.statements,
                        "first_session": stored.first.date(),
                        "last_session": stored.last.date(),
                        "amounts": stored.amounts,
                    }
                    for stored in found
                ]
            }
        )
    elif not found:
        print(f"no events in {workspace}")
        say_next("lstm events import FILE --kind NAME", quiet=quiet)
    else:
        rows = [
            [
                stored.kind,
                _shown(stored.tickers),
                f"{stored.statements:,}",
                f"{stored.first:%Y-%m-%d}",
                f"{stored.last:%Y-%m-%d}",
                _amounts(stored.amounts),
            ]
            for stored in found
        ]
        head = ["kind", "tickers", "statements", "first", "last", "amounts"]
        if not any(row[-1] for row in rows):
            head, rows = head[:-1], [row[:-1] for row in rows]
        print_table(head, rows, left=2)
    return 0


@events.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file.")],
    kind: Annotated[
        str, typer.Option("--kind", metavar="NAME", help="Stored as user:NAME, or ex_dividend.")
    ],
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Store events of your own.

    The file has the columns ticker, session and known_on: on known_on it became
    known that the ticker has an event on that session. It may have these, too:

    \b
      timing  before, after, unknown (of the trading hours)
      status  expected, confirmed, reported, withdrawn
      amount  a number

    Dates are written as 2024-03-08. The newest statement about a session holds;
    status withdrawn takes an event back.

    The kind ex_dividend declares dividends: session is the ex-date, and amount is
    needed: per share, in the currency and the shares of known_on. Two dividends of
    one ex-date are their sum. Forecasts show prices less these.

    \b
    lstm events import launches.csv --kind launch
    lstm events import dividends.csv --kind ex_dividend
    """
    prepare(quiet=quiet)
    from lstmcli.pipeline import events as pipeline
    from lstmcli.store import Workspace

    done = pipeline.import_events(Workspace(workspace), file, name=kind)
    if as_json:
        print_json(
            {
                "kind": done.kind,
                "statements": done.statements,
                "new": done.new,
                "tickers": list(done.tickers),
                "first_session": done.first.date(),
                "last_session": done.last.date(),
            }
        )
    say(
        f"{done.kind}: {done.statements:,} statements, {done.new:,} of them new, "
        f"{_shown(done.tickers)}, {done.first:%Y-%m-%d} to {done.last:%Y-%m-%d}",
        quiet=quiet,
    )
    say_next(f"lstm events list --kind {done.kind}", quiet=quiet)
    return 0


def _amounts(amounts: tuple[float, float] | None) -> str:
    return " to ".join(dict.fromkeys(map(in_words, amounts))) if amounts else ""


def _shown(tickers: tuple[str, ...]) -> str:
    return " ".join(tickers) if len(tickers) <= 3 else f"{len(tickers):,} tickers"
