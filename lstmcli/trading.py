"""Trading: which bars of a ticker say something of its price. No trading is no information.

Sources fill sessions without trades: a share that is suspended has the same close for months,
and a file has weekends. Such bars are stored; `readable` leaves them out for forecasts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.digits import in_words
from lstmcli.errors import DataError, shell_word
from lstmcli.frames import log_returns, values_of, without_rows
from lstmcli.rolling import rolling_min, shifted
from lstmcli.sessions import WEEKDAYS, sessions_between

SUSPENDED = 10
"""Sessions in a row without a trade from which on a ticker is suspended."""

SUSPENDED_FUND = 60
"""The same of a ticker whose bars never show a range or a volume, such as a fund with one net
asset value a day: the value of a bond fund may stand still for two weeks."""

LONG_CLOSURE = 10
"""Usual weekdays in a row that no exchange rests: fewer are a holiday that no calendar lists."""

RELISTED = 20
"""Missing sessions after which a large step of the close starts a new history."""

MAX_STEP = 8.0
"""Volatilities of one session, before the gap, beyond which a step may be large."""

MAX_WALK = 3.0
"""Standard deviations of a random walk over the missing sessions beyond which it is."""

YEAR = 250
"""Sessions that show a tick, a usual volatility, and whether a price moves at all."""

MIN_STILL = 20
"""Sessions with one close that make a price that never moves; fewer may be chance."""

ROUNDING = 1e-6
"""Relative step of a price that is rounding, and no step."""

SIGMA_FLOOR = 1e-4
"""Least volatility of one session where no tick is known: nothing may divide by zero."""


def has_shares(ticker: str) -> bool:
    """Return whether a ticker can split: an index, a rate or a currency cannot."""
    return not (ticker.startswith("^") or ticker.upper().endswith(("=X", "=F")))


@dataclass(frozen=True)
class Suspension:
    """A suspension that has not ended.

    Attributes:
        since: the last session with trades.
        sessions: bars after it.
    """

    since: pd.Timestamp
    sessions: int

    def __str__(self) -> str:
        return f"{self.since:%Y-%m-%d} ({self.sessions:,} sessions)"


def suspended(bars: pd.DataFrame) -> np.ndarray:
    """Return which sessions (T,) are part of a suspension.

    Ten sessions or more in a row have no volume, and open, high, low and close are the close
    before. The tenth session makes the nine before it part of the suspension, too.
    """
    volume = bars["volume"].to_numpy(float)
    if not (volume == 0).any():
        return np.zeros(len(bars), bool)
    prices = _prices(bars)
    still = (volume == 0) & _equal(prices, _before(prices[:, 3])[:, None]).all(axis=1)
    shown = (volume > 0) | ~_equal(prices[:, 1], prices[:, 2])
    return _long_runs(still, SUSPENDED if shown.any() else SUSPENDED_FUND)


def suspension(bars: pd.DataFrame) -> Suspension | None:
    """Return the suspension in which the bars end; None where the last session had trades."""
    return _at_the_end(bars, suspended(bars))


def _at_the_end(bars: pd.DataFrame, idle: np.ndarray) -> Suspension | None:
    if not len(idle) or not idle[-1]:
        return None
    last = int(np.flatnonzero(~idle)[-1])
    return Suspension(bars.index[last], len(bars) - 1 - last)


def check_origin(bars: pd.DataFrame, ticker: str) -> None:
    """Check that a forecast can start from the last session.

    Raises:
        DataError: the ticker is suspended there, or its price never moves.
    """
    check_moves(bars, ticker)
    resting = suspension(bars)
    if resting is not None:
        raise DataError(
            f"{ticker}: Expected a session with trades at the origin. Received: none since "
            f"{resting}.",
            hint=f"lstm predict {shell_word(ticker)} --as-of {resting.since:%Y-%m-%d} goes back "
            "to its last trade",
        )


def check_moves(bars: pd.DataFrame, ticker: str) -> None:
    """Check that the close has moved: a money-market fund at 1.00 has nothing to forecast.

    Suspended sessions do not count. Of the others, the last 250 must hold a step.

    Raises:
        DataError: it has not.
    """
    traded = bars["close"].to_numpy(float)[~suspended(bars)]
    if len(bars) < MIN_STILL or 1 < len(traded) < MIN_STILL:
        return
    equal = _equal(traded, traded[-1])
    if not equal[-YEAR:].all():
        return
    span = f"all {len(bars):,}" if equal.all() else f"the last {YEAR}"
    raise DataError(
        f"{ticker}: Expected a price that moves. Received: {in_words(traded[-1])} in {span} "
        "sessions. There is nothing to forecast.",
        hint="leave it out: money-market funds and pegged prices stand still by design",
    )


def last_relisting(bars: pd.DataFrame, calendar: str) -> pd.Timestamp | None:
    """Return the first session of the newest listing; None where there is one listing.

    Twenty sessions or more, n, are missing before it, and its close lies more than 8 σ from
    the last one before them, and more than 3 σ·√(n + 1): in two months most prices move by 8 σ.
    σ is of one session, the root mean square of the 250 returns before the gap, and at least
    `least_volatility`.
    """
    sessions = pd.DatetimeIndex(bars.index)
    if not (_gaps(sessions) > RELISTED).any():
        return None
    missing = missing_before(calendar, sessions)
    gaps = np.flatnonzero(missing >= RELISTED)
    returns = log_returns(bars).to_numpy()
    usual = returns.copy()
    usual[gaps] = np.nan
    for row in gaps[::-1]:
        past = usual[max(0, row - YEAR) : row]
        past = past[np.isfinite(past)]
        sigma = np.sqrt(np.mean(past**2)) if len(past) else 0.0
        sigma = max(sigma, least_volatility(bars.iloc[:row])[-1])
        if abs(returns[row]) > sigma * max(MAX_STEP, MAX_WALK * np.sqrt(missing[row] + 1)):
            return sessions[row]
    return None


def readable(bars: pd.DataFrame, calendar: str) -> pd.DataFrame:
    """Return the bars that forecasts may read.

    Those since the last relisting, without suspended sessions: what is left out is a hole.
    A suspension counts as missing sessions, so that it may end with a relisting.
    """
    idle = suspended(bars)
    if idle.any():
        bars = without_rows(bars, idle)
    since = last_relisting(bars, calendar)
    return bars if since is None else bars.loc[since:]


def trading_notes(bars: pd.DataFrame, calendar: str) -> tuple[str, ...]:
    """Return what a user must know of the bars that forecasts do not read; mostly nothing."""
    idle = suspended(bars)
    resting = _at_the_end(bars, idle)
    since = last_relisting(without_rows(bars, idle) if idle.any() else bars, calendar)
    notes = []
    if since is not None:
        notes.append(f"relisted on {since:%Y-%m-%d}: earlier bars are stored and not read")
    until_its_last_trade = bars.index <= resting.since if resting else np.ones(len(bars), bool)
    ended = bars.index[idle & until_its_last_trade]
    if len(ended):
        notes.append(
            f"{len(ended):,} suspended sessions, the last of them {ended[-1]:%Y-%m-%d}, are stored "
            "and not read"
        )
    if resting is not None:
        notes.append(f"no trade since {resting}: no forecast until it trades")
    return tuple(notes)


def without_filled_days(bars: pd.DataFrame, calendar: str) -> tuple[pd.DataFrame, int]:
    """Return bars without rows that were filled in on days without a session, and their number.

    Such a row lies on no session of the calendar and repeats the prices of the row before, or
    its close, with its volume or none. Where no exchange calendar says so, a Saturday or a
    Sunday is no session if every bar on that day of the week is such a row. The dividends of
    what is dropped move to the next row.
    """
    index = pd.DatetimeIndex(bars.index)
    prices = _prices(bars)
    if len(bars) < 2:
        return bars, 0
    before, volume = np.roll(prices, 1, axis=0), bars["volume"].to_numpy(float)
    flat = np.array(_equal(prices, prices[:, 3:]).all(axis=1))
    of_close = flat & _equal(prices[:, 3], before[:, 3])
    of_close &= (volume == 0) | (volume == np.roll(volume, 1))
    filled = of_close | np.array(_equal(prices, before).all(axis=1))
    # The row before the first is not known.
    filled[0] = flat[0] and volume[0] == 0
    if calendar == WEEKDAYS:
        day = index.day_of_week.to_numpy()
        traded = np.bincount(day[~filled], minlength=7) > 0
        off = (day >= 5) & ~traded[day]
    else:
        days = sessions_between(calendar, index[0], index[-1], observed=index)
        off = ~np.isin(index.to_numpy(), days.to_numpy())
    dropped = filled & off
    return (without_rows(bars, dropped), int(dropped.sum())) if dropped.any() else (bars, 0)


def missing_before(calendar: str, sessions: pd.DatetimeIndex) -> np.ndarray:
    """Return how many sessions of the calendar are missing just before each one, (T,) int.

    Where no exchange calendar reaches, usual weekdays are missing if there are ten in a row.
    """
    missing = np.zeros(len(sessions), int)
    if not len(sessions):
        return missing
    days = sessions_between(calendar, sessions[0], sessions[-1], observed=sessions)
    missing[1:] = np.maximum(np.diff(days.searchsorted(sessions)) - 1, 0)
    day = pd.Timedelta(1, "D")
    for row in np.flatnonzero((_gaps(sessions) > LONG_CLOSURE) & (missing == 0)):
        first, last = sessions[row - 1] + day, sessions[row] - day
        usual = len(sessions_between(calendar, first, last, observed=sessions[:row]))
        missing[row] = usual if usual >= LONG_CLOSURE else 0
    return missing


def least_volatility(bars: pd.DataFrame) -> np.ndarray:
    """Return the least volatility of one session that a price in ticks allows, (T,).

    Half the tick over the close: what rounding to ticks hides. The tick is the smallest step of
    the close over the last 250 sessions, or the last known one if there was none. It is never
    below 1e-4. Row t uses sessions up to t.
    """
    return least_volatility_of(values_of(bars, ["close"]))[:, 0]


def least_volatility_of(close: np.ndarray) -> np.ndarray:
    """Return `least_volatility` of the closes (T, N) of several tickers."""
    step = np.abs(close - shifted(close, 1))
    step = np.where(step > ROUNDING * close, step, np.nan)
    tick = pd.DataFrame(rolling_min(step, YEAR)).ffill().to_numpy()
    return np.asarray(np.fmax(tick / 2 / close, SIGMA_FLOOR))


def _prices(bars: pd.DataFrame) -> np.ndarray:
    return values_of(bars, ["open", "high", "low", "close"])


def _before(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[np.nan], values])[:-1]


def _equal(prices: np.ndarray, others: np.ndarray | float) -> np.ndarray:
    """Return whether prices are equal but for rounding; none equals NaN."""
    equal: np.ndarray = np.abs(prices - others) <= ROUNDING * np.abs(prices)
    return equal


def _gaps(sessions: pd.DatetimeIndex) -> np.ndarray:
    """Return the days from the session before to each, (T,); 0 for the first."""
    days = sessions.to_numpy("datetime64[D]").astype(int)
    return np.diff(days, prepend=days[:1])


def _long_runs(flags: np.ndarray, least: int) -> np.ndarray:
    """Return the flags (T,) that stand in a run of at least so many."""
    padded = np.concatenate([[False], flags, [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    lengths = edges[1::2] - edges[::2]
    kept = flags.copy()
    kept[flags] = np.repeat(lengths >= least, lengths)
    return kept
