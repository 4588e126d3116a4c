"""Names of recipes as people read them, and every sentence about the live record."""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli.evaluation.ladder import NO_VERDICT
from lstmcli.evaluation.sequences import ALARM, Evidence


def recipe_name(recipe: str, *, calibrated: bool) -> str:
    """Return the name of a recipe as users read it, such as `lstm+calibrated`."""
    return f"{recipe}+calibrated" if calibrated else recipe


def untrained_members(best_epochs: Sequence[int]) -> str:
    """Return how many members of a network no epoch has made better, as a sentence."""
    left = list(best_epochs).count(0)
    return f"{left} of {len(best_epochs)} members stayed at epoch 0, the untrained baseline."


def live_phrase(word: str, evenings: float) -> str:
    """Return a word of the live table as users read it.

    Args:
        evenings: how many more it takes at least until there is another word.
    """
    return f"no verdict: {more_evenings(evenings)}" if word == NO_VERDICT else word


def more_evenings(count: float) -> str:
    """Return for how many evenings somebody has to wait, at least."""
    return f"{count:.0f} more evening{'s' * (count != 1)}"


def coverage_sentence(recipe: str, evidence: Evidence) -> str:
    """Return the evidence against the coverage of a published recipe, as one sentence."""
    recipe = recipe_name(recipe, calibrated=True)
    if evidence.alarmed_on is not None:
        return (
            f"ALARM: the intervals of {recipe} for the next session do not cover what they say "
            f"(evidence {evidence.highest:,.0f}; {ALARM:.0f} was reached on "
            f"{evidence.alarmed_on:%Y-%m-%d})."
        )
    return (
        f"Evidence against the intervals of {recipe} for the next session: {evidence.value:.2f}, "
        f"never above {evidence.highest:.2f}; {ALARM:.0f} would be an alarm."
    )
