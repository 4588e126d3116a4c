"""`lstm runs`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.listing import DATE, print_csv, print_listing
from lstmcli.cli.run_facts import Name, print_facts, run_answer
from lstmcli.cli.screen import wrapped
from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    AsJson,
    ListsByDefault,
    Quiet,
    WorkspaceFolder,
    check_one,
    highest,
    prepare,
    print_json,
    say_next,
)
from lstmcli.cli.travel import export, import_

if TYPE_CHECKING:
    from lstmcli.pipeline.runs import RunDetails, RunLine

runs = typer.Typer(rich_markup_mode=None, cls=ListsByDefault)

Names = Annotated[list[str], typer.Argument(metavar="RUN", help="Names, or their beginnings.")]


@runs.callback()
def _runs() -> None:
    """List or compare trainings, or take one elsewhere.

    Without a command: list. A run may be named by the beginning of its name, or
    by its config: lstm runs show stacked.

    \b
    lstm runs list
    lstm runs show 20261126T18
    lstm runs compare stacked lstm
    lstm runs export stacked stacked.lstmrun
    lstm runs import stacked.lstmrun
    """


@runs.command("list")
def list_(
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a line a run as CSV.")] = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """List runs, the newest first.

    \b
    lstm runs list
    lstm runs list --json | jq -r '.runs[-1].run'
    """
    prepare(quiet=quiet)
    check_one({"--json": as_json, "--csv": as_csv})
    from lstmcli.pipeline import runs as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    finished, interrupted, errors = pipeline.runs(Session(Workspace(workspace)))
    if as_json:
        print_json({"runs": [run_answer(line) for line in finished], "interrupted": interrupted})
        return highest(errors, as_json=True)
    if as_csv:
        _print_csv(finished)
        return highest(errors)
    if not finished and not interrupted and not errors:
        print(f"no runs in {workspace}; lstm runs show pretrained shows the one that ships")
        say_next("lstm train MRK", quiet=quiet)
    if finished:
        _print_list(finished[::-1])
        say_next(f"lstm runs show {finished[-1].manifest.run}", quiet=quiet)
    for run in interrupted:
        print(f"{run}  interrupted: lstm train --resume")
    return highest(errors)


def _print_list(lines: Sequence[RunLine]) -> None:
    head = ["run", "config", "tickers", "trained to", "verdict", "CRPS %", DATE]
    rows = [
        [
            line.manifest.run,
            line.manifest.config_name,
            " ".join(line.manifest.tickers),
            line.trained_to,
            line.verdict,
            "" if line.crps is None else f"{line.crps * 100:.3f}",
            f"{line.manifest.created_at:%Y-%m-%d}",
        ]
        for line in lines
    ]
    print_listing(head, rows, left=5)
    legend = (
        "Verdict and CRPS are of each run's own test sessions, which differ: lstm runs compare A B "
        "scores runs on those that they share."
    )
    print(f"\n{wrapped(legend)}")


def _print_csv(finished: Sequence[RunLine]) -> None:
    print_csv(
        {
            "run": line.manifest.run,
            "config": line.manifest.config_name,
            "network": line.manifest.variant,
            "tickers": " ".join(line.manifest.tickers),
            "trained_to": line.trained_to,
            "test_first": line.manifest.test[0],
            "test_last": line.manifest.test[1],
            "verdict": line.verdict,
            "crps": line.crps,
            "created_at": line.manifest.created_at.isoformat(),
        }
        for line in reversed(finished)
    )


@runs.command("show")
def show(
    run: Name,
    as_json: AsJson = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Show everything about one run.

    Its tickers, dates, scores, verdict and settings, as they were when it ended.

    \b
    lstm runs show 20261126T18
    lstm runs show stacked --json | jq .settings
    """
    prepare(quiet=quiet)
    from lstmcli.pipeline import runs as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    details = pipeline.show_run(Session(Workspace(workspace)), run)
    if as_json:
        print_json(_details(details))
        return 0
    _print_details(details)
    say_next(f"lstm plot --kind training --run {details.manifest.run}", quiet=quiet)
    return 0


def _details(details: RunDetails) -> dict[str, Any]:
    from lstmcli.cli.scores import scores_answer

    return {
        **run_answer(details.line),
        "folder": str(details.folder),
        "settings": details.config.model_dump(mode="json"),
        "blocks": details.state.blocks,
        "best_epochs": list(details.state.best_epochs),
        "scored_tickers": details.scored_tickers,
        "scores": {
            "validation": scores_answer(details.validation),
            "test": scores_answer(details.test),
        },
    }


def _print_details(details: RunDetails) -> None:
    from lstmcli.cli.scores import print_block_scores
    from lstmcli.cli.verdict import print_stored_verdict

    manifest, config = details.manifest, details.config
    some = f"{len(manifest.tickers):,}: " if len(manifest.tickers) > 1 else ""
    made = f"in {manifest.seconds:,.0f} s, " if manifest.seconds else ""
    best = details.state.best_epochs
    blocks = [f"{name} {first} to {last}" for name, (first, last) in details.state.blocks.items()]
    facts = [
        ("run", manifest.run),
        ("config", manifest.config_name),
        ("network", f"{manifest.variant}, {manifest.parameters:,} parameters a member"),
        (
            "tickers",
            f"any; it was trained on {len(manifest.tickers):,} US shares"
            if manifest.any_ticker
            else f"{some}{' '.join(manifest.tickers)}",
        ),
        ("trained to", details.line.trained_to),
        (
            "made",
            f"{manifest.created_at:%Y-%m-%d %H:%M} UTC {made}"
            f"by lstm {manifest.versions.get('lstmcli', 'of an unknown version')}",
        ),
        *([("final fit", "; ".join(blocks))] if blocks else []),
        _epochs(best, kept=config.recipe().work.keeps_best),
        ("folder", str(details.folder)),
        *(("NOTE", label) for label in dict.fromkeys(manifest.labels.values())),
    ]
    print_facts(facts)
    print()
    if details.scored_tickers:
        print_block_scores(
            details.validation,
            details.test,
            horizon=config.window.horizon,
            span=manifest.test,
            scored=(details.scored_tickers, len(manifest.tickers)),
        )
    if manifest.verdict:
        print_stored_verdict(manifest.verdict)
    print(f"\nsettings:\n\n{textwrap.indent(config.to_yaml().rstrip(), '  ')}")


def _epochs(best: Sequence[int], *, kept: bool) -> tuple[str, str]:
    """Return how a fact about the epochs of each network is called, and the fact."""
    if kept:
        return "best epochs", f"{', '.join(map(str, best))} of each network; 0 is the untrained one"
    return "epochs", f"{max(best)} of each network; none stops early"


@runs.command("compare")
def compare(
    names: Names,
    as_json: AsJson = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Compare runs: the settings that differ, and their scores.

    Scores are of the test sessions that all of them share, with a test of the
    difference from the first one.

    \b
    lstm runs compare stacked lstm
    lstm runs compare 20261125 20261126 --json
    """
    prepare(quiet=quiet)
    from lstmcli.cli.compare import comparison_answer, print_comparison
    from lstmcli.pipeline import runs as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    found = pipeline.compare_runs(Session(Workspace(workspace)), names)
    if as_json:
        print_json(comparison_answer(found))
    else:
        print_comparison(found)
    return 0


runs.command("export")(export)
runs.command("import")(import_)
