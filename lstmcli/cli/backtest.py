"""`lstm backtest`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

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
    interrupts,
    named_tickers,
    prepare,
    print_json,
    print_table,
    say,
    say_next,
)
from lstmcli.cli.train import DEFAULT_CONFIG
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the folds, fit nothing.")
    ] = False,
    as_json: AsJson = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Prove a network on the past, beside every baseline.

    It is fitted anew before each fold and forecasts the sessions after; so does
    every baseline. Tests say whether the difference is more than luck. Started
    again after an interruption, it goes on after the last finished piece.

    \b
    lstm backtest MRK
    lstm backtest MRK MDT -c best -c stacked --set backtest.folds=2
    lstm backtest --dry-run
    """
    prepare(quiet=quiet)
    say("reading bars …", quiet=quiet)
    from lstmcli.pipeline import backtest as pipeline
    from lstmcli.pipeline.backtest_plan import plan_backtest
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    session = Session(Workspace(workspace))
    configs = _configs(config or [DEFAULT_CONFIG], overrides or [])
    plan = plan_backtest(session, configs, named_tickers(tickers, universe))
    if dry_run:
        _print_folds(plan)
        return 0
    for number, names in plan.left_out.items():
        say(
            f"warning: fold {number}: left out, with less than two years before it or no bar in "
            f"it: {' '.join(names)}",
            quiet=quiet,
        )
    try:
        with interrupts(), _Progress(quiet) as progress:
            result = pipeline.backtest(
                session,
                plan,
                workers=workers,
                on_start=progress.on_start,
                on_piece=progress.on_piece,
                on_stage=progress.on_stage,
            )
    except KeyboardInterrupt:
        say("stopped; what is finished is kept")
        say("\nhint: the same command goes on from there")
        return INTERRUPTED
    if as_json:
        print_json(_answer(result))
    else:
        _print_result(plan, result)
    say(f"saved {session.workspace.backtests.path(result.manifest.backtest)}", quiet=quiet)
    say_next("lstm plot --kind backtest", quiet=quiet)
    return 0


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


def _print_result(plan: BacktestPlan, result: BacktestResult) -> None:
    from lstmcli.cli.verdict import print_verdict
    from lstmcli.evaluation.metrics import skill, summary
    from lstmcli.frames import IDENTITY
    from lstmcli.report.wording import recipe_name, untrained_members

    manifest = result.manifest
    tickers = manifest.tickers
    names = ", ".join(tickers[:5]) + (f" and {len(tickers) - 5} more" if len(tickers) > 5 else "")
    first, last = manifest.record.folds[0][0], manifest.record.folds[-1][1]
    origins = sum(len(fold.origins) for fold in plan.folds)
    count = len(plan.folds)
    print(
        f"{names}: {count} fold{'s' * (count > 1)}, {origins:,} origins, {first} to {last},\n"
        "fitted anew for each fold"
    )
    for label in dict.fromkeys(manifest.labels.values()):
        print(f"NOTE: {label}")
    print()
    table = summary(result.scores)
    skills = {
        against: skill(result.scores, against).groupby(list(IDENTITY))["value"].mean()
        for against in ("random_walk", "garch")
    }
    confident = next(iter(result.verdicts.values())).confident
    rows = []
    for key in table.sort_values("crps").index:
        row = table.loc[key, :]
        rows.append(
            [
                recipe_name(key[0], calibrated=key[1]) + (" *" if key in confident else ""),
                f"{row['crps'] * 100:.4f}",
                *(
                    "" if key == (against, False) else f"{values[key] * 100:+.2f}"
                    for against, values in skills.items()
                ),
                *(f"{row[f'coverage{level}'] * 100:.1f}" for level in (50, 80, 95)),
            ]
        )
    head = ["", "CRPS %", "vs walk", "vs garch", "50 %", "80 %", "95 %"]
    print_table(head, rows)
    steps = ", ".join(map(str, plan.steps))
    mean = f"mean of steps {steps}" if len(plan.steps) > 1 else f"step {steps}"
    print(
        f"\nCRPS in % of the price, {mean}; lower is better. 'vs' is\n"
        "the skill in %: how much lower than the random walk's or GARCH's. '80 %' is\n"
        "how often the outcome lay in that cone. '*': it may be the best (model\n"
        "confidence set, 90 %)."
    )
    for recipe, missing in result.lacking.items():
        some = ", ".join(list(missing)[:5]) + (" …" if len(missing) > 5 else "")
        count = sum(missing.values())
        print(f"{recipe} lacks {count:,} forecasts of {some}; all are compared on the others.")
    for key, served in manifest.fallbacks.items():
        for name in sorted(set(served.values())):
            failed = " ".join(ticker for ticker in served if served[ticker] == name)
            print(f"{key}: no convergence, {name} instead: {failed}")
    for label in plan.configs:
        best = [
            epoch
            for key, epochs in manifest.best_epochs.items()
            if key.rpartition("-")[0] == label
            for epoch in epochs
        ]
        print(f"{label}: {untrained_members(best)}")
    for verdict in result.verdicts.values():
        print()
        print_verdict(verdict)
    times = manifest.evaluations
    print(f"\nThis period was backtested {times} time{'s' * (times > 1)} in this workspace.")
    print(DISCLAIMER)


def _answer(result: BacktestResult) -> dict[str, object]:
    from lstmcli.evaluation.metrics import summary
    from lstmcli.report.wording import recipe_name

    table = summary(result.scores).reset_index()
    return {
        "backtest": result.manifest.backtest,
        "tickers": list(result.manifest.tickers),
        "folds": [list(fold) for fold in result.manifest.record.folds],
        "evaluations": result.manifest.evaluations,
        "fallbacks": result.manifest.fallbacks,
        "best_epochs": result.manifest.best_epochs,
        "labels": result.manifest.labels,
        "scores": {
            recipe_name(row["recipe"], calibrated=row["calibrated"]): {
                name: None if value != value else value for name, value in row.items()
            }
            for row in table.to_dict("records")
        },
        "verdicts": result.manifest.verdicts,
        "note": DISCLAIMER,
    }


class _Progress:
    """Shows pieces, one recipe on one fold each."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.bar: Bar | None = None
        self.started = time.monotonic()
        self.had = 0

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def on_start(self, name: str, done: int, of: int) -> None:
        self.had = done
        what = f"going on with {name}: {done} of {of} are done" if done else f"{name}: {of} to fit"
        say(what, quiet=self.quiet)
        if sys.stderr.isatty() and not self.quiet:
            from rich import progress
            from rich.console import Console

            self.bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TimeRemainingColumn(compact=True),
                console=Console(stderr=True),
                transient=True,
            )
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
