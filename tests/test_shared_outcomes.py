"""Trainings on the sessions that all were scored on: what is shared, and what a test says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_verdict import realised

from lstmcli.evaluation.metrics import crps
from lstmcli.evaluation.shared_outcomes import (
    OUTCOME_COLUMNS,
    kept_outcomes,
    outcomes_with_units,
    score_shared,
    shared_outcomes,
    skill_against,
)
from lstmcli.evaluation.verdict import judge, outcomes
from lstmcli.frames import of_recipe

ROWS = realised({"net": 1.0, "wide": 1.5})


def kept(recipe: str) -> pd.DataFrame:
    return kept_outcomes(outcomes_with_units(of_recipe(ROWS, recipe, calibrated=False)))


def test_outcomes_keep_the_loss_of_each_forecast():
    own = of_recipe(ROWS, "net", calibrated=False)
    table = kept("net")
    assert tuple(table.columns) == OUTCOME_COLUMNS
    np.testing.assert_allclose(table["crps"], crps(own), rtol=1e-6)
    np.testing.assert_allclose(table["realised"], own["realised"], rtol=1e-6)
    assert table["in80"].mean() == pytest.approx(0.8, abs=0.03)


def test_only_rows_that_all_have_with_the_same_outcome_are_shared():
    one, two = kept("net"), kept("wide")
    two = two[(two["ticker"] == "T0") & (two["step"] == 5)].sample(frac=1, random_state=0)
    days = two["made_on"].sort_values()
    two = two[two["made_on"] > days.iloc[99]]
    changed = two["made_on"] == days.iloc[-1]
    two.loc[changed, "realised"] += 0.01
    shared = shared_outcomes([one, two])
    assert [len(table) for table in shared] == [899, 899]
    for table in shared:
        assert table["made_on"].tolist() == days.iloc[100:-1].tolist()
        assert set(table["ticker"]) == {"T0"}
    np.testing.assert_allclose(shared[0]["realised"], shared[1]["realised"], rtol=1e-6)
    assert not np.allclose(shared[0]["crps"], shared[1]["crps"])
    # Bars that are fetched again may differ in the last digits.
    nearly = one.assign(realised=one["realised"] * (1 + 1e-6))
    assert len(shared_outcomes([one, nearly])[0]) == len(one)


def test_the_skill_is_that_of_a_verdict():
    found = skill_against(kept("net"), kept("wide"), alpha=0.025)
    of = outcomes(ROWS)
    row = judge(of, ["net"], ["wide"], ladder=["wide"])["net"].ladder.iloc[0]
    for name in ("skill", "low", "high"):
        assert found[name] == pytest.approx(row[name], rel=1e-4)
    turned = skill_against(kept("wide"), kept("net"), alpha=0.025)
    assert turned["high"] < 0 < found["low"]


def test_too_few_sessions_have_no_test():
    few = [
        table[table["made_on"] < table["made_on"].min() + pd.Timedelta(9, "D")]
        for table in (kept("net"), kept("wide"))
    ]
    assert np.isnan(skill_against(*few, alpha=0.025)["skill"])


def test_scores_are_means_over_sessions_then_steps_then_tickers():
    table = kept("net")
    uneven = table[(table["ticker"] == "T0") | (table["step"] == 1)].iloc[:-300]
    by_hand = [
        np.mean(
            [
                uneven.loc[(uneven["ticker"] == t) & (uneven["step"] == s), "crps"].mean()
                for s in sorted(set(uneven.loc[uneven["ticker"] == t, "step"]))
            ]
        )
        for t in ("T0", "T1")
    ]
    assert score_shared(uneven)["crps"] == pytest.approx(np.mean(by_hand), rel=1e-6)
    assert set(score_shared(table)) == {"crps", "coverage50", "coverage80", "coverage95"}
