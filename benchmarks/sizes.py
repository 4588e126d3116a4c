"""Simulate how often a test finds a difference that is none, and one that is planted.

    python benchmarks/sizes.py

Writes results/sizes.csv. Two recipes forecast the same simulated tickers. Both know the
distribution but for its scale, which each of them misses by an error of its own: 15 %,
half of it common to all tickers, autoregressive from session to session. Neither is better,
so that a test at 5 % should find a difference in 5 % of all simulations. Compared are the
test of version 0.1 (Diebold–Mariano on CRPS) and the one of today (equal-weighted cosines
on CRPS in units of volatility).

Power is compared at equal size: each test rejects beyond the value that it exceeds in 5 %
of simulations without a difference. A skill is planted by making the losses of the
baseline larger.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from scipy.stats import norm
from scipy.stats import t as student

from lstmcli.evaluation.significance import MIN_ORIGINS, cosines

OUTPUT = Path(__file__).parent.parent / "results" / "sizes.csv"

SEED = 20260101
TICKERS = (1, 20)
PERSISTENCE = (0.0, 0.9, 0.98)
"""Autocorrelation of the error of a scale from one session to the next."""
ORIGINS = (98, 250, 1000)
STEPS = (1, 5, 10, 20)
SHOWN = (1, 5, 20)
"""Steps with a row of their own; the rows of the mean have step 10, too."""
SKILLS = (0.005, 0.01)

SIZE = 0.05
ERROR = 0.15
"""Standard deviation of the error of a recipe's log scale."""
COMMON = 0.35
"""Share of the variance of returns that tickers have in common."""
DECAY = 0.94
BURN = 300
DEGREES = 6.0
LEVELS = np.arange(1, 20) / 20

FIXED_B = (1.9600, 2.9694, 0.4160, -0.5324)
"""97.5 % critical value of a t statistic with a Bartlett kernel of b·n lags, as a cubic
in b; Kiefer, Vogelsang (2005), A New Asymptotic Theory for HAC Robust Tests, table 1."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=10000)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    found = []
    for tickers in TICKERS:
        for persistence in PERSISTENCE:
            # A seed for each cell: the cells can be simulated again one by one.
            generator = np.random.default_rng([SEED, tickers, round(100 * persistence)])
            losses = simulate(generator, arguments.replications, tickers, persistence)
            for row in rows_of(losses):
                found.append({"tickers": tickers, "phi": persistence, **row})
                print(found[-1], flush=True)
    table = pd.DataFrame(found).assign(
        replications=arguments.replications, lstmcli=version("lstmcli")
    )
    table.to_csv(arguments.output, index=False, lineterminator="\n", float_format="%.4g")
    print(table.to_string(index=False))


def simulate(
    generator: np.random.Generator, replications: int, tickers: int, persistence: float
) -> np.ndarray:
    """Return the losses of two recipes, (2 units, 2 recipes, S steps, R, n)."""
    losses = np.empty((2, 2, len(STEPS), replications, max(ORIGINS)), np.float32)
    for number in range(replications):
        world = Simulation(generator, max(ORIGINS), tickers, STEPS)
        for recipe in range(2):
            losses[:, recipe, :, number] = world.losses(generator, persistence, ERROR)
    return losses


class Simulation:
    """Simulated tickers, and the losses of recipes that miss their scale."""

    def __init__(
        self, generator: np.random.Generator, n: int, tickers: int, steps: tuple[int, ...]
    ) -> None:
        self.n, self.tickers, self.steps = n, tickers, steps
        returns, self.sigma, self.unit = tickers_of(generator, n + max(steps), tickers)
        total = np.vstack([np.zeros((1, tickers)), returns.cumsum(0)])
        self.outcomes = [total[step : step + n] - total[:n] for step in steps]
        z = student.ppf(LEVELS, DEGREES) / np.sqrt(DEGREES / (DEGREES - 2))
        # CRPS is piecewise linear in the outcome, and straight beyond the outermost quantiles.
        self.knots = np.r_[-1e4, z, 1e4]
        difference = self.knots[:, None] - z
        self.values = 2 * np.maximum(LEVELS * difference, (LEVELS - 1) * difference).mean(1)

    def losses(
        self, generator: np.random.Generator, persistence: float, error: float
    ) -> np.ndarray:
        """Return the losses of one recipe, (2 units, S steps, n), means over tickers.

        CRPS first as a log return, then in units of volatility.

        Args:
            error: standard deviation of the error of its log scale.
        """
        common = autoregressive(generator, self.n, 1, persistence)
        own = autoregressive(generator, self.n, self.tickers, persistence)
        scale = self.sigma[: self.n] * np.exp(error * np.sqrt(0.5) * (common + own))
        found = np.empty((2, len(self.steps), self.n))
        for place, (step, outcome) in enumerate(zip(self.steps, self.outcomes, strict=True)):
            width = scale * np.sqrt(step)
            crps = width * np.interp(outcome / width, self.knots, self.values)
            found[0, place] = crps.mean(1)
            found[1, place] = (crps / (self.unit[: self.n] * np.sqrt(step))).mean(1)
        return found


def tickers_of(
    generator: np.random.Generator, sessions: int, tickers: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return returns, their σ, and the EWMA σ̂ of the sessions before, each (T, K)."""
    t = sessions + BURN
    log_sigma = 0.45 * autoregressive(generator, t, 1, 0.985) + 0.3 * autoregressive(
        generator, t, tickers, 0.97
    )
    sigma = 0.012 * np.exp(log_sigma)
    spread = np.sqrt(DEGREES / (DEGREES - 2))
    common = generator.standard_t(DEGREES, (t, 1)) / spread
    own = generator.standard_t(DEGREES, (t, tickers)) / spread
    returns = sigma * (np.sqrt(COMMON) * common + np.sqrt(1 - COMMON) * own)
    squares = np.vstack([sigma[:1] ** 2, returns[:-1] ** 2])
    unit = np.sqrt(lfilter([1 - DECAY], [1, -DECAY], squares, axis=0))
    return returns[BURN:], sigma[BURN:], unit[BURN:]


