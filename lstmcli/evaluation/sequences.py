"""Evidence and intervals that may be looked at every day.

A p-value is valid for one look. Of issued forecasts the same question is asked each
evening. So the answers are an e-process and confidence sequences, valid at all looks
together. Losses and misses of neighbouring sessions depend on each other. So a confidence
sequence is of means over batches of twenty sessions, which depend on each other far less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.evaluation.metrics import covered
from lstmcli.frames import COVERAGES

ALARM = 20.0
"""Evidence that intervals with the right coverage ever reach with a probability of 5 %."""

BATCH = 20
"""Sessions in a batch; a session is a date on which something was scored."""

MIN_OUTCOMES = 60
"""Sessions, three batches, before which nothing is said."""

MIN_SKILL_OUTCOMES = 160
"""Sessions from which on the confidence sequence of a skill has ends. Before seven batches
every mean remains, and seven reach twelve standard deviations far, which says nothing."""

_ERROR = 0.05
"""Probability with which a sequence may ever miss the truth."""

_PRIOR = 4.0
"""c² of the t-test, in batches: the sequence is tightest after some multiples of it."""

_BETS = (-0.5, -0.25, -0.1, -0.04, 0.04, 0.1, 0.25, 0.5)
"""Shares of the largest bet that cannot lose everything."""

_LARGEST_BET = 0.5
"""Share of the wealth that a bet on a batch may lose."""

_MEANS = np.linspace(0.0, 1.0, 1001)
"""Coverages that are tried."""


@dataclass(frozen=True)
class Evidence:
    """Evidence that intervals do not cover what they promise.

    Attributes:
        value: of the e-process after the last date. Above 1 speaks against the coverage,
            below 1 for it.
        highest: the highest value so far.
        alarmed_on: the origin at which the value first reached `ALARM`; None if never.
    """

    value: float
    highest: float
    alarmed_on: pd.Timestamp | None


def coverage_evidence(scored: pd.DataFrame) -> Evidence:
    """Return the evidence against the 50, 80 and 95 % intervals of step-1 forecasts.

    The value is the wealth of a gambler who starts with 1 and bets each day on how many
    outcomes miss the next intervals. If the intervals cover what they promise, no strategy
    wins on average, and the wealth ever reaches 20 with a probability of at most 5 %.

    What is promised is conditional coverage: of each evening's intervals for the next
    session, given all that came before. Longer steps overlap, and are not tested here.

    Equation: E_t = mean over c and λ of Π (1 + λ·(m_s − (1 − c))), m_s the share of
        tickers whose outcome misses the interval of coverage c on date s.
    Source: Waudby-Smith, Ramdas (2024), Estimating means of bounded random variables by
        betting; Ville (1939) for the bound.
    """
    by_date = scored["made_on"].to_numpy()
    outside = {
        share: pd.Series(~covered(scored, share), index=by_date, dtype=float)
        .groupby(level=0)
        .mean()
        .to_numpy()
        for share in COVERAGES
    }
    return evidence_against(outside, np.unique(by_date))


def evidence_against(outside: Mapping[float, np.ndarray], dates: np.ndarray) -> Evidence:
    """Return the evidence against intervals from the share of outcomes that missed them.

    See `coverage_evidence`.

    Args:
        outside: by coverage, the share of tickers on each date.
        dates: ascending.
    """
    if not len(dates):
        return Evidence(1.0, 1.0, None)
    wealth = []
    for share, missed in outside.items():
        excess = missed - (1 - share)
        for bet in _BETS:
            largest = 1 / (1 - share) if bet > 0 else 1 / share
            wealth.append(np.log1p(bet * largest * excess).cumsum())
    value = np.exp(np.clip(np.array(wealth), -700, 700)).mean(axis=0)
    above = np.flatnonzero(value >= ALARM)
    alarmed = pd.Timestamp(dates[above[0]]) if len(above) else None
    return Evidence(float(value[-1]), float(value.max()), alarmed)


def skill_sequence(losses: pd.Series, baseline: pd.Series) -> pd.DataFrame:
    """Return the skill up to each date with its 95 % confidence sequence.

    The sequence is that of the mean loss difference, over the baseline's mean loss in the
    same batches. It is NaN where it has no ends: before `MIN_SKILL_OUTCOMES`, and where the
    differences are all equal. Skill is NaN before `MIN_OUTCOMES`.

    Args:
        losses, baseline: mean losses by origin, in units of volatility; the same origins,
            ascending.

    Returns:
        By origin: `skill low high`, fractions.
    """
    reference = baseline.to_numpy(float)
    differences = reference - losses.to_numpy(float)
    centre, radius = t_sequence(batch_means(differences))
    unit = batch_means(reference).cumsum() / np.arange(1, len(centre) + 1)
    skill = differences.cumsum() / reference.cumsum()
    with np.errstate(invalid="ignore"):
        ends = [
            _as_of_each(end / unit, len(differences)) for end in (centre - radius, centre + radius)
        ]
    low, high = np.where(np.isfinite(ends).all(axis=0), ends, np.nan)
    skill[: MIN_OUTCOMES - 1] = np.nan
    low[: MIN_SKILL_OUTCOMES - 1] = high[: MIN_SKILL_OUTCOMES - 1] = np.nan
    return pd.DataFrame({"skill": skill, "low": low, "high": high}, index=losses.index)


def coverage_sequence(inside: pd.Series) -> pd.DataFrame:
    """Return the coverage up to each date with its 95 % confidence sequence.

    Args:
        inside: share of tickers whose outcome lay inside, by origin, ascending.

    Returns:
        By origin: `coverage low high`, fractions; the last two NaN before `MIN_OUTCOMES`.
    """
    low, high = betting_sequence(batch_means(inside.to_numpy(float)))
    found = pd.DataFrame({"coverage": inside.expanding().mean()})
    found["low"] = _as_of_each(low, len(inside))
    found["high"] = _as_of_each(high, len(inside))
    found.iloc[: MIN_OUTCOMES - 1, 1:] = np.nan
    return found


def batch_means(values: np.ndarray) -> np.ndarray:
    """Return the means of full batches (…, n // 20) of values (…, n); the rest waits."""
    full = values.shape[-1] // BATCH
    return values[..., : full * BATCH].reshape(*values.shape[:-1], full, BATCH).mean(axis=-1)


def _as_of_each(of_batches: np.ndarray, sessions: int) -> np.ndarray:
    """Return for each session what the batches that were full by then say, else NaN."""
    full = np.arange(1, sessions + 1) // BATCH
    return np.append(np.nan, of_batches)[full]


def t_sequence(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the reach of its 95 % confidence sequence after each batch.

    Equation: all μ with √(c²/(n+c²))·[(n+c²)V/((n+c²)V − S²)]^(n/2) < 20, S = Σ(x − μ),
        V = Σ(x − μ)², c² = 4. With K = (20·√((n+c²)/c²))^(2/n) and the variance v these
        are |x̄ − μ| < √((K − 1)(n + c²)·v/(n + c² − K·c²)), and all μ where the
        denominator is not positive.
    Source: Wang, Ramdas (2023), Anytime-valid t-tests and confidence sequences for
        Gaussian means with unknown variance.

    Args:
        means: (…, n) of batches.

    Returns:
        Both (…, n). The reach is infinite where every μ remains, and where nothing has
        varied: a t-test has no answer there.
    """
    count, scale = _t_scale(means.shape[-1])
    centre = means.cumsum(axis=-1) / count
    variance = (means**2).cumsum(axis=-1) / count - centre**2
    # Rounding leaves as much of values that are equal.
    equal = variance <= 1e-12 * np.maximum.accumulate(np.abs(means), axis=-1) ** 2
    reach = np.sqrt(np.where(equal, 1.0, variance) * scale)
    return centre, np.where(equal, np.inf, reach)


def _t_scale(batches: int) -> tuple[np.ndarray, np.ndarray]:
    """Return 1 … n, and the squared reach of the sequence in variances of the batches."""
    count = np.arange(1, batches + 1)
    ratio = ((count + _PRIOR) / _PRIOR / _ERROR**2) ** (1 / count)
    room = count + _PRIOR - ratio * _PRIOR
    squared = (ratio - 1) * (count + _PRIOR) / np.where(room > 0, room, 1.0)
    return count, np.where(room > 0, squared, np.inf)


def betting_sequence(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of the 95 % confidence sequence of a mean in [0, 1].

    For each mean on a grid two gamblers bet, one that it is higher and one that it is
    lower. It is left out once one of them has made 40 of 1.

    Equation: K±_n(m) = Π (1 ± λ±_i(m)·(x_i − m)), λ+ = min(λ, ½/m), λ− = min(λ, ½/(1 − m)),
        λ_i = √(2·ln 40/(σ̂²_{i−1}·i·ln(i + 1))), σ̂² the variance so far and that of one
        batch of fair tosses before it; all m with max(K+, K−) < 40.
    Source: Waudby-Smith, Ramdas (2024), Estimating means of bounded random variables by
        betting, section 4.2.

    Args:
        means: (…, n) of batches.

    Returns:
        Lower and upper ends after each batch, both (…, n).
    """
    n = means.shape[-1]
    count = np.arange(1, n + 1)
    running = (0.5 + means.cumsum(axis=-1)) / (count + 1)
    squared = (0.25 / BATCH + ((means - running) ** 2).cumsum(axis=-1)) / (count + 1)
    start = np.full((*means.shape[:-1], 1), 0.25 / BATCH)
    before = np.concatenate([start, squared[..., :-1]], axis=-1)[..., :n]
    bets = np.sqrt(2 * np.log(2 / _ERROR) / (before * count * np.log(count + 1)))
    with np.errstate(divide="ignore"):
        up, down = _LARGEST_BET / _MEANS, _LARGEST_BET / (1 - _MEANS)
    bets, excess = bets[..., None], means[..., None] - _MEANS  # (…, n, M)
    above = np.log1p(np.minimum(bets, up) * excess).cumsum(axis=-2)
    below = np.log1p(-np.minimum(bets, down) * excess).cumsum(axis=-2)
    kept = np.maximum(above, below) < np.log(2 / _ERROR)
    # One point of the grid further out: the truth may lie between two.
    first = np.argmax(kept, axis=-1) - 1
    last = len(_MEANS) - np.argmax(kept[..., ::-1], axis=-1)
    return _MEANS[np.maximum(first, 0)], _MEANS[np.minimum(last, len(_MEANS) - 1)]
