"""Baselines of many tickers, each by itself: as a panel of one, and several times as fast."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lstmcli.errors import NoDataError
from lstmcli.forecasters.base import Recipe, in_order, join_forecasts
from lstmcli.forecasters.baselines.constant import Drift, RandomWalk
from lstmcli.forecasters.baselines.garch import Garch, Gjr
from lstmcli.forecasters.baselines.har import Har
from lstmcli.forecasters.baselines.kept_fits import KeptFits
from lstmcli.forecasters.baselines.learned import HarRidge, ridge_alone
from lstmcli.forecasters.baselines.past import Ewma, Historical
from lstmcli.forecasters.filtered_simulation import MIN_MEMORY, filtered_simulation
from lstmcli.forecasters.small_products import one_thread
from lstmcli.panel import Panel


def forecast_alone(
    recipe: Recipe,
    panel: Panel,
    origins: pd.DatetimeIndex,
    *,
    kept: KeptFits | None = None,
) -> pd.DataFrame:
    """Return the Forecast of each ticker by a fit of its own, up to the last origin.

    GARCH is fitted up to the end of the month before; see `_garch_scales`. A ticker with too
    few sessions has no rows.

    Args:
        kept: fits of GARCH that need not be made once more.
    """
    until = origins[-1]
    past = panel.until(until).with_(market={})
    if isinstance(recipe, HarRidge):
        with one_thread():
            return ridge_alone(recipe, past, origins)
    if isinstance(recipe, Har):
        scales: dict[str, np.ndarray] = {}
        with one_thread():
            for ticker in past:
                one = past.only([ticker])
                try:
                    scales |= recipe.fit(one, until).sigma(one)
                except NoDataError:
                    continue
        return filtered_simulation(recipe.name, past, origins, scales, alone=True)
    try:
        # Each ticker has a fit of its own in any panel; a pool has only the shape of errors.
        if isinstance(recipe, RandomWalk | Drift | Historical):
            return recipe.fit(past, until).forecast(past, origins)
        if isinstance(recipe, Garch | Gjr):
            every = _garch_scales(recipe, past, until, kept)
            return filtered_simulation(recipe.name, past, origins, every, alone=True)
        if isinstance(recipe, Ewma):
            every = recipe.fit(past, until).sigma(past)
            return filtered_simulation(recipe.name, past, origins, every, alone=True)
    except NoDataError:
        return join_forecasts([])
    return in_order(join_forecasts([_of_one(recipe, past, t, origins) for t in past]), list(past))


def _garch_scales(
    recipe: Garch | Gjr, panel: Panel, until: pd.Timestamp, kept: KeptFits | None
) -> dict[str, np.ndarray]:
    """Return each ticker's volatility by a fit up to the end of the month before `until`.

    Within a month the parameters stay, and the volatility follows each session all the same. So
    an evening needs no fit, and any evening of the month would make the same one. A ticker with
    too few sessions by then is fitted up to `until`.
    """
    month = until.to_period("M").start_time - pd.Timedelta(days=1)
    least = MIN_MEMORY + recipe.horizon
    settled = [ticker for ticker, bars in panel.items() if len(bars.loc[:month]) >= least]
    young = [ticker for ticker in panel if len(panel[ticker]) >= least and ticker not in {*settled}]
    scales: dict[str, np.ndarray] = {}
    for tickers, end in ((settled, month), (young, until)):
        if tickers:
            some = panel.only(tickers)
            scales |= recipe.fit(some, end, kept=kept).sigma(some)
    return scales


def _of_one(recipe: Recipe, panel: Panel, ticker: str, origins: pd.DatetimeIndex) -> pd.DataFrame:
    one = panel.only([ticker])
    try:
        return recipe.fit(one, origins[-1]).forecast(one, origins)
    except NoDataError:
        return join_forecasts([])
