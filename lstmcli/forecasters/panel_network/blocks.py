"""Blocks of training dates, and which targets keep clear of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.forecasters.volatility.regressors import LONG_WARM_UP
from lstmcli.frames import cumulative_returns
from lstmcli.panel import Panel

BLOCKS = 4
"""Stretches of training dates, each forecast by what was fitted on the others."""

PIECES = 1 << BLOCKS
"""Sets of blocks from which a session may be apart."""


@dataclass(frozen=True)
class Blocks:
    """Training sessions in blocks, and what each block's fit may learn from.

    Attributes:
        sessions: (S,) whose targets some ticker has.
        block: (S,) the block of each.
        apart: (B, S) whether the targets of a session and those of a block share no session.
    """

    sessions: pd.DatetimeIndex
    block: np.ndarray
    apart: np.ndarray

    @classmethod
    def of(cls, reach: pd.Series) -> Blocks:
        """Return blocks of like size.

        Args:
            reach: by session, the last one that a target from it reaches.
        """
        sessions = pd.DatetimeIndex(reach.index)
        days, last = sessions.to_numpy(), reach.to_numpy()
        parts = np.array_split(np.arange(len(days)), BLOCKS)
        block = np.repeat(np.arange(BLOCKS), [len(part) for part in parts])
        apart = [(last < days[part[0]]) | (days > last[part].max()) for part in parts]
        return cls(sessions, block, np.array(apart))

    @property
    def ends(self) -> np.ndarray:
        """The last session of each block, (B,) datetime64."""
        return self.sessions.to_numpy()[np.flatnonzero(np.diff(self.block, append=BLOCKS))]

    def pieces(self, sessions: pd.DatetimeIndex) -> np.ndarray:
        """Return the piece (T,) of each session: those apart from the same blocks; else −1."""
        at = self.sessions.get_indexer(sessions)
        return np.where(at >= 0, (1 << np.arange(BLOCKS)) @ self.apart[:, at], -1)

    @staticmethod
    def away(block: int | None) -> list[int]:
        """Return the pieces whose targets do not touch a block; all of them of None."""
        return [piece for piece in range(PIECES) if block is None or piece >> block & 1]


@dataclass(frozen=True)
class TrainingPanel:
    """The panel of a training: which of its sessions can be learnt from.

    Attributes:
        horizon: the longest step that has labels.
    """

    panel: Panel
    horizon: int

    def origins(self) -> pd.DatetimeIndex:
        """Return the sessions from which some ticker has a level and every target."""
        return pd.DatetimeIndex(self.reach().index)

    def reach(self) -> pd.Series:
        """Return by origin the last session that a target of any ticker reaches."""
        each = [
            pd.Series(bars.index[LONG_WARM_UP + self.horizon :], bars.index[learnt])
            for bars in self.panel.values()
            for learnt in [slice(LONG_WARM_UP, max(len(bars) - self.horizon, LONG_WARM_UP))]
        ]
        return pd.concat(each).groupby(level=0).max()

    def labels(self, ticker: str, step: int) -> pd.Series:
        """Return the log return that came over `step` sessions, by origin, a fraction."""
        bars = self.panel[ticker]
        return pd.Series(cumulative_returns(bars, step)[:, -1], index=bars.index).dropna()
