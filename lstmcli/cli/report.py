"""`lstm report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    Quiet,
    WorkspaceFolder,
    highest,
    prepare,
    say,
    say_next,
)


def report(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Instead of report.html.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Show the page in your browser.")] = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Draw the page of the last forecasts and their record.

    One HTML file that needs no network; more than 30 tickers get a page each.
    Without a ledger it shows what the newest run forecasts, or the network that ships.

    \b
    lstm report --open
    lstm report --output ~/forecasts.html
    """
    prepare(quiet=quiet)
    say("drawing …", quiet=quiet)
    from lstmcli.pipeline.report import report_now
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    path, failed = report_now(Session(Workspace(workspace)), output=output)
    print(path)
    code = highest(failure.error for failure in failed)
    if show:
        _open(path, quiet=quiet)
    else:
        say_next("lstm report --open", quiet=quiet)
    return code


def _open(path: Path, *, quiet: bool) -> None:
    """Show a page in the user's browser, or say where it is."""
    import webbrowser

    address = path.resolve().as_uri()
    if not webbrowser.open(address):
        say(f"warning: there is no browser to open: {address}", quiet=quiet)
