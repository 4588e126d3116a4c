"""Tests of significance against arch, statsmodels, scipy, and their own size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lstmcli.evaluation import significance
from lstmcli.evaluation.significance import diebold_mariano, model_confidence_set, skill_test


def overlapping(n: int, step: int, generator: np.random.Generator) -> np.ndarray:
    """Return sums over `step` sessions of noise: what losses of h-step forecasts look like."""
    noise = generator.standard_normal(n + step - 1)
    return np.convolve(noise, np.ones(step), mode="valid")


def test_diebold_mariano_at_one_step_is_a_t_test():
    from scipy.stats import ttest_1samp

    values = np.random.default_rng(1).standard_normal(300) + 0.1
    found = diebold_mariano(values, 1)
    # The correction of Harvey, Leybourne, Newbold is that of the degrees of freedom.
    expected = ttest_1samp(values, 0)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_diebold_mariano_is_the_formula_of_harvey_leybourne_and_newbold():
    values = overlapping(400, 5, np.random.default_rng(2)) + 0.4
    n, h = len(values), 5
    centred = values - values.mean()
    gamma = [sum(centred[t] * centred[t - k] for t in range(k, n)) / n for k in range(h)]
    variance = (gamma[0] + 2 * sum(gamma[1:])) / n
    statistic = values.mean() / np.sqrt(variance)
    statistic *= np.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    found = diebold_mariano(values, h)
    assert found.statistic == pytest.approx(statistic)


@pytest.mark.parametrize("step", [1, 5, 20])
def test_diebold_mariano_rejects_a_true_null_as_often_as_it_says(step: int):
    generator = np.random.default_rng(3)
    p_values = [diebold_mariano(overlapping(1000, step, generator), step).p_value
                for _ in range(1000)]  # fmt: skip
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.025)


def test_a_variance_that_is_not_positive_gets_a_bartlett_kernel():
    # Moving average with a unit root: what is gained on a day is lost on the next.
    noise = np.random.default_rng(4).standard_normal(201)
    values = np.diff(noise)
    found = diebold_mariano(values, 2)
    lags = 8
    centred = values - values.mean()
    gamma = [centred[k:] @ centred[: 200 - k] / 200 for k in range(lags + 1)]
    variance = gamma[0] + 2 * sum((1 - k / (lags + 1)) * gamma[k] for k in range(1, lags + 1))
    assert found.error == pytest.approx(np.sqrt(variance / 200))
    assert found.critical > 1.96
    assert 0 < found.p_value <= 1


def test_bartlett_with_fixed_b_rejects_as_often_as_it_says():
    generator = np.random.default_rng(5)
    tests = [significance._fixed_b(generator.standard_normal(200), 20) for _ in range(1000)]
    assert np.mean([test.p_value < 0.05 for test in tests]) == pytest.approx(0.05, abs=0.02)
    held = [test.interval[0] <= 0 <= test.interval[1] for test in tests]
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


def test_no_test_below_ten_origins_per_step():
    values = np.random.default_rng(6).standard_normal(199)
    assert diebold_mariano(values, 20) is None
    assert diebold_mariano(np.append(values, 0.0), 20) is not None


def test_equal_losses_are_a_tie():
    found = diebold_mariano(np.zeros(100), 1)
    assert (found.p_value, found.mean) == (1.0, 0.0)
    # Losses that differ by rounding alone are equal, too.
    losses = np.random.default_rng(7).uniform(1, 2, 100)
    found = skill_test(losses * (1 + 1e-16), losses, 1)
    assert found.p_value == 1.0


def test_the_interval_of_a_skill_holds_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(8)
    held = 0
    for _ in range(400):
        level = np.exp(0.5 * generator.standard_normal(400))
        losses, baseline = (
            level * generator.gamma(4, 0.95 / 4, 400),
            level * generator.gamma(4, 1 / 4, 400),
        )
        low, high = skill_test(losses, baseline, 1).interval
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


def test_holm_and_benjamini_hochberg_are_those_of_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p_values = np.random.default_rng(10).uniform(0, 0.2, 12)
    holm = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(significance.holm(p_values), holm)
    rate = multipletests(p_values, method="fdr_bh")[1]
    np.testing.assert_allclose(significance.false_discovery(p_values), rate)


def test_pesaran_timmermann_finds_a_direction_and_no_base_rate():
    generator = np.random.default_rng(12)
    came = generator.standard_normal(2000) + 0.3  # mostly up
    blind = generator.standard_normal(2000) + 0.3
    sees = np.where(generator.uniform(size=2000) < 0.2, came, blind)
    assert significance.pesaran_timmermann(blind, came) > 0.05
    assert significance.pesaran_timmermann(sees, came) < 0.001
    assert significance.pesaran_timmermann(np.ones(2000), came) is None
    size = [
        significance.pesaran_timmermann(
            generator.standard_normal(300) + 0.3, generator.standard_normal(300) + 0.3
        )
        < 0.05
        for _ in range(1000)
    ]
    assert np.mean(size) == pytest.approx(0.05, abs=0.02)


def test_a_year_of_days_needs_much_to_tell_from_a_coin():
    assert significance.needed_direction(252) == pytest.approx(0.5617, abs=1e-3)


def test_a_date_counts_once_however_many_tickers_it_has():
    days = pd.DatetimeIndex(["2020-01-02", "2020-01-02", "2020-01-02", "2020-01-03"])
    found = significance.date_means(np.array([1.0, 2.0, 3.0, 8.0]), pd.DataFrame({"made_on": days}))
    assert found.tolist() == [2.0, 8.0]
