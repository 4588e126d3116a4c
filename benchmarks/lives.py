"""How often a confidence sequence ever excludes the truth, in simulated lives.

    python benchmarks/lives.py

A life is 500 sessions of an issued forecast, watched every evening. Skill: two recipes
that are equally good, as plain loss differences with autocorrelation and as a panel whose
volatility is forecast with persistent errors. Coverage: cones that miss persistently.
Before: the sequence of 0.1, in every session from the 60th on. After: `sequences`.
Writes results/lives.csv in about ten minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from scipy.stats import t as student

from lstmcli.evaluation.metrics import CRPS_LEVELS
from lstmcli.evaluation.sequences import MIN_OUTCOMES, batch_means, betting_sequence, t_sequence

OUTPUT = Path(__file__).parent.parent / "results" / "lives.csv"

SESSIONS, LIVES, AT_ONCE, SEED = 500, 2000, 100, 20260101
WARM_UP = 300
DEGREES = 6.0
ERROR = 0.15
"""Standard deviation of a recipe's errors in ln σ."""

CORRELATION = 0.35
"""Of the returns of two tickers."""

NOMINAL = (0.50, 0.80, 0.95)

Lives = Iterator[np.ndarray]


def sequence_01(values: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and reach (L, n) of the asymptotic sequence that 0.1 used.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (2024), theorem 2.2.
    """
    count = np.arange(1, values.shape[-1] + 1)
    mean = values.cumsum(axis=-1) / count
    spread = np.sqrt(np.maximum((values**2).cumsum(axis=-1) / count - mean**2, 0.0))
    rho2 = (-2 * np.log(0.05) + np.log(1 - 2 * np.log(0.05))) * step / 250
    m = count / step
    reach = np.sqrt(2 * (m * rho2 + 1) / (m**2 * rho2) * np.log(np.sqrt(m * rho2 + 1) / 0.05))
    return mean, spread * reach


def autoregressive(generator: np.random.Generator, phi: float, shape: tuple) -> np.ndarray:
    """Return AR(1) with a variance of 1 along the last axis."""
    noise = generator.standard_normal((*shape[:-1], shape[-1] + WARM_UP))
    return lfilter([np.sqrt(1 - phi**2)], [1, -phi], noise)[..., WARM_UP:]


def differences(generator: np.random.Generator, phi: float) -> np.ndarray:
    """Return loss differences (L, n): AR(1) of heavy-tailed shocks, with a mean of zero."""
    shocks = generator.standard_t(5, (AT_ONCE, SESSIONS + 50))
    return lfilter([1], [1, -phi], shocks)[:, 50:]


def panel(
    generator: np.random.Generator, tickers: int, phi: float, step: int
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return outcomes, EWMA units and two forecasts of sigma, each (L, K, n).

    Volatility is persistent and partly common, returns have heavy tails and a common
    factor, and both forecasts err in ln σ by an AR(1) with φ, half of it common.
    """
    length = WARM_UP + SESSIONS + step
    many, one = (AT_ONCE, tickers, length), (AT_ONCE, 1, length)
    level = 0.45 * autoregressive(generator, 0.985, one)
    level = level + 0.3 * autoregressive(generator, 0.97, many)
    sigma = 0.012 * np.exp(level)
    unit = np.sqrt((DEGREES - 2) / DEGREES)
    factor = np.sqrt(CORRELATION) * generator.standard_t(DEGREES, one)
    own = np.sqrt(1 - CORRELATION) * generator.standard_t(DEGREES, many)
    returns = sigma * unit * (factor + own)
    ewma = np.sqrt(lfilter([0.06], [1, -0.94], returns**2))
    total = np.pad(returns, ((0, 0), (0, 0), (1, 0))).cumsum(axis=-1)
    at = np.arange(WARM_UP, WARM_UP + SESSIONS)
    outcome = total[..., at + step] - total[..., at]
    root = np.sqrt(step)
    forecasts = []
    for _ in range(2):
        common = autoregressive(generator, phi, (AT_ONCE, 1, SESSIONS))
        error = np.sqrt(0.5) * (common + autoregressive(generator, phi, (*many[:2], SESSIONS)))
        forecasts.append(root * sigma[..., at] * np.exp(ERROR * error))
    return outcome, root * ewma[..., at - 1], forecasts


def crps(outcome: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return the CRPS of Student's t with a standard deviation of sigma, of any shape."""
    total = np.zeros_like(outcome)
    for level in CRPS_LEVELS:
        quantile = student.ppf(level, DEGREES) * np.sqrt((DEGREES - 2) / DEGREES)
        difference = outcome - sigma * quantile
        total += 2 * np.maximum(level * difference, (level - 1) * difference)
    return total / len(CRPS_LEVELS)


def inside(outcome: np.ndarray, sigma: np.ndarray, share: float) -> np.ndarray:
    """Return the share of tickers (L, n) inside the cone of Student's t."""
    reach = student.ppf(0.5 + share / 2, DEGREES) * np.sqrt((DEGREES - 2) / DEGREES)
    return (np.abs(outcome) <= reach * sigma).mean(axis=1)


def ever(out: np.ndarray, first: int = 0) -> float:
    """Return the share of lives (L, n) with the truth outside at any look from `first` on."""
    return float(out[:, first:].any(axis=1).mean())


def skill_row(values: np.ndarray, step: int) -> dict[str, float]:
    """Return how often the sequences ever exclude a mean of zero."""
    centre, reach = sequence_01(values, step)
    after = t_sequence(batch_means(values))
    return {
        "before": ever(np.abs(centre) > reach, MIN_OUTCOMES - 1),
        "after": ever(np.abs(after[0]) > after[1]),
    }


def coverage_row(values: np.ndarray, step: int, truth: float) -> dict[str, float]:
    """Return how often the sequences ever exclude the true coverage."""
    centre, reach = sequence_01(values, step)
    means = batch_means(values)
    parts = [betting_sequence(means[start : start + 200]) for start in range(0, len(means), 200)]
    low, high = (np.concatenate(ends) for ends in zip(*parts, strict=True))
    first = MIN_OUTCOMES // 20 - 1
    return {
        "truth": truth,
        "before": ever(np.abs(centre - truth) > reach, MIN_OUTCOMES - 1),
        "after": ever((truth < low) | (truth > high), first),
        "width_after": float((high - low)[:, -1].mean()),
    }


def rows(lives: int) -> Iterator[dict[str, object]]:
    """Yield one row per simulated setting."""
    chunks = range(0, lives, AT_ONCE)
    generator = np.random.default_rng(SEED)
    for phi in (0.0, 0.1, 0.2, 0.3, 0.4):
        values = np.concatenate([differences(generator, phi) for _ in chunks])
        yield {"of": "skill", "model": "AR(1)", "phi": phi, "lives": lives} | skill_row(values, 1)
    for tickers in (1, 20):
        for phi in (0.0, 0.9, 0.98):
            for step in (1, 5, 20):
                generator = np.random.default_rng((SEED, tickers, round(100 * phi), step))
                skills, hits = [], {share: [] for share in NOMINAL}
                for _ in chunks:
                    outcome, unit, (one, two) = panel(generator, tickers, phi, step)
                    skills.append(((crps(outcome, two) - crps(outcome, one)) / unit).mean(axis=1))
                    for share in NOMINAL:
                        hits[share].append(inside(outcome, one, share))
                cell = {"model": "panel", "phi": phi, "tickers": tickers, "step": step}
                cell["lives"] = lives
                yield {"of": "skill"} | cell | skill_row(np.concatenate(skills), step)
                for share in NOMINAL:
                    values = np.concatenate(hits[share])
                    # Of a million sessions: as good as the truth.
                    found = coverage_row(values, step, float(values.mean()))
                    yield {"of": f"coverage{100 * share:.0f}"} | cell | found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lives", type=int, default=LIVES)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    table = []
    for row in rows(arguments.lives):
        table.append(row)
        print(row, flush=True)
        pd.DataFrame(table).round(4).to_csv(arguments.output, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
