"""Attention over the sessions of a window."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="lstmcli")
class AdditiveAttention(keras.layers.Layer):
    """Returns the weighted mean of a recurrent layer's outputs, and the weights.

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
