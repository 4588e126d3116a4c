"""Live scores: which outcomes count, and how recipes are compared on them."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from simulate import panel_of, simulate_bars

from lstmcli.evaluation.live import (
    LATE,
    OPEN,
    REPEATED,
    SCORED,
    UNMATCHED,
    WAITING,
    follow_up,
)
from lstmcli.evaluation.live_table import AHEAD, BEHIND, NOT_TOLD_APART, live_table, live_word
from lstmcli.evaluation.metrics import crps, tails
from lstmcli.evaluation.sequences import ALARM, MIN_SKILL_OUTCOMES, Evidence, coverage_evidence
from lstmcli.evaluation.verdict import NO_VERDICT
from lstmcli.frames import (
    INTERVAL_COLUMNS,
    QUANTILE_COLUMNS,
    QUANTILES,
)
from lstmcli.panel import Panel
from lstmcli.report.wording import coverage_sentence, live_phrase
from lstmcli.sessions import next_sessions, opening_times

BARS = simulate_bars(240, seed=5)
DAYS = pd.DatetimeIndex(BARS.index)


def issued(
    made_on: pd.Timestamp, at: datetime, *, recipe: str = "lstm", calibrated: bool = True
) -> pd.DataFrame:
    """Return a forecast of two steps as the ledger gives it back."""
    targets = next_sessions("XNYS", made_on, 2, observed=DAYS)
    quantiles = 0.02 * (np.asarray(QUANTILES) - 0.5)
    rows = [
        {
            "recipe": recipe,
            "calibrated": calibrated,
            "ticker": "A",
            "made_on": made_on,
            "step": step,
            "target_on": target,
            "last_close": BARS.at[made_on, "close"],
            "sigma": 0.01,
            "issued_at": pd.Timestamp(at),
            **dict(zip(QUANTILE_COLUMNS, quantiles, strict=True)),
            **dict(zip(INTERVAL_COLUMNS, (-1, 1, -1, 1, -1, 1), strict=True)),
        }
        for step, target in enumerate(targets, 1)
    ]
    return pd.DataFrame(rows)


def numbered(*parts: pd.DataFrame) -> pd.DataFrame:
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(id=np.arange(1, len(rows) + 1))


def evening(day: pd.Timestamp) -> datetime:
    return datetime(day.year, day.month, day.day, 23, 0, tzinfo=UTC)


def test_outcomes_are_returns_between_two_sessions():
    rows = numbered(issued(DAYS[60], evening(DAYS[60])))
    found = follow_up(rows, panel_of(A=BARS), evening(DAYS[70]))
    close = BARS["close"]
    outcomes = [np.log(close.iloc[60 + h] / close.iloc[60]) for h in (1, 2)]
    np.testing.assert_allclose(found["realised"], outcomes, rtol=1e-9)
    assert found["status"].tolist() == [SCORED, SCORED]


def test_a_split_and_a_dividend_after_the_forecast_change_nothing():
    rows = numbered(issued(DAYS[60], evening(DAYS[60])))
    before = follow_up(rows, panel_of(A=BARS), evening(DAYS[70]))["realised"]
    later = BARS.copy()
    later[["open", "high", "low", "close"]] /= 4  # as a source restates them after 4:1
    later.loc[DAYS[100], "split"] = 4.0
    later.loc[DAYS[90], "dividend"] = 0.5
    after = follow_up(rows, panel_of(A=later), evening(DAYS[110]))["realised"]
    np.testing.assert_allclose(after, before, rtol=1e-9)


def test_the_night_before_is_in_time_and_the_open_is_late():
    opens = opening_times("XNYS", DAYS[61:62])[0].to_pydatetime()
    just = numbered(issued(DAYS[60], opens - pd.Timedelta("1s")))
    late = numbered(issued(DAYS[60], opens))
    now = evening(DAYS[70])
    assert follow_up(just, panel_of(A=BARS), now)["status"].tolist() == [SCORED, SCORED]
    # Its second session had not opened yet.
    assert follow_up(late, panel_of(A=BARS), now)["status"].tolist() == [LATE, SCORED]


def test_what_has_not_come_is_open_and_a_hole_waits():
    rows = numbered(issued(DAYS[60], evening(DAYS[60])))
    tonight = panel_of(A=BARS.iloc[:61])
    assert set(follow_up(rows, tonight, evening(DAYS[60]))["status"]) == {OPEN}
    holed = panel_of(A=BARS.drop(DAYS[61]))
    found = follow_up(rows, holed, evening(DAYS[70]))
    assert found["status"].tolist() == [WAITING, WAITING]
    assert found["realised"].isna().all()
    gone = follow_up(rows, Panel({}, {}), evening(DAYS[70]))
    assert set(gone["status"]) == {WAITING}


def test_a_forecast_from_before_the_first_bar_is_unmatched():
    rows = numbered(issued(DAYS[60], evening(DAYS[60])))
    found = follow_up(rows, panel_of(A=BARS.iloc[61:]), evening(DAYS[70]))
    assert set(found["status"]) == {UNMATCHED}


@pytest.mark.parametrize("origins", [1, 3, 30])
def test_a_forecast_of_another_company_is_never_scored(origins):
    rows = numbered(*(issued(day, evening(day)) for day in DAYS[60 : 60 + origins]))
    other = simulate_bars(240, seed=6)
    other[["open", "high", "low", "close"]] *= 0.43
    found = follow_up(rows, panel_of(A=other), evening(DAYS[110]))
    assert set(found["status"]) == {UNMATCHED}
    assert found["realised"].isna().all()
    assert set(follow_up(rows, panel_of(A=BARS), evening(DAYS[110]))["status"]) == {SCORED}


@pytest.mark.parametrize(("origins", "ratio"), [(1, 3.0), (1, 0.1), (6, 100.0), (6, 0.847)])
def test_a_restated_history_is_scored_also_where_no_split_is_stated(origins, ratio):
    rows = numbered(*(issued(day, evening(day)) for day in DAYS[60 : 60 + origins]))
    later = BARS.copy()
    later[["open", "high", "low", "close"]] *= ratio
    later.loc[DAYS[62], ["open", "high", "low", "close"]] *= 1.01  # corrected
    found = follow_up(rows, panel_of(A=later), evening(DAYS[110]))
    corrected = found["made_on"] == DAYS[62]
    assert set(found.loc[~corrected, "status"]) == {SCORED}


def test_the_first_forecast_of_a_session_counts():
    again = issued(DAYS[60], evening(DAYS[60]))
    rows = numbered(issued(DAYS[60], evening(DAYS[60])), again)
    found = follow_up(rows, panel_of(A=BARS), evening(DAYS[70]))
    assert found["status"].tolist() == [SCORED, SCORED, REPEATED, REPEATED]


def test_nothing_issued_is_nothing_scored():
    empty = numbered(issued(DAYS[60], evening(DAYS[60]))).iloc[:0]
    found = follow_up(empty, panel_of(A=BARS), evening(DAYS[70]))
    assert (len(found), len(live_table(found))) == (0, 0)
    assert coverage_evidence(found).value == 1.0


def test_no_verdict_before_there_is_an_interval():
    assert live_word(MIN_SKILL_OUTCOMES - 1, 0.1, 0.2) == NO_VERDICT
    assert live_word(MIN_SKILL_OUTCOMES, 0.1, 0.2) == AHEAD
    assert live_word(MIN_SKILL_OUTCOMES, -0.2, -0.1) == BEHIND
    assert live_word(MIN_SKILL_OUTCOMES, -0.2, 0.1) == NOT_TOLD_APART
    assert live_word(MIN_SKILL_OUTCOMES, np.nan, np.nan) == NOT_TOLD_APART


def test_recipes_are_compared_on_the_origins_that_both_have():
    every = [issued(day, evening(day)) for day in DAYS[50:60]]
    # Calibrated or not, the network has one name, and its forecasts are two.
    raw = [issued(day, evening(day), calibrated=False) for day in DAYS[50:58]]
    other = [issued(day, evening(day), recipe="ewma", calibrated=False) for day in DAYS[53:60]]
    rows = follow_up(numbered(*every, *raw, *other), panel_of(A=BARS), evening(DAYS[110]))
    assert set(rows["status"]) == {SCORED}
    table = live_table(rows)
    assert set(table["published"]) == {"lstm"}
    assert table[["step", "recipe", "calibrated", "origins"]].to_numpy().tolist() == [
        [1, "lstm", True, 10],
        [1, "lstm", False, 8],
        [1, "ewma", False, 7],
        [2, "lstm", True, 10],
        [2, "lstm", False, 8],
        [2, "ewma", False, 7],
    ]
    assert set(table["word"].dropna()) == {NO_VERDICT}
    assert table["evenings"].dropna().tolist() == 2 * [152, 153]
    assert table[["skill", "low", "high", "coverage80_low"]].isna().all(axis=None)


def compared(*others: pd.DataFrame, origins: int = 170) -> pd.DataFrame:
    """Return the live table of a published network beside others, at step 1."""
    every = [issued(day, evening(day)) for day in DAYS[40 : 40 + origins]]
    rows = follow_up(numbered(*every, *others), panel_of(A=BARS), evening(DAYS[-1]))
    return live_table(rows[rows["step"] == 1])


@pytest.mark.parametrize("origins", [1, 59, 60, 159, 160, 175])
def test_identical_recipes_are_not_told_apart_and_nothing_is_not_a_number(origins: int):
    twins = [
        issued(day, evening(day), recipe="ewma", calibrated=False)
        for day in DAYS[40 : 40 + origins]
    ]
    own, row = compared(*twins, origins=origins).to_dict("records")
    assert (own["origins"], row["origins"]) == (origins, origins)
    assert np.isfinite([own["crps"], own["scaled"], row["crps"], row["scaled"]]).all()
    assert own["scaled"] == row["scaled"]
    assert row["evenings"] == max(160 - origins, 0)
    assert row["word"] == (NO_VERDICT if origins < 160 else NOT_TOLD_APART)
    assert np.isnan([row["low"], row["high"]]).all()
    if origins < 60:
        assert np.isnan([row["skill"], own["coverage80_low"]]).all()
    else:
        assert row["skill"] == 0
        assert 0 <= own["coverage80_low"] < own["coverage80"] <= own["coverage80_high"]


def test_skill_is_of_losses_in_units_of_the_volatility_at_the_origin():
    wide = [issued(day, evening(day), recipe="ewma", calibrated=False) for day in DAYS[40:210]]
    wide = pd.concat(wide)
    wide[list(QUANTILE_COLUMNS)] *= 4
    both = follow_up(
        numbered(*(issued(day, evening(day)) for day in DAYS[40:210]), wide),
        panel_of(A=BARS),
        evening(DAYS[-1]),
    )
    both = both[(both["step"] == 1) & (both["status"] == SCORED)]
    scaled = pd.Series(crps(both) / both["unit"]).groupby(both["recipe"]).mean()
    row = compared(wide).iloc[1]
    assert row["skill"] == pytest.approx(1 - scaled["lstm"] / scaled["ewma"])
    assert row["skill"] != pytest.approx(1 - compared(wide).iloc[0]["crps"] / row["crps"], rel=1e-6)
    assert row["low"] < row["skill"] < row["high"]
    lost = pd.Series(tails(both)).groupby(both["recipe"].to_numpy()).mean()
    assert row["tails"] == pytest.approx(lost["ewma"])


def test_a_ledger_with_gaps_counts_the_sessions_that_it_has():
    half = [issued(day, evening(day), recipe="ewma", calibrated=False) for day in DAYS[40:210:2]]
    row = compared(*half).iloc[1]
    assert (row["origins"], row["evenings"], row["word"]) == (85, 75, NO_VERDICT)
    assert row["skill"] == 0


def test_a_baseline_that_lacks_a_ticker_is_compared_on_what_both_have():
    rows = numbered(
        *(issued(day, evening(day)).assign(ticker=name) for day in DAYS[40:60] for name in "AB"),
        *(issued(day, evening(day), recipe="ewma", calibrated=False) for day in DAYS[45:60]),
    )
    found = follow_up(rows, panel_of(A=BARS, B=BARS), evening(DAYS[110]))
    table = live_table(found[found["step"] == 1])
    assert table[["origins", "forecasts"]].to_numpy().tolist() == [[20, 40], [15, 15]]


def test_a_ticker_that_changed_exchange_is_scored_where_its_bars_have_both_sessions():
    rows = numbered(*(issued(day, evening(day)) for day in DAYS[40:110]))
    moved = Panel({"A": BARS.drop(DAYS[80])}, {"A": "XLON"})
    found = follow_up(rows, moved, evening(DAYS[-1]))
    one = found[found["step"] == 1].set_index("made_on")["status"]
    # Forecasts from and for the session that the other exchange did not have.
    assert set(one[[DAYS[79], DAYS[80]]]) == {WAITING}
    assert set(one.drop([DAYS[79], DAYS[80]])) == {SCORED}
    raw = rows.assign(recipe="ewma", calibrated=False)
    both = follow_up(numbered(rows, raw), moved, evening(DAYS[-1]))
    assert live_table(both[both["status"] == SCORED])["origins"].iloc[0] == 68


def test_the_evidence_against_coverage_is_said_with_its_alarm():
    calm = Evidence(0.5, 1.25, None)
    assert coverage_sentence("net", calm) == (
        "No alarm about the cones of net+calibrated for the next session: the evidence against "
        "them is 0.50, never above 1.25; 20 would be one."
    )
    alarmed = Evidence(3.0, ALARM + 1234, pd.Timestamp("2020-03-12"))
    assert coverage_sentence("net", alarmed) == (
        "ALARM: the intervals of net+calibrated for the next session do not cover what they say "
        "(evidence 1,254; 20 was reached on 2020-03-12)."
    )


def test_a_live_word_says_how_many_evenings_are_missing():
    assert live_phrase(NO_VERDICT, 12) == "no verdict: 12 more evenings"
    assert live_phrase(NO_VERDICT, 1) == "no verdict: 1 more evening"
    assert live_phrase(AHEAD, 0) == "ahead"
