"""Arrays that lie in a file and are mapped into memory: what is read can be given back."""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref

import numpy as np
from numpy.typing import DTypeLike


def mapped(kind: DTypeLike, shape: tuple[int, ...]) -> np.memmap:
    """Return an array of zeros in a file, which is gone with the array.

    The file lies in the folder for temporary files.
    """
    # Closed and deleted with the map that holds it.
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, kind, "w+", shape=shape)


def give_back(array: np.memmap) -> None:
    """Give back the memory of what was read or written; the numbers stay in the file."""
    array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


class RowFile:
    """Rows in a file that is gone with the object: written by a map, read with or without it.

    Attributes:
        rows: (R, W), zeros at first.
    """

    def __init__(self, kind: DTypeLike, shape: tuple[int, int]) -> None:
        file = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, file.close)
        self._number = file.fileno()
        self.rows = np.memmap(file, kind, "w+", shape=shape)

    def read(self, first: int, count: int) -> np.ndarray:
        """Return some rows (n, W) by a read of the file, which leaves nothing to give back.

        Several threads may read at once.
        """
        found = np.empty((count, self.rows.shape[1]), self.rows.dtype)
        left, at = found.reshape(-1).view(np.uint8).data, first * found.strides[0]
        while left:
            read = os.preadv(self._number, [left], at)
            if not read:
                raise EOFError(f"Expected {len(left)} more bytes from byte {at} on.")
            left, at = left[read:], at + read
        return found
