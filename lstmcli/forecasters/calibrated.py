"""Conformal calibration: quantiles and intervals that learn from their own misses.

There are two corrections. *A* moves every quantile by an order statistic of past
errors; it corrects the shape of the distribution over years. *B* moves the published
endpoints of the 50, 80 and 95 % intervals a little after each miss; it corrects the
coverage of one session within months, and that of twenty hardly ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from lstmcli.features import alike
from lstmcli.forecasters.base import Fitted, Recipe, in_order, join_forecasts
from lstmcli.forecasters.calibration import calibrate, follow, raw_and_calibrated
from lstmcli.forecasters.calibration_state import MIN_HISTORY, ROWS, CalibrationState
from lstmcli.forecasters.kept_calibration import BEHIND, KeptCalibration, Reading
from lstmcli.panel import Panel

HISTORY = 1250
"""Sessions before `fit_end` that are learnt from at most: five years."""


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
        alone = getattr(self.recipe, "alone", False)
        return FittedCalibrated(self.recipe.fit(panel, until), alone=alone)


@dataclass(frozen=True)
class FittedCalibrated:
    """A fitted forecaster, calibrated by what it forecast since `learns_from`.

    It adds the columns `lo50 hi50 … hi95` to the forecast of `inner`, whose `calibrated`
    becomes True; see `calibrate`. It learns from forecasts that `inner` made out of sample,
    since `learns_from` and in the five years before `fit_end` (less for more than 32 tickers).

    The tickers of the panel are the pool of each other: with fewer of them in
    the panel, a ticker's quantiles differ a little.

    Attributes:
        state: what is known from before, by which an origin after it needs no forecasts of
            the years before anew; None: all of them are made again.
        alone: whether a ticker learns from its own misses alone. Then its forecasts are the same
            whichever others are in the panel, and there is no A: the errors of a few years of
            one ticker say too little.
    """

    inner: Fitted
    state: CalibrationState | None = None
    alone: bool = False

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
        self,
        panel: Panel,
        origins: pd.DatetimeIndex,
        *,
        enough: Sequence[str] | None = None,
        kept: KeptCalibration | None = None,
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the inner forecast and the calibrated one, for the price of one.

        Args:
            enough: tickers whose forecasts are wanted, for a recipe that `reads_others`. Of
                the others there are rows only where calibration needs their errors since
                `state.before`. None: all tickers of the panel are wanted.
            kept: what earlier evenings have learnt of tickers that are each `alone`; what is
                learnt now is added. Without it the history is forecast anew.
        """
        # All of the history, however few origins are wanted: where θ stands depends on where
        # it started, and an origin must get the same forecast whichever others are asked for.
        past = panel.until(origins.max()) if len(origins) else panel.only([])
        sessions = past.sessions()
        if self.state is not None and len(origins) and origins.min() >= self.state.before:
            new = sessions[sessions >= self.state.before]
            errors = (new < origins.max()).any()
            read = past if enough is None or errors else past.narrow(enough)
            return raw_and_calibrated(
                self.inner.forecast(read, new), past, origins, state=self.state
            )
        history = learnt_from(self.inner, past)
        if kept is not None and self.alone and len(origins) and len(history):
            return self._go_on(past, origins, history[0], kept)
        return raw_and_calibrated(
            self.inner.forecast(past, history.union(sessions.intersection(origins))),
            past,
            origins,
            learns_from=history[0] if len(history) else self.learns_from,
            # Without A each ticker has a θ of its own, whichever others are calibrated with it.
            moves=not self.alone,
        )

    def _go_on(
        self,
        past: Panel,
        origins: pd.DatetimeIndex,
        start: pd.Timestamp,
        kept: KeptCalibration,
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return both forecasts; of each ticker only what is not yet known is learnt."""
        reading = Reading(past, kept.made_by, start)
        every_raw, published = [], []
        for tickers, state in kept.groups(reading, by=origins.min()):
            group = past.only(tickers)
            sessions = group.sessions()
            first = start if state is None else state.before
            wanted = sessions[sessions >= first].union(sessions.intersection(origins))
            raw = self.inner.forecast(group, wanted)
            every_raw.append(raw[raw["made_on"].isin(origins)])
            before = min(origins.min(), sessions[-BEHIND:][0])
            known = raw["made_on"].between(first, before, inclusive="left")
            if known.any():
                state = follow(raw[known], group, before, state=state)
                kept.keep(state, reading)
                raw = raw[~known]
            published.append(
                calibrate(raw, group, origins, learns_from=start, state=state, moves=False)
            )
        order = list(past)
        return tuple(in_order(join_forecasts(each), order) for each in (every_raw, published))

    def relearn(self, panel: Panel, kept: KeptCalibration) -> tuple[list[str], list[str]]:
        """Learn anew what is kept of each ticker, up to the same session.

        Returns:
            Tickers of which that gives other numbers, and those of which something else was read
            or nothing is kept: they are learnt anew by the next forecast.
        """
        history = learnt_from(self.inner, panel)
        if not len(history):
            return [], list(panel)
        reading = Reading(panel, kept.made_by, history[0])
        different, moved = [], []
        for tickers, state in kept.groups(reading, by=history[-1]):
            if state is None:
                moved += tickers
                continue
            for some in alike({ticker: panel[ticker] for ticker in tickers}):
                group = panel.only(some)
                raw = self.inner.forecast(group, history[history < state.before])
                anew = follow(raw, group, state.before)
                kept.keep(anew, reading)
                different += [t for t in anew.tickers if kept.changed[t] != kept.load(t)]
        return different, moved


def learnt_from(fitted: Fitted, panel: Panel) -> pd.DatetimeIndex:
    """Return the sessions of a panel whose forecasts calibration learns from.

    They are out of sample, and at most five years lie before the end of the fit.
    """
    sessions = panel.sessions()
    most = min(HISTORY, max(MIN_HISTORY, ROWS // max(1, len(panel))))
    recent = sessions[sessions <= fitted.fit_end][-most:]
    start = max(fitted.learns_from, recent[0]) if len(recent) else fitted.learns_from
    return sessions[sessions >= start]
