"""Conformal calibration: quantiles and intervals that learn from their own misses.

Two corrections, one after the other. *A* moves every quantile by an order
statistic of past errors, which repairs the shape over years. *B* moves the
published endpoints of the 50, 80 and 95 % intervals a little after each miss,
which repairs coverage within weeks.

Nothing is stored: whoever forecasts an origin forecasts the out-of-sample
history before it, too, and learns from the labels in the order in which they
arrived. A run that is fitted again, or bars that grow, have their state at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pandas as pd

from lstmcli.forecasters.base import Fitted, Recipe
from lstmcli.forecasters.order_statistics import order_statistics
from lstmcli.frames import (
    COVERAGES,
    FORECAST_COLUMNS,
    INTERVAL_COLUMNS,
    MEDIAN,
    QUANTILE_COLUMNS,
    QUANTILES,
    cone_columns,
    cumulative_returns,
)
from lstmcli.panel import Panel

SUFFIX = "+calibrated"
"""Ends the name of a calibrated recipe: what is published."""

MEMORY = 1000
"""Realised origins whose errors move the quantiles: about four years."""

MIN_MEMORY = 100
"""Realised origins without which the quantiles are left as they are."""

HISTORY = 1250
"""Sessions before `fit_end` that are learnt from at most: five years, a memory and a start."""

ROWS = 40_000
"""Forecasts before `fit_end` that are learnt from at most, all tickers together: 500 tickers of
five years took 9 GB. Half a year is the least, as a large pool has little need of years."""

MIN_HISTORY = 126
"""Sessions before `fit_end` that are learnt from however many tickers there are."""

POOL_WEIGHT = 1000
"""Independent errors of its own that a ticker needs to count as much as the pool."""

DOUBT = 1.0
"""Standard errors that a correction of a quantile has to exceed."""

CAUTION = 20
"""Independent errors with which the correction of an endpoint goes half the way: the
Winkler score of MRK and MDT is best between 20 and 40, and their coverage right."""

REFRESH = 5
"""Sessions between two looks at the errors: in a week hardly one in 200 of them changes."""

RATE = 0.02
"""Widths by which one miss of a one-step forecast moves an endpoint, at most."""

BOUNDS = (-1.0, 3.0)
"""Least and most widths that an endpoint moves outward: finite, whatever happens."""

_SPREAD = QUANTILES.index(0.15), QUANTILES.index(0.85)
_ENDS = np.array(  # (2, C): quantile columns of the lower and the upper endpoints
    [[QUANTILE_COLUMNS.index(name) for name in cone_columns(share)] for share in COVERAGES]
).T
_OUTWARD = np.array([-1.0, 1.0])


def _unit_error() -> np.ndarray:
    """Return the standard error (Q,) of each quantile of one normal draw, in widths."""
    normal = NormalDist()
    z = [normal.inv_cdf(level) for level in QUANTILES]
    width = z[_SPREAD[1]] - z[_SPREAD[0]]
    return np.array(
        [
            np.sqrt(level * (1 - level)) / (normal.pdf(each) * width)
            for level, each in zip(QUANTILES, z, strict=True)
        ]
    )


_UNIT_ERROR = _unit_error()


@dataclass(frozen=True)
class Calibrated:
    """Any recipe, with its quantiles and intervals calibrated; itself a recipe.

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
        return f"{self.recipe.name}{SUFFIX}"

    def fit(self, panel: Panel, until: pd.Timestamp) -> FittedCalibrated:
        return FittedCalibrated(self.recipe.fit(panel, until))


@dataclass(frozen=True)
class FittedCalibrated:
    """A fitted forecaster, calibrated by what it forecast since `learns_from`.

    It adds the columns `lo50 hi50 … hi95` to the forecast of `inner`. It learns
    from forecasts that `inner` made out of sample, since `learns_from` and in the five
    years before `fit_end` (less for more than 32 tickers); an origin before that keeps
    its quantiles.

    The tickers of the panel are the pool of each other: with fewer of them in
    the panel, a ticker's quantiles differ a little.
    """

    inner: Fitted

    @property
    def name(self) -> str:
        return f"{self.inner.name}{SUFFIX}"

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
        # it started, and the same origin must get the same forecast whoever asks beside it.
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
            return raw, pd.DataFrame(columns=[*FORECAST_COLUMNS, *INTERVAL_COLUMNS])
        # The history of a universe is large, and its tracks hold what is left to do.
        wanted = raw[raw["made_on"].isin(origins)].reset_index(drop=True)
        del raw
        moved, ends = _move_quantiles(tracks, history[::REFRESH].to_numpy())
        reach = _move_endpoints(tracks, ends)
        parts = [
            _rows(self.name, track, quantiles, ends)
            for track, quantiles, ends in zip(tracks, moved, reach, strict=True)
        ]
        return wanted, pd.concat(parts, ignore_index=True)


