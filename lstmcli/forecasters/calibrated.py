"""Conformal calibration: quantiles and intervals that learn from their own misses.

There are two corrections. *A* moves every quantile by an order statistic of past
errors; it corrects the shape of the distribution over years. *B* moves the published
endpoints of the 50, 80 and 95 % intervals a little after each miss; it corrects the
coverage of one session within months, and that of twenty hardly ever.

No state is stored. A forecast from an origin also forecasts the out-of-sample history
before it, and learns from the labels in the order in which they arrived.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.forecasters.base import Fitted, Recipe, with_width
from lstmcli.forecasters.corrections import SPREAD, History, move_quantiles
from lstmcli.forecasters.intervals import OUTWARD, reach_of, track_endpoints
from lstmcli.frames import (
    FORECAST_COLUMNS,
    INTERVAL_COLUMNS,
    MEDIAN,
    QUANTILE_COLUMNS,
    QUANTILES,
    cumulative_returns,
    empty_forecast,
)
from lstmcli.panel import Panel
from lstmcli.trading import least_volatility

HISTORY = 1250
"""Sessions before `fit_end` that are learnt from at most: five years."""

ROWS = 40_000
"""Forecasts before `fit_end` that are learnt from at most, all tickers together: 500 tickers of
five years took 9 GB. Half a year is the least, as a large pool has little need of years."""

MIN_HISTORY = 126
"""Sessions before `fit_end` that are learnt from however many tickers there are."""

LONGEST_MOVED = 5
"""The longest step whose endpoints start from the quantiles after A; those of longer steps start
from the quantiles of the recipe, because there A did harm to the endpoints."""


@dataclass(frozen=True)
class Calibrated:
    """Any recipe, with its quantiles and intervals calibrated; itself a recipe.

    It keeps the name of the recipe. The column `calibrated` tells their forecasts apart.

    Per ticker and step h, with ŵ = q_.85 − q_.15 of the inner forecast:

    Equation: A: q_τ ← q_τ + c_τ·ŵ, c_τ an order statistic of (y − q_τ)/ŵ over the last
        2,500 dates, of the ticker and of all tickers, shrunk by its own error; c = 0 before
        there are 50·h dates.
        B: θ ← θ + (0.02/h)·(1{miss} − α/2) for each endpoint of a 1−α interval, once its
        label is realised; the endpoint lies θ·ŵ further out than after A, or, at h > 5,
        than the inner forecast's. Then the reach of each side is made non-decreasing in h.
    Source: Romano, Patterson, Candès (2019), Conformalized Quantile Regression, for A;
        Angelopoulos, Candès, Tibshirani (2023), Conformal PID Control for Time Series
        Prediction, the quantile tracker, for B.
    """

    recipe: Recipe

    @property
    def name(self) -> str:
        return self.recipe.name

    def fit(self, panel: Panel, until: pd.Timestamp) -> FittedCalibrated:
        return FittedCalibrated(self.recipe.fit(panel, until))


@dataclass(frozen=True)
class FittedCalibrated:
    """A fitted forecaster, calibrated by what it forecast since `learns_from`.

    It adds the columns `lo50 hi50 … hi95` to the forecast of `inner`, whose `calibrated`
    becomes True; see `calibrate`. It learns from forecasts that `inner` made out of sample,
    since `learns_from` and in the five years before `fit_end` (less for more than 32 tickers).

    The tickers of the panel are the pool of each other: with fewer of them in
    the panel, a ticker's quantiles differ a little.
    """

    inner: Fitted

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def fit_end(self) -> pd.Timestamp:
        return self.inner.fit_end

    @property
    def learns_from(self) -> pd.Timestamp:
        return self.inner.learns_from

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        return self.with_inner(panel, origins)[1]

    def with_inner(
        self, panel: Panel, origins: pd.DatetimeIndex
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the inner forecast and the calibrated one, for the price of one."""
        # All of the history, however few origins are wanted: where θ stands depends on where
        # it started, and an origin must get the same forecast whichever others are asked for.
        past = panel.until(origins.max()) if len(origins) else panel.only([])
        sessions = past.sessions()
        history = learnt_from(self.inner, past)
        raw = self.inner.forecast(past, history.union(sessions.intersection(origins)))
        start = history[0] if len(history) else self.learns_from
        return (
            raw[raw["made_on"].isin(origins)].reset_index(drop=True),
            calibrate(raw, past, origins, learns_from=start),
        )


