"""`lstm report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    Quiet,
    Tickers,
    WorkspaceFolder,
    highest,
    named_tickers,
    prepare,
    say,
    say_next,
)
from lstmcli.errors import shell_word


def report(
    tickers: Tickers = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Else report.html.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Show the page in your browser.")] = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Draw the page of the last forecasts and their record.

    One HTML file that needs no network. More than 10 tickers get an index, and a
    page each; named ones get their charts, in named.html. Without a ledger it
    shows what the newest run forecasts, or the network that ships.

    \b
    lstm report --open
    lstm report AAPL MSFT --open
    lstm report --output ~/forecasts.html
    """
    prepare(quiet=quiet)
    say("drawing …", quiet=quiet)
    from lstmcli.pipeline.report import report_now, report_on
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    session, named = Session(Workspace(workspace)), named_tickers(tickers, None)
    if named:
        path, failed = report_on(session, named, output=output)
    else:
        path, failed = report_now(session, output=output)
    print(path)
    code = highest(failure.error for failure in failed)
    if show:
        _open(path, quiet=quiet)
    else:
        words = " ".join(map(shell_word, named))
        say_next(f"lstm report {words} --open".replace("  ", " "), quiet=quiet)
    return code


def _open(path: Path, *, quiet: bool) -> None:
    """Show a page in the user's browser, or say where it is."""
    import webbrowser

    address = path.resolve().as_uri()
    if not webbrowser.open(address):
        say(f"warning: there is no browser to open: {address}", quiet=quiet)
