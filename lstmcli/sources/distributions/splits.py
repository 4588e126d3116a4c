"""Stated splits against the prices across them: applied already, or not."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.digits import in_words
from lstmcli.sources.base import PRICES
from lstmcli.sources.checks.faults import SessionError, allow_jumps
from lstmcli.sources.distributions.adjustment import adjustment

MIN_RATIO = 1.15
"""Smaller ratios, such as stock dividends, are never refused: a return hides them."""

_CERTAIN = 4.0
"""Log-likelihood ratio from which the open decides between two readings."""

_QUIET = 0.002  # the least noise of an overnight return that is believed


@dataclass(frozen=True)
class Overnight:
    """Returns from a close to the next open, (T,) each; the first is NaN.

    Attributes:
        change: log return, without dividends. Of the close, where opens say nothing.
        noise: its usual size, a robust standard deviation over half a year.
    """

    change: np.ndarray
    noise: np.ndarray

    @property
    def rests(self) -> bool:
        """Whether the price does not move on most nights, so that it shows nothing."""
        return not np.nanmedian(np.abs(self.change)) > 0


def overnight(table: pd.DataFrame) -> Overnight:
    """Return the overnight returns of prices."""
    before = table["close"].shift()
    change = np.log(table["open"] / before)
    if not change.abs().median() > 0:  # some sources repeat the close as the open
        change = np.log(table["close"] / before)
    noise = 1.4826 * change.abs().rolling(121, center=True, min_periods=5).median()
    noise = noise.fillna(1.4826 * change.abs().median()).fillna(_QUIET).clip(lower=_QUIET)
    return Overnight(change.to_numpy(), noise.to_numpy())


def ratio_text(ratio: float) -> str:
    """Return a split in words: 4 : 1, or 1 : 190."""
    return f"{in_words(ratio)} : 1" if ratio >= 1 else f"1 : {in_words(1 / ratio)}"


@dataclass(frozen=True)
class Splits:
    """The stated splits of a table, (S,) each, in order.

    Attributes:
        rows: the first row after the split.
        ratios: new shares for an old one.
        left_in: whether the prices before it were as traded.
    """

    rows: np.ndarray
    ratios: np.ndarray
    left_in: np.ndarray

    def before(self, count: int, chosen: np.ndarray) -> np.ndarray:
        """Return the product (T,) of the chosen splits that lie after each row."""
        product = np.ones(count)
        for row, ratio in zip(self.rows[chosen], self.ratios[chosen], strict=True):
            product[:row] *= ratio
        return product


def stated_splits(
    table: pd.DataFrame, ticker: str, allowed: Collection[pd.Timestamp] = ()
) -> Splits:
    """Return the stated splits, and which the prices do not reflect.

    Raises:
        SessionError: the price across a split fits neither reading.
    """
    ratios = np.nan_to_num(table["split"].to_numpy(float)) if "split" in table else np.zeros(0)
    rows = np.flatnonzero((ratios > 0) & (np.abs(ratios - 1) > 1e-9))
    if not len(rows):
        return Splits(rows, np.ones(0), np.zeros(0, bool))
    size = np.log(ratios[rows])
    # At the first row there is no price before.
    verdict = np.where(rows == 0, 0.0, np.nan)
    verdict = np.where(np.isnan(verdict), _by_adjusted(table, rows, size), verdict)
    night = overnight(table)
    for place in np.flatnonzero(np.isnan(verdict)):
        verdict[place] = _by_price(night.change[rows[place]], night.noise[rows[place]], size[place])
    # What the price leaves open is as the other splits of the series.
    usual = float(np.round(np.nanmean(verdict))) if np.isfinite(verdict).any() else 0.0
    for place in np.flatnonzero(~np.isfinite(verdict)):
        session = table.index[rows[place]]
        small = abs(size[place]) < np.log(MIN_RATIO)
        if np.isinf(verdict[place]) and not small and session not in allowed:
            raise _neither(table, ticker, rows[place], ratios[rows[place]])
        verdict[place] = 0.0 if np.isinf(verdict[place]) and not small else usual
    return Splits(rows, ratios[rows], verdict > 0.5)


def _by_adjusted(table: pd.DataFrame, rows: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return 1 where an adjusted close leaves the split out and the close does not.

    NaN where the two step alike: then the price itself must tell.
    """
    verdict = np.full(len(rows), np.nan)
    if "adjusted" not in table:
        return verdict
    found = adjustment(table["adjusted"].to_numpy(float), table["close"].to_numpy(float))
    step = found.steps[rows]
    # A dividend on the same day makes the step a little larger.
    near = np.abs(step - size) < np.minimum(0.1, np.abs(size) / 3) + 2 * found.slack[rows]
    verdict[near & (np.abs(size) > 4 * found.slack[rows])] = 1.0
    return verdict


def _by_price(change: float, noise: float, size: float) -> float:
    """Return 0 if applied, 1 if left in, NaN if it cannot be told, infinity if neither."""
    distance = np.abs([change, change + size])
    near, far = distance.min(), distance.max()
    if near > max(8 * noise, 0.5, 0.2 * abs(size)):
        return np.inf
    if (far**2 - near**2) / (2 * noise**2) < _CERTAIN or near > far / 2:
        return np.inf if abs(size) > 8 * noise else np.nan
    return float(distance.argmin())


def _neither(table: pd.DataFrame, ticker: str, row: int, ratio: float) -> SessionError:
    session = table.index[row]
    before, after = table["close"].iloc[row - 1], table["close"].iloc[row]
    return SessionError(
        f"{ticker}: {session:%Y-%m-%d}: Expected prices before a split of {ratio_text(ratio)} "
        f"that are adjusted for it, or as traded. Received: a close of {in_words(before)}, then "
        f"{in_words(after)}, which is neither.",
        session,
        hint=f"correct the ratio, {allow_jumps(ticker, [session])}",
    )


def without_splits(table: pd.DataFrame, splits: Splits) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return prices and volumes adjusted for the splits that were left in, and notes.

    Dividends stay as they are stated.
    """
    if not len(splits.rows):
        return table, ()
    product = splits.before(len(table), splits.left_in)
    table = table.copy()
    for name in PRICES:
        table[name] = table[name] / product
    table["volume"] = table["volume"] * product
    if "adjusted" in table:
        table["adjusted"] = table["adjusted"] / _left_in_adjusted(table, splits)
    if not splits.left_in.any():
        return table, ()
    places = zip(splits.rows[splits.left_in], splits.ratios[splits.left_in], strict=True)
    named = [f"{ratio_text(ratio)} on {table.index[row]:%Y-%m-%d}" for row, ratio in places]
    return table, (
        f"prices before the split of {', '.join(named[:5])} were as traded and were adjusted",
    )


def _left_in_adjusted(table: pd.DataFrame, splits: Splits) -> np.ndarray:
    """Return by how much the adjusted close (T,) is off: for most sources, by nothing.

    Some adjust it for dividends alone.
    """
    ratio = table["adjusted"] / table["close"]
    product = np.ones(len(table))
    for row, split in zip(splits.rows, splits.ratios, strict=True):
        if row == 0:
            continue
        # The close has been adjusted by now: a step of the split's size is the other's.
        step = np.log(ratio.iloc[row] / ratio.iloc[row - 1])
        if abs(step + np.log(split)) < min(0.1, abs(np.log(split)) / 3):
            product[:row] *= split
    return product
