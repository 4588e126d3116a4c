"""Several LSTM layers, one reading the other."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from lstmcli.models.base import Dropout, ModelConfig, Units


class Stacked(ModelConfig):
    """Stacked LSTM: each layer reads the whole sequence of the one below.

    Flow: x (N, L, F) → LSTM (N, L, U₁) → … → LSTM (N, Uₖ) → head (N, H, Q).
    Equation: that of `lstm` in every layer, x_t of a layer being h_t of the one below.
    Source: Graves, Mohamed, Hinton (2013), arXiv:1303.5778.
    """

    name: Literal["stacked"] = "stacked"
    units: tuple[Units, ...] = Field((32, 16), min_length=2, max_length=8)
    """Size of the state of each layer, from the first on."""
    dropout: Dropout = 0.1
    """Share of the values that training leaves out at random."""

    def encode(self, inputs: dict[str, Any]) -> Any:
        from keras import layers

        from lstmcli.models.layers import LSTM

        x = inputs["window"]
        for depth, units in enumerate(self.units, start=1):
            x = LSTM(units, return_sequences=depth < len(self.units))(x)
            x = layers.Dropout(self.dropout)(x)
        return x
