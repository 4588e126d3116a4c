"""`lstm backtest`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.screen import counting_bar
from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    INTERRUPTED,
    AsJson,
    Quiet,
    Set,
    Tickers,
    Universe,
    WorkspaceFolder,
    check_name_given,
    check_one,
    interrupts,
    named_tickers,
    prepare,
    print_table,
    say,
    say_next,
)
from lstmcli.cli.train import DEFAULT_CONFIG
from lstmcli.cli.workers import Executor, Scheduler, workers_of
from lstmcli.errors import ConfigError

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from lstmcli.config import RunConfig
    from lstmcli.pipeline.backtest import Progress
    from lstmcli.pipeline.backtest_plan import BacktestPlan
    from lstmcli.pipeline.backtest_result import BacktestResult


def backtest(
    tickers: Tickers = None,
    config: Annotated[
        list[str] | None,
        typer.Option(
            "--config", "-c", metavar="FILE", help="May be repeated, to compare.  [best.yaml]"
        ),
    ] = None,
    overrides: Set = None,
    universe: Universe = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; else one a core, 4 at most.")
    ] = None,
    executor: Executor = None,
    scheduler: Scheduler = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the folds, fit nothing.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Compute it even if it was finished before.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="List finished backtests.")] = False,
    show: Annotated[
        str | None,
        typer.Option(
            "--show",
            metavar="NAME",
            callback=check_name_given,
            help="Show a finished one, by a beginning of its name.",
        ),
    ] = None,
    as_json: AsJson = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print the scores, or the list, as CSV.")
    ] = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Prove a network on the past, beside every baseline.

    It is fitted anew before each fold and forecasts the sessions after; so does
    every baseline. Tests say whether the difference is more than luck. Started
    again after an interruption, it goes on after the last finished piece. One
    that was finished before is shown and not computed again.

    \b
    lstm backtest MRK
    lstm backtest MRK MDT -c best -c stacked --set backtest.folds=2
    lstm backtest --dry-run
    lstm backtest --list
    lstm backtest --show stacked
    """
    prepare(quiet=quiet)
    check_one({"--dry-run": dry_run, "--list": list_, "--show": show is not None})
    check_one({"--dry-run": dry_run, "--json": as_json, "--csv": as_csv})
    if list_ or show is not None:
        asked: dict[str, object] = {"TICKER": tickers, "--config": config, "--set": overrides}
        asked |= {"--universe": universe, "--workers": workers, "--again": again}
        asked |= {"--executor": executor, "--scheduler": scheduler}
        _check_alone("--list" if list_ else "--show", asked)
    check_one({"--dry-run": dry_run, "--again": again})
    check_one({"--dry-run": dry_run, "--executor or --scheduler": executor or scheduler})
    from lstmcli.cli.backtest_result import print_backtests, print_result
    from lstmcli.store import Workspace

    chosen = workers_of(workers, executor, scheduler)
    place = Workspace(workspace)
    if list_:
        return print_backtests(place, as_json=as_json, as_csv=as_csv, quiet=quiet)
    if show is not None:
        from lstmcli.pipeline.stored_backtests import stored_backtest

        shown = stored_backtest(place, show)
        _warn_left_out(shown.manifest.left_out, quiet)
        print_result(shown, as_json=as_json, as_csv=as_csv)
        say_next(f"lstm plot --kind backtest --run {shown.manifest.backtest}", quiet=quiet)
        return 0
    say("reading bars …", quiet=quiet)
    from lstmcli.pipeline import backtest as pipeline
    from lstmcli.pipeline.backtest_plan import plan_backtest
    from lstmcli.pipeline.session import Session

    session = Session(place)
    configs = _configs(config or [DEFAULT_CONFIG], overrides or [])
    plan = plan_backtest(session, configs, named_tickers(tickers, universe))
    if dry_run:
        _print_folds(plan)
        return 0
    _warn_left_out(plan.left_out, quiet)
    try:
        with interrupts(), _Progress(quiet) as progress:
            result = pipeline.backtest(
                session,
                plan,
                workers=chosen,
                again=again,
                on_found=progress.on_found,
                on_start=progress.on_start,
                on_piece=progress.on_piece,
                on_stage=progress.on_stage,
            )
    except KeyboardInterrupt:
        say("stopped; what is finished is kept")
        say("\nhint: the same command goes on from there")
        return INTERRUPTED
    print_result(result, as_json=as_json, as_csv=as_csv)
    name = result.manifest.backtest
    if not progress.found:
        say(f"saved {place.backtests.path(name)}", quiet=quiet)
    say_next(f"lstm plot --kind backtest --run {name}", quiet=quiet)
    return 0


