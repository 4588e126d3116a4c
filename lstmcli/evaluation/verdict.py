"""The verdict in numbers: does a recipe beat the baselines.

Losses are CRPS in units of volatility, so that calm and wild months count alike. Those of a
date are averaged over tickers and then over steps: one number a date, one test a baseline.
`lstmcli.evaluation.ladder` turns the tests into words, `lstmcli.report.verdict` into sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.evaluation.comparison import NUMBERS, Comparison, judged_steps_of, numbered
from lstmcli.evaluation.coverage import check_coverage
from lstmcli.evaluation.direction import UP, Direction, judge_direction
from lstmcli.evaluation.known_dates import KnownDates
from lstmcli.evaluation.ladder import (
    BEATS,
    LOSES,
    NO_VERDICT,
    NOT_ASKED,
    TIES,
    climb,
)
from lstmcli.evaluation.metrics import covered, crps
from lstmcli.evaluation.significance import (
    SIGNIFICANCE,
    ewc,
    false_discovery,
    model_confidence_set,
)
from lstmcli.forecasters.baselines import LADDER
from lstmcli.forecasters.run_recipe import UNTRAINED
from lstmcli.frames import COVERAGES, IDENTITY, of_recipe

__all__ = [
    "BEATS",
    "LOSES",
    "NOT_ASKED",
    "NO_VERDICT",
    "TIES",
    "Verdict",
    "judge",
    "outcomes",
]

Key = tuple[str, bool]
"""A recipe, and whether it is calibrated."""


def outcomes(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of realised forecasts that `judge` reads, one row each.

    The result is small, and tables of different tickers can be concatenated.

    Columns: `recipe calibrated ticker made_on target_on step`, `crps` (log return), `scaled`
    (CRPS in units of volatility; plain CRPS where an older version stored no `unit`), `in50
    in80 in95` (whether the outcome lies in the interval), `median_sign outcome_sign
    usual_sign` (−1, 0, 1; the last is that of the training block, up where it is not known).
    """
    loss = crps(rows)
    scaled = loss / rows["unit"].to_numpy(float) if "unit" in rows else loss
    usual = rows["usual_sign"].to_numpy() if "usual_sign" in rows else np.full(len(rows), UP)
    return pd.DataFrame(
        {
            "recipe": rows["recipe"].astype("category"),
            "calibrated": rows["calibrated"],
            "ticker": rows["ticker"].astype("category"),
            "made_on": rows["made_on"],
            "target_on": rows["target_on"],
            "step": rows["step"].astype(np.int16),
            "crps": loss,
            "scaled": scaled,
            **{f"in{share * 100:.0f}": covered(rows, share) for share in COVERAGES},
            "median_sign": np.sign(rows["q50"].to_numpy(float)).astype(np.int8),
            "outcome_sign": np.sign(rows["realised"].to_numpy(float)).astype(np.int8),
            "usual_sign": usual.astype(np.int8),
        }
    )


