"""The verdict: does a recipe beat the baselines, said so that a person understands it.

At each step and against each baseline a recipe BEATS, LOSES or TIES. BEATS
asks for four things at once: a difference that is more than luck after the
number of comparisons is counted, a skill that matters, a place among the
recipes that may be the best, and cones that cover what they promise.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.evaluation.metrics import covered, crps
from lstmcli.evaluation.significance import (
    Test,
    date_means,
    diebold_mariano,
    false_discovery,
    holm,
    model_confidence_set,
    needed_direction,
    pesaran_timmermann,
    skill_test,
)
from lstmcli.frames import COVERAGES

BEATS, TIES, LOSES, MIXED = "BEATS", "TIES", "LOSES", "MIXED"
NO_VERDICT = "no verdict"

SIGNIFICANCE = 0.05
LEAST_SKILL = 0.001
"""Below a tenth of a percent of CRPS a difference is of no use to anybody."""

COVERAGE_SLACK = 0.01
"""By which a cone may miss its nominal coverage, however sure that is."""

SESSIONS_A_YEAR = 252

_WIDTH = 79


def outcomes(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what `judge` needs of realised forecasts: small, and additive over tickers.

    Columns: `recipe ticker made_on step`, `crps` (log return), `in50 in80 in95`
    (whether the outcome lay in the cone), `up` and `came` (−1, 0, 1: direction of the
    median and of the outcome).
    """
    return pd.DataFrame(
        {
            "recipe": rows["recipe"].astype("category"),
            "ticker": rows["ticker"].astype("category"),
            "made_on": rows["made_on"],
            "step": rows["step"].astype(np.int16),
            "crps": crps(rows),
            **{f"in{share * 100:.0f}": covered(rows, share) for share in COVERAGES},
            "up": np.sign(rows["q50"].to_numpy(float)).astype(np.int8),
            "came": np.sign(rows["realised"].to_numpy(float)).astype(np.int8),
        }
    )


@dataclass(frozen=True)
class Direction:
    """How often the median named the right direction of one session.

    Attributes:
        right, always_up: shares of the origins with an outcome that moved.
        p_value: that the two are equal, by date; None where no test can be made.
        independence: Pesaran–Timmermann's p-value; of one ticker only, because
            tickers of a day move together.
        word: a sentence.
    """

    right: float
    always_up: float
    p_value: float | None
    independence: float | None
    word: str


@dataclass(frozen=True)
class Verdict:
    """What came of one recipe beside the baselines.

    Attributes:
        recipe: the one that is judged.
        strongest: the baseline with the lowest CRPS.
        table: one row per baseline and step; see `frame`.
        first, last: origins.
        tickers: their number, and of those how many are better and worse than the
            strongest baseline at the first step, at a false discovery rate of 5 %.
    """

    recipe: str
    strongest: str
    table: pd.DataFrame
    direction: Direction
    first: pd.Timestamp
    last: pd.Timestamp
    tickers: tuple[int, int, int]

    def frame(self) -> pd.DataFrame:
        """Return one row per baseline and step.

        Columns: `baseline step word`, `skill low high` (of CRPS, fractions, with its
        95 % interval), `p_value`, `holm` (the same corrected for all rows), `origins`,
        `forecasts`, `in_mcs`, and per coverage c `coverage…` with its interval `…low`, `…high`.
        """
        return self.table

    def overall(self, baseline: str) -> str:
        """Return one word for all steps: BEATS, LOSES, MIXED, TIES or no verdict."""
        words = set(self.table.loc[self.table["baseline"] == baseline, "word"])
        if words == {NO_VERDICT}:
            return NO_VERDICT
        if {BEATS, LOSES} <= words:
            return MIXED
        return next((word for word in (BEATS, LOSES) if word in words), TIES)

    def headline(self) -> str:
        """Return the verdict in plain sentences, at most 79 columns wide."""
        against = self.table[self.table["baseline"] == self.strongest]
        origins, forecasts = int(against["origins"].max()), int(against["forecasts"].sum())
        word = self.overall(self.strongest)
        judged = against[against["word"] != NO_VERDICT]
        names = self.table["baseline"].unique()
        # The strongest is not always the one that users ask about: "does it beat naive?"
        others = [name for name in ("random_walk",) if name in names and name != self.strongest]
        also = "".join(f", {_said(self.overall(name))} {name}" for name in others)
        if word == NO_VERDICT:
            return _wrapped(
                f"No verdict: {origins:,} origins say too little, "
                f"{10 * int(against['step'].min())} are needed at the shortest step."
            )
        span = f"{self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}"
        sentences = [
            f"{self.recipe} {_said(word)} {self.strongest}, the strongest of {len(names)} "
            f"baselines{also}: {forecasts:,} forecasts on {origins:,} sessions, {span}.",
            f"Skill against {self.strongest} (CRPS): "
            + "; ".join(map(_skill, _records(judged)))
            + ".",
        ]
        short = [str(step) for step in against.loc[against["word"] == NO_VERDICT, "step"]]
        if short:
            sentences.append(f"No verdict at {' and '.join(short)} sessions: too few origins.")
        if self.tickers[0] > 1:
            sentences.append(
                f"Of {self.tickers[0]} tickers by themselves, {self.tickers[1]} are better and "
                f"{self.tickers[2]} worse at {_sessions(int(against['step'].min()))}."
            )
        shares = ", ".join(
            f"{share:.0%} cone {judged[f'coverage{share * 100:.0f}'].mean():.1%}"
            for share in COVERAGES
        )
        sentences.append(f"Outcomes inside: {shares}.")
        sentences.append(f"Direction: {self.direction.word}.")
        return _wrapped(" ".join(sentences))

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""
        names = list(self.table["baseline"].unique())
        return {
            "recipe": self.recipe,
            "strongest": self.strongest,
            "verdict": {name: self.overall(name) for name in names},
            "headline": self.headline(),
            "first": f"{self.first:%Y-%m-%d}",
            "last": f"{self.last:%Y-%m-%d}",
            "tickers": dict(zip(("count", "better", "worse"), self.tickers, strict=True)),
            "direction": {
                "right": _number(self.direction.right),
                "always_up": _number(self.direction.always_up),
                "p_value": self.direction.p_value,
                "independence": self.direction.independence,
                "verdict": self.direction.word,
            },
            "steps": [
                {key: _number(value) for key, value in row.items()} for row in _records(self.table)
            ],
        }


