"""From columns to what the network reads: standardised, masked, with flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstmcli.forecasters.panel_network.modes import (
    COLUMNS,
    FLAGS,
    INPUTS,
    MODES,
    masked_inputs,
    network_columns,
)
from lstmcli.forecasters.volatility.announcements import AHEAD, SOON

MAX_INPUT = 6.0
"""Bound of a standardised input."""

UNIT = np.float32(MAX_INPUT / (2**15 - 1))
"""What a training table counts standardised columns in: whole numbers are read faster than
numbers of half precision, and are as exact."""

_OF_MODE = np.array([network_columns(mode) for mode in MODES])  # (M, F) columns
_MASKED = np.array([masked_inputs(mode) for mode in MODES])  # (M, F)
_FLAGS = np.array(  # (M, 4)
    [(mode.panel, mode.market, mode.dates >= SOON, mode.dates == AHEAD) for mode in MODES],
    np.float32,
)


@dataclass(frozen=True)
class Standardisation:
    """Moments of all columns over training rows.

    Attributes:
        mean, scale: (K,); of a column that no row knows, 0 and 1.
    """

    mean: np.ndarray
    scale: np.ndarray


class Moments:
    """Sums from which a `Standardisation` is made, ticker by ticker."""

    def __init__(self) -> None:
        self._sums = np.zeros((3, len(COLUMNS)))

    def add(self, values: np.ndarray) -> None:
        """Add rows (T, K)."""
        known = np.isfinite(values)
        x = np.where(known, values, 0.0).astype(np.float64)
        self._sums += known.sum(axis=0), x.sum(axis=0), (x**2).sum(axis=0)

    def standardisation(self) -> Standardisation:
        count, total, squares = self._sums
        rows = np.maximum(count, 1)
        mean = total / rows
        variance = squares / rows - mean**2
        # Of a column that never moves the mean is all there is to say.
        scale = np.sqrt(np.where(variance > 1e-12, variance, 1.0))
        return Standardisation(mean.astype(np.float32), scale.astype(np.float32))


def inputs_of(
    columns: np.ndarray, modes: np.ndarray, standardisation: Standardisation
) -> np.ndarray:
    """Return the inputs (…, F) of the network in each row's mode; what is missing is 0.

    Args:
        columns: (…, K)
        modes: (…) numbers of `MODES`.
    """
    inputs = np.empty((*modes.shape, INPUTS), np.float32)
    every, of_row = columns.reshape(-1, columns.shape[-1]), modes.reshape(-1)
    found = inputs.reshape(-1, INPUTS)
    for mode in np.unique(of_row):  # row by row, places and moments would be looked up anew
        rows, read = np.flatnonzero(of_row == mode), _OF_MODE[mode]
        values = np.take(every[rows], read, axis=1).astype(np.float32)
        unknown = ~np.isfinite(values)
        values -= standardisation.mean[read]
        values /= standardisation.scale[read]
        np.clip(values, -MAX_INPUT, MAX_INPUT, out=values)
        values[unknown] = 0.0
        values[:, _MASKED[mode]] = 0.0
        found[rows, :-FLAGS], found[rows, -FLAGS:] = values, _FLAGS[mode]
    return inputs


def in_units(columns: np.ndarray, standardisation: Standardisation) -> np.ndarray:
    """Return columns (T, K) standardised, in whole numbers of `UNIT`; what is missing is 0."""
    values = (columns - standardisation.mean) / standardisation.scale
    values = np.clip(np.where(np.isfinite(columns), values, 0.0), -MAX_INPUT, MAX_INPUT)
    return np.rint(values / UNIT).astype(np.int16)


def inputs_from_units(
    columns: np.ndarray, modes: np.ndarray, inputs: Sequence[int] = range(INPUTS)
) -> np.ndarray:
    """Return inputs (R, F') of the network in each row's mode.

    Args:
        columns: (R, K), from `in_units`.
        modes: (R,) numbers of `MODES`.
        inputs: which of the F inputs, ascending.
    """
    columns_read = [number for number in inputs if number < INPUTS - FLAGS]
    flags = [number - (INPUTS - FLAGS) for number in inputs[len(columns_read) :]]
    found = np.empty((len(modes), len(inputs)), np.float32)
    for mode in np.unique(modes):
        rows = np.flatnonzero(modes == mode)
        values = np.take(columns[rows], _OF_MODE[mode][columns_read], axis=1) * UNIT
        values[:, _MASKED[mode][columns_read]] = 0.0
        found[rows, : len(columns_read)] = values
        found[rows, len(columns_read) :] = _FLAGS[mode][flags]
    return found
