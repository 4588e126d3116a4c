"""Calibration by dates: each origin learns from the labels that had arrived by then."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from lstmcli.forecasters.base import with_width
from lstmcli.forecasters.calibration_state import CalibrationState, returns_between
from lstmcli.forecasters.corrections import (
    SPREAD,
    Errors,
    History,
    errors_of,
    move_quantiles,
)
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

LONGEST_MOVED = 5
"""The longest step whose endpoints start from the quantiles after A; those of longer steps start
from the quantiles of the recipe, because there A did harm to the endpoints."""


def calibrate(
    raw: pd.DataFrame,
    panel: Panel,
    origins: pd.DatetimeIndex,
    *,
    learns_from: pd.Timestamp | None = None,
    state: CalibrationState | None = None,
    moves: bool = True,
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
        state: what is known from before the first origin of `raw`.
        moves: whether A moves the quantiles; else B alone moves endpoints.
    """
    return raw_and_calibrated(
        raw, panel, origins, learns_from=learns_from, state=state, moves=moves
    )[1]


def raw_and_calibrated(
    raw: pd.DataFrame,
    panel: Panel,
    origins: pd.DatetimeIndex,
    *,
    learns_from: pd.Timestamp | None = None,
    state: CalibrationState | None = None,
    moves: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the forecasts from some origins as they were, and as `calibrate` returns them.

    Of a universe the memory of `raw` is needed for what follows: a caller that keeps no
    reference to it gives it up.
    """
    if not len(raw):
        return raw, empty_forecast([*FORECAST_COLUMNS, *INTERVAL_COLUMNS])
    dated, names = _dated(raw, state), list(raw)
    # Of their quantiles there is a copy already.
    rows = raw.loc[raw["made_on"].isin(origins), raw.columns.difference(QUANTILE_COLUMNS)]
    del raw
    replay = _replay(dated, panel, learns_from, state)
    del dated
    history, past = replay.history, None if state is None else state.past
    wanted = np.flatnonzero(np.isin(history.made_on, origins.to_numpy()))
    wanted = wanted[wanted >= replay.issued]
    moved = np.empty((len(wanted), *history.quantiles.shape[1:]))
    for place, step in enumerate(history.steps):
        if not moves:
            moved[:, place] = history.quantiles[wanted, place]
        elif step > LONGEST_MOVED:
            moved[:, place] = move_quantiles(history, place, wanted, past=past)
        else:
            moved[:, place] = replay.move(place, past)[wanted - replay.issued]
    reach = replay.track()[wanted]
    # From the order of dates back to that of the rows.
    back = np.argsort(replay.order[wanted - replay.issued].reshape(-1))
    del replay
    width, least = history.width[wanted].reshape(-1), history.least[wanted]
    before = history.quantiles[wanted].reshape(-1, len(QUANTILES))
    del history
    levels = pd.DataFrame(before[back], columns=list(QUANTILE_COLUMNS))
    rows = pd.concat([rows.reset_index(drop=True), levels], axis=1)[names]
    del before, levels
    columns = _columns(moved, reach, least)
    spread = columns[QUANTILE_COLUMNS[SPREAD[1]]] - columns[QUANTILE_COLUMNS[SPREAD[0]]]
    wider = np.divide(spread, width, out=np.ones(len(rows)), where=width > 0)
    found = rows.assign(calibrated=True, sigma=rows["sigma"].to_numpy(float) * wider[back])
    for name, values in columns.items():  # not all at once: a universe is large
        found[name] = values[back]
    return rows, found


def learn(
    raw: pd.DataFrame,
    panel: Panel,
    before: pd.Timestamp,
    *,
    state: CalibrationState | None = None,
) -> CalibrationState:
    """Return what calibration knows before a session.

    `calibrate` with this state gives the forecasts that it would give with all of `raw`
    before them. Of more than `ROWS` origins the oldest are forgotten.

    Args:
        raw: out-of-sample forecasts of one recipe from origins before `before`; each
            ticker and date once.
        panel: holds every bar before `before`.
        state: what is known from before the first origin of `raw`; it may go on without any.
    """
    dated = _dated(raw, state)
    del raw  # of a universe its memory is needed for what follows
    replay = _replay(dated, panel, None, state)
    history, issued = replay.history, replay.issued
    history.outcome[history.target_on >= before.to_datetime64()] = np.nan
    past = None if state is None else state.past
    for place, step in enumerate(history.steps):
        if step <= LONGEST_MOVED:
            replay.move(place, past)
    reach = replay.track()
    every = np.arange(len(history.made_on))
    errors = np.stack([errors_of(history, p, every) for p in range(len(history.steps))], axis=1)
    waits = (history.target_on >= before.to_datetime64()).any(axis=1)
    ticker, made_on, target_on = history.ticker, history.made_on, history.target_on
    number = every
    if state is not None:
        # What waited stands among the origins already, some of its errors with it.
        known = state.errors.copy()
        came = np.isfinite(errors[:issued])
        known[state.waiting] = np.where(came, errors[:issued], known[state.waiting])
        errors = np.concatenate([known, errors[issued:]])
        ticker = np.concatenate([state.ticker, ticker[issued:]])
        made_on = np.concatenate([state.made_on, made_on[issued:]])
        target_on = np.concatenate([state.target_on, target_on[issued:]])
        new = len(state.made_on) + np.arange(len(every) - issued)
        number = np.concatenate([state.waiting, new])
    found = CalibrationState(
        before=before,
        tickers=replay.tickers,
        steps=history.steps,
        theta=replay.theta,
        ticker=ticker,
        made_on=made_on,
        target_on=target_on,
        errors=errors,
        waiting=number[waits],
        quantiles=history.quantiles[waits],
        reach=reach[waits],
        returns={},
    ).trimmed()
    first = pd.Series(found.made_on).groupby(found.ticker).min()
    returns = {} if state is None else dict(state.returns)
    for code, session in first.items():
        name = replay.tickers[code]
        if name in panel:
            returns[name] = returns_between(panel[name], session, before)
    return replace(found, returns=returns)


def follow(
    raw: pd.DataFrame,
    panel: Panel,
    before: pd.Timestamp,
    *,
    state: CalibrationState | None = None,
) -> CalibrationState:
    """Return what B alone knows before a session: `learn` where A moves no quantile.

    It remembers no errors, and of the origins those alone that wait for labels.
    """
    replay = _replay(_dated(raw, state), panel, None, state)
    history = replay.history
    late = history.target_on >= before.to_datetime64()
    history.outcome[late] = np.nan
    reach, waits = replay.track(), late.any(axis=1)
    return CalibrationState.of_waiting(
        before=before,
        tickers=replay.tickers,
        steps=history.steps,
        theta=replay.theta,
        ticker=history.ticker[waits],
        made_on=history.made_on[waits],
        target_on=history.target_on[waits],
        quantiles=history.quantiles[waits],
        reach=reach[waits],
    )


class _Replay(NamedTuple):
    """Forecasts of origins that waited and of new ones, as calibration goes through them.

    Attributes:
        tickers: (K,) by their numbers.
        history: the origins that waited, then the new ones.
        issued: how many waited.
        order: (N − issued, S) rows of the new forecasts, in the order of the history.
        start: (N, S, 2, C) the reach before B; of what waited, as published. `track` overwrites
            it.
        theta: (K, S, 2, C)
    """

    tickers: tuple[str, ...]
    history: History
    issued: int
    order: np.ndarray
    start: np.ndarray
    theta: np.ndarray

    def move(self, place: int, past: Errors | None) -> np.ndarray:
        """Return the quantiles of one step from new origins after A, and start from them."""
        new = np.arange(self.issued, len(self.history.made_on))
        levels = move_quantiles(self.history, place, new, past=past)
        self.start[self.issued :, place] = reach_of(levels)
        return levels

    def track(self) -> np.ndarray:
        """Return the published reach; θ stands then where the last label left it."""
        return track_endpoints(self.history, self.start, self.theta, issued=self.issued)


class _Dated(NamedTuple):
    """Forecasts in the order of dates.

    Attributes:
        tickers: (K,) by their numbers.
        steps: (S,) ascending.
        order: (N, S) rows of the table that they come from.
        ticker, made_on, target_on, quantiles: as in `History`.
    """

    tickers: tuple[str, ...]
    steps: np.ndarray
    order: np.ndarray
    ticker: np.ndarray
    made_on: np.ndarray
    target_on: np.ndarray
    quantiles: np.ndarray


def _dated(raw: pd.DataFrame, state: CalibrationState | None) -> _Dated:
    """Return what was forecast, in the order of dates."""
    names = () if state is None else state.tickers
    tickers = (*names, *(name for name in raw["ticker"].unique() if name not in names))
    code = pd.Index(tickers).get_indexer(raw["ticker"])
    made_on = raw["made_on"].to_numpy("datetime64[ns]")
    step = raw["step"].to_numpy(int)
    steps = np.unique(step) if state is None else state.steps
    if len(raw) and not np.array_equal(np.unique(step), steps):
        raise ValueError(f"Expected forecasts of the steps {steps}.")
    order = np.lexsort((step, code, made_on)).reshape(-1, len(steps))
    target_on = raw["target_on"].to_numpy("datetime64[ns]")[order]
    quantiles = np.empty((*order.shape, len(QUANTILES)))  # (N, S, Q)
    for level, column in enumerate(QUANTILE_COLUMNS):  # not all at once: a universe is large
        quantiles[..., level] = raw[column].to_numpy(float)[order]
    code, made_on = code[order[:, 0]], made_on[order[:, 0]]
    return _Dated(tickers, steps, order, code, made_on, target_on, quantiles)


def _replay(
    dated: _Dated,
    panel: Panel,
    learns_from: pd.Timestamp | None,
    state: CalibrationState | None,
) -> _Replay:
    """Return what was forecast and came."""
    tickers, steps, order, code, made_on, target_on, quantiles = dated
    least = np.empty(len(order))
    for number in np.unique(code):
        bars, rows = panel[tickers[number]], np.flatnonzero(code == number)
        least[rows] = least_volatility(bars)[bars.index.get_indexer(made_on[rows])]
    start = reach_of(quantiles)
    theta = np.zeros((len(tickers), *start.shape[1:]))
    issued = 0
    if state is not None:
        issued = len(state.waiting)
        waited = state.waiting
        code = np.concatenate([state.ticker[waited], code])
        made_on = np.concatenate([state.made_on[waited], made_on])
        target_on = np.concatenate([state.target_on[waited], target_on])
        quantiles = np.concatenate([state.quantiles, quantiles])
        start = np.concatenate([state.reach, start])
        least = np.concatenate([np.zeros(issued), least])  # they have been published
        theta[: len(state.tickers)] = state.theta
    outcome = _outcomes(panel, tickers, code, made_on, target_on, steps)
    if state is not None:
        seen = target_on[:issued] < state.before.to_datetime64()
        outcome[:issued][seen] = np.nan
    if learns_from is not None:
        outcome[made_on < learns_from.to_datetime64()] = np.nan
    width = quantiles[..., SPREAD[1]] - quantiles[..., SPREAD[0]]
    history = History(steps, code, made_on, target_on, quantiles, width, outcome, least)
    return _Replay(tickers, history, issued, order, start, theta)


def _outcomes(
    panel: Panel,
    tickers: tuple[str, ...],
    code: np.ndarray,
    made_on: np.ndarray,
    target_on: np.ndarray,
    steps: np.ndarray,
) -> np.ndarray:
    """Return the log returns that came, (N, S), NaN where there is no label to learn from."""
    outcome = np.full(target_on.shape, np.nan)
    for number in np.unique(code):
        if tickers[number] not in panel:
            continue
        bars, rows = panel[tickers[number]], np.flatnonzero(code == number)
        sessions = bars.index.to_numpy("datetime64[ns]")
        at = np.minimum(np.searchsorted(sessions, made_on[rows]), len(bars) - 1)
        came = cumulative_returns(bars, int(steps[-1]))[at[:, None], steps - 1]
        # Across a hole the h-th next bar is not the session that was forecast.
        ahead = np.minimum(at[:, None] + steps, len(bars) - 1)
        outcome[rows] = np.where(sessions[ahead] == target_on[rows], came, np.nan)
    return outcome


def _columns(quantiles: np.ndarray, reach: np.ndarray, least: np.ndarray) -> dict[str, np.ndarray]:
    """Return the quantiles and the intervals of calibrated rows, by column (n·S,).

    Args:
        quantiles: (n, S, Q); they are overwritten.
    """
    levels = with_width(quantiles, least[:, None])
    ends = levels[..., MEDIAN, None, None] + reach * OUTWARD[:, None]  # (n, S, 2, C)
    low, high = ends[..., 0, -1], ends[..., 1, -1]
    np.clip(levels, low[..., None], high[..., None], out=levels)
    levels[..., 0], levels[..., -1] = low, high
    columns = dict(zip(QUANTILE_COLUMNS, levels.reshape(-1, len(QUANTILES)).T, strict=True))
    # (…, 2, C) → lower and upper of one coverage after the other
    pairs = np.moveaxis(ends, -2, -1).reshape(-1, len(INTERVAL_COLUMNS))
    return columns | dict(zip(INTERVAL_COLUMNS, pairs.T, strict=True))
