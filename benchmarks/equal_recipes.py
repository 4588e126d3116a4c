"""Simulate how often a backtest of ten recipes claims a BEATS that is false.

    python benchmarks/equal_recipes.py

Writes results/equal_recipes.csv: 400 backtests of ten recipes beside the six baselines of
the ladder, judged as `lstm backtest` judges them. Either all sixteen are equally good, or the
baselines become better along the ladder and each recipe is as good as one of them: then
whatever it claims to beat above its own rung, or on it, is false. Losses of a date have a
common part (20 %), and a part of each recipe's own (3 %) that lasts for sessions.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from lstmcli.evaluation.ladder import BEATS, climb
from lstmcli.evaluation.significance import SIGNIFICANCE, skill_test
from lstmcli.forecasters.baselines import LADDER

OUTPUT = Path(__file__).parent.parent / "results" / "equal_recipes.csv"

SEED = 20260102
RECIPES = 10
DATES = 1000
COMMON, OWN = 0.20, 0.03
"""Standard deviations of the loss of a date and of the part that a recipe has of its own."""
PERSISTENCE = (0.0, 0.9, 0.98)
STEP_UP = 0.01
"""How much lower, as a share, the loss of a baseline is than that of the one before."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backtests", type=int, default=400)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    found = []
    for strength in ("equal", "different"):
        for persistence in PERSISTENCE:
            generator = np.random.default_rng(
                [SEED, strength == "different", round(100 * persistence)]
            )
            false = np.array(
                [
                    false_claims(generator, strength, persistence)
                    for _ in range(arguments.backtests)
                ]
            )
            share, alone = false.mean(0)
            found.append(
                {
                    "recipes": RECIPES,
                    "strength": strength,
                    "phi": persistence,
                    "backtests": arguments.backtests,
                    "any_false_beats": share,
                    "error": np.sqrt(share * (1 - share) / arguments.backtests),
                    "without_sharing_the_level": alone,
                    "lstmcli": version("lstmcli"),
                }
            )
            print(found[-1], flush=True)
    table = pd.DataFrame(found)
    table.to_csv(arguments.output, index=False, lineterminator="\n", float_format="%.4g")


def false_claims(
    generator: np.random.Generator, strength: str, persistence: float
) -> tuple[bool, bool]:
    """Return whether any of ten recipes falsely BEATS, at 5 %/10 and at 5 % each."""
    rungs = len(LADDER)
    level = np.zeros(rungs) if strength == "equal" else -STEP_UP * np.arange(rungs)
    rung_of = np.arange(RECIPES) % rungs
    noise = generator.standard_normal((DATES + 200, RECIPES + rungs))
    own = lfilter([np.sqrt(1 - persistence**2)], [1, -persistence], noise, axis=0)[200:]
    common = COMMON * generator.standard_normal((DATES, 1))
    losses = 1 + np.r_[level[rung_of], level] + common + OWN * own
    false = np.zeros(2, bool)
    for recipe in range(RECIPES):
        tests = {
            name: skill_test(losses[:, recipe], losses[:, RECIPES + rung])
            for rung, name in enumerate(LADDER)
        }
        for place, shared in enumerate((RECIPES, 1)):
            words = climb(tests, alpha=SIGNIFICANCE / 2 / shared, covers=True)
            not_better = LADDER if strength == "equal" else LADDER[rung_of[recipe] :]
            false[place] |= any(words[name].word == BEATS for name in not_better)
    return bool(false[0]), bool(false[1])


if __name__ == "__main__":
    main()
