"""`lstm plot`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lstmcli.cli.predict import parse_origin
from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    AsOf,
    Quiet,
    Run,
    Tickers,
    Universe,
    WorkspaceFolder,
    highest,
    named_tickers,
    prepare,
    say,
)


class Kind(StrEnum):
    forecast = "forecast"
    past = "past"
    compare = "compare"
    training = "training"
    attention = "attention"
    backtest = "backtest"
    calibration = "calibration"


def plot(
    tickers: Tickers = None,
    kind: Annotated[Kind, typer.Option("--kind", help="What to draw.")] = Kind.forecast,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="A .png, .svg or .pdf file."),
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="Light letters on a dark ground.")] = False,
    phone: Annotated[
        bool, typer.Option("--phone", help="Narrow, to be read on a phone without turning it.")
    ] = False,
    run: Run = None,
    as_of: AsOf = None,
    universe: Universe = None,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Draw a forecast, past forecasts, a comparison, a training or a backtest.

    \b
    forecast     the next sessions, with the cone of the hardest baseline
    past         past forecasts and what came: from the ledger, else a backtest
    compare      how far several tickers may move, side by side
    training     what each epoch gained
    attention    which sessions of the window count
    backtest     every config against every baseline
    calibration  whether the cones hold what they say

    \b
    lstm plot MRK
    lstm plot MRK --kind past --phone --dark
    lstm plot MRK MDT --kind compare --output compare.pdf
    lstm plot --kind backtest
    """
    prepare(quiet=quiet)
    origin = parse_origin(as_of)
    say("drawing …", quiet=quiet)
    from lstmcli.charts import Theme
    from lstmcli.pipeline import plot as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    paths, failed = pipeline.plot(
        Session(Workspace(workspace)),
        named_tickers(tickers, universe),
        kind=kind.value,
        run=run,
        as_of=origin,
        output=output,
        theme=Theme(dark=dark, phone=phone),
    )
    for path in paths:
        print(path)
    return highest(failure.error for failure in failed)
