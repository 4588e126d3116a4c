"""Training of one member of the panel network."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.forecasters.panel_network.batches import Batches
from lstmcli.forecasters.panel_network.modes import INPUTS, PLAIN
from lstmcli.forecasters.panel_network.network import STEPS, Weights, build
from lstmcli.forecasters.panel_network.settings import EPOCH, PanelNetworkConfig
from lstmcli.forecasters.panel_network.table import LEVELS, Batch, Scales, TrainingTable
from lstmcli.forecasters.training import HISTORY_COLUMNS, Epoch, Watch
from lstmcli.models.kernel import release
from lstmcli.models.runtime import Threads, load_tensorflow, seeded

WARM_UP = 50
"""Batches over which the learning rate grows from 0."""

COMMON = 0.05
"""Weight of what all tickers of a date have in common: of the market's variance the ridge says
what there is to say, and dates are few."""

COMMON_RATIO = 0.2
"""Variance of what tickers have in common, in units of what each has of its own: with it the
weight of 96 tickers' mean is `COMMON`."""

CRPS = 3.0
"""Weight of the second head's loss."""

MAX_CORRECTION = 2.0
"""Bound of (p + δ)/2 in the second head's loss."""

AVERAGE = 0.99
"""Share of the running mean of weights that a batch keeps."""

EVALUATED = 8
"""Batches whose mean loss is that of validation, and of training before the first step."""


