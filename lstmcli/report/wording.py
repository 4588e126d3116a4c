"""Names of recipes as people read them, and every sentence about the live record."""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli.evaluation.ladder import NO_VERDICT
from lstmcli.evaluation.live import ALARM, MIN_OUTCOMES, Evidence


def recipe_name(recipe: str, *, calibrated: bool) -> str:
    """Return the name of a recipe as users read it, such as `lstm+calibrated`."""
    return f"{recipe}+calibrated" if calibrated else recipe


def untrained_members(best_epochs: Sequence[int]) -> str:
    """Return how many members of a network no epoch has made better, as a sentence."""
    left = list(best_epochs).count(0)
    return f"{left} of {len(best_epochs)} members stayed at epoch 0, the untrained baseline."


def live_phrase(word: str) -> str:
    """Return a word of the live table as users read it."""
    return f"no verdict before {MIN_OUTCOMES}" if word == NO_VERDICT else word


def coverage_lines(recipe: str, evidence: Evidence) -> str:
    """Return the evidence against the coverage of a published recipe, in two lines."""
    recipe = recipe_name(recipe, calibrated=True)
    if evidence.alarmed_on is not None:
        return (
            f"ALARM: the intervals of {recipe} do not cover what they say\n"
            f"(evidence {evidence.highest:,.0f}, {ALARM:.0f} reached on "
            f"{evidence.alarmed_on:%Y-%m-%d})"
        )
    return (
        f"Evidence against the coverage of {recipe}: {evidence.value:.2f},\n"
        f"never above {evidence.highest:.2f}; {ALARM:.0f} would be an alarm."
    )


def coverage_sentence(recipe: str, evidence: Evidence) -> str:
    """Return the evidence against the coverage of a published recipe, as one sentence."""
    recipe = recipe_name(recipe, calibrated=True)
    if evidence.alarmed_on is not None:
        return (
            f"ALARM: the intervals of {recipe} do not cover what they say (evidence "
            f"{evidence.highest:,.0f}, since {evidence.alarmed_on:%Y-%m-%d}; "
            f"{ALARM:.0f} is the limit)."
        )
    return (
        f"No evidence against the coverage of {recipe}: {evidence.value:.2f}, and never "
        f"above {evidence.highest:.2f}; {ALARM:.0f} would be an alarm."
    )
