"""The ladder: a recipe is tested against baselines in a fixed order, up and down.

The order is that of the baselines, from the weakest to the hardest, and no score changes it.
A test is made only where the one before it succeeded, so that each may use the whole level:
the chance of any false BEATS is that of a single test.

Source: Maurer, Hothorn, Lehmacher (1995), Multiple comparisons in drug clinical trials and
preclinical assays: a-priori ordered hypotheses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lstmcli.evaluation.significance import Test

BEATS, TIES, LOSES = "BEATS", "TIES", "LOSES"
NOT_ASKED, NO_VERDICT = "not asked", "no verdict"

MIN_SKILL = 0.001
"""A loss that differs by less than a tenth of a percent makes no difference in use."""

EQUAL, CONSTANT, SMALL, UNCOVERED = "equal", "constant", "small", "coverage"
"""Why a rung is not passed, where it is not for the test."""


@dataclass(frozen=True)
class Rung:
    """What the ladder says of one baseline.

    Attributes:
        word: BEATS, TIES (its own test tells the two apart in neither direction), LOSES,
            `not asked` (its own test would tell the two apart, but the way there ended
            before) or `no verdict` (there are too few dates).
        why: why it does not beat although the test is passed (`small`, `coverage`), or why
            there is nothing to test (`equal` losses, a `constant` difference); else empty.
    """

    word: str
    why: str = ""


def climb(tests: Mapping[str, Test | None], *, alpha: float, covers: bool) -> dict[str, Rung]:
    """Return the word on each rung.

    Up: from the first rung on, as long as the one-sided test is passed, the skill is 0.1 %
    or more, and the cones cover. Down: from the last rung on, as long as the recipe loses
    as clearly. A rung without a test is skipped.

    Args:
        tests: of the skill against each baseline, the weakest first; None without enough dates.
        alpha: one-sided level of each test.
        covers: whether the intervals of the recipe cover what they promise.
    """
    found = {name: Rung(NO_VERDICT) for name, test in tests.items() if test is None}
    asked = {name: test for name, test in tests.items() if test is not None}
    for name, test in asked.items():
        found[name] = _upwards(test, alpha, covers)
        if found[name].word != BEATS:
            break
    for name in reversed(asked):
        test = asked[name]
        if not (test.p_below < alpha and test.mean <= -MIN_SKILL):
            found.setdefault(name, _apart(test, alpha))
            break
        found[name] = Rung(LOSES)
    for name, test in asked.items():
        found.setdefault(name, _apart(test, alpha))
    return {name: found[name] for name in tests}


def _upwards(test: Test, alpha: float, covers: bool) -> Rung:
    if test.error == 0 or test.p_above >= alpha:
        return _apart(test, alpha)
    if test.mean < MIN_SKILL:
        return Rung(TIES, SMALL)
    return Rung(BEATS) if covers else Rung(TIES, UNCOVERED)


def _apart(test: Test, alpha: float) -> Rung:
    """Return the word on a rung that is neither beaten nor lost to on the way."""
    if test.error == 0:
        return Rung(TIES, CONSTANT if test.mean else EQUAL)
    apart = min(test.p_above, test.p_below) < alpha and abs(test.mean) >= MIN_SKILL
    return Rung(NOT_ASKED if apart else TIES)
