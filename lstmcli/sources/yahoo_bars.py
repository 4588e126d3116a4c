"""From Yahoo's table to bars: currencies, units, capital gains, what has settled."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from lstmcli import clock
from lstmcli.frames import BAR_COLUMNS
from lstmcli.sessions import SETTLE_MARGIN, settled_session
from lstmcli.sources.base import Delivery, widen_ranges
from lstmcli.sources.distributions.settled import settled
from lstmcli.sources.exchanges import calendar_for

log = logging.getLogger(__name__)

_COLUMNS = {
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "Volume": "volume",
    "Adj Close": "adjusted",
    "Dividends": "dividend",
    "Capital Gains": "gains",
    "Stock Splits": "split",
}

# Units that prices are quoted in: their currency, and how many of them it has.
_UNITS = {
    "GBp": ("GBP", 100),
    "GBX": ("GBP", 100),
    "ZAc": ("ZAR", 100),
    "ILA": ("ILS", 100),
    "KWF": ("KWD", 1000),
}


@dataclass(frozen=True)
class YahooBars:
    """A delivery, and whether a longer history may show a dividend in another light."""

    delivery: Delivery
    doubtful: bool = False


def yahoo_bars(
    ticker: str,
    table: pd.DataFrame,
    metadata: Mapping[str, Any],
    *,
    currencies: pd.Series | None = None,
    allowed: Collection[pd.Timestamp] = (),
) -> YahooBars:
    """Return the settled bars of what `yfinance.Ticker.history` gives.

    Args:
        ticker: the symbol.
        table: as yfinance names its columns, not adjusted for dividends.
        metadata: Yahoo's.
        currencies: of the dividends, by time; None if Yahoo states none.
        allowed: sessions whose jumps are real.

    Raises:
        DataError: the bars cannot be right.
    """
    about = details(metadata)
    table = table.rename(columns=_COLUMNS)
    table = table[[name for name in _COLUMNS.values() if name in table]].astype(float)
    table = table.set_axis(_sessions(table.index).rename("session"))
    table = _without_partial(ticker, table, metadata, about["exchange"])
    if table.empty:
        return YahooBars(Delivery(table.reindex(columns=list(BAR_COLUMNS)), **about))
    table, notes = _in_price_units(table, currencies, about["currency"])
    in_hundredths = about["currency"] in _UNITS
    found = settled(table, ticker, allowed=allowed, in_hundredths=in_hundredths)
    delivery = Delivery(widen_ranges(found.bars, ticker), **about, notes=(*notes, *found.notes))
    paid = bool((table["dividend"] != 0).any())
    return YahooBars(delivery, found.doubtful or (in_hundredths and paid))


def details(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Yahoo says of a symbol, as fields of a `Delivery`."""
    return {
        "exchange": metadata.get("exchangeName"),
        "timezone": metadata.get("exchangeTimezoneName"),
        "currency": metadata.get("currency"),
        "kind": metadata.get("instrumentType"),
        "first_trade": _first_trade(metadata),
    }


def _first_trade(metadata: Mapping[str, Any]) -> date | None:
    """Return the day on which the security first traded, as Yahoo states it."""
    try:
        return _moment(metadata["firstTradeDate"]).date()
    except (KeyError, TypeError, ValueError):
        return None


def _sessions(index: pd.Index) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(index).tz_localize(None).normalize().as_unit("ns")


def _in_price_units(
    table: pd.DataFrame, currencies: pd.Series | None, quoted: str | None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the table with dividends in the unit of the prices, and notes.

    Those in a currency of another country are left out, because no rate is known.
    Yahoo's adjusted close is then wrong too.
    """
    if currencies is None or quoted is None:
        return table, ()
    stated = currencies.set_axis(_sessions(currencies.index))
    stated = stated[~stated.index.duplicated()].reindex(table.index)
    unknown = stated.isna() | (stated == "")
    times = stated.map({name: _rate(name, quoted) for name in stated[~unknown].unique()})
    times = times.where(~unknown, 1.0).astype(float)
    other = (times.to_numpy() != 1.0) & (table["dividend"] != 0).to_numpy()
    if not other.any():
        return table, ()
    notes = []
    for name, rows in stated[other].groupby(stated[other]):
        done = "were converted" if np.isfinite(_rate(str(name), quoted)) else "were left out"
        notes.append(f"{len(rows)} dividends stated in {name} {done}: prices are in {quoted}")
    table = table.drop(columns="adjusted", errors="ignore")
    table["dividend"] = table["dividend"] * times.fillna(0.0)
    return table, tuple(notes)


def _rate(stated: str, quoted: str) -> float:
    """Return how many units of the prices one of the dividends has; NaN if unknown."""
    (one, of_one), (other, of_other) = (_UNITS.get(name, (name, 1)) for name in (stated, quoted))
    return of_other / of_one if one == other else np.nan


def _without_partial(
    ticker: str, bars: pd.DataFrame, metadata: Mapping[str, Any], exchange: str | None
) -> pd.DataFrame:
    """Return the bars without today's while it is partial.

    For today's close Yahoo's trading period is right even on an unscheduled early
    close. For the other days the calendar decides.
    """
    now = clock.now()
    index = pd.DatetimeIndex(bars.index)
    last = settled_session(calendar_for(ticker, exchange), now, observed=index)
    keep = index <= last
    try:
        regular = metadata["currentTradingPeriod"]["regular"]
        zone = metadata["exchangeTimezoneName"]
        opens, closes = (_moment(regular[name]) for name in ("start", "end"))
        today = opens.tz_convert(zone).tz_localize(None).normalize()
        keep[index == today] = now >= closes + SETTLE_MARGIN
    except (KeyError, TypeError, ValueError) as error:
        log.info("%s: no trading period from Yahoo (%r): the calendar decides", ticker, error)
    return bars[keep]


def _moment(value: Any) -> pd.Timestamp:
    """Return a time as UTC: yfinance turns Yahoo's seconds into times, but not always."""
    moment = (
        pd.Timestamp(value, unit="s") if isinstance(value, int | float) else pd.Timestamp(value)
    )
    return moment.tz_localize("UTC") if moment.tz is None else moment.tz_convert("UTC")
