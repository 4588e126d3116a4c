"""Beside: the baselines that stand beside a run's forecast."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from lstmcli.errors import NoDataError
from lstmcli.forecasters.base import Recipe, join_forecasts
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.forecasters.baselines.alone import forecast_alone
from lstmcli.forecasters.baselines.garch import Garch, Gjr
from lstmcli.forecasters.baselines.kept_fits import KeptFits
from lstmcli.forecasters.run_recipe import FittedRun
from lstmcli.panel import Panel


def forecast_beside(
    names: Sequence[str],
    fitted: FittedRun,
    panel: Panel,
    origin: pd.Timestamp,
    *,
    kept: KeptFits,
) -> dict[str, pd.DataFrame]:
    """Return the Forecast of each baseline by name; no rows where histories are too short.

    Beside a run whose tickers are each `alone`, a baseline is fitted on each ticker by itself,
    as those were that judged the run; see `forecast_alone`. Else it is fitted on what the run
    was fitted on.

    Args:
        kept: fits from earlier evenings; what is fitted now is added.
    """
    recipes = [BASELINES[name](fitted.recipe.horizon) for name in names]
    if fitted.recipe.alone:
        return forecast_alone(recipes, panel, origin, kept)
    return {
        recipe.name: _of_panel(recipe, panel, fitted.fit_end, origin, kept) for recipe in recipes
    }


def _of_panel(
    recipe: Recipe, panel: Panel, until: pd.Timestamp, origin: pd.Timestamp, kept: KeptFits
) -> pd.DataFrame:
    at = pd.DatetimeIndex([origin])
    try:
        if isinstance(recipe, Garch | Gjr):
            return recipe.fit(panel, until, kept=kept).forecast(panel, at)
        return recipe.fit(panel, until).forecast(panel, at)
    except NoDataError:
        return join_forecasts([])
