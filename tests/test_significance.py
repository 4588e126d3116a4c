"""Tests of significance against slow loops, scipy, statsmodels, and their own size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import reference
from scipy.stats import norm, ttest_1samp
from scipy.stats import t as student

from lstmcli.evaluation import significance
from lstmcli.evaluation.direction import needed_direction, pesaran_timmermann
from lstmcli.evaluation.significance import Test as MeanTest
from lstmcli.evaluation.significance import (
    cosines,
    cumulative_skill,
    ewc,
    model_confidence_set,
    skill_test,
)


def equal_recipes(n: int, generator: np.random.Generator) -> np.ndarray:
    """Return loss differences (n,) of two recipes of equal strength, means over 20 tickers.

    Each misses the scale of normal outcomes by 15 %, for weeks on end.
    """
    from scipy.signal import lfilter

    common, own = generator.standard_normal((n, 1)), generator.standard_normal((n, 20))
    outcome = np.sqrt(0.35) * common + np.sqrt(0.65) * own
    losses = []
    for _ in range(2):
        noise = generator.standard_normal((n + 200, 21)) * np.sqrt(1 - 0.98**2)
        error = lfilter([1], [1, -0.98], noise, axis=0)[200:]
        sigma = np.exp(0.15 * np.sqrt(0.5) * (error[:, :1] + error[:, 1:]))
        z = outcome / sigma
        crps = sigma * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
        losses.append(crps.mean(1))
    return losses[1] - losses[0]


@pytest.mark.parametrize("n", [10, 98, 125, 250, 1000])
def test_ewc_is_the_formula(n: int):
    values = equal_recipes(n, np.random.default_rng(1)) + 0.01
    mean, error, freedom = reference.ewc(list(values))
    found = ewc(values)
    assert (found.mean, found.error) == pytest.approx((mean, error), rel=1e-9)
    assert found.freedom == freedom
    assert found.p_value == pytest.approx(2 * student.sf(abs(mean / error), freedom))
    assert found.p_above == pytest.approx(student.sf(mean / error, freedom))
    assert found.p_below == pytest.approx(student.cdf(mean / error, freedom))


def test_the_number_of_cosines_is_exact_where_a_power_is_a_whole_number():
    assert [cosines(n) for n in (10, 98, 125, 250, 1000, 8000)] == [4, 4, 5, 7, 20, 80]


def test_a_p_value_and_an_interval_agree():
    generator = np.random.default_rng(2)
    said = set()
    for _ in range(300):
        test = ewc(generator.standard_normal(100) + generator.uniform(-0.4, 0.4))
        low, high = test.interval()
        assert (test.p_value < 0.05) == (low > 0 or high < 0)
        assert (test.p_above < 0.005) == (test.interval(0.99)[0] > 0)
        assert (test.p_below < 0.005) == (test.interval(0.99)[1] < 0)
        said.add(test.p_value < 0.05)
    assert said == {True, False}


def test_ewc_holds_its_size_where_errors_last_for_weeks():
    generator = np.random.default_rng(3)
    differences = [equal_recipes(250, generator) for _ in range(1000)]
    size = np.mean([ewc(values).p_value < 0.05 for values in differences])
    assert size <= 0.08
    # The test of Diebold and Mariano at one step, which counts no lags, does not.
    assert np.mean([ttest_1samp(values, 0).pvalue < 0.05 for values in differences]) > 0.15


def test_ewc_rejects_independent_noise_as_often_as_it_says():
    generator = np.random.default_rng(4)
    tests = [ewc(generator.standard_normal(250)) for _ in range(2000)]
    assert np.mean([test.p_value < 0.05 for test in tests]) == pytest.approx(0.05, abs=0.015)
    assert np.mean([test.p_above < 0.025 for test in tests]) == pytest.approx(0.025, abs=0.01)


def test_the_detectable_mean_is_found_four_times_out_of_five():
    generator = np.random.default_rng(5)
    plain = [ewc(generator.standard_normal(1000)) for _ in range(200)]
    needed = np.mean([test.detectable() for test in plain])
    found = [ewc(generator.standard_normal(1000) + needed).p_above < 0.025 for _ in range(1000)]
    assert np.mean(found) == pytest.approx(0.80, abs=0.05)
    test = MeanTest(0.0, 0.002, 20)
    assert test.detectable(0.01) == pytest.approx(
        (student.ppf(0.99, 20) + norm.ppf(0.8)) * 0.002, rel=1e-9
    )


def test_no_test_below_ten_origins_for_each_date_that_overlaps():
    values = np.random.default_rng(6).standard_normal(199)
    assert ewc(values, overlap=20) is None
    assert ewc(np.append(values, 0.0), overlap=20) is not None
    assert ewc(values[:9]) is None
    assert ewc(values[:1]) is None
    assert ewc(values[:0]) is None


@pytest.mark.parametrize("difference", [0.0, 0.3])
def test_the_same_difference_on_every_date_is_a_tie(difference: float):
    found = ewc(np.full(100, difference))
    assert (found.mean, found.error, found.statistic) == (pytest.approx(difference), 0.0, 0.0)
    assert (found.p_value, found.p_above, found.p_below) == (1.0, 1.0, 1.0)
    assert found.interval() == (found.mean, found.mean)


def test_losses_that_differ_by_rounding_are_equal():
    losses = np.random.default_rng(7).uniform(1, 2, 100)
    found = skill_test(losses * (1 + 3e-16), losses)
    assert not np.array_equal(losses * (1 + 3e-16), losses)
    assert (found.mean, found.p_value) == (0.0, 1.0)
    found = skill_test(losses * (1 + 1e-9), losses)
    assert found.mean == pytest.approx(-1e-9, rel=1e-3)


def test_a_baseline_without_loss_has_no_skill_against_it():
    assert skill_test(np.ones(100), np.zeros(100)) is None


def test_a_skill_is_the_mean_difference_over_the_mean_loss_of_the_baseline():
    generator = np.random.default_rng(8)
    losses, baseline = generator.gamma(4, 1, (2, 300))
    found, plain = skill_test(losses, baseline), ewc(baseline - losses)
    assert found.mean == pytest.approx(1 - losses.mean() / baseline.mean())
    assert found.p_value == pytest.approx(plain.p_value)
    assert found.interval() == pytest.approx(tuple(np.divide(plain.interval(), baseline.mean())))


def test_the_interval_of_a_skill_holds_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(8)
    held = 0
    for _ in range(400):
        level = np.exp(0.5 * generator.standard_normal(400))
        losses, baseline = (
            level * generator.gamma(4, 0.95 / 4, 400),
            level * generator.gamma(4, 1 / 4, 400),
        )
        low, high = skill_test(losses, baseline).interval()
        held += low <= 0.05 <= high
    assert held / 400 == pytest.approx(0.95, abs=0.03)


def test_the_confidence_set_keeps_the_best_and_its_twins_and_drops_the_worst():
    generator = np.random.default_rng(9)
    common = generator.gamma(2, 1, 500)
    losses = pd.DataFrame(
        {
            "good": common + 0.2 * generator.standard_normal(500),
            "tied": common + 0.2 * generator.standard_normal(500),
            "bad": common + 0.2 + 0.2 * generator.standard_normal(500),
        }
    )
    losses["twin of bad"] = losses["bad"]
    losses["twin of good"] = losses["good"]
    assert model_confidence_set(losses, 1) == {"good", "tied", "twin of good"}
    assert model_confidence_set(losses, 1) == model_confidence_set(losses, 1)
    assert model_confidence_set(losses[["good", "twin of good"]], 1) == {"good", "twin of good"}
    assert model_confidence_set(losses, 51) == set(losses)


def test_the_false_discovery_rate_is_that_of_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p_values = np.random.default_rng(10).uniform(0, 0.2, 12)
    rate = multipletests(p_values, method="fdr_bh")[1]
    np.testing.assert_allclose(significance.false_discovery(p_values), rate)


def test_pesaran_timmermann_finds_a_direction_and_no_base_rate():
    generator = np.random.default_rng(12)
    came = generator.standard_normal(2000) + 0.3  # mostly up
    blind = generator.standard_normal(2000) + 0.3
    sees = np.where(generator.uniform(size=2000) < 0.2, came, blind)
    assert pesaran_timmermann(blind, came) > 0.05
    assert pesaran_timmermann(sees, came) < 0.001
    assert pesaran_timmermann(np.ones(2000), came) is None
    size = [
        pesaran_timmermann(
            generator.standard_normal(300) + 0.3, generator.standard_normal(300) + 0.3
        )
        < 0.05
        for _ in range(1000)
    ]
    assert np.mean(size) == pytest.approx(0.05, abs=0.02)


def test_the_docs_name_the_sizes_that_were_simulated():
    root = Path(__file__).parent.parent
    sizes = pd.read_csv(root / "results" / "sizes.csv")
    false = pd.read_csv(root / "results" / "equal_recipes.csv")["any_false_beats"]
    said = " ".join((root / "docs" / "how-we-know.md").read_text("utf-8").split())

    def span(shares: pd.Series) -> str:
        return f"{100 * shares.min():.0f} to {100 * shares.max():.0f} %"

    assert f"finds a difference in {span(sizes['size_ewc'])} of simulations" in said
    assert f"of 0.1 did in {span(sizes['size_dm'])}" in said
    year = sizes[(sizes["n"] == 250) & ~sizes["step"].str.startswith("mean")]
    for tickers, words in ((1, "of cases on one ticker"), (20, "on twenty")):
        shown = year.loc[year["tickers"] == tickers, "power_ewc_1.0%"]
        assert f"{span(shown)} {words}" in said
    assert f"any beats a baseline falsely in {span(false)} of backtests" in said
    assert sizes["replications"].min() >= 2000
    assert sizes["size_ewc"].max() < 0.09


def test_a_year_of_days_needs_much_to_tell_from_a_coin():
    assert needed_direction(252) == pytest.approx(0.5617, abs=1e-3)


def test_a_date_counts_once_however_many_tickers_it_has():
    days = pd.DatetimeIndex(["2020-01-02", "2020-01-02", "2020-01-02", "2020-01-03"])
    found = significance.date_means(np.array([1.0, 2.0, 3.0, 8.0]), pd.DataFrame({"made_on": days}))
    assert found.tolist() == [2.0, 8.0]


def test_a_cumulative_skill_ends_at_the_skill_and_its_interval():
    generator = np.random.default_rng(13)
    days = pd.date_range("2020-01-01", periods=120)
    losses, baseline = (pd.Series(generator.gamma(4, 1, 120), days) for _ in range(2))
    found = cumulative_skill(losses, baseline, overlap=5)
    test = skill_test(losses.to_numpy(), baseline.to_numpy(), overlap=5)
    assert found["gain"].iloc[-1] == pytest.approx(test.mean)
    assert tuple(found[["low", "high"]].iloc[-1]) == pytest.approx(test.interval())
    assert found["low"].isna().sum() == 49
