"""Checks of a whole series: holes, dividends, and splits that prices do not reflect."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from lstmcli.errors import DataError
from lstmcli.frames import check_bars
from lstmcli.sessions import sessions_between
from lstmcli.trading import readable

log = logging.getLogger(__name__)

RECENT = 10
"""Sessions at the end, where a hole is refused because forecasts start there."""

MAX_OUTSIDE_CALENDAR = 0.01
"""Fraction of bars on days that are no sessions: some sessions are special."""

# Ratios of usual splits, and 100: pounds among pennies.
_RATIOS = np.array([1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 100, 1000])


def check_series(bars: pd.DataFrame, ticker: str, *, calendar: str, can_split: bool = True) -> None:
    """Check bars as a series: values, length, holes, jumps, dividends.

    A hole before the last ten sessions is a warning. No hole is ever filled. An
    index has no shares: it jumps without a split.

    Raises:
        DataError: with the session at fault.
    """
    check_bars(bars, ticker)
    if len(bars) < 2:
        raise DataError(
            f"{ticker}: Expected at least two sessions. Received: {len(bars)}.",
            hint=f"a longer file, or an earlier start: lstm fetch {ticker} --start 2000-01-01",
        )
    _check_dividends(bars, ticker)
    if can_split:
        # A step across a relisting is no split, and nothing reads what lies before it.
        _check_splits(readable(bars, calendar), ticker)
    _check_holes(bars, ticker, calendar)


def _check_dividends(bars: pd.DataFrame, ticker: str) -> None:
    wrong = (bars["dividend"] >= bars["close"].shift()).to_numpy()
    if wrong.any():
        row = bars[wrong].iloc[0]
        raise DataError(
            f"{ticker}: {bars.index[wrong][0]:%Y-%m-%d}: Expected a dividend below the close "
            f"before it. Received: {row['dividend']:g}. It may be in another unit.",
            hint=_later_start(ticker, bars.index[wrong][0]),
        )


def _check_splits(bars: pd.DataFrame, ticker: str) -> None:
    found = unadjusted_split(bars)
    if found is not None:
        session, ratio = found
        before, after = bars["close"].loc[:session].iloc[-2:]
        raise DataError(
            f"{ticker}: {session:%Y-%m-%d}: the price goes from {before:g} to {after:g} overnight, "
            f"as a split of {ratio:g} : 1 (or 1 : {ratio:g}, or a change of unit) does. "
            "Expected split-adjusted prices.",
            hint=_later_start(ticker, session),
        )


def unadjusted_split(bars: pd.DataFrame) -> tuple[pd.Timestamp, float] | None:
    """Return the first session that looks like an unadjusted split, and its ratio.

    A large jump alone is no fault. Three signs tell a split from a crash: the open
    has jumped already, the day's range is small beside the jump, and volume is as
    usual in shares or in money.
    """
    close, previous = bars["close"], bars["close"].shift()
    jump = np.log(close / previous).abs()
    usual = bars["volume"].rolling(60, min_periods=1).median().shift()
    usual_money = (bars["volume"] * close).rolling(60, min_periods=1).median().shift()
    busy = np.minimum(bars["volume"] / usual, bars["volume"] * close / usual_money)
    for session in bars.index[(jump > 0.3).to_numpy()]:
        row, before = bars.loc[session], previous[session]
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
            and not busy[session] > 2
            and not few_ticks
        ):
            return session, ratio
    return None


def _check_holes(bars: pd.DataFrame, ticker: str, calendar: str) -> None:
    index = pd.DatetimeIndex(bars.index)
    expected = sessions_between(calendar, index[0], index[-1], observed=index)
    strange = index.difference(expected)
    if len(strange) > MAX_OUTSIDE_CALENDAR * len(index):
        log.warning(
            "%s: %d of %d bars lie on days that are no sessions of %s, last on %s: "
            "name its exchange with --calendar, or --calendar weekdays",
            ticker,
            len(strange),
            len(index),
            calendar,
            f"{strange[-1]:%Y-%m-%d}",
        )
    missing = expected.difference(index)
    if missing.empty:
        return
    recent = missing[missing >= expected[-RECENT:][0]]
    if len(recent):
        raise DataError(
            f"{ticker}: Expected every session of {calendar} among the last {RECENT}. "
            f"Missing: {_listed(recent)}.",
            hint=f"fetch again later; if {calendar} is not its exchange, or was closed: "
            f"lstm fetch {ticker} --calendar weekdays",
        )
    log.warning(
        "%s: %d of %d sessions of %s are missing, none of them recent: %s",
        ticker,
        len(missing),
        len(expected),
        calendar,
        _listed(missing),
    )


def _listed(sessions: pd.DatetimeIndex) -> str:
    shown = ", ".join(f"{session:%Y-%m-%d}" for session in sessions[:5])
    return f"{shown} and {len(sessions) - 5} more" if len(sessions) > 5 else shown


def _later_start(ticker: str, session: pd.Timestamp) -> str:
    return f"leave out what lies before: lstm fetch {ticker} --start {session:%Y-%m-%d}"
