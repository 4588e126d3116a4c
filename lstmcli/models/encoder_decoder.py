"""One LSTM reads the window, a second writes the horizon."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from lstmcli.models.base import Dropout, ModelConfig, Units


class EncoderDecoder(ModelConfig):
    """Encoder–decoder: one LSTM encodes the window, one decodes it step by step.

    Flow: x (N, L, F) → LSTM (N, U) and its state → repeated (N, H, U), joined with what is
    known ahead of each session, the weekday by default, and its step (N, H, U + K + 1)
    → LSTM from that state (N, H, U) → head (N, H, Q).
    Equation: that of `lstm` twice. The decoder never reads a forecast of its own, so
    that an early error cannot feed a later one.
    Source: Cho et al. (2014), arXiv:1406.1078; Sutskever, Vinyals, Le (2014), arXiv:1409.3215.
    """

    name: Literal["encoder_decoder"] = "encoder_decoder"
    units: Units = 32
    """Size of the state."""
    dropout: Dropout = 0.1
    """Share of the values that training leaves out at random."""

    decodes: ClassVar[bool] = True
    known_ahead: ClassVar[tuple[str, ...]] = ("weekday",)

    def encode(self, inputs: dict[str, Any]) -> Any:
        from keras import layers

        from lstmcli.models.layers import LSTM

        horizon = inputs["targets"].shape[1]
        encoding, *state = LSTM(self.units, return_state=True)(inputs["window"])
        repeated = layers.RepeatVector(horizon)(encoding)
        x = layers.Concatenate()([repeated, inputs["targets"]])
        x = LSTM(self.units, return_sequences=True)(x, initial_state=state)
        return layers.Dropout(self.dropout)(x)
