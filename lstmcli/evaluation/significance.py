"""Tests of whether a difference is significant, with intervals and corrections.

Forecasts h sessions ahead overlap for h − 1 sessions, and tickers move together on the
same day. So the sample is dates, not rows: losses are averaged over the tickers of a
date, and the variance of their mean counts h − 1 lags.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.forecasters.volatility.garch import without_numba

MIN_ORIGINS_PER_STEP = 10
"""Origins per step of the horizon that a test needs."""

MCS_SIZE = 0.10
"""Probability with which the confidence set may miss the best recipe."""

_REPETITIONS = 1000

_FIXED_B = (1.9600, 2.9694, 0.4160, -0.5324)
"""97.5 % critical value of a t statistic with a Bartlett kernel of b·n lags, as a cubic
in b; Kiefer, Vogelsang (2005), A New Asymptotic Theory for HAC Robust Tests, table 1."""


@dataclass(frozen=True)
class Test:
    """A two-sided test of a mean.

    Attributes:
        mean: of what was tested.
        error: standard error of the mean.
        p_value: two-sided.
        critical: how many standard errors the 95 % interval reaches to either side.
    """

    mean: float
    error: float
    p_value: float
    critical: float

    @property
    def statistic(self) -> float:
        return self.mean / self.error if self.error > 0 else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the mean."""
        return self.mean - self.critical * self.error, self.mean + self.critical * self.error


def diebold_mariano(differences: np.ndarray, step: int) -> Test | None:
    """Test whether loss differences (n,), by date, have a mean of zero.

    Equation: V = (γ₀ + 2·Σ_{k<h} γ_k)/n, t = d̄/√V · √((n + 1 − 2h + h(h−1)/n)/n),
    Student's t with n − 1 degrees of freedom. Where V is not positive: a Bartlett
    kernel with 4h lags and fixed-b critical values, exact at 5 %.

    Source: Diebold, Mariano (1995), Comparing Predictive Accuracy; Harvey,
    Leybourne, Newbold (1997), Testing the equality of prediction mean squared
    errors; Kiefer, Vogelsang (2005) for fixed b.

    Returns:
        None below ten dates per step of the horizon.
    """
    from scipy.stats import t

    values = np.asarray(differences, float)
    n = len(values)
    if n < MIN_ORIGINS_PER_STEP * step:
        return None
    covariance = _autocovariance(values, step - 1)
    variance = float(covariance[0] + 2 * covariance[1:].sum()) / n
    if not variance > _rounding(values):
        return _fixed_b(values, min(4 * step, n - 1))
    mean = float(values.mean())
    corrected = np.sqrt((n + 1 - 2 * step + step * (step - 1) / n) / n)
    error = float(np.sqrt(variance) / corrected)
    p_value = float(2 * t.sf(abs(mean) / error, n - 1))
    return Test(mean, error, p_value, float(t.ppf(0.975, n - 1)))


def _fixed_b(values: np.ndarray, lags: int) -> Test:
    """Test whether values (n,) have a mean of zero, with a Bartlett kernel."""
    from scipy.stats import norm

    n = len(values)
    mean = float(values.mean())
    covariance = _autocovariance(values, lags)
    weights = 1 - np.arange(1, lags + 1) / (lags + 1)
    variance = float(covariance[0] + 2 * (weights * covariance[1:]).sum()) / n
    critical = float(np.polyval(_FIXED_B[::-1], lags / n))
    if variance <= _rounding(values):
        # Nothing varies: the same difference on every date is called a tie, whatever it is.
        return Test(mean, 0.0, 1.0, critical)
    error = float(np.sqrt(variance))
    p_value = float(2 * norm.sf(abs(mean) / error * 1.96 / critical))
    return Test(mean, error, p_value, critical)


def _rounding(values: np.ndarray) -> float:
    """Return the variance below which values count as equal: rounding leaves as much."""
    return 1e-24 * float(np.abs(values).max()) ** 2


def _autocovariance(values: np.ndarray, lags: int) -> np.ndarray:
    """Return γ₀ … γ_lags, each divided by n."""
    centred = values - values.mean()
    n = len(values)
    return np.array([centred[k:] @ centred[: n - k] for k in range(lags + 1)]) / n


def date_means(values: np.ndarray, rows: pd.DataFrame) -> pd.Series:
    """Return the mean of values over tickers, by origin, ascending."""
    return pd.Series(values, index=rows["made_on"].to_numpy()).groupby(level=0).mean()


