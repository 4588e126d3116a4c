"""Evidence and intervals that survive being looked at daily."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lstmcli.evaluation.sequences import (
    ALARM,
    BATCH,
    MIN_OUTCOMES,
    MIN_SKILL_OUTCOMES,
    batch_means,
    betting_sequence,
    coverage_evidence,
    coverage_sequence,
    skill_sequence,
    t_sequence,
)
from lstmcli.frames import COVERAGES, QUANTILE_COLUMNS

DAYS = pd.bdate_range("2020-01-01", periods=520)


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


def test_batches_are_of_twenty_in_order_and_the_last_one_waits_until_it_is_full():
    values = np.arange(59.0)
    assert batch_means(values).tolist() == [9.5, 29.5]
    assert batch_means(values[:19]).tolist() == []
    assert batch_means(np.arange(60.0)).tolist() == [9.5, 29.5, 49.5]


def test_the_t_sequence_holds_the_means_whose_evidence_is_below_20():
    means = np.random.default_rng(4).standard_normal(12) + 0.3
    centre, reach = t_sequence(means)

    def log_evidence(mu: float, n: int) -> float:
        sums, squares = (means[:n] - mu).sum(), ((means[:n] - mu) ** 2).sum()
        ratio = (n + 4) * squares / ((n + 4) * squares - sums**2)
        return 0.5 * np.log(4 / (n + 4)) + n / 2 * np.log(ratio)

    assert np.isinf(reach[:6]).all()
    assert log_evidence(1e9, 6) < np.log(20)
    for n in range(7, 13):
        for end in (centre[n - 1] - reach[n - 1], centre[n - 1] + reach[n - 1]):
            assert log_evidence(end, n) == pytest.approx(np.log(20))


def test_betting_rejects_the_means_against_which_a_gambler_makes_40():
    means = np.random.default_rng(5).binomial(20, 0.9, 15) / 20
    low, high = betting_sequence(means)

    def wealth(m: float, n: int) -> float:
        up = down = 1.0
        total, squares, variance = 0.0, 0.0, 0.25 / 20
        for i, x in enumerate(means[:n], 1):
            bet = np.sqrt(2 * np.log(40) / (variance * i * np.log(i + 1)))
            up *= 1 + min(bet, 0.5 / m) * (x - m)
            down *= 1 - min(bet, 0.5 / (1 - m)) * (x - m)
            total += x
            squares += (x - (0.5 + total) / (i + 1)) ** 2
            variance = (0.25 / 20 + squares) / (i + 1)
        return max(up, down)

    for n in (3, 8, 15):
        for end, inwards in ((low[n - 1], 0.0011), (high[n - 1], -0.0011)):
            assert wealth(end + inwards, n) < 40
            assert end in (0, 1) or wealth(end, n) >= 40


def ever_excluded(low: np.ndarray, high: np.ndarray, truth: float) -> float:
    return float(((low > truth) | (high < truth)).any(axis=1).mean())


@pytest.mark.parametrize("phi", [0.0, 0.4])
def test_the_mean_of_dependent_losses_is_hardly_ever_excluded(phi: float):
    generator = np.random.default_rng(2)
    values = generator.standard_t(5, (500, 500))
    for t in range(1, 500):
        values[:, t] += phi * values[:, t - 1]
    centre, reach = t_sequence(batch_means(values))
    assert ever_excluded(centre - reach, centre + reach, 0.0) <= 0.05


def test_the_coverage_of_persistent_misses_is_hardly_ever_excluded():
    generator = np.random.default_rng(6)
    # Whole weeks hit or miss together: daily bets would take that for many outcomes.
    inside = np.repeat(generator.random((300, 100)) < 0.8, 5, axis=1).astype(float)
    low, high = betting_sequence(batch_means(inside))
    assert ever_excluded(low, high, 0.8) <= 0.05
    assert (high - low)[:, -1].mean() < 0.35


def test_a_large_skill_and_a_low_coverage_are_found_within_two_years():
    generator = np.random.default_rng(7)
    baseline = pd.Series(generator.gamma(4, 0.15, 500), DAYS[:500])
    found = skill_sequence(0.9 * baseline, baseline)
    assert found["low"].iloc[-1] > 0
    assert (found["low"] < found["skill"])[MIN_SKILL_OUTCOMES:].all()
    inside = pd.Series((generator.random(500) < 0.5).astype(float), DAYS[:500])
    assert coverage_sequence(inside)["high"].iloc[-1] < 0.8


def test_nothing_is_said_early_and_every_value_is_as_of_its_date():
    generator = np.random.default_rng(8)
    baseline = pd.Series(generator.gamma(4, 0.15, 500), DAYS[:500])
    losses = baseline * (1 + 0.1 * generator.standard_normal(500))
    inside = pd.Series((generator.random(500) < 0.8).astype(float), DAYS[:500])
    skill, coverage = skill_sequence(losses, baseline), coverage_sequence(inside)
    assert skill["skill"].isna().sum() == MIN_OUTCOMES - 1
    assert skill["low"].isna().sum() == skill["high"].isna().sum() == MIN_SKILL_OUTCOMES - 1
    assert coverage["low"].isna().sum() == MIN_OUTCOMES - 1
    assert (coverage["high"] > coverage["low"]).sum() == 500 - MIN_OUTCOMES + 1
    for n in (60, 79, 160, 199, 437):
        then = skill_sequence(losses.iloc[:n], baseline.iloc[:n]).iloc[-1]
        np.testing.assert_allclose(then, skill.iloc[n - 1], rtol=1e-9)
        then = coverage_sequence(inside.iloc[:n]).iloc[-1]
        np.testing.assert_allclose(then, coverage.iloc[n - 1], rtol=1e-9)
    # Between two full batches the ends stay.
    ends = skill["low"].iloc[MIN_SKILL_OUTCOMES - 1 :].to_numpy()
    assert (np.flatnonzero(np.diff(ends)) % BATCH == BATCH - 1).all()


@pytest.mark.parametrize("gain", [0.0, 0.01])
def test_differences_that_never_vary_have_no_interval(gain: float):
    baseline = pd.Series(np.random.default_rng(9).gamma(4, 0.15, 200), DAYS[:200])
    found = skill_sequence(baseline - gain, baseline)
    assert found[["low", "high"]].isna().all(axis=None)
    assert found["skill"].iloc[-1] == pytest.approx(gain / baseline.mean())


def test_skill_is_the_share_of_the_baselines_loss_that_is_saved():
    baseline = pd.Series(np.linspace(1, 2, 200), DAYS[:200])
    found = skill_sequence(0.9 * baseline, baseline).iloc[MIN_SKILL_OUTCOMES:]
    np.testing.assert_allclose(found["skill"], 0.1)
    assert ((found["low"] < 0.1) & (found["high"] > 0.1)).all()
