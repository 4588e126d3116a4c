"""Whether bars delivered anew are those of the security whose bars are stored.

A symbol may mean another company one day. A restated history keeps the returns of most
sessions: a split or another unit multiplies all closes by one ratio, a correction changes
a few. Bars of another company keep neither.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lstmcli.digits import in_words
from lstmcli.sources.update import MAX_CORRECTION

MAX_DRIFT = 1e-3
"""Relative difference between two ratios of closes that are one ratio."""

MAX_TICK = 0.01
"""Relative size up to which a tick counts as rounding: cheap shares move by large ticks."""

SHARE_OF_USUAL = 0.05
"""Up to this share of a usual return two returns are the same: sources differ a little."""

MIN_AGREEING = 0.5
"""Fraction of sessions that must agree. Of another company one in fifteen does by chance."""

FEW, MIN_AGREEING_OF_FEW = 20, 0.7
"""Of fewer common sessions more must agree, as chance has more to say."""

MIN_TELLING = 3
"""Common sessions from which on they tell their ratio; of fewer, splits must state it."""

MIN_CONSTANT = 0.95
"""Fraction of sessions whose closes one ratio must explain, where there is a doubt."""

RECENT = 60
"""Last common sessions, which must agree too: it is there that new bars join."""


def why_not_joined(
    stored: pd.DataFrame,
    fresh: pd.DataFrame,
    *,
    doubts: Sequence[str] = (),
    new_currency: bool = False,
) -> str | None:
    """Return why new bars do not join the stored ones, or None if they do.

    Args:
        stored: bars.
        fresh: bars, at least one.
        doubts: what else has changed, such as the exchange. Then one ratio must explain
            the closes of nearly all common sessions.
        new_currency: whether the currency has changed. Then the ratio must be 1 or another
            power of ten, as of pence that are called pounds from now on.
    """
    both = stored.index.intersection(fresh.index)
    said = "".join(f"; {doubt}" for doubt in doubts)
    if both.empty:
        return f"stored are {_span(stored)}, new are {_span(fresh)}, with no session in both{said}"
    old, new = stored["close"].loc[both], fresh["close"].loc[both]
    stated = _stated_ratio(stored, fresh) if len(both) < MIN_TELLING else None
    constant = _at_one_ratio(old, new, stated)
    told, equal = _with_equal_returns(old, new)
    # Where nothing moved, levels are all that there is to compare.
    strict = bool(doubts) or stated is not None or not told.any()
    # Beside a corrected close no return is the same: of few sessions that may be many.
    few = len(both) < FEW
    agrees = constant if strict else equal | (constant & few)
    needed = MIN_AGREEING_OF_FEW if few else MIN_AGREEING
    needed = MIN_CONSTANT if strict else needed
    evidence = np.flatnonzero(told | (constant & few) | strict)
    for part in (evidence, evidence[evidence >= len(both) - RECENT]):
        if not len(part) or agrees[part].mean() < needed:
            wrong = part[~agrees[part]] if len(part) else np.array([len(both) - 1])
            session = both[wrong[-1]]
            return (
                f"{len(wrong):,} of {len(part) or 1:,} closes in both disagree as no split, "
                f"dividend or constant ratio explains, last on {session:%Y-%m-%d}: "
                f"{in_words(old[session])}, now {in_words(new[session])}{said}"
            )
    power = np.log10(new / old).median()
    if new_currency and abs(power - round(power)) > MAX_DRIFT:
        return f"every close is {in_words(10**power)} times the stored one, as in no new unit{said}"
    return None


def has_one_scale(stored: pd.DataFrame, fresh: pd.DataFrame) -> bool:
    """Return whether nearly all common closes are the same but for rounding."""
    both = stored.index.intersection(fresh.index)
    old, new = stored["close"].loc[both], fresh["close"].loc[both]
    same = np.abs(np.log(new / old)) <= MAX_DRIFT + _rounding(old) + _rounding(new)
    return bool(len(both)) and same.mean() >= MIN_CONSTANT


def _stated_ratio(stored: pd.DataFrame, fresh: pd.DataFrame) -> float:
    """Return the ratio of new to stored closes that splits state, which were not known."""
    known = stored["split"].reindex(fresh.index).fillna(0.0)
    new = fresh["split"][(fresh["split"] > 0) & (fresh["split"] != known)]
    return float(1 / new.prod())  # 1 without a new split


def _at_one_ratio(old: pd.Series, new: pd.Series, ratio: float | None) -> np.ndarray:
    """Return for each session whether its closes stand in the ratio of all of them."""
    logs = np.log(new / old).to_numpy()
    slack = MAX_DRIFT + _rounding(old) + _rounding(new)
    if ratio is not None:
        return np.abs(logs - np.log(ratio)) <= np.maximum(slack, MAX_CORRECTION)
    return np.abs(logs - np.median(logs)) <= slack


def _with_equal_returns(old: pd.Series, new: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return for each session whether a return beside it tells something, and is the same.

    That two shares did not move tells nothing: cheap shares often do not.
    """
    old_steps, new_steps = (np.diff(np.log(close.to_numpy())) for close in (old, new))
    usual = 1.4826 * np.median(np.abs(old_steps)) if len(old_steps) else 0.0
    slack = _rounding(old) + _rounding(new)
    allowed = slack[1:] + slack[:-1] + SHARE_OF_USUAL * usual
    moved = np.maximum(np.abs(old_steps), np.abs(new_steps)) > allowed
    equal = moved & (np.abs(new_steps - old_steps) <= allowed)
    return _beside(moved), _beside(equal)


def _beside(steps: np.ndarray) -> np.ndarray:
    """Return for each session whether the step to it or from it is marked."""
    padded = np.concatenate(([False], steps, [False]))
    return padded[1:] | padded[:-1]


def _rounding(close: pd.Series) -> np.ndarray:
    """Return for each session by how much its close may have been rounded, relative to it."""
    values = close.to_numpy()
    for decimals in range(5):
        if np.allclose(values, values.round(decimals), rtol=1e-9, atol=0):
            return np.minimum(0.5 * 10.0**-decimals / values, MAX_TICK)
    return np.zeros(len(values))


def _span(bars: pd.DataFrame) -> str:
    return f"{bars.index[0]:%Y-%m-%d} to {bars.index[-1]:%Y-%m-%d}"
