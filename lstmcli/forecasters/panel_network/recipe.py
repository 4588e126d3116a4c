"""The panel network as a recipe: fitted on many tickers, it forecasts any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import pandas as pd

from lstmcli.errors import ConfigError
from lstmcli.features import EWMA_WARM_UP
from lstmcli.forecasters.panel_network.blocks import BLOCKS, TrainingPanel
from lstmcli.forecasters.panel_network.columns import plain_columns
from lstmcli.forecasters.panel_network.files import ARRAYS, StoredPanel, from_arrays
from lstmcli.forecasters.panel_network.fit import (
    Prepared,
    least_sessions,
    prepare,
    prepare_once,
    ridge_steps,
    with_shapes,
)
from lstmcli.forecasters.panel_network.fitted import FittedPanel
from lstmcli.forecasters.panel_network.modes import COLUMNS, INDEX, INPUTS, PLAIN, VIX
from lstmcli.forecasters.panel_network.network import Weights
from lstmcli.forecasters.panel_network.settings import PanelNetworkConfig
from lstmcli.forecasters.panel_network.state import PanelState, Stretch
from lstmcli.forecasters.panel_network.training import side_by_side, train_member
from lstmcli.forecasters.panel_network.tuning import least_tuned, tune
from lstmcli.forecasters.run_recipe import FittedRun, UnexpectedContent, Work
from lstmcli.forecasters.training import Silent, Watch, member_seed
from lstmcli.forecasters.unseen import check_unseen
from lstmcli.forecasters.volatility.regressors import LONG_WARM_UP
from lstmcli.frames import EARNINGS
from lstmcli.panel import Panel, View

NETWORK_READS = LONG_WARM_UP + 1
"""Sessions without which a ticker has no level of variance."""


@dataclass(frozen=True)
class PanelRecipe:
    """A network that corrects a wide regression of volatility, learnt across tickers.

    Two ridges read HAR's regressors, their lags, market series, the calendar and the
    announcement clock. An LSTM reads a ticker's whole history and learns what the wide ridge
    leaves: what differs between tickers on a date. Quantiles are those of past errors y/σ̂.

    Equation: ln σ²_h = level + 0.9·(R + p − ½p̄ + ¾(δ − δ̄)) + 0.1·H; R the wide ridge, p and
    δ the network's heads, bars their means over the panel on the session, H the HAR ridge.
    Source: see `columns`, `network` and `training`; Barone-Adesi, Giannopoulos, Vosper (1999)
    for the quantiles; Chernozhukov et al. (2018), Double/debiased machine learning, for
    forecasting each training session by a fit that has not seen it.

    Attributes:
        members: networks for later sessions; each block of training dates has one more. Where dates
            of announcements are known, as many again that read none.
        threads: cores to train on, a member each; None: all.
        label: the name of the config.
        starts: whether it starts from another fit; then it forecasts each ticker alone.
        start: that fit, once it is known.
    """

    horizon: int = 20
    model: PanelNetworkConfig = field(default_factory=PanelNetworkConfig)
    members: int = 2
    seed: int = 7
    threads: int | None = None
    label: str = ""
    starts: bool = False
    start: FittedPanel | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.label or self.model.name

    @property
    def lookback(self) -> int:
        """Sessions before the first forecast: the level of a ticker's variance needs them."""
        return EWMA_WARM_UP + 1 if self.alone else NETWORK_READS

    @property
    def alone(self) -> bool:
        """Whether it reads no other ticker; then a short history is forecast by EWMA."""
        return self.starts

    @property
    def library(self) -> str:
        return "TensorFlow"

    @property
    def work(self) -> Work:
        epochs = self.model.epochs
        if self.starts:
            return Work(self.members if epochs else 0, epochs, epochs, keeps_best=False)
        return Work(self.members + BLOCKS, epochs, epochs, keeps_best=False)

    @property
    def series(self) -> tuple[str, ...]:
        return ()

    @property
    def optional_series(self) -> tuple[str, ...]:
        return (VIX, INDEX)

    @property
    def reads_others(self) -> bool:
        return not self.alone

    @property
    def volatility_alone(self) -> bool:
        return True

    def columns(self, view: View) -> pd.DataFrame:
        return plain_columns(view)

    def prepare(self, panel: Panel) -> TrainingPanel:
        return TrainingPanel(panel, max(ridge_steps(self.horizon)))

    def least_train(self, tickers: int) -> int:
        if self.starts and self.model.batches:
            return least_tuned(self.model)
        return least_sessions(max(ridge_steps(self.horizon)), tickers)

    def check_training(self, prepared: TrainingPanel, origins: pd.DatetimeIndex) -> None:
        """Check nothing: a batch takes what there is."""

    def count_members(self, panel: Panel) -> int:
        if self.starts:
            return 0  # tuned in less time than it takes to send them
        later = self.members * (2 if (panel.events["kind"] == EARNINGS).any() else 1)
        return later + BLOCKS

    def train_only(
        self, member: int, panel: Panel, until: pd.Timestamp, *, watch: Watch, fit: str
    ) -> None:
        self._train(prepare_once(panel, until, self.horizon), watch, fit, only=member)

    def fit(
        self,
        panel: Panel,
        until: pd.Timestamp,
        *,
        watch: Watch | None = None,
        fit: str = "final",
        prepared: TrainingPanel | None = None,
    ) -> FittedPanel:
        """Return the fit.

        Args:
            watch: is told of each epoch, and keeps what resumes an interrupted fit.
            fit: how `watch` and the history call this fit.
            prepared: of no use here; whole histories are read anew.

        Raises:
            NoDataError: too few sessions.
        """
        del prepared
        past = panel.until(until)
        if self.starts:
            return self._from_start(past, watch or Silent(), fit)
        ready = prepare(past, self.horizon)
        stretches, history = self._train(ready, watch or Silent(), fit)
        state = PanelState(
            steps=ready.steps,
            clocks=ready.clocks,
            reaction=ready.reaction,
            standardisation=ready.standardisation,
            stretches=stretches,
            ends=ready.ends,
            smearing={},
            shapes={},
        )
        first, shaped = pd.Timestamp(ready.table.sessions[0]), ready.shaped
        del ready  # a universe's table is large
        return FittedPanel(
            recipe=self,
            state=with_shapes(state, shaped),
            tickers=tuple(past),
            fit_end=past.sessions()[-1],
            learns_from=first,
            history=history,
        )

    def starting_from(self, start: FittedRun) -> PanelRecipe:
        """Return the recipe with the fit that it starts from.

        Raises:
            ConfigError: that is no panel network, or one of another size.
        """
        if not isinstance(start, FittedPanel):
            raise ConfigError(
                f"Expected a panel network to start from. Received: {start.name}, "
                "which is a network over windows.",
                hint="--from pretrained is the one that ships",
            )
        sizes = {name: getattr(start.recipe.model, name) for name in ("units", "hidden")}
        for name, size in sizes.items():
            if getattr(self.model, name) != size:
                raise ConfigError(
                    f"model.{name}: Expected {size}, as {start.name} has, from which the training "
                    f"starts. Received: {getattr(self.model, name)}.",
                    hint=f"--set model.{name}={size}",
                )
        if self.horizon > max(start.state.steps):
            raise ConfigError(
                f"window.horizon: Expected {max(start.state.steps)} or less, as {start.name} has. "
                f"Received: {self.horizon}.",
                hint=f"--set window.horizon={max(start.state.steps)}",
            )
        return replace(self, start=start)

    def _from_start(self, past: Panel, watch: Watch, fit: str) -> FittedPanel:
        """Return the start, tuned to a panel where batches are asked for.

        Raises:
            ConfigError: the start has seen sessions after the panel.
            NoDataError: too few sessions to tune it.
        """
        if self.start is None:
            raise ValueError("Expected a fit to start from: see starting_from.")
        check_unseen(self.start, past.sessions()[-1])
        shipped = self.start.shipped(self)
        return tune(shipped, past, watch, fit) if self.model.batches else shipped

    def _train(
        self, ready: Prepared, watch: Watch, fit: str, *, only: int | None = None
    ) -> tuple[tuple[Stretch, ...], pd.DataFrame]:
        dates = ready.table.knows_dates()
        of = [(BLOCKS, k, dates) for k in range(1, self.members + 1)]
        of += [(block, self.members + 1 + block, dates) for block in range(BLOCKS)]
        # What knows no dates forecasts sessions without them better than what learns both.
        of += [(BLOCKS, k, False) for k in range(1, self.members + 1) if dates]
        wanted = [member for member in range(1, len(of) + 1) if only in (None, member)]
        trained = side_by_side(
            [
                partial(
                    train_member,
                    self.model,
                    ready.table,
                    ready.learnt[stretch],
                    held=ready.held(stretch),
                    seed=member_seed(self.seed, seed),
                    fit=fit,
                    member=member,
                    members=len(of),
                    dates=reads,
                )
                for member in wanted
                for stretch, seed, reads in [of[member - 1]]
            ],
            watch,
            self.threads,
        )
        networks: dict[tuple[int, bool], tuple[Weights, ...]] = {}
        for member, (weights, _) in zip(wanted, trained, strict=True):
            stretch, _, reads = of[member - 1]
            networks[stretch, reads] = (*networks.get((stretch, reads), ()), weights)
        parts = [history for _, history in trained]
        stretches = tuple(
            Stretch(
                ready.wide[number],
                ready.har[number],
                networks.get((number, True), ()),
                networks.get((number, False), ()),
            )
            for number in range(BLOCKS + 1)
        )
        return stretches, pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def restore(
        self,
        state: bytes,
        files: Mapping[str, bytes],
        *,
        history: pd.DataFrame,
        with_keras: bool = False,
    ) -> FittedPanel:
        """Return the panel network of a run."""
        del with_keras
        stored = StoredPanel.model_validate_json(state)
        if stored.columns != COLUMNS:
            raise UnexpectedContent(
                f"Expected the {len(COLUMNS)} columns of this version. "
                f"Received: {len(stored.columns)} others."
            )
        if ARRAYS not in files:
            raise ValueError(f"{ARRAYS} is missing")
        return FittedPanel(
            recipe=self,
            state=from_arrays(
                stored,
                files[ARRAYS],
                network=Weights.shapes(INPUTS, self.model.units, self.model.hidden),
                plain=Weights.shapes(len(PLAIN), self.model.units, self.model.hidden),
            ),
            tickers=stored.tickers,
            fit_end=pd.Timestamp(stored.fit_end),
            learns_from=pd.Timestamp(stored.learns_from),
            history=history,
        )
