"""`lstm log`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from lstmcli.cli.ages import parse_age
from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    AsJson,
    Quiet,
    WorkspaceFolder,
    prepare,
    print_json,
    say,
)

SHOWN = 20
"""Lines that are shown unless `--tail` or `--since` says otherwise."""


def log(
    tail: Annotated[
        int | None,
        typer.Option("--tail", "-n", min=1, metavar="N", help=f"The last ones; else {SHOWN}."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="A date, or an age: 36h, 3d, ….")
    ] = None,
    as_json: AsJson = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Show what lstm daily did, step by step.

    One line for each step: when (UTC), what, what came of it, and why.

    \b
    lstm log
    lstm log --since 7d
    lstm log --since 2026-01-01 --json | jq '.lines[].message'
    """
    prepare(quiet=quiet)
    from lstmcli.store import Workspace

    store = Workspace(workspace).log
    lines = store.read()
    if since is not None:
        first = _moment(since)
        lines = [line for line in lines if datetime.fromisoformat(line["at"]) >= first]
    if tail is not None or since is None:
        lines = lines[-(tail or SHOWN) :]
    if as_json:
        print_json({"lines": lines})
    elif not lines:
        say(
            f"nothing is logged in {store.folder}" + (f" since {since}" if since else ""),
            quiet=quiet,
        )
    for line in [] if as_json else lines:
        print(_text(line))
    return 0


def _moment(text: str) -> datetime:
    """Return the moment that a date or an age means.

    Raises:
        ConfigError: it is neither.
    """
    from lstmcli import clock

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return clock.now() - parse_age(text, hint="lstm log --since 7d, or --since 2026-01-31")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _text(line: dict[str, Any]) -> str:
    """Return a line of the log as a line for a person."""
    told = {"at", "step", "status", "ticker", "market", "session", "message"}
    details = [f"{key} {_value(line[key])}" for key in line if key not in told]
    cells = [
        str(line.get("at", ""))[:19].replace("T", " "),
        f"{line.get('step', ''):<9}",
        f"{line.get('status', ''):<10}",
        line.get("ticker") or line.get("market"),
        line.get("session"),
        ", ".join([*([line["message"]] if line.get("message") else []), *details]),
    ]
    return "  ".join(str(cell) for cell in cells if cell).rstrip()


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count:,} {name}" for name, count in value.items() if count) or "none"
    return f"{value:,.0f}" if isinstance(value, float) else str(value)
