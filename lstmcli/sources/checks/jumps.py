"""Jumps of the price that are no returns: splits left in, units mixed up."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from lstmcli.digits import in_words
from lstmcli.sources.checks.faults import (
    SessionError,
    allow_jumps,
    correct,
    later_start,
    start_after,
)

# Ratios of usual splits, and 100: pounds among pennies.
_RATIOS = np.array([1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 100, 1000])

UNIT = 100
"""The least ratio that is taken for a change of unit: no jump of a price is that large."""

MAX_EXCURSION = 60
"""Sessions within which a price that jumps and jumps back was in another unit."""

MIN_EXCURSION = 4.0
"""The least ratio of such a jump: smaller ones may be real."""


def check_jumps(bars: pd.DataFrame, ticker: str, *, allowed: Collection[pd.Timestamp] = ()) -> None:
    """Check that no jump looks like a split that prices do not reflect.

    Raises:
        SessionError: with the session, and the way out if the jump is real.
    """
    found = unadjusted_split(bars, allowed=allowed)
    if found is None:
        return
    session, ratio = found
    row = bars.index.get_loc(session)
    before, after = bars["close"].iloc[row - 1], bars["close"].iloc[row]
    paid = bars["dividend"].iloc[row]
    less = f" less a dividend of {in_words(paid)}" if paid else ""
    back = _way_back(bars["close"].to_numpy(), row)
    if back is not None:
        raise _excursion(bars, ticker, row, back, ratio)
    is_unit = ratio >= UNIT
    kind = "as a change of unit (pounds among pence) does" if is_unit else "as a split does"
    way_out = later_start(ticker, bars.index, session)
    raise SessionError(
        f"{ticker}: {session:%Y-%m-%d}: the price goes from {in_words(before)}{less} to "
        f"{in_words(after)} overnight, {_ratio_text(ratio, after < before)}, {kind}, and no "
        "dividend or stated split explains it. "
        f"Expected {'one unit' if is_unit else 'split-adjusted prices, or the split stated'}.",
        session,
        hint=_way_out(
            way_out or correct(list(bars.index[row:])), ticker, [session], is_unit=is_unit
        ),
    )


def _way_out(others: str, ticker: str, sessions: Sequence[pd.Timestamp], *, is_unit: bool) -> str:
    """Return a hint that offers to allow a jump only where it may be real."""
    return others if is_unit else f"{others}, {allow_jumps(ticker, sessions)}"


def _ratio_text(ratio: float, first_is_larger: bool) -> str:
    return f"{in_words(ratio)} : 1" if first_is_larger else f"1 : {in_words(ratio)}"


def _way_back(close: np.ndarray, row: int) -> int | None:
    """Return the row at which a price has jumped back, or None if it stays."""
    size = np.log(close[row] / close[row - 1])
    if abs(size) < np.log(MIN_EXCURSION):
        return None
    later = close[row : row + MAX_EXCURSION + 1]
    back = np.log(later[1:] / later[:-1]) * -np.sign(size)
    rows = np.flatnonzero(np.abs(back - abs(size)) < 0.2 * abs(size))
    return row + 1 + int(rows[0]) if len(rows) else None


def _excursion(bars: pd.DataFrame, ticker: str, row: int, back: int, ratio: float) -> SessionError:
    inside = bars.index[row:back]
    level = bars["close"]
    higher = level.iloc[row] > level.iloc[row - 1]
    count = f"{len(inside)} sessions" if len(inside) > 1 else "one session"
    until = f" to {inside[-1]:%Y-%m-%d}" if len(inside) > 1 else ""
    verb = "are" if len(inside) > 1 else "is"
    ends = [bars.index[row], bars.index[back]]
    way_out = start_after(ticker, bars.index, inside[-1])
    return SessionError(
        f"{ticker}: {inside[0]:%Y-%m-%d}{until}: {count} {verb} off by "
        f"{_ratio_text(ratio, higher)} from those before and after, as "
        f"prices in another unit are. Received: closes of {in_words(level.iloc[row - 1])}, "
        f"{in_words(level.iloc[row])} and, on {bars.index[back]:%Y-%m-%d}, "
        f"{in_words(level.iloc[back])}.",
        inside[0],
        hint=_way_out(way_out or correct(list(inside)), ticker, ends, is_unit=ratio >= UNIT),
    )


def unadjusted_split(
    bars: pd.DataFrame, *, allowed: Collection[pd.Timestamp] = ()
) -> tuple[pd.Timestamp, float] | None:
    """Return the first session that looks like an unadjusted split, and its ratio.

    A large jump alone is no fault, and one that a dividend explains is none. Three signs
    tell a split from a crash: the open has jumped already, the day's range is small
    beside the jump, and volume is as usual in shares or in money.
    """
    close = bars["close"]
    # A spin-off of a third of the company looks like a split of 3 : 2.
    previous = close.shift() - bars["dividend"]
    jump = np.log(close / previous).abs()
    # A stated split has been compared with the price across it already.
    jumped = (jump > 0.3).to_numpy() & (bars["split"] == 0).to_numpy()
    suspects = bars.index[jumped].difference(pd.DatetimeIndex(list(allowed)))
    if suspects.empty:
        return None
    volume = bars["volume"].to_numpy(float)
    money = volume * close.to_numpy(float)
    for session in suspects:
        at = bars.index.get_loc(session)
        row, before = bars.iloc[at], previous.iloc[at]
        ratio = float(_RATIOS[np.abs(np.log(_RATIOS) - jump[session]).argmin()])
        size = np.log(ratio)
        slack = min(0.1, 0.15 * size)
        at_open = abs(np.log(row["open"] / before))
        # At a price of a few ticks, one tick can double or halve it.
        few_ticks = min(before, row["close"]) < 0.1 and ratio < 10
        if (
            abs(jump[session] - size) <= slack
            and abs(at_open - size) <= slack
            and np.log(row["high"] / row["low"]) <= size / 3
            and not np.minimum(_against_usual(volume, at), _against_usual(money, at)) > 2
            and not few_ticks
        ):
            return session, ratio
    return None


def _against_usual(values: np.ndarray, row: int) -> float:
    """Return a value as a multiple of the median of up to sixty before it; NaN without any."""
    before = values[max(row - 60, 0) : row]
    before = before[~np.isnan(before)]
    if not len(before):
        return np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(values[row] / np.median(before))
