"""What the columns of a file mean: the names that sites and programs give them.

A role is what a column is to us: `close` is the role of `Close`, `Close/Last` and
`收盘`. To read another site's files, add its names here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lstmcli.errors import ConfigError, DataError

# By role, the best name first: of two columns of one role the first is read.
_TABLE = {
    "date": """date | datetime | timestamp | trade date | tradedate | trading date | session
        | exchange date | business date | price date | dates | datum | data | fecha | dato
        | 日期 | 交易日期 | 日付 | 日付け | 날짜 | 일자 | time | open time | t | unix | epoch""",
    "open": """open | o | open price | opening price | px open | erster | eröffnung | eröffn
        | eröffnungskurs | abertura | apertura | ouverture | ouv | otwarcie | åpning | öppning
        | 开盘 | 开盘价 | 始値 | 시가""",
    "high": """high | h | high price | day high | px high | hoch | höchst | tageshoch | máximo
        | máxima | máx | max | maximo | massimo | plus haut | + haut | haut | najwyzszy | hoogst
        | 最高 | 最高价 | 高値 | 고가""",
    "low": """low | l | low price | day low | px low | tief | tiefst | tagestief | mínimo | mínima
        | mín | min | minimo | plus bas | + bas | bas | najnizszy | laagst
        | 最低 | 最低价 | 安値 | 저가""",
    "close": """close | c | close price | closing price | close/last | price | last price | px last
        | schlusskurs | schluss | zuletzt | último | ultimo | cierre | fechamento | chiusura
        | clôture | dernier | dern | zamkniecie | slot | 收盘 | 收盘价 | 終値 | 종가
        | settle | settlement price | last | nav""",
    "adjusted": """adj close | adjclose | adjusted close | close adj | adj closing price | closeadj
        | adjusted""",
    "volume": """volume | px volume | vol | v | trade volume | total trade quantity | shares traded
        | stuecke | stücke | quantity | no of shares | tickvol | volumen | wolumen
        | 成交量 | 出来高 | 거래량""",
    "dividend": """dividend | dividends | dividend amount | ex dividend | divcash
        | cash dividend""",
    "gains": "capital gains | capital gain",
    "split": """split | splits | stock split | stock splits | split coefficient | split ratio
        | splitfactor | split factor""",
    "ticker": """ticker | symbol | tic | ts code | stock symbol | instrument | name | stock | code
        | act symbol""",
    "period": "per | period | interval | timeframe",
}

NAMES = {role: tuple(map(str.strip, names.split("|"))) for role, names in _TABLE.items()}

KLINES = (
    *("open time", "open", "high", "low", "close", "volume", "close time", "quote volume"),
    *("trades", "taker base volume", "taker quote volume", "ignore"),
)
"""Columns of Binance's files, which have no header."""

PLAIN = ("date", "open", "high", "low", "close", "volume")
"""Columns of a file without header, where its numbers show that it is so."""

FULLY_ADJUSTED = (frozenset(["brand name", "industry tag"]),)
"""Names that only layouts have whose prices are adjusted for dividends: World Stock Prices."""

ROLES = tuple(NAMES)

_ROLE = {name: role for role, names in NAMES.items() for name in names}

# Names that programs make of a ticker and a column: `MRK.Close`, `Close_MRK`, ('Close', 'MRK').
_JOINED = (
    re.compile(r"^\('(?P<name>[^']+)', '(?P<ticker>[^']+)'\)$"),
    re.compile(r"^\('(?P<ticker>[^']+)', '(?P<name>[^']+)'\)$"),
    re.compile(r"^(?P<ticker>[A-Z0-9^=.-]{1,15})[._ ](?P<name>\w{3,}(?: \w+)?)$"),
    re.compile(r"^(?P<name>\w{3,}(?: \w+)?)[._ ](?P<ticker>[A-Z0-9^=.-]{1,15})$"),
)

