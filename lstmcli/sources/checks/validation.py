"""Checks of a whole series: length, dividends, jumps, days."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from lstmcli.digits import in_words
from lstmcli.errors import DataError, shell_word
from lstmcli.frames import check_bars
from lstmcli.sources.checks.faults import SessionError, later_start
from lstmcli.sources.checks.holes import check_daily, check_days
from lstmcli.sources.checks.jumps import check_jumps
from lstmcli.trading import readable


def check_series(
    bars: pd.DataFrame,
    ticker: str,
    *,
    calendar: str,
    can_split: bool = True,
    allowed: Collection[pd.Timestamp] = (),
) -> None:
    """Check bars as a series: values, length, holes, jumps, dividends.

    A hole before the last ten sessions is a warning. No hole is ever filled. An
    index has no shares: it jumps without a split. The jumps of `allowed` sessions are real.

    Raises:
        DataError: with the session at fault.
    """
    check_bars(bars, ticker)
    if len(bars) < 2:
        raise DataError(
            f"{ticker}: Expected at least two sessions. Received: {len(bars)}.",
            hint="a longer file, or an earlier start: "
            f"lstm fetch {shell_word(ticker)} --start 2000-01-01",
        )
    check_daily(bars, ticker)
    _check_dividends(bars, ticker)
    if can_split:
        # A step across a relisting is no split, and nothing reads what lies before it.
        check_jumps(readable(bars, calendar), ticker, allowed=allowed)
    check_days(bars, ticker, calendar)


def _check_dividends(bars: pd.DataFrame, ticker: str) -> None:
    wrong = (bars["dividend"] >= bars["close"].shift()).to_numpy()
    if wrong.any():
        session = bars.index[wrong][-1]
        row = bars.loc[session]
        more = f" So are {wrong.sum() - 1} earlier ones." if wrong.sum() > 1 else ""
        raise SessionError(
            f"{ticker}: {session:%Y-%m-%d}: Expected a dividend below the close "
            f"before it. Received: {in_words(row['dividend'])}. It may be in another unit.{more}",
            session,
            hint=later_start(ticker, bars.index, session)
            or "correct the unit of the dividends in the file",
        )
