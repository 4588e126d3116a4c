"""Simulate how often a backtest of ten recipes claims a BEATS that is false.

    python benchmarks/equal_recipes.py

Writes results/equal_recipes.csv: 400 backtests of ten recipes beside the six baselines of
the ladder, on 20 simulated tickers and 1,000 dates, judged as `lstm backtest` judges them.
The recipes are those of benchmarks/sizes.py: each misses the scale of the distribution by an
error of its own. Either all sixteen errors are equally large. Or they become smaller along
the ladder, and each recipe is as good as one of the baselines: then whatever it claims to
beat on its own rung or above is false.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from sizes import ERROR, PERSISTENCE, Simulation

from lstmcli.evaluation.ladder import BEATS, climb
from lstmcli.evaluation.significance import SIGNIFICANCE, skill_test
from lstmcli.forecasters.baselines import LADDER

OUTPUT = Path(__file__).parent.parent / "results" / "equal_recipes.csv"

SEED = 20260102
RECIPES = 10
TICKERS = 20
DATES = 1000
STEPS = (1, 5, 10, 20)
WEAKEST = 0.30
"""Error of the first rung's log scale where rungs differ; the last one's is `ERROR`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backtests", type=int, default=400)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    found = []
    for strength, weakest in (("equal", ERROR), ("different", WEAKEST)):
        errors = np.linspace(weakest, ERROR, len(LADDER))
        for phi in PERSISTENCE:
            generator = np.random.default_rng([SEED, strength == "equal", round(100 * phi)])
            false = [false_claims(generator, errors, phi) for _ in range(arguments.backtests)]
            share, alone = np.mean(false, axis=0)
            found.append(
                {
                    "recipes": RECIPES,
                    "strength": strength,
                    "phi": phi,
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
    generator: np.random.Generator, errors: np.ndarray, phi: float
) -> tuple[bool, bool]:
    """Return whether any of ten recipes falsely BEATS, at 5 %/10 and at 5 % each.

    Args:
        errors: of the log scale of each rung, which ten recipes repeat.
    """
    world = Simulation(generator, DATES, TICKERS, STEPS)
    rung_of = np.arange(RECIPES) % len(errors)
    # In units of volatility, the mean over steps.
    recipes, rungs = (
        [world.losses(generator, phi, error)[1].mean(0) for error in of]
        for of in (errors[rung_of], errors)
    )
    false = [False, False]
    for own, rung in zip(recipes, rung_of, strict=True):
        tests = {
            name: skill_test(own, base, overlap=max(STEPS))
            for name, base in zip(LADDER, rungs, strict=True)
        }
        not_better = LADDER if np.ptp(errors) == 0 else LADDER[rung:]
        for place, shared in enumerate((RECIPES, 1)):
            words = climb(tests, alpha=SIGNIFICANCE / 2 / shared, covers=True)
            false[place] |= any(words[name].word == BEATS for name in not_better)
    return false[0], false[1]


if __name__ == "__main__":
    main()
