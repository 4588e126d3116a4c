"""From stored bars to a panel, as of the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from lstmcli import clock
from lstmcli.errors import NoDataError
from lstmcli.panel import Panel
from lstmcli.sessions import settled_session
from lstmcli.store import Workspace
from lstmcli.store.bars import BarsMeta


@dataclass(frozen=True)
class Loaded:
    """A panel of settled bars, and where each ticker's came from."""

    panel: Panel
    metas: dict[str, BarsMeta]

    @property
    def labels(self) -> dict[str, str]:
        """Notes that must show wherever these bars do, such as "sample data"."""
        return {ticker: meta.label for ticker, meta in self.metas.items() if meta.label}


def load_panel(workspace: Workspace, tickers: Sequence[str]) -> Loaded:
    """Return the stored bars that have settled by now.

    No ticker: every stored one. A clock that stands before the last bar, as in
    a replay, leaves the later ones out.

    Raises:
        NoDataError: nothing is stored, or a ticker is not.
        DataError: a bars file is damaged.
    """
    wanted = tuple(tickers) or tuple(workspace.bars.tickers())
    if not wanted:
        raise NoDataError(
            f"There are no bars in {workspace.bars.folder}.",
            hint="lstm fetch MRK, or without network: lstm fetch GOOG --source sample",
        )
    now = clock.now()
    bars, metas = {}, {}
    for ticker in wanted:
        stored, meta = workspace.bars.read(ticker)
        sessions = pd.DatetimeIndex(stored.index)
        settled = settled_session(meta.calendar, now, observed=sessions)
        bars[ticker], metas[ticker] = stored.loc[:settled], meta
        if not len(bars[ticker]):
            raise NoDataError(
                f"{ticker}: its first session, {sessions[0]:%Y-%m-%d}, lies after the clock's "
                f"{now:%Y-%m-%d}.",
                hint=f"check {clock.VARIABLE}",
            )
    return Loaded(Panel(bars, {ticker: meta.calendar for ticker, meta in metas.items()}), metas)
