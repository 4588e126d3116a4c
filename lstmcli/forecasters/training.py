"""How one network is trained: epochs, early stopping, and state that can be resumed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd
from pydantic import Field

from lstmcli.forecasters.base_quantiles import base_quantiles
from lstmcli.forecasters.passes import Passes, in_memory, window_batches
from lstmcli.frames import QUANTILES, Section
from lstmcli.models import WindowShape
from lstmcli.models.kernel import release
from lstmcli.models.runtime import Threads, load_tensorflow, seeded
from lstmcli.splits import Block
from lstmcli.windows import Windows

if TYPE_CHECKING:
    import keras

    from lstmcli.models import ModelConfig

HISTORY_COLUMNS = ("fit", "member", "epoch", "loss", "validation_loss", "seconds")


class TrainingConfig(Section):
    """How networks are fitted."""

    epochs: int = Field(50, ge=1, le=10_000)
    """At most so many passes over the training block."""
    batch_size: int = Field(64, ge=1, le=65_536)
    """Windows of one step."""
    learning_rate: float = Field(3e-4, gt=0, le=1)
    """Of the optimiser, Adam."""
    patience: int = Field(5, ge=1, le=10_000)
    """Epochs without a better validation loss after which a network stops."""
    members: int = Field(3, ge=1, le=100)
    """Networks with different seeds, whose quantiles are averaged."""
    refit: bool = True
    """Fit again up to the last bar, for forecasts; without it they come from the scored fit."""
    max_minutes: float | None = Field(None, gt=0, le=100_000)
    """For the whole training; networks that are cut short keep their best weights."""
    threads: int | None = Field(None, ge=1, le=1024)
    """Cores to use; else every one that this process may use."""
    shards: int | None = Field(None, ge=1, le=1024)
    """Parts into which a batch is cut for the fused LSTM; else one a thread."""

    def seconds(self) -> float:
        """Return the time of one network, a like share of `max_minutes`."""
        fits = self.members * (2 if self.refit else 1)
        return np.inf if self.max_minutes is None else 60 * self.max_minutes / fits


@dataclass(frozen=True)
class Epoch:
    """One finished epoch of one member, for a progress display.

    Attributes:
        fit: `scored`, or `final` for the refit up to the last bar.
        member: 1…members.
        epoch: 0 is the untrained network.
        loss: training loss; 1.0 is the baseline's.
        validation_loss: the same on the validation block.
        best_epoch: the epoch with the lowest validation loss so far.
        seconds: what the epoch took.
        together: members that are trained at the same time.
    """

    fit: str
    member: int
    members: int
    epoch: int
    epochs: int
    loss: float
    validation_loss: float
    best_epoch: int
    seconds: float
    together: int = 1


class Watch(Protocol):
    """Who is told of a fit's progress, and keeps what is needed to resume it."""

    def on_epoch(self, epoch: Epoch) -> None: ...

    def load(self, key: str) -> Mapping[str, np.ndarray] | None:
        """Return what was saved under `key`, or None."""
        ...

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None: ...


class Silent:
    """A watch that shows nothing and keeps nothing."""

    def on_epoch(self, epoch: Epoch) -> None:
        del epoch

    def load(self, key: str) -> Mapping[str, np.ndarray] | None:
        del key
        return None

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        del key, arrays


@dataclass(frozen=True)
class Data:
    """Scaled windows of the train and validation blocks.

    Attributes:
        values: (R, F) standardised features.
        windows: the rows they belong to.
        train, validation: (N,) rows of origins.
        base_quantiles: (H, Q) of the scaled target; see `base_quantiles`.
        step_weights: (H,) of the loss.
    """

    values: np.ndarray
    windows: Windows
    train: np.ndarray
    validation: np.ndarray
    base_quantiles: np.ndarray
    step_weights: np.ndarray

    @property
    def shape(self) -> WindowShape:
        windows = self.windows
        future = 0 if windows.future is None else windows.future.channels
        return WindowShape(windows.lookback, self.values.shape[1], windows.horizon, future)


def training_data(
    windows: Windows,
    mean: np.ndarray,
    scale: np.ndarray,
    train: np.ndarray,
    blocks: Mapping[str, Block],
    *,
    base: np.ndarray | None = None,
) -> Data:
    """Return training data: standardised features, base quantiles and loss weights.

    Column by column and step by step: of a universe, no (N, H) array fits twice.

    Args:
        base: (H, Q) quantiles that a network was trained with before; else those of its rows.
    """
    levels = np.asarray(QUANTILES)
    known, base = base, np.empty((windows.horizon, len(QUANTILES)))
    baseline = np.empty(windows.horizon)
    for h in range(windows.horizon):
        sigma = windows.sigma[train, min(h, windows.sigma.shape[1] - 1)]
        scaled = windows.y(train, h + 1) / (sigma * np.sqrt(h + 1))  # (N,)
        base[h] = base_quantiles(scaled, h + 1) if known is None else known[h]
        losses = [
            np.maximum(level * (scaled - z), (level - 1) * (scaled - z)).mean()
            for level, z in zip(levels, base[h], strict=True)
        ]
        baseline[h] = 2 * np.mean(losses)
    values = np.empty_like(windows.values)
    for column in range(values.shape[1]):
        values[:, column] = (windows.values[:, column] - mean[column]) / scale[column]
    return Data(
        values=values,
        windows=windows,
        train=train,
        validation=windows.rows(blocks["validation"].origins, labelled=True),
        base_quantiles=base.astype(np.float32),
        step_weights=(1 / np.maximum(baseline, 1e-8)).astype(np.float32),
    )


