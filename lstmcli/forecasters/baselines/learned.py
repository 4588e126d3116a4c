"""Volatility learnt from many regressors: a ridge, and gradient boosting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import pandas as pd

from lstmcli.errors import NoDataError
from lstmcli.features import StackedBars, stacks
from lstmcli.forecasters.filtered_simulation import MIN_MEMORY, filtered_simulation
from lstmcli.forecasters.ridge import Products
from lstmcli.forecasters.volatility.announcements import (
    Reaction,
    date_regressors,
    fit_panel_reaction,
)
from lstmcli.forecasters.volatility.clock import FittedClock, clock_regressors, fit_panel_clock
from lstmcli.forecasters.volatility.regressors import (
    LEVEL,
    har_of,
    labelled_rows,
    lags_of,
    log_variances_ahead,
    reports_of,
    scale_from,
    unusual_of,
    with_market,
)
from lstmcli.panel import Panel

BLOCKS = 4
"""Stretches of training dates, each predicted by a fit that has not seen it."""

ANCHORS = (1, 5, 20)
"""Steps that are boosted; log variance is interpolated between them."""

SEED = 7


class Regressor(Protocol):
    """What has been fitted to several outputs."""

    def predict(self, x: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class HarRidge:
    """Ridge: HAR with each of the last twenty sessions by itself, and the earnings cycle.

    Equation: as `HarVolatility`, with the columns of `lag_regressors` and
    `report_regressors` beside its own and minimising the mean of e² + 0.01·|b|²,
    b of standardised columns.
    Source: Hoerl, Kennard (1970), Ridge Regression: Biased Estimation for
    Nonorthogonal Problems, Technometrics 12.
    """

    horizon: int
    name: ClassVar[str] = "har_ridge"

    def fit(self, panel: Panel, until: pd.Timestamp) -> FittedLearned:
        steps = tuple(range(1, self.horizon + 1))
        return _fit(self.name, self.horizon, steps, _ridge, panel, until)


@dataclass(frozen=True)
class HarRidgeClock:
    """The HAR ridge that also reads the announcement clock.

    Equation: as `HarRidge`, with ln of the mean of ŵ over the next 1, 5, 10 and 20 sessions
    beside its columns; ŵ as in `volatility.clock`.
    Source: as `HarRidge`; Patell, Wolfson (1981), The Ex Ante and Ex Post Price Effects of
    Quarterly Earnings Announcements, Journal of Accounting Research 19, for the clock.
    """

    horizon: int
    name: ClassVar[str] = "har_ridge_clock"

    def fit(self, panel: Panel, until: pd.Timestamp) -> FittedLearned:
        steps = tuple(range(1, self.horizon + 1))
        clock = fit_panel_clock(panel.until(until))
        return _fit(self.name, self.horizon, steps, _ridge, panel, until, clock=clock)


@dataclass(frozen=True)
class HarRidgeDates:
    """The HAR ridge that reads the announcement clock and the dates of announcements.

    Where the dates are not known, it says so by a column of its own, and the clock is left.

    Equation: as `HarRidgeClock`, with `date_h` of `volatility.announcements` at step h, and
    whether the last sessions have heard of a report, beside its columns.
    Source: as `HarRidgeClock`; Dubinsky, Johannes, Kaeck, Seeger (2019), Option Pricing of
    Earnings Announcement Risks, Review of Financial Studies 32.
    """

    horizon: int
    name: ClassVar[str] = "har_ridge_dates"

    def fit(self, panel: Panel, until: pd.Timestamp) -> FittedLearned:
        past, steps = panel.until(until), tuple(range(1, self.horizon + 1))
        clock, reaction = fit_panel_clock(past), fit_panel_reaction(past)
        return _fit(
            *(self.name, self.horizon, steps, _ridge_of_dates, panel, until),
            clock=clock,
            reaction=reaction,
        )


@dataclass(frozen=True)
class GradientBoosting:
    """Gradient boosting: trees on the regressors of `har_ridge`, for the same target.

    Equation: F_0 the mean, F_k = F_{k−1} + 0.1·(a tree of 15 leaves fitted to
    the residuals of F_{k−1}), k = 1 … 60; one F for each of steps 1, 5, 20, H.
    Source: Friedman (2001), Greedy Function Approximation: A Gradient Boosting
    Machine, Annals of Statistics 29.
    """

    horizon: int
    name: ClassVar[str] = "gradient_boosting"

    def fit(self, panel: Panel, until: pd.Timestamp) -> FittedLearned:
        steps = (*(step for step in ANCHORS if step < self.horizon), self.horizon)
        return _fit(self.name, self.horizon, steps, _boosted, panel, until)


@dataclass(frozen=True)
class FittedLearned:
    """Regressions of log variance that never predict a session that they were fitted on.

    Past errors shape the quantiles, and errors of a fit on its own sessions would
    be too small: the training sessions are cut into blocks, and each block is
    predicted by a regression on the others.
    Source: Chernozhukov et al. (2018), Double/debiased machine learning, for
    cross-fitting; López de Prado (2018), ch. 7, for the purge.

    Attributes:
        learns_from: the first session of the panel, for the same reason.
        steps: A steps that are predicted; those between are interpolated.
        regressors: one per block, and the last, of all blocks, for later sessions.
        ends: (B,) datetime64, the last session of each block.
        smearing: (A,) logarithms of the mean of exp(error), out of sample.
        clock: of `har_ridge_clock` and `har_ridge_dates`.
        reaction: of `har_ridge_dates`.
    """

    name: str
    horizon: int
    fit_end: pd.Timestamp
    learns_from: pd.Timestamp
    steps: tuple[int, ...]
    regressors: tuple[Regressor, ...]
    ends: np.ndarray
    smearing: np.ndarray
    clock: FittedClock | None = None
    reaction: Reaction | None = None

    def sigma(self, panel: Panel) -> dict[str, np.ndarray]:
        """Return each ticker's volatility of the cumulative returns, (T, H)."""
        return self.sigma_from(_columns(panel, self.horizon, self.clock, self.reaction), panel)

    def sigma_from(self, every: Mapping[str, pd.DataFrame], panel: Panel) -> dict[str, np.ndarray]:
        """Return `sigma` from the columns of each ticker."""
        between = np.array(  # (A, H)
            [
                np.interp(np.log(np.arange(1, self.horizon + 1)), np.log(self.steps), unit)
                for unit in np.eye(len(self.steps))
            ]
        )
        scales = {}
        for ticker, columns in every.items():
            x = columns.to_numpy(float)
            predicted = np.full((len(x), len(self.steps)), np.nan)
            known = np.isfinite(x).all(axis=1)
            block = np.searchsorted(self.ends, columns.index.to_numpy())
            for number, regressor in enumerate(self.regressors):
                rows = np.flatnonzero(known & (block == number))
                if len(rows):
                    predicted[rows] = _predict(regressor, x[rows])
            scales[ticker] = scale_from(
                columns, (predicted + self.smearing) @ between, panel[ticker]
            )
        return scales

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        return filtered_simulation(self.name, panel, origins, self.sigma(panel))


