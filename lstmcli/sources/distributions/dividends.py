"""Stated dividends against what prices and an adjusted close say of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.sources.base import PRICES
from lstmcli.sources.checks.faults import listed
from lstmcli.sources.distributions.splits import Overnight, Splits

STRONG = 7.0
"""Log-likelihood ratio from which a statement is not taken as it stands: 1 in 1,000."""

_AGREES = 0.1  # of a dividend: sources adjust by slightly different formulas
_TINY = 5e-4  # a dividend of five hundredths of a percent is hardly ever paid
_FEW = 10  # sessions, too few to judge by
_MAX_LOSS = 8.0  # one night of news must not decide
_HUGE = 0.15  # a usual dividend beyond that share of the price is in another unit
_LARGE, _SMALL = 0.03, 1e-3  # what usual dividends lie between, as a share of the price
_COMPUTED = 10.0  # weight of prices that were computed until the last dividend


@dataclass(frozen=True)
class Verdict:
    """Dividends (T,) as they count, notes, and whether evidence was wanting."""

    dividend: np.ndarray
    notes: tuple[str, ...] = ()
    doubtful: bool = False


def with_gains(
    table: pd.DataFrame, night: Overnight, implied: np.ndarray | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return dividends (T,) with the capital gains of funds, each counted once.

    Yahoo lists a gain on its own, and for many funds in the dividend too.
    """
    dividend = _column(table, "dividend")
    gains = _column(table, "gains")
    rows = np.flatnonzero(gains)
    rows = rows[rows > 0]
    if not len(rows):
        return dividend + gains, ()
    both = dividend + gains
    if (dividend[rows] < gains[rows] * (1 - 1e-6)).all():
        return both, ()  # too little for the gain to be inside
    inside = np.where(gains > 0, np.maximum(dividend, gains), dividend)
    if implied is not None and implied[rows].any():
        odds = np.abs(both - implied)[rows].sum() - np.abs(inside - implied)[rows].sum()
    else:
        before = table["close"].shift().to_numpy()
        odds = _loss(night, both / before, rows) - _loss(night, inside / before, rows)
        if abs(odds) < 3.0:
            odds = 1.0  # dividends of that size hold the gain, as a rule
    if odds <= 0:
        return both, ()
    return inside, (
        f"{len(rows)} capital gains were counted once: the dividend of their day holds them",
    )


def stated_dividends(
    table: pd.DataFrame,
    stated: np.ndarray,
    splits: Splits,
    night: Overnight,
    implied: np.ndarray | None,
    *,
    in_hundredths: bool = False,
) -> Verdict:
    """Return the dividends in the unit and the shares of the prices.

    Args:
        table: split-adjusted prices.
        stated: (T,) dividends per share, in an unknown unit, of then or of now.
        splits: the stated ones.
        night: overnight returns.
        implied: (T,) dividends by the adjusted close; None if it says nothing.
        in_hundredths: whether prices are in pence or the like.
    """
    scaled = stated / splits.before(len(table), splits.left_in)
    # The return of the first row is not known.
    rows = np.flatnonzero(scaled)
    rows = rows[rows > 0]
    if not len(rows) and implied is None:
        return Verdict(scaled, doubtful=bool(scaled.any()))
    readings = _readings(len(table), splits)
    yields = scaled / table["close"].shift().to_numpy()
    # An adjusted close that follows from the same statement is no evidence for it.
    alike = implied is None or (implied[rows] < 2 * scaled[rows]).mean() > 0.5
    if in_hundredths and len(rows) and alike and np.median(yields[rows]) < _TINY:
        return Verdict(scaled * 100, (_LARGE_UNIT.format(count=len(rows)),), doubtful=True)
    if implied is not None:
        return _by_adjusted(table, scaled, readings, night, implied)
    if night.rests:  # a price that rests shows no dividend
        return Verdict(scaled, doubtful=True)
    usual = _loss(night, yields, rows)
    odds = {name: usual - _loss(night, yields * times, rows) for name, times in readings.items()}
    odds[_ALREADY] += _COMPUTED * _are_computed(table, splits, rows)
    if np.median(yields[rows]) > _HUGE:
        del odds[_ALREADY]  # no price adjusts to that
    # Of usual dividends the unit is right: a price that did not fall has another reason.
    if np.median(yields[rows]) < _LARGE:
        del odds[_SMALL_UNIT]
    if np.median(yields[rows]) > _SMALL:
        del odds[_LARGE_UNIT]
    best = max(odds, key=odds.__getitem__)
    if odds[best] < STRONG:
        # Odds against another reading are evidence too; without either it stays open.
        return Verdict(scaled, doubtful=max(odds.values()) > -STRONG)
    return Verdict(scaled * readings[best], (best.format(count=len(rows)),))


