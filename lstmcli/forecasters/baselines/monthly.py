"""Baselines that are made of each ticker once a month, and follow its sessions with little work.

Until the month ends a baseline keeps its parameters, and the shape of its errors in units of
volatility; its volatility follows each session. So any evening of a month makes the same fits, and
all but the first one find them kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.errors import NoDataError
from lstmcli.features import StackedBars, stacks
from lstmcli.forecasters.base import forecast_rows, in_order, join_forecasts
from lstmcli.forecasters.baselines.constant import Drift, RandomWalk
from lstmcli.forecasters.baselines.garch import PARAMETERS, Garch, Gjr
from lstmcli.forecasters.baselines.har import Har
from lstmcli.forecasters.baselines.kept_fits import KeptFit, KeptFits, Numbers, hash_of
from lstmcli.forecasters.baselines.learned import HarRidge, columns_alone, ridges_alone
from lstmcli.forecasters.baselines.past import Ewma, Historical
from lstmcli.forecasters.filtered_simulation import filtered_simulation
from lstmcli.forecasters.ridge import Ridge
from lstmcli.forecasters.small_products import one_thread
from lstmcli.forecasters.volatility.ewma import root_of_steps
from lstmcli.forecasters.volatility.garch import GarchParameters
from lstmcli.frames import QUANTILE_COLUMNS, log_returns, numbers_of
from lstmcli.panel import Panel
from lstmcli.sessions import WEEKDAYS
from lstmcli.windows import target_sessions

YEARS = 10
"""Years of bars that a fit reads."""

BEFORE = pd.Timedelta(7, "D")
"""From the end of a fit to the month that it serves: a source may correct the bars of the last
days, and not every correction has to cost a fit."""

RECENT = 1100
"""Sessions from which the volatility of today is computed: the longest mean reads 1,000."""

_SHAPE = "shape"
"""Among the numbers of a fit: quantiles (H, Q) at its end, in units of their volatility."""

MonthlyRecipe = RandomWalk | Drift | Historical | Ewma | Garch | Gjr | Har | HarRidge
"""Recipes that are made once a month."""

_Made = tuple[Mapping[str, Numbers], pd.DataFrame]
"""What a fit has learnt of each ticker, and the Forecast of each from its last session."""


class Month:
    """Forecasts of baselines from one origin, each ticker's by a fit of its own."""

    def __init__(self, panel: Panel, origin: pd.Timestamp, kept: KeptFits) -> None:
        """Take a panel.

        Args:
            kept: fits that need not be made once more; what is made is added.
        """
        month = origin.to_period("M").start_time - BEFORE
        self._panel, self._origin, self._kept = panel, origin, kept
        since = month - pd.DateOffset(years=YEARS)
        self._past = panel.until(origin).since(since).with_(market={})
        self._settled = self._past.until(month)
        self._read: dict[tuple[str, int], str] = {}

    def forecast(self, recipe: MonthlyRecipe) -> pd.DataFrame:
        """Return the Forecast of a recipe; a ticker with too few sessions has no rows.

        One that had too few when the month began is fitted up to the origin.
        """
        fits, (_, volatility) = self._fits(recipe, self._settled), _KINDS[type(recipe)]
        young = [ticker for ticker in self._past if ticker not in fits]
        fits |= self._fits(recipe, self._past.only(young))
        parts = []
        for recent in self._recent:
            some = [ticker for ticker in recent.tickers if ticker in fits]
            if some:
                sigma = np.stack([volatility(fits[t], recent, t) for t in some])
                shape = np.stack([fits[ticker].numbers[_SHAPE] for ticker in some])
                parts.append(recent.forecast(recipe, some, sigma, shape))
        return in_order(join_forecasts(parts), list(self._panel))

    def _fits(self, recipe: MonthlyRecipe, panel: Panel) -> dict[str, KeptFit]:
        kind, fits = kind_of(recipe), {}
        for ticker, bars in panel.items():
            key = ticker, len(bars)
            if key not in self._read:
                self._read[key] = hash_of(numbers_of(bars))
            fit = self._kept.find(ticker, kind, self._read[key])
            if fit is not None:
                fits[ticker] = fit
        made = make(recipe, panel.only([ticker for ticker in panel if ticker not in fits]))
        for ticker, numbers in made.items():
            bars = panel[ticker]
            read = self._read[ticker, len(bars)]
            fits[ticker] = self._kept.add(ticker, kind, bars, read, numbers)
        return fits

    @cached_property
    def _recent(self) -> list[_Recent]:
        """The last sessions of the tickers that have a bar at the origin."""
        bars = {
            ticker: own.iloc[-RECENT:]
            for ticker, own in self._past.items()
            if len(own) and own.index[-1] == self._origin
        }
        targets: dict[tuple[str, int], np.ndarray] = {}
        return [_Recent(self._panel, *stack, targets) for stack in stacks(bars)]


