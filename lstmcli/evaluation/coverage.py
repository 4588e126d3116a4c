"""Whether the intervals of a recipe cover what they promise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lstmcli.evaluation.significance import SIGNIFICANCE, date_means, ewc
from lstmcli.frames import COVERAGES

SLACK = 0.01
"""A coverage this close to nominal counts as kept, even if the difference is significant."""


def check_coverage(own: pd.DataFrame, overlaps: Mapping[int, int]) -> pd.DataFrame:
    """Return the coverage of each interval at each judged step, with its interval.

    An interval is kept if its coverage is within a point of nominal, or nominal lies in its
    confidence interval. All of them must be kept. The confidence intervals are corrected
    for their number (Bonferroni): together they refuse a recipe whose intervals are right in
    5 % of backtests at most, where twelve at 95 % each would refuse up to half. The
    dependence of the three intervals of a step, and of the steps, only makes it rarer.

    Args:
        own: `outcomes` of one recipe.
        overlaps: by judged step, the dates over which an outcome reaches.

    Returns:
        One row per step and nominal coverage: `step nominal coverage low high kept`, fractions.
    """
    level = 1 - SIGNIFICANCE / max(len(COVERAGES) * len(overlaps), 1)
    found = []
    for step, overlap in overlaps.items():
        rows = own[own["step"] == step]
        for nominal in COVERAGES:
            name = f"in{nominal * 100:.0f}"
            hits = date_means(rows[name].to_numpy(float), rows).to_numpy()
            share = float(hits.mean())
            low, high = _interval(hits, overlap, level)
            kept = abs(share - nominal) <= SLACK or low <= nominal <= high
            found.append((step, nominal, share, low, high, kept))
    return pd.DataFrame(found, columns=["step", "nominal", "coverage", "low", "high", "kept"])


def _interval(hits: np.ndarray, overlap: int, level: float) -> tuple[float, float]:
    """Return the confidence interval of a coverage from its share on each date.

    Where no date differs from another, as without any miss, the interval is that of as
    many independent dates (Clopper, Pearson 1934).
    """
    from scipy.stats import binomtest

    test = ewc(hits, overlap=overlap)
    if test is not None and test.error > 0:
        low, high = test.interval(level)
        return max(low, 0.0), min(high, 1.0)
    dates = max(len(hits) // overlap, 1)
    found = binomtest(round(float(hits.mean()) * dates), dates).proportion_ci(level)
    return float(found.low), float(found.high)
