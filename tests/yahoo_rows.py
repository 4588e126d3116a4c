"""Yahoo's answers from rows as they are: faults that no rule of `Listing` would make.

A symbol is a dict as a case's `yahoo.json` holds it. `rows` is needed: a list of
`[day, open, high, low, close, volume]`, with the adjusted close as a seventh value if
Yahoo states one that its dividends do not give; a price may be null. The rest may be left out:

    zone, open, close     the exchange's time zone and hours
    exchange, currency, type
    dividends, gains      {day: amount}; `gains` are capital gains
    divcur                the currency that the dividends state
    splits                {day: [numerator, denominator]}
    no_adjclose           the answer has no adjusted closes
    gone                  Yahoo does not know the symbol any more
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from datetime import time as clock_time
from typing import Any
from zoneinfo import ZoneInfo

PRICES = ("open", "high", "low", "close")


def chart(symbol: str, facts: Mapping[str, Any], query: Mapping[str, str], now: datetime) -> dict:
    """Return the result of a chart request, of the rows that have begun by `now`."""
    zone = ZoneInfo(facts.get("zone", "America/New_York"))
    opens, closes = (
        clock_time.fromisoformat(facts.get(name, usual))
        for name, usual in (("open", "09:30"), ("close", "16:00"))
    )

    def at(day: str, when: clock_time = opens) -> int:
        return int(datetime.combine(date.fromisoformat(day), when, zone).timestamp())

    today = str(now.astimezone(zone).date())
    days = [row[0] for row in facts["rows"]]
    trading_day = max((day for day in days if day <= today), default=days[0])
    meta = chart_meta(
        symbol,
        zone=zone.key,
        exchange=facts.get("exchange", "NYQ"),
        currency=facts.get("currency", "USD"),
        kind=facts.get("type", "EQUITY"),
        first=at(days[0]),
        regular=(at(trading_day), at(trading_day, closes)),
        now=now,
        range=query.get("range", ""),
    )
    since = int(query.get("period1", at(trading_day)))
    until = min(int(query.get("period2", 2**40)), int(now.timestamp()))
    adjusted = _adjusted(facts)
    rows = [(row, adjusted[row[0]]) for row in facts["rows"] if since <= at(row[0]) <= until]
    if not rows:
        return {"meta": meta, "indicators": {"quote": [{}], "adjclose": [{}]}}
    meta["regularMarketPrice"] = rows[-1][0][4] or 1.0
    columns = {name: [row[n] for row, _ in rows] for n, name in enumerate((*PRICES, "volume"), 1)}
    indicators: dict[str, list] = {"quote": [columns]}
    if not facts.get("no_adjclose"):
        indicators["adjclose"] = [{"adjclose": [value for _, value in rows]}]
    return {
        "meta": meta,
        "timestamp": [at(row[0]) for row, _ in rows],
        "events": _events(facts, at, since, until),
        "indicators": indicators,
    }


def chart_meta(
    symbol: str,
    *,
    zone: str,
    exchange: str,
    currency: str,
    kind: str,
    first: int,
    regular: tuple[int, int],
    now: datetime,
    range: str,
) -> dict[str, Any]:
    """Return what a chart says of its symbol; times are seconds since 1970."""
    hours = {"timezone": "EST", "start": regular[0], "end": regular[1], "gmtoffset": -18000}
    return {
        "currency": currency,
        "symbol": symbol,
        "exchangeName": exchange,
        "instrumentType": kind,
        "firstTradeDate": first,
        "regularMarketTime": min(int(now.timestamp()), regular[1]),
        "gmtoffset": -18000,
        "timezone": "EST",
        "exchangeTimezoneName": zone,
        "regularMarketPrice": 1.0,
        "priceHint": 2,
        "currentTradingPeriod": {"pre": hours, "regular": hours, "post": hours},
        "dataGranularity": "1d",
        "range": range,
        "validRanges": ["1d", "5d", "1mo", "1y", "max"],
    }


def _adjusted(facts: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the adjusted close of each day: as its row states it, else from the dividends."""
    found: dict[str, float | None] = {}
    factor, later = 1.0, 0.0  # `later` is the dividend of the next day with a close
    for day, *values in reversed(facts["rows"]):
        close = values[3]
        if close is not None and later:
            factor, later = factor * (1 - later / close), 0.0
        stated = values[5] if len(values) > 5 else None
        found[day] = stated if stated is not None or close is None else close * factor
        later += facts.get("dividends", {}).get(day, 0.0)
    return found


def _events(facts: Mapping[str, Any], at: Any, since: int, until: int) -> dict[str, dict]:
    def between(name: str) -> list[tuple[int, Any]]:
        stated = facts.get(name, {}).items()
        return [(at(day), value) for day, value in stated if since <= at(day) <= until]

    currency = {"currency": facts["divcur"]} if "divcur" in facts else {}
    found = {
        "dividends": {
            str(moment): {"amount": amount, "date": moment, **currency}
            for moment, amount in between("dividends")
        },
        "capitalGains": {
            str(moment): {"amount": amount, "date": moment} for moment, amount in between("gains")
        },
        "splits": {
            str(moment): {
                "date": moment,
                "numerator": new,
                "denominator": old,
                "splitRatio": f"{new:g}:{old:g}",
            }
            for moment, (new, old) in between("splits")
        },
    }
    return {name: events for name, events in found.items() if events}
