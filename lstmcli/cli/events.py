"""`lstm events`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.event_dates import dates_as_json, print_dates
from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    AsJson,
    ListsTickers,
    Quiet,
    Tickers,
    Universe,
    WorkspaceFolder,
    highest,
    named_tickers,
    prepare,
    print_json,
    print_table,
    say,
    say_next,
)
from lstmcli.digits import in_words

if TYPE_CHECKING:
    from lstmcli.pipeline.events import StoredEvents

FETCHED = ("earnings", "ex_dividend")
"""Kinds that have a table of their own."""

events = typer.Typer(rich_markup_mode=None, cls=ListsTickers)


@events.callback()
def _events() -> None:
    """List events of tickers, fetch them or import them.

    An event is what a ticker is known to have on a coming session: an
    announcement of results, an ex-date, or one of your own, which a config
    reads as `future: [user:NAME]`. Without a command: list.

    \b
    lstm events
    lstm events MRK
    lstm events fetch MRK
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
    """List when tickers report next, and other events by kind.

    With the day since when a date is known, and who said so.

    \b
    lstm events list
    lstm events list MRK --kind user:launch
    """
    prepare(quiet=quiet)
    from lstmcli.pipeline import events as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.pipeline.ticker_dates import ticker_dates
    from lstmcli.store import Workspace

    named, session = named_tickers(tickers, None), Session(Workspace(workspace))
    dates = [] if kind else ticker_dates(session, named)
    found = pipeline.stored_events(
        session.workspace, named, kind=kind, known=[each.ticker for each in dates]
    )
    if as_json:
        print_json(
            {
                "announcements": [dates_as_json(each) for each in dates],
                "events": [_kind_as_json(stored) for stored in found],
            }
        )
        return 0
    # Dates that were fetched are in the table of dates; of dividends a user states amounts.
    others = [each for each in found if kind or each.amounts or each.kind not in FETCHED]
    if dates:
        print_dates(dates)
    if dates and others:
        print()
    if others:
        _print_kinds(others)
    if not dates and not others:
        print(f"no events in {workspace}")
        say_next("lstm events fetch", quiet=quiet)
    return 0


@events.command("fetch")
def fetch(
    tickers: Tickers = None,
    universe: Universe = None,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Ask when tickers report.

    Yahoo is asked for past and next announcements and the next ex-date; once a
    day for each ticker, as lstm fetch, predict and daily do by themselves. With
    LSTM_SEC_CONTACT set, the SEC is asked for past filings of US companies.
    No ticker: every stored share whose bars came from Yahoo.

    \b
    lstm events fetch
    lstm events fetch MRK
    """
    prepare(quiet=quiet)
    from lstmcli.pipeline.announcement_fetch import fetch_named
    from lstmcli.pipeline.session import Session
    from lstmcli.pipeline.ticker_dates import ticker_dates
    from lstmcli.store import Workspace

    session = Session(Workspace(workspace))
    done = fetch_named(session, named_tickers(tickers, universe))
    for ticker in done.without_results:
        say(f"{ticker}: not asked for: only the shares of companies report", quiet=quiet)
    for ticker in done.asked_before:
        say(f"{ticker}: was asked for today already", quiet=quiet)
    dates = ticker_dates(session, done.tickers) if done.tickers else []
    if as_json:
        print_json(
            {
                "announcements": [dates_as_json(each) for each in dates],
                "asked": list(done.asked),
                "new": done.added,
            }
        )
    elif dates:
        print_dates(dates)
    if done.note and not done.errors:
        say(f"warning: {done.note}", quiet=quiet)
    return highest(done.errors, as_json=as_json)


@events.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file.")],
    kind: Annotated[
        str,
        typer.Option(
            "--kind", metavar="NAME", help="earnings, ex_dividend, or a name of yours: user:NAME."
        ),
    ],
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Store events of your own.

    The file has the columns ticker, session and known_on: on known_on it became
    known that the ticker has an event on that session. It may have these, too:

    \b
      timing  before, during, after, unknown (of the trading hours)
      status  expected, confirmed, reported, withdrawn
      amount  a number

    Dates are written as 2024-03-08. The newest statement about a session holds;
    status withdrawn takes an event back.

    session is the one whose prices react first: what comes after the close moves
    the next session. The kind earnings is for announcements of results; your dates
    go before those that were fetched.

    The kind ex_dividend declares dividends: session is the ex-date, and amount is
    needed: per share, in the currency and the shares of known_on. Two dividends of
    one ex-date are their sum. Forecasts show prices less these.

    \b
    lstm events import launches.csv --kind launch
    lstm events import dividends.csv --kind ex_dividend
    lstm events import reports.csv --kind earnings
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


def _kind_as_json(stored: StoredEvents) -> dict[str, object]:
    return {
        "kind": stored.kind,
        "tickers": list(stored.tickers),
        "statements": stored.statements,
        "first_session": stored.first.date(),
        "last_session": stored.last.date(),
        "amounts": stored.amounts,
    }


def _print_kinds(found: Sequence[StoredEvents]) -> None:
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


def _amounts(amounts: tuple[float, float] | None) -> str:
    return " to ".join(dict.fromkeys(map(in_words, amounts))) if amounts else ""


def _shown(tickers: tuple[str, ...]) -> str:
    return " ".join(tickers) if len(tickers) <= 3 else f"{len(tickers):,} tickers"