class _Track(NamedTuple):
    """What one ticker was forecast from N origins, and what came.

    Attributes:
        rows: the inner forecast from the W origins that are wanted, W·H rows.
        wanted: (N,) which ones those are.
        made_on: (N,) datetime64, ascending.
        target_on: (N, H) datetime64.
        bar: (N,) position among the bars since `learns_from`; negative before.
        quantiles: (N, H, Q) log returns.
        width: (N, H) log returns, between the quantiles 0.15 and 0.85.
        outcome: (N, H) log returns; NaN where there is no label to learn from.
    """

    rows: pd.DataFrame
    wanted: np.ndarray
    made_on: np.ndarray
    target_on: np.ndarray
    bar: np.ndarray
    quantiles: np.ndarray
    width: np.ndarray
    outcome: np.ndarray


def _track(
    bars: pd.DataFrame, rows: pd.DataFrame, learns_from: pd.Timestamp, origins: pd.DatetimeIndex
) -> _Track:
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
    return _Track(
        rows=rows[np.repeat(wanted, horizon)],
        wanted=wanted,
        made_on=made_on,
        target_on=target_on,
        bar=at - int(np.searchsorted(sessions, learns_from.to_datetime64())),
        quantiles=quantiles,
        width=quantiles[..., _SPREAD[1]] - quantiles[..., _SPREAD[0]],
        outcome=np.where(labelled, cumulative_returns(bars, horizon)[at], np.nan),
    )


