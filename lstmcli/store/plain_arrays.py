"""Arrays as `.npy` bytes: numbers, dates and text, checked before any array is made.

NumPy's own reader evaluates a header as Python, and makes room for whatever shape it names.
Here a header is one of few texts, and the shape must be that of the bytes behind it.

Source: NumPy, numpy.lib.format, version 1.0.
"""

from __future__ import annotations

import io
import math
import re

import numpy as np

_MAGIC = b"\x93NUMPY\x01\x00"
_DTYPE = r"<f[248]|<i[248]|<u[248]|\|[iub]1|<M8\[(?:D|s|ms|us|ns)\]|<U[1-9]\d{0,5}"
_HEADER = re.compile(
    rf"\{{'descr': '({_DTYPE})', 'fortran_order': (False|True), "
    r"'shape': \(((?:\d{1,10},)?|\d{1,10}(?:, \d{1,10}){1,7})\), \} *\n"
)
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = 0xD800, 0xDFFF


def array_bytes(array: np.ndarray) -> bytes:
    """Return the `.npy` file of an array, with the order of its axes in memory.

    Products of matrices may differ in the last digit by that order.

    Raises:
        ValueError: it holds anything but numbers, booleans, dates and text.
    """
    array = np.asarray(array)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if array.dtype.kind == "U" and not array.dtype.itemsize:
        array = array.astype("<U1")
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
    content = stream.getvalue()
    array_of(content)
    return content


def array_of(content: bytes) -> np.ndarray:
    """Return the array of a `.npy` file.

    Raises:
        ValueError: the message is a clause that says what is wrong with it.
    """
    length = int.from_bytes(content[8:10], "little")
    start = 10 + length
    if content[:8] != _MAGIC or len(content) < start or start % 64:
        raise ValueError("it does not begin as an array")
    header = _HEADER.fullmatch(content[10:start].decode("latin-1"))
    if header is None:
        raise ValueError("it is no array of numbers, dates or text")
    dtype, shape = np.dtype(header[1]), tuple(map(int, re.findall(r"\d+", header[3])))
    if math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError("its shape is not that of its content")
    flat = np.frombuffer(content, dtype, offset=start)
    try:
        array = flat.reshape(shape[::-1]).T if header[2] == "True" else flat.reshape(shape)
    except ValueError as error:  # a shape that holds nothing may still be too large
        raise ValueError("its shape is too large") from error
    _check_values(array, content, start)
    return array


def _check_values(array: np.ndarray, content: bytes, start: int) -> None:
    if array.dtype.kind == "b" and (np.frombuffer(content, np.uint8, offset=start) > 1).any():
        raise ValueError("it holds what is neither true nor false")
    if array.dtype.kind == "U":
        codes = np.frombuffer(content, "<u4", offset=start)
        low, high = _SURROGATES
        if ((codes > _LAST_CHARACTER) | ((codes >= low) & (codes <= high))).any():
            raise ValueError("its text holds what is no character")
