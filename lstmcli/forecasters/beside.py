"""Beside: the baselines that stand beside a run's forecast."""

from __future__ import annotations

import pandas as pd

from lstmcli.errors import NoDataError
from lstmcli.forecasters.base import join_forecasts
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.forecasters.baselines.alone import forecast_alone
from lstmcli.forecasters.baselines.garch import Garch, Gjr
from lstmcli.forecasters.baselines.kept_fits import KeptFits
from lstmcli.forecasters.run_recipe import FittedRun
from lstmcli.panel import Panel

BASELINE_YEARS = 10
"""Of bars that a baseline beside a run learns from where it is fitted on one ticker."""


def forecast_beside(
    name: str, fitted: FittedRun, panel: Panel, origins: pd.DatetimeIndex, *, kept: KeptFits
) -> pd.DataFrame:
    """Return the Forecast of a baseline; no rows where histories are too short.

    Beside a run whose tickers are each `alone`, a baseline is fitted on each ticker by itself up
    to the origin, as those were that judged the run. Else it is fitted on what the run was
    fitted on.

    Args:
        kept: fits of GARCH from earlier evenings; what is fitted now is added.
    """
    recipe = BASELINES[name](fitted.recipe.horizon)
    if fitted.recipe.alone:
        end = origins[-1]
        if isinstance(recipe, Garch | Gjr):
            # Any evening of a month fits on the same sessions.
            end = end.to_period("M").start_time
        since = panel.since(end - pd.DateOffset(years=BASELINE_YEARS))
        return forecast_alone(recipe, since, origins, kept=kept)
    try:
        if isinstance(recipe, Garch | Gjr):
            return recipe.fit(panel, fitted.fit_end, kept=kept).forecast(panel, origins)
        return recipe.fit(panel, fitted.fit_end).forecast(panel, origins)
    except NoDataError:
        return join_forecasts([])
