"""Feed-forward network on the flattened window."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from lstmcli.models.base import Dropout, ModelConfig, Units


class Dense(ModelConfig):
    """Feed-forward: every session of the window is an input of its own.

    Flow: x (N, L, F) → flatten (N, L·F) → dense (N, U) … → head (N, H, Q).
    Equation: h = relu(W·x + b), once for each entry of `units`.
    Source: Rumelhart, Hinton, Williams (1986), Learning representations by
    back-propagating errors.
    """

    name: Literal["dense"] = "dense"
    units: tuple[Units, ...] = Field((64, 32), min_length=1)
    """Size of each layer."""
    dropout: Dropout = 0.1
    """Share of the values that training leaves out at random."""

    def encode(self, inputs: dict[str, Any]) -> Any:
        from keras import layers

        x = layers.Flatten()(inputs["window"])
        for units in self.units:
            x = layers.Dense(units, activation="relu")(x)
            x = layers.Dropout(self.dropout)(x)
        return x
