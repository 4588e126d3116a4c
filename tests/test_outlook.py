"""What a forecast says first: the sentence that answers, days, ranges, chances, the last one."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from lstmcli.frames import QUANTILE_COLUMNS, QUANTILES
from lstmcli.pipeline.look import what_came
from lstmcli.pipeline.prices import chance_of_rise
from lstmcli.report.outlook import (
    Previous,
    Range,
    chance,
    change_range,
    outlook,
    previous_sentence,
    short_range,
    shown_steps,
    sparkline,
    when,
)

FRIDAY = date(2024, 3, 8)


def ranges(*found: tuple[int, int, float, float]) -> list[Range]:
    """Return ranges of (step, days from Friday on, low, high)."""
    return [Range(step, FRIDAY + timedelta(days), low, high) for step, days, low, high in found]


def test_the_first_sentence_answers():
    month = ranges((1, 3, -0.021, 0.019), (5, 7, -0.05, 0.05), (20, 28, -0.1, 0.104))
    said = outlook(False, month, made_on=FRIDAY, today=FRIDAY)
    assert said == "No sign that it knows the direction. Expect ±2.1 % on Monday, ±10 % in a month."
    said = outlook(True, month, made_on=FRIDAY, today=FRIDAY)
    assert said.startswith("There is evidence that it knows the direction a little. Expect ±2.1 %")
    assert outlook(None, month, made_on=FRIDAY, today=FRIDAY).startswith("No sign that it knows")


def test_an_old_forecast_names_dates():
    month = ranges((1, 3, -0.021, 0.019), (20, 28, -0.1, 0.104))
    said = outlook(False, month, made_on=FRIDAY, today=FRIDAY + timedelta(30))
    assert said.endswith("Expect ±2.1 % on 2024-03-11, ±10 % on 2024-04-05.")


@pytest.mark.parametrize(
    ("found", "end"),
    [
        ([(1, 1, -0.02, 0.02)], "Expect ±2 % tomorrow."),
        (
            [(1, 0, -0.02, 0.02), (3, 5, -0.2, 0.3)],
            "Expect ±2 % today, -20 to +30 % in 3 sessions.",
        ),
        # The session after a month is too far for a first look.
        ([(1, 1, -0.02, 0.02), (20, 20, -0.1, 0.1), (60, 60, -0.3, 0.4)], "±10 % in 20 sessions."),
        (
            [(1, 1, 0.01, 0.04), (5, 7, -0.1, 0.2)],
            "Expect +1 to +4 % tomorrow, -10 to +20 % in a week.",
        ),
    ],
)
def test_the_sentence_takes_any_horizon(found: list, end: str):
    assert outlook(False, ranges(*found), made_on=FRIDAY, today=FRIDAY).endswith(end)


def test_a_day_is_said_as_people_say_it():
    days = {0: "today", 1: "tomorrow", 3: "on Monday", 6: "on Thursday", 7: "on 2024-03-15"}
    days[-1] = "on 2024-03-07"
    assert {n: when(FRIDAY + timedelta(n), FRIDAY) for n in days} == days


def test_a_lopsided_range_keeps_both_ends():
    assert change_range(-0.02, 0.025) == "±2.5 %"
    assert change_range(-0.02, 0.0251) == "-2 to +2.5 %"
    assert change_range(-0.23, 0.413) == "-23 to +41 %"
    assert change_range(-0.0004, 0.0004) == "±0.04 %"
    assert change_range(-0.03, -0.01) == "-3 to -1 %"
    assert short_range(-0.019, 0.021) == "-1.9/+2.1"
    assert short_range(-0.019, 0.1) == "-2/+10"


def test_the_last_step_of_any_horizon_is_shown():
    assert shown_steps(20) == (1, 5, 20)
    assert shown_steps(1) == (1,)
    assert shown_steps(3) == (1, 3)
    assert shown_steps(60) == (1, 5, 20, 60)
    assert shown_steps(60, (1, 5, 10, 20)) == (1, 5, 10, 20, 60)


def test_the_chance_of_a_rise_is_read_off_the_quantiles():
    normal = norm.ppf(QUANTILES)
    (fair, up, far, never, flat) = chance_of_rise(
        np.array([normal, normal + 0.3, normal + 1.5, normal - 3, np.zeros(21)])
    )
    assert fair == pytest.approx(0.5)
    assert up == pytest.approx(norm.cdf(0.3), abs=0.002)
    assert far == pytest.approx(norm.cdf(1.5), abs=0.005)
    assert (never, flat) == pytest.approx((0.025, 0.025))
    assert chance_of_rise(normal[None] + 3) == pytest.approx(0.975)
    # Half of a price that seldom moves lies on zero, which is no rise.
    still = np.where(np.array(QUANTILES) <= 0.75, np.minimum(normal, 0), normal)
    assert chance_of_rise(still[None])[0] == pytest.approx(0.25)
    assert [chance(p) for p in (0.025, 0.031, 0.512, 0.969, 0.975)] == [
        *("<3 %", "3 %", "51 %", "97 %", ">97 %")
    ]


def test_the_chance_is_that_of_a_line_between_two_quantiles():
    quantiles = np.linspace(-1.0, 1.0, 21) + 0.025
    # Zero lies a quarter of the way from q45 (-0.075) to q50 (0.025) ... on a line of its own.
    expected = 1 - np.interp(0.0, quantiles, QUANTILES)
    assert chance_of_rise(quantiles[None])[0] == pytest.approx(expected)


def test_what_was_said_before_is_told_with_what_came():
    last = Previous(FRIDAY, FRIDAY + timedelta(3), 101.2, 105.1, 103.0, issued=True)
    assert last.where == "inside"
    said = previous_sentence(last, today=FRIDAY + timedelta(3))
    assert said == "On Friday it said 101.20 to 105.10; 2024-03-11 closed at 103.00: inside."
    before = Previous(FRIDAY, FRIDAY + timedelta(1), 101.2, 105.1, 101.1, issued=False)
    said = previous_sentence(before, today=FRIDAY + timedelta(1))
    assert said == "Yesterday it would have said 101.20 to 105.10; it closed at 101.10: below."
    old = Previous(FRIDAY, FRIDAY + timedelta(3), 101.2, 105.1, 106.0, issued=True)
    said = previous_sentence(old, today=FRIDAY + timedelta(40))
    assert said == "On 2024-03-08 it said 101.20 to 105.10; 2024-03-11 closed at 106.00: above."


def test_a_sparkline_reaches_from_the_lowest_to_the_highest():
    assert sparkline([1, 2, 3, 8]) == "▁▂▃█"
    assert sparkline([5, 5]) == "▄▄"


DAYS = pd.DatetimeIndex(["2024-03-07", "2024-03-08", "2024-03-11", "2024-03-12"])


def bars(close: list[float], **columns: list[float]) -> pd.DataFrame:
    zeros = {"dividend": 0.0, "split": 0.0}
    return pd.DataFrame({"close": close}, index=DAYS).assign(**(zeros | columns))


def issued(last_close: float, low: float, high: float) -> pd.DataFrame:
    """Return the first row of a forecast from 2024-03-08, in log returns."""
    row = dict.fromkeys(QUANTILE_COLUMNS, 0.0)
    row |= {"made_on": DAYS[1], "target_on": DAYS[2], "last_close": last_close}
    return pd.DataFrame([row | {"lo80": low, "hi80": high}])


def test_the_last_forecast_is_compared_in_the_prices_of_the_bars():
    came = what_came(issued(100.0, -0.02, 0.02), bars([99, 100, 101, 150]), issued=True)
    assert (came.made_on, came.target_on) == (date(2024, 3, 8), date(2024, 3, 11))
    assert (came.low, came.high) == pytest.approx((100 * np.exp(-0.02), 100 * np.exp(0.02)))
    assert (came.close, came.where, came.issued) == (101, "inside", True)
    # Two shares for one since then: the bars count the new ones.
    split = bars([49.5, 50, 50.5, 75], split=[0, 0, 2.0, 0])
    came = what_came(issued(100.0, -0.02, 0.02), split, issued=True)
    assert (came.low, came.close) == pytest.approx((50 * np.exp(-0.02), 50.5))
    # A dividend lowers the close, and what was said with it.
    paid = bars([99, 100, 96.5, 96], dividend=[0, 0, 3.0, 9.0])
    came = what_came(issued(100.0, -0.02, 0.02), paid, issued=True)
    assert (came.low, came.where) == (pytest.approx(97 * np.exp(-0.02)), "inside")


def test_a_last_forecast_from_other_bars_is_not_shown():
    said = issued(100.0, -0.02, 0.02)
    assert what_came(said, bars([99, 103, 101, 101]), issued=True) is None
    assert what_came(said, bars([99, 100, 101, 101]).iloc[:2], issued=True) is None
    assert what_came(said, bars([99, 100, 101, 101]).drop(DAYS[1]), issued=True) is None
