"""The report of a universe: an index, and a page for each ticker, without matplotlib.

Every evening every ticker has a new forecast, so all pages are drawn every evening: by
template, in hundredths of a second each. `lstm report TICKER` draws one with its charts. A page
that would be the same is not written again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lstmcli import charts
from lstmcli.digits import in_words
from lstmcli.evaluation.live import SCORED, UNMATCHED
from lstmcli.frames import COVERAGES, by_ticker, values_of
from lstmcli.pipeline.day import LEFT_OUT, NOT_TRAINED, TOO_YOUNG
from lstmcli.pipeline.prediction import Prediction
from lstmcli.pipeline.record import Record
from lstmcli.pipeline.report_forecast import Shown
from lstmcli.pipeline.report_outcomes import outcomes_caption
from lstmcli.pipeline.report_sections import Issued, section_without_charts, sentence_of_one
from lstmcli.pipeline.score import Live
from lstmcli.pipeline.session import Session
from lstmcli.report.line_cone import line_cone
from lstmcli.report.page import Page, Section, Table, render
from lstmcli.report.pictures import tiny_cone
from lstmcli.report.universe import Line
from lstmcli.report.wording import recipe_name
from lstmcli.store import Workspace
from lstmcli.store.files import file_name, write_atomically

LAST_OUTCOMES = 10
"""One-session forecasts in the table of outcomes, the newest first."""

RECENT_MONTHS = 2
"""Months of origins in which the last outcomes are looked for."""


def lines_of(
    session: Session,
    tickers: Sequence[str],
    live: Live | None,
    outcomes: Mapping[str, Mapping[str, Any]],
    unissued: Mapping[str, Prediction],
) -> list[Line]:
    """Return the row of each ticker, with the section that its page shows."""
    known = _Known(session.workspace, live.record) if live and live.record else None
    lines = []
    for ticker in tickers:
        issued = known.issued(ticker) if known else None
        outcome = outcomes.get(ticker)
        section, shown = section_without_charts(
            session, ticker, issued, outcome, unissued.get(ticker)
        )
        if shown is None:
            waits = outcome is not None and outcome.get("outcome") in _WAITING
            lines.append(Line(section, waits=waits))
            continue
        _draw(section, shown)
        if known is not None and issued is not None:
            section.tables += known.tables(ticker)
        first = shown.prices.iloc[0]
        lines.append(
            Line(
                section,
                width=float((first["hi80"] - first["lo80"]) / shown.close),
                report_in=_days_to_report(shown),
                held=known.share_held(ticker) if known else None,
            )
        )
    return lines


_WAITING = (NOT_TRAINED, TOO_YOUNG, LEFT_OUT)


def _days_to_report(shown: Shown) -> int | None:
    coming = shown.reports.coming
    return None if coming is None else (coming.day - shown.made_on.date()).days


def _draw(section: Section, shown: Shown) -> None:
    """Draw the small cone of the index, and the cone of the ticker's own page."""
    if shown.bars is None or not shown.held or shown.made_on not in shown.bars.index:
        return
    closes = shown.bars["close"]
    section.sketch = tiny_cone(closes.to_numpy(float), shown.prices)
    end = shown.prices.iloc[-1]
    alt = (
        f"Recent closes of {section.ticker} up to {in_words(shown.close)}, then a widening cone. "
        f"On {end['target_on']:%d %b %Y} its 80 % part reaches from {in_words(end['lo80'])} to "
        f"{in_words(end['hi80'])}, the median is {in_words(end['q50'])}."
    )
    section.pictures = [line_cone(closes, shown.prices, alt=alt, schemes=charts.SCHEMES)]


def write_pages(lines: Sequence[Line], folder: Path, *, back: str, made_by: str) -> None:
    """Write the page of each ticker, and link it; those that would be the same stay.

    Raises:
        DiskError: no space, or not writable.
    """
    for line in lines:
        section = line.section
        name = f"{file_name(section.ticker)}.html"
        page = Page(
            title=f"Forecast of {section.ticker}",
            made=made_by,
            sentence=sentence_of_one(section),
            overview_head=(),
            sections=[section],
            colours=charts.SCHEMES,
            back=back,
        )
        content, path = render(page).encode(), folder / name
        if not path.exists() or path.read_bytes() != content:
            # A power cut may cost it: the next report draws it again.
            write_atomically(path, content, flush=False)
        section.link = f"{folder.name}/{name.replace('%', '%25')}"


