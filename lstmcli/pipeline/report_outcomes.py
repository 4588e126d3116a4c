"""How the issued forecasts of a ticker turned out: its record, last outcomes and a chart."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lstmcli import charts
from lstmcli.charts import Theme
from lstmcli.evaluation.live import SCORED
from lstmcli.evaluation.metrics import covered, crps
from lstmcli.evaluation.sequences import skill_sequence
from lstmcli.frames import COVERAGES, of_recipe
from lstmcli.pipeline.report_record import record_of
from lstmcli.pipeline.score import Live
from lstmcli.report.page import Section, Table
from lstmcli.report.pictures import picture
from lstmcli.report.verdict import plain_name

LAST_OUTCOMES = 10
"""One-session forecasts in the table of outcomes, the newest first."""


def add_outcomes(section: Section, live: Live, hardest: str | None) -> None:
    """Add the record of a ticker, and its last outcomes as a table and a chart."""
    remarks, tables = record_of(live)
    section.remarks += remarks
    scored = live.rows[(live.rows["status"] == SCORED) & (live.rows["step"] == 1)]
    own = scored[scored["calibrated"]].sort_values("made_on")
    if not len(own):
        return
    recent = own.tail(LAST_OUTCOMES).iloc[::-1]
    came = recent["realised"].to_numpy(float)
    inside = {share: covered(recent, share) for share in COVERAGES}
    narrowest = [
        next(
            (f"inside {100 * share:.0f} %" for share in COVERAGES if inside[share][n]),
            "outside all",
        )
        for n in range(len(recent))
    ]
    rows = tuple(
        (
            f"{row['target_on']:%a %d %b %Y}",
            _change(np.exp(row["lo80"])) + " to " + _change(np.exp(row["hi80"])),
            _change(np.exp(came[n])),
            narrowest[n],
        )
        for n, (_, row) in enumerate(recent.iterrows())
    )
    against = _against(scored, hardest)
    if against is not None:
        losses = pd.Series(crps(own) / own["unit"].to_numpy(), own["made_on"])
        other = of_recipe(scored, against, calibrated=False).sort_values("made_on")
        beside = pd.Series(crps(other) / other["unit"].to_numpy(), other["made_on"])
        both = losses.index.intersection(beside.index)
        skills = skill_sequence(losses.loc[both], beside.loc[both])
        name = plain_name(against)
        wide, phone = (
            charts.live_chart(
                own,
                skills,
                title=f"{section.ticker}: forecasts and what came",
                against=name,
                note=section.note,
                theme=Theme(phone=narrow),
            )
            for narrow in (False, True)
        )
        inside80 = int(inside[0.80].sum())
        section.pictures.append(
            picture(
                wide,
                phone=phone,
                schemes=charts.SCHEMES,
                alt=f"The last one-session cones with what came: of the last {len(recent)} closes "
                f"{inside80} lay inside 80 %. Beside it the CRPS skill against {name} so far.",
                name=f"live-{section.ticker}",
            )
        )
    section.tables.append(
        Table(
            outcomes_caption(len(recent)),
            ("session", "80 % cone", "came", "where"),
            rows,
        )
    )
    section.tables += tables


def outcomes_caption(count: int) -> str:
    """Return what stands above a table of so many last outcomes."""
    if count == 1:
        return "The last one-session forecast, as a return with dividends"
    return f"The last {count} one-session forecasts, as returns with dividends"


def _change(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.2f} %"


def _against(scored: pd.DataFrame, hardest: str | None) -> str | None:
    """Return the baseline that the skill is drawn against."""
    names = set(scored.loc[~scored["calibrated"], "recipe"])
    return next((name for name in (hardest, "ewma", "random_walk") if name in names), None)
