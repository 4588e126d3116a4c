"""Conformal calibration: quantiles and intervals that learn from their own misses.

There are two corrections. *A* moves every quantile by an order statistic of past
errors; it corrects the shape of the distribution over years. *B* moves the published
endpoints of the 50, 80 and 95 % intervals a little after each miss; it corrects the
coverage within weeks.

No state is stored. A forecast from an origin also forecasts the out-of-sample history
before it, and learns from the labels in the order in which they arrived.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.forecasters.base import NO_WIDTH, Fitted, Recipe, with_width
from lstmcli.forecasters.corrections import OUTWARD, SPREAD, Track, move_endpoints, move_quantiles
from lstmcli.frames import (
    COVERAGES,
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
"""Sessions before `fit_end` that are learnt from at most: five years, a memory and a start."""

ROWS = 40_000
"""Forecasts before `fit_end` that are learnt from at most, all tickers together: 500 tickers of
five years took 9 GB. Half a year is the least, as a large pool has little need of years."""

MIN_HISTORY = 126
"""Sessions before `fit_end` that are learnt from however many tickers there are."""

REFRESH = 5
"""Sessions between two updates of A: in a week, fewer than one error in 200 changes."""


@dataclass(frozen=True)
class Calibrated:
    """Any recipe, with its quantiles and intervals calibrated; itself a recipe.

    It keeps the name of the recipe. The column `calibrated` tells their forecasts apart.

    Per ticker and step h, with ŵ = q_.85 − q_.15 of the inner forecast:

    Equation: A: q_τ ← q_τ + c_τ·ŵ, c_τ an order statistic of (y − q_τ)/ŵ over the last
        1,000 realised origins: number ⌊(n+1)τ⌋ below the median, ⌈(n+1)τ⌉ above; shrunk by
        its own error, and for endpoints to c·m/(m + 20), m = n/h.
        B: θ ← θ + (0.02/h)·(1{miss} − α/2) for each endpoint of a 1−α interval, once its
        label is realised; the endpoint lies θ·ŵ further out than after A.
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
    becomes True. It learns from forecasts that `inner` made out of sample, since
    `learns_from` and in the five years before `fit_end` (less for more than 32 tickers);
    an origin before that keeps its quantiles.

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
        most = min(HISTORY, max(MIN_HISTORY, ROWS // max(1, len(past.bars))))
        recent = sessions[sessions <= self.fit_end][-most:]
        start = max(self.learns_from, recent[0]) if len(recent) else self.learns_from
        history = sessions[sessions >= start]
        raw = self.inner.forecast(past, history.union(sessions.intersection(origins)))
        tracks = [
            _track(past[str(ticker)], rows, start, origins)
            for ticker, rows in raw.groupby("ticker", sort=False)
        ]
        if not tracks:
            return raw, empty_forecast([*FORECAST_COLUMNS, *INTERVAL_COLUMNS])
        # The history of a universe is large. From here on its tracks suffice.
        wanted = raw[raw["made_on"].isin(origins)].reset_index(drop=True)
        del raw
        moved, ends = move_quantiles(tracks, history[::REFRESH].to_numpy())
        reach = move_endpoints(tracks, ends)
        parts = [
            _rows(track, quantiles, ends)
            for track, quantiles, ends in zip(tracks, moved, reach, strict=True)
        ]
        return wanted, pd.concat(parts, ignore_index=True)


def _track(
    bars: pd.DataFrame, rows: pd.DataFrame, learns_from: pd.Timestamp, origins: pd.DatetimeIndex
) -> Track:
    horizon = int(rows["step"].max())
    quantiles = rows[list(QUANTILE_COLUMNS)].to_numpy(float)
    quantiles = quantiles.reshape(-1, horizon, len(QUANTILES))
    target_on = rows["target_on"].to_numpy("datetime64[ns]").reshape(-1, horizon)
    made_on = rows["made_on"].to_numpy("datetime64[ns]")[::horizon]
    sessions = bars.index.to_numpy("datetime64[ns]")
    at = np.searchsorted(sessions, made_on)
    ahead = at[:, None] + np.arange(1, horizon + 1)  # (N, H)
    # Across a hole the h-th next bar is not the session that was forecast.
    labelled = sessions[np.minimum(ahead, len(bars) - 1)] == target_on
    labelled &= (made_on >= learns_from.to_datetime64())[:, None]
    wanted = np.isin(made_on, origins.to_numpy())
    return Track(
        rows=rows[np.repeat(wanted, horizon)],
        wanted=wanted,
        made_on=made_on,
        target_on=target_on,
        bar=at - int(np.searchsorted(sessions, learns_from.to_datetime64())),
        quantiles=quantiles,
        width=quantiles[..., SPREAD[1]] - quantiles[..., SPREAD[0]],
        outcome=np.where(labelled, cumulative_returns(bars, horizon)[at], np.nan),
        least=np.repeat(least_volatility(bars)[at[wanted]], horizon),
    )


def _rows(track: Track, quantiles: np.ndarray, reach: np.ndarray) -> pd.DataFrame:
    """Return the Forecast of a ticker from its wanted origins, with its intervals."""
    rows = track.rows
    # A ticker without a bar of the origin has no rows: their number says nothing then.
    levels = with_width(quantiles.reshape(-1, len(QUANTILES)), track.least)
    reach = reach[track.wanted].reshape(-1, 2, len(INTERVAL_COLUMNS) // 2)
    # The ends of the intervals, as the quantiles: half a tick further out where they meet.
    thin = reach[:, :, 0].sum(axis=1) < NO_WIDTH * track.least
    reach = reach + (thin * track.least)[:, None, None] * np.asarray(COVERAGES)
    ends = levels[:, MEDIAN, None, None] + reach * OUTWARD[:, None]
    width = track.width[track.wanted].reshape(-1)
    spread = levels[:, SPREAD[1]] - levels[:, SPREAD[0]]
    wider = np.divide(spread, width, out=np.ones(len(rows)), where=width > 0)
    columns = dict(zip(QUANTILE_COLUMNS, levels.T, strict=True))
    # (N, 2, C) → lower and upper of one coverage after the other
    columns |= dict(
        zip(
            INTERVAL_COLUMNS,
            ends.transpose(2, 1, 0).reshape(len(INTERVAL_COLUMNS), -1),
            strict=True,
        )
    )
    return rows.assign(calibrated=True, sigma=rows["sigma"].to_numpy(float) * wider, **columns)
