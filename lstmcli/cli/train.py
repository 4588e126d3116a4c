"""`lstm train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.scores import print_block_scores, scores_answer
from lstmcli.cli.screen import wrapped
from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    DISCLAIMER,
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
    print_json,
    print_table,
    say,
    say_next,
)
from lstmcli.cli.training_progress import TrainingProgress
from lstmcli.cli.workers import Executor, Scheduler, workers_of
from lstmcli.errors import ConfigError, shell_word

if TYPE_CHECKING:
    from lstmcli.pipeline.session import Session
    from lstmcli.pipeline.train import TrainResult
    from lstmcli.pipeline.training_plan import TrainPlan

DEFAULT_CONFIG = "best.yaml"


def train(
    tickers: Tickers = None,
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", metavar="FILE", help="A path, or a name: lstm models."),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            callback=check_name_given,
            help="Go on from the weights of a run, or of pretrained.",
        ),
    ] = None,
    overrides: Set = None,
    universe: Universe = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the config and the blocks, fit nothing.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest interrupted run.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Train so many members at a time, on a core each."),
    ] = None,
    executor: Executor = None,
    scheduler: Scheduler = None,
    as_json: AsJson = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Fit a network and score it beside baselines.

    It goes on from the network that ships with the program, or with --config
    starts from nothing. It is scored on sessions set aside, then fitted again up to
    the last bar. Several tickers are pooled into one network; no ticker: those of
    the config, else every stored one.

    \b
    lstm train MRK
    lstm train MRK MDT PFE --set training.members=1
    lstm train MRK --config stacked.yaml --set model.units=[64,32]
    lstm train MRK --from stacked
    lstm train MRK -q --json | jq -r .run
    lstm train --dry-run
    """
    prepare(quiet=quiet)
    check_one({"--dry-run": dry_run, "--json": as_json})
    where = workers_of(workers, executor, scheduler)
    apart = any((workers, executor, scheduler))
    check_one({"--dry-run": dry_run, "--workers, --executor or --scheduler": apart})
    say("reading bars …", quiet=quiet)
    from lstmcli.config import load_config
    from lstmcli.pipeline import train as pipeline
    from lstmcli.pipeline.members import check_members
    from lstmcli.pipeline.session import Session
    from lstmcli.pipeline.start import config_from, default_config
    from lstmcli.pipeline.training_plan import plan_training
    from lstmcli.store import Workspace

    session = Session(Workspace(workspace))
    if resume:
        if tickers or universe or overrides or config or from_:
            raise ConfigError(
                "Expected --resume alone: a run goes on with its own tickers and settings. "
                "Received: more.",
                hint="lstm train --resume, or leave --resume out to start anew",
            )
        run, plan = pipeline.resume_run(session)
        say(f"going on with {run}", quiet=quiet)
    else:
        named, settings = named_tickers(tickers, universe), overrides or []
        if from_:
            chosen = config_from(session, from_, config, settings)
        elif config:
            chosen = load_config(config, overrides=settings)
        else:
            chosen, why = default_config(session, named, settings)
            if why:
                say(why, quiet=quiet)
        run, plan = None, plan_training(session, chosen, named)
    if dry_run:
        _print_plan(plan)
        return 0
    if apart:
        check_members(plan.recipe, plan.panel)
    run = run or pipeline.start_run(session, plan)
    if not resume:
        _say_time(session, plan, quiet=quiet)
    try:
        with (
            interrupts(),
            TrainingProgress(plan.recipe.work, plan.config.training, quiet=quiet) as progress,
        ):
            result = pipeline.train(
                session,
                plan,
                run,
                workers=where if apart else None,
                on_epoch=progress.on_epoch,
                on_stage=progress.on_stage,
                on_member=progress.on_member,
            )
    except KeyboardInterrupt:
        say(f"stopped; what it has learnt so far is in {session.workspace.runs.path(run)}")
        say("\nhint: lstm train --resume goes on from there")
        return INTERRUPTED
    if as_json:
        print_json(_answer(plan, result, session.workspace.runs.path(run)))
    else:
        _print_result(plan, result)
    say(f"saved {session.workspace.runs.path(run)}", quiet=quiet)
    say_next(f"lstm predict {' '.join(map(shell_word, result.manifest.tickers[:3]))}", quiet=quiet)
    return 0


