"""A kernel that runs an LSTM over whole sequences on a CPU, several times faster than Keras.

`load_kernel` is the way in. It imports numba, which takes a second or two, and compiles the
kernel for this machine. Where that fails, or after `use_stock_lstm`, it returns None and the
caller runs the LSTM of Keras.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from lstmcli.models.kernel.buffers import release

__all__ = ["Kernel", "load_kernel", "release", "use_stock_lstm"]

log = logging.getLogger(__name__)

_Arrays = tuple[np.ndarray, ...]


class Kernel(NamedTuple):
    """The three calls of the kernel; `lstm.py` documents their arguments.

    Attributes:
        forward: windows, states and weights → outputs, last cell states, kept memory.
        backward: gradients of the outputs and of the last cell states → dz, and the gradients
            of kernel, recurrent kernel, bias, h and c.
        input_gradient: dz → the gradient of the windows.
    """

    forward: Callable[..., _Arrays]
    backward: Callable[..., _Arrays]
    input_gradient: Callable[..., np.ndarray]


_gave_up = False


def load_kernel() -> Kernel | None:
    """Return the kernel, or None if this process cannot or shall not use it.

    The first call on a machine compiles the kernel, which takes about ten seconds. Later
    processes find the result on disk. A failure is logged once.
    """
    return None if _gave_up else _load_once()


def use_stock_lstm(reason: str) -> bool:
    """Stop using the kernel in this process, and log why.

    A graph that TensorFlow traced before still calls the kernel: trace it again.

    Returns:
        Whether this call changed something: False from the second call on.
    """
    global _gave_up
    changed = not _gave_up
    if changed:
        log.warning("going on with the stock LSTM layer, several times slower: %s", reason)
    _gave_up = True
    return changed


@cache
def _load_once() -> Kernel | None:
    try:
        from lstmcli.models.kernel.lstm import backward, forward, input_gradient

        # The import compiles the kernel. Only a call shows that this CPU runs it.
        state, square = np.zeros((1, 1), np.float32), np.zeros((1, 4), np.float32)
        forward(state[None], state, state, square, square, square[0], every=False, keep=False)
    except Exception as error:  # whatever a compiler on an unknown platform raises
        use_stock_lstm(str(error).split("\n", 1)[0] or type(error).__name__)
        return None
    return Kernel(forward, backward, input_gradient)