class _Known(NamedTuple):
    """What has been computed of a panel already.

    Attributes:
        columns: as `_columns` returns them.
        ahead: as `log_variances_ahead` returns them at steps 1 … H; None: not yet.
    """

    columns: Mapping[str, pd.DataFrame]
    ahead: Mapping[str, np.ndarray] | None = None


def ridges_alone(
    recipe: HarRidge, panel: Panel, until: pd.Timestamp
) -> Iterator[tuple[str, FittedLearned, np.ndarray]]:
    """Yield the ridge of each ticker that has sessions enough, and its volatility, (T, H).

    The same digits as of `recipe.fit` on a panel of one, several times as fast: what is read
    of the bars is computed once, of many tickers together.

    Args:
        panel: no bar of it is later than `until`.
    """
    steps = tuple(range(1, recipe.horizon + 1))
    for tickers, bars in stacks(panel):
        group = panel.only(tickers)
        table = columns_alone(bars, recipe.horizon)
        values = np.stack([*table.values()], axis=-1)  # (T, N, K)
        ahead = log_variances_ahead(group, steps)
        for number, ticker in enumerate(tickers):
            columns = pd.DataFrame(values[:, number], bars.sessions, columns=list(table))
            one, known = group.only([ticker]), _Known({ticker: columns}, ahead)
            try:
                fitted = _fit(
                    *(recipe.name, recipe.horizon, steps, _ridge, one, until), known=known
                )
            except NoDataError:
                continue
            yield ticker, fitted, fitted.sigma_from(known.columns, one)[ticker]


def columns_alone(bars: StackedBars, horizon: int) -> dict[str, np.ndarray]:
    """Return the regressors of the ridge of tickers that are each alone, (T, N) each.

    The first are those of `Har`, whose means over the market are a ticker's own columns.
    """
    har = har_of(bars)
    return {
        **har,
        **{f"market_{name}": column for name, column in har.items() if name != LEVEL},
        **lags_of(bars, har),
        **reports_of(unusual_of(bars), horizon),
    }


