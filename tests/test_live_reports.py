"""The live record with a report ahead, and without."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lstmcli.evaluation.live_reports import MIN_FORECASTS, report_ahead, reports_table
from lstmcli.frames import INTERVAL_COLUMNS, QUANTILE_COLUMNS, QUANTILES
from lstmcli.report.live_reports import REPORTS_HEAD, report_rows, reports_caption

DAYS = pd.bdate_range("2024-01-01", periods=200)


def record(recipe: str, *, scale: float, ahead: int, without: int = 40) -> pd.DataFrame:
    """Return scored forecasts of one session, those with a report ahead first.

    Outcomes of sessions with a report are 0.04, others 0.01.
    """
    count = ahead + without
    quantiles = scale * (np.asarray(QUANTILES) - 0.5)
    ends = scale * np.array([-0.25, 0.25, -0.4, 0.4, -0.475, 0.475])
    flag = np.arange(count) < ahead
    return pd.DataFrame(
        {
            "recipe": recipe,
            "calibrated": recipe == "lstm",
            "ticker": "A",
            "made_on": DAYS[:count],
            "target_on": DAYS[1 : count + 1],
            "step": 1,
            "unit": 0.01,
            "realised": np.where(flag, 0.04, 0.01),
            # The session after the last one of the forecast is not within it.
            "report_session": np.where(flag, DAYS[1 : count + 1], DAYS[2 : count + 2]),
            "report_status": "confirmed",
            **dict(zip(QUANTILE_COLUMNS, quantiles, strict=True)),
            **dict(zip(INTERVAL_COLUMNS, ends, strict=True)),
        }
    )


def table(ahead: int, **changes: object) -> pd.DataFrame:
    parts = [
        record(recipe, scale=scale, ahead=ahead).assign(**changes)
        for recipe, scale in (("lstm", 0.05), ("har_ridge", 0.03), ("ewma", 0.1))
    ]
    return reports_table(pd.concat(parts, ignore_index=True))


def test_a_report_is_ahead_up_to_the_target_where_it_was_known():
    rows = pd.DataFrame(
        {
            "made_on": pd.Timestamp("2024-03-08"),
            "target_on": pd.Timestamp("2024-03-15"),
            "report_session": pd.to_datetime(
                ["2024-03-08", "2024-03-11", "2024-03-15", "2024-03-18", None, None]
            ),
            "report_status": [*["confirmed"] * 4, "not known", None],
        }
    )
    np.testing.assert_array_equal(report_ahead(rows), [0, 1, 1, 0, 0, np.nan])


def test_scores_stand_apart_and_against_the_hardest_baseline_issued():
    found = table(25)
    assert found["ahead"].tolist() == [True, False]
    assert found["forecasts"].tolist() == [25, 40]
    assert set(found["reference"]) == {"har_ridge"}
    # On sessions with a report the wide forecast is better, and too narrow all the same.
    better, worse = found["skill"]
    assert better > 0 > worse
    assert found["coverage95"].tolist() == [0, 1]
    assert found["crps"].iloc[0] > found["crps"].iloc[1]
    rows = report_rows(found)
    assert [row[:2] for row in rows] == [[" 1 report ahead", "25"], [" 1 no report", "40"]]
    assert {len(row) for row in rows} == {len(REPORTS_HEAD)}
    assert "skill against the HAR ridge" in reports_caption(found)


def test_too_few_forecasts_are_told_and_not_scored():
    found = table(MIN_FORECASTS - 3)
    assert found.loc[found["ahead"], ["crps", "skill", "coverage80"]].isna().all(axis=None)
    few, enough = report_rows(found)
    assert few == [" 1 report ahead", "17", "", "3 more forecasts", "", "", ""]
    assert enough[-1] == "100"


def test_a_record_without_a_report_ahead_has_no_such_table():
    assert not len(table(0))
    assert not len(table(25, report_status=None))  # of a ledger that does not keep them
    assert not len(reports_table(record("lstm", scale=0.05, ahead=0, without=0)))
