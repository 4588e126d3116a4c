"""The announcement clock: when a company is likely to report, read off its bars alone.

Companies report every 13 weeks, mostly on the same weekday, and a report makes the range and
the volume of a session unusual. The clock learns from many tickers how much more than usual a
session will move, given what was unusual one to eight quarters before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from lstmcli.forecasters.filtered_simulation import MIN_POOL
from lstmcli.forecasters.small_products import by_rows
from lstmcli.forecasters.volatility.regressors import unusual
from lstmcli.frames import Section
from lstmcli.panel import Panel
from lstmcli.sessions import WEEKDAYS
from lstmcli.windows import calendar_days

QUARTER = 91
"""Days from one report to the next: 13 weeks keep the weekday."""

QUARTERS = 8
AROUND = 3
"""Sessions by which a report comes earlier or later than a multiple of 13 weeks."""

YEARS = slice(3, None, 4)
"""Of quarters one to eight, those a whole number of years ago: annual reports."""

SEASONS = 4
"""Waves of the day of the quarter: most companies report in its first weeks."""

LONGEST_QUARTER = 91.3
"""Days of a mean calendar quarter."""

CLOCK_STEPS = (1, 5, 10, 20)
"""Steps over which the clock is averaged, whatever step is regressed."""

CLOCK_COLUMNS = 59
"""What `clock_columns` reads of a session."""

ROWS = 60_000
"""Sessions to learn from; more change nothing that can be measured."""

Rows = slice | np.ndarray
"""Which sessions are asked for: a stretch, or their positions."""

ALL = slice(None)

PENALTY = 0.1
"""Of a squared standardised coefficient, in units of one row's deviance."""

MAX_VARIANCE = 40.0
"""Bound of a session's variance, in units of the usual one."""


def median_unusual(panel: Panel) -> pd.DataFrame:
    """Return how unusual each session was for the middle one of a panel's tickers, (S, 2).

    NaN where fewer than `MIN_POOL` tickers say so.
    """
    sessions = panel.sessions()
    every = np.full((2, len(sessions), len(panel)), np.nan, np.float32)
    for number, bars in enumerate(panel.values()):
        at = sessions.get_indexer(bars.index)
        every[:, at, number] = unusual(bars).to_numpy(np.float32).T
    enough = np.isfinite(every[0]).sum(axis=1) >= MIN_POOL
    median = np.full((2, len(sessions)), np.nan)
    median[:, enough] = np.nanmedian(every[:, enough], axis=2)
    return pd.DataFrame(median.T, index=sessions, columns=["range", "volume"])


def shocks(own: pd.DataFrame, usual: pd.DataFrame | None) -> pd.DataFrame:
    """Return how unusual each session is beyond the market, (T, 2).

    Args:
        own: `range` and `volume` of a ticker; see `regressors.unusual`.
        usual: the same of the market, such as the median of a panel; None: nothing is
            taken off.
    """
    if usual is None:
        return own
    return own - usual.reindex(own.index).to_numpy()


@dataclass(frozen=True)
class Days:
    """Sessions of a calendar, and what the clock reads of their dates alone.

    Attributes:
        sessions: (S,) ascending, also those ahead of the last bar.
    """

    sessions: pd.DatetimeIndex

    def origins(self, sessions: pd.DatetimeIndex) -> np.ndarray:
        """Return the position (T,) of each session, or of the last day before it."""
        return np.asarray(self.sessions.searchsorted(sessions, side="right") - 1)

    @cached_property
    def bases(self) -> np.ndarray:
        """The position (S, 8) of b_q; far below 0 where it lies before the first session."""
        back = pd.to_timedelta(QUARTER * np.arange(1, QUARTERS + 1), unit="D").to_numpy()
        days = self.sessions.to_numpy()
        position = np.searchsorted(days, days[:, None] - back)
        return np.where(position == 0, -2 * AROUND, position)

    @cached_property
    def season(self) -> np.ndarray:
        """Waves of the day of the quarter and the weekday, (S, 13)."""
        phase = 2 * np.pi * day_of_quarter(self.sessions) / LONGEST_QUARTER
        waves = [wave(k * phase) for wave in (np.sin, np.cos) for k in range(1, SEASONS + 1)]
        weekday = self.sessions.day_of_week.to_numpy()
        return np.stack([*waves, *((weekday == day) for day in range(5))], axis=1)