def _fit(
    name: str,
    horizon: int,
    steps: tuple[int, ...],
    fit: Callable[[np.ndarray, np.ndarray], Regressor],
    panel: Panel,
    until: pd.Timestamp,
    *,
    clock: FittedClock | None = None,
    reaction: Reaction | None = None,
    known: _Known | None = None,
) -> FittedLearned:
    past = panel.until(until)
    known = known or _Known(_columns(past, horizon, clock, reaction))
    # So that enough are left where a block and the labels that touch it are taken out.
    least = (MIN_MEMORY + 2 * horizon) * BLOCKS // (BLOCKS - 1)
    rows = labelled_rows(past, known.columns, horizon, least=least, ahead=known.ahead)
    y = rows.y[:, np.array(steps) - 1]
    sessions = np.unique(rows.session)
    position = np.searchsorted(sessions, rows.session)
    blocks = np.array_split(np.arange(len(sessions)), BLOCKS)
    errors = np.empty_like(y)
    regressors = []
    for block in blocks:
        # The targets of the sessions next to a block reach into it.
        away = (position < block[0] - horizon) | (position > block[-1] + horizon)
        held = (position >= block[0]) & (position <= block[-1])
        regressors.append(fit(rows.x[away], y[away]))
        errors[held] = y[held] - _predict(regressors[-1], rows.x[held])
    regressors.append(fit(rows.x, y))
    return FittedLearned(
        name=name,
        horizon=horizon,
        fit_end=until,
        learns_from=past.sessions()[0],
        steps=steps,
        regressors=tuple(regressors),
        ends=sessions[[block[-1] for block in blocks]],
        smearing=np.log(np.exp(errors).mean(axis=0)),
        clock=clock,
        reaction=reaction,
    )


def _predict(regressor: Regressor, x: np.ndarray) -> np.ndarray:
    """Return predictions (N, A); of one output scikit-learn's ridge makes (N,)."""
    return regressor.predict(x).reshape(len(x), -1)


def _columns(
    panel: Panel,
    horizon: int,
    clock: FittedClock | None = None,
    reaction: Reaction | None = None,
) -> dict[str, pd.DataFrame]:
    """Return the regressors of each ticker, (T, K)."""
    own = {}
    for tickers, bars in stacks(panel):
        har = har_of(bars)
        columns = {**har, **lags_of(bars, har), **reports_of(unusual_of(bars), horizon)}
        table = np.stack(list(columns.values()), axis=-1)  # (T, N, K)
        for number, ticker in enumerate(tickers):
            own[ticker] = pd.DataFrame(table[:, number], bars.sessions, columns=list(columns))
    names = list(har)
    pooled = with_market({ticker: own[ticker][names] for ticker in panel})
    ahead = {} if clock is None else clock_regressors(panel, clock)
    dates = {} if reaction is None else date_regressors(panel, reaction, horizon)
    return {
        ticker: pd.concat(
            [
                columns,
                own[ticker].drop(columns=names),
                *([ahead[ticker]] if ahead else []),
                *([dates[ticker]] if dates else []),
            ],
            axis=1,
        )
        for ticker, columns in pooled.items()
    }


def _ridge(x: np.ndarray, y: np.ndarray) -> Regressor:
    # scikit-learn would do the same, and takes half a second to import before each forecast.
    columns = range(x.shape[1])
    products = Products(columns, y.shape[1], 1)
    products.add(x, y, np.zeros(len(x), int))
    return products.ridge(columns, [0])


def _ridge_of_dates(x: np.ndarray, y: np.ndarray) -> Regressor:
    steps = y.shape[1]
    products = Products(range(x.shape[1]), steps, 1)
    products.add(x, y, np.zeros(len(x), int))
    own = range(x.shape[1] - steps, x.shape[1])  # the last columns; see `date_regressors`
    return products.ridge(range(own.start), [0], own=own)


def _boosted(x: np.ndarray, y: np.ndarray) -> Regressor:
    from sklearn.base import clone
    from sklearn.ensemble import HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor(
        max_iter=60,
        learning_rate=0.1,
        max_leaf_nodes=15,
        min_samples_leaf=200,
        max_bins=64,
        early_stopping=False,  # it would hold out rows, not dates
        random_state=SEED,
    )
    return _Steps(tuple(clone(model).fit(x, column) for column in y.T))


@dataclass(frozen=True)
class _Steps:
    """A regressor of one output for each step."""

    each: tuple[Regressor, ...]

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.column_stack([regressor.predict(x) for regressor in self.each])