_LARGE_UNIT = (
    "{count} dividends were stated in a unit 100 times that of the prices, and were converted"
)
_SMALL_UNIT = (
    "{count} dividends were stated in a hundredth of the unit of the prices, and were converted"
)
_ALREADY = "Close is adjusted for dividends already: the {count} stated ones are not counted again"


def _readings(count: int, splits: Splits) -> dict[str, np.ndarray]:
    """Return by what (T,) dividends are multiplied if they are meant otherwise."""
    readings = {
        _ALREADY: np.zeros(count),
        _LARGE_UNIT: np.full(count, 100.0),
        _SMALL_UNIT: np.full(count, 0.01),
    }
    if splits.left_in.any():
        name = "dividends were stated in the shares of today, and stayed so"
        readings[name] = splits.before(count, splits.left_in)
    if (~splits.left_in).any():
        name = "dividends were stated in the shares of their day, and were adjusted for splits"
        readings[name] = 1 / splits.before(count, ~splits.left_in)
    return readings


def _by_adjusted(
    table: pd.DataFrame,
    scaled: np.ndarray,
    readings: dict[str, np.ndarray],
    night: Overnight,
    implied: np.ndarray,
) -> Verdict:
    """Return the stated dividends where the adjusted close agrees, else what fits prices."""
    before = np.concatenate([table["close"].to_numpy()[:1], table["close"].to_numpy()[:-1]])
    notes: tuple[str, ...] = ()
    both = np.flatnonzero((scaled > 0) & (implied > 0))
    if len(both):
        off = np.abs(np.log(scaled[both] / implied[both]))
        best = {
            name: np.abs(np.log(scaled[both] * times[both] / implied[both]))
            for name, times in readings.items()
            if times.all()
        }
        name = min(best, key=lambda reading: float(np.median(best[reading])))
        if np.median(off) > _AGREES and np.median(best[name]) < _AGREES:
            scaled = scaled * readings[name]
            notes = (name.format(count=int((scaled > 0).sum())),)
    agrees = np.abs(scaled - implied) <= _AGREES * implied + 1e-4 * before
    result = np.where(agrees, scaled, implied)
    # Where only one of the two has a dividend, the price that fell decides.
    alone = ~agrees & ((scaled == 0) | (implied == 0))
    share = np.maximum(scaled, implied) / before
    fell = np.abs(night.change + share) < np.abs(night.change)
    unknown = alone & (implied == 0) & (share < 3 * night.noise)
    result = np.where(alone, np.where(fell | unknown, np.maximum(scaled, implied), 0.0), result)
    result[0] = scaled[0]
    result = np.where(result == scaled, scaled, steady(result))
    differs = np.flatnonzero(result != scaled)
    if len(differs):
        notes = (
            *notes,
            f"{len(differs)} dividends follow the adjusted close and the prices, not the "
            f"statement: {listed(table.index[differs])}",
        )
    return Verdict(result, notes, doubtful=bool((~agrees[1:]).any()))


def steady(dividend: np.ndarray) -> np.ndarray:
    """Return dividends (T,) with four digits.

    What is read off rounded prices differs a little from fetch to fetch.
    """
    return np.array([float(f"{amount:.4g}") for amount in dividend])


def _loss(night: Overnight, yields: np.ndarray, rows: np.ndarray) -> float:
    """Return how badly yields (T,) explain the falls, as a negative log-likelihood.

    A price falls by the dividend, as a log return ln(1 − D[t] / C[t-1]).
    """
    drop = np.log1p(-np.minimum(yields[rows], 0.99))
    loss = ((night.change[rows] - drop) / night.noise[rows]) ** 2 / 2
    return float(np.minimum(loss, _MAX_LOSS).sum())


def _are_computed(table: pd.DataFrame, splits: Splits, rows: np.ndarray) -> bool:
    """Return whether prices have the digits of traded ones only since the last dividend.

    A price that was traded has a few decimals, or was a 32-bit number; a product of it
    and a factor has sixteen digits.
    """
    first, last = splits.rows.max(initial=0), rows[-1]
    prices = table[PRICES].to_numpy(float)
    traded = (np.abs(prices - np.round(prices, 6)) < 1e-10 * prices) | (
        prices.astype(np.float32) == prices
    )
    before, after = traded[max(first, last - 250) : last], traded[last:]
    if min(len(before), 2 * len(after)) < _FEW:
        return False
    return bool(before.mean() < 0.2 and after.mean() > 0.95)


def _column(table: pd.DataFrame, name: str) -> np.ndarray:
    return table[name].to_numpy(float) if name in table else np.zeros(len(table))
