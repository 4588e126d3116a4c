"""What a config describes and a run keeps: a recipe that can be trained, stored and restored.

Everything above the forecasters asks a run through these protocols alone. A network over
windows and its blend satisfy them; another kind of forecaster that does can be trained,
scored, audited and kept by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import pandas as pd

from lstmcli.forecasters.base import Fitted, Recipe
from lstmcli.forecasters.training import Watch
from lstmcli.frames import Section
from lstmcli.panel import Panel, View

if TYPE_CHECKING:
    import keras

Stage = Callable[[str], None]
"""Is told what begins, in a few words."""

UNTRAINED = "-untrained"
"""Ends the name of a recipe as it was before its first epoch."""


class Work(NamedTuple):
    """What a fit trains.

    Attributes:
        networks: one after the other.
        least, most: epochs of each.
        keeps_best: whether each keeps the epoch that was best on a validation block; else the
            last one.
    """

    networks: int
    least: int
    most: int
    keeps_best: bool = True


class FitSummary(Section, extra="ignore"):
    """What the state of every run says of its final fit.

    Attributes:
        blocks: first and last origin of each block, as ISO dates.
        fit_end: the last session used.
        best_epochs: per member; 0 where the untrained baseline was best.
    """

    blocks: dict[str, tuple[str, str]]
    fit_end: str
    best_epochs: tuple[int, ...]


class UnexpectedContent(ValueError):
    """The files of a run are whole, and are not those of its recipe."""


class Prepared(Protocol):
    """What a recipe computes once from a panel, for a training, its fits and its scores."""

    @property
    def horizon(self) -> int:
        """H, the longest step that has labels."""
        ...

    def origins(self) -> pd.DatetimeIndex:
        """Return the sessions from which at least one ticker can be learnt from."""
        ...

    def labels(self, ticker: str, step: int) -> pd.Series:
        """Return the log return that came over `step` sessions, by origin, a fraction."""
        ...


@runtime_checkable
class Trained(Fitted, Protocol):
    """A forecaster that was fitted by epochs."""

    @property
    def best_epochs(self) -> tuple[int, ...]:
        """The epoch that each member kept; 0 is the untrained baseline."""
        ...

    def untrained(self) -> Fitted:
        """Return the forecaster as it was at epoch 0: its baseline, where training starts."""
        ...

    def learnt(self) -> str:
        """Return all that the fit has learnt, as text: equal fits have equal texts."""
        ...


class FittedRun(Trained, Protocol):
    """A fitted `RunRecipe`: it forecasts, and a run keeps it."""

    @property
    def recipe(self) -> RunRecipe: ...

    @property
    def history(self) -> pd.DataFrame:
        """The losses of each epoch; see `HISTORY_COLUMNS`."""
        ...

    @property
    def parameters(self) -> int:
        """Trainable numbers of one member."""
        ...

    def with_prepared(self, prepared: Any) -> FittedRun:
        """Return the same, to forecast a panel that its recipe has prepared already.

        Args:
            prepared: what `RunRecipe.prepare` of an equal recipe returned for the panel.
        """
        ...

    def exported(self, on_stage: Stage) -> FittedRun:
        """Return the same as it will forecast once it is restored, to the last digit."""
        ...

    def stored_state(self) -> bytes:
        """Return JSON of what a run keeps beside its files; it has the keys of `FitSummary`."""
        ...

    def files(self) -> dict[str, bytes]:
        """Return the files that a run keeps, by names that tell their format."""
        ...

    def attention(self, panel: Panel, ticker: str, origin: pd.Timestamp) -> pd.DataFrame | None:
        """Return the weight of each session that was read; None where there are no weights.

        Returns:
            `session`, `weight`; weights sum to 1.
        """
        ...


class RunRecipe(Recipe, Protocol):
    """A recipe that a config describes, and that a run holds once it is fitted."""

    @property
    def horizon(self) -> int:
        """H, sessions forecast."""
        ...

    @property
    def lookback(self) -> int:
        """L, sessions that the first origin needs up to and including itself."""
        ...

    @property
    def library(self) -> str:
        """The library that a fit waits for first, by the name that people know."""
        ...

    @property
    def work(self) -> Work:
        """What a fit trains, for its progress."""
        ...

    @property
    def series(self) -> tuple[str, ...]:
        """Names of the market series without which it cannot forecast."""
        ...

    @property
    def optional_series(self) -> tuple[str, ...]:
        """Names of those that it reads where the panel has them."""
        ...

    @property
    def reads_others(self) -> bool:
        """Whether a forecast reads other tickers, and them by `Panel.peers` alone.

        So it is the same whether the others are forecast, too, or stand beside in the panel.
        """
        ...

    @property
    def alone(self) -> bool:
        """Whether each ticker is forecast and calibrated by itself, whatever else is known."""
        ...

    @property
    def volatility_alone(self) -> bool:
        """Whether it forecasts no direction: its median is that of past errors."""
        ...

    def starting_from(self, start: FittedRun) -> RunRecipe:
        """Return the recipe whose training starts from what another run has learnt.

        Raises:
            ConfigError: it cannot; the message says why.
        """
        ...

    def columns(self, view: View) -> pd.DataFrame:
        """Return what it reads of each session of a ticker, (T, F), none of it later."""
        ...

    def prepare(self, panel: Panel) -> Prepared:
        """Return what is computed once from the panel of a training."""
        ...

    def least_train(self, tickers: int) -> int:
        """Return the fewest origins of a training block of so many tickers."""
        ...

    def check_training(self, prepared: Any, origins: pd.DatetimeIndex) -> None:
        """Check that the settings fit what there is to learn from.

        Args:
            prepared: what `prepare` returned.
            origins: of the training block.

        Raises:
            ConfigError: a setting asks for more.
        """
        ...

    def fit(
        self,
        panel: Panel,
        until: pd.Timestamp,
        *,
        watch: Watch | None = None,
        fit: str = "final",
        prepared: Any = None,
    ) -> FittedRun:
        """Return the fitted recipe; its last blocks end with the labels of `until`.

        Args:
            watch: is told of each epoch, and keeps what resumes an interrupted fit.
            fit: how `watch` and the history call this fit.
            prepared: what `prepare` returned for the whole panel; else it is prepared here.

        Raises:
            NoDataError: too few sessions for the blocks.
        """
        ...

    def restore(
        self,
        state: bytes,
        files: Mapping[str, bytes],
        *,
        history: pd.DataFrame,
        with_keras: bool = False,
    ) -> FittedRun:
        """Return what was fitted.

        Args:
            state, files: what `stored_state` and `files` of it returned.
            with_keras: load what `attention` needs, too, which may take seconds.

        Raises:
            ValueError: one of them is damaged; the message is a clause that says which.
            UnexpectedContent: they are those of another recipe; the message is a sentence.
        """
        ...


@runtime_checkable
class TrainsMembers(Protocol):
    """A recipe whose members can be trained each by itself, in any order."""

    def count_members(self, panel: Panel) -> int:
        """Return how many members a fit has at most; 0 where it trains them in one go."""
        ...

    def train_only(
        self, member: int, panel: Panel, until: pd.Timestamp, *, watch: Watch, fit: str
    ) -> None:
        """Train one member. All that `watch` has saved of it, `fit` goes on from.

        Args:
            member: 1, 2, … as `fit` counts them; nothing is trained if there is none.
        """
        ...


@runtime_checkable
class BuildsNetworks(Protocol):
    """A recipe whose members are Keras networks, one for each file `network-NN.keras`."""

    def build(self, state: bytes) -> keras.Model:
        """Return a member before its first epoch.

        Args:
            state: what `FittedRun.stored_state` returned.

        Raises:
            ValueError: the state is not one of this recipe.
        """
        ...
