"""The verdict in numbers: does a recipe beat the baselines.

At each step and against each baseline a recipe BEATS, LOSES or TIES. BEATS needs four
things at once: a difference that is significant after correction for the number of
comparisons, a skill that is large enough to matter, a place in the model confidence set,
and intervals that cover what they promise. `lstmcli.report.wording` puts it into sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.evaluation.metrics import covered, crps
from lstmcli.evaluation.significance import (
    date_means,
    diebold_mariano,
    false_discovery,
    holm,
    model_confidence_set,
    pesaran_timmermann,
    skill_test,
)
from lstmcli.frames import COVERAGES, IDENTITY, of_recipe

BEATS, TIES, LOSES, MIXED = "BEATS", "TIES", "LOSES", "MIXED"
NO_VERDICT = "no verdict"

SIGNIFICANCE = 0.05
MIN_SKILL = 0.001
"""A CRPS that differs by less than a tenth of a percent makes no difference in use."""

COVERAGE_SLACK = 0.01
"""A coverage this close to nominal counts as kept, even if the difference is significant."""


def outcomes(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of realised forecasts that `judge` reads, one row each.

    The result is small, and tables of different tickers can be concatenated.

    Columns: `recipe calibrated ticker made_on step`, `crps` (log return), `in50 in80 in95`
    (whether the outcome lies in the interval), `median_sign` and `outcome_sign` (−1, 0, 1).
    """
    return pd.DataFrame(
        {
            "recipe": rows["recipe"].astype("category"),
            "calibrated": rows["calibrated"],
            "ticker": rows["ticker"].astype("category"),
            "made_on": rows["made_on"],
            "step": rows["step"].astype(np.int16),
            "crps": crps(rows),
            **{f"in{share * 100:.0f}": covered(rows, share) for share in COVERAGES},
            "median_sign": np.sign(rows["q50"].to_numpy(float)).astype(np.int8),
            "outcome_sign": np.sign(rows["realised"].to_numpy(float)).astype(np.int8),
        }
    )


@dataclass(frozen=True)
class Direction:
    """How often the median has the sign of the outcome, at the shortest step.

    Attributes:
        right: share of right signs; NaN where the median never changes its sign.
        always_up: share of positive outcomes. Outcomes of zero count in neither share;
            NaN where no other is left.
        p_value: of the difference between the two, by date; None where no test can be made.
        independence: p-value of the test of Pesaran and Timmermann. None for several
            tickers, because tickers move together on the same day.
        edge: whether there is evidence that the median knows the direction; None where the
            median never changes its sign.
    """

    right: float
    always_up: float
    p_value: float | None = None
    independence: float | None = None
    edge: bool | None = None


@dataclass(frozen=True)
class Verdict:
    """How one recipe compares with the baselines.

    Attributes:
        recipe, calibrated: the one that is judged.
        strongest: the baseline with the lowest CRPS.
        table: one row per baseline and step. Columns: `baseline step word`, `skill low
            high` (of CRPS, fractions, with its 95 % confidence interval), `p_value`, `holm`
            (the same, corrected for all rows), `origins`, `forecasts`, `in_mcs` (whether
            the recipe is in the model confidence set), `covers` (whether its intervals
            cover what they promise), and `coverage50 coverage80 coverage95` (fractions),
            each with its 95 % confidence interval in `…_low` and `…_high`.
        first, last: origins.
        tickers: how many there are, and how many of them are better and worse than the
            strongest baseline at the first step, at a false discovery rate of 5 %.
    """

    recipe: str
    calibrated: bool
    strongest: str
    table: pd.DataFrame
    direction: Direction
    first: pd.Timestamp
    last: pd.Timestamp
    tickers: tuple[int, int, int]

    def overall(self, baseline: str) -> str:
        """Return one word for all steps: BEATS, LOSES, MIXED, TIES or no verdict."""
        words = set(self.table.loc[self.table["baseline"] == baseline, "word"])
        if words == {NO_VERDICT}:
            return NO_VERDICT
        if {BEATS, LOSES} <= words:
            return MIXED
        return next((word for word in (BEATS, LOSES) if word in words), TIES)


def judge(
    of: pd.DataFrame,
    recipes: Sequence[str],
    baselines: Sequence[str],
    *,
    calibrated: bool = False,
) -> dict[str, Verdict]:
    """Return the verdict on each recipe, by its name.

    Equation: BEATS if Holm's p < 0.05 over baselines and steps, skill ≥ 0.1 %, the recipe is
        in the model confidence set of all recipes given, and each coverage (50, 80, 95 %) is
        within a point of nominal or has nominal in its 95 % interval; LOSES if p < 0.05
        and skill ≤ −0.1 %; no verdict below ten origins per step; else TIES.

    Args:
        of: `outcomes` of every recipe, on the same origins.
        recipes: those to judge.
        baselines: those to judge them against, at least one; as they are, not calibrated.
        calibrated: whether the recipes are judged calibrated or as they are.
    """
    losses: dict[int, pd.DataFrame] = {}
    confident: dict[int, set[Hashable]] = {}
    for step, rows in of.groupby("step"):
        means = rows.groupby(["made_on", *IDENTITY], observed=True)["crps"].mean()
        by_date = means.unstack(list(IDENTITY))
        losses[int(step)] = by_date
        confident[int(step)] = model_confidence_set(by_date, int(step))
    strongest = min(
        baselines, key=lambda name: sum(by[name, False].mean() for by in losses.values())
    )
    return {
        recipe: _verdict(of, (recipe, calibrated), baselines, strongest, losses, confident)
        for recipe in recipes
    }


