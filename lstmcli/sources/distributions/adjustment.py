"""The factor between an adjusted close and the close, told from rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MIN_SLACK = 5e-6
"""Half of the smallest step that can be a dividend, as a fraction of the price."""

MAX_DECIMALS = 9

# The steps between rounded numbers are triangular: quantiles as fractions of the largest.
_STEPS = {level: 1 - np.sqrt(1 - level) for level in (0.5, 0.9)}

_FLOAT32 = 2.0**-24
_MIN_SAMPLE = 100  # steps, for an estimate of their rounding
_MAX_GLITCH = 3  # sessions of an adjusted close that is wrong and returns
MAX_FALL = 0.005
"""A fall of the factor beyond this is no rounding, as a log step."""


def half_steps(values: np.ndarray) -> np.ndarray:
    """Return by how much rounding can have changed each value (T,).

    The decimals are those that nearly all values are written with. Prices were 32-bit
    numbers at many a source, whatever they are written with.
    """
    step = 0.5 * 10.0 ** -_decimals(values[np.isfinite(values)])
    return np.fmax(step, np.abs(values) * _FLOAT32)


def _decimals(values: np.ndarray) -> int:
    """Return with how many decimals nearly all values (T,) are written."""
    for count in range(MAX_DECIMALS):
        off = np.abs(values - np.round(values, count)) > 1e-9 * np.maximum(1, np.abs(values))
        if off.mean() <= 0.01:  # some files have a few values of another origin
            return count
    return MAX_DECIMALS


@dataclass(frozen=True)
class Adjustment:
    """How an adjusted close relates to the close.

    Attributes:
        level: (T,) ln(adjusted / close) without its rounding: constant between steps.
        slack: (T,) by how much rounding can have changed it.
        rounding: (T,) rounding of the adjusted close alone, as a fraction of it.
    """

    level: np.ndarray
    slack: np.ndarray
    rounding: np.ndarray

    @property
    def says_something(self) -> bool:
        """Whether the adjusted close differs from the close by more than rounding."""
        return bool((np.abs(self.level) > self.slack).any())

    @property
    def steps(self) -> np.ndarray:
        """The steps (T,) of the level, 0 where it stays and in the first row."""
        return np.diff(self.level, prepend=self.level[:1])


def adjustment(adjusted: np.ndarray, close: np.ndarray) -> Adjustment:
    """Return the piecewise constant factor between two columns (T,).

    A new piece starts only where no constant fits the rows within their rounding. So
    noise makes no steps, and the steps add up to the factor from end to end.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        known = np.isfinite(adjusted) & (adjusted > 0)
        ratio = np.log(np.where(known, adjusted, np.nan) / close)
        rounding = half_steps(adjusted) / adjusted
    slack = np.maximum(_slack(ratio, adjusted, close, rounding, known), MIN_SLACK)
    level = np.zeros(len(close))
    rows = np.flatnonzero(known)
    if len(rows):
        fitted = _levels(ratio[rows], slack[rows])
        place = np.maximum(np.searchsorted(rows, np.arange(len(close)), side="right") - 1, 0)
        level = fitted[place]
        slack = np.where(known, slack, slack[rows].max())
    return Adjustment(level, slack, np.where(known, rounding, 0.0))


def _slack(
    ratio: np.ndarray,
    adjusted: np.ndarray,
    close: np.ndarray,
    rounding: np.ndarray,
    known: np.ndarray,
) -> np.ndarray:
    """Return what rounding explains (T,): of the adjusted close, of both, or more.

    Some sources round the close first and adjust it then. What the columns cannot
    explain is measured: most steps are noise, because dividends are rare.
    """
    both = rounding + half_steps(close) / close
    moving = known & (adjusted != close)
    pairs = np.flatnonzero(moving[1:] & moving[:-1]) + 1
    if len(pairs) < _MIN_SAMPLE:
        return both
    size = np.abs(ratio[pairs] - ratio[pairs - 1])
    # A sample may exceed what it comes from. Too much slack does the lesser harm.
    for slack, most in ((rounding, 1.0), (both, 1.25)):
        shares = size / (slack[pairs] + slack[pairs - 1])
        share = max(np.quantile(shares, level) / usual for level, usual in _STEPS.items())
        if share <= most:
            return slack * 1.05
    return both * share * 1.5


def _levels(ratio: np.ndarray, slack: np.ndarray) -> np.ndarray:
    """Return the level (T,) of each row: as few pieces as the slack allows."""
    low, high = ratio - slack, ratio + slack
    starts = _starts(low, high)
    keep = _without_glitches(ratio, slack, starts)
    if not keep.all():
        rows = np.flatnonzero(keep)
        inner = _levels(ratio[rows], slack[rows])
        return inner[np.maximum(np.searchsorted(rows, np.arange(len(keep)), side="right") - 1, 0)]
    starts, level = _rising(starts, ratio, slack**-2, low, high)
    return np.repeat(level, np.diff([*starts, len(ratio)]))


def _starts(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the first row of each piece: as late as the ranges of its rows allow."""
    starts, row, count = [0], 0, len(low)
    floor, ceiling, size = -np.inf, np.inf, 64
    while row < count:
        end = min(count, row + size)
        floors = np.maximum.accumulate(np.maximum(low[row:end], floor))
        ceilings = np.minimum.accumulate(np.minimum(high[row:end], ceiling))
        apart = floors > ceilings
        if apart.any():
            row += int(apart.argmax())
            starts.append(row)
            floor, ceiling, size = -np.inf, np.inf, 64
        else:
            floor, ceiling, row, size = floors[-1], ceilings[-1], end, size * 2
    return np.array(starts)


def _without_glitches(ratio: np.ndarray, slack: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return which rows count: not those of a short piece after which the level returns."""
    keep = np.ones(len(ratio), bool)
    ends = np.append(starts[1:], len(ratio))
    for piece in range(1, len(starts) - 1):
        start, end = starts[piece], ends[piece]
        back = abs(ratio[end] - ratio[start - 1]) <= slack[end] + slack[start - 1]
        away = abs(ratio[start] - ratio[start - 1]) > slack[start] + slack[start - 1]
        if end - start <= _MAX_GLITCH and back and away:
            keep[start:end] = False
    return keep


def _rising(
    starts: np.ndarray, ratio: np.ndarray, weight: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return pieces and their levels; falls and steps too small are averaged out."""
    total = np.add.reduceat(weight, starts)
    level = np.add.reduceat(ratio * weight, starts) / total
    level = np.clip(level, np.maximum.reduceat(low, starts), np.minimum.reduceat(high, starts))
    while (small := np.flatnonzero(_is_small(np.diff(level)))).size:
        piece = int(small[0])
        pair = slice(piece, piece + 2)
        level[piece] = np.average(level[pair], weights=total[pair])
        total[piece] = total[pair].sum()
        starts, level, total = (np.delete(values, piece + 1) for values in (starts, level, total))
    return starts, level


def _is_small(steps: np.ndarray) -> np.ndarray:
    return (steps < 2 * MIN_SLACK) & (steps > -MAX_FALL)
