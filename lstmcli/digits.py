"""Numbers and ages as a person reads them: five significant digits, and never an exponent."""

from __future__ import annotations

from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal

DIGITS = 5
"""Significant digits of a price or a quantity wherever a person reads one."""


def five_digits(number: float) -> str:
    """Return a number for a table: 127.10, 45.790, 0.000020390, 509,280.

    Zeros at the end stay, so that numbers of one size stand under each other. Halves are
    rounded away from zero, as on paper: 127.125 is 127.13.
    """
    exact = Decimal(repr(float(number)))
    if not exact.is_finite():
        return str(number)
    if not exact:
        return "0"
    rounded = _rounded(exact)
    # 9.99996 has one digit more before the point once it is rounded.
    rounded = _rounded(rounded) if rounded.adjusted() > exact.adjusted() else rounded
    return f"{rounded:,f}"


def in_words(number: float) -> str:
    """Return a number for a sentence: 127.1, 45.79, 0.00002039, 509,280, 4."""
    return _without_zeros(five_digits(number))


def age_in_words(age: timedelta) -> str:
    """Return an age in its natural unit: 40 minutes, 36.5 hours, 3.2 days, 62 days."""
    minutes = age.total_seconds() / 60
    if minutes < 120:
        return _counted(round(minutes), "minute")
    if minutes <= 48 * 60:
        return _counted(round(minutes / 60, 1), "hour")
    days = minutes / (24 * 60)
    return _counted(round(days, 1) if days < 10 else round(days), "day")


def _counted(number: float, unit: str) -> str:
    return f"{in_words(number)} {unit}{'s' * (number != 1)}"


def told_apart(old: float, new: float) -> tuple[str, str]:
    """Return two numbers for a sentence, with more digits where five show no difference."""
    if old != new and in_words(old) == in_words(new):
        return _in_full(old), _in_full(new)
    return in_words(old), in_words(new)


def _in_full(number: float) -> str:
    return _without_zeros(f"{Decimal(repr(float(number))):,f}")


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _rounded(number: Decimal) -> Decimal:
    last = Decimal(1).scaleb(number.adjusted() - DIGITS + 1)
    return (number / last).quantize(Decimal(1), ROUND_HALF_UP) * last
