"""From what a source states to bars: dividends and splits that add up with prices."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.digits import in_words
from lstmcli.frames import BAR_COLUMNS
from lstmcli.sources.checks.faults import SessionError, allow_jumps, later_start, listed
from lstmcli.sources.checks.implausible import (
    check_basis,
    check_positive,
    complete_rows,
    plausible_ranges,
)
from lstmcli.sources.distributions.adjustment import MAX_FALL, Adjustment, adjustment
from lstmcli.sources.distributions.dividends import stated_dividends, steady, with_gains
from lstmcli.sources.distributions.splits import overnight, stated_splits, without_splits

MAX_ROUNDING = 0.025
"""Of an adjusted close, as a fraction of it: beyond, its dividends cannot be told."""


@dataclass(frozen=True)
class Settled:
    """Bars, and what was changed to make them.

    `doubtful` says that a stated distribution was taken as it stands for want of
    evidence: a longer history may show that it is meant otherwise.
    """

    bars: pd.DataFrame
    notes: tuple[str, ...] = ()
    doubtful: bool = False


def settled(
    table: pd.DataFrame,
    ticker: str,
    *,
    allowed: Collection[pd.Timestamp] = (),
    in_hundredths: bool = False,
    fully_adjusted: bool = False,
) -> Settled:
    """Return bars whose dividends and splits agree with the prices, and notes.

    Args:
        table: by ascending session, `open high low close volume` and only where the
            source states them `adjusted` (close), `dividend` and `gains` (capital gains)
            per share, `split` (new shares for an old one).
        ticker: what messages call it.
        allowed: sessions whose jumps are real.
        in_hundredths: whether prices are in pence, cents or the like: dividends of a
            hundredth of what is usual are then taken to be in pounds.
        fully_adjusted: whether the layout is known to adjust prices for dividends, so
            that those that it states are in the prices already.

    Returns:
        Prices and dividends per share as of the end, that is, split-adjusted.

    Raises:
        SessionError: a price cannot be, or two columns contradict each other.
    """
    if fully_adjusted:
        table = table.drop(columns=["adjusted", "dividend", "gains"], errors="ignore")
    paid = [name for name in ("dividend", "gains", "split") if name in table]
    table = table.astype(float).fillna({name: 0.0 for name in (*paid, "volume")})
    table = complete_rows(table, ticker)
    check_positive(table, ticker)
    check_basis(table, ticker)
    table = plausible_ranges(table, ticker, allowed)
    splits = stated_splits(table, ticker, allowed)
    table, notes = without_splits(table, splits)
    factor, more = _factor(table, ticker, allowed)
    notes += more
    doubtful = bool(len(splits.rows))
    implied = implied_dividends(factor, table["close"].to_numpy(float)) if factor else None
    if implied is not None and not _any(table, "dividend", "gains"):
        # A source that lists dividends, and not these, may list them on another day.
        doubtful |= "dividend" in table and bool(implied.any())
        dividend = implied if "dividend" not in table else steady(implied)
    else:
        night = overnight(table)
        stated, more = with_gains(table, night, implied)
        verdict = stated_dividends(
            table, stated, splits, night, implied, in_hundredths=in_hundredths
        )
        dividend, notes = verdict.dividend, (*notes, *more, *verdict.notes)
        doubtful |= verdict.doubtful or _any(table, "gains")
    bars = table.assign(dividend=dividend, split=0.0)[list(BAR_COLUMNS)]
    bars.iloc[splits.rows, bars.columns.get_loc("split")] = splits.ratios
    return Settled(bars, notes, doubtful)


def _any(table: pd.DataFrame, *names: str) -> bool:
    return any(name in table and bool((table[name] != 0).any()) for name in names)


def _factor(
    table: pd.DataFrame, ticker: str, allowed: Collection[pd.Timestamp]
) -> tuple[Adjustment | None, tuple[str, ...]]:
    """Return what an adjusted close says, None if it is the close again, and notes.

    One that cannot be right is refused if it alone tells of dividends.
    """
    if "adjusted" not in table:
        return None, ()
    adjusted, close = (table[name].to_numpy(float) for name in ("adjusted", "close"))
    factor = adjustment(adjusted, close)
    if not factor.says_something:
        return None, ()
    try:
        _check_rounding(table, ticker, factor)
        _check_falls(table, ticker, factor, allowed)
    except SessionError as error:
        if "dividend" not in table:
            raise
        return None, (
            f"the adjusted close was not used ({error.session:%Y-%m-%d} cannot be right)",
        )
    return factor, ()


def implied_dividends(factor: Adjustment, close: np.ndarray) -> np.ndarray:
    """Return the dividends (T,) that explain the steps of an adjusted close.

    The factor before a dividend D is 1 − D[t] / C[t-1] times that after it.
    """
    share = -np.expm1(-np.maximum(factor.steps, 0.0))
    return share * np.concatenate([close[:1], close[:-1]])


def _check_rounding(table: pd.DataFrame, ticker: str, factor: Adjustment) -> None:
    """Refuse an adjusted close of a few cents, written in cents."""
    coarse = (factor.rounding > MAX_ROUNDING) & (np.abs(factor.level) > 1e-9)
    if not coarse.any():
        return
    session = table.index[coarse][-1]
    row = table.loc[session]
    start = later_start(
        ticker, table.index, table.index[min(len(table) - 1, np.flatnonzero(coarse)[-1] + 1)]
    )
    raise SessionError(
        f"{ticker}: {session:%Y-%m-%d}: Expected an adjusted close with enough digits to tell "
        f"dividends. Received: {in_words(row['adjusted'])} for a close of "
        f"{in_words(row['close'])}, in {coarse.sum()} sessions until then: rounding alone is "
        f"{factor.rounding[coarse][-1]:.0%} of it.",
        session,
        hint=f"{start}, or " * bool(start)
        + "export it with more decimals, or leave that column out and state dividends in their own",
    )


def _check_falls(
    table: pd.DataFrame, ticker: str, factor: Adjustment, allowed: Collection[pd.Timestamp]
) -> None:
    """Refuse an adjusted close that no dividend explains."""
    falls = (factor.steps < -MAX_FALL) & ~table.index.isin(list(allowed))
    if not falls.any():
        return
    sessions = table.index[falls]
    by = -np.expm1(factor.steps[falls][0])
    raise SessionError(
        f"{ticker}: {sessions[0]:%Y-%m-%d}: Expected an adjusted close that dividends and stated "
        f"splits explain. Received: it falls by {by:.2%} against the close, which neither does, "
        f"on {listed(sessions)}.",
        sessions[0],
        hint="state a split in a column Stock Splits, or leave the adjusted close out, "
        + allow_jumps(ticker, list(sessions)),
    )
