"""A network as a forecaster: features, windows and a model, fitted with early stopping."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from lstmcli.features import channels_ahead, ewma_volatility, feature_matrix, known_ahead
from lstmcli.forecasters.base import forecast_rows, join_forecasts
from lstmcli.forecasters.network_state import NetworkState
from lstmcli.forecasters.passes import target_inputs
from lstmcli.forecasters.training import (
    Silent,
    TrainingConfig,
    Watch,
    train_member,
    training_data,
)
from lstmcli.forecasters.volatility.har import FittedHarVolatility, HarVolatility
from lstmcli.frames import QUANTILES
from lstmcli.models import ModelConfig
from lstmcli.models.attention import attention_weights
from lstmcli.models.litert import LiteNetwork
from lstmcli.panel import Panel
from lstmcli.splits import SplitConfig, split_origins
from lstmcli.trading import least_volatility
from lstmcli.windows import WindowConfig, Windows, cut_windows, labelled_origins, target_sessions

if TYPE_CHECKING:
    import keras

Scale = Literal["ewma", "har"]
"""The volatility by which a network's target is divided."""

UNTRAINED = "-untrained"
"""Ends the name of a recipe as it was before its first epoch."""

_SPREAD = QUANTILES.index(0.15), QUANTILES.index(0.85)


