"""`lstm runs export` and `lstm runs import`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.run_facts import Name, print_facts, run_answer
from lstmcli.cli.screen import Stages
from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    AsJson,
    Quiet,
    WorkspaceFolder,
    prepare,
    print_json,
    say_next,
)

if TYPE_CHECKING:
    from lstmcli.pipeline.travel import Imported


def export(
    run: Name,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to, such as stacked.lstmrun.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: AsJson = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Write a run into one file, to be imported elsewhere.

    The file holds settings, scores and numbers, and no code. Bars stay here: whoever
    imports it fetches them.

    \b
    lstm runs export stacked stacked.lstmrun
    lstm runs export 20261126T18 ~/stacked.lstmrun --force
    """
    prepare(quiet=quiet)
    from lstmcli.errors import shell_word
    from lstmcli.pipeline.session import Session
    from lstmcli.pipeline.travel import export_run
    from lstmcli.store import Workspace

    stages = Stages(quiet=quiet)
    session = Session(Workspace(workspace))
    try:
        done = export_run(session, run, file, force=force, on_stage=stages.begin)
    finally:
        stages.end()
    if as_json:
        print_json({"run": done.manifest.run, "file": str(done.path), "bytes": done.size})
        return 0
    print(f"{done.path}  {done.manifest.run}, {done.size / 1000:,.0f} kB")
    say_next(f"lstm runs import {shell_word(str(done.path))} --workspace OTHER", quiet=quiet)
    return 0


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What lstm runs export has written.")
    ],
    as_json: AsJson = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Add a run from a file that another workspace exported.

    Everything in it is checked first; a file that fails changes nothing. The run
    keeps its name. Its tickers need bars here to be forecast.

    \b
    lstm runs import stacked.lstmrun
    lstm runs import stacked.lstmrun --workspace ~/forecasts -q
    """
    prepare(quiet=quiet)
    from lstmcli.errors import shell_word
    from lstmcli.pipeline.session import Session
    from lstmcli.pipeline.travel import import_run
    from lstmcli.store import Workspace

    stages = Stages(quiet=quiet)
    try:
        done = import_run(Session(Workspace(workspace)), file, on_stage=stages.begin)
    finally:
        stages.end()
    if as_json:
        extra = {"folder": str(done.folder), "already": done.already}
        print_json({**run_answer(done.line), **extra, "with_bars": list(done.with_bars)})
        return 0
    _print_imported(done)
    if done.with_bars:
        named = shell_word(done.with_bars[0])
        say_next(f"lstm predict {named} --run {done.manifest.run}", quiet=quiet)
    else:
        say_next(f"lstm fetch {shell_word(done.manifest.tickers[0])}", quiet=quiet)
    return 0


def _print_imported(done: Imported) -> None:
    manifest = done.manifest
    if done.already:
        print("This run is here already, and the same in every number.\n")
    some = f"{len(manifest.tickers):,}: " if len(manifest.tickers) > 1 else ""
    lacking = 0 if manifest.any_ticker else len(manifest.tickers) - len(done.with_bars)
    named = "any" if manifest.any_ticker else f"{some}{' '.join(manifest.tickers)}"
    print_facts(
        [
            ("run", manifest.run),
            ("config", manifest.config_name),
            ("tickers", named),
            ("trained to", done.line.trained_to),
            ("verdict", f"{done.line.verdict}, on {manifest.test[0]} to {manifest.test[1]}"),
            ("made", f"{manifest.created_at:%Y-%m-%d}, by lstm {done.made_by}"),
            ("folder", str(done.folder)),
            *(("NOTE", label) for label in dict.fromkeys(manifest.labels.values())),
            *([("NOTE", _without_bars(lacking, manifest.tickers))] if lacking else []),
        ]
    )


def _without_bars(lacking: int, tickers: Sequence[str]) -> str:
    if lacking < len(tickers):
        return f"{lacking:,} of its {len(tickers):,} tickers have no bars here"
    return "none of its tickers has bars here: lstm fetch brings them"
