"""A network as a forecaster: features, windows and a model, fitted with early stopping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pandas as pd

from lstmcli.errors import ConfigError
from lstmcli.features import (
    channels_ahead,
    ewma_volatility,
    feature_matrix,
    find_feature,
    known_ahead,
    series_of,
)
from lstmcli.forecasters.fitted_network import FittedNetwork
from lstmcli.forecasters.network_files import load_export, load_members
from lstmcli.forecasters.network_start import check_start, network_of, unseen
from lstmcli.forecasters.network_state import NetworkState
from lstmcli.forecasters.run_recipe import FittedRun, UnexpectedContent, Work
from lstmcli.forecasters.training import (
    Silent,
    TrainingConfig,
    Watch,
    train_member,
    training_data,
)
from lstmcli.forecasters.unseen import check_unseen
from lstmcli.forecasters.volatility.har import FittedHarVolatility, HarVolatility
from lstmcli.frames import QUANTILES
from lstmcli.models import ModelConfig, WindowShape
from lstmcli.panel import Panel, View
from lstmcli.splits import MIN_TRAIN, SplitConfig, split_origins
from lstmcli.windows import WindowConfig, Windows, cut_windows

if TYPE_CHECKING:
    import keras

Scale = Literal["ewma", "har"]
"""The volatility by which a network's target is divided."""


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
        start: what training starts from, in whose units it goes on; else from its baseline.
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
    start: FittedNetwork | None = field(default=None, repr=False, compare=False)

    library: ClassVar[str] = "TensorFlow"
    optional_series: ClassVar[tuple[str, ...]] = ()
    reads_others: ClassVar[bool] = False
    alone: ClassVar[bool] = False
    volatility_alone: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return self.label or self.model.name

    @property
    def horizon(self) -> int:
        return self.window.horizon

    @property
    def work(self) -> Work:
        training = self.training
        least = min(training.patience, training.epochs)
        return Work(training.members, least, training.epochs)

    @property
    def lookback(self) -> int:
        return self.window.lookback

    @property
    def series(self) -> tuple[str, ...]:
        return series_of(self.features)

    def columns(self, view: View) -> pd.DataFrame:
        return feature_matrix(view, self.features)

    def prepare(self, panel: Panel) -> Windows:
        return self.windows(panel)

    def least_train(self, tickers: int) -> int:
        # So many that a batch can be filled, too.
        return max(MIN_TRAIN, -(-self.training.batch_size // tickers))

    def check_training(self, prepared: Windows, origins: pd.DatetimeIndex) -> None:
        windows = len(prepared.rows(origins, labelled=True))
        if self.training.batch_size > windows:
            raise ConfigError(
                f"training.batch_size: Expected 1 to {windows:,}, the windows to train on. "
                f"Received: {self.training.batch_size:,}.",
                hint=f"--set training.batch_size={min(64, windows)}",
            )

    def windows(self, panel: Panel, volatility: FittedHarVolatility | None = None) -> Windows:
        """Return the windows of a panel, features not yet standardised.

        Args:
            volatility: what `scale: har` has learnt; else its windows stand where they
                will, with a volatility that is not to be used.
        """
        return cut_windows(
            panel,
            self.columns,
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

    def starting_from(self, start: FittedRun) -> NetworkRecipe:
        """Return the recipe with the networks that its members start from.

        Raises:
            ConfigError: they are of another kind or shape, or read other columns.
        """
        network = network_of(start)
        check_start(self, network)
        return replace(self, start=network)

    def count_members(self, panel: Panel) -> int:
        del panel
        return self.training.members

    def train_only(
        self, member: int, panel: Panel, until: pd.Timestamp, *, watch: Watch, fit: str
    ) -> None:
        self.fit(panel, until, watch=watch, fit=fit, only=member)

    def fit(
        self,
        panel: Panel,
        until: pd.Timestamp,
        *,
        watch: Watch | None = None,
        fit: str = "final",
        prepared: Windows | None = None,
        only: int | None = None,
    ) -> FittedNetwork:
        """Return fitted networks; see `RunRecipe.fit`.

        With `only`, the member of that number is trained and no other. With a start, its
        standardisation, base quantiles and HAR stay: weights are in their units. Forecasts count
        as out of sample after its end alone.

        Raises:
            ConfigError: the start has seen sessions after `until`.
        """
        past = panel.until(until)
        start = self.start
        if start is not None:
            check_unseen(start, past.sessions()[-1])
        windows = self.windows(past) if prepared is None else prepared.until(until)
        origins = windows.origins()
        split = self.split.resolve(len(origins))
        blocks = split_origins(origins, split, self.window.horizon, test=False)
        train = windows.rows(blocks["train"].origins, labelled=True)
        volatility = None
        if self.scale == "har":
            # The blocks follow from which windows there are, and the fit from the blocks.
            volatility = (
                self._har.fit(past, blocks["train"].last)
                if start is None
                else start.state.volatility
            )
            windows = windows.with_sigma(self.sigma(past, volatility))

        if start is None:
            mean, scale = _moments(windows, blocks["train"].last)
        else:
            mean, scale = np.asarray(start.state.mean), np.asarray(start.state.scale)
        base = None if start is None else np.asarray(start.state.base_quantiles)
        data = training_data(windows, mean, scale, train, blocks, base=base)
        members = [
            train_member(
                self.model,
                self.training,
                data,
                seed=self.seed,
                fit=fit,
                member=member,
                watch=watch or Silent(),
                start=None if start is None else start.networks[member - 1].get_weights(),
            )
            for member in range(1, self.training.members + 1)
            if only in (None, member)
        ]
        dates = {
            name: (str(block.first.date()), str(block.last.date()))
            for name, block in blocks.items()
        }
        history = pd.concat([rows for _, rows in members], ignore_index=True)
        best = history.loc[history.groupby("member")["validation_loss"].idxmin(), "epoch"]
        state = NetworkState(
            tickers=tuple(past),
            features=self.features,
            mean=tuple(mean.tolist()),
            scale=tuple(scale.tolist()),
            base_quantiles=tuple(map(tuple, data.base_quantiles.tolist())),
            blocks=dates | ({} if start is None else {"calibration": unseen(start, dates)}),
            fit_end=str(past.sessions()[-1].date()),
            best_epochs=tuple(best.tolist()),
            volatility=volatility,
        )
        networks = tuple(network for network, _ in members)
        return FittedNetwork(self, networks, state, history, prepared=prepared)

    def build(self, state: bytes) -> keras.Model:
        """Return a member before its first epoch; see `BuildsNetworks`."""
        known = NetworkState.model_validate_json(state)
        sizes = {len(known.mean), len(known.scale), len(known.features), len(self.features)}
        levels = {len(row) for row in known.base_quantiles}
        if (
            len(sizes) > 1
            or len(known.base_quantiles) != self.horizon
            or levels != {len(QUANTILES)}
        ):
            raise ValueError("its state is not one of its config")
        base = np.array(known.base_quantiles)
        if not all(np.isfinite(numbers).all() for numbers in (known.mean, known.scale, base)):
            raise ValueError("its state holds values that are not finite")
        future = channels_ahead(self.future)
        shape = WindowShape(self.lookback, len(self.features), self.horizon, future)
        return self.model.build(shape, base)

    def restore(
        self,
        state: bytes,
        files: Mapping[str, bytes],
        *,
        history: pd.DataFrame,
        with_keras: bool = False,
    ) -> FittedNetwork:
        """Return the network of a run, for LiteRT where it was exported."""
        known = NetworkState.model_validate_json(state)
        unknown = [name for name in known.features if find_feature(name) is None]
        if unknown or known.features != self.features:
            raise UnexpectedContent(
                f"Expected the feature columns {', '.join(self.features)}. "
                f"Received: {', '.join(known.features)}."
            )
        lite = load_export(files)
        networks = load_members(files) if lite is None or with_keras else ()
        width = networks[0].inputs[0].shape[-1] if networks else 0
        if (lite is None or with_keras) and width != len(known.features):
            raise UnexpectedContent(
                f"Expected networks with {len(known.features)} feature columns. Received: {width}."
            )
        return FittedNetwork(self, networks, known, history, lite)


def _moments(windows: Windows, last: pd.Timestamp) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and scale (F,) of the features over the sessions up to the last to train on."""
    from sklearn.preprocessing import StandardScaler

    inside = np.isfinite(windows.values).all(axis=1)
    inside &= windows.session <= last.to_datetime64()
    scaler = StandardScaler().fit(windows.values[inside].astype(np.float64))
    return scaler.mean_, scaler.scale_
