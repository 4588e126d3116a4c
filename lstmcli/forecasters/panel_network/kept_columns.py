"""The columns of some tickers in a file, where a fit reads them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from lstmcli.forecasters.panel_network.columns import Columns
from lstmcli.forecasters.panel_network.mapped import give_back, mapped
from lstmcli.forecasters.panel_network.modes import COLUMNS
from lstmcli.forecasters.panel_network.ticker_columns import TickerColumns
from lstmcli.forecasters.volatility.announcements import Reaction
from lstmcli.forecasters.volatility.clock import FittedClock
from lstmcli.panel import Panel


class KeptColumns(Columns):
    """Columns that have been computed before, of some tickers of a panel.

    Attributes:
        tickers: those that are kept.
    """

    def __init__(self, panel: Panel, tickers: Sequence[str]) -> None:
        super().__init__(panel)
        self.tickers = tuple(tickers)
        self._found: dict[str, TickerColumns] = {}
        self._start = 0
        rows = sum(len(panel[ticker]) for ticker in tickers)
        self._values = mapped(np.float32, (rows, len(COLUMNS)))

    def keep(self, ticker: str, found: TickerColumns) -> None:
        """Write the columns of a ticker, of those that are kept."""
        end = self._start + len(found.sessions)
        values = np.asarray(self._values[self._start : end])
        values[:] = found.values
        self._found[ticker], self._start = replace(found, values=values), end
        give_back(self._values)

    def each(
        self,
        tickers: Sequence[str],
        clocks: Mapping[str, FittedClock],
        reaction: Reaction,
        *,
        since: pd.Timestamp | None = None,
    ) -> list[TickerColumns]:
        """Return the columns that were kept, all rows; clocks and reaction are those of then."""
        del clocks, reaction, since
        give_back(self._values)  # what was read before
        return [self._found[ticker] for ticker in tickers]
