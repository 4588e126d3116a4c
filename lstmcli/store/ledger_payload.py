"""How the numbers of one evening's forecast are packed, and read in bulk.

A layout says which rows there are: for each group of rows in turn the recipe, whether it is
calibrated, whether it has intervals, and the steps. All tickers of an evening share one. A
payload holds the numbers, little-endian:

    byte 0        the version of the packing, 1
    the rest      compressed by zlib, and in it
        uint16    days from `made_on` to `target_on`, for each step of the layout, ascending
        float32   for each row `sigma`, the quantiles, and the ends where it has intervals;
                  byte by byte: first the lowest byte of every number, then the second, …

The low bytes of a float are noise and the high ones repeat: apart they compress better. A log
return loses 6e-8 of itself as a float32.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from lstmcli.errors import DataError
from lstmcli.frames import INTERVAL_COLUMNS, QUANTILE_COLUMNS, values_of

PACKED = ("sigma", *QUANTILE_COLUMNS, *INTERVAL_COLUMNS)
"""The numbers of a row, in their order; one without intervals ends before them."""

_RAW = len(PACKED) - len(INTERVAL_COLUMNS)

NOT_FINITE = "A forecast holds a number that is not finite; it is not issued."

_VERSION = b"\x01"

_LEVEL = 6


@dataclass(frozen=True)
class Group:
    """Rows of one recipe."""

    recipe: str
    calibrated: bool
    intervals: bool
    steps: tuple[int, ...]

    @property
    def width(self) -> int:
        """Return how many numbers a row has."""
        return len(PACKED) if self.intervals else _RAW


@dataclass(frozen=True)
class Layout:
    """Which rows a payload has, in their order."""

    groups: tuple[Group, ...]

    @classmethod
    def parse(cls, text: str) -> Layout:
        """Read what `text` gives.

        Raises:
            ValueError: it is no layout.
        """
        groups = []
        for recipe, calibrated, intervals, steps in json.loads(text):
            groups.append(Group(recipe, bool(calibrated), bool(intervals), tuple(steps)))
        return cls(tuple(groups))

    @cached_property
    def text(self) -> str:
        """The layout as JSON without spaces: what the ledger keeps and hashes."""
        groups = [
            [each.recipe, each.calibrated, each.intervals, list(each.steps)] for each in self.groups
        ]
        return json.dumps(groups, separators=(",", ":"), ensure_ascii=False)

    @cached_property
    def steps(self) -> np.ndarray:
        """The step of each row (R,)."""
        return np.array([step for group in self.groups for step in group.steps], dtype=np.int64)

    @cached_property
    def distinct(self) -> np.ndarray:
        """The steps that there are, ascending."""
        return np.unique(self.steps)

    @property
    def numbers(self) -> int:
        """How many numbers a payload has."""
        return sum(group.width * len(group.steps) for group in self.groups)

    def repeat(self, name: str) -> np.ndarray:
        """Return a field of the groups for each row (R,)."""
        counts = [len(group.steps) for group in self.groups]
        return np.repeat(np.array([getattr(group, name) for group in self.groups]), counts)


def pack(forecast: pd.DataFrame) -> tuple[Layout, bytes]:
    """Pack the forecasts of one ticker from one origin; return their layout and payload.

    Raises:
        DataError: a number is not finite, or too large for a float32.
        ValueError: two recipes name another session for one step; a bug in a recipe.
    """
    numbers, ends = _checked(forecast)
    layout = _layout(forecast, ends)
    made_on, target_on = (
        forecast[name].to_numpy("datetime64[D]") for name in ("made_on", "target_on")
    )
    days = (target_on - made_on).astype(np.int64)
    _, first = np.unique(layout.steps, return_index=True)
    targets = days[first]
    if (days != targets[np.searchsorted(layout.distinct, layout.steps)]).any():
        raise ValueError("Expected one target session for each step.")
    if targets.min() < 0 or targets.max() > np.iinfo(np.uint16).max:
        raise ValueError("Expected target sessions up to 65,535 days after the origin.")
    row, parts = 0, []
    for group in layout.groups:
        parts.append(numbers[row : row + len(group.steps), : group.width].ravel())
        row += len(group.steps)
    planes = np.concatenate(parts).view(np.uint8).reshape(-1, 4).T
    content = targets.astype("<u2").tobytes() + planes.tobytes()
    return layout, _VERSION + zlib.compress(content, _LEVEL)


def check_finite(forecast: pd.DataFrame) -> None:
    """Check that the numbers of a forecast can be issued.

    Raises:
        DataError: one is not finite, or too large for a float32.
    """
    _checked(forecast)


def unpack(layout: Layout, payloads: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Unpack the payloads of one layout at once.

    Returns:
        Days from `made_on` to `target_on` (n, R), and the numbers of `PACKED` (n, R, 28), NaN
        for the ends of a row without intervals.

    Raises:
        ValueError: a payload is damaged, or of a newer version.
    """
    dates = 2 * len(layout.distinct)
    size = dates + 4 * layout.numbers
    contents = [_content(payload, size) for payload in payloads]
    flat = np.frombuffer(b"".join(contents), np.uint8).reshape(len(payloads), size)
    days = np.ascontiguousarray(flat[:, :dates]).view("<u2").astype(np.int64)
    planes = flat[:, dates:].reshape(len(payloads), 4, layout.numbers)
    numbers = np.ascontiguousarray(planes.transpose(0, 2, 1)).view("<f4")[..., 0]
    values = np.full((len(payloads), len(layout.steps), len(PACKED)), np.nan)
    row = start = 0
    for group in layout.groups:
        count = len(group.steps)
        own = numbers[:, start : start + count * group.width]
        values[:, row : row + count, : group.width] = own.reshape(-1, count, group.width)
        row, start = row + count, start + count * group.width
    return days[:, np.searchsorted(layout.distinct, layout.steps)], values


