"""`lstm backup` and `lstm restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.screen import spinner
from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    AsJson,
    Quiet,
    WorkspaceFolder,
    highest,
    prepare,
    print_json,
    say,
    say_next,
)

if TYPE_CHECKING:
    from lstmcli.store.backups import BackupList


def backup(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to, such as forecasts.tar.gz.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: AsJson = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Write the whole workspace into one file.

    Bars, events, runs, backtests, forecasts, the log and the ledger, each with its
    checksum. Charts, pages and caches are left out: commands draw them again. The
    file is a gzipped tar. No other command writes meanwhile.

    \b
    lstm backup forecasts.tar.gz
    lstm backup ~/backups/forecasts.tar.gz --force -q
    """
    prepare(quiet=quiet)
    from lstmcli.errors import shell_word
    from lstmcli.pipeline import backup as pipeline
    from lstmcli.store import Workspace

    with spinner(f"copying {workspace}", quiet=quiet):
        done = pipeline.backup(Workspace(workspace), file, force=force)
    if as_json:
        print_json({"file": str(done.path), "bytes": done.size, **_answer(done.found)})
    else:
        print(f"{done.path}  {_contents(done.found)}, {done.size / 1e6:,.1f} MB")
        restoring = f"lstm restore {shell_word(str(done.path))} --workspace OTHER"
        say_next(restoring, quiet=quiet)
    return highest([done.error] if done.error else [], as_json=as_json)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What lstm backup has written.")],
    force: Annotated[
        bool, typer.Option("--force", help="Set aside what the workspace holds.")
    ] = False,
    as_json: AsJson = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Fill a workspace from a backup.

    Every file is checked first; a backup that is damaged changes nothing. With
    --force, what the workspace holds moves into a folder in it, whose name is shown.

    \b
    lstm restore forecasts.tar.gz
    lstm restore forecasts.tar.gz --workspace ~/forecasts --force
    """
    prepare(quiet=quiet)
    from lstmcli.pipeline import backup as pipeline
    from lstmcli.store import Workspace

    with spinner(f"checking {file}", quiet=quiet):
        done = pipeline.restore(Workspace(workspace), file, force=force)
    aside = done.set_aside and str(done.set_aside)
    if as_json:
        print_json({"workspace": str(done.root), "set_aside": aside, **_answer(done.found)})
    else:
        made = f"as of {done.found.made_at:%Y-%m-%d %H:%M} UTC"
        print(f"{done.root}  {_contents(done.found)}, {made}")
        if aside:
            say(f"what was there before lies in {aside}", quiet=quiet)
        say_next("lstm status", quiet=quiet)
    return highest([done.error] if done.error else [], as_json=as_json)


def _answer(found: BackupList) -> dict[str, object]:
    """Return what JSON says of a backup's contents."""
    return {
        "made_at": f"{found.made_at:%Y-%m-%dT%H:%M:%S%z}",
        "made_by": found.version,
        "files": len(found.files),
        "bytes_inside": found.size,
        "head": found.head,
    }


def _contents(found: BackupList) -> str:
    count = len(found.files)
    ledger = ", the ledger among them" if found.head else ""
    return f"{count:,} file{'s' * (count != 1)}{ledger}"