def skill_test(losses: np.ndarray, baseline: np.ndarray, step: int) -> Test | None:
    """Return the skill 1 − mean(losses)/mean(baseline) with its error, by date.

    The error comes from the delta method: it is that of the mean of
    (ratio·baseline − losses)/mean(baseline). The p-value is Diebold–Mariano's.
    """
    compared = diebold_mariano(baseline - losses, step)
    ratio = losses.mean() / baseline.mean()
    linear = diebold_mariano((ratio * baseline - losses) / baseline.mean(), step)
    if compared is None or linear is None:
        return None
    return Test(float(1 - ratio), linear.error, compared.p_value, linear.critical)


def model_confidence_set(losses: pd.DataFrame, step: int, *, seed: int = 0) -> set[Hashable]:
    """Return the recipes that may be the best, with 90 % confidence.

    It guards against having tried many recipes: of ten equal ones, one looks best.

    Source: Hansen, Lunde, Nason (2011), The Model Confidence Set.

    Args:
        losses: one row per date, one column per recipe.

    Returns:
        The columns of those recipes.
    """
    with without_numba():
        from arch.bootstrap import MCS

    # The bootstrap divides by the variance of differences, which is zero for equal columns.
    twin = {
        name: next(other for other in losses if np.array_equal(losses[other], losses[name]))
        for name in losses
    }
    distinct = losses[list(dict.fromkeys(twin.values()))]
    if distinct.shape[1] == 1 or len(losses) < MIN_ORIGINS_PER_STEP * step:
        return set(losses)
    test = MCS(
        distinct.set_axis(range(distinct.shape[1]), axis=1),  # it takes no columns of two levels
        size=MCS_SIZE,
        reps=_REPETITIONS,
        block_size=max(10, 2 * step),
        method="max",
        seed=seed,
    )
    test.compute()
    included = {distinct.columns[number] for number in test.included}
    return {name for name, first in twin.items() if first in included}


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values corrected for how many there are.

    Source: Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure.
    """
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values)
    count = len(p_values)
    corrected = np.empty(count)
    scaled = p_values[order] * (count - np.arange(count))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected


def false_discovery(p_values: np.ndarray) -> np.ndarray:
    """Return p-values corrected to control the false discovery rate.

    Source: Benjamini, Hochberg (1995), Controlling the False Discovery Rate.
    """
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(p_values))


def pesaran_timmermann(forecasts: np.ndarray, outcomes: np.ndarray) -> float | None:
    """Return the p-value of forecast and outcome having independent signs, two-sided.

    The share of right signs is compared with that of two independent series which rise
    as often as these two, not with one half.

    Source: Pesaran, Timmermann (1992), A Simple Nonparametric Test of
    Predictive Performance.

    Returns:
        None where either sign never changes.
    """
    from scipy.stats import norm

    forecast_up, outcome_up = np.asarray(forecasts) > 0, np.asarray(outcomes) > 0
    n, p, q = len(forecast_up), float(forecast_up.mean()), float(outcome_up.mean())
    if p in (0.0, 1.0) or q in (0.0, 1.0):
        return None
    right = float((forecast_up == outcome_up).mean())
    expected = p * q + (1 - p) * (1 - q)
    of_right = expected * (1 - expected) / n
    of_expected = (
        (2 * q - 1) ** 2 * p * (1 - p) / n
        + (2 * p - 1) ** 2 * q * (1 - q) / n
        + 4 * p * q * (1 - p) * (1 - q) / n**2
    )
    spread = of_right - of_expected
    if spread <= 0:
        return None
    return float(2 * norm.sf(abs(right - expected) / np.sqrt(spread)))


def needed_direction(days: int) -> float:
    """Return the share of right signs that differs from one half at 5 %, two-sided."""
    from scipy.stats import norm

    return 0.5 + float(norm.ppf(0.975)) * 0.5 / np.sqrt(days)


def cumulative_skill(losses: pd.Series, baseline: pd.Series, step: int) -> pd.DataFrame:
    """Return the loss saved up to each origin, as a share of the baseline's loss.

    The loss is that of the whole span, so the last value is its skill. `low` and `high` are
    the 95 % interval of the mean difference so far, times the number of origins; NaN below
    ten origins per step.

    Returns:
        By origin: `gain low high`, fractions.
    """
    differences = (baseline - losses).to_numpy(float)
    whole = float(baseline.sum())
    bounds = np.full((len(differences), 2), np.nan)
    for n in range(MIN_ORIGINS_PER_STEP * step, len(differences) + 1):
        test = diebold_mariano(differences[:n], step)
        if test is not None:
            bounds[n - 1] = np.multiply(test.interval, n)
    return pd.DataFrame(
        {
            "gain": differences.cumsum() / whole,
            "low": bounds[:, 0] / whole,
            "high": bounds[:, 1] / whole,
        },
        index=losses.index,
    )