def _checked(forecast: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers (R, 28) as float32, and which rows (R,) have intervals."""
    with np.errstate(over="ignore"):
        numbers = _numbers(forecast).astype("<f4")
    ends = np.isfinite(numbers[:, _RAW:])
    sound = np.isfinite(numbers[:, :_RAW]).all(axis=1) & (ends.all(axis=1) | ~ends.any(axis=1))
    if not sound.all():
        raise DataError(NOT_FINITE)
    return numbers, ends.all(axis=1)


def _numbers(forecast: pd.DataFrame) -> np.ndarray:
    """Return the numbers of `PACKED` (R, 28), NaN where a column is missing."""
    numbers = np.full((len(forecast), len(PACKED)), np.nan)
    names = [name for name in PACKED if name in forecast]
    numbers[:, [PACKED.index(name) for name in names]] = values_of(forecast, names)
    return numbers


def _layout(forecast: pd.DataFrame, intervals: np.ndarray) -> Layout:
    """Return the groups: neighbouring rows of one recipe, with intervals or without."""
    keys = list(
        zip(
            forecast["recipe"].astype(str).tolist(),
            forecast["calibrated"].astype(bool).tolist(),
            intervals.tolist(),
            strict=True,
        )
    )
    steps = forecast["step"].to_numpy().astype(int).tolist()
    starts = [row for row, key in enumerate(keys) if not row or key != keys[row - 1]]
    ends = [*starts[1:], len(keys)]
    return Layout(
        tuple(
            Group(*keys[start], tuple(steps[start:end]))
            for start, end in zip(starts, ends, strict=True)
        )
    )


def _content(payload: bytes, size: int) -> bytes:
    if payload[:1] != _VERSION:
        raise ValueError(f"it is packed in version {payload[:1].hex() or 'none'}")
    unzip = zlib.decompressobj()
    try:
        content = unzip.decompress(payload[1:], size + 1)
    except zlib.error as error:
        raise ValueError(f"it cannot be unpacked: {error}") from error
    if len(content) != size or not unzip.eof:
        raise ValueError("it does not have the size that its layout says")
    return content
