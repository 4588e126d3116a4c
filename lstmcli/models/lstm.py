"""One LSTM layer."""

from __future__ import annotations

from typing import Any, Literal

from lstmcli.models.base import Dropout, ModelConfig, Units


class Lstm(ModelConfig):
    """LSTM: gates decide what the state forgets, takes in and shows.

    Flow: x (N, L, F) → LSTM (N, U) → head (N, H, Q).
    Equation: i, f, o = σ(W·x_t + U·h_{t−1} + b); c_t = f∘c_{t−1} + i∘tanh(W_c·x_t +
    U_c·h_{t−1} + b_c); h_t = o∘tanh(c_t).
    Source: Hochreiter, Schmidhuber (1997), Long short-term memory; forget gate
    from Gers, Schmidhuber, Cummins (2000).
    """

    name: Literal["lstm"] = "lstm"
    units: Units = 32
    """Size of the state."""
    dropout: Dropout = 0.1
    """Share of the values that training leaves out at random."""

    def encode(self, inputs: dict[str, Any]) -> Any:
        from keras import layers

        from lstmcli.models.layers import LSTM

        x = LSTM(self.units)(inputs["window"])
        return layers.Dropout(self.dropout)(x)
