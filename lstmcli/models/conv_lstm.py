"""An LSTM with convolutions inside its cell."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from lstmcli.models.base import Dropout, ModelConfig, Units


class ConvLstm(ModelConfig):
    """ConvLSTM: the gates are convolutions over each stretch of the window.

    Flow: x (N, L, F) → S stretches (N, S, L/S, F) → ConvLSTM1D (N, L/S, C) → flatten
    → head (N, H, Q).
    Equation: that of `lstm`, every product W·x and U·h being a convolution along the stretch.
    Source: Shi et al. (2015), arXiv:1506.04214.
    """

    name: Literal["conv_lstm"] = "conv_lstm"
    stretches: int = Field(6, ge=2, le=250)
    """Equal parts of the window, read one after the other."""
    filters: Units = 8
    """Patterns that the convolutions look for."""
    kernel_size: int = Field(3, ge=1, le=100)
    """Sessions that a pattern spans."""
    dropout: Dropout = 0.1
    """Share of the values that training leaves out at random."""

    def check_window(self, lookback: int) -> None:
        if lookback % self.stretches:
            near = max(1, round(lookback / self.stretches)) * self.stretches
            raise ValueError(
                f"expected a lookback that {self.stretches} stretches divide, "
                f"received {lookback}; {near} would do"
            )

    def encode(self, inputs: dict[str, Any]) -> Any:
        from keras import layers

        _, lookback, features = inputs["window"].shape
        stretch = lookback // self.stretches
        x = layers.Reshape((self.stretches, stretch, features))(inputs["window"])
        x = layers.ConvLSTM1D(self.filters, self.kernel_size, padding="same")(x)
        return layers.Dropout(self.dropout)(layers.Flatten()(x))
