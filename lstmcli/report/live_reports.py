"""The live record with a report of the company ahead, and without, as users read it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lstmcli.evaluation.live_reports import MIN_FORECASTS
from lstmcli.report.verdict import plain_name

REPORTS_HEAD = ("", "n", "CRPS %", "skill %", "50 %", "80 %", "95 %")


def report_rows(table: pd.DataFrame) -> list[list[str]]:
    """Return the cells of forecasts with a report ahead and without, as users read them.

    Args:
        table: as `reports_table` returns it.
    """
    rows = []
    for row in table.to_dict("records"):
        name = f"{row['step']:>2} {'report ahead' if row['ahead'] else 'no report'}"
        count = f"{row['forecasts']:,}"
        if row["forecasts"] < MIN_FORECASTS:
            rows.append([name, count, "", f"{MIN_FORECASTS - row['forecasts']} more forecasts"])
            rows[-1] += [""] * 3
            continue
        skill = "" if np.isnan(row["skill"]) else f"{100 * row['skill']:+.1f}"
        shares = [f"{100 * row[f'coverage{level}']:.0f}" for level in (50, 80, 95)]
        rows.append([name, count, f"{100 * row['crps']:.3f}", skill, *shares])
    return rows


def reports_caption(table: pd.DataFrame) -> str:
    """Return what the table of forecasts with and without a report ahead is."""
    reference = table["reference"].iloc[0]
    against = f"; skill against {plain_name(reference)}" if reference else ""
    return (
        "Forecasts with a report ahead within their sessions, known at issue, and without"
        f"{against}; n counts forecasts"
    )
