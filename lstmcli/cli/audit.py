"""`lstm audit`."""

from __future__ import annotations

import sys
import textwrap
import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.screen import counting_bar
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
from lstmcli.cli.workers import Count, Executor, Scheduler, workers_of
from lstmcli.errors import DataError

if TYPE_CHECKING:
    from rich.progress import Progress

    from lstmcli.evaluation.leaks import Check

EVERY = 10.0
"""Seconds between lines of progress off a terminal."""


def audit(
    tickers: Tickers = None,
    config: Config = DEFAULT_CONFIG,
    overrides: Set = None,
    universe: Universe = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="200 simulated random walks instead of 20.")
    ] = False,
    workers: Count = None,
    executor: Executor = None,
    scheduler: Scheduler = None,
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
    where = workers_of(workers, executor, scheduler)
    say("reading bars …", quiet=quiet)
    from lstmcli.config import load_config
    from lstmcli.pipeline import audit as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    chosen = load_config(config, overrides=overrides or [])
    simulations = pipeline.THOROUGH if thorough else pipeline.SIMULATIONS
    done: list[dict[str, Any]] = []
    with closing(_Walks(simulations, quiet=quiet)) as walks:
        for check in pipeline.audit(
            Session(Workspace(workspace)),
            chosen,
            named_tickers(tickers, universe),
            simulations=simulations,
            workers=where,
            on_stage=lambda stage: say(f"{stage} …", quiet=quiet),
            on_walk=walks.show,
        ):
            if not as_json:
                _print(check)
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


def _print(check: Check) -> None:
    word = {True: "pass", False: "FAIL", None: "info"}[check.passed]
    lines = (textwrap.fill(text, 73) for text in (check.did, check.figure))
    shown = textwrap.indent("\n".join(lines), 6 * " ")
    print(f"{word}  {check.name}\n{shown}", flush=True)


class _Walks:
    """Shows how many random walks are done: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, count: int, *, quiet: bool) -> None:
        self.count, self.quiet = count, quiet
        self.said = 0.0
        self.bar: Progress | None = None

    def show(self, done: int) -> None:
        """Show that so many are done; with all of them the bar goes."""
        if sys.stderr.isatty() and not self.quiet:
            self._draw(done)
        elif done in (0, self.count) or time.monotonic() - self.said > EVERY:
            self.said = time.monotonic()
            say(f"simulated random walks: {done} of {self.count} …", quiet=self.quiet)

    def _draw(self, done: int) -> None:
        if self.bar is None:
            self.bar = counting_bar()
            self.bar.add_task("simulated random walks", total=self.count)
            self.bar.start()
        self.bar.update(self.bar.task_ids[0], completed=done)
        if done == self.count:
            self.close()

    def close(self) -> None:
        """Remove the bar, also where the walks ended early."""
        if self.bar is not None:
            self.bar.stop()
