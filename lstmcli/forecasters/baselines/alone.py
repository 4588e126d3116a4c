"""Baselines of many tickers, each by itself, as an evening needs them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from lstmcli.errors import NoDataError
from lstmcli.forecasters.base import Recipe, join_forecasts
from lstmcli.forecasters.baselines.kept_fits import KeptFits
from lstmcli.forecasters.baselines.monthly import YEARS, Month, MonthlyRecipe
from lstmcli.panel import Panel


def forecast_alone(
    recipes: Sequence[Recipe], panel: Panel, origin: pd.Timestamp, kept: KeptFits
) -> dict[str, pd.DataFrame]:
    """Return the Forecast of each recipe by name: each ticker's by a fit of its own.

    Most are fitted up to the end of the month before, see `monthly`; the others up to the
    origin. A ticker with too few sessions has no rows.

    Args:
        panel: no bar of it is later than the origin.
        kept: fits that need not be made once more; what is made is added.
    """
    month = Month(panel, origin, kept)
    past = panel.since(origin - pd.DateOffset(years=YEARS)).with_(market={})
    found = {}
    for recipe in recipes:
        if isinstance(recipe, MonthlyRecipe):
            found[recipe.name] = month.forecast(recipe)
        else:
            parts = [_of_one(recipe, past.only([ticker]), origin) for ticker in past]
            found[recipe.name] = join_forecasts(parts)
    return found


def _of_one(recipe: Recipe, panel: Panel, origin: pd.Timestamp) -> pd.DataFrame:
    try:
        return recipe.fit(panel, origin).forecast(panel, pd.DatetimeIndex([origin]))
    except NoDataError:
        return join_forecasts([])
