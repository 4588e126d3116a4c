"""`lstm remove`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    AsJson,
    Quiet,
    WorkspaceFolder,
    named_tickers,
    prepare,
    print_json,
    say,
)

if TYPE_CHECKING:
    from lstmcli.pipeline.remove import Removed


def remove(
    tickers: Annotated[list[str], typer.Argument(metavar="TICKER", help="Those that go.")],
    as_json: AsJson = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Take tickers out: their bars and events go.

    Runs, the ledger, forecasts and charts stay. lstm daily leaves the tickers
    alone from then on, unless a list of --universe names them. lstm fetch brings
    bars back.

    \b
    lstm remove MRK
    """
    prepare(quiet=quiet)
    from lstmcli.pipeline import remove as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    done = pipeline.remove(Session(Workspace(workspace)), named_tickers(tickers, None))
    if as_json:
        print_json({"removed": [vars(removed) for removed in done]})
    for removed in done:
        say(_text(removed), quiet=quiet)
    return 0


def _text(removed: Removed) -> str:
    sessions = "its bars" if removed.sessions is None else _counted(removed.sessions, "session")
    gone = sessions + (f" and {_counted(removed.events, 'event')}" if removed.events else "")
    stays = [_counted(len(removed.runs), "run")] if removed.runs else []
    stays += (
        [f"{_counted(removed.forecasts, 'forecast')} in the ledger"] if removed.forecasts else []
    )
    text = f"{removed.ticker}: {gone} removed"
    return text + (f"; {' and '.join(stays)} stay" if stays else "")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
