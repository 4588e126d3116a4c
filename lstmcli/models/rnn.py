"""Simple recurrent network."""

from __future__ import annotations

from typing import Any, Literal

from lstmcli.models.base import Dropout, ModelConfig, Units


class Rnn(ModelConfig):
    """Simple RNN: one state, rewritten at every session.

    Flow: x (N, L, F) → SimpleRNN (N, U) → head (N, H, Q).
    Equation: h_t = tanh(W_hh·h_{t−1} + W_xh·x_t + b).
    Source: Elman (1990), Finding structure in time.
    """

    name: Literal["rnn"] = "rnn"
    units: Units = 32
    """Size of the state."""
    dropout: Dropout = 0.1
    """Share of the values that training leaves out at random."""

    def encode(self, inputs: dict[str, Any]) -> Any:
        from keras import layers

        x = layers.SimpleRNN(self.units)(inputs["window"])
        return layers.Dropout(self.dropout)(x)