def _say_time(session: Session, plan: TrainPlan, *, quiet: bool) -> None:
    """Say how long the training takes, as far as that is known before it begins."""
    from lstmcli.pipeline.training_time import earlier_time
    from lstmcli.report.wording import training_work

    work, fits = plan.recipe.work, 2 if plan.config.training.refit else 1
    known = earlier_time(session, plan)
    say(training_work(work, fits, len(plan.panel), known), quiet=quiet)


def _print_plan(plan: TrainPlan) -> None:
    print(plan.config.to_yaml())
    rows = [
        [fit, name, f"{block[0]:%Y-%m-%d}", f"{block[-1]:%Y-%m-%d}", f"{len(block):,}"]
        for fit, name, block in plan.blocks()
        if fit == "scored" or plan.config.training.refit
    ]
    print_table(["fit", "block", "first origin", "last origin", "origins"], rows, left=4)
    horizon = plan.config.window.horizon
    if plan.recipe.work.keeps_best:
        said = (
            f"{horizon} origins before each boundary are dropped: no target straddles two blocks."
        )
    elif plan.recipe.alone:
        said = (
            f"The training goes on from {plan.config.start}. The test block has only sessions that "
            "this run has not seen."
        )
    else:
        said = (
            "The training dates are cut into blocks, each forecast by networks that have not seen "
            "it. So the validation block lies among them. The test block lies behind them all."
        )
    print(f"\n{wrapped(said)}")


def _print_result(plan: TrainPlan, result: TrainResult) -> None:
    from lstmcli.cli.verdict import print_verdict
    from lstmcli.report.verdict_record import short_verdict
    from lstmcli.report.wording import untrained_members

    manifest = result.manifest
    names = ", ".join(manifest.tickers[:5]) + (" …" if len(manifest.tickers) > 5 else "")
    size = f"{manifest.parameters:,} parameters, {manifest.seconds:.0f} s"
    print(f"{plan.recipe.name} on {names}: {size}")
    for label in dict.fromkeys(manifest.labels.values()):
        print(f"NOTE: {label}")
    print(f"\n{wrapped(short_verdict(manifest.verdict))}\n")
    print_block_scores(
        result.validation,
        result.test,
        horizon=plan.config.window.horizon,
        span=manifest.test,
        scored=(result.scored_tickers, len(manifest.tickers)),
    )
    print_verdict(result.verdict)
    if not any(result.best_epochs):
        fit = "In the final fit no" if plan.config.training.refit else "No"
        text = f"{fit} epoch was better than the untrained baseline, which therefore forecasts."
        print(wrapped(text))
    elif 0 in result.best_epochs:
        print(untrained_members(result.best_epochs))
    print(DISCLAIMER)


def _answer(plan: TrainPlan, result: TrainResult, folder: Path) -> dict[str, Any]:
    manifest = result.manifest
    return {
        "run": manifest.run,
        "config": manifest.config_name,
        "network": manifest.variant,
        "folder": str(folder),
        "tickers": list(manifest.tickers),
        "horizon": plan.config.window.horizon,
        "test": list(manifest.test[:2]),
        "evaluations": result.evaluations,
        "parameters": manifest.parameters,
        "seconds": manifest.seconds,
        "best_epochs": list(result.best_epochs),
        "scored_tickers": result.scored_tickers,
        "labels": manifest.labels,
        "crps": manifest.crps,
        "scores": {
            "validation": scores_answer(result.validation),
            "test": scores_answer(result.test),
        },
        "verdict": manifest.verdict,
        "note": DISCLAIMER,
    }
