"""The columns of one ticker, and what is known beside them on each session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from lstmcli.forecasters.panel_network.modes import KNOWN, Mode
from lstmcli.forecasters.volatility.announcements import AHEAD


@dataclass(frozen=True)
class TickerColumns:
    """The columns of one ticker, and what they are read together with.

    Attributes:
        values: (T, K) float32; NaN where a column warms up or is not known.
        known: (T,) whether the ticker's own columns are: from here a forecast can start.
        panel, market: (T,) whether those groups are known.
        dates: (T,) for how many sessions ahead the dates of announcements are; see `Mode`.
        dates_soon: (T,) the same if dates became known `SOON` sessions ahead.
    """

    sessions: pd.DatetimeIndex
    values: np.ndarray
    known: np.ndarray
    panel: np.ndarray
    market: np.ndarray
    dates: np.ndarray
    dates_soon: np.ndarray

    def groups(self) -> np.ndarray:
        """Return the number of each session's group in `GROUPS`, (T,)."""
        dates = [
            np.select([each == known for known in KNOWN], range(len(KNOWN)))
            for each in (self.dates, self.dates_soon)
        ]
        return np.ravel_multi_index(
            (dates[0], dates[1], 1 - self.panel, 1 - self.market), (len(KNOWN), len(KNOWN), 2, 2)
        )

    @property
    def level(self) -> np.ndarray:
        """The logarithm of the mean variance of 1,000 sessions, (T,)."""
        return self.values[:, 0]

    def modes(self, *, soon: bool = False) -> np.ndarray:
        """Return the number of each session's mode in `MODES`, (T,).

        Args:
            soon: as if dates became known `SOON` sessions ahead.
        """
        dates = self.dates_soon if soon else self.dates
        level = np.select([dates == known for known in KNOWN], range(len(KNOWN)))
        return 4 * level + np.where(self.panel, 0, 2) + np.where(self.market, 0, 1)


class Group(NamedTuple):
    """Sessions that know the same.

    Attributes:
        dates, dates_soon, panel, market: see `TickerColumns`.
    """

    dates: int
    dates_soon: int
    panel: bool
    market: bool

    def knows(self, mode: Mode) -> bool:
        """Return whether its sessions know what a mode reads."""
        dates = self.dates if mode.dates == AHEAD else self.dates_soon
        return (
            (dates == mode.dates or not mode.dates)
            and (self.panel or not mode.panel)
            and (self.market or not mode.market)
        )

    @property
    def mode(self) -> Mode:
        """The richest mode that reads no more than is known."""
        return Mode(self.panel, self.market, self.dates)


GROUPS = tuple(
    Group(dates, soon, panel, market)
    for dates in KNOWN
    for soon in KNOWN
    for panel in (True, False)
    for market in (True, False)
)
"""All of them; the numbers of `TickerColumns.groups`."""
