"""Bars of many tickers at once: what is computed from them costs little more than for one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from lstmcli.frames import growth_of, returns_of
from lstmcli.rolling import ewm_mean, shifted
from lstmcli.trading import least_volatility_of

EWMA_LAMBDA = 0.94
"""Share of yesterday's variance that today's keeps (RiskMetrics' daily value)."""

EWMA_WARM_UP = 20
"""Returns before the first volatility: fewer make it jump with every bar."""

VARIANCE_FLOOR = 1e-8
"""Least variance of one session: SIGMA_FLOOR, squared."""


TOGETHER = 32
"""Tickers whose bars are stacked: more are hardly quicker, and take more memory."""


class Prices(NamedTuple):
    """Prices of N tickers with dividends reinvested from the first bar on, (T, N) each."""

    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray


@dataclass(frozen=True)
class StackedBars:
    """Bars of N tickers that have the same T sessions.

    Everything here is (T, N). A ticker gets the same digits whichever others are beside it.

    Attributes:
        raw: open, high, low and close as they are stored.
    """

    sessions: pd.DatetimeIndex
    raw: Prices
    volume: np.ndarray
    dividend: np.ndarray

    @classmethod
    def of(cls, bars: Sequence[pd.DataFrame]) -> StackedBars:
        """Return the bars of several tickers, whose sessions are equal."""

        def stack(name: str) -> np.ndarray:
            return np.column_stack([each[name].to_numpy(float) for each in bars])

        return cls(
            pd.DatetimeIndex(bars[0].index),
            Prices(*map(stack, Prices._fields)),
            stack("volume"),
            stack("dividend"),
        )

    @cached_property
    def returns(self) -> np.ndarray:
        """Daily log returns with dividends; see `log_returns`."""
        return returns_of(self.raw.close, self.dividend)

    @cached_property
    def prices(self) -> Prices:
        """As `total_return_prices`."""
        factor = self.raw.close[:1] * growth_of(self.returns) / self.raw.close
        return Prices(*(price * factor for price in self.raw))

    @cached_property
    def least(self) -> np.ndarray:
        """As `least_volatility`."""
        return least_volatility_of(self.raw.close)

    @cached_property
    def sigma(self) -> np.ndarray:
        """As `ewma_volatility`."""
        variance = ewm_mean(self.returns**2, 1 - EWMA_LAMBDA, EWMA_WARM_UP)
        return np.asarray(np.maximum(np.sqrt(variance), self.least))

    @cached_property
    def gap(self) -> np.ndarray:
        """Squared log return from the close before to the open; NaN on the first session."""
        return np.asarray(np.log(self.prices.open / shifted(self.prices.close, 1)) ** 2)

    @cached_property
    def variance(self) -> np.ndarray:
        """As `garman_klass_variance`."""
        prices = self.prices
        high_low = np.log(prices.high / prices.low)
        open_close = np.log(prices.close / prices.open)
        variance = self.gap + 0.5 * high_low**2 - (2 * np.log(2) - 1) * open_close**2
        floor = np.maximum(self.least**2, VARIANCE_FLOOR)
        return np.where(variance < VARIANCE_FLOOR, floor, variance)

    @cached_property
    def log_volume(self) -> np.ndarray:
        return np.asarray(np.log(np.maximum(self.volume, 1.0)))


def alike(bars: Mapping[str, pd.DataFrame]) -> list[list[str]]:
    """Return tickers in groups with the same sessions, `TOGETHER` at most."""
    groups: list[list[str]] = []
    of_span: dict[tuple[int, pd.Timestamp, pd.Timestamp], list[list[str]]] = {}
    for ticker, own in bars.items():
        if not len(own):
            groups.append([ticker])
            continue
        like = of_span.setdefault((len(own), own.index[0], own.index[-1]), [])
        for group in like:
            if len(group) < TOGETHER and bars[group[0]].index.equals(own.index):
                group.append(ticker)
                break
        else:
            groups.append([ticker])
            like.append(groups[-1])
    return groups


def stacks(bars: Mapping[str, pd.DataFrame]) -> Iterator[tuple[list[str], StackedBars]]:
    """Yield the bars of all tickers, those with the same sessions together."""
    for tickers in alike(bars):
        yield tickers, StackedBars.of([bars[ticker] for ticker in tickers])
