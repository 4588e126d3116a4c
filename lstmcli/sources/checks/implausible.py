"""Prices that cannot be: absent, zero, ten times off the day, on another basis."""

from __future__ import annotations

import logging
from collections.abc import Collection

import numpy as np
import pandas as pd

from lstmcli.digits import in_words
from lstmcli.frames import without_rows
from lstmcli.sources.base import MAX_OUTSIDE_RANGE, PRICES
from lstmcli.sources.checks.faults import SessionError, allow_jumps, correct, listed, start_after

log = logging.getLogger(__name__)

RECENT = 10
"""Sessions at the end, where a fault is refused because forecasts start there."""

OFF = 10.0
"""How many times a price is off the day's others that cannot be."""

MAX_OTHER_BASIS = 0.02
"""Fraction of sessions with the close outside the range that are single faults."""


def complete_rows(table: pd.DataFrame, ticker: str) -> pd.DataFrame:
    """Return the rows with all four prices; one with fewer is a hole, and said.

    Rows at the very end are not there yet, as before the close of today's session.

    Raises:
        SessionError: such a row is among the last, with whole ones after it.
    """
    partial = table[PRICES].isna().any(axis=1).to_numpy()
    if not partial.any():
        return table
    whole = np.flatnonzero(~partial)
    last = whole[-1] if len(whole) else -1
    half = partial & table[PRICES].notna().any(axis=1).to_numpy()
    rows = np.flatnonzero(half)
    recent = rows[(rows < last) & (rows >= len(table) - RECENT)]
    if len(recent):
        absent = [name for name in PRICES if pd.isna(table[name].iloc[recent[0]])]
        raise SessionError(
            f"{ticker}: {table.index[recent[0]]:%Y-%m-%d}: Expected open, high, low and close. "
            f"Received no {', '.join(absent)}.",
            table.index[recent[0]],
            others=list(table.index[recent[1:]]),
            hint=correct(list(table.index[recent])),
        )
    for name, found in (("old", rows[rows < last]), ("last", rows[rows > last])):
        if len(found):
            log.warning(
                "%s: %d %s %s without all of open, high, low and close %s left out: %s",
                ticker,
                len(found),
                name,
                "session" if len(found) == 1 else "sessions",
                "was" if len(found) == 1 else "were",
                listed(table.index[found]),
            )
    return without_rows(table, partial)


def check_positive(table: pd.DataFrame, ticker: str) -> None:
    """Check that every price is a positive number.

    Raises:
        SessionError: with the first session, and where to start after the last one.
    """
    wrong = ~(table[PRICES] > 0).all(axis=1).to_numpy()
    if not wrong.any():
        return
    sessions = table.index[wrong]
    row = table.loc[sessions[0], PRICES]
    values = ", ".join(f"{name} {in_words(row[name])}" for name in PRICES)
    more = f" So are those of {len(sessions) - 1} more" if len(sessions) > 1 else ""
    more += f", last on {sessions[-1]:%Y-%m-%d}." if more else ""
    raise SessionError(
        f"{ticker}: {sessions[0]:%Y-%m-%d}: a price is zero or negative: {values}.{more}",
        sessions[0],
        others=list(sessions[1:]),
        hint=start_after(ticker, table.index, sessions[-1]) or correct(list(sessions)),
    )


def check_basis(table: pd.DataFrame, ticker: str) -> None:
    """Check that the close is on the basis of the other prices.

    Raises:
        SessionError: the close lies far outside the range of many sessions.
    """
    outside = (
        (table["close"] > table["high"] * (1 + MAX_OUTSIDE_RANGE))
        | (table["close"] < table["low"] * (1 - MAX_OUTSIDE_RANGE))
    ).to_numpy()
    if outside.sum() < 5 or outside.mean() <= MAX_OTHER_BASIS:
        return
    others = table.loc[outside, ["open", "high", "low"]].median(axis=1)
    times = float((table["close"][outside] / others).median())
    sessions = table.index[outside]
    about = float(f"{times:.3g}")
    raise SessionError(
        f"{ticker}: Expected Close on the basis of Open, High and Low. Received: Close is about "
        f"{in_words(about)} times the others in {outside.sum()} of {len(table)} sessions, "
        f"from {sessions[0]:%Y-%m-%d} to {sessions[-1]:%Y-%m-%d}: it is adjusted for splits or "
        "dividends in another way.",
        sessions[0],
        hint=start_after(ticker, table.index, sessions[-1])
        or "export it anew with all four prices adjusted in the same way: for splits, and not "
        "for dividends",
    )


def plausible_ranges(
    table: pd.DataFrame, ticker: str, allowed: Collection[pd.Timestamp] = ()
) -> pd.DataFrame:
    """Return the table with prices that are ten times off cut to the day's others.

    A warning names the sessions. A day that opened at the close before and fell by
    nine tenths is not touched.

    Raises:
        SessionError: such a session is among the last ones.
    """
    prices = table[PRICES].to_numpy(float)
    close = prices[:, 3]
    before = np.concatenate([close[:1], close[:-1]])
    opening = np.where(_off(prices[:, 0], close) & _off(prices[:, 0], before), close, prices[:, 0])
    top, bottom = np.maximum(opening, close), np.minimum(opening, close)
    high = np.where(prices[:, 1] >= OFF * top, top, prices[:, 1])
    low = np.where(prices[:, 2] * OFF <= bottom, bottom, prices[:, 2])
    mended = np.column_stack([opening, high, low, close])
    off = (mended != prices).any(axis=1) & ~table.index.isin(list(allowed))
    if not off.any():
        return table
    rows = np.flatnonzero(off)
    if rows[-1] >= len(table) - RECENT:
        session = table.index[rows[-1]]
        values = ", ".join(
            f"{name} {in_words(value)}"
            for name, value in zip(PRICES, prices[rows[-1]], strict=True)
        )
        raise SessionError(
            f"{ticker}: {session:%Y-%m-%d}: Expected prices of a day that are near each other. "
            f"Received: {values}.",
            session,
            hint=f"{correct([session])}, {allow_jumps(ticker, [session])}",
        )
    log.warning(
        "%s: prices %g times or more off others of their day, in %d of %d sessions, were cut to "
        "these: %s",
        ticker,
        OFF,
        len(rows),
        len(table),
        _named(table.index[rows], mended[rows] != prices[rows]),
    )
    table = table.copy()
    table.loc[table.index[off], PRICES] = mended[off]
    return table


def _named(sessions: pd.Index, changed: np.ndarray) -> str:
    """Return what was changed (S, 4) in words: the high of 2023-01-31, …."""
    named = [
        f"the {' and '.join(np.array(PRICES)[row])} of {session:%Y-%m-%d}"
        for session, row in zip(sessions[:5], changed, strict=False)
    ]
    more = f" and {len(sessions) - 5} more" if len(sessions) > 5 else ""
    return ", ".join(named) + more


def _off(prices: np.ndarray, others: np.ndarray) -> np.ndarray:
    return (prices >= OFF * others) | (prices * OFF <= others)
