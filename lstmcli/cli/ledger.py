"""`lstm score` and `lstm ledger`."""

from __future__ import annotations

import sys
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.screen import cut, screen_width, wrapped
from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    DISCLAIMER,
    AsJson,
    Quiet,
    Tickers,
    WorkspaceFolder,
    highest,
    named_tickers,
    need_command,
    prepare,
    print_json,
    print_table,
    say,
)
from lstmcli.errors import ConfigError

if TYPE_CHECKING:
    from lstmcli.pipeline.score import Live

ledger = typer.Typer(rich_markup_mode=None)

SHOWN_MISSING = 10


@ledger.callback(invoke_without_command=True)
def _ledger(context: typer.Context) -> None:
    """Verify or export the ledger of issued forecasts.

    \b
    lstm ledger verify
    lstm ledger export ledger.csv
    """
    need_command(context)


def score(
    tickers: Tickers = None,
    as_json: AsJson = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print every issued forecast with what came.")
    ] = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Score issued forecasts whose outcomes have come.

    Of all tickers in the ledger together, or of those named. Writes nothing:
    the same bars give the same scores.

    \b
    lstm score
    lstm score MRK --json | jq .live.counts
    """
    prepare(quiet=quiet)
    if as_json and as_csv:
        raise ConfigError(
            "Expected --json or --csv. Received: both.",
            hint="lstm score --json, or lstm score --csv",
        )
    say("scoring …", quiet=quiet)
    from lstmcli.pipeline import score as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    session, named = Session(Workspace(workspace)), named_tickers(tickers, None)
    by_rows = bool(named) or as_csv
    live = pipeline.score(session, named) if by_rows else pipeline.score_all(session)
    if as_json:
        print_json({"live": _answer(live), "note": DISCLAIMER})
    elif as_csv:
        live.rows.to_csv(sys.stdout, index=False, float_format="%.17g")
    else:
        _print_live(live)
    return highest(live.failed.values(), as_json=as_json)


def _answer(live: Live) -> dict[str, Any]:
    from lstmcli.report.wording import live_phrase, recipe_name

    table = live.table
    words = [
        live_phrase(word, evenings) if isinstance(word, str) else None
        for word, evenings in zip(table["word"], table["evenings"], strict=True)
    ]
    table = table.assign(word=words).astype(object).where(table.notna(), None)
    return {
        "tickers": list(live.tickers),
        "counts": live.counts(),
        "scores": table.to_dict("records"),
        "reports": live.reports.astype(object).where(live.reports.notna(), None).to_dict("records"),
        "evidence": {
            recipe_name(recipe, calibrated=True): {
                "recipe": recipe,
                "calibrated": True,
                "value": each.value,
                "highest": each.highest,
                "alarmed_on": each.alarmed_on and each.alarmed_on.date(),
            }
            for recipe, each in live.evidence.items()
        },
        "removed": list(live.removed),
        "missing": [
            {"ticker": each.ticker, "session": each.session.date(), "reason": each.reason}
            for each in live.missing
        ],
    }


def _print_live(live: Live) -> None:
    from lstmcli.evaluation.sequences import BATCH, MIN_SKILL_OUTCOMES
    from lstmcli.report.live_reports import REPORTS_HEAD, report_rows, reports_caption
    from lstmcli.report.wording import coverage_sentence

    names = ", ".join(live.tickers[:5])
    more = f" and {len(live.tickers) - 5} more" if len(live.tickers) > 5 else ""
    first, last = live.issued
    print(f"{names}{more}: issued {first:%Y-%m-%d} to {last:%Y-%m-%d}")
    print(", ".join(f"{count:,} {status}" for status, count in live.counts().items() if count))
    if live.removed:
        print(f"left out, because their bars are not stored: {' '.join(live.removed)}"[:79])
    for published, table in live.table.groupby("published", sort=False):
        print()
        cells = [_row(row, str(published)) for _, row in table.iterrows()]
        head = ["", "n", "CRPS %", "skill of the network", "50 %", "80 %", "95 %"]
        print_table(head, cells)
        if published in live.evidence:
            sentence = coverage_sentence(str(published), live.evidence[str(published)])
            print(f"\n{wrapped(sentence)}")
    for _, apart in live.reports.groupby("published", sort=False):
        print(f"\n{wrapped(reports_caption(apart))}\n")
        print_table(list(REPORTS_HEAD), report_rows(apart))
    if live.missing:
        print(f"\n{len(live.missing):,} sessions without a forecast, never filled in:")
        for each in live.missing[-SHOWN_MISSING:]:
            line = f"  {each.ticker} {each.session:%Y-%m-%d}: {each.reason}"
            print(cut(line, screen_width() - 1))
    if live.table.empty:
        _print_first_outcome(live)
        return
    legend = (
        "n: sessions with an outcome. Skill: how much lower the network's CRPS is, in % of the "
        f"other's, both in units of volatility. From {MIN_SKILL_OUTCOMES} sessions on with its "
        f"95 % confidence sequence over batches of {BATCH}, valid at every look; * when zero lies "
        "outside."
    )
    print(f"\n{wrapped(legend)}\n{DISCLAIMER}")


def _print_first_outcome(live: Live) -> None:
    """Say when the first outcome comes, where there is none yet."""
    due = f"{live.first_due:%Y-%m-%d}"
    print(f"\nNo forecast has an outcome yet. The first comes with the close of {due}.")
    print(DISCLAIMER)


def _row(row: Any, published: str) -> list[str]:
    from lstmcli.report.wording import more_evenings, recipe_name

    own = row["calibrated"] and row["recipe"] == published
    skill = []
    if not own:
        skill = [f"{100 * row['skill']:+.1f}"] if isfinite(row["skill"]) else []
        if row["evenings"]:
            skill.append(more_evenings(row["evenings"]))
        elif isfinite(row["low"]):
            star = "*" if row["word"] in ("ahead", "behind") else ""
            skill.append(f"({100 * row['low']:+.1f} to {100 * row['high']:+.1f}){star}")
    shares = [f"{100 * row[f'coverage{level}']:.0f}" for level in (50, 80, 95)]
    name = recipe_name(row["recipe"], calibrated=row["calibrated"])
    counts = f"{row['origins']:,}", f"{100 * row['crps']:.3f}"
    return [f"{row['step']:>2} {name}", *counts, " ".join(skill), *shares]


@ledger.command("verify")
def verify(
    holds: Annotated[
        str | None,
        typer.Option("--holds", metavar="HASH", help="A head noted earlier must be part of it."),
    ] = None,
    as_json: AsJson = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
) -> int:
    """Compute every hash of the ledger again; name what was changed.

    \b
    lstm ledger verify
    lstm ledger verify --holds 3f5a…
    """
    prepare()
    from lstmcli.store import Workspace

    verified = Workspace(workspace).ledger.verify(holds=holds)
    if as_json:
        print_json(vars(verified))
    else:
        blocks = f", {verified.blocks:,} block{'s' * (verified.blocks != 1)}"
        counted = f"{verified.rows:,} rows{blocks * bool(verified.blocks)}"
        print(f"{counted}, every hash as it was written\nhead {verified.head}")
        if verified.archived:
            absent = " ".join(verified.absent)
            state = f"not compared, because {absent} is not there" if absent else "compared"
            print(f"the numbers of {verified.archived:,} forecasts are archived: {state}")
    return 0


@ledger.command("export")
def export(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Without one: CSV to stdout.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="csv|parquet", help="Else as the file's name ends."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The same as FILE.")
    ] = None,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
) -> int:
    """Write every row, as CSV to stdout or into a file.

    \b
    lstm ledger export > ledger.csv
    lstm ledger export ledger.parquet
    """
    prepare()
    from lstmcli.pipeline.ledger_export import as_csv, export_to_file, format_of
    from lstmcli.store import Workspace

    if form not in (None, "csv", "parquet"):
        raise ConfigError(
            f"Expected --format csv or parquet. Received: {form}.",
            hint="lstm ledger export --format parquet ledger.parquet",
        )
    if file is not None and output is not None:
        raise ConfigError(
            f"Expected one file. Received: {file} and --output {output}.",
            hint=f"lstm ledger export {file}",
        )
    path = file or output
    chosen = format_of(path, form)
    ledger = Workspace(workspace).ledger
    if path is None:
        for text in as_csv(ledger):
            sys.stdout.write(text)
        return 0
    export_to_file(ledger, path, chosen)
    print(path)
    return 0
