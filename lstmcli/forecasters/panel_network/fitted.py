"""A fitted panel network: it forecasts any ticker, and a run keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lstmcli.features import alike
from lstmcli.forecasters.base import in_order, join_forecasts
from lstmcli.forecasters.filtered_simulation import filtered_simulation
from lstmcli.forecasters.panel_network.columns import Columns
from lstmcli.forecasters.panel_network.files import ARRAYS, StoredPanel, to_arrays
from lstmcli.forecasters.panel_network.modes import COLUMNS, MODES
from lstmcli.forecasters.panel_network.state import PanelState
from lstmcli.forecasters.panel_network.volatility import TickerVolatility, log_variances
from lstmcli.forecasters.run_recipe import UNTRAINED, Stage
from lstmcli.forecasters.small_products import by_rows, one_thread
from lstmcli.forecasters.volatility.ewma import root_of_steps
from lstmcli.frames import QUANTILES
from lstmcli.panel import Panel

READ = 1250
"""Sessions before the first origin that are read: the run-in of the network, and before it those
of the longest mean, 1,000."""

if TYPE_CHECKING:
    from lstmcli.forecasters.panel_network.recipe import PanelRecipe


@dataclass(frozen=True)
class FittedPanel:
    """A panel network with what it has learnt; it forecasts tickers that it never saw, too.

    Attributes:
        tickers: that it was fitted on.
        learns_from: the first session that is forecast by what had not seen it: of a training
            that of its first block, of what ships the one after `fit_end`.
    """

    recipe: PanelRecipe
    state: PanelState
    tickers: tuple[str, ...]
    fit_end: pd.Timestamp
    learns_from: pd.Timestamp
    history: pd.DataFrame

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def parameters(self) -> int:
        """Trainable numbers of one member."""
        last = self.state.stretches[-1]
        return max(network.size for network in (*last.networks, *last.plain))

    @property
    def best_epochs(self) -> tuple[int, ...]:
        """The last epoch of each member: there is no early stopping."""
        return tuple(self.history.groupby("member")["epoch"].max().tolist())

    @property
    def tuned(self) -> bool:
        """Whether it is a start, and what was tuned from it for later sessions."""
        return self.recipe.starts and len(self.state.stretches) > 1

    @one_thread()
    def sigma(self, panel: Panel) -> dict[str, np.ndarray]:
        """Return the volatility of the cumulative returns, (T, H), of each ticker and its peers."""
        columns = Columns(panel)
        found = log_variances(self.state, columns)
        return {ticker: self._scale(columns, found, ticker) for ticker in found}

    @one_thread()
    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        if not self.recipe.alone:
            columns = Columns(panel)
            return join_forecasts(self._simulated(columns, columns.groups.values(), panel, origins))
        first = min(origins.min(), self.learns_from) if len(origins) else self.learns_from
        recent = {ticker: _since(bars, first) for ticker, bars in panel.items()}
        parts = []
        for tickers in alike(recent):
            bars = {ticker: recent[ticker] for ticker in tickers}
            group = panel.only(tickers).with_(bars=bars)
            columns = Columns(group, alone=True)
            parts += self._simulated(columns, [group], group, origins, since=first)
        return in_order(join_forecasts(parts), list(panel))

    def _simulated(
        self,
        columns: Columns,
        pools: Iterable[Panel],
        panel: Panel,
        origins: pd.DatetimeIndex,
        *,
        since: pd.Timestamp | None = None,
    ) -> list[pd.DataFrame]:
        """Return the Forecast of each pool: of those of its tickers that the panel forecasts.

        Args:
            since: the first session whose volatility is asked for; None: all.
        """
        found = log_variances(self.state, columns, since=since)
        scale = partial(self._scale, columns, found)

        def scales(pool: Panel) -> Mapping[str, np.ndarray]:
            # Tickers alone are few at a time: what is made once serves twice.
            return {t: scale(t) for t in pool} if self.recipe.alone else _Lazy(tuple(pool), scale)

        shapes = np.zeros((len(MODES), self.recipe.horizon, len(QUANTILES)))
        for mode, shape in self.state.shapes.items():
            shapes[MODES.index(mode)] = self._between.T @ shape

        def lend(ticker: str, rows: np.ndarray) -> np.ndarray:
            return np.asarray(shapes[found[ticker].modes[rows]])

        return [
            filtered_simulation(
                self.name,
                pool,
                origins,
                scales(pool),
                lend=lend,
                only=set(panel),
                since=self.learns_from,
                alone=self.recipe.alone,
            )
            for pool in pools
        ]

    def _scale(
        self, columns: Columns, found: Mapping[str, TickerVolatility], ticker: str
    ) -> np.ndarray:
        """Return the volatility (T, H) of the cumulative returns of a ticker."""
        scale = np.exp(by_rows(found[ticker].log_variance, self._between) / 2) * self._root
        if self.recipe.alone:
            # The network needs a level; before that a forecast is that of EWMA.
            ewma = columns.ewma(ticker)[:, None] * self._root
            scale = np.where(np.isfinite(scale), scale, ewma)
        return np.asarray(np.maximum(scale, columns.least(ticker)[:, None] * self._root))

    @cached_property
    def _root(self) -> np.ndarray:
        return root_of_steps(self.recipe.horizon)

    @cached_property
    def _between(self) -> np.ndarray:
        """(A, H) by which what is known at some steps is interpolated in ln h."""
        ahead, known = np.log(np.arange(1, self.recipe.horizon + 1)), np.log(self.state.steps)
        return np.array([np.interp(ahead, known, unit) for unit in np.eye(len(known))])

    def untrained(self) -> UntrainedPanel:
        """Return where training starts: the ridges without a network, or the start of a tuning."""
        return UntrainedPanel(
            self.recipe,
            self.state.untuned() if self.tuned else self.state.bare(),
            self.tickers,
            self.fit_end,
            self.learns_from,
            self.history,
        )

    def shipped(self, recipe: PanelRecipe) -> FittedPanel:
        """Return what forecasts any ticker alone, by a recipe that starts from this.

        Its errors count after `fit_end` alone: the last fit has seen all that lies before.
        """
        blocks = len(self.state.ends)  # each has a member, after the first ones of the last fit
        member, members = self.history["member"], self.recipe.members
        last = (member <= members) | (member > members + blocks)
        return replace(
            self,
            recipe=recipe,
            state=self.state.alone(),
            learns_from=self.fit_end + pd.Timedelta(1, "D"),
            history=self.history[last].reset_index(drop=True),
        )

    def learnt(self) -> str:
        losses = self.history.drop(columns="seconds").to_json()
        return self.stored_state().decode() + to_arrays(self.state).hex() + losses

    def with_prepared(self, prepared: Any) -> FittedPanel:
        del prepared  # whole histories are read anew
        return self

    def exported(self, on_stage: Stage) -> FittedPanel:
        del on_stage  # it forecasts without TensorFlow as it is
        return self

    def stored_state(self) -> bytes:
        first, last = str(self.learns_from.date()), str(self.fit_end.date())
        stored = StoredPanel(
            blocks={} if self.recipe.alone else {"train": (first, last)},
            fit_end=last,
            best_epochs=self.best_epochs,
            tickers=self.tickers,
            columns=COLUMNS,
            learns_from=first,
            steps=self.state.steps,
            clocks=dict(self.state.clocks),
            reaction=self.state.reaction,
        )
        return (stored.model_dump_json(indent=2) + "\n").encode()

    def files(self) -> dict[str, bytes]:
        return {ARRAYS: to_arrays(self.state)}

    def attention(self, panel: Panel, ticker: str, origin: pd.Timestamp) -> None:
        """Return None: its weights are those of an LSTM, not of sessions."""


@dataclass(frozen=True, eq=False)
class _Lazy(Mapping[str, np.ndarray]):
    """Arrays of some tickers, each made when it is asked for: those of a universe are large."""

    tickers: tuple[str, ...]
    make: Callable[[str], np.ndarray]

    def __getitem__(self, ticker: str) -> np.ndarray:
        return self.make(ticker)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tickers)

    def __len__(self) -> int:
        return len(self.tickers)


def _since(bars: pd.DataFrame, first: pd.Timestamp) -> pd.DataFrame:
    """Return the bars of one ticker that still say something of sessions from `first` on."""
    start = int(bars.index.searchsorted(first)) - READ
    return bars.iloc[start:] if start > 0 else bars


@dataclass(frozen=True)
class UntrainedPanel(FittedPanel):
    """A panel network at epoch 0: it corrects nothing, or what it was tuned from did."""

    @property
    def name(self) -> str:
        return f"{self.recipe.name}{UNTRAINED}"
