"""The record in the report: how the published forecasts have done so far."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lstmcli.evaluation.live import LATE, OPEN, SCORED, UNMATCHED, WAITING
from lstmcli.frames import COVERAGES
from lstmcli.pipeline.score import Live
from lstmcli.report.live_reports import REPORTS_HEAD, report_rows, reports_caption
from lstmcli.report.page import Table
from lstmcli.report.wording import coverage_sentence, live_phrase, recipe_name

_ONE_SESSION = "It is of one session ahead; of longer steps it says nothing."


def record_of(live: Live) -> tuple[list[str], list[Table]]:
    """Return the record in sentences, and a table of scores per step."""
    counts = live.counts()
    forecasts = "forecast has" if counts[SCORED] == 1 else "forecasts have"
    remarks = [
        f"{counts[SCORED]:,} published {forecasts} an outcome, {counts[OPEN]:,} wait for their "
        "session"
        + (f", {counts[WAITING]:,} for a bar that is missing" if counts[WAITING] else "")
        + (f", {counts[LATE]:,} came late and are never scored" if counts[LATE] else "")
        + (
            f", {counts[UNMATCHED]:,} were made from closes that the bars no longer hold"
            if counts[UNMATCHED]
            else ""
        )
        + "."
    ]
    if live.missing:
        last = live.missing[-3:]
        named = "; ".join(
            f"{missing.ticker} {missing.session:%Y-%m-%d}: {missing.reason}"
            for missing in reversed(last)
        )
        count = len(live.missing)
        remarks.append(
            f"{count:,} session{'s' * (count > 1)} without a forecast, never filled in. "
            f"Last: {named}"
        )
    for recipe, evidence in live.evidence.items():
        remarks.append(f"{coverage_sentence(recipe, evidence)} {_ONE_SESSION}")
    apart = [_reports_apart(table) for _, table in live.reports.groupby("published", sort=False)]
    rows = [_record_row(row) for _, row in live.table.iterrows()]
    if not rows:
        return remarks, apart
    columns = ("recipe", "sessions", "CRPS %", "skill of the network", "so far")
    head = (*columns, "in 50 %", "in 80 %", "in 95 %")
    steps = live.table["step"].to_numpy()
    tables = []
    for step in sorted(set(map(int, steps))):
        caption = f"Scores {step} session{'s' * (step > 1)} ahead"
        own = tuple(row for row, at in zip(rows, steps, strict=True) if at == step)
        tables.append(Table(caption, head, own, folded=True))
    return remarks, [*tables, *apart]


def _reports_apart(table: pd.DataFrame) -> Table:
    rows = tuple(map(tuple, report_rows(table)))
    return Table(reports_caption(table), REPORTS_HEAD, rows, folded=True)


def _record_row(row: pd.Series) -> tuple[str, ...]:
    own = row["calibrated"] and row["recipe"] == row["published"]

    def percent(name: str) -> str:
        share = f"{100 * row[name]:.0f} %"
        low, high = 100 * row[f"{name}_low"], 100 * row[f"{name}_high"]
        return f"{share} ({low:.0f} to {high:.0f})" if own and np.isfinite(low) else share

    skill = ""
    if not own and np.isfinite(row["skill"]):
        skill = f"{100 * row['skill']:+.1f} %"
        if np.isfinite(row["low"]):
            skill += f" ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})"
    return (
        recipe_name(row["recipe"], calibrated=row["calibrated"]),
        f"{row['origins']:,}",
        f"{100 * row['crps']:.3f}",
        skill,
        "" if own else live_phrase(row["word"], row["evenings"]),
        *(percent(f"coverage{share * 100:.0f}") for share in COVERAGES),
    )
