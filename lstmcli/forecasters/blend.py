"""A blend: several recipes whose quantiles are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pandas as pd

from lstmcli.forecasters.base import Fitted, Recipe
from lstmcli.forecasters.baselines.har import FittedHar
from lstmcli.forecasters.network import FittedNetwork, NetworkRecipe
from lstmcli.forecasters.network_state import NetworkState
from lstmcli.forecasters.training import Watch
from lstmcli.frames import QUANTILE_COLUMNS
from lstmcli.models.litert import LiteNetwork
from lstmcli.panel import Panel
from lstmcli.windows import Windows


@dataclass(frozen=True)
class Blend:
    """A network and other recipes, averaged quantile by quantile; itself a recipe.

    The network comes first and is fitted first. The others are fitted up to the end of
    its training block, so that none of them has seen the block that calibration learns from.

    Equation: q[τ,h] = Σ_k w_k·q_k[τ,h].
    Source: Lichtendahl, Grushka-Cockayne, Winkler (2013), Is It Better to Average
        Probabilities or Quantiles?, Management Science 59.

    Attributes:
        weights: one for each recipe; their sum is 1.
    """

    recipes: tuple[Recipe, ...]
    weights: tuple[float, ...]

    @property
    def network(self) -> NetworkRecipe:
        return cast(NetworkRecipe, self.recipes[0])

    @property
    def name(self) -> str:
        return self.network.name

    def fit(
        self,
        panel: Panel,
        until: pd.Timestamp,
        *,
        watch: Watch | None = None,
        fit: str = "final",
        windows: Windows | None = None,
    ) -> FittedBlend:
        """Return the fitted parts; see `NetworkRecipe.fit`."""
        network = self.network.fit(panel, until, watch=watch, fit=fit, windows=windows)
        others = (recipe.fit(panel, network.trained_until) for recipe in self.recipes[1:])
        return FittedBlend(self, (network, *others))


@dataclass(frozen=True)
class FittedBlend:
    """The fitted parts of a blend, the network first."""

    recipe: Blend
    parts: tuple[Fitted, ...]

    @property
    def network(self) -> FittedNetwork:
        return cast(FittedNetwork, self.parts[0])

    @property
    def name(self) -> str:
        return self.network.name

    def untrained(self) -> FittedBlend:
        """Return the blend with its network as it was at epoch 0."""
        return FittedBlend(self.recipe, (self.network.untrained(), *self.parts[1:]))

    @property
    def fit_end(self) -> pd.Timestamp:
        return max(part.fit_end for part in self.parts)

    @property
    def learns_from(self) -> pd.Timestamp:
        return max(part.learns_from for part in self.parts)

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        forecasts = [part.forecast(panel, origins) for part in self.parts]
        return _average(forecasts, self.recipe.weights)


RunRecipe = NetworkRecipe | Blend
"""What a config describes, and a run holds once it is fitted."""

FittedRun = FittedNetwork | FittedBlend


def _average(forecasts: Sequence[pd.DataFrame], weights: Sequence[float]) -> pd.DataFrame:
    """Return the first forecast with the weighted mean of all quantiles.

    A row that one of the others lacks keeps its own.
    """
    first, *others = forecasts
    if not len(first):
        return first
    keys, numbers = ["ticker", "made_on", "step"], ["sigma", *QUANTILE_COLUMNS]
    mixed = weights[0] * first[numbers].to_numpy()
    for other, weight in zip(others, weights[1:], strict=True):
        theirs = first[keys].merge(other[[*keys, *numbers]], on=keys, how="left")[numbers]
        mixed = mixed + weight * theirs.to_numpy()
    known = np.isfinite(mixed[:, :1])
    return first.assign(**dict(zip(numbers, np.where(known, mixed, first[numbers]).T, strict=True)))


def stored_state(fitted: FittedRun) -> NetworkState:
    """Return what a run keeps beside the weights: of a blend, its HAR too."""
    state = fitted.network.state
    if isinstance(fitted, FittedBlend):
        har = cast(FittedHar, fitted.parts[1])
        state = state.model_copy(update={"volatility": har.volatility})
    return state


def with_export(fitted: FittedRun, lite: bytes | None) -> FittedRun:
    """Return what a training has fitted, forecasting by its export where there is one."""
    if lite is None:
        return fitted
    return _with_network(fitted, replace(fitted.network, lite=LiteNetwork(lite)))


def with_windows(fitted: FittedRun, windows: Windows) -> FittedRun:
    """Return what is fitted, to forecast a panel whose windows have been cut already."""
    return _with_network(fitted, replace(fitted.network, prepared=windows))


def _with_network(fitted: FittedRun, network: FittedNetwork) -> FittedRun:
    if isinstance(fitted, FittedBlend):
        return replace(fitted, parts=(network, *fitted.parts[1:]))
    return network


def restored(recipe: RunRecipe, network: FittedNetwork) -> FittedRun:
    """Return the fitted recipe of a run from its network, whose state `stored_state` made."""
    if not isinstance(recipe, Blend):
        return network
    volatility = network.state.volatility
    if volatility is None:
        raise ValueError("Expected the HAR of a blend in its state.")
    har = FittedHar(volatility, network.trained_until, network.learns_from)
    return FittedBlend(recipe, (network, har))