def train_member(
    model: ModelConfig,
    training: TrainingConfig,
    data: Data,
    *,
    seed: int,
    fit: str,
    member: int,
    watch: Watch,
    start: Sequence[np.ndarray] | None = None,
) -> tuple[keras.Model, pd.DataFrame]:
    """Return one trained network with its best weights, and its history.

    The network before training is epoch 0 and may win: then the forecast is the baseline's, or
    that of the weights it starts from. Each epoch's order follows from (seed, member, epoch), so
    that a resumed fit walks the same path as an uninterrupted one.

    Args:
        start: weights of a network of this shape, as Keras lists them.
    """
    load_tensorflow(Threads.choose(training.threads, training.shards))
    from lstmcli.models.layers import Adam, QuantileLoss

    with seeded(member_seed(seed, member)):
        network = model.build(data.shape, data.base_quantiles)
    if start is not None:
        network.set_weights(start)
    network.compile(
        optimizer=Adam(training.learning_rate, global_clipnorm=1.0),
        loss=QuantileLoss(data.step_weights),
    )
    network.optimizer.build(network.trainable_variables)
    passes = Passes(
        network,
        window_batches(
            data.values, data.windows, reads_targets=model.reads_targets(data.shape.future)
        ),
    )

    def evaluate() -> tuple[float, float]:
        return passes.evaluate(data.train), passes.evaluate(data.validation)

    def fit_epoch() -> tuple[float, float]:
        # A first try that ran out of memory has stopped half way.
        state.restore(network, kept)
        order = np.random.default_rng((seed, member, epoch)).permutation(data.train)
        return passes.train(order, training.batch_size), passes.evaluate(data.validation)

    state = _State.start(network)
    saved = watch.load(f"{fit}-{member}")
    if saved is None:
        started = time.perf_counter()
        losses = in_memory(passes, evaluate, training.batch_size)
        state.add(network, 0, *losses, time.perf_counter() - started)
    else:
        state.restore(network, saved)
    kept: Mapping[str, np.ndarray] = state.arrays(network)
    while state.goes_on(training):
        epoch = state.epoch + 1
        started = time.perf_counter()
        loss, validation_loss = in_memory(passes, fit_epoch, training.batch_size)
        state.add(network, epoch, loss, validation_loss, time.perf_counter() - started)
        kept = state.arrays(network)
        watch.save(f"{fit}-{member}", kept)
        watch.on_epoch(
            Epoch(
                fit=fit,
                member=member,
                members=training.members,
                epoch=epoch,
                epochs=training.epochs,
                loss=loss,
                validation_loss=validation_loss,
                best_epoch=state.best_epoch,
                seconds=state.rows[-1][3],
            )
        )
    release()
    network.set_weights(state.best)
    history = pd.DataFrame(state.rows, columns=["epoch", "loss", "validation_loss", "seconds"])
    history.insert(0, "fit", fit)
    history.insert(1, "member", member)
    return network, history.astype({"epoch": int})[list(HISTORY_COLUMNS)]


def member_seed(seed: int, member: int) -> int:
    """Return the 32-bit seed of a member; neighbouring seeds share no member."""
    return int(np.random.SeedSequence((seed, member)).generate_state(1)[0])


@dataclass
class _State:
    """What a fit has found so far: enough to go on with it in another process."""

    best: list[np.ndarray]
    rows: list[tuple[float, float, float, float]]

    @classmethod
    def start(cls, network: keras.Model) -> _State:
        return cls(best=network.get_weights(), rows=[])

    @property
    def epoch(self) -> int:
        return int(self.rows[-1][0])

    @property
    def best_epoch(self) -> int:
        losses = [row[2] for row in self.rows]
        return int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))

    def goes_on(self, training: TrainingConfig) -> bool:
        """Return whether another epoch is due and fits into the time."""
        spent = sum(row[3] for row in self.rows)
        return (
            self.epoch < training.epochs
            and self.epoch - self.best_epoch < training.patience
            # The first epoch always runs: it also builds the graph.
            and (self.epoch == 0 or spent + self.rows[-1][3] <= training.seconds())
        )

    def add(
        self, network: keras.Model, epoch: int, loss: float, validation_loss: float, seconds: float
    ) -> None:
        self.rows.append((epoch, loss, validation_loss, seconds))
        if self.best_epoch == epoch:
            self.best = network.get_weights()

    def arrays(self, network: keras.Model) -> dict[str, np.ndarray]:
        # `variables` also holds the state of the dropout generators.
        live = [*network.variables, *network.optimizer.variables]
        return {
            "rows": np.array(self.rows),
            **{f"live_{n}": np.asarray(variable) for n, variable in enumerate(live)},
            **{f"best_{n}": weight for n, weight in enumerate(self.best)},
        }

    def restore(self, network: keras.Model, saved: Mapping[str, np.ndarray]) -> None:
        self.rows = [tuple(row) for row in saved["rows"].tolist()]
        for n, variable in enumerate([*network.variables, *network.optimizer.variables]):
            variable.assign(saved[f"live_{n}"])
        self.best = [saved[f"best_{n}"] for n in range(len(self.best))]
