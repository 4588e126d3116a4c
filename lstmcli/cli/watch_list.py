"""The watch list: a line for each of several tickers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from lstmcli.cli.forecast import drawn
from lstmcli.cli.screen import GAP, screen_width, wrapped
from lstmcli.cli.terminal import print_table
from lstmcli.digits import five_digits

if TYPE_CHECKING:
    from lstmcli.pipeline.look import Look
    from lstmcli.pipeline.prediction import Prediction

CLOSES = 8
"""Recent closes in the line of a ticker."""

NEXT_REPORT = "next report"

SAID_RUNS = 3
"""Runs whose verdicts are said below the list at most."""

Pair = tuple["Prediction", "Look"]


@dataclass(frozen=True)
class _Column:
    """A column of the list.

    Attributes:
        rank: a narrow terminal leaves out the columns of the highest rank first; 0 stays.
    """

    head: str
    cells: Sequence[str]
    rank: int = 0

    @property
    def width(self) -> int:
        return max(map(len, (self.head, *self.cells)))


def print_watch_list(predictions: Sequence[Prediction], looks: Sequence[Look]) -> None:
    """Print what may come of each ticker in a day, a week and a month."""
    from lstmcli.report.wording import notes_by_ticker

    pairs = list(zip(predictions, looks, strict=True))
    print(wrapped(_answer(predictions)))
    for label in dict.fromkeys(of.label for of in predictions if of.label):
        print(wrapped(f"NOTE: {label}"))
    for note in notes_by_ticker((of.ticker, note) for of in predictions for note in of.notes):
        print(wrapped(f"NOTE: {note}"))
    print()
    every = list(_columns(pairs))
    columns = _fitting(every)
    rows = zip(*(column.cells for column in columns), strict=True)
    print_table([column.head for column in columns], rows)
    print()
    for sentence in _notes(pairs, dated=any(of.head == NEXT_REPORT for of in columns)):
        print(wrapped(sentence))
    left_out = dict.fromkeys(of.head for of in every if of not in columns)
    if left_out:
        print(wrapped(f"A wider terminal also shows: {', '.join(left_out)}."))


def _answer(predictions: Sequence[Prediction]) -> str:
    from lstmcli.report.verdict_record import has_edge

    edges = [of.ticker for of in predictions if has_edge(of.manifest.verdict)]
    if len(edges) == len(predictions):
        return "There is evidence that it knows the direction of these a little."
    if edges:
        return f"There is evidence that it knows the direction of {', '.join(edges)} a little."
    return "No sign that it knows the direction of any. The ranges say how far each may move."


def _columns(pairs: Sequence[Pair]) -> Iterator[_Column]:
    from lstmcli.report.outlook import chance, change_cell, short_range
    from lstmcli.report.verdict_record import verdict_word

    def cells(step: int, cell: str) -> list[str]:
        """Return a column of one session ahead; empty where a forecast does not reach it."""
        found = []
        for prediction, look in pairs:
            ranges = {of.step: of for of in look.ranges}
            if step not in ranges:
                found.append("")
                continue
            prices, row = prediction.prices, step - 1
            found.append(
                chance(prices["p_up"].iloc[row])
                if cell == "p_up"
                else change_cell(prices["q50"].iloc[row] / prediction.last_close - 1)
                if cell == "median"
                else short_range(ranges[step].low, ranges[step].high)
            )
        return found

    yield _Column("ticker", [prediction.ticker for prediction, _ in pairs])
    yield _Column("close", [five_digits(prediction.last_close) for prediction, _ in pairs])
    origins = [prediction.made_on for prediction, _ in pairs]
    if len(set(origins)) > 1:
        yield _Column("of", [f"{origin:%Y-%m-%d}" for origin in origins])
    for step in sorted({of.step for _, look in pairs for of in look.ranges}):
        yield _Column("P(up)", cells(step, "p_up"), rank=1)
        yield _Column("median", cells(step, "median"), rank=5)
        yield _Column(f"{step} session{'s' * (step > 1)}", cells(step, "range"))
    recent = [drawn(look.closes[-CLOSES:]) for _, look in pairs]
    if all(recent):
        yield _Column("recent", recent, rank=3)
    words = [verdict_word(prediction.manifest.verdict) for prediction, _ in pairs]
    yield _Column("verdict", words, rank=2)
    if any(prediction.reports.coming for prediction, _ in pairs):
        dates = [prediction.reports.cell(look.today) for prediction, look in pairs]
        yield _Column(NEXT_REPORT, dates, rank=4)


def _fitting(columns: list[_Column]) -> list[_Column]:
    """Return the columns that fit the terminal, without those of the highest ranks."""
    while sum(of.width for of in columns) + len(GAP) * (len(columns) - 1) > screen_width():
        highest = max(column.rank for column in columns)
        if not highest:
            break
        columns = [column for column in columns if column.rank < highest]
    return columns


def _notes(pairs: Sequence[Pair], *, dated: bool) -> Iterator[str]:
    """Yield what somebody must know to read the list.

    Args:
        dated: whether the list shows the next reports.
    """
    from lstmcli.report.announcements import legend, reports_ahead
    from lstmcli.report.prices import TOTAL_RETURN
    from lstmcli.report.verdict_record import short_verdict

    days: dict[int, set[date]] = {}
    for _, look in pairs:
        for of in look.ranges:
            days.setdefault(of.step, set()).add(of.target_on)
    until = [str(*found) for found in (days[step] for step in sorted(days)) if len(found) == 1]
    dates = f", up to {', '.join(until)}" if len(until) == len(days) else ""
    steps = ", ".join(map(str, sorted(days)))
    yield (
        f"{steps} sessions: the 80 % range of the change in %{dates}. Four closes out of five lie "
        "inside."
    )
    paying = [of.ticker for of, _ in pairs if of.basis.kind == TOTAL_RETURN]
    if paying:
        names = "all" if len(paying) == len(pairs) else ", ".join(paying)
        yield f"Total return of {names}: as if any dividend were reinvested."
    reports = {of.ticker: of.reports for of, _ in pairs}
    last = max(of.target_on for _, look in pairs for of in look.ranges)
    ahead = "" if dated else reports_ahead(reports, last, today=pairs[0][1].today)
    if ahead:
        yield ahead
    shown = {ticker: of for ticker, of in reports.items() if dated or of.reacts_by(last)}
    yield from legend(shown, last)
    manifests = {of.manifest.run: of.manifest for of, _ in pairs}
    if len(manifests) <= SAID_RUNS:
        for manifest in manifests.values():
            own = [of.ticker for of, _ in pairs if of.manifest.run == manifest.run]
            whose = "" if len(manifests) == 1 else f"{', '.join(own)}: "
            yield f"{whose}{short_verdict(manifest.verdict)}"
    beside = [look.previous for _, look in pairs if look.previous is not None]
    if beside:
        inside = sum(previous.where == "inside" for previous in beside)
        yield f"Of the last forecasts of one session, {inside} of {len(beside)} held at 80 %."
