"""What the network is trained on: rows of all tickers in a file that is mapped into memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from lstmcli.forecasters.panel_network.inputs import Standardisation, in_units, inputs_from_units
from lstmcli.forecasters.panel_network.mapped import RowFile, give_back
from lstmcli.forecasters.panel_network.modes import COLUMNS, INPUTS, MODES, Mode, hidden
from lstmcli.forecasters.panel_network.network import STEPS
from lstmcli.forecasters.panel_network.ticker_columns import TickerColumns
from lstmcli.frames import QUANTILES

MAX_RESIDUAL = 4.0
"""Bound of what the ridge leaves of log variance, in the loss."""

MAX_ERROR = 12.0
"""Bound of a return in units of its volatility, in the loss."""

LEVELS = np.asarray(QUANTILES[1:-1], np.float32)
"""The levels that CRPS is a mean over."""

SAMPLED = 200_000
"""Rows from which the scale of the losses is taken."""

NO_DATES = Mode(panel=True, market=True, dates=0)
"""Reads all but the dates of announcements."""

_K, _A, _M = len(COLUMNS), len(STEPS), len(MODES)
_VARIANCE = slice(_K, _K + _A)
_RETURN = slice(_K + _A, _K + 2 * _A)
_WIDTH = _K + 2 * _A + _M * _A


class Batch(NamedTuple):
    """Histories of B tickers over L sessions.

    Attributes:
        x: (B, L, F) inputs.
        residual: (B, L, A) what the ridge leaves of log variance.
        error: (B, L, A) cumulative return in units of the ridge's volatility.
        weight: (B, L) 1 where both count, else 0.
    """

    x: np.ndarray
    residual: np.ndarray
    error: np.ndarray
    weight: np.ndarray

    def filled(self, histories: int) -> Batch:
        """Return so many histories; what is added to those here is empty and has no weight.

        A step is compiled for each size of a batch.
        """
        added = histories - len(self.x)
        if not added:
            return self
        return Batch(
            *(np.concatenate([own, np.zeros((added, *own.shape[1:]), own.dtype)]) for own in self)
        )


@dataclass(frozen=True)
class Scales:
    """What the parts of the loss are divided by.

    Attributes:
        variance: (A,) of the residual.
        quantiles: (A, Q) of the error; Q levels of CRPS.
        pinball: (A,) mean pinball loss of these quantiles.
    """

    variance: np.ndarray
    quantiles: np.ndarray
    pinball: np.ndarray


class Axis(NamedTuple):
    """Tickers that trade on the same sessions.

    Attributes:
        tickers: (N',) numbers.
        sessions: (S',) positions among the sessions of the table.
    """

    tickers: np.ndarray
    sessions: np.ndarray


class TrainingTable:
    """Rows of all tickers, one after the other, as float16 in a file.

    The file lies in the folder for temporary files and is gone with the object. Of each row it
    keeps the columns, which are standardised whole numbers once it is finished; log variance
    ahead less the level, and returns in units of the level, (A,) each; and what the wide ridge
    predicts of the former in each mode, (M, A).

    Attributes:
        sessions: every session that a ticker has, ascending.
        axes: by calendar.

    Args:
        sessions: of each ticker.
        calendars: by ticker; those without one trade on the same.
    """

    def __init__(
        self,
        sessions: Mapping[str, pd.DatetimeIndex],
        calendars: Mapping[str, str] | None = None,
    ) -> None:
        rows = sum(len(own) for own in sessions.values())
        every = np.unique(np.concatenate([own.to_numpy() for own in sessions.values()]))
        self.sessions = pd.DatetimeIndex(every)
        self._at = np.full((len(sessions), len(every)), -1, np.int32)  # (N, S) row
        self._rows_of: dict[str, slice] = {}
        start = 0
        for number, (ticker, own) in enumerate(sessions.items()):
            rows_of = slice(start, start + len(own))
            self._at[number, self.sessions.get_indexer(own)] = np.arange(start, rows_of.stop)
            self._rows_of[ticker] = rows_of
            start = rows_of.stop
        names = np.array([(calendars or {}).get(ticker, "") for ticker in sessions])
        self.axes = tuple(
            Axis(tickers, np.flatnonzero((self._at[tickers] >= 0).any(axis=0)))
            for name in np.unique(names)
            for tickers in [np.flatnonzero(names == name)]
        )
        self._file = RowFile(np.float16, (rows, _WIDTH))
        self._table = self._file.rows
        self._modes, self._soon = np.zeros((2, rows), np.int8)
        self._known = np.zeros(rows, bool)
        self._counts = np.zeros(rows, bool)
        self._finished = False

    def put(
        self, ticker: str, columns: TickerColumns, variance: np.ndarray, returns: np.ndarray
    ) -> None:
        """Write the rows of one ticker.

        Args:
            variance: (T, A) log of the mean variance ahead less the level; NaN where not known.
            returns: (T, A) cumulative log returns over √h and the level's volatility, likewise.
        """
        rows = self._rows_of[ticker]
        table = self._table[rows]
        table[:, :_K] = columns.values
        table[:, _VARIANCE], table[:, _RETURN] = variance, returns
        known = np.isfinite(variance).all(axis=1) & np.isfinite(returns).all(axis=1)
        self._modes[rows], self._soon[rows] = columns.modes(), columns.modes(soon=True)
        self._known[rows] = columns.known
        self._counts[rows] = columns.known & known

    def finish(
        self,
        standardisation: Standardisation,
        predict: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        """Standardise the columns and write what the ridges predict; then batches can be asked for.

        Args:
            predict: from columns (T, K) to the wide ridge's prediction in each mode (T, M, A).
        """
        for rows in self._rows_of.values():
            table = self._table[rows]
            columns = table[:, :_K].astype(np.float32)
            table[:, _RETURN.stop :] = predict(columns).reshape(len(table), _M * _A)
            table[:, :_K].view(np.int16)[:] = in_units(columns, standardisation)
            self.release()
        self._finished = True

    def release(self) -> None:
        """Give back the memory of what was read; the rows stay in the file."""
        give_back(self._table)

    def share_known(self, axis: Axis, starts: np.ndarray, length: int) -> np.ndarray:
        """Return the share of known rows (N', C) of each ticker in C spans of an axis."""
        at = self._at[np.ix_(axis.tickers, axis.sessions)]
        known = (at >= 0) & self._known[np.maximum(at, 0)]
        total = np.zeros((known.shape[0], known.shape[1] + 1))
        np.cumsum(known, axis=1, out=total[:, 1:])
        return (total[:, starts + length] - total[:, starts]) / length

    def batch(
        self,
        tickers: np.ndarray,
        sessions: np.ndarray,
        *,
        panel: np.ndarray,
        market: np.ndarray,
        dates: np.ndarray,
        learnt: np.ndarray,
        inputs: Sequence[int] = range(INPUTS),
    ) -> Batch:
        """Return histories of some tickers over the same sessions.

        Args:
            tickers: (B,) numbers.
            sessions: (L,) positions.
            panel, market: (B,) whether those groups are shown, where they are known.
            dates: (B,) how many sessions ahead dates are shown, where they are known; see `Mode`.
            learnt: (S,) whether a session's targets may be learnt from.
            inputs: which of the network's inputs, ascending.
        """
        if not self._finished:
            raise ValueError("Expected a finished table.")
        at = self._at[np.ix_(tickers, sessions)]  # (B, L)
        rows = np.maximum(at, 0)
        known = (at >= 0) & self._known[rows]
        modes = np.empty(rows.shape, np.int8)
        for row, shown in enumerate(map(Mode, panel.tolist(), market.tolist(), dates.tolist())):
            modes[row] = hidden(self._modes[rows[row]], self._soon[rows[row]], shown)
        values = self._read(at)  # (B, L, K + …)
        columns = values[..., :_K].view(np.int16).reshape(-1, _K)
        x = inputs_from_units(columns, modes.reshape(-1), inputs).reshape(*rows.shape, len(inputs))
        x[~known] = 0.0
        counts = (at >= 0) & self._counts[rows] & learnt[sessions]
        residual, error = _targets(values, modes)
        return Batch(x, residual, error, counts.astype(np.float32))

    def _read(self, at: np.ndarray) -> np.ndarray:
        """Return rows (B, L, K + …) of B tickers; 0 where there is none, −1."""
        values = np.zeros((*at.shape, _WIDTH), np.float16)
        for found, rows in zip(values, at, strict=True):
            there = np.flatnonzero(rows >= 0)
            if len(there):
                # Those of a ticker follow one another.
                first, last = int(rows[there[0]]), int(rows[there[-1]])
                found[there] = self._file.read(first, last - first + 1)[rows[there] - first]
        return values

    def scales(self, learnt: np.ndarray, *, dates: bool = True) -> Scales:
        """Return what the losses are divided by, from rows in their richest mode.

        Args:
            dates: whether it may read the dates of announcements.
        """
        parts = []
        every = max(1, int(self._counts.sum()) // SAMPLED)
        for at in self._at:
            rows = at[(at >= 0) & learnt]
            rows = rows[self._counts[rows]][::every]
            modes = (
                self._modes[rows]
                if dates
                else hidden(self._modes[rows], self._soon[rows], NO_DATES)
            )
            parts.append(_targets(self._table[rows], modes))
            self.release()
        residual, error = (np.concatenate(part) for part in zip(*parts, strict=True))
        quantiles = np.quantile(error, LEVELS, axis=0).T  # (A, Q)
        pinball = np.empty(_A)
        for step in range(_A):  # not all at once: the rows of a universe are many
            beyond = error[:, step, None] - quantiles[step]
            pinball[step] = np.maximum(LEVELS * beyond, (LEVELS - 1) * beyond).mean()
        return Scales(
            np.maximum(residual.var(axis=0), 1e-6).astype(np.float32),
            quantiles.astype(np.float32),
            np.maximum(pinball, 1e-6).astype(np.float32),
        )

    def knows_dates(self) -> bool:
        """Return whether the dates of announcements are known on any session."""
        return bool((self._modes != hidden(self._modes, self._soon, NO_DATES)).any())

    def __len__(self) -> int:
        return len(self._at)


def _targets(values: np.ndarray, modes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return residuals and errors (…, A) of rows of the table, each in its mode; 0 if unknown."""
    place = _RETURN.stop + modes[..., None].astype(np.intp) * _A + np.arange(_A)  # (…, A)
    predicted = np.take_along_axis(values, place, axis=-1).astype(np.float32)
    residual = values[..., _VARIANCE].astype(np.float32) - predicted
    error = values[..., _RETURN].astype(np.float32) / np.exp(predicted / 2)
    return (
        np.clip(np.nan_to_num(residual), -MAX_RESIDUAL, MAX_RESIDUAL),
        np.clip(np.nan_to_num(error), -MAX_ERROR, MAX_ERROR),
    )
