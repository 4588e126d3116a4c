"""Arrays that lie in a file and are mapped into memory: what is read can be given back."""

from __future__ import annotations

import mmap
import tempfile

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
