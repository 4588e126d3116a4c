"""`lstm prune`."""

from __future__ import annotations

from typing import Annotated

import typer

from lstmcli.cli.ages import parse_age
from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    AsJson,
    Quiet,
    WorkspaceFolder,
    prepare,
    print_json,
    print_table,
    say,
)


def prune(
    keep: Annotated[
        str, typer.Option("--keep", metavar="AGE", help="What is younger stays: 90d, 36h.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and delete nothing.")
    ] = False,
    as_json: AsJson = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Delete old files that nothing needs.

    Forecast files, but those of the newest day; charts; interrupted runs and
    backtests; runs that were replaced and never issued a forecast; what lstm
    restore set aside. The ledger keeps every forecast. Bars, events and finished
    backtests stay.

    \b
    lstm prune --keep 90d --dry-run
    lstm prune --keep 90d -q
    """
    prepare(quiet=quiet)
    age = parse_age(keep, hint="lstm prune --keep 90d")
    from lstmcli.pipeline import prune as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    done = pipeline.prune(Session(Workspace(workspace)), age, dry_run=dry_run)
    if as_json:
        print_json({"pruned": [vars(pruned) for pruned in done], "dry_run": dry_run})
        return 0
    if not done:
        say(f"nothing in {workspace} is older than {keep} and not needed", quiet=quiet)
        return 0
    rows = [(one.kind, f"{one.files:,}", f"{one.size / 1e6:,.2f}") for one in done]
    print_table(["would go" if dry_run else "gone", "files", "MB"], rows)
    return 0
