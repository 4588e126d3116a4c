"""A fitted network: it forecasts, and a run keeps it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lstmcli.features import channels_ahead
from lstmcli.forecasters.base import forecast_rows, join_forecasts
from lstmcli.forecasters.network_files import export_members, network_files
from lstmcli.forecasters.network_state import NetworkState, state_bytes
from lstmcli.forecasters.passes import target_inputs
from lstmcli.forecasters.run_recipe import UNTRAINED, Stage
from lstmcli.frames import QUANTILES
from lstmcli.models.attention import Attention, attention_weights
from lstmcli.models.litert import LiteNetwork
from lstmcli.panel import Panel
from lstmcli.trading import least_volatility
from lstmcli.windows import Windows, target_sessions

if TYPE_CHECKING:
    import keras

    from lstmcli.forecasters.network import NetworkRecipe

_SPREAD = QUANTILES.index(0.15), QUANTILES.index(0.85)


@dataclass(frozen=True)
class FittedNetwork:
    """Trained members with the scaling that they were trained on.

    Attributes:
        networks: the members; empty where only `lite` was loaded.
        lite: their mean in one graph, which needs no TensorFlow; preferred.
        prepared: windows of the panel to forecast, where they have been cut already.
    """

    recipe: NetworkRecipe
    networks: tuple[keras.Model, ...]
    state: NetworkState
    history: pd.DataFrame
    lite: LiteNetwork | None = None
    prepared: Windows | None = None

    @property
    def name(self) -> str:
        return self.recipe.name

    @cached_property
    def fit_end(self) -> pd.Timestamp:
        return pd.Timestamp(self.state.fit_end)

    @cached_property
    def learns_from(self) -> pd.Timestamp:
        """The first origin of the calibration block, which no weight has seen."""
        return pd.Timestamp(self.state.blocks["calibration"][0])

    @property
    def trained_until(self) -> pd.Timestamp:
        """The last origin of the training block."""
        return pd.Timestamp(self.state.blocks["train"][1])

    @property
    def best_epochs(self) -> tuple[int, ...]:
        return self.state.best_epochs

    def learnt(self) -> str:
        return self.state.model_dump_json() + self.history.drop(columns="seconds").to_json()

    def with_prepared(self, prepared: Windows) -> FittedNetwork:
        return replace(self, prepared=prepared)

    def exported(self, on_stage: Stage) -> FittedNetwork:
        """Return the network with its members' mean for LiteRT, where that is in reach.

        Digits of the export differ in the last place.
        """
        lite = export_members(self.networks, on_stage)
        return self if lite is None else replace(self, lite=lite)

    def stored_state(self) -> bytes:
        return state_bytes(self.state)

    def files(self) -> dict[str, bytes]:
        return network_files(self.networks, self.lite)

    def untrained(self) -> UntrainedNetwork:
        """Return what the network was at epoch 0: its baseline, or what training started from.

        A restored run no longer knows what it started from.
        """
        kept = {name.name: getattr(self, name.name) for name in fields(self)}
        start = self.recipe.start
        networks = () if start is None else start.networks
        return UntrainedNetwork(**kept | {"networks": networks, "lite": None})

    @property
    def parameters(self) -> int:
        """Trainable numbers of one member."""
        return sum(int(np.prod(v.shape)) for v in self.networks[0].trainable_variables)

    def scaled_quantiles(self, windows: Windows, rows: np.ndarray) -> np.ndarray:
        """Return the members' mean quantiles, (N, H, Q) in units of `sigma * sqrt(h)`."""
        found = np.empty((len(rows), windows.horizon, len(QUANTILES)))
        for start in range(0, len(rows), 1024):
            batch = slice(start, start + 1024)
            inputs = self._inputs(windows, rows[batch])
            if self.lite is not None:
                found[batch] = self.lite.mean(inputs)
            else:
                members = [network(inputs).numpy() for network in self.networks]
                np.mean(members, axis=0, dtype=np.float64, out=found[batch])
        return found

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        windows = self._windows(panel)
        wanted = windows.rows(origins, labelled=False)
        if not len(wanted):
            return join_forecasts([])
        # One pass for all tickers: hundreds of them cost little more than one.
        scaled = self.scaled_quantiles(windows, wanted)
        scale, session = windows.scale(wanted), windows.session[wanted]
        sigma = scale * self._spread(scaled)
        quantiles = np.maximum.accumulate(scaled, axis=-1)
        del scaled  # of a universe as large as the rows
        quantiles *= scale[:, :, None]
        target_on, least = [], []
        for code in np.unique(windows.ticker[wanted]):  # rows stand ticker by ticker
            ticker = windows.tickers[code]
            made_on = pd.DatetimeIndex(session[windows.ticker[wanted] == code])
            target_on.append(target_sessions(panel, ticker, made_on, windows.horizon))
            least.append(least_volatility(panel[ticker])[panel[ticker].index.isin(made_on)])
        return forecast_rows(
            self.name,
            np.array(windows.tickers, object)[windows.ticker[wanted]],
            made_on=session,
            target_on=np.concatenate(target_on),
            last_close=windows.close[wanted],
            sigma=sigma,
            quantiles=quantiles,
            least=np.concatenate(least),
        )

    def _windows(self, panel: Panel) -> Windows:
        volatility = self.state.volatility if self.recipe.scale == "har" else None
        if self.prepared is None:
            return self.recipe.windows(panel, volatility)
        windows = self.prepared
        if set(windows.tickers) != set(panel):
            windows = windows.only(list(panel))
        windows = windows.until(panel.sessions()[-1])
        if volatility is None:
            return windows
        return windows.with_sigma(self.recipe.sigma(panel, volatility))

    def attention(self, panel: Panel, ticker: str, origin: pd.Timestamp) -> pd.DataFrame | None:
        """Return the members' mean attention over one window; see `FittedRun.attention`."""
        if not isinstance(self.recipe.model, Attention):
            return None
        windows = self.recipe.windows(panel.only([ticker]), self.state.volatility)
        rows = windows.rows(pd.DatetimeIndex([origin]), labelled=False)
        inputs = self._inputs(windows, rows)
        weights = np.mean([attention_weights(network, inputs) for network in self.networks], axis=0)
        first = rows[0] - windows.lookback + 1
        return pd.DataFrame({"session": windows.session[first : rows[0] + 1], "weight": weights[0]})

    def _inputs(self, windows: Windows, rows: np.ndarray) -> dict[str, np.ndarray]:
        mean, scale = np.asarray(self.state.mean), np.asarray(self.state.scale)
        inputs = {"window": ((windows.x(rows) - mean) / scale).astype(np.float32)}
        if self.recipe.model.reads_targets(channels_ahead(self.recipe.future)):
            inputs["targets"] = target_inputs(windows, rows)
        return inputs

    def _spread(self, scaled: np.ndarray) -> np.ndarray:
        """Return how much wider (N, H) the forecast is than the baseline's quantiles."""
        low, high = _SPREAD
        base = np.asarray(self.state.base_quantiles)
        spread, usual = scaled[:, :, high] - scaled[:, :, low], base[:, high] - base[:, low]
        # Of a ticker that mostly does not move, the base quantiles are equal.
        return np.divide(spread, usual, out=np.ones_like(spread), where=usual > 0)


@dataclass(frozen=True)
class UntrainedNetwork(FittedNetwork):
    """A network at epoch 0: the base quantiles times the volatility, or what it started from."""

    @property
    def name(self) -> str:
        return f"{self.recipe.name}{UNTRAINED}"

    def scaled_quantiles(self, windows: Windows, rows: np.ndarray) -> np.ndarray:
        """Return the base quantiles of each row, (N, H, Q), where it had no start."""
        if self.networks:
            return super().scaled_quantiles(windows, rows)
        base = np.asarray(self.state.base_quantiles)
        return np.broadcast_to(base, (len(rows), *base.shape))
