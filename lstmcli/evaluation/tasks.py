"""Tasks of an evaluation: a fold of a backtest, a simulated random walk.

A task is a value: equal tasks give equal results, in whichever process they run. See
`lstmcli.executors.Task`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from lstmcli.evaluation.backtest import Fold, forecast_fold, taking_part
from lstmcli.evaluation.simulated_checks import random_walk_is_beaten
from lstmcli.forecasters.base import Recipe
from lstmcli.forecasters.run_recipe import Trained
from lstmcli.panel import Panel


@dataclass(frozen=True)
class FoldTask:
    """One recipe on one fold of a backtest.

    Attributes:
        panel_sha: the hash of the whole panel.
        steps: the steps whose forecasts are kept.
    """

    recipe: Recipe
    panel_sha: str
    fold: Fold
    steps: tuple[int, ...]

    @property
    def key(self) -> str:
        return f"{self.recipe.name}-{self.fold.number:02d}"

    def run(self, panel: Panel) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Return the forecasts as the recipe made them, and notes on the fit.

        Those of what is trained by epochs include the rows of its untrained self. They are
        calibrated later, all folds in their order; see `calibrate_folds`.
        The notes have `fallbacks`, what serves the tickers whose fit failed, by ticker, and
        for what is trained by epochs `best_epochs`, one per member.

        Raises:
            NoDataError: too few sessions for a fit.
        """
        panel = taking_part(panel, self.fold)
        fitted = self.recipe.fit(panel, self.fold.until)
        rows = forecast_fold(fitted, panel, self.fold, self.steps)
        notes: dict[str, Any] = {"fallbacks": dict(getattr(fitted, "fallbacks", {}))}
        if isinstance(fitted, Trained):
            notes["best_epochs"] = list(fitted.best_epochs)
            base = forecast_fold(fitted.untrained(), panel, self.fold, self.steps)
            rows = pd.concat([rows, base], ignore_index=True)
        return rows, notes


@dataclass(frozen=True)
class WalkTask:
    """One recipe on one simulated random walk, which nothing can beat.

    Attributes:
        market: the names of the market series that the recipe reads.
    """

    recipe: Recipe
    horizon: int
    seed: int
    market: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"random walk {self.seed}"

    @property
    def panel_sha(self) -> None:
        """A random walk is simulated where it is needed."""
        return None

    def run(self, panel: None) -> bool:
        """Return whether the recipe seems to beat the random walk."""
        return random_walk_is_beaten(self.recipe, self.horizon, seed=self.seed, market=self.market)
