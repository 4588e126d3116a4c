"""`lstm predict` and `lstm plot`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    DISCLAIMER,
    AsJson,
    AsOf,
    Quiet,
    Run,
    Tickers,
    Universe,
    WorkspaceFolder,
    highest,
    named_tickers,
    parse_day,
    prepare,
    print_json,
    print_table,
    say,
    say_next,
)

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.pipeline.predict import Prediction


def predict(
    tickers: Tickers = None,
    run: Run = None,
    as_of: AsOf = None,
    universe: Universe = None,
    as_json: AsJson = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print every step and quantile as CSV.")
    ] = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Forecast the next sessions, as table and CSV.

    From the last settled bar; no ticker: every one of the newest run.

    \b
    lstm predict MRK
    lstm predict --json | jq '.forecasts[0].steps[0].q50'
    lstm predict MRK --as-of 2016-06-30
    """
    prepare(quiet=quiet)
    say("loading the networks …", quiet=quiet)
    from lstmcli.pipeline import predict as pipeline
    from lstmcli.pipeline.prices import with_baseline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    done, failed = pipeline.predict(
        Session(Workspace(workspace)),
        named_tickers(tickers, universe),
        run=run,
        as_of=_timestamp(as_of),
    )
    for each in done:
        _warn(each, quiet=quiet)
    if as_json:
        print_json({"forecasts": [_answer(each) for each in done], "note": DISCLAIMER})
    elif as_csv:
        for n, each in enumerate(done):
            rows = with_baseline(each.prices, each.baseline)
            rows.to_csv(sys.stdout, index=False, header=n == 0, float_format="%.8g")
    else:
        shown: set[str] = set()
        for each in done:
            _print_forecast(each, in_full=each.manifest.run not in shown)
            shown.add(each.manifest.run)
        if done:
            print(DISCLAIMER)
            say_next(f"lstm plot {done[0].ticker}", quiet=quiet)
    return highest((each.error for each in failed), as_json=as_json)


def _timestamp(text: str | None) -> pd.Timestamp | None:
    day = parse_day(text, "--as-of")
    if day is None:
        return None
    import pandas as pd

    return pd.Timestamp(day)


def _warn(each: Prediction, *, quiet: bool) -> None:
    # Sample data is old by its nature, and labelled so on every table.
    if each.sessions_behind and not each.label:
        say(
            f"warning: {each.ticker}: stale: {each.sessions_behind:,} sessions have settled since "
            f"its last bar, {each.made_on:%Y-%m-%d}; lstm fetch {each.ticker}",
            quiet=quiet,
        )
    if each.seen:
        say(
            f"warning: {each.ticker}: the network has seen bars after {each.made_on:%Y-%m-%d}: "
            "this shows the tool, not its skill",
            quiet=quiet,
        )


def _print_forecast(each: Prediction, *, in_full: bool) -> None:
    from lstmcli.report.wording import reminder

    currency = f" {each.currency}" if each.currency else ""
    digits = _digits(each.last_close)
    print(f"{each.ticker}  last close {each.last_close:,.{digits}f}{currency}, {_age(each)}")
    print(f"run {each.manifest.run}")
    if each.label:
        print(f"NOTE: {each.label}")
    verdict = each.manifest.verdict
    if verdict and in_full:
        print(f"\n{verdict['headline']}")
    elif verdict:
        print(reminder(verdict))
    print()
    head = ["step", "session", "median", "50 % cone", "80 % cone", "95 % cone"]
    print_table(head, _rows(each.prices, digits), left=2)
    if each.baseline is not None:
        print(f"\n{each.baseline['recipe'].iloc[0]}, the strongest baseline, for comparison:\n")
        print_table(head, _rows(each.baseline, digits), left=2)
    print(f"\nevery step and quantile: {each.path}")


def _rows(prices: pd.DataFrame, digits: int) -> list[list[str]]:
    from lstmcli.evaluation.backtest import judged_steps

    rows = []
    for step in judged_steps(len(prices)):
        row = prices.iloc[step - 1]
        cones = [("lo50", "hi50"), ("lo80", "hi80"), ("lo95", "hi95")]
        rows.append(
            [
                f"{step:>4}",
                f"{row['target_on']:%Y-%m-%d}",
                f"{row['q50']:,.{digits}f}",
                *(f"{row[low]:,.{digits}f} - {row[high]:,.{digits}f}" for low, high in cones),
            ]
        )
    return rows


def _age(each: Prediction) -> str:
    behind = each.sessions_behind
    if behind is None:
        return f"{each.made_on:%Y-%m-%d}"
    age = "up to date" if not behind else f"{behind:,} session{'s' * (behind > 1)} old"
    return f"{each.made_on:%Y-%m-%d} ({age})"


def _digits(price: float) -> int:
    """Return decimals that keep five significant digits of small prices and 80 columns of large."""
    return 0 if price >= 10_000 else 2 if price >= 1 else 6


def _steps(prices: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            name: value if name != "target_on" else value.date()
            for name, value in row.items()
            if name in {"step", "target_on", "sigma"} or name[:2] in {"lo", "hi"} or name[0] == "q"
        }
        for row in prices.drop(columns="last_close").to_dict("records")
    ]


def _answer(each: Prediction) -> dict[str, Any]:
    baseline = None
    if each.baseline is not None:
        name = each.baseline["recipe"].iloc[0]
        baseline = {"recipe": name, "steps": _steps(each.baseline)}
    return {
        "ticker": each.ticker,
        "run": each.manifest.run,
        "variant": each.manifest.variant,
        "made_on": each.made_on.date(),
        "last_close": each.last_close,
        "currency": each.currency,
        "label": each.label,
        "sessions_behind": each.sessions_behind,
        "in_sample": each.seen,
        "file": str(each.path),
        "verdict": each.manifest.verdict,
        "steps": _steps(each.prices),
        "baseline": baseline,
    }


class Kind(StrEnum):
    forecast = "forecast"
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
    run: Run = None,
    as_of: AsOf = None,
    universe: Universe = None,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Draw a forecast, a training, attention or a backtest.

    \b
    lstm plot MRK
    lstm plot MRK --kind attention --output mrk.svg
    lstm plot --kind training
    lstm plot --kind backtest
    """
    prepare(quiet=quiet)
    say("drawing …", quiet=quiet)
    from lstmcli.pipeline import plot as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    paths, failed = pipeline.plot(
        Session(Workspace(workspace)),
        named_tickers(tickers, universe),
        kind=kind.value,
        run=run,
        as_of=_timestamp(as_of),
        output=output,
    )
    for path in paths:
        print(path)
    return highest(each.error for each in failed)