def make(recipe: MonthlyRecipe, panel: Panel) -> dict[str, Numbers]:
    """Fit a recipe to all bars of each ticker; one with too few sessions is left out."""
    panel = panel.only([ticker for ticker in panel if len(panel[ticker])])
    if not len(panel):
        return {}
    try:
        fit, _ = _KINDS[type(recipe)]
        numbers, rows = fit(recipe, panel, panel.sessions()[-1])
    except NoDataError:
        return {}
    found: dict[str, Numbers] = {}
    for ticker, own in rows.groupby("ticker", sort=False):
        sigma = own["sigma"].to_numpy(float)
        shape = own[list(QUANTILE_COLUMNS)].to_numpy(float) / sigma[:, None]
        found[str(ticker)] = {**numbers[str(ticker)], _SHAPE: shape}
    return found


def kind_of(recipe: MonthlyRecipe) -> str:
    """Return the name by which the fits of a recipe are kept."""
    return f"{recipe.name} {recipe.horizon}"


class _Recent:
    """The last sessions of tickers that have the same ones."""

    def __init__(
        self,
        panel: Panel,
        tickers: Sequence[str],
        bars: StackedBars,
        targets: dict[tuple[str, int], np.ndarray],
    ) -> None:
        self.tickers = {ticker: number for number, ticker in enumerate(tickers)}
        self.bars = bars
        self._panel, self._targets = panel, targets
        self._regressors: dict[int, np.ndarray] = {}

    def regressors(self, ticker: str, horizon: int) -> np.ndarray:
        """Return the last row of `columns_alone` of a ticker, (K,); the level comes first."""
        if horizon not in self._regressors:
            columns = columns_alone(self.bars, horizon)
            self._regressors[horizon] = np.stack([each[-1] for each in columns.values()], axis=-1)
        return np.asarray(self._regressors[horizon][self.tickers[ticker]])

    def forecast(
        self,
        recipe: MonthlyRecipe,
        tickers: Sequence[str],
        sigma: np.ndarray,
        shape: np.ndarray,
    ) -> pd.DataFrame:
        """Return the Forecast from the last session.

        Args:
            tickers: N of its own.
            sigma: (N, H); a ticker without has no rows.
            shape: (N, H, Q) in units of it.
        """
        known = np.isfinite(sigma).all(axis=1)
        sigma, shape = sigma[known], shape[known]
        numbers = np.array([self.tickers[ticker] for ticker in tickers], int)[known]
        names = np.array(tickers, object)[known]
        least = self.bars.least[-1, numbers]
        sigma = np.maximum(sigma, least[:, None] * root_of_steps(recipe.horizon))
        targets = [self._target_on(ticker, recipe.horizon) for ticker in names]
        return forecast_rows(
            recipe.name,
            names,
            made_on=np.full(len(names), self.bars.sessions[-1].to_datetime64()),
            target_on=np.array(targets, "datetime64[ns]").reshape(len(names), recipe.horizon),
            last_close=self.bars.raw.close[-1, numbers],
            sigma=sigma,
            # Two products of neighbours may differ in their last digit, in the wrong order.
            quantiles=np.maximum.accumulate(shape * sigma[:, :, None], axis=-1),
            least=least,
        )

    def _target_on(self, ticker: str, horizon: int) -> np.ndarray:
        calendar = self._panel.calendars.get(ticker, WEEKDAYS)
        # Without an exchange calendar a ticker's own bars show which days trade.
        key = ticker if calendar == WEEKDAYS else calendar, horizon
        if key not in self._targets:
            at = self.bars.sessions[-1:]
            self._targets[key] = target_sessions(self._panel, ticker, at, horizon)[0]
        return self._targets[key]


def _forecast_constant(recipe: Any, panel: Panel, until: pd.Timestamp) -> _Made:
    rows = _from_last(recipe.fit(panel, until).forecast(panel, _last(panel)), panel)
    each = rows.groupby("ticker")["sigma"]
    return {str(ticker): {"sigma": own.to_numpy(float)} for ticker, own in each}, rows


def _constant(fit: KeptFit, recent: _Recent, ticker: str) -> np.ndarray:
    """Return the volatility of the fit."""
    del recent, ticker
    return fit.numbers["sigma"]


def _fit_ewma(recipe: Ewma, panel: Panel, until: pd.Timestamp) -> _Made:
    scales = recipe.fit(panel, until).sigma(panel)
    return {ticker: {} for ticker in scales}, _simulated(recipe, panel, scales)


