"""The ladder: where it stops on the way up and down, and what it says of the rest."""

from __future__ import annotations

import pytest

from lstmcli.evaluation.ladder import (
    BEATS,
    CONSTANT,
    EQUAL,
    LOSES,
    NO_VERDICT,
    NOT_ASKED,
    SMALL,
    TIES,
    UNCOVERED,
    climb,
)
from lstmcli.evaluation.significance import Test as MeanTest

FREEDOM = 20
BETTER = MeanTest(0.02, 0.005, FREEDOM)
EVEN = MeanTest(0.002, 0.005, FREEDOM)
WORSE = MeanTest(-0.02, 0.005, FREEDOM)


def words(*tests: MeanTest | None, alpha: float = 0.025, covers: bool = True) -> list[str]:
    names = {f"rung {number}": test for number, test in enumerate(tests)}
    found = climb(names, alpha=alpha, covers=covers)
    assert list(found) == list(names)
    return [rung.word for rung in found.values()]


def test_up_to_the_first_rung_that_is_not_passed():
    assert words(BETTER, BETTER, EVEN, EVEN) == [BEATS, BEATS, TIES, TIES]
    assert words(BETTER, BETTER, BETTER) == [BEATS, BEATS, BEATS]
    # Its own test would be passed; but the way there ended before.
    assert words(BETTER, EVEN, BETTER) == [BEATS, TIES, NOT_ASKED]


def test_down_to_the_first_rung_that_is_not_lost():
    assert words(BETTER, EVEN, WORSE, WORSE) == [BEATS, TIES, LOSES, LOSES]
    assert words(WORSE, WORSE) == [LOSES, LOSES]
    # Worse than the weakest and not than the hardest: said, and not claimed.
    assert words(WORSE, EVEN, EVEN) == [NOT_ASKED, TIES, TIES]
    assert words(EVEN, WORSE, EVEN, WORSE) == [TIES, NOT_ASKED, TIES, LOSES]


def test_a_rung_without_a_test_is_skipped():
    assert words(BETTER, None, BETTER, None) == [BEATS, NO_VERDICT, BEATS, NO_VERDICT]
    assert words(None, WORSE, None) == [NO_VERDICT, LOSES, NO_VERDICT]
    assert words(None, None) == [NO_VERDICT, NO_VERDICT]
    assert words() == []


@pytest.mark.parametrize(
    ("test", "covers", "why"),
    [
        (MeanTest(0.0009, 0.0001, FREEDOM), True, SMALL),
        (BETTER, False, UNCOVERED),
        (MeanTest(0.0, 0.0, FREEDOM), True, EQUAL),
        (MeanTest(0.02, 0.0, FREEDOM), True, CONSTANT),
        (MeanTest(-0.02, 0.0, FREEDOM), True, CONSTANT),
    ],
)
def test_a_rung_that_is_not_passed_for_another_reason_says_so(
    test: MeanTest, covers: bool, why: str
):
    (rung, _) = climb({"a": test, "b": EVEN}, alpha=0.025, covers=covers).values()
    assert (rung.word, rung.why) == (TIES, why)


def test_a_loss_too_small_to_matter_is_none():
    assert words(MeanTest(-0.0009, 0.0001, FREEDOM)) == [TIES]
    assert words(MeanTest(-0.0011, 0.0001, FREEDOM)) == [LOSES]


def test_who_shares_the_level_needs_more():
    close = MeanTest(0.0115, 0.005, FREEDOM)  # p = 0.016, one-sided
    assert words(close) == [BEATS]
    assert words(close, alpha=0.0025) == [TIES]
    lost = MeanTest(-0.0115, 0.005, FREEDOM)
    assert words(lost) == [LOSES]
    assert words(lost, alpha=0.0025) == [TIES]