def _check_alone(option: str, given: Mapping[str, object]) -> None:
    """Check that nothing was given that a finished backtest cannot heed.

    Raises:
        ConfigError: something was.
    """
    names = [name for name, value in given.items() if value]
    if names:
        raise ConfigError(
            f"Expected {option} without {', '.join(names)}: a finished backtest has its own "
            "configs and tickers.",
            hint=f"lstm backtest {option}" + (" NAME" if option == "--show" else ""),
        )


def _warn_left_out(left_out: Mapping[str, Sequence[str]], quiet: bool) -> None:
    for number, names in left_out.items():
        say(
            f"warning: fold {number}: left out, with less than two years before it or no bar in "
            f"it: {' '.join(names)}",
            quiet=quiet,
        )


def _configs(names: list[str], overrides: list[str]) -> dict[str, RunConfig]:
    """Return the configs by the stem of their file.

    Raises:
        ConfigError: two files have one stem, or a config is wrong.
    """
    from pathlib import Path

    from lstmcli.config import load_config

    configs: dict[str, RunConfig] = {}
    for name in names:
        stem = Path(name).stem
        if stem in configs:
            raise ConfigError(f"Expected configs with different names. Received: {stem} twice.")
        configs[stem] = load_config(name, overrides=overrides)
    return configs


def _print_folds(plan: BacktestPlan) -> None:
    rows = [
        [
            f"{fold.number}",
            f"{fold.since:%Y-%m-%d}",
            f"{fold.until:%Y-%m-%d}",
            f"{fold.origins[0]:%Y-%m-%d}",
            f"{fold.origins[-1]:%Y-%m-%d}",
            f"{len(fold.origins):,}",
        ]
        for fold in plan.folds
    ]
    print_table(["fold", "fit from", "to", "first origin", "last origin", "origins"], rows, left=5)
    print("\nA fit knows no label that arrives after its last session.")


class _Progress:
    """Shows pieces, one recipe on one fold each."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.bar: Bar | None = None
        self.started = time.monotonic()
        self.had = 0
        self.found = False

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def on_found(self, result: BacktestResult) -> None:
        self.found = True
        done = result.manifest
        say(
            f"this backtest was computed on {done.created_at:%Y-%m-%d %H:%M} UTC and is shown from "
            f"{done.backtest}; --again computes it anew",
            quiet=self.quiet,
        )

    def on_start(self, name: str, done: int, of: int) -> None:
        self.had = done
        what = f"going on with {name}: {done} of {of} are done" if done else f"{name}: {of} to fit"
        say(what, quiet=self.quiet)
        if sys.stderr.isatty() and not self.quiet:
            self.bar = counting_bar()
            self.task = self.bar.add_task("fitting", total=of, completed=done)
            self.bar.start()

    def on_piece(self, piece: Progress) -> None:
        what = f"{piece.label}, fold {piece.fold}: {piece.seconds:.0f} s"
        if self.bar is not None:
            self.bar.update(self.task, description=what, completed=piece.done)
            return
        pace = (time.monotonic() - self.started) / (piece.done - self.had)
        left = pace * (piece.of - piece.done)
        say(f"{what} ({piece.done}/{piece.of}, about {left:.0f} s left)", quiet=self.quiet)

    def on_stage(self, stage: str) -> None:
        if self.bar is not None:
            self.bar.update(self.task, description=f"{stage} …")
        else:
            say(f"{stage} …", quiet=self.quiet)
