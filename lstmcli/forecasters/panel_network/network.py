"""The network: an LSTM over whole histories, and two heads for each session.

Flow: x (N, L, F) → LSTM (N, L, U) → dropout → [x, h] (N, L, F + U) → dense, SiLU (N, L, W) →
dropout → dense, SiLU (N, L, W) → dense (N, L, 2·A): p and δ at A steps. The last layer starts
at zero, so that an untrained network corrects nothing.

Source: Hochreiter, Schmidhuber (1997), Long short-term memory; Elfwing, Uchibe, Doya (2018),
Sigmoid-Weighted Linear Units, for SiLU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from lstmcli.models.kernel import load_kernel

if TYPE_CHECKING:
    import keras

STEPS = (1, 5, 10, 20)
"""A steps that the network corrects; others are interpolated in ln h."""

TOGETHER = 4
"""Histories from which on the compiled kernel is worth its import, which takes a second."""


@dataclass(frozen=True)
class Weights:
    """The numbers of a network, in the layout of Keras, float32.

    Attributes:
        kernel: (F, 4·U), gates i, f, c, o.
        recurrent: (U, 4·U)
        bias: (4·U,)
        hidden, hidden_bias: (F + U, W), (W,)
        second, second_bias: (W, W), (W,)
        head, head_bias: (W, 2·A), (2·A,)
    """

    kernel: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray
    hidden: np.ndarray
    hidden_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray
    head: np.ndarray
    head_bias: np.ndarray

    @classmethod
    def of(cls, arrays: Sequence[np.ndarray]) -> Weights:
        """Return the weights of a Keras network, as `get_weights` lists them."""
        return cls(*(np.asarray(each, np.float32) for each in arrays))

    def arrays(self) -> tuple[np.ndarray, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    @staticmethod
    def shapes(inputs: int, units: int, hidden: int) -> tuple[tuple[int, ...], ...]:
        """Return the shape of each part of a network of F inputs, U units and width W."""
        return (
            (inputs, 4 * units),
            (units, 4 * units),
            (4 * units,),
            (inputs + units, hidden),
            (hidden,),
            (hidden, hidden),
            (hidden,),
            (hidden, 2 * len(STEPS)),
            (2 * len(STEPS),),
        )

    @property
    def size(self) -> int:
        """Trainable numbers."""
        return sum(each.size for each in self.arrays())


def build(inputs: int, units: int, hidden: int, dropout: float) -> keras.Model:
    """Return the untrained network; it has no fixed length."""
    import keras
    from keras import layers

    from lstmcli.models.layers import LSTM

    x = keras.Input((None, inputs), name="sessions")
    states = layers.Dropout(dropout)(LSTM(units, return_sequences=True, unit_forget_bias=True)(x))
    read = layers.Concatenate()([x, states])
    read = layers.Dropout(dropout)(layers.Dense(hidden, activation="silu")(read))
    read = layers.Dense(hidden, activation="silu")(read)
    heads = layers.Dense(2 * len(STEPS), kernel_initializer="zeros")(read)
    return keras.Model(x, heads, name="panel")


def corrections(weights: Weights, histories: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return p and δ, (T, 2, A), of each session of some histories (T, F), float32.

    Few of them are run in numpy, many in the compiled kernel; both agree within 1e-5.
    """
    kernel = load_kernel() if len(histories) >= TOGETHER else None
    if kernel is None:
        return [_heads(weights, x, _states(weights, x)) for x in histories]
    found: list[np.ndarray] = [np.empty(0)] * len(histories)
    # Those of like length together: what follows the end of a shorter one changes nothing.
    order = sorted(range(len(histories)), key=lambda number: len(histories[number]))
    for start in range(0, len(order), 32):
        group = order[start : start + 32]
        longest = len(histories[group[-1]])
        x = np.zeros((len(group), longest, weights.kernel.shape[0]), np.float32)
        for row, number in enumerate(group):
            x[row, : len(histories[number])] = histories[number]
        zeros = np.zeros((len(group), len(weights.recurrent)), np.float32)
        states, _, _ = kernel.forward(
            *(x, zeros, zeros, weights.kernel, weights.recurrent, weights.bias),
            every=True,
            keep=False,
        )
        for row, number in enumerate(group):
            history = histories[number]
            found[number] = _heads(weights, history, states[row, : len(history)])
    return found


def _states(weights: Weights, x: np.ndarray) -> np.ndarray:
    """Return the LSTM's outputs (T, U) of one history, session by session in numpy."""
    units = len(weights.recurrent)
    gates = x @ weights.kernel + weights.bias  # (T, 4·U)
    states = np.empty((len(x), units), np.float32)
    h, c = np.zeros((2, units), np.float32)
    # σ(z) = (1 + tanh(z/2)) / 2: one call serves all gates.
    half = np.full(4 * units, 0.5, np.float32)
    half[2 * units : 3 * units] = 1.0
    for t in range(len(x)):
        squashed = np.tanh(half * (gates[t] + h @ weights.recurrent))
        i, f, g, o = squashed.reshape(4, units)
        c = 0.5 * ((1 + f) * c + (1 + i) * g)
        h = 0.5 * (1 + o) * np.tanh(c)
        states[t] = h
    return states


def _heads(weights: Weights, x: np.ndarray, states: np.ndarray) -> np.ndarray:
    read = _silu(np.concatenate([x, states], axis=1) @ weights.hidden + weights.hidden_bias)
    read = _silu(read @ weights.second + weights.second_bias)
    return (read @ weights.head + weights.head_bias).reshape(len(x), 2, len(STEPS))


def _silu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(0.5 * x))