# How files are called by the sites that make them; the ticker is what is left.
_FILE_NAMES = (
    re.compile(r"^(?P<ticker>.+?) (?:Stock Price |Historical (?:Prices )?)History$", re.IGNORECASE),
    re.compile(r"^(?P<ticker>.+?) Historical Data(?: *\(\d+\))?$", re.IGNORECASE),
    re.compile(r"^[A-Z]+_(?P<ticker>[^,]+), ?\d*D$"),
    re.compile(r"^(?P<ticker>[A-Z0-9]+)-1d$", re.IGNORECASE),
    re.compile(r"^wkn_(?P<ticker>.+)_historic$", re.IGNORECASE),
    re.compile(r"^(?P<ticker>.+)_(?:daily|d|1d|D1)$"),
)


def plain_name(name: str) -> str:
    """Return a column's name in lower case, without what sites put around it.

    `<CLOSE>`, `4. close`, `Close*`, `Adj. Close` and `adj_close` lose their signs.
    """
    text = name.strip().strip("<>\"'* ").lower().replace("_", " ")
    text = re.sub(r"^\d+[.:]\s+", "", text)
    text = re.sub(r"\s*\(.*\)$", "", text)  # a unit, as in `Close (USD)`
    return " ".join(text.replace(".", " ").replace("-", " ").split())


def role_of(name: str) -> str | None:
    """Return what a column of this name is; None where it is unknown."""
    plain = plain_name(name)
    if plain in _ROLE:
        return _ROLE[plain]
    # `Volume BTC` beside `Volume USD`: the volume in the first is the traded amount.
    return "volume" if re.fullmatch(r"volume [a-z]{2,5}", plain) else None


def without_tickers(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the names of columns without the tickers in them, and these, "" where none is.

    `MRK.Close` of quantmod and `Close_MRK` are Close of MRK. Names stay as they are where
    they tell open, high, low and close already.
    """
    plain, tickers = list(names), [""] * len(names)
    if {"open", "high", "low", "close"} <= {role_of(name) for name in names}:
        return plain, tickers
    for at, name in enumerate(names):
        found = [match for pattern in _JOINED if (match := pattern.match(name.strip()))]
        found = [match for match in found if role_of(match["name"]) in _PRICED]
        if found and role_of(name) is None:
            plain[at], tickers[at] = found[0]["name"], found[0]["ticker"]
    return plain, tickers


_PRICED = ("open", "high", "low", "close", "adjusted", "volume")


def fully_adjusted(names: Sequence[str]) -> bool:
    """Return whether the layout of these columns adjusts prices for dividends."""
    plain = {plain_name(name) for name in names}
    return any(marks <= plain for marks in FULLY_ADJUSTED)


def columns_of(names: Sequence[str], overrides: Mapping[str, str], *, file: str) -> dict[str, int]:
    """Return the position of the column to read for each role that the file has.

    Args:
        overrides: the user's own, role → name of the column.

    Raises:
        ConfigError: the user names a column that the file does not have.
        DataError: two columns have one name.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    for at, name in enumerate(names):
        role = role_of(name)
        if role is not None:
            plain = plain_name(name)
            order = NAMES[role].index(plain) if plain in NAMES[role] else len(NAMES[role])
            found.setdefault(role, []).append((order, at))
    chosen: dict[str, int] = {}
    for role, places in found.items():
        places.sort()
        if len(places) > 1 and places[0][0] == places[1][0] < len(NAMES[role]):
            twice = names[places[0][1]]
            raise DataError(
                f"{file}: Expected one column that is called {twice}. Received: "
                f"{sum(order == places[0][0] for order, _ in places)}.",
                hint="rename the ones that are not to be read",
            )
        chosen[role] = places[0][1]
    for role, name in overrides.items():
        wanted = [at for at, have in enumerate(names) if have.strip() == name.strip()]
        if not wanted:
            raise ConfigError(
                f"{file}: Expected a column that is called {name!r}, as --columns says. Received: "
                f"{', '.join(filter(None, names))[:300]}.",
                hint=f"--columns {role}=NAME takes one of these",
            )
        chosen = {key: at for key, at in chosen.items() if at != wanted[0]}
        chosen[role] = wanted[0]
    return chosen


def file_ticker(stem: str) -> str:
    """Return the ticker that a file's name without ending stands for.

    `MRK` is MRK; `MRK Historical Data` and `NYSE_MRK, 1D` are MRK too.
    """
    for pattern in _FILE_NAMES:
        found = pattern.match(stem)
        if found:
            return found["ticker"].upper()
    return stem.upper()
