"""What every source of bars offers, and what it delivers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from lstmcli.frames import Section

log = logging.getLogger(__name__)

PRICES = ["open", "high", "low", "close"]

AUCTION = 0.05
"""How far outside the day's range, as a share, an auction's price is believed."""


@dataclass(frozen=True)
class Delivery:
    """Bars as a source delivered them, and what it says about them.

    `bars` may be empty: the range held no session. `None` means that the
    source does not say.
    """

    bars: pd.DataFrame
    exchange: str | None = None
    timezone: str | None = None
    currency: str | None = None
    label: str | None = None


class SourceConfig(Section):
    """The config of a source, which also makes its bars."""

    name: str

    incremental: ClassVar[bool] = False
    """Whether an update asks for the last sessions alone; else for everything."""

    def tickers(self) -> list[str]:
        """Return the tickers that this source has, if it can tell; else none."""
        return []

    def pause_between_tickers(self) -> float:
        """Return how many seconds to wait before the next ticker."""
        return 0.0

    def bars(self, ticker: str, start: date | None = None, *, cache: Path) -> Delivery:
        """Return the bars of a ticker, from `start` on or all there are.

        `cache` is a folder in which the source may keep files of its own.

        Raises:
            NoDataError: the source does not know the ticker.
            SourceError: the source could not be reached or understood.
            DataError: what it delivered cannot be bars.
        """
        raise NotImplementedError


def without_absent_sessions(bars: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have a price; events of the others move to the next row.

    Sources list sessions that they have no prices for. Such a row is a hole, and
    is never filled; its dividend or split is still part of the next return.
    """
    present = bars[PRICES].notna().any(axis=1).to_numpy()
    if present.all():
        return bars
    kept = bars[present].copy()
    for name in ("dividend", "split"):
        for row in np.flatnonzero(~present & (bars[name].to_numpy() != 0)):
            later = np.flatnonzero(present[row:])
            if len(later):
                kept.loc[bars.index[row + later[0]], name] = bars[name].iloc[row]
    return kept


def enclosing(bars: pd.DataFrame, ticker: str) -> pd.DataFrame:
    """Return the bars with high and low that reach open and close, and say so.

    Sources leave auctions out of a day's range, so that a close lies up to some
    percent outside it (Yahoo's REL.L and KEN.TA do). Further out, or high below
    low, is a fault, and stays for `check_bars` to find.
    """
    prices = bars[PRICES].to_numpy(float)
    high, low = prices[:, 1], prices[:, 2]
    top, bottom = prices.max(axis=1), prices.min(axis=1)
    near = (high >= low) & (top <= high * (1 + AUCTION)) & (bottom >= low * (1 - AUCTION))
    outside = near & ((top > high * (1 + 1e-6)) | (bottom < low * (1 - 1e-6)))
    if outside.any():
        log.warning(
            "%s: open or close lay outside the day's range in %d of %d sessions, last on %s: "
            "high and low were widened to hold them",
            ticker,
            outside.sum(),
            len(bars),
            f"{bars.index[outside][-1]:%Y-%m-%d}",
        )
        bars = bars.copy()
        bars.loc[outside, "high"] = top[outside]
        bars.loc[outside, "low"] = bottom[outside]
    return bars
