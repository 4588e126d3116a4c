"""The network: an LSTM over whole histories, and two heads for each session.

Flow: x (N, L, F) → LSTM (N, L, U) → dropout → [x, h] (N, L, F + U) → dense, SiLU (N, L, W) →
dropout → dense, SiLU (N, L, W) → dense (N, L, 2·A): p and δ at A steps. This module runs what
is trained; see `trained` for the training.

Source: Hochreiter, Schmidhuber (1997), Long short-term memory; Elfwing, Uchibe, Doya (2018),
Sigmoid-Weighted Linear Units, for SiLU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from lstmcli.forecasters.small_products import by_rows

STEPS = (1, 5, 10, 20)
"""A steps that the network corrects; others are interpolated in ln h."""

RUN_IN = 192
"""Sessions that a network reads before the first that it corrects; a span of training."""

SESSIONS = 64_000
"""Of all histories that are run at once: 33 MB of gates."""


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


def corrections(
    weights: Weights, histories: Sequence[np.ndarray], run_in: Sequence[int] | None = None
) -> list[np.ndarray]:
    """Return p and δ, (T − R, 2, A), of the sessions of some histories (T, F), float32.

    Those of one length are run together. A history gets the same digits whichever others are
    beside it.

    Args:
        run_in: R of each history, sessions at its start that are only read; None: 0.
    """
    found: list[np.ndarray] = [np.empty(0)] * len(histories)
    alike: dict[tuple[int, int], list[int]] = {}
    for number, history in enumerate(histories):
        alike.setdefault((len(history), run_in[number] if run_in else 0), []).append(number)
    for (length, first), numbers in alike.items():
        together = max(1, SESSIONS // max(length, 1))
        for start in range(0, len(numbers), together):
            some = numbers[start : start + together]
            x = np.stack([histories[number] for number in some])
            found_here = _heads(weights, x[:, first:], _states(weights, x)[:, first:])
            for number, each in zip(some, found_here, strict=True):
                found[number] = each
    return found


def _states(weights: Weights, x: np.ndarray) -> np.ndarray:
    """Return the LSTM's outputs (N, T, U) of histories (N, T, F), session by session."""
    units = len(weights.recurrent)
    gates = by_rows(x, weights.kernel) + weights.bias
    gates = np.ascontiguousarray(gates.swapaxes(0, 1))  # (T, N, 4·U)
    states = np.empty((len(gates), len(x), units), np.float32)
    h, c = np.zeros((2, len(x), units), np.float32)
    # σ(z) = (1 + tanh(z/2)) / 2: one call serves all gates.
    half = np.full(4 * units, 0.5, np.float32)
    half[2 * units : 3 * units] = 1.0
    for t in range(len(gates)):
        # A product per history: the digits of one of all would depend on how many there are.
        recurrent = (h[:, None] @ weights.recurrent)[:, 0]
        squashed = np.tanh(half * (gates[t] + recurrent))
        i, f, g, o = squashed.reshape(-1, 4, units).swapaxes(0, 1)
        c = 0.5 * ((1 + f) * c + (1 + i) * g)
        h = 0.5 * (1 + o) * np.tanh(c)
        states[t] = h
    return states.swapaxes(0, 1)


def _heads(weights: Weights, x: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Return p and δ (N, T, 2, A)."""
    read = np.concatenate([x, states], axis=2)
    read = _silu(by_rows(read, weights.hidden) + weights.hidden_bias)
    read = _silu(by_rows(read, weights.second) + weights.second_bias)
    return (by_rows(read, weights.head) + weights.head_bias).reshape(*x.shape[:2], 2, len(STEPS))


def _silu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(0.5 * x))
