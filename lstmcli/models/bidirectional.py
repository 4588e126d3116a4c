"""An LSTM that reads the window in both directions."""

from __future__ import annotations

from typing import Any, Literal

from lstmcli.models.base import Dropout, ModelConfig, Units


class Bidirectional(ModelConfig):
    """Bidirectional LSTM: one reads forward, one backward, both inside the window.

    Flow: x (N, L, F) → LSTM → (N, U) and LSTM ← (N, U) → joined (N, 2U) → head (N, H, Q).
    Equation: h = [lstm(x_1 … x_L), lstm(x_L … x_1)]; no session after the origin is read.
    Source: Schuster, Paliwal (1997), Bidirectional recurrent neural networks.
    """

    name: Literal["bidirectional"] = "bidirectional"
    units: Units = 32
    """Size of the state."""
    dropout: Dropout = 0.1
    """Share of the values that training leaves out at random."""

    def encode(self, inputs: dict[str, Any]) -> Any:
        from keras import layers

        from lstmcli.models.layers import LSTM

        x = layers.Bidirectional(LSTM(self.units))(inputs["window"])
        return layers.Dropout(self.dropout)(x)
