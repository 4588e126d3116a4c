"""The two corrections of a calibrated forecast, learnt from errors as they arrive."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pandas as pd

from lstmcli.forecasters.order_statistics import order_statistics
from lstmcli.frames import COVERAGES, MEDIAN, QUANTILE_COLUMNS, QUANTILES, cone_columns

MEMORY = 1000
"""Realised origins whose errors move the quantiles: about four years."""

MIN_MEMORY = 100
"""Realised origins without which the quantiles are left as they are."""

POOL_WEIGHT = 1000
"""Independent errors of its own that a ticker needs to count as much as the pool."""

SHRINKAGE = 1.0
"""Standard errors of a quantile at which its correction has shrunk to nothing."""

ENDPOINT_WEIGHT = 20
"""Independent errors with which an endpoint moves by half of its correction. The Winkler
score of MRK and MDT is best between 20 and 40, and their coverage is right."""

RATE = 0.02
"""Widths by which one miss of a one-step forecast moves an endpoint, at most."""

BOUNDS = (-1.0, 3.0)
"""Least and most widths that an endpoint moves outward: finite, whatever happens."""

SPREAD = QUANTILES.index(0.15), QUANTILES.index(0.85)
_ENDS = np.array(  # (2, C): quantile columns of the lower and the upper endpoints
    [[QUANTILE_COLUMNS.index(name) for name in cone_columns(share)] for share in COVERAGES]
).T
OUTWARD = np.array([-1.0, 1.0])


def _unit_error() -> np.ndarray:
    """Return the standard error (Q,) of each quantile of one normal draw, in widths."""
    normal = NormalDist()
    z = [normal.inv_cdf(level) for level in QUANTILES]
    width = z[SPREAD[1]] - z[SPREAD[0]]
    return np.array(
        [
            np.sqrt(level * (1 - level)) / (normal.pdf(each) * width)
            for level, each in zip(QUANTILES, z, strict=True)
        ]
    )


_UNIT_ERROR = _unit_error()


class Track(NamedTuple):
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
        least: (W·H,) half a tick at the wanted origins, a log return.
    """

    rows: pd.DataFrame
    wanted: np.ndarray
    made_on: np.ndarray
    target_on: np.ndarray
    bar: np.ndarray
    quantiles: np.ndarray
    width: np.ndarray
    outcome: np.ndarray
    least: np.ndarray


def move_quantiles(
    tracks: Sequence[Track], refreshed: np.ndarray
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
            cautious = shift * (seen / (seen + ENDPOINT_WEIGHT))[:, None]
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
    ratio = np.divide(SHRINKAGE * error, shift, out=np.ones_like(shift), where=shift != 0)
    return shift * np.maximum(0.0, 1 - ratio**2)


def _scores(track: Track, h: int) -> tuple[np.ndarray, np.ndarray]:
    """Return when labels arrived, (M,) ascending, and their errors in widths, (Q, M)."""
    # A forecast without width has no unit for its error.
    known = np.isfinite(track.outcome[:, h]) & (track.width[:, h] > 0)
    errors = track.outcome[known, h] - track.quantiles[known, h].T
    return track.target_on[known, h], errors / track.width[known, h]


def _seen(
    scores: Sequence[tuple[np.ndarray, np.ndarray]], refreshed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the last errors say of each level, (R, Q), and of how many dates, (R,).

    The memory is counted in dates on which labels arrived, so that a pool of many
    tickers remembers as many dates as one ticker does.
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


def move_endpoints(tracks: Sequence[Track], quantiles: Sequence[np.ndarray]) -> list[np.ndarray]:
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
        start.append((levels[..., _ENDS] - median[..., None, None]) * OUTWARD[:, None])
        known = track.bar >= 0
        at = track.bar[known]
        reach[at, :, k] = start[k][known]
        width[at, :, k] = track.width[known][..., None, None]
        beyond[at, :, k] = ((track.outcome - median)[known][..., None] * OUTWARD)[..., None]

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
