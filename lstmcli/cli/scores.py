"""Scores on the terminal and in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lstmcli.cli.screen import wrapped
from lstmcli.cli.terminal import print_table

if TYPE_CHECKING:
    import pandas as pd

_WALK = "random_walk"


def print_block_scores(
    validation: pd.DataFrame,
    test: pd.DataFrame,
    *,
    horizon: int,
    span: tuple[str, str, int],
    scored: tuple[int, int],
) -> None:
    """Print a row for each recipe, and what the numbers are.

    Args:
        validation, test: by `recipe calibrated`: `crps` (log return) and coverages.
        span: first and last origin of the test block, and how often it was used.
        scored: how many tickers the scores are of, and how many there are.
    """
    from lstmcli.report.wording import recipe_name

    rows = []
    for key in test.index:
        of_test = test.loc[key, :]
        cells = [recipe_name(key[0], calibrated=key[1])]
        for block in (validation, test):
            known = key in block.index
            cells += [f"{block.loc[key, 'crps'] * 100:.3f}" if known else ""]
            cells += [_skill(block, key) if known else ""]
        cells += [f"{of_test[f'coverage{level}'] * 100:.1f}" for level in (50, 80, 95)]
        rows.append(cells)
    print_table(["", "valid", "skill", "test", "skill", "50 %", "80 %", "95 %"], rows)
    some, every = scored
    if some < every:
        print(f"\nScored on {some} of {every:,} tickers: more would say the same, later.")
    first, last, times = span
    legend = (
        f"CRPS on validation and test in % of the price, mean of steps 1-{horizon}; lower is "
        f"better. Skill in % against {_WALK}; '80 %' is how often the test outcome lay in that "
        f"cone. Test origins {first} to {last}; this period was evaluated {times} "
        f"time{'s' * (times > 1)} here."
    )
    print(f"\n{wrapped(legend)}\n")


def scores_answer(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return a `summary` for JSON: the metrics of each recipe, by the name that users read."""
    from lstmcli.report.wording import recipe_name

    return {
        recipe_name(row["recipe"], calibrated=row["calibrated"]): {
            name: None if value != value else value for name, value in row.items()
        }
        for row in table.reset_index().to_dict("records")
    }


def _skill(block: pd.DataFrame, recipe: tuple[str, bool]) -> str:
    if recipe == (_WALK, False) or (_WALK, False) not in block.index:
        return ""
    skill = 1 - block.loc[recipe, "crps"] / block.loc[(_WALK, False), "crps"]
    return f"{skill * 100:+.1f}"
