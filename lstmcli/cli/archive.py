"""`lstm ledger archive`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    AsJson,
    Quiet,
    WorkspaceFolder,
    parse_day,
    prepare,
    print_json,
    say,
)


def archive(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    before: Annotated[
        str, typer.Option("--before", metavar="YYYY-MM-DD", help="What was issued earlier.")
    ],
    as_json: AsJson = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Move the numbers of old forecasts into a file, and keep the rest.

    What was issued, when, its medians and 80 % ranges, and every hash stay in the
    ledger. score and export read the file, where it was written or beside the
    ledger; without it they stop. No backup holds it: keep a copy.

    \b
    lstm ledger archive --before 2025-01-01 ledger-2024.sqlite
    """
    prepare(quiet=quiet)
    from lstmcli import clock
    from lstmcli.store import Workspace

    day, place = parse_day(before, "--before"), Workspace(workspace)
    with place.lock():
        moved = place.ledger.archive(file, before=day, now=clock.now())
    if as_json:
        print_json({"file": str(file), **vars(moved)})
        return 0
    say(f"{moved.forecasts:,} forecasts, {moved.size / 1e6:,.1f} MB", quiet=quiet)
    if not moved.compact:
        say("the ledger keeps its size: there is no room to write it anew", quiet=quiet)
    print(file)
    return 0
