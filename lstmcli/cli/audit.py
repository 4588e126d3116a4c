"""`lstm audit`."""

from __future__ import annotations

import textwrap
from typing import Annotated, Any

import typer

from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    AsJson,
    Config,
    Quiet,
    Set,
    Tickers,
    Universe,
    WorkspaceFolder,
    named_tickers,
    prepare,
    print_json,
    say,
)
from lstmcli.cli.train import DEFAULT_CONFIG
from lstmcli.errors import DataError


def audit(
    tickers: Tickers = None,
    config: Config = DEFAULT_CONFIG,
    overrides: Set = None,
    universe: Universe = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="200 simulated random walks instead of 20.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; else one a core.")
    ] = None,
    as_json: AsJson = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Look for leaks in a config, on your bars.

    Bars after a session are changed: nothing before may change. Then the network
    meets bars without a signal, with a planted one, and from a known process.
    Exits with 6 when a check fails.

    \b
    lstm audit MRK
    lstm audit --thorough
    """
    prepare(quiet=quiet)
    say("reading bars …", quiet=quiet)
    from lstmcli.config import load_config
    from lstmcli.pipeline import audit as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    chosen = load_config(config, overrides=overrides or [])
    done: list[dict[str, Any]] = []
    for check in pipeline.audit(
        Session(Workspace(workspace)),
        chosen,
        named_tickers(tickers, universe),
        simulations=pipeline.THOROUGH if thorough else pipeline.SIMULATIONS,
        workers=workers,
        on_stage=lambda stage: say(f"{stage} …", quiet=quiet),
    ):
        word = {True: "pass", False: "FAIL", None: "info"}[check.passed]
        if not as_json:
            lines = (textwrap.fill(text, 73) for text in (check.did, check.figure))
            shown = textwrap.indent("\n".join(lines), 6 * " ")
            print(f"{word}  {check.name}\n{shown}", flush=True)
        done.append(
            {
                "check": check.name,
                "did": check.did,
                "figure": check.figure,
                "passed": check.passed,
            }
        )
    failed = sum(check["passed"] is False for check in done)
    if as_json:
        print_json({"config": config, "failed": failed, "checks": done})
    else:
        print(f"\n{failed} of {len(done)} checks failed." if failed else "\nNo leak was found.")
    return DataError.exit_code if failed else 0
