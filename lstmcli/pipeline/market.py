"""Market series that recipes read: which of them, and what lacks at an origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstmcli.config import RunConfig
from lstmcli.errors import ConfigError, DataError, shell_word
from lstmcli.panel import Panel
from lstmcli.sessions import WEEKDAYS


@dataclass(frozen=True)
class WantedSeries:
    """A market series that some recipe reads.

    Attributes:
        ticker: under which it is stored.
        required: whether no forecast can do without it.
    """

    ticker: str
    required: bool


def wanted_series(configs: Sequence[RunConfig]) -> dict[str, WantedSeries]:
    """Return the market series that the recipes of some configs read, by name.

    Raises:
        ConfigError: two configs mean different series by one name.
    """
    found: dict[str, WantedSeries] = {}
    for config in configs:
        series = config.recipe().series
        for name in dict.fromkeys((*series, *optional_series(config))):
            ticker, required = config.market[name], name in series
            known = found.setdefault(name, WantedSeries(ticker, required))
            if known.ticker != ticker:
                raise ConfigError(
                    f"Expected one series for a name in all configs. Received: market.{name} is "
                    f"{known.ticker} and {ticker}.",
                    hint=f"--set market.{name}={ticker} sets it for all",
                )
            if required:
                found[name] = WantedSeries(ticker, required)
    return found


def optional_series(config: RunConfig) -> dict[str, str]:
    """Return the tickers of the series that the recipe of a config may do without, by name."""
    names = config.recipe().optional_series
    return {name: config.market[name] for name in names if name in config.market}


def series_key(ticker: str) -> str:
    """Return the key of a market series among the hashes of bars that a run keeps."""
    return f"market {ticker}"


class StaleSeries:
    """Which market series of a panel lack the session that had closed by a ticker's last one.

    Tickers of a calendar have one answer, which is looked up once.
    """

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self._known: dict[tuple[str, ...], list[str]] = {}

    def of(self, ticker: str, names: Sequence[str]) -> list[str]:
        """Return those of some names that are stale for a ticker."""
        panel = self.panel
        calendar, last = panel.calendars.get(ticker, WEEKDAYS), panel[ticker].index[-1]
        key = (ticker if calendar == WEEKDAYS else calendar, str(last), *names)
        if key not in self._known:
            view = panel.with_(bars={ticker: panel[ticker].iloc[-1:]}).view(ticker)
            closes = {name: view.at_close(name, panel.market[name].bars["close"]) for name in names}
            self._known[key] = [name for name, close in closes.items() if np.isnan(close.iloc[-1])]
        return self._known[key]


def check_market(stale: StaleSeries, ticker: str, names: Sequence[str], *, run: str) -> None:
    """Check that the market series that a run reads have closed the session of the origin.

    Raises:
        DataError: one is stale there, or has a hole.
    """
    panel = stale.panel
    for name in stale.of(ticker, names):
        series = panel.market[name]
        last = f"{series.sessions[-1]:%Y-%m-%d}" if len(series.bars) else "none"
        raise DataError(
            f"{ticker}: Expected the session of {series.ticker} that had closed by "
            f"{panel.view(ticker).sessions[-1]:%Y-%m-%d}: the run {run} reads it as {name}. "
            f"Received: its last one is {last}.",
            hint=fetch_command(series.ticker),
        )


def notes_on_stale(stale: StaleSeries, ticker: str, names: Sequence[str]) -> list[str]:
    """Return a note about each optional series that lacks the session of the origin."""
    panel = stale.panel
    there = [name for name in names if name in panel.market]
    last = panel.view(ticker).sessions[-1]
    return [
        note_without(panel.market[name].ticker, why=f"lacks what had closed by {last:%Y-%m-%d}")
        for name in stale.of(ticker, there)
    ]


def note_without(series: str, *, why: str = "is not stored") -> str:
    """Return the note about a market series that forecasts go without."""
    return f"{series} {why}: forecasts go without it ({fetch_command(series)})"


def fetch_command(series: str) -> str:
    """Return the command that brings a market series up to date."""
    return f"lstm fetch --market {shell_word(series)}"
