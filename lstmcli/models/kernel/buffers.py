"""Memory for the arrays that the kernel and TensorFlow pass to each other."""

from __future__ import annotations

import math
import threading
from typing import ClassVar

import numpy as np

_ALIGNED = 64
"""Bytes. TensorFlow reads an array without copying it if it begins at a multiple of these."""


def empty(*shape: int) -> np.ndarray:
    """Return a float32 array whose numbers are not set.

    Once the array and all its views are gone, a later call may use its memory again.
    """
    size = math.prod(shape)
    return np.asarray(_Memory(size))[:size].reshape(shape)


def release() -> None:
    """Give the memory that waits for a later call back to the operating system."""
    with _Memory.lock:
        _Memory.free.clear()


class _Memory:
    """The memory under one array of `empty`; the array and its views keep it alive.

    New memory of this size costs a page fault for every 4 KB. For a batch, that takes
    about as long as the arithmetic.
    """

    free: ClassVar[list[np.ndarray]] = []
    lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, size: int) -> None:
        self.memory = self._take_free(size)
        if self.memory is None:
            memory = np.empty(size + _ALIGNED // 4, np.float32)
            skip = -memory.ctypes.data % _ALIGNED // 4
            self.memory = memory[skip : skip + size]
        self.__array_interface__ = self.memory.__array_interface__

    def _take_free(self, size: int) -> np.ndarray | None:
        """Return the smallest free memory of at least `size` numbers, or None."""
        best, place = 0, -1
        # `__del__` may run meanwhile. It only appends, so `place` stays right.
        with self.lock:
            for n, memory in enumerate(self.free):
                if memory.size >= size and (place < 0 or memory.size < best):
                    best, place = memory.size, n
            return self.free.pop(place) if place >= 0 else None

    def __del__(self) -> None:
        if self.memory is not None:  # None if the allocation failed
            self.free.append(self.memory)
