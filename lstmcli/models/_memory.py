"""Memory for the arrays that the fused LSTM and TensorFlow hand to each other."""

from __future__ import annotations

import math
import threading
from typing import ClassVar

import numpy as np

_ALIGNED = 64
"""TensorFlow takes an array that begins at a multiple of these bytes without copying it."""


def empty(*shape: int) -> np.ndarray:
    """Return a float32 array of any numbers, whose memory is handed on when no view is left."""
    size = math.prod(shape)
    return np.asarray(_Memory(size))[:size].reshape(shape)


def release() -> None:
    """Give back the memory that waits for the next batch."""
    _Memory.free.clear()


class _Memory:
    """What the array of `empty` holds on to.

    The operating system would hand out fresh memory of this size page by page for every batch,
    which takes about as long as to compute what it is for.
    """

    free: ClassVar[list[np.ndarray]] = []
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, size: int) -> None:
        self.memory = self._handed_on(size)
        if self.memory is None:
            memory = np.empty(size + _ALIGNED // 4, np.float32)
            skip = -memory.ctypes.data % _ALIGNED // 4
            self.memory = memory[skip : skip + size]
        self.__array_interface__ = self.memory.__array_interface__

    def _handed_on(self, size: int) -> np.ndarray | None:
        """Return the smallest memory that suffices, or None."""
        best, place = 0, -1
        with self._lock:  # `__del__` only appends, so that places stay what they are
            for n, memory in enumerate(self.free):
                if memory.size >= size and (place < 0 or memory.size < best):
                    best, place = memory.size, n
            return self.free.pop(place) if place >= 0 else None

    def __del__(self) -> None:
        if self.memory is not None:  # there is none where the allocation failed
            self.free.append(self.memory)