def _ewma(fit: KeptFit, recent: _Recent, ticker: str) -> np.ndarray:
    today = recent.bars.sigma[-1, recent.tickers[ticker]]
    return np.asarray(today * root_of_steps(_horizon(fit)))


def _fit_garch(recipe: Garch | Gjr, panel: Panel, until: pd.Timestamp) -> _Made:
    fitted = recipe.fit(panel, until)
    numbers: dict[str, Numbers] = {}
    for ticker in panel:
        found = fitted.parameters.get(ticker)
        if found is not None:
            ahead = found.ahead(log_returns(panel[ticker]).to_numpy())
            numbers[ticker] = {PARAMETERS: found.as_array(), "ahead": ahead[-1:]}
        else:  # EWMA serves it
            numbers[ticker] = {PARAMETERS: np.array([])}
    return numbers, _simulated(recipe, panel, fitted.sigma(panel))


def _garch(fit: KeptFit, recent: _Recent, ticker: str) -> np.ndarray:
    found = GarchParameters.of_array(fit.numbers[PARAMETERS])
    if found is None:
        return _ewma(fit, recent, ticker)
    since = recent.bars.sessions.searchsorted(fit.last, side="right")
    returns = recent.bars.returns[since:, recent.tickers[ticker]]
    ahead = found.ahead_after(float(fit.numbers["ahead"][0]), returns)
    return found.scale_from(np.array([ahead]), _horizon(fit))[0]


def _fit_har(recipe: Har, panel: Panel, until: pd.Timestamp) -> _Made:
    numbers: dict[str, Numbers] = {}
    scales: dict[str, np.ndarray] = {}
    with one_thread():
        for ticker in panel:
            one = panel.only([ticker])
            try:
                fitted = recipe.fit(one, until)
            except NoDataError:
                continue
            found = fitted.volatility
            scales |= fitted.sigma(one)
            numbers[ticker] = {
                "intercept": np.array(found.intercept),
                "slopes": np.array(found.slopes).T,  # (K, H)
            }
    return numbers, _simulated(recipe, panel, scales)


def _har(fit: KeptFit, recent: _Recent, ticker: str) -> np.ndarray:
    intercept, slopes = fit.numbers["intercept"], fit.numbers["slopes"]
    columns = recent.regressors(ticker, _horizon(fit))
    x = columns[: len(slopes)]  # those of HAR come first
    return _of_log_variance(intercept + x @ slopes + columns[0])


def _fit_ridge(recipe: HarRidge, panel: Panel, until: pd.Timestamp) -> _Made:
    numbers: dict[str, Numbers] = {}
    scales: dict[str, np.ndarray] = {}
    with one_thread():
        for ticker, fitted, scale in ridges_alone(recipe, panel, until):
            last = fitted.regressors[-1]
            assert isinstance(last, Ridge)
            scales[ticker] = scale
            intercept = last.intercept + fitted.smearing
            numbers[ticker] = {"intercept": intercept, "slopes": last.slopes}
    return numbers, _simulated(recipe, panel, scales)


def _simulated(
    recipe: MonthlyRecipe, panel: Panel, scales: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    rows = filtered_simulation(recipe.name, panel, _last(panel), scales, alone=True)
    return _from_last(rows, panel)


def _last(panel: Panel) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([bars.index[-1] for bars in panel.values()]).unique().sort_values()


def _from_last(rows: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Return the rows of each ticker from its own last session."""
    last = {ticker: bars.index[-1] for ticker, bars in panel.items()}
    return rows[rows["made_on"] == rows["ticker"].map(last)]


def _of_log_variance(log_variance: np.ndarray) -> np.ndarray:
    """Return the volatility of the cumulative returns, (H,), from that of one session."""
    return np.asarray(np.exp(log_variance / 2) * root_of_steps(len(log_variance)))


def _horizon(fit: KeptFit) -> int:
    return len(fit.numbers[_SHAPE])


_CONSTANT = _forecast_constant, _constant
_KINDS: Mapping[
    type, tuple[Callable[..., _Made], Callable[[KeptFit, _Recent, str], np.ndarray]]
] = {
    RandomWalk: _CONSTANT,
    Drift: _CONSTANT,
    Historical: _CONSTANT,
    Ewma: (_fit_ewma, _ewma),
    Garch: (_fit_garch, _garch),
    Gjr: (_fit_garch, _garch),
    Har: (_fit_har, _har),
    HarRidge: (_fit_ridge, _har),
}
"""Of each recipe how it is fitted, and the volatility (H,) of a ticker today; NaN: not known."""
