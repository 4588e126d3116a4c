"""From columns to what the network reads: standardised, masked, with flags."""

from __future__ import annotations

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
    read = _OF_MODE[modes]  # (…, F)
    values = np.take_along_axis(columns, read, axis=-1).astype(np.float32)
    inputs = np.empty((*modes.shape, INPUTS), np.float32)
    scaled = inputs[..., :-FLAGS]
    np.subtract(values, standardisation.mean[read], out=scaled)
    scaled /= standardisation.scale[read]
    np.clip(scaled, -MAX_INPUT, MAX_INPUT, out=scaled)
    scaled[_MASKED[modes] | ~np.isfinite(values)] = 0.0
    inputs[..., -FLAGS:] = _FLAGS[modes]
    return inputs
