"""The LSTM layer that runs the kernel."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from lstmcli.models.kernel import Kernel, load_kernel
from lstmcli.models.runtime import threads


def whole_sequence(
    kernel: Kernel,
    x: Any,
    h: Any,
    c: Any,
    weights: tuple[Any, Any, Any],
    *,
    every: bool,
    keep: bool,
) -> tuple[Any, Any]:
    """Return outputs (N, L or 1, U) and last cell states (N, U) of windows x (N, L, F).

    Args:
        weights: the kernel (F, 4·U), recurrent kernel (U, 4·U) and bias (4·U,) of the layer.
        every: return the outputs of every session, not of the last one alone.
        keep: keep what the gradient needs. Otherwise a gradient runs the windows again.
    """

    def call(function: Callable, inputs: list[Any], outputs: int) -> list[Any]:
        # "Not stateful" lets TensorFlow leave out a call whose results nothing reads.
        found = tf.numpy_function(function, inputs, [tf.float32] * outputs, stateful=False)
        return tf.nest.flatten(found)  # a single output comes without a list

    @tf.custom_gradient
    def run(x: Any, h: Any, c: Any, weight: Any, recurrent: Any, bias: Any) -> Any:
        sources = [x, h, c, weight, recurrent, bias]

        def run_forward(keep: bool) -> list[Any]:
            return call(partial(kernel.forward, every=every, keep=keep), sources, 3)

        outputs, state, memory = run_forward(keep)
        outputs.set_shape((x.shape[0], x.shape[1] if every else 1, h.shape[-1]))
        state.set_shape(h.shape)

        def gradient(d_outputs: Any, d_state: Any) -> list[Any]:
            kept = memory if keep else run_forward(keep=True)[2]
            dz, *weights, dh, dc = call(
                kernel.backward, [d_outputs, d_state, x, recurrent, kept], outputs=6
            )
            dx = call(kernel.input_gradient, [dz, weight, x], outputs=1)
            found = [*dx, dh, dc, *weights]
            for source, its_gradient in zip(sources, found, strict=True):
                its_gradient.set_shape(source.shape)
            return found

        return (outputs, state), gradient

    return run(x, h, c, *weights)


@keras.saving.register_keras_serializable(package="lstmcli")
class LSTM(keras.layers.LSTM):
    """`keras.layers.LSTM` with the same weights, config and numbers, but faster on a CPU.

    Keras runs a dozen TensorFlow operations for each session. Our kernel runs all sessions in
    one operation, several times faster. It computes the default activations in float32.

    The layer runs the loop of Keras where the kernel does not load, and for what the kernel
    does not compute: a mask, recurrent dropout, no bias, unrolling, and a GPU, which has cuDNN.
    """

    def inner_loop(
        self, sequences: Any, initial_state: Any, mask: Any, training: Any = False
    ) -> Any:
        masks = tf.nest.flatten(mask)
        kernel = load_kernel() if self._suits_kernel(masks) else None
        if kernel is None:
            return super().inner_loop(sequences, initial_state, mask, training=training)
        cell = self.cell
        if training and cell.dropout:
            # One mask for all sessions of a window, as in Keras.
            sequences = sequences * cell.get_dropout_mask(sequences[:, 0, :])[:, None, :]
        if self.go_backwards:
            sequences = tf.reverse(sequences, axis=[1])
        weights = tuple(
            tf.convert_to_tensor(weight)
            for weight in (cell.kernel, cell.recurrent_kernel, cell.bias)
        )
        h, state = initial_state
        windows, shards = tf.shape(sequences)[0], threads().shards
        pieces = []
        for shard in range(shards):
            rows = slice(windows * shard // shards, windows * (shard + 1) // shards)
            pieces.append(
                whole_sequence(
                    kernel,
                    *(sequences[rows], h[rows], state[rows], weights),
                    every=self.return_sequences,
                    keep=bool(training),
                )
            )
        outputs, state = (tf.concat(parts, axis=0) for parts in zip(*pieces, strict=True))
        last = outputs[:, -1]
        return last, outputs, [last, state]

    def _suits_kernel(self, masks: list[Any]) -> bool:
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
        )
