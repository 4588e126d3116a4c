"""Ridges over hundreds of tickers, from sums of products: no array of all rows is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PENALTY = 0.01
"""Of a squared standardised coefficient, in units of one row's squared error."""


@dataclass(frozen=True)
class Ridge:
    """Coefficients of several ridges of the same columns, one for each step.

    Attributes:
        columns: (k,) which of the columns it reads.
        mean: (k,) of the columns over training rows: a column that is missing takes it.
        intercept: (A,)
        slopes: (k, A)
    """

    columns: np.ndarray
    mean: np.ndarray
    intercept: np.ndarray
    slopes: np.ndarray

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Return predictions (T, A) from all columns (T, K)."""
        x = values[:, self.columns].astype(np.float64)
        return self.intercept + np.where(np.isfinite(x), x, self.mean) @ self.slopes


class Products:
    """Sums of products of some columns and targets, by piece of the training sessions.

    A ridge needs no more than these: those of all pieces, or of all but some.

    Attributes:
        columns: which of all columns are summed, ascending.
    """

    def __init__(self, columns: Sequence[int], targets: int, pieces: int) -> None:
        self.columns = np.unique(columns)
        self._targets = targets
        self._sums = np.zeros((pieces, *2 * (1 + len(self.columns) + targets,)))

    def add(self, values: np.ndarray, targets: np.ndarray, pieces: np.ndarray) -> None:
        """Add the rows of one ticker.

        Args:
            values: (T, K) all columns; a row that lacks one of those summed is left out.
            targets: (T, A), likewise.
            pieces: (T,) the piece of each row; below 0 the row is left out.
        """
        summed = values[:, self.columns]
        known = np.isfinite(summed).all(axis=1) & np.isfinite(targets).all(axis=1)
        for piece in np.unique(pieces[known & (pieces >= 0)]):
            rows = known & (pieces == piece)
            one = np.ones((int(rows.sum()), 1))
            z = np.concatenate([one, summed[rows], targets[rows]], axis=1, dtype=np.float64)
            self._sums[piece] += z.T @ z

    def rows(self, pieces: Sequence[int]) -> int:
        """Return how many rows some pieces have."""
        return round(float(self._sums[list(pieces), 0, 0].sum()))

    def ridge(self, columns: Sequence[int], pieces: Sequence[int]) -> Ridge:
        """Return the ridges of some columns, fitted on some pieces.

        Equation: minimises mean(e²) + 0.01·|b|², b of standardised columns.
        Source: Hoerl, Kennard (1970), Ridge Regression: Biased Estimation for Nonorthogonal
        Problems, Technometrics 12.
        """
        whole = self._sums[list(pieces)].sum(axis=0)
        read = 1 + np.searchsorted(self.columns, columns)
        predicted = 1 + len(self.columns) + np.arange(self._targets)
        rows = whole[0, 0]
        x_mean, y_mean = whole[0, read] / rows, whole[0, predicted] / rows
        xx = whole[np.ix_(read, read)] / rows - np.outer(x_mean, x_mean)
        xy = whole[np.ix_(read, predicted)] / rows - np.outer(x_mean, y_mean)
        deviation = np.sqrt(np.maximum(np.diag(xx), 1e-12))
        standardised = xx / np.outer(deviation, deviation) + PENALTY * np.eye(len(read))
        slopes = np.linalg.solve(standardised, xy / deviation[:, None]) / deviation[:, None]
        return Ridge(np.asarray(columns), x_mean, y_mean - x_mean @ slopes, slopes)