def judge(of: pd.DataFrame, recipes: Sequence[str], baselines: Sequence[str]) -> dict[str, Verdict]:
    """Return the verdict on each recipe.

    Equation: BEATS if Holm's p < 0.05 over baselines and steps, skill ≥ 0.1 %, in the
        model confidence set of all recipes given, and at 50, 80 and 95 % the coverage is
        within a point of nominal or nominal inside its 95 % interval; LOSES if p < 0.05
        and skill ≤ −0.1 %; no verdict below ten origins per step; else TIES.

    Args:
        of: `outcomes` of every recipe, on the same origins.
        recipes: those to judge.
        baselines: those to judge them against, at least one.
    """
    losses: dict[int, pd.DataFrame] = {}
    confident: dict[int, set[str]] = {}
    for step, rows in of.groupby("step"):
        by_date = rows.groupby(["made_on", "recipe"], observed=True)["crps"].mean().unstack()
        losses[int(step)] = by_date
        confident[int(step)] = model_confidence_set(by_date, int(step))
    strongest = min(baselines, key=lambda name: sum(by[name].mean() for by in losses.values()))
    return {
        recipe: _verdict(of, recipe, baselines, strongest, losses, confident) for recipe in recipes
    }


def _verdict(
    of: pd.DataFrame,
    recipe: str,
    baselines: Sequence[str],
    strongest: str,
    losses: Mapping[int, pd.DataFrame],
    confident: Mapping[int, set[str]],
) -> Verdict:
    own = of[of["recipe"] == recipe]
    found = []
    for step, by_date in losses.items():
        rows = own[own["step"] == step]
        coverage, covers = _coverage(rows, step)
        for baseline in baselines:
            test = skill_test(by_date[recipe].to_numpy(), by_date[baseline].to_numpy(), step)
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
                    "in_mcs": recipe in confident[step],
                    "covers": covers,
                    **coverage,
                }
            )
    table = pd.DataFrame(found).sort_values(["baseline", "step"], key=_order(baselines))
    tested = table["p_value"].notna()
    table["holm"] = np.nan
    table.loc[tested, "holm"] = holm(table.loc[tested, "p_value"].to_numpy())
    table.insert(2, "word", [_word(row) for row in _records(table)])
    return Verdict(
        recipe=recipe,
        strongest=strongest,
        table=table.reset_index(drop=True),
        direction=_direction(own),
        first=own["made_on"].min(),
        last=own["made_on"].max(),
        tickers=_by_ticker(of, recipe, strongest, min(losses)),
    )


