"""Whether a difference is more than luck: tests, intervals, corrections.

Loss differences of h-step forecasts overlap for h − 1 sessions, and tickers of
one day move together. So the sample is dates, not rows: losses are averaged
over tickers per date, and the variance of their mean counts h − 1 lags.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

LEAST_ORIGINS_PER_STEP = 10
"""Origins per step of the horizon without which no test is made."""

MCS_SIZE = 0.10
"""Probability at which the best recipe may drop out of the confidence set."""

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
        critical: errors to either side of the mean that hold 95 %.
        n: dates.
        kernel: `rectangular`, or `bartlett` where that variance was not positive.
    """

    mean: float
    error: float
    p_value: float
    critical: float
    n: int
    kernel: str

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
    from scipy.stats import norm, t

    values = np.asarray(differences, float)
    n = len(values)
    if n < LEAST_ORIGINS_PER_STEP * step:
        return None
    mean = float(values.mean())
    covariance = _autocovariance(values, max(step - 1, min(4 * step, n - 1)))
    scale = float(np.abs(values).max()) ** 2
    variance = float(covariance[0] + 2 * covariance[1:step].sum()) / n
    # Less than rounding leaves of equal columns counts as zero.
    if variance > 1e-24 * scale:
        corrected = np.sqrt((n + 1 - 2 * step + step * (step - 1) / n) / n)
        error = float(np.sqrt(variance) / corrected)
        p_value = float(2 * t.sf(abs(mean) / error, n - 1))
        return Test(mean, error, p_value, float(t.ppf(0.975, n - 1)), n, "rectangular")
    lags = min(4 * step, n - 1)
    weights = 1 - np.arange(1, lags + 1) / (lags + 1)
    variance = float(covariance[0] + 2 * (weights * covariance[1 : lags + 1]).sum()) / n
    critical = float(np.polyval(_FIXED_B[::-1], lags / n))
    if variance <= 1e-24 * scale:
        # Nothing varies: equal losses on every date are a tie, whatever they are.
        return Test(mean, 0.0, 1.0, critical, n, "bartlett")
    error = float(np.sqrt(variance))
    p_value = float(2 * norm.sf(abs(mean) / error * 1.96 / critical))
    return Test(mean, error, p_value, critical, n, "bartlett")


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

    By the delta method: the ratio's error is that of the mean of
    (baseline·ratio − losses)/mean(baseline). The p-value is Diebold–Mariano's.
    """
    compared = diebold_mariano(baseline - losses, step)
    ratio = losses.mean() / baseline.mean()
    linear = diebold_mariano((ratio * baseline - losses) / baseline.mean(), step)
    if compared is None or linear is None:
        return None
    return Test(
        float(1 - ratio),
        linear.error,
        compared.p_value,
        linear.critical,
        compared.n,
        compared.kernel,
    )


def model_confidence_set(losses: pd.DataFrame, step: int, *, seed: int = 0) -> set[str]:
    """Return the recipes that may be the best, at 10 %.

    The guard against having tried many: with ten ties, one looks best.

    Source: Hansen, Lunde, Nason (2011), The Model Confidence Set.

    Args:
        losses: one row per date, one column per recipe.
    """
    from arch.bootstrap import MCS

    # The bootstrap divides by the variance of differences: twins stand for each other.
    twin = {
        name: next(other for other in losses if np.array_equal(losses[other], losses[name]))
        for name in losses
    }
    distinct = losses[list(dict.fromkeys(twin.values()))]
    if distinct.shape[1] == 1 or len(losses) < LEAST_ORIGINS_PER_STEP * step:
        return set(losses)
    test = MCS(
        distinct,
        size=MCS_SIZE,
        reps=_REPETITIONS,
        block_size=max(10, 2 * step),
        method="max",
        seed=seed,
    )
    test.compute()
    return {name for name, first in twin.items() if first in set(test.included)}


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values corrected for their number.

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
    """Return p-values corrected after Benjamini and Hochberg (1995), for many tickers."""
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(p_values))


def kupiec(hits: np.ndarray, coverage: float) -> float:
    """Return the p-value that hits come with the nominal rate.

    Source: Kupiec (1995), Techniques for Verifying the Accuracy of Risk
    Measurement Models.
    """
    from scipy.stats import chi2

    hits = np.asarray(hits, bool)
    n, k = len(hits), int(hits.sum())
    ratio = 2 * (_log_likelihood(n, k, k / n) - _log_likelihood(n, k, coverage))
    return float(chi2.sf(ratio, 1))


def christoffersen(hits: np.ndarray) -> float:
    """Return the p-value that a miss says nothing of the next one.

    Source: Christoffersen (1998), Evaluating Interval Forecasts.
    """
    from scipy.stats import chi2

    hits = np.asarray(hits, bool)
    before, after = hits[:-1], hits[1:]
    after_hit, after_miss = after[before], after[~before]
    apart = sum(
        _log_likelihood(len(part), int(part.sum()), part.mean())
        for part in (after_hit, after_miss)
        if len(part)
    )
    together = _log_likelihood(len(after), int(after.sum()), after.mean())
    return float(chi2.sf(max(2 * (apart - together), 0.0), 1))


def _log_likelihood(n: int, k: int, rate: float) -> float:
    from scipy.special import xlog1py, xlogy

    return float(xlogy(k, rate) + xlog1py(n - k, -rate))


def pesaran_timmermann(forecast: np.ndarray, realised: np.ndarray) -> float | None:
    """Return the two-sided p-value that forecast directions say nothing of what came.

    Against what two independent series with these shares of ups would agree on,
    never against one half.
    Source: Pesaran, Timmermann (1992), A Simple Nonparametric Test of
    Predictive Performance.

    Returns:
        None where either direction never changes.
    """
    from scipy.stats import norm

    up, came = np.asarray(forecast) > 0, np.asarray(realised) > 0
    n, p, q = len(up), float(up.mean()), float(came.mean())
    if p in (0.0, 1.0) or q in (0.0, 1.0):
        return None
    right = float((up == came).mean())
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
    """Return the share of right directions that would reject one half at 5 %, two-sided."""
    from scipy.stats import norm

    return 0.5 + float(norm.ppf(0.975)) * 0.5 / np.sqrt(days)


def cumulative_skill(losses: pd.Series, baseline: pd.Series, step: int) -> pd.DataFrame:
    """Return what has been gained up to each origin, as a share of the baseline's whole loss.

    It ends at the skill of the span. `low` and `high` are the 95 % interval of the
    mean difference so far, times its origins; NaN below ten origins per step.

    Returns:
        By origin: `gain low high`, fractions.
    """
    differences = (baseline - losses).to_numpy(float)
    whole = float(baseline.sum())
    bounds = np.full((len(differences), 2), np.nan)
    for n in range(LEAST_ORIGINS_PER_STEP * step, len(differences) + 1):
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
