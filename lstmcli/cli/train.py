"""`lstm train`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    DISCLAIMER,
    INTERRUPTED,
    Config,
    Quiet,
    Set,
    Tickers,
    Universe,
    WorkspaceFolder,
    interrupts,
    named_tickers,
    prepare,
    print_table,
    say,
    say_next,
)
from lstmcli.errors import ConfigError, shell_word

if TYPE_CHECKING:
    import pandas as pd
    from rich.progress import Progress

    from lstmcli.forecasters.training import Epoch
    from lstmcli.pipeline.train import TrainResult
    from lstmcli.pipeline.training_plan import TrainPlan

DEFAULT_CONFIG = "best.yaml"

EVERY = 10.0
"""Seconds between lines of progress off a terminal."""


def train(
    tickers: Tickers = None,
    config: Config = DEFAULT_CONFIG,
    overrides: Set = None,
    universe: Universe = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the config and the blocks, fit nothing.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest interrupted run.")
    ] = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Fit a network and score it beside baselines.

    It is scored on sessions set aside, then fitted again up to the last bar.
    Several tickers are pooled into one network; no ticker: those of the config,
    else every stored one.

    \b
    lstm train MRK
    lstm train MRK MDT PFE --set training.members=1
    lstm train MRK --config stacked.yaml --set model.units=[64,32]
    lstm train --dry-run
    """
    prepare(quiet=quiet)
    say("reading bars …", quiet=quiet)
    from lstmcli.config import load_config
    from lstmcli.pipeline import train as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.pipeline.training_plan import plan_training
    from lstmcli.store import Workspace

    session = Session(Workspace(workspace))
    if resume:
        if tickers or universe or overrides:
            raise ConfigError(
                "Expected --resume alone: a run goes on with its own tickers and settings. "
                "Received: more.",
                hint="lstm train --resume, or leave --resume out to start anew",
            )
        run, plan = pipeline.resume_run(session)
        say(f"going on with {run}", quiet=quiet)
    else:
        chosen = load_config(config, overrides=overrides or [])
        run, plan = None, plan_training(session, chosen, named_tickers(tickers, universe))
    if dry_run:
        _print_plan(plan)
        return 0
    run = run or pipeline.start_run(session, plan)
    training = plan.config.training
    try:
        with (
            interrupts(),
            _Progress(training.members, training.epochs, training.refit, quiet) as progress,
        ):
            result = pipeline.train(
                session, plan, run, on_epoch=progress.on_epoch, on_stage=progress.on_stage
            )
    except KeyboardInterrupt:
        say(f"stopped; what it has learnt so far is in {session.workspace.runs.path(run)}")
        say("\nhint: lstm train --resume goes on from there")
        return INTERRUPTED
    _print_result(plan, result)
    say(f"saved {session.workspace.runs.path(run)}", quiet=quiet)
    say_next(f"lstm predict {' '.join(map(shell_word, result.manifest.tickers[:3]))}", quiet=quiet)
    return 0


def _print_plan(plan: TrainPlan) -> None:
    print(plan.config.to_yaml())
    rows = [
        [fit, name, f"{block.first:%Y-%m-%d}", f"{block.last:%Y-%m-%d}", f"{len(block.origins):,}"]
        for fit, blocks in (("scored", plan.scored), ("final", plan.final))
        for name, block in blocks.items()
        if fit == "scored" or plan.config.training.refit
    ]
    print_table(["fit", "block", "first origin", "last origin", "origins"], rows, left=4)
    horizon = plan.config.window.horizon
    print(f"\n{horizon} origins before each boundary are dropped: no target straddles two blocks.")


