"""Tests of whether a difference is significant, with intervals and corrections.

Forecasts h sessions ahead overlap for h − 1 sessions, tickers move together on the same
day, and errors of a volatility last for weeks. So the sample is dates, not rows: losses
are averaged over the tickers of a date, and the variance of their mean is read off slow
cosines, which holds whatever the dependence from date to date.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.forecasters.volatility.garch import without_numba

MIN_ORIGINS = 10
"""Origins that a test needs for each date that outcomes overlap."""

SIGNIFICANCE = 0.05
"""Two-sided level of a test that stands alone."""

POWER = 0.80
"""Chance with which the detectable mean is found."""

MCS_SIZE = 0.10
"""Probability with which the confidence set may miss the best recipe."""

_REPETITIONS = 1000

_ROUNDING = 1e-12
"""Differences below this share of the largest loss are left by rounding."""


@dataclass(frozen=True)
class Test:
    """A test of whether a mean is zero, by Student's t.

    The p-values and the intervals come from the same t, so that they always agree.

    Attributes:
        mean: of what was tested.
        error: standard error of the mean; 0 where every value is the same.
        freedom: degrees of freedom.
    """

    mean: float
    error: float
    freedom: int

    @property
    def statistic(self) -> float:
        """The mean in standard errors; 0 where nothing varies, which is called a tie."""
        return self.mean / self.error if self.error > 0 else 0.0

    @property
    def p_value(self) -> float:
        """Two-sided."""
        return 2 * min(self.p_above, self.p_below, 0.5)

    @property
    def p_above(self) -> float:
        """One-sided: small where the mean is above zero."""
        return self._tail(self.statistic)

    @property
    def p_below(self) -> float:
        """One-sided: small where the mean is below zero."""
        return self._tail(-self.statistic)

    def interval(self, level: float = 1 - SIGNIFICANCE) -> tuple[float, float]:
        """Return the confidence interval of the mean."""
        reach = self._critical((1 - level) / 2) * self.error
        return self.mean - reach, self.mean + reach

    def detectable(self, alpha: float = SIGNIFICANCE / 2) -> float:
        """Return the mean that a one-sided test at alpha finds four times out of five."""
        from scipy.stats import norm

        return (self._critical(alpha) + float(norm.ppf(POWER))) * self.error

    def over(self, scale: float) -> Test:
        """Return the test of the same values divided by a positive scale."""
        return Test(self.mean / scale, self.error / scale, self.freedom)

    def _tail(self, statistic: float) -> float:
        from scipy.stats import t

        return float(t.sf(statistic, self.freedom)) if self.error > 0 else 1.0

    def _critical(self, alpha: float) -> float:
        from scipy.stats import t

        return float(t.ppf(1 - alpha, self.freedom))


def ewc(differences: np.ndarray, *, overlap: int = 1) -> Test | None:
    """Test whether values (n,), one a date and in their order, have a mean of zero.

    Equation: Λ_j = √(2/n)·Σ_t d_t·cos(πj(t − ½)/n), j = 1 … B, B = max(4, ⌊0.2·n^⅔⌋);
    Ω = mean of Λ_j²; t = d̄/√(Ω/n), Student's t with B degrees of freedom.

    Few cosines are slow ones: they hold the size where errors last for weeks. The authors
    propose 0.4·n^⅔, which rejects a true null in up to 16 % of cases here.

    Source: Lazarus, Lewis, Stock, Watson (2018), HAR Inference: Recommendations for Practice.

    Args:
        overlap: dates over which the outcome of an origin reaches: h for h sessions ahead.

    Returns:
        None below ten dates for each that outcomes overlap.
    """
    from scipy.fft import dct

    values = np.asarray(differences, float)
    n = len(values)
    if n < MIN_ORIGINS * max(overlap, 1):
        return None
    freedom = cosines(n)
    mean = float(values.mean())
    if np.ptp(values) <= _ROUNDING * float(np.abs(values).max()):
        return Test(mean, 0.0, freedom)
    # The transform has twice the sums; without the mean, it rounds less.
    weights = np.sqrt(2 / n) * dct(values - mean)[1 : freedom + 1] / 2
    return Test(mean, float(np.sqrt(np.mean(weights**2) / n)), freedom)


def cosines(n: int) -> int:
    """Return the number of cosines, which are degrees of freedom, for n dates."""
    # 1000^(2/3) is 99.999… in floating point.
    return max(4, int(0.2 * n ** (2 / 3) + 1e-9))


def date_means(values: np.ndarray, rows: pd.DataFrame) -> pd.Series:
    """Return the mean of values over tickers, by origin, ascending."""
    return pd.Series(values, index=rows["made_on"].to_numpy()).groupby(level=0).mean()


def skill_test(losses: np.ndarray, baseline: np.ndarray, *, overlap: int = 1) -> Test | None:
    """Test the skill 1 − mean(losses)/mean(baseline), both by date (n,).

    It is the test of the difference, divided by the mean loss of the baseline. So the
    interval leaves zero out where the p-value says so, and only there. Losses that differ
    by rounding alone are equal.
    """
    losses, baseline = np.asarray(losses, float), np.asarray(baseline, float)
    scale = float(baseline.mean()) if len(baseline) else 0.0
    differences = baseline - losses
    if scale > 0:
        differences = np.where(
            np.abs(differences) <= _ROUNDING * np.abs(baseline).max(), 0.0, differences
        )
    test = ewc(differences, overlap=overlap)
    # A baseline without any loss is right to the last digit: there is no share of it.
    return test.over(scale) if test is not None and scale > 0 else None


def model_confidence_set(losses: pd.DataFrame, overlap: int, *, seed: int = 0) -> set[Hashable]:
    """Return the recipes that may be the best, with 90 % confidence.

    It shows what cannot be ruled out. It guards against nothing: of ten equal recipes the
    luckiest is always in it.

    Source: Hansen, Lunde, Nason (2011), The Model Confidence Set.

    Args:
        losses: one row per date, one column per recipe.
        overlap: dates over which the outcome of an origin reaches.

    Returns:
        The columns of those recipes; all of them where there are too few dates to tell.
    """
    with without_numba():
        from arch.bootstrap import MCS

    if len(losses) < MIN_ORIGINS * overlap:
        return set(losses)
    # The bootstrap divides by the variance of differences. Of columns that differ by a
    # constant the lowest stands for all that are equal to it; the others are not the best.
    ascending = losses[losses.mean().sort_values(kind="stable").index]
    best = {
        name: next(other for other in ascending if _parallel(losses[other], losses[name]))
        for name in losses
    }
    twin = {
        name: first
        for name, first in best.items()
        if np.allclose(losses[name], losses[first], rtol=_ROUNDING, atol=0.0)
    }
    distinct = losses[list(dict.fromkeys(twin.values()))]
    if distinct.shape[1] == 1:
        return set(twin)
    test = MCS(
        distinct.set_axis(range(distinct.shape[1]), axis=1),  # it takes no columns of two levels
        size=MCS_SIZE,
        reps=_REPETITIONS,
        block_size=max(10, 2 * overlap),
        method="max",
        seed=seed,
    )
    test.compute()
    included = {distinct.columns[number] for number in test.included}
    return {name for name, first in twin.items() if first in included}


def _parallel(one: pd.Series, other: pd.Series) -> bool:
    """Return whether two columns of losses differ by a constant."""
    return bool(np.ptp(one - other) <= _ROUNDING * np.abs(one).max())


def false_discovery(p_values: np.ndarray) -> np.ndarray:
    """Return p-values corrected to control the false discovery rate.

    Source: Benjamini, Hochberg (1995), Controlling the False Discovery Rate.
    """
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(p_values))


def cumulative_skill(losses: pd.Series, baseline: pd.Series, *, overlap: int) -> pd.DataFrame:
    """Return the loss saved up to each origin, as a share of the baseline's loss.

    The loss is that of the whole span, so the last value is its skill. `low` and `high` are
    the 95 % interval of the mean difference so far, times the number of origins; NaN below
    ten origins for each date that outcomes overlap.

    Returns:
        By origin: `gain low high`, fractions.
    """
    differences = (baseline - losses).to_numpy(float)
    whole = float(baseline.sum())
    bounds = np.full((len(differences), 2), np.nan)
    for n in range(MIN_ORIGINS * overlap, len(differences) + 1):
        test = ewc(differences[:n], overlap=overlap)
        if test is not None:
            bounds[n - 1] = np.multiply(test.interval(), n)
    return pd.DataFrame(
        {
            "gain": differences.cumsum() / whole,
            "low": bounds[:, 0] / whole,
            "high": bounds[:, 1] / whole,
        },
        index=losses.index,
    )
