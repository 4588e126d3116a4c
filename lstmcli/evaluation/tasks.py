"""Tasks: a fold of a backtest, a simulated random walk, a member of a network.

A task is a value: equal tasks give equal results, in whichever process they run. See
`lstmcli.executors.Task`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.evaluation.backtest import Fold, forecast_fold, taking_part
from lstmcli.evaluation.simulated_checks import random_walk_is_beaten
from lstmcli.forecasters.base import Recipe
from lstmcli.forecasters.run_recipe import Trained, TrainsMembers
from lstmcli.forecasters.training import Silent
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
class MemberTask:
    """One member of a network that is trained by itself.

    Attributes:
        fit: `scored` or `final`; see `RunRecipe.fit`.
        member: 1, 2, …
        saved: the state from which its training goes on; None: from its beginning.
    """

    recipe: TrainsMembers
    panel_sha: str
    until: pd.Timestamp
    fit: str
    member: int
    saved: Mapping[str, np.ndarray] | None = None

    @property
    def key(self) -> str:
        return f"{self.fit}-{self.member}"

    def run(self, panel: Panel) -> Mapping[str, np.ndarray] | None:
        """Return the state after the last epoch; None where there is no such member."""
        kept = _Last(self.key, self.saved)
        self.recipe.train_only(self.member, panel, self.until, watch=kept, fit=self.fit)
        return kept.saved


class _Last(Silent):
    """A watch that keeps the newest state of one member."""

    def __init__(self, key: str, saved: Mapping[str, np.ndarray] | None) -> None:
        self.key, self.saved = key, saved

    def load(self, key: str) -> Mapping[str, np.ndarray] | None:
        return self.saved if key == self.key else None

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        if key != self.key:
            raise ValueError(f"Expected the state of {self.key}. Received: {key}.")
        self.saved = arrays


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
