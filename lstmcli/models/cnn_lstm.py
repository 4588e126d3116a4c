"""A convolution reads the sequence, an LSTM reads the result."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from lstmcli.models.base import Dropout, ModelConfig, Units


class CnnLstm(ModelConfig):
    """CNN-LSTM: a convolution finds short patterns, an LSTM their order.

    Flow: x (N, L, F) → Conv1D (N, L, C) → max pool (N, L/P, C) → LSTM (N, U) → head (N, H, Q).
    Equation: c_t = relu(Σ_k W_k·x_{t−k} + b), then `lstm` on the pooled c.
    Source: Sainath et al. (2015), Convolutional, Long Short-Term Memory, Fully
    Connected Deep Neural Networks.
    """

    name: Literal["cnn_lstm"] = "cnn_lstm"
    filters: Units = 32
    """Patterns that the convolution looks for."""
    kernel_size: int = Field(3, ge=1, le=100)
    """Sessions that a pattern spans."""
    pool: int = Field(2, ge=1, le=100)
    """Neighbouring sessions of which the largest value is kept."""
    units: Units = 32
    """Size of the LSTM's state."""
    dropout: Dropout = 0.1
    """Share of the values that training leaves out at random."""

    def check_window(self, lookback: int) -> None:
        least = max(self.kernel_size, self.pool)
        if lookback < least:
            raise ValueError(
                f"expected a lookback of at least {least} (kernel_size {self.kernel_size}, "
                f"pool {self.pool}), received {lookback}"
            )

    def encode(self, inputs: dict[str, Any]) -> Any:
        from keras import layers

        from lstmcli.models.layers import LSTM

        x = inputs["window"]
        x = layers.Conv1D(self.filters, self.kernel_size, padding="causal", activation="relu")(x)
        if self.pool > 1:
            x = layers.MaxPooling1D(self.pool)(x)
        x = LSTM(self.units)(x)
        return layers.Dropout(self.dropout)(x)