def _move_quantiles(
    tracks: Sequence[_Track], refreshed: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return each track's quantiles after A, and those that the endpoints start from.

    The first from the origins that are wanted, (W, H, Q), the second from all, (N, H, Q).

    Args:
        refreshed: (R,) sessions on which the errors are looked at, ascending; the
            origins up to the next one share what was seen.
    """
    moved = [track.quantiles[track.wanted] for track in tracks]
    ends = [track.quantiles.copy() for track in tracks]
    latest = [np.searchsorted(refreshed, track.made_on, side="right") - 1 for track in tracks]
    for h in range(moved[0].shape[1]):
        scores = [_scores(track, h) for track in tracks]
        pool, dates = _seen(scores, refreshed)  # (R, Q), (R,)
        for k, (track, errors) in enumerate(zip(tracks, scores, strict=True)):
            own, origins = (pool, dates) if len(tracks) == 1 else _seen([errors], refreshed)
            # Errors of h steps overlap: n of them say as much as n/h that do not.
            effective = origins[:, None] / (h + 1)
            weight = effective / (effective + POOL_WEIGHT)
            shift = weight * own + (1 - weight) * pool
            shift[dates < MIN_MEMORY] = 0.0
            shift[:, MEDIAN] = 0.0
            seen = dates / (h + 1)
            cautious = shift * (seen / (seen + CAUTION))[:, None]
            _move(
                moved[k][:, h],
                _shrunk(shift, seen),
                latest[k][track.wanted],
                track.width[track.wanted, h],
            )
            _move(ends[k][:, h], cautious, latest[k], track.width[:, h])
    for quantiles in (*moved, *ends):
        # Held to its side of the median, no quantile moves the median when all are sorted.
        median = quantiles[..., MEDIAN, None]
        np.minimum(quantiles[..., :MEDIAN], median, out=quantiles[..., :MEDIAN])
        np.maximum(quantiles[..., MEDIAN:], median, out=quantiles[..., MEDIAN:])
        quantiles.sort(axis=-1)
    return moved, ends


def _move(quantiles: np.ndarray, shift: np.ndarray, latest: np.ndarray, width: np.ndarray) -> None:
    """Add to quantiles (N, Q), in place, the shift (R, Q) seen latest before each origin."""
    known = latest >= 0
    quantiles[known] += shift[latest[known]] * width[known, None]


def _shrunk(shift: np.ndarray, effective: np.ndarray) -> np.ndarray:
    """Return corrections (R, Q), less those that may be chance.

    Equation: c · max(0, 1 − (e/c)²), e = √(τ(1−τ)/n) / (φ(z_τ)·(z_.85 − z_.15)), the standard
        error of a quantile in widths, of a normal distribution.
    Source: James, Stein (1961), Estimation with Quadratic Loss, its positive part.
    """
    error = _UNIT_ERROR / np.sqrt(np.maximum(effective, 1e-9))[:, None]
    ratio = np.divide(DOUBT * error, shift, out=np.ones_like(shift), where=shift != 0)
    return shift * np.maximum(0.0, 1 - ratio**2)


def _scores(track: _Track, h: int) -> tuple[np.ndarray, np.ndarray]:
    """Return when labels arrived, (M,) ascending, and their errors in widths, (Q, M)."""
    # A forecast without width, as of a suspended share, has no unit for its error.
    known = np.isfinite(track.outcome[:, h]) & (track.width[:, h] > 0)
    errors = track.outcome[known, h] - track.quantiles[known, h].T
    return track.target_on[known, h], errors / track.width[known, h]


def _seen(
    scores: Sequence[tuple[np.ndarray, np.ndarray]], refreshed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the last errors say of each level, (R, Q), and of how many dates, (R,).

    The memory is counted in dates on which labels arrived, so that a pool of
    many tickers forgets as slowly as one ticker does.
    """
    arrived = np.concatenate([dates for dates, _ in scores])
    levels = np.asarray(QUANTILES)
    if not len(arrived):
        return np.zeros((len(refreshed), len(levels))), np.zeros(len(refreshed), int)
    order = np.argsort(arrived, kind="stable")
    errors = np.concatenate([each for _, each in scores], axis=1)[:, order]
    dates, first = np.unique(arrived[order], return_index=True)
    first = np.append(first, len(arrived))  # the rows of date d: first[d] … first[d+1] − 1
    last = np.searchsorted(dates, refreshed, side="right")
    oldest = np.maximum(last - MEMORY, 0)
    start, stop = first[oldest], first[last]
    seen = np.zeros((len(refreshed), len(levels)))
    some = stop > start
    count = (stop - start)[some]
    # 21 · 0.05 is 1.05 and a little more: unrounded, a whole number may pass for the next one.
    number = np.round((count + 1) * levels[:, None], 9)  # (Q, ·)
    number = np.where(levels[:, None] < 0.5, np.floor(number), np.ceil(number))
    rank = np.clip(number, 1, count).astype(int) - 1
    seen[some] = order_statistics(errors, start[some], stop[some], rank).T
    return seen, last - oldest


def _move_endpoints(tracks: Sequence[_Track], quantiles: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return how far each endpoint of B lies from the median, outward: (N, H, 2, C).

    Lower before upper, coverages ascending. All tickers go together, each by
    its own bars: the label of step h arrives at the h-th bar after the origin.
    """
    horizon = quantiles[0].shape[1]
    bars = max(1, *(int(track.bar.max()) + 1 for track in tracks))
    shape = (bars, horizon, len(tracks))
    reach = np.full((*shape, *_ENDS.shape), np.nan)
    width = np.full((*shape, 1, 1), np.nan)
    beyond = np.full((*shape, 2, 1), np.nan)  # the outcome, counted as the endpoints are
    start = []
    for k, (track, levels) in enumerate(zip(tracks, quantiles, strict=True)):
        median = levels[..., MEDIAN]
        start.append((levels[..., _ENDS] - median[..., None, None]) * _OUTWARD[:, None])
        known = track.bar >= 0
        at = track.bar[known]
        reach[at, :, k] = start[k][known]
        width[at, :, k] = track.width[known][..., None, None]
        beyond[at, :, k] = ((track.outcome - median)[known][..., None] * _OUTWARD)[..., None]

    steps = np.arange(1, horizon + 1)
    rate = (RATE / steps)[:, None, None, None]
    tail = (1 - np.asarray(COVERAGES)) / 2
    theta = np.zeros((horizon, len(tracks), *_ENDS.shape))
    for now in range(bars):
        steps_in = steps[:now]  # longer steps have no label yet
        arrived = beyond[now - steps_in, steps_in - 1]  # (≤ H, K, 2, 1)
        miss = arrived > reach[now - steps_in, steps_in - 1]
        learnt = np.where(np.isfinite(arrived), rate[: len(steps_in)] * (miss - tail), 0.0)
        theta[: len(steps_in)] += learnt
        np.clip(theta, *BOUNDS, out=theta)
        # What is published nests and holds the median; that is what later counts as hit or miss.
        wanted = np.maximum(reach[now] + theta * width[now], 0.0)
        np.maximum.accumulate(wanted, axis=-1, out=reach[now])
    for k, track in enumerate(tracks):
        known = track.bar >= 0
        start[k][known] = reach[track.bar[known], :, k]
    return start


def _rows(name: str, track: _Track, quantiles: np.ndarray, reach: np.ndarray) -> pd.DataFrame:
    """Return the Forecast of a ticker from its wanted origins, with its intervals."""
    rows = track.rows
    levels = quantiles.reshape(len(rows), -1)
    reach = reach[track.wanted].reshape(len(rows), 2, -1)
    ends = levels[:, MEDIAN, None, None] + reach * _OUTWARD[:, None]
    width = track.width[track.wanted].reshape(-1)
    spread = levels[:, _SPREAD[1]] - levels[:, _SPREAD[0]]
    wider = np.divide(spread, width, out=np.ones(len(rows)), where=width > 0)
    columns = dict(zip(QUANTILE_COLUMNS, levels.T, strict=True))
    # (N, 2, C) → lower and upper of one coverage after the other
    columns |= dict(
        zip(INTERVAL_COLUMNS, ends.transpose(2, 1, 0).reshape(-1, len(rows)), strict=True)
    )
    return rows.assign(recipe=name, sigma=rows["sigma"].to_numpy(float) * wider, **columns)
