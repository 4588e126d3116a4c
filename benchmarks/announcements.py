"""Judge what known dates of announcements are worth.

    python benchmarks/announcements.py pool600.parquet market30.csv.gz ^VIX.csv ^GSPC.csv \\
        earnings_8k.csv.gz

Writes results/announcements.csv. The network of panel.py, in the form in which one ships with the
program, forecasts tickers that it was not trained on over the four years after the end of 2015 and
of 2019: with the dates known on the whole horizon, known five sessions ahead, and not known. The
dates are days of filings with results, whose time of day is not known. Beside it stand the rivals
of panel.py, and the HAR ridge that reads the same dates. Days next to a report, and the others,
are judged by themselves, too: the first are those before a session that hears of a report.

Fits and losses are kept in the workspace of panel.py: interrupted, the command goes on after the
last that is finished.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from panel import (
    CHOSE,
    CUTS,
    WHOLE,
    YEARS,
    Universe,
    command_line,
    coverage_of,
    fitted,
    losses_of,
    pretrained,
    skills_of,
    stored,
    yearly,
)

from lstmcli.evaluation.comparison import numbered, overlaps_of
from lstmcli.forecasters.volatility.announcements import SOON

OUTPUT = Path(__file__).parent.parent / "results" / "announcements.csv"

KNOWN = {"whole": WHOLE, "five": SOON}
"""Sessions ahead of a report from which on its date is known."""

NOT_KNOWN = "none"
SEES_NONE = ("har_ridge_01", "har_ridge", "har_ridge_clock")
"""Rivals that read no dates."""

READS = "har_ridge_dates"
"""The one that reads them."""

PRETRAINED = "pretrained"


def main() -> None:
    arguments = command_line(__doc__, OUTPUT).parse_args()
    universe = stored(arguments)
    losses = pd.concat(list(pieces(universe, sys.argv[1:])), ignore_index=True)
    table = table_of(numbered(losses), next_to_a_report(universe))
    table.to_csv(arguments.output, index=False, lineterminator="\n")
    print(table[table["last"] - table["first"] > YEARS].to_string(index=False))


def pieces(universe: Universe, arguments: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield the losses of each recipe, for each knowledge of dates."""
    for cut in CUTS:
        for judged in universe.judged:
            plain = universe.part(judged)
            network = partial(fitted, universe, arguments, f"panel-pool-{cut}")
            ours = partial(pretrained, network, market=True)
            losses = partial(losses_of, universe)
            found = losses(PRETRAINED, judged, cut, plain, ours)
            yield found.assign(known=NOT_KNOWN)
            for rival in SEES_NONE:
                found = losses(rival, judged, cut, plain, partial(yearly, rival))
                for known in (NOT_KNOWN, *KNOWN):
                    yield found.assign(known=known)
            for known, ahead in KNOWN.items():
                panel = universe.with_announcements(plain, ahead)
                name = f"{PRETRAINED}, {known}"
                yield losses(name, judged, cut, panel, ours).assign(known=known, recipe=PRETRAINED)
                name = f"{READS}, {known}"
                found = losses(name, judged, cut, panel, partial(yearly, READS))
                yield found.assign(known=known, recipe=READS)


def next_to_a_report(universe: Universe) -> dict[str, set[pd.Timestamp]]:
    """Return by ticker the sessions before one that hears of a report: of its day or the next."""
    found = {}
    for judged in universe.judged:
        panel = universe.part(judged)
        events = universe.with_announcements(panel, 0).events
        for ticker, bars in panel.items():
            at = bars.index.get_indexer(events.loc[events["ticker"] == ticker, "session"])
            before = np.union1d(at - 1, at)
            found[ticker] = set(bars.index[before[before >= 0]])
    return found


def table_of(losses: pd.DataFrame, reports: Mapping[str, set[pd.Timestamp]]) -> pd.DataFrame:
    """Return one row per panel, days, span, knowledge, recipe and step; see results/README.md."""
    near = pd.Series(False, losses.index)
    for ticker, rows in losses.groupby("ticker"):
        near[rows.index] = rows["made_on"].isin(reports[str(ticker)])
    dated = losses["ticker"].map({ticker: bool(days) for ticker, days in reports.items()})
    first, last = losses["made_on"].dt.year.min(), losses["made_on"].dt.year.max()
    spans = [(first, last), *((cut + 1, cut + YEARS) for cut in CUTS)]
    spans += [(year, year) for year in range(first, last + 1)]
    years = losses["made_on"].dt.year
    groups = {"all": dated | True, "next to a report": near, "others": dated & ~near}
    found = []
    for judged in losses["judged"].unique():
        for days, of_days in groups.items():
            for start, end in spans if days == "all" else spans[:1]:
                inside = (losses["judged"] == judged) & of_days & years.between(start, end)
                found += rows_of(losses[inside], judged=judged, days=days, first=start, last=end)
        inside = (losses["judged"] == judged) & dated
        if not inside[losses["judged"] == judged].all():
            found += rows_of(
                losses[inside], judged=f"{judged}, with dates", days="all", first=first, last=last
            )
    cores, day = os.cpu_count(), date.today().isoformat()
    table = pd.DataFrame(found).round(4)
    return table.assign(cores=cores, date=day, lstmcli=version("lstmcli"))


def rows_of(losses: pd.DataFrame, **about: object) -> list[dict[str, object]]:
    lines = []
    for step, overlap in overlaps_of(losses).items():
        of_step = losses[losses["step"] == step]
        masked = of_step[(of_step["recipe"] == PRETRAINED) & (of_step["known"] == NOT_KNOWN)]
        for known, of_known in of_step.groupby("known", sort=False):
            rivals = {
                name: of_known[of_known["recipe"] == name]
                for name in (*SEES_NONE, *((READS,) if known in KNOWN else ()))
            }
            if known in KNOWN:
                rivals[f"{PRETRAINED}_{NOT_KNOWN}"] = masked
            for recipe, own in of_known.groupby("recipe", sort=False):
                if recipe not in (PRETRAINED, READS) and known != NOT_KNOWN:
                    continue
                lines.append(
                    {
                        **about,
                        "chose": CHOSE[str(about["judged"]).partition(",")[0]],
                        "known": known,
                        "recipe": recipe,
                        "step": step,
                        "tickers": own["ticker"].nunique(),
                        "forecasts": len(own),
                        "dates": own["made_on"].nunique(),
                        "crps": 100 * own.groupby("ticker")["crps"].mean().mean(),
                        **coverage_of(own),
                        **skills_of(own, rivals, step, overlap),
                    }
                )
    return lines


if __name__ == "__main__":
    main()
