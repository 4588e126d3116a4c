"""`lstm status` and `lstm doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.ages import parse_age
from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    AsJson,
    Quiet,
    WorkspaceFolder,
    highest,
    prepare,
    print_json,
    print_table,
    say,
    say_next,
)

if TYPE_CHECKING:
    from lstmcli.pipeline.status import SeriesStatus, TickerStatus


def status(
    max_age: Annotated[
        str | None,
        typer.Option(
            "--max-age",
            metavar="AGE",
            help="Exit 6 unless lstm daily succeeded within 36h, 3d, ….",
        ),
    ] = None,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Show how old stored bars and trainings are.

    \b
    lstm status
    lstm status --json | jq -r '.tickers[] | select(.sessions_behind > 0).ticker'
    lstm status --max-age 4d -q || echo "no forecast" | mail me
    """
    prepare(quiet=quiet)
    longest = None if max_age is None else parse_age(max_age, hint="lstm status --max-age 36h")
    from lstmcli.pipeline import status as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    session = Session(Workspace(workspace))
    if longest is not None:
        at = pipeline.check_age(session, longest)
        if as_json:
            print_json({"succeeded_at": at, "max_age_seconds": longest.total_seconds()})
        say(f"lstm daily last succeeded at {at.isoformat()}", quiet=quiet)
        return 0
    found = pipeline.status(session)
    market = pipeline.market_status(session)
    if as_json:
        print_json(
            {
                "tickers": [vars(ticker) for ticker in found],
                "market": [vars(series) for series in market],
            }
        )
    elif not found and not market:
        print(f"nothing is stored in {workspace}")
        say_next("lstm fetch MRK", quiet=quiet)
    else:
        head = ["source", "sessions", "last", "behind"]
        if found:
            rows = [[*_age_of(ticker), ticker.forecast or "", _run_of(ticker)] for ticker in found]
            print_table(["ticker", *head, "forecast", "newest run, age"], rows, left=2)
        if found and market:
            print()
        if market:
            print_table(["market series", *head], map(_age_of, market), left=2)
        for ticker in found:
            if ticker.no_trade_since:
                print(f"\n{ticker.ticker}: no trade since {ticker.no_trade_since}: no forecast")
    return highest((series.error for series in [*found, *market] if series.error), as_json=as_json)


def _age_of(series: SeriesStatus) -> list[str]:
    """Return the cells that a ticker and a market series share."""
    return [
        series.ticker,
        series.source or "damaged",
        f"{series.rows:,}" if series.rows else "",
        str(series.last_session or ""),
        "" if series.sessions_behind is None else f"{series.sessions_behind:,}",
    ]


def _run_of(ticker: TickerStatus) -> str:
    """Return the newest run without its time, for which 80 columns are too few, and its age."""
    from lstmcli import clock
    from lstmcli.store.shipped import PRETRAINED

    if ticker.run is None or ticker.trained_at is None:
        return PRETRAINED
    return f"{ticker.run[17:]}, {(clock.now() - ticker.trained_at).days:,} d"


def doctor(
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Make anew what evenings keep, compare the numbers."),
    ] = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Show versions, check every stored file.

    \b
    lstm doctor
    lstm doctor --rebuild
    """
    prepare(quiet=quiet)
    from lstmcli.pipeline import doctor as pipeline
    from lstmcli.pipeline.rebuild import rebuild_state
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    session = Session(Workspace(workspace))
    checks = rebuild_state(session) if rebuild else []
    checks = [*pipeline.doctor(session), *checks]
    if as_json:
        print_json({"checks": [vars(check) for check in checks]})
    else:
        print_table(["", ""], [[check.name, check.value] for check in checks], left=2)
    return highest((check.error for check in checks if check.error), as_json=as_json)
