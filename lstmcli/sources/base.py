"""What every source of bars offers, and what it delivers."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import ClassVar

import pandas as pd

from lstmcli.frames import Section

log = logging.getLogger(__name__)

PRICES = ["open", "high", "low", "close"]

MAX_OUTSIDE_RANGE = 0.05
"""How far open or close may lie outside the day's range, as a fraction: auctions do."""


@dataclass(frozen=True)
class Delivery:
    """Bars as a source delivered them, and what it says about them.

    `bars` is empty if the range holds no session. A field is `None` if the source
    does not say. `notes` say how it was read and what was changed, where that is not plain.
    """

    bars: pd.DataFrame
    exchange: str | None = None
    timezone: str | None = None
    currency: str | None = None
    kind: str | None = None  # of security, as Yahoo calls it: EQUITY, ETF, INDEX
    first_trade: date | None = None  # of the security, whatever range was asked for
    label: str | None = None
    notes: tuple[str, ...] = ()


class SourceConfig(Section):
    """The config of a source, which also makes its bars."""

    name: str

    incremental: ClassVar[bool] = False
    """Whether an update asks for the last sessions only, instead of for everything."""

    settles: ClassVar[bool] = False
    """Whether it leaves out by itself what has not closed: it knows the close better."""

    @property
    def repeatable(self) -> bool:
        """Whether it can be asked again without a word: standard input cannot."""
        return True

    def options(self) -> str:
        """Return the options of `lstm fetch` that name this source."""
        return f"--source {self.name}"

    def tickers(self) -> list[str]:
        """Return the tickers that this source has; none if it cannot tell."""
        return []

    def symbols(self) -> dict[str, int]:
        """Return how many lines a file has of each symbol, as it spells them; else none."""
        return {}

    def spelled(self, ticker: str) -> str | None:
        """Return the symbol of a file that a ticker stands for; None if it has none."""
        return ticker

    def pause_between_tickers(self) -> float:
        """Return how many seconds to wait before the next ticker."""
        return 0.0

    def bars(
        self,
        ticker: str,
        start: date | None = None,
        *,
        cache: Path,
        allowed: Collection[pd.Timestamp] = (),
    ) -> Delivery:
        """Return the bars of a ticker: all, or those since `start`.

        `cache` is a folder where the source may keep its own files. The jumps of the
        `allowed` sessions are real.

        Raises:
            NoDataError: the source does not know the ticker.
            SourceError: the source could not be reached or understood.
            DataError: what it delivered is not valid.
        """
        raise NotImplementedError


def widen_ranges(bars: pd.DataFrame, ticker: str) -> pd.DataFrame:
    """Return the bars with highs and lows that include open and close.

    Some sources leave the auctions out of a day's range: the close of REL.L and
    KEN.TA at Yahoo lies some percent outside it. A warning says what was widened.
    What lies further out, or a high below the low, is left for `check_bars` to refuse.
    """
    prices = bars[PRICES].to_numpy(float)
    high, low = prices[:, 1], prices[:, 2]
    top, bottom = prices.max(axis=1), prices.min(axis=1)
    near = (
        (high >= low)
        & (top <= high * (1 + MAX_OUTSIDE_RANGE))
        & (bottom >= low * (1 - MAX_OUTSIDE_RANGE))
    )
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
