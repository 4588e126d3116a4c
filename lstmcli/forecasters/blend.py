"""A blend: several recipes whose quantiles are averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
import pandas as pd

from lstmcli.forecasters.base import Fitted, Recipe
from lstmcli.forecasters.baselines.har import FittedHar
from lstmcli.forecasters.fitted_network import FittedNetwork
from lstmcli.forecasters.network import NetworkRecipe
from lstmcli.forecasters.network_state import state_bytes
from lstmcli.forecasters.run_recipe import FittedRun, Stage, Work
from lstmcli.forecasters.training import Watch
from lstmcli.forecasters.volatility.har import FittedHarVolatility
from lstmcli.frames import QUANTILE_COLUMNS
from lstmcli.panel import Panel, View
from lstmcli.windows import Windows

if TYPE_CHECKING:
    import keras


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

    library: ClassVar[str] = NetworkRecipe.library
    optional_series: ClassVar[tuple[str, ...]] = NetworkRecipe.optional_series
    reads_others: ClassVar[bool] = NetworkRecipe.reads_others
    alone: ClassVar[bool] = NetworkRecipe.alone
    volatility_alone: ClassVar[bool] = NetworkRecipe.volatility_alone

    @property
    def network(self) -> NetworkRecipe:
        return cast(NetworkRecipe, self.recipes[0])

    @property
    def name(self) -> str:
        return self.network.name

    @property
    def horizon(self) -> int:
        return self.network.horizon

    @property
    def work(self) -> Work:
        return self.network.work

    @property
    def lookback(self) -> int:
        return self.network.lookback

    @property
    def series(self) -> tuple[str, ...]:
        return self.network.series

    def starting_from(self, start: FittedRun) -> Blend:
        """Return the blend whose network starts from that of another run.

        Raises:
            ConfigError: see `NetworkRecipe.starting_from`.
        """
        network = self.network.starting_from(start)
        return replace(self, recipes=(network, *self.recipes[1:]))

    def columns(self, view: View) -> pd.DataFrame:
        return self.network.columns(view)

    def prepare(self, panel: Panel) -> Windows:
        return self.network.prepare(panel)

    def least_train(self, tickers: int) -> int:
        return self.network.least_train(tickers)

    def check_training(self, prepared: Windows, origins: pd.DatetimeIndex) -> None:
        self.network.check_training(prepared, origins)

    def count_members(self, panel: Panel) -> int:
        return self.network.count_members(panel)

    def train_only(
        self, member: int, panel: Panel, until: pd.Timestamp, *, watch: Watch, fit: str
    ) -> None:
        self.network.train_only(member, panel, until, watch=watch, fit=fit)

    def fit(
        self,
        panel: Panel,
        until: pd.Timestamp,
        *,
        watch: Watch | None = None,
        fit: str = "final",
        prepared: Windows | None = None,
    ) -> FittedBlend:
        """Return the fitted parts; see `RunRecipe.fit`."""
        network = self.network.fit(panel, until, watch=watch, fit=fit, prepared=prepared)
        if self.network.start is not None and network.state.volatility is not None:
            # The HAR that the network's targets are divided by stays; a run keeps one.
            return FittedBlend(self, (network, _har_of(network, network.state.volatility)))
        others = (recipe.fit(panel, network.trained_until) for recipe in self.recipes[1:])
        return FittedBlend(self, (network, *others))

    def build(self, state: bytes) -> keras.Model:
        return self.network.build(state)

    def restore(
        self,
        state: bytes,
        files: Mapping[str, bytes],
        *,
        history: pd.DataFrame,
        with_keras: bool = False,
    ) -> FittedBlend:
        network = self.network.restore(state, files, history=history, with_keras=with_keras)
        volatility = network.state.volatility
        if volatility is None:
            raise ValueError("its state lacks the HAR of its blend")
        return FittedBlend(self, (network, _har_of(network, volatility)))


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

    @property
    def history(self) -> pd.DataFrame:
        return self.network.history

    @property
    def best_epochs(self) -> tuple[int, ...]:
        return self.network.best_epochs

    @property
    def parameters(self) -> int:
        return self.network.parameters

    def untrained(self) -> FittedBlend:
        """Return the blend with its network as it was at epoch 0."""
        return self._with_network(self.network.untrained())

    def learnt(self) -> str:
        return self.network.learnt()

    def with_prepared(self, prepared: Windows) -> FittedBlend:
        return self._with_network(self.network.with_prepared(prepared))

    def exported(self, on_stage: Stage) -> FittedBlend:
        return self._with_network(self.network.exported(on_stage))

    def stored_state(self) -> bytes:
        """Return the state of the network, with the HAR beside it."""
        har = cast(FittedHar, self.parts[1])
        return state_bytes(self.network.state.model_copy(update={"volatility": har.volatility}))

    def files(self) -> dict[str, bytes]:
        return self.network.files()

    def attention(self, panel: Panel, ticker: str, origin: pd.Timestamp) -> pd.DataFrame | None:
        return self.network.attention(panel, ticker, origin)

    def _with_network(self, network: FittedNetwork) -> FittedBlend:
        return replace(self, parts=(network, *self.parts[1:]))

    @property
    def fit_end(self) -> pd.Timestamp:
        return max(part.fit_end for part in self.parts)

    @property
    def learns_from(self) -> pd.Timestamp:
        return max(part.learns_from for part in self.parts)

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        forecasts = [part.forecast(panel, origins) for part in self.parts]
        return _average(forecasts, self.recipe.weights)


def _har_of(network: FittedNetwork, volatility: FittedHarVolatility) -> FittedHar:
    return FittedHar(volatility, network.trained_until, network.learns_from)


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