def autoregressive(
    generator: np.random.Generator, sessions: int, series: int, persistence: float
) -> np.ndarray:
    """Return autoregressive series of standard deviation 1, (T, K)."""
    noise = generator.standard_normal((sessions + BURN, series)) * np.sqrt(1 - persistence**2)
    return lfilter([1], [1, -persistence], noise, axis=0)[BURN:]


def rows_of(losses: np.ndarray) -> list[dict[str, object]]:
    """Return a row for each step and number of origins, and one for the mean over steps."""
    rows: list[dict[str, object]] = []
    for n in ORIGINS:
        tested = [step for step in STEPS if n >= MIN_ORIGINS * step]
        for steps in ([step] for step in tested if step in SHOWN):
            rows.append(row_of(losses, n, steps))
        rows.append(row_of(losses, n, tested))
    return rows


def row_of(losses: np.ndarray, n: int, steps: list[int]) -> dict[str, object]:
    places = [STEPS.index(step) for step in steps]
    plain, scaled = losses[:, :, places, :, :n].astype(float).mean(2)  # (2 recipes, R, n)
    row: dict[str, object] = {
        "step": steps[0] if len(steps) == 1 else f"mean of {' '.join(map(str, steps))}",
        "n": n,
    }
    tests = {
        "dm": (plain, lambda values: diebold_mariano(values, max(steps))),
        "ewc_plain": (plain, ewc),
        "ewc": (scaled, ewc),
    }
    beyond = {}
    for name, (of, test) in tests.items():
        statistic, p_value = test(of[1] - of[0])
        row[f"size_{name}"] = float((p_value < SIZE).mean())
        beyond[name] = float(np.quantile(np.abs(statistic), 1 - SIZE))
    for skill in SKILLS:
        for name, (of, test) in tests.items():
            statistic, _ = test(of[1] / (1 - skill) - of[0])
            row[f"power_{name}_{skill:.1%}"] = float((statistic > beyond[name]).mean())
    return row


def ewc(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return t and two-sided p of many series (R, n) at once, as `significance.ewc` does."""
    n = values.shape[1]
    freedom = cosines(n)
    angles = np.pi * np.outer((np.arange(n) + 0.5) / n, np.arange(1, freedom + 1))
    weights = np.sqrt(2 / n) * values @ np.cos(angles)
    statistic = values.mean(1) / np.sqrt((weights**2).mean(1) / n)
    return statistic, 2 * student.sf(np.abs(statistic), freedom)


def diebold_mariano(values: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return t and two-sided p of many series (R, n) at once, as version 0.1 did.

    Equation: V = (γ₀ + 2·Σ_{k<h} γ_k)/n, t = d̄/√V · √((n + 1 − 2h + h(h−1)/n)/n),
    Student's t with n − 1 degrees of freedom. Where V is not positive: a Bartlett
    kernel with 4h lags and fixed-b critical values.

    Source: Diebold, Mariano (1995), Comparing Predictive Accuracy; Harvey,
    Leybourne, Newbold (1997), Testing the equality of prediction mean squared errors.
    """
    n = values.shape[1]
    lags = min(4 * step, n - 1)
    covariance = autocovariance(values, max(step - 1, lags))
    mean = values.mean(1)
    variance = (covariance[:, 0] + 2 * covariance[:, 1:step].sum(1)) / n
    positive = variance > 0
    corrected = np.sqrt((n + 1 - 2 * step + step * (step - 1) / n) / n)
    error = np.sqrt(np.where(positive, variance, 1.0)) / corrected
    weights = 1 - np.arange(1, lags + 1) / (lags + 1)
    bartlett = (covariance[:, 0] + 2 * (weights * covariance[:, 1 : lags + 1]).sum(1)) / n
    critical = float(np.polyval(FIXED_B[::-1], lags / n))
    # In units in which 1.96 is critical at 5 %, as for the other series.
    fixed = mean / np.sqrt(bartlett) * 1.96 / critical
    statistic = np.where(positive, mean / error, fixed)
    p_value = np.where(
        positive, 2 * student.sf(np.abs(statistic), n - 1), 2 * norm.sf(np.abs(fixed))
    )
    return statistic, p_value


def autocovariance(values: np.ndarray, lags: int) -> np.ndarray:
    """Return γ₀ … γ_lags of each series, (R, lags + 1)."""
    centred = values - values.mean(1, keepdims=True)
    n = values.shape[1]
    return np.stack(
        [(centred[:, k:] * centred[:, : n - k]).sum(1) / n for k in range(lags + 1)], axis=1
    )


if __name__ == "__main__":
    main()
