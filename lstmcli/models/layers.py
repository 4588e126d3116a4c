"""The layers and the loss that networks share.

The one module that imports Keras at its top: call `load_tensorflow` before it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import keras  # noqa: TID253
import numpy as np
import tensorflow as tf  # noqa: TID253
from keras import ops  # noqa: TID253

from lstmcli.frames import MEDIAN, QUANTILES
from lstmcli.models.runtime import threads

log = logging.getLogger(__name__)

PACKAGE = "lstmcli"
_Q = len(QUANTILES)

_gave_up = False


def use_stock_lstm(reason: str) -> bool:
    """Leave the fused kernel for the rest of this process, and say so the first time.

    Graphs that were traced before keep what they have: trace them anew.

    Returns:
        Whether the kernel was in use until now, so that this call changed something.
    """
    global _gave_up
    changed = not _gave_up
    if changed:
        log.warning("going on with the stock LSTM layer, several times slower: %s", reason)
    _gave_up = True
    return changed


@cache
def _kernel_works() -> bool:
    try:
        from lstmcli.models._kernel import forward

        # To import it compiles it; whether it runs is known when it has.
        state, square = np.zeros((1, 1), np.float32), np.zeros((1, 4), np.float32)
        forward(state[None], state, state, square, square, square[0], every=False, keep=False)
    except Exception as error:  # whatever a compiler on a strange platform raises
        use_stock_lstm(str(error).split("\n", 1)[0] or type(error).__name__)
        return False
    return True


def _whole_sequence(
    x: Any, h: Any, c: Any, weights: tuple[Any, Any, Any], *, every: bool, keep: bool
) -> tuple[Any, Any]:
    """Return outputs (N, L or 1, U) and last cell states (N, U) of windows x (N, L, F).

    Args:
        every: return the outputs of every session, not of the last one alone.
        keep: keep what the gradient needs. Without it a gradient computes that anew.
    """
    from lstmcli.models._kernel import backward, forward, input_gradient

    def call(function: Callable, inputs: list[Any], outputs: int) -> list[Any]:
        # Without state, so that TensorFlow leaves out a call whose results nothing needs.
        found = tf.numpy_function(function, inputs, [tf.float32] * outputs, stateful=False)
        return tf.nest.flatten(found)  # a single one comes alone

    @tf.custom_gradient
    def run(x: Any, h: Any, c: Any, kernel: Any, recurrent: Any, bias: Any) -> Any:
        sources = [x, h, c, kernel, recurrent, bias]

        def run_forward(keep: bool) -> list[Any]:
            return call(partial(forward, every=every, keep=keep), sources, 3)

        outputs, state, memory = run_forward(keep)
        outputs.set_shape((x.shape[0], x.shape[1] if every else 1, h.shape[-1]))
        state.set_shape(h.shape)

        def gradient(d_outputs: Any, d_state: Any) -> list[Any]:
            kept = memory if keep else run_forward(keep=True)[2]
            dz, *weights, dh, dc = call(
                backward, [d_outputs, d_state, x, recurrent, kept], outputs=6
            )
            found = [*call(input_gradient, [dz, kernel, x], outputs=1), dh, dc, *weights]
            for source, its_gradient in zip(sources, found, strict=True):
                its_gradient.set_shape(source.shape)
            return found

        return (outputs, state), gradient

    return run(x, h, c, *weights)


@keras.saving.register_keras_serializable(package=PACKAGE)
class LSTM(keras.layers.LSTM):
    """`keras.layers.LSTM` with the same weights, config and numbers, several times faster on a CPU.

    Stock Keras runs a dozen TensorFlow operations for each session; a kernel of our
    own, in `_kernel`, runs all sessions in one. It serves the default activations in
    float32; what it cannot do (a mask, recurrent dropout, no bias, unrolling, a GPU,
    which has cuDNN) falls back to the stock loop, and so does everything after
    `use_stock_lstm`.
    """

    def inner_loop(
        self, sequences: Any, initial_state: Any, mask: Any, training: Any = False
    ) -> Any:
        masks = tf.nest.flatten(mask)
        if not self._kernel_serves(sequences, masks):
            return super().inner_loop(sequences, initial_state, mask, training=training)
        cell = self.cell
        if training and cell.dropout:
            # One mask for all sessions of a window, as in the stock cell.
            sequences = sequences * cell.get_dropout_mask(sequences[:, 0, :])[:, None, :]
        if self.go_backwards:
            sequences = tf.reverse(sequences, axis=[1])
        weights = tuple(
            tf.convert_to_tensor(weight)
            for weight in (cell.kernel, cell.recurrent_kernel, cell.bias)
        )
        h, state = initial_state
        windows, parts = tf.shape(sequences)[0], threads().shards
        pieces = []
        for part in range(parts):
            rows = slice(windows * part // parts, windows * (part + 1) // parts)
            pieces.append(
                _whole_sequence(
                    *(sequences[rows], h[rows], state[rows], weights),
                    every=self.return_sequences,
                    keep=bool(training),
                )
            )
        outputs, state = (tf.concat(each, axis=0) for each in zip(*pieces, strict=True))
        last = outputs[:, -1]
        return last, outputs, [last, state]

    def _kernel_serves(self, sequences: Any, masks: list[Any]) -> bool:
        cell = self.cell
        return (
            all(mask is None for mask in masks)
            and not self.unroll
            and cell.use_bias
            and not cell.recurrent_dropout
            and cell.activation is keras.activations.tanh
            and cell.recurrent_activation is keras.activations.sigmoid
            and cell.compute_dtype == cell.variable_dtype == "float32"
            and not tf.config.list_logical_devices("GPU")
            and not _gave_up
            and _kernel_works()
        )


@keras.saving.register_keras_serializable(package=PACKAGE)
class AdditiveAttention(keras.layers.Layer):
    """Weighs the outputs of a recurrent layer over time and sums them.

    Flow: x (N, L, U) → e (N, L) → α (N, L) → Σ α_t·x_t (N, U), and α.
    Equation: e_t = tanh(W_a·x_t + b_t), α = softmax(e).
    Source: Bahdanau, Cho, Bengio (2015), arXiv:1409.0473; without a query, as in
    Yang et al. (2016), Hierarchical Attention Networks.
    """

    def build(self, input_shape: Any) -> None:
        _, lookback, units = input_shape
        self.kernel = self.add_weight(name="kernel", shape=(units, 1))
        self.bias = self.add_weight(name="bias", shape=(lookback, 1), initializer="zeros")

    def call(self, x: Any) -> Any:
        scores = ops.tanh(ops.matmul(x, self.kernel) + self.bias)  # (N, L, 1)
        weights = ops.softmax(scores, axis=1)
        return ops.sum(weights * x, axis=1), ops.squeeze(weights, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, lookback, units = input_shape
        return (batch, units), (batch, lookback)


@keras.saving.register_keras_serializable(package=PACKAGE)
class QuantileHead(keras.layers.Layer):
    """Turns corrections into quantiles that cannot cross.

    Flow: raw (N, H, 1 + Q) → quantiles (N, H, Q) in units of sigma·sqrt(h).
    Equation, with z the empirical quantiles of the scaled target and raw = (m, s, u):

        median  z[.5] + 0.5·tanh(m)
        gap_k   exp(1.5·tanh(s/1.5)) · max(z[k+1] − z[k], 1e-4) · exp(0.5·tanh(u_k))
        others  median ± cumulative sums of the gaps

    At raw = 0 the forecast is z: training starts from the baseline. The bounds
    on tanh keep a bad step from leaving the neighbourhood of the baseline.
    """

    def __init__(self, base_quantiles: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.base_quantiles = np.asarray(base_quantiles, np.float32)
        gaps = np.maximum(np.diff(self.base_quantiles, axis=1), 1e-4)
        # (Q − 1, Q): which gaps lie between the median and each level, with their sign.
        gap, level = np.ogrid[: _Q - 1, :_Q]
        signs = ((gap >= MEDIAN) & (gap < level)) * 1.0 - ((gap < MEDIAN) & (gap >= level)) * 1.0
        self._median = self.base_quantiles[:, MEDIAN : MEDIAN + 1]  # (H, 1)
        self._log_gaps = np.log(gaps)  # (H, Q − 1)
        self._signs = signs.astype(np.float32)
        self._bounds = np.full(_Q + 1, 0.5, np.float32)  # of m, s and every u
        self._bounds[1] = 1.5
        self._slopes = np.ones(_Q + 1, np.float32)
        self._slopes[1] = 1 / 1.5

    def call(self, raw: Any) -> Any:
        # Few operations: one takes as long as the arithmetic in it.
        bounded = self._bounds * ops.tanh(self._slopes * raw)
        m, s, u = ops.split(bounded, (1, 2), axis=-1)
        gaps = ops.exp(s + (u + self._log_gaps))  # (N, H, Q − 1)
        return (self._median + m) + ops.matmul(gaps, self._signs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], _Q)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "base_quantiles": self.base_quantiles.tolist()}


@keras.saving.register_keras_serializable(package=PACKAGE)
class KnownSoFar(keras.layers.Layer):
    """Joins what is known ahead of each session with its mean over the sessions up to it.

    Flow: x (N, H, K) → (N, H, 2·K). A return over h sessions contains them all, so
    that an event at an earlier step matters too.
    """

    def call(self, x: Any) -> Any:
        horizon = x.shape[1]
        means = np.tril(np.ones((horizon, horizon))) / np.arange(1, horizon + 1)[:, None]
        return ops.concatenate([x, ops.matmul(ops.cast(means, x.dtype), x)], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], 2 * input_shape[-1])


def quantile_head(encoding: Any, base_quantiles: np.ndarray, targets: Any = None) -> Any:
    """Return quantiles (N, H, Q) from an encoding (N, U), or (N, H, U) with one vector a step.

    Args:
        targets: (N, H, K), which shift the corrections of each step; None where the
            encoding has read them, or there are none.
    """
    horizon = len(base_quantiles)
    # All zero, so that the untrained network is the baseline.
    zeros = {"kernel_initializer": "zeros", "bias_initializer": "zeros", "name": "corrections"}
    if len(encoding.shape) == 3:
        raw = keras.layers.Dense(_Q + 1, **zeros)(encoding)
    else:
        raw = keras.layers.Dense(horizon * (_Q + 1), **zeros)(encoding)
        raw = keras.layers.Reshape((horizon, _Q + 1))(raw)
    if targets is not None:
        shift = keras.layers.Dense(
            _Q + 1, kernel_initializer="zeros", use_bias=False, name="known_ahead"
        )
        raw = keras.layers.Add()([raw, shift(KnownSoFar()(targets))])
    return QuantileHead(base_quantiles, name="quantiles")(raw)


@keras.saving.register_keras_serializable(package=PACKAGE)
class QuantileLoss(keras.losses.Loss):
    """Mean pinball loss of scaled quantiles, each step weighed by its baseline.

    Equation: mean_h w[h] · mean_τ 2·ρ_τ(y − q), ρ_τ(d) = max(τ·d, (τ−1)·d), with
    w[h] = 1 / the loss of the empirical quantiles at step h. So 1.0 is the
    baseline, at every step and over all of them.
    Source: Koenker, Bassett (1978), Regression Quantiles.
    """

    def __init__(self, step_weights: Any, name: str = "quantile_loss", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.step_weights = np.asarray(step_weights, np.float32)
        self._levels = np.asarray(QUANTILES, np.float32)
        # (H, 1): of one quantile in the mean, twice for the 2·ρ.
        self._scale = 2 * self.step_weights[:, None] / (len(self.step_weights) * _Q)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        difference = ops.expand_dims(y_true, -1) - y_pred  # (N, H, Q)
        # ρ_τ(d) = d·(τ − 1{d<0}); the factor is constant where the loss has a gradient.
        below = ops.cast(difference < 0, difference.dtype)
        return ops.sum(difference * (self._scale * (self._levels - below)), axis=(1, 2))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "step_weights": self.step_weights.tolist()}


@keras.saving.register_keras_serializable(package=PACKAGE)
class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` with the same state and numbers, one operation a variable.

    Keras writes the rule in twenty, which for networks of this size take as long as
    the network's own.

    Source: Kingma, Ba (2015), Adam: A Method for Stochastic Optimization, arXiv:1412.6980.
    """

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        step = tf.cast(self.iterations + 1, tf.float32)
        self._powers = tf.pow(self.beta_1, step), tf.pow(self.beta_2, step)
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        number = self._get_variable_index(variable)
        state = variable, self._momentums[number], self._velocities[number]
        handles = [
            (each.value if isinstance(each, keras.Variable) else each).handle for each in state
        ]
        powers = self._powers
        tf.raw_ops.ResourceApplyAdam(
            **dict(zip(("var", "m", "v"), handles, strict=True)),
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=tf.convert_to_tensor(learning_rate),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