@dataclass(frozen=True)
class Verdict:
    """How one recipe compares with the baselines.

    Attributes:
        recipe, calibrated: the one that is judged.
        ladder: one row per baseline: those that are tested, the weakest first, then those
            that are shown. Columns: `baseline`, `tested`, `word` and `why` (see `Rung`; both
            empty where it is only shown), `skill low high p_value` (of CRPS in units of
            volatility, fractions; p two-sided), `freedom` (degrees of freedom),
            `detectable` (the skill found four times out of five), `crps_skill crps_low
            crps_high` (the same of plain CRPS), `loss base_loss` (in units of volatility),
            `crps base_crps` (log returns), `origins`, `forecasts`, `lacking` (forecasts of
            the recipe that the baseline lacks; it is compared on the others).
        table: the same columns from `skill` on for each `baseline` and `step` by itself: for
            information, without a word.
        coverage: `step nominal coverage low high kept`; see `check_coverage`.
        overlaps: by judged step, the dates over which an outcome reaches.
        missing: by step that is not judged, how many more dates it needs.
        alpha: one-sided level of each test; the intervals are at 1 − 2·alpha.
        shared: how many configs and trials share the level of 5 %.
        fits: how often the recipe was fitted for this; None where it was not said.
        confident: the recipes in the model confidence set of all that were given.
        first, last: origins.
        origins, forecasts: of the recipe at the judged steps.
        tickers: how many there are, and how many of them are better and worse than the
            hardest baseline at the shortest step, at a false discovery rate of 5 %.
        dates: how many announcements were known, of a recipe that reads them; else None.
    """

    recipe: str
    calibrated: bool
    ladder: pd.DataFrame
    table: pd.DataFrame
    coverage: pd.DataFrame
    overlaps: Mapping[int, int]
    missing: Mapping[int, int]
    alpha: float
    shared: int
    fits: int | None
    confident: frozenset[Key]
    direction: Direction
    first: pd.Timestamp
    last: pd.Timestamp
    origins: int
    forecasts: int
    tickers: tuple[int, int, int]
    dates: KnownDates | None = None

    @property
    def hardest(self) -> str | None:
        """The last baseline of the ladder that was there; None without any."""
        return _hardest(self.ladder)

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps that are judged."""
        return tuple(self.overlaps)

    @property
    def level(self) -> float:
        """Confidence of every interval but those of coverages."""
        return 1 - 2 * self.alpha

    @property
    def covers(self) -> bool:
        """Whether every interval covers what it promises."""
        return bool(self.coverage["kept"].all())

    def word(self, baseline: str) -> str:
        """Return BEATS, TIES, LOSES, `not asked`, `no verdict`; empty of a baseline only shown."""
        return str(self.ladder.set_index("baseline").loc[baseline, "word"])


def judge(
    of: pd.DataFrame,
    recipes: Sequence[str],
    baselines: Sequence[str],
    *,
    calibrated: bool = False,
    ladder: Sequence[str] = LADDER,
    trials: int = 0,
    fits: int | None = None,
) -> dict[str, Verdict]:
    """Return the verdict on each recipe, by its name.

    Each recipe climbs its own ladder at 5 %/m, m = recipes + trials.

    Args:
        of: `outcomes` of every recipe. Two are compared on the rows that both have.
        recipes: those to judge.
        baselines: those to compare them with; as they are, not calibrated.
        calibrated: whether the recipes are judged calibrated or as they are.
        ladder: baselines that are tested, the weakest first; the others are shown.
        trials: settings that were tried before these recipes were chosen.
        fits: how often each recipe was fitted.
    """
    of = numbered(of)
    shared = len(recipes) + trials
    rungs = [name for name in ladder if name in baselines]
    shown = [name for name in baselines if name not in rungs]
    confident: dict[tuple[int, ...], frozenset[Key]] = {}
    verdicts = {}
    for recipe in recipes:
        own = _rows(of, (recipe, calibrated))
        overlaps, missing = judged_steps_of(own)
        steps = tuple(overlaps)
        if steps not in confident:
            confident[steps] = _confident(of, overlaps)
        verdicts[recipe] = _verdict(
            own,
            {name: _rows(of, (name, False)) for name in (*rungs, *shown, recipe + UNTRAINED)},
            rungs,
            recipe=recipe,
            calibrated=calibrated,
            overlaps=overlaps,
            missing=missing,
            alpha=SIGNIFICANCE / 2 / shared,
            shared=shared,
            fits=fits,
            confident=confident[steps],
        )
    return verdicts


def _verdict(
    own: pd.DataFrame,
    others: Mapping[str, pd.DataFrame],
    rungs: Sequence[str],
    *,
    recipe: str,
    calibrated: bool,
    overlaps: dict[int, int],
    alpha: float,
    **context: Any,
) -> Verdict:
    compared = {name: Comparison(own, base) for name, base in others.items() if len(base)}
    rows: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    tests = {}
    for name, beside in compared.items():
        numbers, test = beside.numbers(overlaps, alpha=alpha)
        rows.append({"baseline": name, "tested": name in rungs, **numbers})
        if name in rungs:
            tests[name] = test
        for step, overlap in overlaps.items():
            numbers, _ = beside.numbers({step: overlap}, alpha=alpha)
            steps.append({"baseline": name, "step": step, **numbers})
    coverage = check_coverage(own, overlaps)
    words = climb(tests, alpha=alpha, covers=bool(coverage["kept"].all()))
    table = pd.DataFrame(rows, columns=["baseline", "tested", *NUMBERS]).astype({"tested": bool})
    for place, what in enumerate(("word", "why"), start=2):
        filled = [getattr(words[n], what) if n in words else "" for n in table["baseline"]]
        table.insert(place, what, filled)
    shortest = int(own["step"].min()) if len(own) else 1
    at_shortest = own[own["step"] == shortest]
    overlap = overlaps.get(shortest, shortest)
    hardest = _hardest(table)
    judged = own[own["step"].isin(list(overlaps))]
    return Verdict(
        recipe=recipe,
        calibrated=calibrated,
        ladder=table,
        table=pd.DataFrame(steps, columns=["baseline", "step", *NUMBERS]),
        coverage=coverage,
        overlaps=overlaps,
        alpha=alpha,
        direction=judge_direction(at_shortest, overlap, alpha=alpha),
        first=own["made_on"].min(),
        last=own["made_on"].max(),
        origins=own["made_on"].nunique(),
        forecasts=len(judged),
        tickers=_by_ticker(own, compared.get(hardest or ""), shortest, overlap),
        **context,
    )


def _rows(of: pd.DataFrame, key: Key) -> pd.DataFrame:
    return of_recipe(of, key[0], calibrated=key[1]).sort_values("row")


def _hardest(ladder: pd.DataFrame) -> str | None:
    rungs = ladder.loc[ladder["tested"] & (ladder["word"] != NO_VERDICT), "baseline"]
    rungs = rungs if len(rungs) else ladder.loc[ladder["tested"], "baseline"]
    return str(rungs.iloc[-1]) if len(rungs) else None


def _confident(of: pd.DataFrame, overlaps: Mapping[int, int]) -> frozenset[Key]:
    """Return the model confidence set over the judged steps, on rows that all have."""
    recipes = of.groupby(list(IDENTITY), observed=True).ngroups
    some = of[of["step"].isin(list(overlaps))]
    some = some[some.groupby("row")["step"].transform("size") == recipes]
    if some.empty:
        return frozenset()
    by_step = some.groupby(["made_on", "step", *IDENTITY], observed=True)["scaled"].mean()
    complete = by_step.unstack(["step", *IDENTITY]).dropna()
    losses = complete.T.groupby(level=list(IDENTITY), observed=True).mean().T
    found = model_confidence_set(losses, max(overlaps.values()))
    return frozenset((str(key[0]), bool(key[1])) for key in found)  # type: ignore[index]


def _by_ticker(
    own: pd.DataFrame, pair: Comparison | None, step: int, overlap: int
) -> tuple[int, int, int]:
    """Return the number of tickers, and how many are better and worse by themselves."""
    count = own["ticker"].nunique()
    if pair is None:
        return count, 0, 0
    rows = pair.rows[pair.rows["step"] == step].sort_values("made_on")
    gains = (rows["base_scaled"] - rows["scaled"]).groupby(rows["ticker"], observed=True)
    tests = [test for _, of in gains if (test := ewc(of.to_numpy(), overlap=overlap))]
    if not tests:
        return count, 0, 0
    significant = false_discovery(np.array([test.p_value for test in tests])) < SIGNIFICANCE
    means = np.array([test.mean for test in tests])
    better, worse = significant & (means > 0), significant & (means < 0)
    return count, int(better.sum()), int(worse.sum())