def _verdict(
    of: pd.DataFrame,
    judged: tuple[str, bool],
    baselines: Sequence[str],
    strongest: str,
    losses: Mapping[int, pd.DataFrame],
    confident: Mapping[int, set[Hashable]],
) -> Verdict:
    recipe, calibrated = judged
    own = of_recipe(of, recipe, calibrated=calibrated)
    found = []
    for step, by_date in losses.items():
        rows = own[own["step"] == step]
        coverage, covers = _coverage(rows, step)
        for baseline in baselines:
            test = skill_test(by_date[judged].to_numpy(), by_date[baseline, False].to_numpy(), step)
            low, high = test.interval if test else (np.nan, np.nan)
            found.append(
                {
                    "baseline": baseline,
                    "step": step,
                    "skill": test.mean if test else np.nan,
                    "low": low,
                    "high": high,
                    "p_value": test.p_value if test else np.nan,
                    "origins": len(by_date),
                    "forecasts": len(rows),
                    "in_mcs": judged in confident[step],
                    "covers": covers,
                    **coverage,
                }
            )
    table = pd.DataFrame(found).sort_values(["baseline", "step"], key=_as_listed(baselines))
    tested = table["p_value"].notna()
    table["holm"] = np.nan
    table.loc[tested, "holm"] = holm(table.loc[tested, "p_value"].to_numpy())
    table.insert(2, "word", [_word(row) for row in table.to_dict("records")])
    return Verdict(
        recipe=recipe,
        calibrated=calibrated,
        strongest=strongest,
        table=table.reset_index(drop=True),
        direction=_direction(own),
        first=own["made_on"].min(),
        last=own["made_on"].max(),
        tickers=_by_ticker(own, of_recipe(of, strongest, calibrated=False), min(losses)),
    )


def _as_listed(baselines: Sequence[str]) -> Callable[[pd.Series], pd.Series]:
    """Return a sort key that keeps baselines in the order in which they were given."""
    place = {name: number for number, name in enumerate(baselines)}
    return lambda column: column.map(place) if column.name == "baseline" else column


def _word(row: Mapping[str, Any]) -> str:
    if np.isnan(row["holm"]):
        return NO_VERDICT
    significant = row["holm"] < SIGNIFICANCE
    if significant and row["skill"] >= MIN_SKILL and row["in_mcs"] and row["covers"]:
        return BEATS
    return LOSES if significant and row["skill"] <= -MIN_SKILL else TIES


def _coverage(rows: pd.DataFrame, step: int) -> tuple[dict[str, float], bool]:
    """Return each coverage with its interval, and whether all keep what they promise."""
    columns: dict[str, float] = {}
    covers = True
    for share in COVERAGES:
        name = f"{share * 100:.0f}"
        hits = date_means(rows[f"in{name}"].to_numpy(float), rows)
        test = diebold_mariano(hits.to_numpy(), step)
        low, high = test.interval if test else (np.nan, np.nan)
        coverage = float(hits.mean())
        columns |= {
            f"coverage{name}": coverage,
            f"coverage{name}_low": low,
            f"coverage{name}_high": high,
        }
        covers &= abs(coverage - share) <= COVERAGE_SLACK or low <= share <= high
    return columns, bool(covers)


def _direction(own: pd.DataFrame) -> Direction:
    rows = own[(own["step"] == own["step"].min()) & (own["outcome_sign"] != 0)]
    if not len(rows):
        return Direction(np.nan, np.nan)
    median, outcome = rows["median_sign"].to_numpy(), rows["outcome_sign"].to_numpy()
    always = outcome > 0
    if len(np.unique(median)) == 1:
        return Direction(np.nan, float(always.mean()))
    right = median == outcome
    differences = date_means(right.astype(float) - always.astype(float), rows).to_numpy()
    test = diebold_mariano(differences, int(rows["step"].iloc[0]))
    edge = test is not None and test.p_value < SIGNIFICANCE and test.mean > 0
    independence = None
    if rows["ticker"].nunique() == 1:
        independence = pesaran_timmermann(median, outcome)
        edge = edge and independence is not None and independence < SIGNIFICANCE
    return Direction(
        right=float(right.mean()),
        always_up=float(always.mean()),
        p_value=None if test is None else test.p_value,
        independence=independence,
        edge=edge,
    )


def _by_ticker(own: pd.DataFrame, base: pd.DataFrame, step: int) -> tuple[int, int, int]:
    """Return the number of tickers, and how many are better and worse by themselves."""
    losses, against = (
        rows[rows["step"] == step].set_index(["ticker", "made_on"])["crps"] for rows in (own, base)
    )
    differences = (against - losses).sort_index()
    count = differences.index.get_level_values("ticker").nunique()
    tests = []
    for _, of_ticker in differences.groupby(level="ticker", observed=True):
        test = diebold_mariano(of_ticker.to_numpy(), step)
        if test is not None:
            tests.append(test)
    if not tests:
        return count, 0, 0
    significant = false_discovery(np.array([test.p_value for test in tests])) < SIGNIFICANCE
    means = np.array([test.mean for test in tests])
    better, worse = significant & (means > 0), significant & (means < 0)
    return count, int(better.sum()), int(worse.sum())
