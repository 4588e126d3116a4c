"""Live scores: which outcomes count, and evidence that survives being looked at daily."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from simulate import panel_of, simulate_bars

from lstmcli.evaluation.live import (
    AHEAD,
    ALARM,
    BEHIND,
    LATE,
    NOT_TOLD_APART,
    OPEN,
    REPEATED,
    SCORED,
    UNMATCHED,
    WAITING,
    confidence_sequence,
    coverage_evidence,
    follow_up,
    live_table,
    live_word,
    skill_sequence,
)
from lstmcli.evaluation.verdict import NO_VERDICT
from lstmcli.frames import (
    COVERAGES,
    INTERVAL_COLUMNS,
    QUANTILE_COLUMNS,
    QUANTILES,
)
from lstmcli.panel import Panel
from lstmcli.sessions import next_sessions, opening_times

BARS = simulate_bars(120, seed=5)
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
    other = simulate_bars(120, seed=6)
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


def forecasts(inside: np.ndarray) -> pd.DataFrame:
    """Return step-1 forecasts whose intervals hold the outcome or not, (N, C)."""
    rows = pd.DataFrame({"made_on": pd.bdate_range("2020-01-01", periods=len(inside))})
    rows[["realised", *QUANTILE_COLUMNS]] = 0.0
    for number, share in enumerate(COVERAGES):
        low, high = f"lo{share * 100:.0f}", f"hi{share * 100:.0f}"
        rows[low], rows[high] = np.where(inside[:, number], -1.0, 1.0), 2.0
    return rows


def nested(uniform: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """Return whether a uniform draw lies in intervals that cover `factor` times their share."""
    return np.abs(uniform - 0.5)[:, None] < factor * np.asarray(COVERAGES) / 2


def test_true_coverage_is_hardly_ever_alarmed_in_all_its_life():
    generator = np.random.default_rng(0)
    lives = [nested(generator.random(750)) for _ in range(200)]
    alarms = sum(coverage_evidence(forecasts(life)).alarmed_on is not None for life in lives)
    assert alarms <= 10 + 2 * np.sqrt(200 * 0.05 * 0.95)


@pytest.mark.parametrize(("factor", "sessions"), [(0.8, 250), (0.0, 30), (1.05, 750)])
def test_false_coverage_is_alarmed(factor: float, sessions: int):
    generator = np.random.default_rng(1)
    found = coverage_evidence(forecasts(nested(generator.random(sessions), factor)))
    assert found.highest >= ALARM
    assert found.alarmed_on is not None


def test_the_evidence_is_the_mean_wealth_of_gamblers():
    inside = nested(np.array([0.5, 0.99, 0.2]))
    expected = []
    for number, share in enumerate(COVERAGES):
        for bet in (-0.5, -0.25, -0.1, -0.04, 0.04, 0.1, 0.25, 0.5):
            wealth = 1.0
            for day in range(3):
                miss = 1.0 - inside[day, number]
                wealth *= 1 + bet * (1 / (1 - share) if bet > 0 else 1 / share) * (
                    miss - (1 - share)
                )
            expected.append(wealth)
    assert coverage_evidence(forecasts(inside)).value == pytest.approx(np.mean(expected))


def test_a_confidence_sequence_holds_the_mean_at_all_times():
    generator = np.random.default_rng(2)
    missed = 0
    for _ in range(300):
        values = pd.Series(generator.standard_t(5, 750) * 0.01 + 0.002)
        found = confidence_sequence(values, 1).iloc[30:]
        missed += bool(((found["low"] > 0.002) | (found["high"] < 0.002)).any())
    assert missed <= 15 + 2 * np.sqrt(300 * 0.05 * 0.95)


def test_a_fixed_interval_would_not():
    generator = np.random.default_rng(2)
    missed = 0
    for _ in range(300):
        values = pd.Series(generator.standard_t(5, 750) * 0.01)
        n = np.arange(1, 751)
        error = 1.96 * values.expanding().std() / np.sqrt(n)
        missed += bool((values.expanding().mean().abs() > error).iloc[30:].any())
    assert missed > 60


def test_overlapping_steps_make_it_wider():
    values = pd.Series(np.random.default_rng(3).standard_normal(400))
    one, five = confidence_sequence(values, 1).iloc[-1], confidence_sequence(values, 5).iloc[-1]
    assert five["high"] - five["low"] > 1.8 * (one["high"] - one["low"])


def test_skill_is_the_share_of_the_baselines_loss_that_is_saved():
    days = pd.bdate_range("2020-01-01", periods=100)
    baseline = pd.Series(np.linspace(1, 2, 100), days)
    found = skill_sequence(0.9 * baseline, baseline, 1)
    np.testing.assert_allclose(found["skill"], 0.1)
    assert found["low"].iloc[-1] > 0
    assert (found["low"] <= found["skill"]).all()


def test_no_verdict_before_sixty_outcomes():
    assert live_word(59, 0.1, 0.2) == NO_VERDICT
    assert live_word(60, 0.1, 0.2) == AHEAD
    assert live_word(60, -0.2, -0.1) == BEHIND
    assert live_word(60, -0.2, 0.1) == NOT_TOLD_APART


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
    np.testing.assert_allclose(table["skill"], 2 * [np.nan, 0, 0], atol=1e-12)
