"""Forecasts of several trainings on the sessions that all of them were scored on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import pandas as pd

from lstmcli.evaluation.comparison import KEYS, Comparison, judged_steps_of, numbered
from lstmcli.evaluation.verdict import outcomes

INSIDE = ("in50", "in80", "in95")

OUTCOME_COLUMNS = (*KEYS, "target_on", "realised", "unit", "crps", *INSIDE)
"""What a run keeps of each published forecast of its test block."""

SAME = 1e-4
"""Relative difference up to which two outcomes are the same: bars may be fetched again."""


def outcomes_with_units(rows: pd.DataFrame) -> pd.DataFrame:
    """Return `outcomes` of realised forecasts, with `realised` and `unit` (log returns)."""
    return outcomes(rows).assign(realised=rows["realised"].copy(), unit=rows["unit"].copy())


def kept_outcomes(of: pd.DataFrame) -> pd.DataFrame:
    """Return `OUTCOME_COLUMNS` of what `outcomes_with_units` found of one recipe, in small types.

    `realised`, `unit` and `crps` are log returns; `in50 in80 in95` say whether the outcome
    lies in the interval.
    """
    numbers = dict.fromkeys(("realised", "unit", "crps"), np.float32)
    return of[list(OUTCOME_COLUMNS)].astype({**numbers, "ticker": str}).reset_index(drop=True)


def shared_outcomes(tables: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Return of each table the rows that all have, with the same outcome, in one order."""
    indexed = [table.set_index(KEYS).sort_index() for table in tables]
    keys = reduce(pd.MultiIndex.intersection, [table.index for table in indexed])
    shared = [table.loc[keys] for table in indexed]
    first = shared[0]["realised"].to_numpy(float)
    same = np.ones(len(first), dtype=bool)
    for table in shared[1:]:
        same &= np.isclose(table["realised"].to_numpy(float), first, rtol=SAME, atol=1e-6)
    return [table[same].reset_index() for table in shared]


def score_shared(table: pd.DataFrame) -> dict[str, float]:
    """Return the CRPS (log return) and the coverages of one training.

    Means over sessions, then steps, then tickers, as everywhere.
    """
    means = table.groupby(["ticker", "step"])[["crps", *INSIDE]].mean()
    found = means.groupby("ticker").mean().mean()
    names = {name: name.replace("in", "coverage") for name in INSIDE}
    return {names.get(str(name), str(name)): float(value) for name, value in found.items()}


def skill_against(own: pd.DataFrame, base: pd.DataFrame, *, alpha: float) -> dict[str, float]:
    """Return how much lower the loss of one training is than that of another.

    It is the test of the verdict: losses in units of volatility, by date, EWC.

    Args:
        own, base: of `shared_outcomes`.
        alpha: one-sided level.

    Returns:
        `skill low high`, fractions; NaN without enough sessions.
    """
    both = [
        table.assign(recipe=name, calibrated=True, scaled=table["crps"] / table["unit"])
        for name, table in (("own", own), ("base", base))
    ]
    of = numbered(pd.concat(both, ignore_index=True))
    mine, its = (of[of["recipe"] == name] for name in ("own", "base"))
    overlaps, _ = judged_steps_of(mine)
    if not overlaps:
        return dict.fromkeys(("skill", "low", "high"), np.nan)
    numbers, _ = Comparison(mine, its).numbers(overlaps, alpha=alpha)
    return {name: float(numbers[name]) for name in ("skill", "low", "high")}
