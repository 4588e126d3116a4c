"""The panel network as a recipe: fitted on many tickers, it forecasts any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from lstmcli.forecasters.panel_network.columns import plain_columns
from lstmcli.forecasters.panel_network.files import ARRAYS, StoredPanel, from_arrays
from lstmcli.forecasters.panel_network.fit import (
    BLOCKS,
    Prepared,
    TrainingPanel,
    least_sessions,
    prepare,
    ridge_steps,
    with_shapes,
)
from lstmcli.forecasters.panel_network.fitted import FittedPanel
from lstmcli.forecasters.panel_network.modes import COLUMNS, INDEX, VIX
from lstmcli.forecasters.panel_network.state import PanelState, Stretch
from lstmcli.forecasters.panel_network.training import PanelNetworkConfig, train_member
from lstmcli.forecasters.run_recipe import UnexpectedContent, Work
from lstmcli.forecasters.training import Silent, Watch, member_seed
from lstmcli.forecasters.volatility.regressors import LONG_WARM_UP
from lstmcli.panel import Panel, View


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
        members: networks for later sessions; each block of training dates has one more.
        threads: cores to train on; None: all.
        label: the name of the config.
    """

    horizon: int = 20
    model: PanelNetworkConfig = field(default_factory=PanelNetworkConfig)
    members: int = 2
    seed: int = 7
    threads: int | None = None
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or self.model.name

    @property
    def lookback(self) -> int:
        """Sessions before the first forecast: the level of a ticker's variance needs them."""
        return LONG_WARM_UP + 1

    @property
    def library(self) -> str:
        return "TensorFlow"

    @property
    def work(self) -> Work:
        epochs = self.model.epochs
        return Work(self.members + BLOCKS, epochs, epochs, keeps_best=False)

    @property
    def series(self) -> tuple[str, ...]:
        return ()

    @property
    def optional_series(self) -> tuple[str, ...]:
        return (VIX, INDEX)

    @property
    def reads_others(self) -> bool:
        return True

    @property
    def volatility_alone(self) -> bool:
        return True

    def columns(self, view: View) -> pd.DataFrame:
        return plain_columns(view)

    def prepare(self, panel: Panel) -> TrainingPanel:
        return TrainingPanel(panel, max(ridge_steps(self.horizon)))

    def least_train(self, tickers: int) -> int:
        return least_sessions(max(ridge_steps(self.horizon)), tickers)

    def check_training(self, prepared: TrainingPanel, origins: pd.DatetimeIndex) -> None:
        """Check nothing: a batch takes what there is."""

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
        ready = prepare(past, self.horizon)
        stretches, history = self._train(ready, watch or Silent(), fit)
        state = PanelState(
            steps=ready.steps,
            clocks=ready.clocks,
            standardisation=ready.standardisation,
            stretches=stretches,
            ends=ready.ends,
            smearing={},
            shapes={},
        )
        first = pd.Timestamp(ready.table.sessions[0])
        del ready  # a universe's table is large
        return FittedPanel(
            recipe=self,
            state=with_shapes(state, past),
            tickers=tuple(past),
            fit_end=past.sessions()[-1],
            learns_from=first,
            history=history,
        )

    def _train(
        self, ready: Prepared, watch: Watch, fit: str
    ) -> tuple[tuple[Stretch, ...], pd.DataFrame]:
        of = [BLOCKS] * self.members + list(range(BLOCKS))
        networks, parts = [], []
        for member, stretch in enumerate(of, start=1):
            weights, history = train_member(
                self.model,
                ready.table,
                ready.learnt[stretch],
                held=ready.held(stretch),
                threads=self.threads,
                seed=member_seed(self.seed, member),
                fit=fit,
                member=member,
                members=len(of),
                watch=watch,
            )
            networks.append(weights)
            parts.append(history)
        stretches = tuple(
            Stretch(
                ready.wide[number],
                ready.har[number],
                tuple(w for w, stretch in zip(networks, of, strict=True) if stretch == number),
            )
            for number in range(BLOCKS + 1)
        )
        return stretches, pd.concat(parts, ignore_index=True)

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
            state=from_arrays(stored, files[ARRAYS]),
            tickers=stored.tickers,
            fit_end=pd.Timestamp(stored.fit_end),
            learns_from=pd.Timestamp(stored.learns_from),
            history=history,
        )
