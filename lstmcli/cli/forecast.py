"""Forecasts on the terminal: what answers first, then numbers, then everything."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lstmcli.cli.screen import wrapped
from lstmcli.cli.terminal import print_table
from lstmcli.cli.verdict import print_paragraphs
from lstmcli.digits import five_digits

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.pipeline.look import Look
    from lstmcli.pipeline.prediction import Prediction


def print_forecast(prediction: Prediction, look: Look, *, details: bool) -> None:
    """Print what a forecast says: the answer, a small table, what came of the last one."""
    from lstmcli.report.outlook import previous_sentence
    from lstmcli.report.prices import CLOSE
    from lstmcli.report.verdict_record import short_verdict

    print(wrapped(look.outlook))
    currency = f" {prediction.currency}" if prediction.currency else ""
    close = f"{five_digits(prediction.last_close)}{currency}"
    line = f"{prediction.ticker}  last close {close}, {_age(prediction)}  {drawn(look.closes)}"
    print(f"\n{line.rstrip()}")
    targets = [target.date() for target in prediction.prices["target_on"]]
    if said := prediction.reports.sentence(targets, look.today):
        print(wrapped(said))
    for note in (*([prediction.label] if prediction.label else []), *prediction.notes):
        print(wrapped(f"NOTE: {note}"))
    basis = prediction.basis
    print(f"{basis.unit}:" if basis.kind != CLOSE else "")
    _print_table(prediction, look)
    if basis.sentence:
        print(f"\n{wrapped(basis.sentence)}")
    if look.previous is not None:
        print(f"\n{wrapped(previous_sentence(look.previous, today=look.today))}")
    print(f"\n{wrapped(short_verdict(prediction.manifest.verdict))}")
    if details:
        _print_details(prediction)


def _print_table(prediction: Prediction, look: Look) -> None:
    """Print a column for each session that is shown: narrow enough for any terminal."""
    from lstmcli.report.outlook import chance, change_cell

    steps = [of.step for of in look.ranges]
    rows = [prediction.prices.iloc[step - 1] for step in steps]

    def cone(share: int) -> list[str]:
        ends = ((row[f"lo{share}"], row[f"hi{share}"]) for row in rows)
        return [f"{five_digits(low)} - {five_digits(high)}" for low, high in ends]

    print_table(
        ["", *(f"{step} session{'s' * (step > 1)}" for step in steps)],
        [
            ["close on", *(f"{row['target_on']:%Y-%m-%d}" for row in rows)],
            ["P(up)", *(chance(row["p_up"]) for row in rows)],
            ["80 %", *cone(80)],
            ["  in %", *(f"{change_cell(r.low)} to {change_cell(r.high)}" for r in look.ranges)],
            ["50 %", *cone(50)],
            ["95 %", *cone(95)],
            ["median", *(five_digits(row["q50"]) for row in rows)],
        ],
    )


def _print_details(prediction: Prediction) -> None:
    """Print the whole verdict, every judged step, and the hardest baseline beside it."""
    from lstmcli.report.verdict_record import stored_paragraphs

    verdict = prediction.manifest.verdict
    print(f"\nrun {prediction.manifest.run}")
    if verdict:
        print()
        print_paragraphs(stored_paragraphs(verdict))
    head = ["step", "session", "median", "50 % cone", "80 % cone", "95 % cone"]
    print()
    print_table(head, _rows(prediction.prices), left=2)
    if prediction.baseline is not None:
        name = prediction.baseline["recipe"].iloc[0]
        print(f"\n{name}, the hardest of its baselines to beat, for comparison:\n")
        print_table(head, _rows(prediction.baseline), left=2)
    print(f"\nevery step and quantile: {prediction.path}")


def _rows(prices: pd.DataFrame) -> list[list[str]]:
    from lstmcli.evaluation.backtest import judged_steps
    from lstmcli.report.outlook import shown_steps

    rows = []
    for step in shown_steps(len(prices), judged_steps(len(prices))):
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


def drawn(closes: Sequence[float]) -> str:
    """Return closes as a line of blocks; nothing where the output cannot show them."""
    from lstmcli.report.outlook import SPARK, sparkline

    try:
        SPARK.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return ""
    return sparkline(closes)
