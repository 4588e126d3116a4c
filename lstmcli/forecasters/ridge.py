"""Ridges over hundreds of tickers, from sums of products: no array of all rows is needed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lstmcli.forecasters.small_products import by_rows

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
        own: (A,) a column that each step reads alone, or (0,).
        own_mean, own_slope: (A,) or (0,), likewise.
    """

    columns: np.ndarray
    mean: np.ndarray
    intercept: np.ndarray
    slopes: np.ndarray
    own: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    own_mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    own_slope: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def at(self, steps: Sequence[int]) -> Ridge:
        """Return the ridges of some steps, given by their place."""
        own = {
            name: getattr(self, name)[list(steps)]
            for name in ("own", "own_mean", "own_slope")
            if len(self.own)
        }
        intercept, slopes = self.intercept[list(steps)], self.slopes[:, list(steps)]
        return replace(self, intercept=intercept, slopes=slopes, **own)

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Return predictions (T, A) from all columns (T, K)."""
        predicted = self.intercept + by_rows(
            _known(values[:, self.columns], self.mean), self.slopes
        )
        if len(self.own):
            predicted += _known(values[:, self.own], self.own_mean) * self.own_slope
        return predicted


def _known(values: np.ndarray, mean: np.ndarray) -> np.ndarray:
    x = values.astype(np.float64)
    return np.where(np.isfinite(x), x, mean)


class Products:
    """Sums of products of some columns and targets, by group and piece of the training rows.

    A ridge needs no more than these: those of the groups that know all that it reads, and of
    all pieces or of all but some.

    Attributes:
        columns: which of all columns are summed, ascending.
    """

    def __init__(self, columns: Sequence[int], targets: int, pieces: int) -> None:
        self.columns = np.unique(columns)
        self._targets = targets
        self._shape = (pieces, *2 * (1 + len(self.columns) + targets,))
        self._sums: dict[int, np.ndarray] = {}

    def add(
        self,
        values: np.ndarray,
        targets: np.ndarray,
        pieces: np.ndarray,
        groups: np.ndarray | None = None,
        reads: Mapping[int, Sequence[int]] | None = None,
    ) -> None:
        """Add the rows of one ticker.

        Args:
            values: (T, K) all columns.
            targets: (T, A); a row that lacks one is left out.
            pieces: (T,) the piece of each row; below 0 the row is left out.
            groups: (T,) of each row; None: one group.
            reads: by group the columns that a row needs, or it is left out; None: all.
        """
        of = np.zeros(len(values), int) if groups is None else groups
        sound = np.isfinite(targets).all(axis=1) & (pieces >= 0)
        for group in np.unique(of[sound]).tolist():
            needed = self.columns if reads is None else list(reads[group])
            inside = sound & (of == group)
            inside &= np.isfinite(values[:, needed]).all(axis=1)
            for piece in np.unique(pieces[inside]):
                rows = inside & (pieces == piece)
                x = _known(values[np.ix_(rows, self.columns)], np.zeros(1))
                one = np.ones((len(x), 1))
                z = np.concatenate([one, x, targets[rows]], axis=1, dtype=np.float64)
                if group not in self._sums:
                    self._sums[group] = np.zeros(self._shape)
                self._sums[group][piece] += z.T @ z

    def rows(self, pieces: Sequence[int], groups: Collection[int] | None = None) -> int:
        """Return how many rows some pieces of some groups have; None: of all."""
        return round(float(self._whole(pieces, groups)[0, 0]))

    def _whole(self, pieces: Sequence[int], groups: Collection[int] | None) -> np.ndarray:
        whole = np.zeros(self._shape[1:])
        for group in sorted(self._sums):
            if groups is None or group in groups:
                whole += self._sums[group][list(pieces)].sum(axis=0)
        return whole

    def ridge(
        self,
        columns: Sequence[int],
        pieces: Sequence[int],
        *,
        groups: Collection[int] | None = None,
        own: Sequence[int] = (),
    ) -> Ridge:
        """Return the ridges of some columns, fitted on some pieces of some groups.

        Equation: minimises mean(e²) + 0.01·|b|², b of standardised columns.
        Source: Hoerl, Kennard (1970), Ridge Regression: Biased Estimation for Nonorthogonal
        Problems, Technometrics 12.

        Args:
            own: (A,) a column that each step reads beside; none if empty.
        """
        whole = self._whole(pieces, groups)
        if not len(own):
            return Ridge(np.asarray(columns), *self._solve(whole, columns, slice(None)))
        every = [
            self._solve(whole, [*columns, mine], slice(step, step + 1))
            for step, mine in enumerate(own)
        ]
        means, intercepts, slopes = zip(*every, strict=True)
        together = np.concatenate(slopes, axis=1)  # (k + 1, A)
        return Ridge(
            columns=np.asarray(columns),
            mean=means[0][:-1],
            intercept=np.concatenate(intercepts),
            slopes=together[:-1],
            own=np.asarray(own),
            own_mean=np.array([mean[-1] for mean in means]),
            own_slope=together[-1],
        )

    def _solve(
        self, whole: np.ndarray, columns: Sequence[int], steps: slice
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        read = 1 + np.searchsorted(self.columns, columns)
        predicted = (1 + len(self.columns) + np.arange(self._targets))[steps]
        rows = whole[0, 0]
        x_mean, y_mean = whole[0, read] / rows, whole[0, predicted] / rows
        xx = whole[np.ix_(read, read)] / rows - np.outer(x_mean, x_mean)
        xy = whole[np.ix_(read, predicted)] / rows - np.outer(x_mean, y_mean)
        deviation = np.sqrt(np.maximum(np.diag(xx), 1e-12))
        standardised = xx / np.outer(deviation, deviation) + PENALTY * np.eye(len(read))
        slopes = np.linalg.solve(standardised, xy / deviation[:, None]) / deviation[:, None]
        return x_mean, y_mean - x_mean @ slopes, slopes
