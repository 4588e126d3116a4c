"""One network of the panel in training: its weights, its loss, and a step of the optimiser.

The LSTM is that of `lstmcli.models.layers`. What follows it, the two heads and the loss, is
compiled by XLA as one function, which all members share: it takes less than half of the time
of TensorFlow's operations one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from lstmcli.forecasters.panel_network.modes import INPUTS, PLAIN
from lstmcli.forecasters.panel_network.network import STEPS, Weights
from lstmcli.forecasters.panel_network.settings import PanelNetworkConfig
from lstmcli.forecasters.panel_network.table import LEVELS, Batch, Scales
from lstmcli.models.runtime import seeded

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

_DRAWS = 2**16
"""Values that the noise of dropout can take."""


class Network:
    """The layers of a network, untrained: the heads start at zero and correct nothing."""

    def __init__(self, inputs: int, units: int, hidden: int) -> None:
        from keras import layers

        from lstmcli.models.layers import LSTM

        self.lstm = LSTM(units, return_sequences=True, unit_forget_bias=True)
        self._dense = [
            layers.Dense(hidden),
            layers.Dense(hidden),
            layers.Dense(2 * len(STEPS), kernel_initializer="zeros"),
        ]
        reads = [inputs, inputs + units, hidden, hidden]
        for layer, width in zip([self.lstm, *self._dense], reads, strict=True):
            layer.build((None, None, width))

    @property
    def parts(self) -> list[Any]:
        """The weights of the heads, in the order of `Weights`."""
        return [weight for layer in self._dense for weight in layer.trainable_variables]

    @property
    def variables(self) -> list[Any]:
        """All weights, in the order of `Weights`."""
        return [*self.lstm.trainable_variables, *self.parts]

    def set_weights(self, weights: Weights) -> None:
        for variable, array in zip(self.variables, weights.arrays(), strict=True):
            variable.assign(array)

    def weights(self) -> Weights:
        return Weights.of([np.asarray(variable) for variable in self.variables])

    def __call__(self, x: Any) -> Any:
        """Return p and δ (B, L, 2·A) of histories x (B, L, F)."""
        return heads_of(x, self.lstm(x), [part.value for part in self.parts])


def heads_of(x: Any, states: Any, parts: Sequence[Any], masks: Sequence[Any] = (1.0, 1.0)) -> Any:
    """Return p and δ (B, L, 2·A).

    Args:
        x, states: (B, L, F) and (B, L, U).
        parts: weights of the heads.
        masks: by which the states and what the first layer makes of them are multiplied.
    """
    import tensorflow as tf

    hidden, hidden_bias, second, second_bias, head, head_bias = parts
    read = tf.concat([x, states * masks[0]], axis=-1)
    read = tf.nn.silu(tf.matmul(read, hidden) + hidden_bias) * masks[1]
    read = tf.nn.silu(tf.matmul(read, second) + second_bias)
    return tf.matmul(read, head) + head_bias


def loss_of(heads: Any, targets: Sequence[Any], scales: Sequence[Any], *, few: bool) -> Any:
    """Return the loss of what a network says.

    Equation: L = Σ_h [mean (e − ē_d)² + c·mean ē_d²]/var_h + 3·Σ_h pinball_h/unit_h,
    e = residual − p, ē_d its mean over the n tickers of a date; pinball of the error against
    exp((p + δ)/2)·z_h, in which p is held fixed. c = 0.05; of few tickers c = 1/(1 + 0.2·n),
    the weight by generalised least squares where errors of a date share a fifth of the variance
    that each has of its own. Of one ticker e is all common, and c = 0.83.

    Args:
        heads: (B, L, 2·A) p and δ.
        targets: residual, error and weight, as a `Batch` has them.
        scales: variance, quantiles and pinball, as `Scales` has them.
        few: whether the tickers are few.
    """
    import tensorflow as tf

    (residual, error, weight), (variance, quantiles, unit) = targets, scales
    weight = weight[..., None]  # (B, L, 1)
    p, delta = heads[..., : len(STEPS)], heads[..., len(STEPS) :]
    rows = tf.reduce_sum(weight) + 1e-6
    left = (residual - p) * weight
    tickers = tf.reduce_sum(weight, axis=0, keepdims=True) + 1e-6  # (1, L, 1)
    common = tf.reduce_sum(left, axis=0, keepdims=True) / tickers
    between = (left - common) * weight
    loss = tf.reduce_sum(between**2 / variance) / rows
    share = 1 / (1 + COMMON_RATIO * tickers) if few else COMMON
    loss += tf.reduce_sum(share * tickers * common**2 / variance) / rows
    half = tf.clip_by_value((tf.stop_gradient(p) + delta) / 2, -MAX_CORRECTION, MAX_CORRECTION)
    beyond = error[..., None] - tf.exp(half)[..., None] * quantiles
    pinball = tf.reduce_mean(tf.maximum(LEVELS * beyond, (LEVELS - 1) * beyond), axis=-1)
    return loss + CRPS * tf.reduce_sum(pinball / unit * weight) / rows


@cache
def _compiled(left_out: int, burn_in: int, few: bool) -> Callable[..., Any]:
    """Return what gives loss and gradients of the heads, compiled.

    Args:
        left_out: how many of the `_DRAWS` values of noise leave a number out.
    """
    import tensorflow as tf

    kept = _DRAWS / (_DRAWS - left_out)

    def loss_and_gradients(
        x: Any, states: Any, noise: Any, targets: Any, scales: Any, parts: Any
    ) -> Any:
        masks = [tf.where(tf.cast(draws, tf.int32) >= left_out, kept, 0.0) for draws in noise]
        after = slice(burn_in, None)
        with tf.GradientTape() as tape:
            tape.watch([states, parts])
            heads = heads_of(x[:, after], states[:, after], parts, masks)
            loss = loss_of(heads, [target[:, after] for target in targets], scales, few=few)
        return loss, *tape.gradient(loss, [states, parts])

    return tf.function(loss_and_gradients, jit_compile=True, autograph=False, reduce_retracing=True)


class Member:
    """A network in training: one step a batch.

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

        self._config, self._seed = config, seed
        with seeded(seed):
            inputs = INPUTS if dates else len(PLAIN)
            self._network = Network(inputs, config.units, config.hidden)
        if start is not None:
            self._network.set_weights(start)
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
        self._optimizer.build(self._network.variables)
        self._scales = tuple(
            tf.constant(each) for each in (scales.variance, scales.quantiles, scales.pinball)
        )
        self._few = start is not None
        left_out = round(config.dropout * _DRAWS)
        self._compiled = _compiled(left_out, config.burn_in, self._few)
        self._step = tf.function(self._train, autograph=False, reduce_retracing=True)
        self._evaluate = tf.function(self._validate, autograph=False, reduce_retracing=True)

    def train(self, batch: Batch, rate: float, number: int) -> float:
        """Return the loss of a batch after one step.

        Args:
            number: of the batch; noise of dropout follows from it and the seed.
        """
        import tensorflow as tf

        self._optimizer.learning_rate.assign(rate)
        x, *targets = (tf.constant(each) for each in batch)
        return float(self._step(x, targets, [tf.constant(each) for each in self._noise(x, number)]))

    def _noise(self, x: Any, number: int) -> list[np.ndarray]:
        """Return draws (B, L', U) and (B, L', W), uniform on 0 … `_DRAWS` − 1."""
        bits = np.random.PCG64((self._seed, number))
        histories, sessions = x.shape[0], x.shape[1] - self._config.burn_in
        noise = []
        for width in (self._config.units, self._config.hidden):
            shape = histories, sessions, width
            draws = bits.random_raw(-(-np.prod(shape) // 4)).view(np.uint16)  # 64 bits are four
            noise.append(draws[: np.prod(shape)].reshape(shape))
        return noise

    def _train(self, x: Any, targets: Any, noise: Any) -> Any:
        import tensorflow as tf

        lstm, parts = self._network.lstm, [part.value for part in self._network.parts]
        with tf.GradientTape() as tape:
            states = lstm(x, training=True)
        loss, through, of_parts = self._compiled(x, states, noise, targets, self._scales, parts)
        of_lstm = tape.gradient(states, lstm.trainable_variables, through)
        self._optimizer.apply([*of_lstm, *of_parts], self._network.variables)
        return loss

    def evaluate(self, batch: Batch) -> float:
        """Return the loss of a batch, without dropout and without a step."""
        import tensorflow as tf

        return float(self._evaluate(*(tf.constant(each) for each in batch)))

    def _validate(self, x: Any, *targets: Any) -> Any:
        after = slice(self._config.burn_in, None)
        later = [target[:, after] for target in targets]
        return loss_of(self._network(x)[:, after], later, self._scales, few=self._few)

    def weights(self) -> Weights:
        """Return the running mean of the weights."""
        kept = self._network.weights()
        self._optimizer.finalize_variable_values(self._network.variables)
        averaged = self._network.weights()
        self._network.set_weights(kept)
        return averaged

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that changes in training."""
        return {f"live_{n}": np.asarray(v) for n, v in enumerate(self._variables())}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        for n, variable in enumerate(self._variables()):
            variable.assign(arrays[f"live_{n}"])

    def _variables(self) -> list[Any]:
        return [*self._network.variables, *self._optimizer.variables]