def clock_columns(shock: pd.DataFrame, days: Days, rows: Rows = ALL) -> np.ndarray:
    """Return `clock_columns_of` one ticker, (S, 59) float32.

    Args:
        shock: as `shocks` returns it.
        rows: the sessions that are asked for.
    """
    both = shock.reindex(days.sessions).to_numpy(float)
    return clock_columns_of(both[None, :, 0], both[None, :, 1], days, rows)[0]


def clock_columns_of(
    ranges: np.ndarray, volumes: np.ndarray, days: Days, rows: Rows = ALL
) -> np.ndarray:
    """Return what a session's variance is read off, (N, S, 59) float32.

    Equation: s = max(0, min(max(r, −1), 4) + min(max(v, −1), 3)), r and v the shocks of range
    and volume; for a session D, b_q is the first session from D − 91·q days on, q = 1 … 8.
    Columns: s(b_q), its maxima over one and over three sessions around; the means over q at
    each of the seven sessions around, and those of q = 4 and 8; the means, the two middle
    values and the squared means of the first two; the season and the weekday.

    Args:
        ranges, volumes: (N, S) shocks of N tickers on `days`; NaN where not known.
        days: S sessions; what a session reads lies 88 days before it.
        rows: the sessions that are asked for.
    """
    size = np.clip(np.nan_to_num(ranges), -1, 4) + np.clip(np.nan_to_num(volumes), -1, 3)
    size = np.maximum(size, 0)
    at = days.bases[rows][..., None] + np.arange(-AROUND, AROUND + 1)  # (S, 8, 7)
    around = np.where(at >= 0, size[:, np.maximum(at, 0)], 0.0)  # (N, S, 8, 7)
    exact = around[..., AROUND]
    near = around[..., AROUND - 1 : AROUND + 2].max(axis=-1)
    middle = slice(QUARTERS // 2 - 1, QUARTERS // 2 + 1)
    parts = [
        exact,
        near,
        around.max(axis=-1),
        around.mean(axis=-2),
        around[:, :, YEARS].mean(axis=-2),
        near.mean(axis=-1, keepdims=True),
        exact.mean(axis=-1, keepdims=True),
        np.sort(near, axis=-1)[..., middle],
        np.sort(exact, axis=-1)[..., middle],
        near.mean(axis=-1, keepdims=True) ** 2,
        exact.mean(axis=-1, keepdims=True) ** 2,
        np.broadcast_to(days.season[rows], (*around.shape[:2], days.season.shape[1])),
    ]
    return np.concatenate(parts, axis=-1).astype(np.float32)


def day_of_quarter(days: pd.DatetimeIndex) -> np.ndarray:
    """Return the days (S,) since the first of the calendar quarter."""
    start = days.to_period("Q").start_time
    return np.asarray((days - start).days, float)


class FittedClock(Section):
    """What the clock has learnt; few enough numbers for a JSON file.

    Equation: ŵ(D) = exp(a + Σ b·(x − mean)/scale), x of `clock_columns`.

    Attributes:
        mean, scale, coefficients: (59,).
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float

    def variance(self, columns: np.ndarray) -> np.ndarray:
        """Return the variance (S,) expected of sessions, in units of the usual one."""
        slopes = np.asarray(self.coefficients) / np.asarray(self.scale)
        start = self.intercept - np.asarray(self.mean) @ slopes
        return np.exp(start + by_rows(columns, slopes))


def fit_clock(parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> FittedClock:
    """Return the Poisson regression of sessions' variance on the clock's columns.

    Source: Gourieroux, Monfort, Trognon (1984), Pseudo Maximum Likelihood Methods: Theory,
    Econometrica 52: of a mean that is an exponential, the Poisson likelihood is consistent
    whatever the distribution; Patell, Wolfson (1981) for the quarterly cycle.

    Args:
        parts: of each ticker, columns (S, 59) and the shock of range (S,), NaN where there is
            none; see `learnt_rows` to keep them few.
    """
    from sklearn.linear_model import PoissonRegressor
    from sklearn.preprocessing import StandardScaler

    x, shock = (np.concatenate(each) for each in zip(*parts, strict=True))
    known = np.isfinite(shock)
    x, variance = x[known].astype(float), np.minimum(np.exp(shock[known]), MAX_VARIANCE)
    scaler = StandardScaler().fit(x)
    model = PoissonRegressor(alpha=PENALTY, max_iter=300).fit(scaler.transform(x), variance)
    return FittedClock(
        mean=tuple(scaler.mean_.tolist()),
        scale=tuple(scaler.scale_.tolist()),
        coefficients=tuple(model.coef_.tolist()),
        intercept=float(model.intercept_),
    )


def learnt_rows(
    shock: pd.DataFrame, days: Days, sessions: pd.DatetimeIndex, nth: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the clock learns of one ticker: columns (n, 59) and the shock of range (n,).

    Args:
        sessions: of the ticker; every `nth` serves.
    """
    rows = np.unique(days.origins(sessions))[::nth]
    size = shock["range"].reindex(days.sessions).to_numpy(float)
    return clock_columns(shock, days, rows), size[rows]


def every_nth(rows: int) -> int:
    """Return n: of so many rows, every n-th is enough to learn the clock from."""
    return max(1, rows // ROWS)


def clock_ahead(
    variance: np.ndarray, days: Days, origins: np.ndarray, steps: Sequence[int]
) -> np.ndarray:
    """Return the logarithm of the mean variance expected over the next sessions, (…, T, A).

    A session that reads past the origin is left out: at 60 sessions ahead 13 weeks before may
    lie two or three sessions after the origin. Where all are, 0: as usual.

    Args:
        variance: (…, S) expected of `days`.
        origins: (T,) positions among `days`; `max(steps)` days follow the last.
        steps: A numbers of sessions.
    """
    reads = days.bases[:, 0] + AROUND  # the latest session that a day reads
    longest = max(steps)
    ahead = origins[:, None] + np.arange(1, longest + 1)  # (T, H)
    known = reads[ahead] <= origins[:, None]
    total = np.cumsum(np.where(known, variance[..., ahead], 0.0), axis=-1)
    count = np.cumsum(known, axis=-1)
    at = np.asarray(steps) - 1
    mean = np.where(count[:, at] > 0, total[..., at] / np.maximum(count[:, at], 1), 1.0)
    return np.log(mean)


def fit_panel_clock(panel: Panel) -> FittedClock:
    """Return a clock learnt from all tickers of a panel."""
    parts = []
    nth = every_nth(sum(len(bars) for bars in panel.values()))
    for ticker, (days, shock) in _panel_shocks(panel):
        parts.append(learnt_rows(shock, days, pd.DatetimeIndex(panel[ticker].index), nth))
    return fit_clock(parts)


def clock_regressors(panel: Panel, clock: FittedClock) -> dict[str, pd.DataFrame]:
    """Return `clock_1` … `clock_20` of each ticker, (T, 4); see `clock_ahead`."""
    columns = {}
    for ticker, (days, shock) in _panel_shocks(panel):
        sessions = pd.DatetimeIndex(panel[ticker].index)
        variance = clock.variance(clock_columns(shock, days))
        ahead = clock_ahead(variance, days, days.origins(sessions), CLOCK_STEPS)
        names = [f"clock_{h}" for h in CLOCK_STEPS]
        columns[ticker] = pd.DataFrame(ahead, index=sessions, columns=names)
    return columns


def _panel_shocks(panel: Panel) -> Iterator[tuple[str, tuple[Days, pd.DataFrame]]]:
    """Yield each ticker with its days and its shocks, counted from the panel where it has any."""
    usual = median_unusual(panel).fillna(0.0)
    for ticker, days in panel_days(panel):
        yield ticker, (days, shocks(unusual(panel[ticker]), usual))


def panel_days(panel: Panel) -> Iterator[tuple[str, Days]]:
    """Yield each ticker with the days of its calendar, those ahead of its last bar included."""
    shared: dict[str, Days] = {}
    for ticker, bars in panel.items():
        calendar = panel.calendars.get(ticker, WEEKDAYS)
        # Without an exchange calendar a ticker's own bars show which days trade.
        key = ticker if calendar == WEEKDAYS else f"{calendar} {bars.index[0]} {bars.index[-1]}"
        if key not in shared:
            shared[key] = Days(calendar_days(panel.view(ticker), max(CLOCK_STEPS)))
        yield ticker, shared[key]