class Member:
    """A network in training: one step a batch.

    Equation: L = Σ_h [mean (e − ē_d)² + c·mean ē_d²]/var_h + 3·Σ_h pinball_h/unit_h,
    e = residual − p, ē_d its mean over the n tickers of a date; pinball of the error against
    exp((p + δ)/2)·z_h, in which p is held fixed. c = 0.05; of few tickers c = 1/(1 + 0.2·n),
    the weight by generalised least squares where errors of a date share a fifth of the variance
    that each has of its own. Of one ticker e is all common, and c = 0.83.

    Args:
        start: what the network has learnt before, to go on with few tickers; else its weights
            are random.
        dates: whether it reads the dates of announcements.
    """

    def __init__(
        self,
        config: PanelNetworkConfig,
        scales: Scales,
        *,
        seed: int,
        start: Weights | None = None,
        dates: bool = True,
    ) -> None:
        import keras
        import tensorflow as tf

        self._config = config
        inputs = INPUTS if dates else len(PLAIN)
        with seeded(seed):
            self._network = build(inputs, config.units, config.hidden, config.dropout)
        if start is not None:
            self._network.set_weights(start.arrays())
        self._optimizer = keras.optimizers.AdamW(
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            beta_1=0.9,
            beta_2=0.99,
            epsilon=1e-8,
            global_clipnorm=1.0,
            use_ema=True,
            ema_momentum=AVERAGE,
        )
        self._optimizer.exclude_from_weight_decay(var_names=["bias"])
        self._optimizer.build(self._network.trainable_variables)
        self._scales, self._few = scales, start is not None
        self._step = tf.function(self._train, autograph=False, reduce_retracing=True)
        self._evaluate = tf.function(self._validate, autograph=False, reduce_retracing=True)

    def train(self, batch: Batch, rate: float) -> float:
        """Return the loss of a batch after one step."""
        import tensorflow as tf

        self._optimizer.learning_rate.assign(rate)
        return float(self._step(*(tf.constant(each) for each in batch)))

    def _train(self, x: Any, residual: Any, error: Any, weight: Any) -> Any:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = self._loss(self._network(x, training=True), residual, error, weight)
        variables = self._network.trainable_variables
        self._optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def _loss(self, heads: Any, residual: Any, error: Any, weight: Any) -> Any:
        import tensorflow as tf

        after = slice(self._config.burn_in, None)
        heads, residual, error = heads[:, after], residual[:, after], error[:, after]
        weight = weight[:, after, None]  # (B, L, 1)
        p, delta = heads[..., : len(STEPS)], heads[..., len(STEPS) :]
        rows = tf.reduce_sum(weight) + 1e-6
        left = (residual - p) * weight
        tickers = tf.reduce_sum(weight, axis=0, keepdims=True) + 1e-6  # (1, L, 1)
        common = tf.reduce_sum(left, axis=0, keepdims=True) / tickers
        between = (left - common) * weight
        unit = self._scales.variance
        loss = tf.reduce_sum(between**2 / unit) / rows
        together = tickers * common**2 / unit
        if self._few:
            loss += tf.reduce_sum(together / (1 + COMMON_RATIO * tickers)) / rows
        else:
            loss += COMMON * tf.reduce_sum(together) / rows
        half = tf.clip_by_value((tf.stop_gradient(p) + delta) / 2, -MAX_CORRECTION, MAX_CORRECTION)
        beyond = error[..., None] - tf.exp(half)[..., None] * self._scales.quantiles
        pinball = tf.reduce_mean(tf.maximum(LEVELS * beyond, (LEVELS - 1) * beyond), axis=-1)
        return loss + CRPS * tf.reduce_sum(pinball / self._scales.pinball * weight) / rows

    def evaluate(self, batch: Batch) -> float:
        """Return the loss of a batch, without dropout and without a step."""
        import tensorflow as tf

        return float(self._evaluate(*(tf.constant(each) for each in batch)))

    def _validate(self, x: Any, residual: Any, error: Any, weight: Any) -> Any:
        return self._loss(self._network(x, training=False), residual, error, weight)

    def weights(self) -> Weights:
        """Return the running mean of the weights."""
        kept = self._network.get_weights()
        self._optimizer.finalize_variable_values(self._network.trainable_variables)
        averaged = Weights.of(self._network.get_weights())
        self._network.set_weights(kept)
        return averaged

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that changes in training."""
        return {f"live_{n}": np.asarray(v) for n, v in enumerate(self._variables())}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        for n, variable in enumerate(self._variables()):
            variable.assign(arrays[f"live_{n}"])

    def _variables(self) -> list[Any]:
        # `variables` also holds the state of the dropout generators.
        return [*self._network.variables, *self._optimizer.variables]


def rate_of(batch: int, config: PanelNetworkConfig) -> float:
    """Return the learning rate of a batch, 0 … batches − 1: it warms up, then fades to 0."""
    warm = min(1.0, (batch + 1) / WARM_UP)
    fading = 0.5 * (1 + np.cos(np.pi * batch / config.batches))
    return float(config.learning_rate * warm * fading + 1e-6)


def train_member(
    config: PanelNetworkConfig,
    table: TrainingTable,
    learnt: np.ndarray,
    *,
    held: np.ndarray | None,
    threads: int | None,
    shards: int | None = None,
    seed: int,
    fit: str,
    member: int,
    members: int,
    watch: Watch,
    scales: Scales | None = None,
    start: Weights | None = None,
    dates: bool = True,
) -> tuple[Weights, pd.DataFrame]:
    """Return the weights of one trained network, and its history.

    An epoch is `EPOCH` batches. There is no validation block and no early stopping: the
    learning rate fades to zero over a number of batches that is settled before.

    Args:
        learnt: (S,) which sessions of the table it may learn from.
        held: (S,) those whose loss is shown as that of validation; it decides nothing.
        threads, shards: see `Threads.choose`.
        scales: of the loss; None: of the rows that are learnt from.
        start, dates: see `Member`.
    """
    load_tensorflow(Threads.choose(threads, shards))
    batches = Batches(table, config, learnt, seed=seed, dates=dates)
    validation = None if held is None else Batches(table, config, held, seed=seed, dates=dates)
    scales = scales or table.scales(learnt, dates=dates)
    trained = Member(config, scales, seed=seed, start=start, dates=dates)
    key, epochs = f"{fit}-{member}", config.epochs

    def evaluate(some: Batches | None) -> float:
        if not some:
            return np.nan
        return float(np.mean([trained.evaluate(some[number]) for number in range(EVALUATED)]))

    rows: list[tuple[float, float, float, float]] = []
    saved = watch.load(key)
    if saved is not None:
        trained.restore(saved)
        rows = [tuple(row) for row in saved["rows"].tolist()]
    else:
        started = time.perf_counter()
        rows.append((0, evaluate(batches), evaluate(validation), time.perf_counter() - started))
    while len(rows) <= epochs:
        started, first = time.perf_counter(), (len(rows) - 1) * EPOCH
        numbers = range(first, min(first + EPOCH, config.batches))
        losses = [
            trained.train(batch, rate_of(number, config))
            for number, batch in zip(numbers, batches.ahead(numbers), strict=True)
        ]
        found = float(np.mean(losses)), evaluate(validation)
        rows.append((len(rows), *found, time.perf_counter() - started))
        watch.save(key, trained.arrays() | {"rows": np.array(rows)})
        watch.on_epoch(
            Epoch(
                fit=fit,
                member=member,
                members=members,
                epoch=len(rows) - 1,
                epochs=epochs,
                loss=rows[-1][1],
                validation_loss=rows[-1][2],
                best_epoch=len(rows) - 1,
                seconds=rows[-1][3],
            )
        )
    release()
    history = pd.DataFrame(rows, columns=["epoch", "loss", "validation_loss", "seconds"])
    history = history.astype({"epoch": int}).assign(fit=fit, member=member)
    return trained.weights(), history[list(HISTORY_COLUMNS)]
