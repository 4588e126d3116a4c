"""`lstm predict` and `lstm plot`."""

from __future__ import annotations

import sys
import textwrap
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
from lstmcli.digits import five_digits
from lstmcli.errors import shell_word

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
    for prediction in done:
        _warn(prediction, quiet=quiet)
    if as_json:
        print_json({"forecasts": [_answer(prediction) for prediction in done], "note": DISCLAIMER})
    elif as_csv:
        for n, prediction in enumerate(done):
            rows = with_baseline(prediction.prices, prediction.baseline)
            rows.to_csv(sys.stdout, index=False, header=n == 0, float_format="%.8g")
    else:
        shown: set[str] = set()
        for prediction in done:
            _print_forecast(prediction, in_full=prediction.manifest.run not in shown)
            shown.add(prediction.manifest.run)
        if done:
            print(DISCLAIMER)
            say_next(f"lstm plot {shell_word(done[0].ticker)}", quiet=quiet)
    return highest((failure.error for failure in failed), as_json=as_json)


def _timestamp(text: str | None) -> pd.Timestamp | None:
    day = parse_day(text, "--as-of")
    if day is None:
        return None
    import pandas as pd

    return pd.Timestamp(day)


def _warn(prediction: Prediction, *, quiet: bool) -> None:
    ticker, made_on = prediction.ticker, f"{prediction.made_on:%Y-%m-%d}"
    # Sample data is old by its nature, and labelled so on every table.
    if prediction.sessions_behind and not prediction.label:
        say(
            f"warning: {ticker}: stale: {prediction.sessions_behind:,} sessions have settled since "
            f"its last bar, {made_on}; lstm fetch {shell_word(ticker)}",
            quiet=quiet,
        )
    if prediction.seen:
        say(
            f"warning: {ticker}: the network has seen bars after {made_on}: "
            "this shows the tool, not its skill",
            quiet=quiet,
        )
    if prediction.basis.warning:
        say(f"warning: {ticker}: {prediction.basis.warning}", quiet=quiet)


def _print_forecast(prediction: Prediction, *, in_full: bool) -> None:
    from lstmcli.report.prices import CLOSE
    from lstmcli.report.verdict_record import reminder

    currency = f" {prediction.currency}" if prediction.currency else ""
    close = f"{five_digits(prediction.last_close)}{currency}"
    print(f"{prediction.ticker}  last close {close}, {_age(prediction)}")
    print(f"run {prediction.manifest.run}")
    if prediction.label:
        print(f"NOTE: {prediction.label}")
    verdict = prediction.manifest.verdict
    if verdict and in_full:
        print(f"\n{verdict['headline']}")
    elif verdict:
        print(reminder(verdict))
    basis = prediction.basis
    print(f"\n{basis.unit}:" if basis.kind != CLOSE else "")
    head = ["step", "session", "median", "50 % cone", "80 % cone", "95 % cone"]
    print_table(head, _rows(prediction.prices), left=2)
    if prediction.baseline is not None:
        name = prediction.baseline["recipe"].iloc[0]
        print(f"\n{name}, the hardest of its baselines to beat, for comparison:\n")
        print_table(head, _rows(prediction.baseline), left=2)
    if basis.sentence:
        print(f"\n{textwrap.fill(basis.sentence, 79)}")
    print(f"\nevery step and quantile: {prediction.path}")


def _rows(prices: pd.DataFrame) -> list[list[str]]:
    from lstmcli.evaluation.backtest import judged_steps

    rows = []
    for step in judged_steps(len(prices)):
        row = prices.iloc[step - 1]
        cones = [("lo50", "hi50"), ("lo80", "hi80"), ("lo95", "hi95")]
        rows.append(
            [
                f"{step:>4}",
                f"{row['target_on']:%Y-%m-%d}",
                five_digits(row["q50"]),
                *(f"{five_digits(row[low])} - {five_digits(row[high])}" for low, high in cones),
            ]
        )
    return rows


def _age(prediction: Prediction) -> str:
    behind = prediction.sessions_behind
    if behind is None:
        return f"{prediction.made_on:%Y-%m-%d}"
    age = "up to date" if not behind else f"{behind:,} session{'s' * (behind > 1)} old"
    return f"{prediction.made_on:%Y-%m-%d} ({age})"


def _steps(prices: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            name: value if name != "target_on" else value.date()
            for name, value in row.items()
            if name in {"step", "target_on", "sigma", "declared"}
            or name[:2] in {"lo", "hi"}
            or name[0] == "q"
        }
        for row in prices.drop(columns="last_close").to_dict("records")
    ]


LEVELS = (
    "lo50 ... hi95 are the ends of the cones, which move until the cones cover what they say; "
    "q05 ... q95 are quantiles of the distribution that CRPS scores. Of 95 % there is one "
    "interval: q025 is lo95, and q975 is hi95."
)
"""What the levels of `steps` are; a reader of the JSON has no docs."""


def _answer(prediction: Prediction) -> dict[str, Any]:
    baseline = None
    if prediction.baseline is not None:
        name = prediction.baseline["recipe"].iloc[0]
        steps = _steps(prediction.baseline)
        baseline = {"recipe": name, "calibrated": False, "steps": steps}
    return {
        "ticker": prediction.ticker,
        "run": prediction.manifest.run,
        "variant": prediction.manifest.variant,
        "made_on": prediction.made_on.date(),
        "last_close": prediction.last_close,
        "currency": prediction.currency,
        "prices": prediction.basis.kind,
        "declared": [
            {"ex_date": ex_date.date(), "amount": amount}
            for ex_date, amount in prediction.basis.declared
        ],
        "label": prediction.label,
        "sessions_behind": prediction.sessions_behind,
        "in_sample": prediction.seen,
        "file": str(prediction.path),
        "verdict": prediction.manifest.verdict,
        "steps": _steps(prediction.prices),
        "levels": LEVELS,
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
    return highest(failure.error for failure in failed)
