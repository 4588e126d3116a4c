"""An LSTM whose outputs are weighed over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lstmcli.models.base import Dropout, ModelConfig, Units

if TYPE_CHECKING:
    import keras

LAYER = "attention"


class Attention(ModelConfig):
    """LSTM with attention: every session's output counts, by a learned weight.

    Flow: x (N, L, F) → LSTM (N, L, U) → attention (N, U) → head (N, H, Q).
    Equation: e_t = tanh(W_a·x_t + b_t), α = softmax(e), context = Σ_t α_t·x_t over
    the LSTM's outputs x_1 … x_L.
    Source: Bahdanau, Cho, Bengio (2015), arXiv:1409.0473.
    """

    name: Literal["attention"] = "attention"
    units: Units = 32
    """Size of the state."""
    dropout: Dropout = 0.1
    """Share of the values that training leaves out at random."""

    def encode(self, inputs: dict[str, Any]) -> Any:
        from keras import layers

        from lstmcli.models.layers import LSTM, AdditiveAttention

        x = LSTM(self.units, return_sequences=True)(inputs["window"])
        context, _ = AdditiveAttention(name=LAYER)(x)
        return layers.Dropout(self.dropout)(context)


def attention_weights(network: keras.Model, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Return the weights α (N, L) that a trained network gives to the windows of its inputs."""
    import keras

    _, weights = network.get_layer(LAYER).output
    explained = keras.Model(network.inputs, weights)
    return explained([inputs[tensor.name] for tensor in network.inputs]).numpy()
