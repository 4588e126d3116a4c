"""`lstm train`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.screen import wrapped
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
from lstmcli.cli.training_progress import TrainingProgress
from lstmcli.errors import ConfigError, shell_word

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.pipeline.session import Session
    from lstmcli.pipeline.train import TrainResult
    from lstmcli.pipeline.training_plan import TrainPlan

DEFAULT_CONFIG = "best.yaml"


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
    if not resume:
        _say_time(session, plan, quiet=quiet)
    try:
        with interrupts(), TrainingProgress(plan.config.training, quiet=quiet) as progress:
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


def _say_time(session: Session, plan: TrainPlan, *, quiet: bool) -> None:
    """Say how long the training takes, as far as that is known before it begins."""
    from lstmcli.pipeline.training_time import earlier_time
    from lstmcli.report.wording import training_work

    training = plan.config.training
    fits = 2 if training.refit else 1
    known = earlier_time(session, plan)
    say(training_work(training.members, fits, training.epochs, len(plan.panel), known), quiet=quiet)


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
    legend = (
        f"CRPS on validation and test in % of the price, mean of steps 1-{horizon}; lower is "
        f"better. Skill in % against {walk}; '80 %' is how often the test outcome lay in that "
        f"cone. Test origins {first} to {last}; this period was evaluated {times} here."
    )
    print(f"\n{wrapped(legend)}\n")
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