def _print_result(plan: TrainPlan, result: TrainResult) -> None:
    from lstmcli.cli.verdict import print_verdict
    from lstmcli.report.wording import recipe_name, untrained_members

    manifest = result.manifest
    first, last, evaluations = manifest.test
    names = ", ".join(manifest.tickers[:5]) + (" …" if len(manifest.tickers) > 5 else "")
    size = f"{manifest.parameters:,} parameters, {manifest.seconds:.0f} s"
    print(f"{plan.recipe.name} on {names}: {size}")
    for label in dict.fromkeys(manifest.labels.values()):
        print(f"NOTE: {label}")
    print()
    walk = "random_walk"
    rows = []
    for key in result.test.index:
        test = result.test.loc[key, :]
        cells = [recipe_name(key[0], calibrated=key[1])]
        for block in (result.validation, result.test):
            known = key in block.index
            cells += [f"{block.loc[key, 'crps'] * 100:.3f}" if known else ""]
            cells += [_skill(block, key, (walk, False)) if known else ""]
        cells += [f"{test[f'coverage{level}'] * 100:.1f}" for level in (50, 80, 95)]
        rows.append(cells)
    print_table(["", "valid", "skill", "test", "skill", "50 %", "80 %", "95 %"], rows)
    horizon = plan.config.window.horizon
    times = f"{evaluations} time{'s' * (evaluations > 1)}"
    of = len(manifest.tickers)
    if result.scored_tickers < of:
        print(f"\nScored on {result.scored_tickers} of {of:,} tickers.")
    print(
        f"\nCRPS on validation and test in % of the price, mean of steps 1-{horizon}; lower\n"
        f"is better. Skill in % against {walk}; '80 %' is how often the test outcome\n"
        f"lay in that cone. Test origins {first} to {last}; this period was\n"
        f"evaluated {times} here.\n"
    )
    print_verdict(result.verdict)
    if not any(result.best_epochs):
        print("No epoch was better than the untrained baseline, which therefore forecasts.")
    elif 0 in result.best_epochs:
        print(untrained_members(result.best_epochs))
    print(DISCLAIMER)


def _skill(block: pd.DataFrame, recipe: tuple[str, bool], reference: tuple[str, bool]) -> str:
    if recipe == reference:
        return ""
    skill = 1 - block.loc[recipe, "crps"] / block.loc[reference, "crps"]
    return f"{skill * 100:+.1f}"


class _Progress:
    """Shows epochs: a bar on a terminal, a plain line now and then elsewhere."""

    def __init__(self, members: int, epochs: int, refit: bool, quiet: bool) -> None:
        self.members, self.epochs, self.quiet = members, epochs, quiet
        self.fits = 2 if refit else 1
        self.said = 0.0
        self.bar: Progress | None = None

    def __enter__(self) -> _Progress:
        if sys.stderr.isatty() and not self.quiet:
            from rich import progress
            from rich.console import Console

            self.bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.TextColumn("{task.fields[loss]}"),
                # An upper bound: early stopping may end each member sooner.
                progress.TextColumn("at most"),
                progress.TimeRemainingColumn(compact=True),
                console=Console(stderr=True),
                transient=True,
            )
            total = self.fits * self.members * self.epochs
            self.task = self.bar.add_task("starting", total=total, loss="")
            self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def on_stage(self, stage: str) -> None:
        if self.bar is not None:
            self.bar.update(self.task, description=f"{stage} …")
        else:
            say(f"{stage} …", quiet=self.quiet)

    def on_epoch(self, epoch: Epoch) -> None:
        before = (epoch.fit == "final") * self.members + epoch.member - 1
        where = f"{epoch.fit} fit, network {epoch.member}/{epoch.members}"
        loss = f"epoch {epoch.epoch} loss {epoch.loss:.4f} validation {epoch.validation_loss:.4f}"
        if self.bar is not None:
            self.bar.update(
                self.task,
                description=where,
                completed=before * self.epochs + epoch.epoch,
                loss=loss,
            )
        elif time.monotonic() - self.said > EVERY or epoch.epoch == 1:
            self.said = time.monotonic()
            left = (self.fits * self.members - before) * self.epochs - epoch.epoch
            seconds = left * epoch.seconds
            say(
                f"{where}: {loss} (best: epoch {epoch.best_epoch}), at most {seconds:.0f} s left",
                quiet=self.quiet,
            )
