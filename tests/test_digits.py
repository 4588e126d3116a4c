"""Numbers as a person reads them."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcli.digits import five_digits, in_words, told_apart


@pytest.mark.parametrize(
    ("number", "table", "sentence"),
    [
        (2.0389797e-05, "0.000020390", "0.00002039"),
        (509_279.7, "509,280", "509,280"),
        (512_345.6, "512,350", "512,350"),
        (127.125, "127.13", "127.13"),
        (127.1, "127.10", "127.1"),
        (45.79, "45.790", "45.79"),
        (9.99996, "10.000", "10"),
        (99_999.5, "100,000", "100,000"),
        (4.0, "4.0000", "4"),
        (-0.012345678, "-0.012346", "-0.012346"),
        (0.0, "0", "0"),
        (math.nan, "nan", "nan"),
    ],
)
def test_a_number_has_five_significant_digits(number, table, sentence):
    assert (five_digits(number), in_words(number)) == (table, sentence)


@given(st.floats(1e-9, 1e12))
def test_five_digits_hold_the_number_to_one_part_in_ten_thousand(number):
    text = five_digits(number)
    assert re.fullmatch(r"[\d,]+(\.\d+)?", text)
    assert len(text.replace(",", "").replace(".", "").lstrip("0").rstrip("0")) <= 5
    for shown in (text, in_words(number)):
        assert float(shown.replace(",", "")) == pytest.approx(number, rel=5.01e-5)


def test_two_numbers_that_look_alike_are_shown_in_full():
    assert told_apart(127.125001, 127.125002) == ("127.125001", "127.125002")
    assert told_apart(0.77, 0.75) == ("0.77", "0.75")