class _Known:
    """What the record and the ledger know of each ticker, read for all of them at once."""

    def __init__(self, workspace: Workspace, record: Record) -> None:
        origins = record.table("origins")
        last = origins.groupby("ticker")["made_on"].max()
        rows = workspace.ledger.read_origins(sorted(set(last)))
        rows = rows[rows["calibrated"]]
        rows = rows[rows["made_on"].to_numpy() == last.reindex(rows["ticker"]).to_numpy()]
        rows = rows[rows["run"] == rows.groupby("ticker", sort=False)["run"].transform("last")]
        counts = record.table("counts")
        unmatched = counts.loc[counts["status"] == UNMATCHED, "ticker"]
        status = np.where(rows["ticker"].isin(unmatched), UNMATCHED, "")
        rows = rows.assign(status=status).sort_values(["ticker", "step"], kind="stable")
        self._issued = by_ticker(rows)
        names = ["published", "step", "recipe", "calibrated", "ticker"]
        sums = record.table("by_ticker").groupby(names, sort=False).sum().reset_index()
        self._sums = by_ticker(sums.sort_values(["ticker", "step"], kind="stable"))
        own = sums[(sums["step"] == 1) & sums["calibrated"] & (sums["recipe"] == sums["published"])]
        self._next = own.groupby("ticker")[["forecasts", "coverage80"]].sum().T.to_dict("list")
        recent = record.recent(workspace.record, RECENT_MONTHS)
        first = recent[recent["calibrated"].to_numpy(bool) & (recent["step"] == 1)]
        first = first[first["status"] == SCORED].sort_values("made_on", kind="stable")
        outcomes = first.groupby("ticker", sort=False).tail(LAST_OUTCOMES)
        self._outcomes = by_ticker(outcomes.sort_values("ticker", kind="stable"))

    def issued(self, ticker: str) -> Issued | None:
        """Return the newest forecast of a ticker; None where none was issued."""
        rows = self._issued.get(ticker)
        if rows is None:
            return None
        share, said = self.share_held(ticker), "nothing scored yet"
        if share is not None:
            said = f"{100 * share:.0f} % of {int(self._next[ticker][0]):,}"
        return Issued(rows, rows.iloc[:0], said)

    def share_held(self, ticker: str) -> float | None:
        """Return how many of the 80 % ranges held the next close, a fraction."""
        count, held = self._next.get(ticker, (0.0, 0.0))
        return float(held / count) if count else None

    def tables(self, ticker: str) -> list[Table]:
        """Return the last outcomes of a ticker, and its scores so far."""
        found = []
        if (recent := self._outcomes.get(ticker)) is not None:
            found.append(_outcomes_table(recent.iloc[::-1]))
        if (sums := self._sums.get(ticker)) is not None and len(sums):
            found.append(_scores_table(sums))
        return found


def _outcomes_table(recent: pd.DataFrame) -> Table:
    inside = values_of(recent, [f"coverage{share * 100:.0f}" for share in COVERAGES]).astype(bool)
    returns = np.exp(values_of(recent, ["lo80", "hi80", "realised"])) - 1
    names = [f"inside {100 * share:.0f} %" for share in COVERAGES]
    rows = []
    for session, held, (low, high, came) in zip(recent["target_on"], inside, returns, strict=True):
        where = next((name for name, is_in in zip(names, held, strict=True) if is_in), None)
        rows.append(
            (
                f"{session:%a %d %b %Y}",
                f"{100 * low:+.2f} % to {100 * high:+.2f} %",
                f"{100 * came:+.2f} %",
                where or "outside all",
            )
        )
    return Table(
        outcomes_caption(len(rows)), ("session", "80 % cone", "came", "where"), tuple(rows)
    )


def _scores_table(sums: pd.DataFrame) -> Table:
    """Return the scores of a ticker's forecasts by step, each recipe beside the published one."""
    rows = []
    columns = {str(name): column.tolist() for name, column in sums.items()}
    for values in zip(*columns.values(), strict=True):
        row = dict(zip(columns, values, strict=True))
        count = row["forecasts"]
        own = row["calibrated"] and row["recipe"] == row["published"]
        rows.append(
            (
                f"{row['step']}: {recipe_name(row['recipe'], calibrated=row['calibrated'])}",
                f"{count:,.0f}",
                f"{100 * row['crps'] / count:.3f}",
                "" if own else f"{100 * (1 - row['ours'] / row['scaled']):+.1f} %",
                *(f"{100 * row[f'coverage{100 * c:.0f}'] / count:.0f} %" for c in COVERAGES),
            )
        )
    head = ("sessions ahead: recipe", "n", "CRPS %", "skill of the network")
    return Table(
        "Scores of this ticker so far, which alone say little",
        (*head, "in 50 %", "in 80 %", "in 95 %"),
        tuple(rows),
        folded=True,
    )
