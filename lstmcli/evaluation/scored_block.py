"""Forecasts of several recipes from the same origins, scored one recipe after the other.

Of a universe, the forecasts of all recipes at all steps fill gigabytes. So of each recipe its
losses are kept, and more of its rows at a few steps alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import reduce
from typing import NamedTuple

import numpy as np
import pandas as pd

from lstmcli.evaluation.metrics import means_of, realise, row_scores
from lstmcli.frames import IDENTITY, SCORE_COLUMNS
from lstmcli.panel import Panel


class _Part(NamedTuple):
    """What is kept of one recipe's forecasts of one ticker, where they have an outcome.

    Attributes:
        places: (N,) numbers of origin and step, the same in every recipe.
        identity: of the recipe: its name, and whether it is calibrated.
        values: (N,) rows of `row_scores`.
        shown: what is kept of the rows at the steps that are shown.
    """

    places: np.ndarray
    identity: tuple[str, bool]
    values: pd.DataFrame
    shown: pd.DataFrame


@dataclass(frozen=True)
class ScoredBlock:
    """The forecasts of one block by several recipes, with what came.

    All count at the origins and steps that every recipe has forecast, or the one with the
    longest history would be judged on other days.

    Attributes:
        panel: holds the bars that the outcomes need.
        shown: steps of whose rows more is kept than losses.
        keep: from realised forecasts of one ticker at those steps to a table with `made_on`
            and `step`, row by row.
    """

    panel: Panel
    shown: Collection[int]
    keep: Callable[[pd.DataFrame], pd.DataFrame]
    _recipes: list[dict[str, _Part]] = field(default_factory=list, init=False)

    def add(self, forecast: pd.DataFrame) -> None:
        """Take the forecasts of one recipe; each recipe is added once.

        A caller that keeps no reference to them gives up their memory.
        """
        parts = {}
        for ticker, rows in forecast.groupby("ticker", sort=False):
            came = realise(rows, self.panel)
            recipe, calibrated = rows[list(IDENTITY)].iloc[0]
            parts[str(ticker)] = _Part(
                _places(came),
                (str(recipe), bool(calibrated)),
                row_scores(came),
                self.keep(came[came["step"].isin(self.shown)]),
            )
        self._recipes.append(parts)

    def scores(self) -> pd.DataFrame:
        """Return Scores of every recipe, one row per recipe, ticker, step and metric."""
        shared = self._shared()
        means = []
        for ticker, places in shared.items():
            for part in (parts[ticker] for parts in self._recipes):
                kept = np.isin(part.places, places)
                means.append(means_of(_keys(ticker, part, kept), part.values[kept]))
        if not means:  # no origin that every recipe has forecast
            return pd.DataFrame(columns=list(SCORE_COLUMNS))
        scores = pd.concat(means, ignore_index=True)
        # Metric by metric, as of one table.
        metric = pd.factorize(scores["metric"])[0]
        return scores.iloc[np.argsort(metric, kind="stable")].reset_index(drop=True)

    def rows(self) -> Iterator[pd.DataFrame]:
        """Yield what is kept of each ticker's forecasts by each recipe, at the shown steps."""
        for ticker, places in self._shared().items():
            for part in (parts[ticker] for parts in self._recipes):
                yield part.shown[np.isin(_places(part.shown), places)]

    def _shared(self) -> dict[str, np.ndarray]:
        """Return by ticker the places that every recipe has forecast."""
        return {
            ticker: reduce(np.intersect1d, (parts[ticker].places for parts in self._recipes))
            for ticker in self._recipes[0]
            if all(ticker in parts for parts in self._recipes)
        }


_DAY = 1000
"""Numbers of one origin's steps."""


def _places(rows: pd.DataFrame) -> np.ndarray:
    """Return a number of each origin and step of one ticker, (N,)."""
    day = rows["made_on"].to_numpy("datetime64[D]").astype(np.int64)
    return day * _DAY + rows["step"].to_numpy(np.int64)


def _keys(ticker: str, part: _Part, kept: np.ndarray) -> pd.DataFrame:
    """Return what tells some of the rows (N,) apart that a mean is taken of."""
    keys = {"ticker": ticker, "step": part.places[kept] % _DAY}
    return pd.DataFrame(
        dict(zip(IDENTITY, part.identity, strict=True)) | keys, index=part.values.index[kept]
    )