def _order(baselines: Sequence[str]) -> Any:
    place = {name: number for number, name in enumerate(baselines)}
    return lambda column: column.map(place) if column.name == "baseline" else column


def _word(row: Mapping[str, Any]) -> str:
    if np.isnan(row["holm"]):
        return NO_VERDICT
    sure = row["holm"] < SIGNIFICANCE
    if sure and row["skill"] >= LEAST_SKILL and row["in_mcs"] and row["covers"]:
        return BEATS
    return LOSES if sure and row["skill"] <= -LEAST_SKILL else TIES


def _coverage(rows: pd.DataFrame, step: int) -> tuple[dict[str, float], bool]:
    """Return coverage with its interval at each level, and whether all hold what they promise."""
    columns: dict[str, float] = {}
    holds = True
    for share in COVERAGES:
        name = f"{share * 100:.0f}"
        hits = date_means(rows[f"in{name}"].to_numpy(float), rows)
        test = diebold_mariano(hits.to_numpy(), step)
        low, high = test.interval if test else (np.nan, np.nan)
        came = float(hits.mean())
        columns |= {
            f"coverage{name}": came,
            f"coverage{name}_low": low,
            f"coverage{name}_high": high,
        }
        holds &= abs(came - share) <= COVERAGE_SLACK or low <= share <= high
    return columns, bool(holds)


def _direction(own: pd.DataFrame) -> Direction:
    rows = own[(own["step"] == own["step"].min()) & (own["came"] != 0)]
    came = rows["came"].to_numpy()
    up = rows["up"].to_numpy()
    always = came > 0
    right = up == came
    base = f"always up is right {always.mean():.1%}" if len(rows) else ""
    if len(rows) == 0 or len(np.unique(up)) == 1:
        return Direction(
            np.nan,
            float(always.mean()) if len(rows) else np.nan,
            None,
            None,
            "n/a, the median never changes its sign" + (f"; {base}" if base else ""),
        )
    differences = date_means(right.astype(float) - always.astype(float), rows).to_numpy()
    test = diebold_mariano(differences, int(rows["step"].iloc[0]))
    edge = test is not None and test.p_value < SIGNIFICANCE and test.mean > 0
    independence = None
    if rows["ticker"].nunique() == 1:
        independence = pesaran_timmermann(up, came)
        edge = edge and independence is not None and independence < SIGNIFICANCE
    said = "evidence of an edge" if edge else "no evidence of an edge"
    needed = needed_direction(SESSIONS_A_YEAR)
    return Direction(
        right=float(right.mean()),
        always_up=float(always.mean()),
        p_value=_p(test),
        independence=independence,
        word=f"{said}, right {right.mean():.1%} where {base} "
        f"(a year of days needs {needed:.1%} to tell from a coin)",
    )


def _by_ticker(of: pd.DataFrame, recipe: str, baseline: str, step: int) -> tuple[int, int, int]:
    """Return the number of tickers, and how many are better and worse by themselves."""
    rows = of[(of["step"] == step) & of["recipe"].isin([recipe, baseline])]
    losses = rows.set_index(["ticker", "made_on", "recipe"])["crps"].unstack("recipe")
    tests = []
    for _, own in losses.groupby(level="ticker", observed=True):
        test = diebold_mariano((own[baseline] - own[recipe]).to_numpy(), step)
        if test is not None:
            tests.append(test)
    if not tests:
        return rows["ticker"].nunique(), 0, 0
    sure = false_discovery(np.array([test.p_value for test in tests])) < SIGNIFICANCE
    sign = np.array([np.sign(test.mean) for test in tests])
    return rows["ticker"].nunique(), int((sure & (sign > 0)).sum()), int((sure & (sign < 0)).sum())


def _p(test: Test | None) -> float | None:
    return None if test is None else test.p_value


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _skill(row: Mapping[str, Any]) -> str:
    return (
        f"{row['skill'] * 100:+.2f} % at {_sessions(row['step'])} "
        f"({row['low'] * 100:+.2f} to {row['high'] * 100:+.2f}, p = {row['holm']:.2g})"
    )


def _said(word: str) -> str:
    return {
        LOSES: "LOSES to",
        TIES: "TIES with",
        MIXED: "BEATS and LOSES to",
        NO_VERDICT: "has no verdict against",
    }.get(word, word)


def _sessions(step: int) -> str:
    return f"{step} session{'s' * (step > 1)}"


def _number(value: Any) -> Any:
    """Return a JSON value; what is not a number is null."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_on_hyphens=False)