@dataclass(frozen=True)
class NetworkRecipe:
    """Forecast with a network; equations in `models/`, head and loss in `layers`.

    The target is the cumulative log return over 1…H sessions, divided by a
    volatility known at the origin; all steps at once, never recursive. Several
    members are averaged quantile by quantile.

    Attributes:
        scale: `ewma` (λ = 0.94, times √h), or `har`: the regression of `HarVolatility`
            with lags and the earnings cycle, fitted on the training block.
        future: what the network reads of each session forecast; see `features.events`.
        label: the name of the config, by which recipes are told apart; else the variant's.
    """

    model: ModelConfig
    features: tuple[str, ...] = ("log_return",)
    window: WindowConfig = field(default_factory=WindowConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    seed: int = 7
    scale: Scale = "ewma"
    future: tuple[str, ...] = ()
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or self.model.name

    @property
    def network(self) -> NetworkRecipe:
        """Itself; of a blend, the network in it."""
        return self

    def windows(self, panel: Panel, volatility: FittedHarVolatility | None = None) -> Windows:
        """Return the windows of a panel, features not yet standardised.

        Args:
            volatility: what `scale: har` has learnt; else its windows stand where they
                will, with a volatility that is not to be used.
        """
        return cut_windows(
            panel,
            lambda view: feature_matrix(view, self.features),
            self.sigma(panel, volatility),
            self.window,
            future=partial(known_ahead, names=self.future) if self.future else None,
        )

    @property
    def _har(self) -> HarVolatility:
        return HarVolatility(self.window.horizon, earnings=True, lags=True)

    def sigma(self, panel: Panel, volatility: FittedHarVolatility | None) -> dict[str, np.ndarray]:
        """Return the volatility of one session of each ticker, (T, 1) or (T, H)."""
        if self.scale == "ewma":
            return {t: ewma_volatility(bars).to_numpy()[:, None] for t, bars in panel.items()}
        root = np.sqrt(np.arange(1, self.window.horizon + 1))
        scales = (volatility or self._har.untrained()).sigma(panel)
        return {ticker: scale / root for ticker, scale in scales.items()}

    def fit(
        self,
        panel: Panel,
        until: pd.Timestamp,
        *,
        watch: Watch | None = None,
        fit: str = "final",
        windows: Windows | None = None,
    ) -> FittedNetwork:
        """Return fitted networks; the last blocks end with the labels of `until`.

        Args:
            watch: is told of each epoch, and keeps what resumes an interrupted fit.
            fit: how `watch` and the history call this fit.
            windows: of the whole panel, where they have been cut already.

        Raises:
            NoDataError: too few sessions for the blocks.
        """
        from sklearn.preprocessing import StandardScaler

        past = panel.until(until)
        prepared = windows
        windows = self.windows(past) if windows is None else windows.until(until)
        origins = labelled_origins(windows)
        split = self.split.resolve(len(origins))
        blocks = split_origins(origins, split, self.window.horizon, test=False)
        train = windows.rows(blocks["train"].origins, labelled=True)
        volatility = None
        if self.scale == "har":
            # The blocks follow from which windows there are, and the fit from the blocks.
            volatility = self._har.fit(past, blocks["train"].last)
            windows = windows.with_sigma(self.sigma(past, volatility))

        inside = np.isfinite(windows.values).all(axis=1)
        inside &= windows.session <= blocks["train"].last.to_datetime64()
        scaler = StandardScaler().fit(windows.values[inside].astype(np.float64))
        data = training_data(windows, scaler.mean_, scaler.scale_, train, blocks)
        members = [
            train_member(
                self.model,
                self.training,
                data,
                seed=self.seed,
                fit=fit,
                member=member,
                watch=watch or Silent(),
            )
            for member in range(1, self.training.members + 1)
        ]
        history = pd.concat([rows for _, rows in members], ignore_index=True)
        best = history.loc[history.groupby("member")["validation_loss"].idxmin(), "epoch"]
        state = NetworkState(
            tickers=tuple(past),
            features=self.features,
            mean=tuple(scaler.mean_.tolist()),
            scale=tuple(scaler.scale_.tolist()),
            base_quantiles=tuple(map(tuple, data.base_quantiles.tolist())),
            blocks={
                name: (str(block.first.date()), str(block.last.date()))
                for name, block in blocks.items()
            },
            fit_end=str(past.sessions()[-1].date()),
            best_epochs=tuple(best.tolist()),
            volatility=volatility,
        )
        networks = tuple(network for network, _ in members)
        return FittedNetwork(self, networks, state, history, prepared=prepared)


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
    def network(self) -> FittedNetwork:
        """Itself; of a blend, the network in it."""
        return self

    def untrained(self) -> UntrainedNetwork:
        """Return what the network was at epoch 0: its baseline, where training starts."""
        kept = {name.name: getattr(self, name.name) for name in fields(self)}
        return UntrainedNetwork(**kept | {"networks": (), "lite": None})

    @property
    def parameters(self) -> int:
        """Trainable numbers of one member."""
        return sum(int(np.prod(v.shape)) for v in self.networks[0].trainable_variables)

    def scaled_quantiles(self, windows: Windows, rows: np.ndarray) -> np.ndarray:
        """Return the members' mean quantiles, (N, H, Q) in units of `sigma * sqrt(h)`."""
        batches: list[np.ndarray] = []
        for start in range(0, len(rows), 1024):
            inputs = self._inputs(windows, rows[start : start + 1024])
            if self.lite is not None:
                batches.append(self.lite.mean(inputs))
            else:
                members = [network(inputs).numpy() for network in self.networks]
                batches.append(np.asarray(np.mean(members, axis=0, dtype=np.float64)))
        return np.concatenate(batches)

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        windows = self._windows(panel)
        wanted = windows.rows(origins, labelled=False)
        if not len(wanted):
            return join_forecasts([])
        # One pass for all tickers: hundreds of them cost little more than one.
        every = self.scaled_quantiles(windows, wanted)
        parts = []
        for code, ticker in enumerate(windows.tickers):
            chosen = windows.ticker[wanted] == code
            rows, scaled = wanted[chosen], every[chosen]
            if not len(rows):
                continue
            scale = windows.scale(rows)
            made_on = pd.DatetimeIndex(windows.session[rows])
            parts.append(
                forecast_rows(
                    self.name,
                    ticker,
                    made_on=made_on,
                    target_on=target_sessions(panel, ticker, made_on, windows.horizon),
                    last_close=windows.close[rows],
                    sigma=scale * self._spread(scaled),
                    quantiles=np.maximum.accumulate(scaled, axis=-1) * scale[:, :, None],
                    least=least_volatility(panel[ticker])[panel[ticker].index.isin(made_on)],
                )
            )
        return join_forecasts(parts)

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

    def attention(self, panel: Panel, ticker: str, origin: pd.Timestamp) -> pd.DataFrame:
        """Return the members' mean attention over one window: `session`, `weight`."""
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
    """A network at epoch 0, which needs no network: the base quantiles times the volatility."""

    @property
    def name(self) -> str:
        return f"{self.recipe.name}{UNTRAINED}"

    def scaled_quantiles(self, windows: Windows, rows: np.ndarray) -> np.ndarray:
        """Return the base quantiles of each row, (N, H, Q)."""
        del windows
        base = np.asarray(self.state.base_quantiles)
        return np.broadcast_to(base, (len(rows), *base.shape))