def learnt_from(fitted: Fitted, panel: Panel) -> pd.DatetimeIndex:
    """Return the sessions of a panel whose forecasts calibration learns from.

    They are out of sample, and at most five years lie before the end of the fit.
    """
    sessions = panel.sessions()
    most = min(HISTORY, max(MIN_HISTORY, ROWS // max(1, len(panel))))
    recent = sessions[sessions <= fitted.fit_end][-most:]
    start = max(fitted.learns_from, recent[0]) if len(recent) else fitted.learns_from
    return sessions[sessions >= start]


def calibrate(
    raw: pd.DataFrame,
    panel: Panel,
    origins: pd.DatetimeIndex,
    *,
    learns_from: pd.Timestamp | None = None,
) -> pd.DataFrame:
    """Return the calibrated forecasts of one recipe from some origins.

    Dates go one after the other, whichever fit made their forecasts: θ, the endpoints that
    wait for their labels, and the errors outlast a refit. An origin learns from labels alone
    that had arrived by then.

    A calibrated row has one 95 % interval: `q025` and `q975` are `lo95` and `hi95`, and no
    other quantile lies beyond them. The ends of the 50 and the 80 % interval are not `q25`
    `q75` and `q10` `q90`: the first answer for their coverage, the others for the distribution.

    Args:
        raw: Forecasts of one recipe by one fit or by several, each ticker and date once and
            always at the same steps; from the origins and from the history before them.
        panel: holds every bar that the labels need; later ones change nothing.
        learns_from: an origin before it is calibrated, and not learnt from.
    """
    if not len(raw):
        return empty_forecast([*FORECAST_COLUMNS, *INTERVAL_COLUMNS])
    history, order = _history(raw, panel, learns_from)
    wanted = np.flatnonzero(np.isin(history.made_on, origins.to_numpy()))
    every = np.arange(len(history.made_on))
    start = reach_of(history.quantiles)
    moved = np.empty((len(wanted), *history.quantiles.shape[1:]))
    for place, step in enumerate(history.steps):
        if step > LONGEST_MOVED:
            moved[:, place] = move_quantiles(history, place, wanted)
            continue
        levels = move_quantiles(history, place, every)
        start[:, place] = reach_of(levels)
        moved[:, place] = levels[wanted]
    reach = track_endpoints(history, start)[wanted]
    columns = _columns(moved, reach, history.least[wanted])
    # From the order of dates back to that of the rows.
    chosen = order.reshape(-1, len(history.steps))[wanted].reshape(-1)
    back = np.argsort(chosen)
    rows = raw.iloc[chosen[back]].reset_index(drop=True)
    width = history.width[wanted].reshape(-1)
    spread = columns[QUANTILE_COLUMNS[SPREAD[1]]] - columns[QUANTILE_COLUMNS[SPREAD[0]]]
    wider = np.divide(spread, width, out=np.ones(len(rows)), where=width > 0)
    return rows.assign(
        calibrated=True,
        sigma=rows["sigma"].to_numpy(float) * wider[back],
        **{name: values[back] for name, values in columns.items()},
    )


def _history(
    raw: pd.DataFrame, panel: Panel, learns_from: pd.Timestamp | None
) -> tuple[History, np.ndarray]:
    """Return what was forecast and came, in the order of dates, and the rows in that order."""
    code, tickers = pd.factorize(raw["ticker"])
    made_on = raw["made_on"].to_numpy("datetime64[ns]")
    step = raw["step"].to_numpy(int)
    order = np.lexsort((step, code, made_on))
    steps = np.unique(step)
    shape = (-1, len(steps))
    code, made_on = code[order].reshape(shape)[:, 0], made_on[order].reshape(shape)[:, 0]
    target_on = raw["target_on"].to_numpy("datetime64[ns]")[order].reshape(shape)
    quantiles = raw[list(QUANTILE_COLUMNS)].to_numpy(float)[order]
    quantiles = quantiles.reshape(*target_on.shape, len(QUANTILES))
    outcome = np.full(target_on.shape, np.nan)
    least = np.empty(len(made_on))
    for number, ticker in enumerate(tickers):
        bars = panel[str(ticker)]
        rows = np.flatnonzero(code == number)
        sessions = bars.index.to_numpy("datetime64[ns]")
        at = np.searchsorted(sessions, made_on[rows])
        least[rows] = least_volatility(bars)[at]
        came = cumulative_returns(bars, int(steps[-1]))[at[:, None], steps - 1]
        # Across a hole the h-th next bar is not the session that was forecast.
        ahead = np.minimum(at[:, None] + steps, len(bars) - 1)
        outcome[rows] = np.where(sessions[ahead] == target_on[rows], came, np.nan)
    if learns_from is not None:
        outcome[made_on < learns_from.to_datetime64()] = np.nan
    width = quantiles[..., SPREAD[1]] - quantiles[..., SPREAD[0]]
    return History(steps, code, made_on, target_on, quantiles, width, outcome, least), order


def _columns(quantiles: np.ndarray, reach: np.ndarray, least: np.ndarray) -> dict[str, np.ndarray]:
    """Return the quantiles (n, S, Q) and the intervals of calibrated rows, by column (n·S,)."""
    levels = with_width(quantiles, least[:, None])
    ends = levels[..., MEDIAN, None, None] + reach * OUTWARD[:, None]  # (n, S, 2, C)
    low, high = ends[..., 0, -1], ends[..., 1, -1]
    levels = np.clip(levels, low[..., None], high[..., None])
    levels[..., 0], levels[..., -1] = low, high
    columns = dict(zip(QUANTILE_COLUMNS, levels.reshape(-1, len(QUANTILES)).T, strict=True))
    # (…, 2, C) → lower and upper of one coverage after the other
    pairs = np.moveaxis(ends, -2, -1).reshape(-1, len(INTERVAL_COLUMNS))
    return columns | dict(zip(INTERVAL_COLUMNS, pairs.T, strict=True))
