"""The layers and the loss that networks share.

The one module that imports Keras at its top: call `load_tensorflow` before it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from lstmcli.frames import MEDIAN, QUANTILES
from lstmcli.models._tensorflow import threads

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


def missing(kernel: Callable[[], Any]) -> str | None:
    """Return why this platform cannot run a kernel, in the first line of its error, or None."""
    try:
        with tf.init_scope():
            kernel()
    except (tf.errors.OpError, AttributeError) as error:
        return str(error).split("\n", 1)[0]
    return None


@cache
def _kernel_works() -> bool:
    def kernel() -> Any:
        state = tf.zeros((1, 1))
        return _block_lstm(tf.zeros((1, 1, 1)), state, state, tf.zeros((2, 4)), tf.zeros(4))

    reason = missing(kernel)
    if reason is not None:
        use_stock_lstm(reason)
    return reason is None


def _block_lstm(x: Any, h: Any, state: Any, weights: Any, bias: Any) -> tuple[Any, Any]:
    """Return outputs and cell states (L, N, U) of a whole sequence x (L, N, F)."""
    units = state.shape[-1]
    _, cs, _, _, _, _, hs = tf.raw_ops.BlockLSTM(
        seq_len_max=tf.cast(tf.shape(x)[0], tf.int64),
        x=x,
        cs_prev=state,
        h_prev=h,
        w=weights,
        b=bias,
        # No peepholes; the kernel wants their weights nevertheless.
        wci=bias[:units],
        wcf=bias[:units],
        wco=bias[:units],
        forget_bias=0.0,  # Keras has it in the bias
        cell_clip=0.0,  # the kernel's default clips the state at 3
        use_peephole=False,
    )
    return hs, cs


@keras.saving.register_keras_serializable(package=PACKAGE)
class LSTM(keras.layers.LSTM):
    """`keras.layers.LSTM` with the same weights, config and numbers, several times faster on a CPU.

    Stock Keras runs one TensorFlow operation after the other for each session;
    `BlockLSTM` runs all sessions in one. It serves the default activations in
    float32; what it cannot do (a mask, recurrent dropout, no bias, unrolling, a
    GPU, which has cuDNN) falls back to the stock loop, and so does everything
    after `use_stock_lstm`.

    `BlockLSTMV2` is not used: its registered gradient belongs to the gate order
    of V1 and is wrong.
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
        # The kernel orders its gates i, c, f, o; Keras stores i, f, c, o.
        i, f, c, o = tf.split(tf.concat([cell.kernel, cell.recurrent_kernel], axis=0), 4, axis=1)
        bi, bf, bc, bo = tf.split(cell.bias, 4)
        weights, bias = tf.concat([i, c, f, o], axis=1), tf.concat([bi, bc, bf, bo], axis=0)
        x = tf.transpose(sequences, [1, 0, 2])  # (L, N, F)
        h, state = initial_state[0], initial_state[1]
        batch, parts = tf.shape(x)[1], threads().shards
        if parts > 1:
            # The gradient of a shard without rows is whatever lay in memory.
            missing = tf.maximum(parts - batch, 0)
            x = tf.pad(x, [[0, 0], [0, missing], [0, 0]])
            h, state = (tf.pad(each, [[0, missing], [0, 0]]) for each in (h, state))
        padded = tf.maximum(batch, parts)
        outputs, states = [], []
        for part in range(parts):
            rows = slice(padded * part // parts, padded * (part + 1) // parts)
            hs, cs = _block_lstm(x[:, rows], h[rows], state[rows], weights, bias)
            outputs.append(hs)
            states.append(cs)
        hs = tf.concat(outputs, axis=1)[:, :batch] if parts > 1 else outputs[0]  # (L, N, U)
        cs = tf.concat(states, axis=1)[:, :batch] if parts > 1 else states[0]
        last = hs[-1]
        sequence = tf.transpose(hs, [1, 0, 2]) if self.return_sequences else last[:, None]
        return last, sequence, [last, cs[-1]]

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
        self._gaps = gaps  # (H, Q − 1)
        self._signs = signs.astype(np.float32)

    def call(self, raw: Any) -> Any:
        m, s, u = raw[..., :1], raw[..., 1:2], raw[..., 2:]
        median = self._median + 0.5 * ops.tanh(m)
        spread = ops.exp(1.5 * ops.tanh(s / 1.5))
        gaps = spread * self._gaps * ops.exp(0.5 * ops.tanh(u))  # (N, H, Q − 1)
        return median + ops.matmul(gaps, self._signs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], _Q)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "base_quantiles": self.base_quantiles.tolist()}


def quantile_head(encoding: Any, base_quantiles: np.ndarray) -> Any:
    """Return quantiles (N, H, Q) from an encoding (N, U), or (N, H, U) with one vector a step."""
    horizon = len(base_quantiles)
    # All zero, so that the untrained network is the baseline.
    zeros = {"kernel_initializer": "zeros", "bias_initializer": "zeros", "name": "corrections"}
    if len(encoding.shape) == 3:
        raw = keras.layers.Dense(_Q + 1, **zeros)(encoding)
    else:
        raw = keras.layers.Dense(horizon * (_Q + 1), **zeros)(encoding)
        raw = keras.layers.Reshape((horizon, _Q + 1))(raw)
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

    def call(self, y_true: Any, y_pred: Any) -> Any:
        difference = ops.expand_dims(y_true, -1) - y_pred  # (N, H, Q)
        pinball = ops.maximum(self._levels * difference, (self._levels - 1) * difference)
        per_step = 2 * ops.mean(pinball, axis=-1)  # (N, H)
        return ops.mean(per_step * self.step_weights, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "step_weights": self.step_weights.tolist()}
