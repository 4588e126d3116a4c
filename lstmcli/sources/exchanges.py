"""Yahoo's exchange codes and suffixes, and the calendar that each stands for."""

from __future__ import annotations

from lstmcli.sessions import ALWAYS_OPEN, WEEKDAYS

DEFAULT = "XNYS"
"""The calendar of a ticker that names no exchange."""

# What Yahoo reports as exchangeName, by calendar. Exchanges of a line share their trading days.
EXCHANGES = {
    "XNYS": "NMS NGM NCM NAS NYQ NYS ASE PCX BTS PNK OQB OQX OEM SNP DJI NIM WCB CXI CGI",
    "XLON": "LSE IOB FGI",
    "XTKS": "JPX OSA TYO",
    "XHKG": "HKG HKS",
    "XSHG": "SHH SHZ",
    "XKRX": "KSC KOE",
    "XTAI": "TAI TWO",
    "XTAE": "TLV",
    "XETR": "GER",
    "XFRA": "FRA BER MUN HAN",
    "XDUS": "DUS",
    "XHAM": "HAM",
    "XSTU": "STU",
    "XPAR": "PAR",
    "XAMS": "AMS",
    "XBRU": "BRU",
    "XLIS": "LIS",
    "XMIL": "MIL",
    "XMAD": "MCE",
    "XSWX": "EBS",
    "XWBO": "VIE",
    "XSTO": "STO",
    "XCSE": "CPH",
    "XHEL": "HEL",
    "XOSL": "OSL",
    "XICE": "ICE",
    "XWAR": "WSE",
    "XPRA": "PRA",
    "XBUD": "BUD",
    "ASEX": "ATH",
    "XIST": "IST",
    "XDUB": "ISE",
    "XTSE": "TOR VAN CNQ NEO",
    "BVMF": "SAO",
    "XMEX": "MEX",
    "XBUE": "BUE",
    "XSGO": "SGO",
    "XASX": "ASX",
    "XNZE": "NZE",
    "XSES": "SES",
    "XKLS": "KLS",
    "XIDX": "JKT",
    "XBKK": "SET",
    "XBOM": "NSI BSE",
    "XJSE": "JNB",
    "XSAU": "SAU",
    ALWAYS_OPEN: "CCC",
    WEEKDAYS: "CCY",
}

# How Yahoo's symbols end, by calendar.
SUFFIXES = {
    "XLON": ".L .IL",
    "XTKS": ".T",
    "XHKG": ".HK",
    "XSHG": ".SS .SZ",
    "XKRX": ".KS .KQ",
    "XTAI": ".TW .TWO",
    "XTAE": ".TA",
    "XETR": ".DE",
    "XFRA": ".F .BE .MU .HA",
    "XDUS": ".DU",
    "XHAM": ".HM",
    "XSTU": ".SG",
    "XPAR": ".PA",
    "XAMS": ".AS",
    "XBRU": ".BR",
    "XLIS": ".LS",
    "XMIL": ".MI",
    "XMAD": ".MC",
    "XSWX": ".SW",
    "XWBO": ".VI",
    "XSTO": ".ST",
    "XCSE": ".CO",
    "XHEL": ".HE",
    "XOSL": ".OL",
    "XICE": ".IC",
    "XWAR": ".WA",
    "XPRA": ".PR",
    "XBUD": ".BD",
    "ASEX": ".AT",
    "XIST": ".IS",
    "XDUB": ".IR",
    "XTSE": ".TO .V .CN .NE",
    "BVMF": ".SA",
    "XMEX": ".MX",
    "XBUE": ".BA",
    "XSGO": ".SN",
    "XASX": ".AX",
    "XNZE": ".NZ",
    "XSES": ".SI",
    "XKLS": ".KL",
    "XIDX": ".JK",
    "XBKK": ".BK",
    "XBOM": ".NS .BO",
    "XJSE": ".JO",
    "XSAU": ".SR",
    ALWAYS_OPEN: "-USD -USDT -USDC -EUR -GBP -JPY -BTC -ETH",
    WEEKDAYS: "=X =F",  # neither currencies nor futures keep an exchange's holidays
}

# Indices whose symbols have no suffix, by calendar; the American ones are the default.
INDICES = {
    "XETR": "^GDAXI ^MDAXI ^SDAXI ^TECDAX ^STOXX ^STOXX50E",
    "XLON": "^FTSE ^FTMC ^FTAS ^FTLC",
    "XPAR": "^FCHI ^SBF120 ^N100",
    "XAMS": "^AEX ^AMX",
    "XBRU": "^BFX",
    "XMAD": "^IBEX",
    "XSWX": "^SSMI",
    "XWBO": "^ATX",
    "XSTO": "^OMX ^OMXS30 ^OMXSPI",
    "XCSE": "^OMXC20 ^OMXC25",
    "XHEL": "^OMXH25 ^OMXHPI",
    "XOSL": "^OSEAX ^OBX",
    "XDUB": "^ISEQ",
    "XTKS": "^N225 ^TOPX ^TPX",
    "XHKG": "^HSI ^HSCE ^HSTECH",
    "XKRX": "^KS11 ^KS200 ^KQ11",
    "XTAI": "^TWII",
    "XBOM": "^BSESN ^NSEI ^NSEBANK ^CNXIT ^INDIAVIX",
    "XASX": "^AXJO ^AORD ^ATOI",
    "XNZE": "^NZ50",
    "XSES": "^STI",
    "XKLS": "^KLSE",
    "XIDX": "^JKSE",
    "XTSE": "^GSPTSE",
    "BVMF": "^BVSP ^IBX50",
    "XMEX": "^MXX",
    "XBUE": "^MERV",
    "XSGO": "^IPSA",
}

_CALENDAR_OF_INDEX = {name: of for of, names in INDICES.items() for name in names.split()}
OTHER_SUFFIXES = {
    ".US": "",
    ".UK": ".L",
    ".JP": ".T",
    ".SH": ".SS",
    ".XSHG": ".SS",
    ".XSHE": ".SZ",
    ".HU": ".BD",
    ".PL": ".WA",
    ".NSE": ".NS",
    ".BSE": ".BO",
}
"""Suffixes of Stooq, tushare and others, and Yahoo's for the same exchange."""

_CALENDAR_OF_EXCHANGE = {code: name for name, codes in EXCHANGES.items() for code in codes.split()}
_CALENDAR_OF_SUFFIX = {end: name for name, ends in SUFFIXES.items() for end in ends.split()}


def calendar_for(ticker: str, exchange: str | None = None) -> str:
    """Return the calendar of a ticker, from its exchange, its name or its suffix.

    `exchange` is what the source reports (Yahoo's `exchangeName`). An unknown code
    gives `weekdays`: with a wrong calendar, sound bars would seem to have holes.
    """
    return _stated_calendar(ticker, exchange) or (WEEKDAYS if exchange else DEFAULT)


def names_exchange(ticker: str, exchange: str | None = None) -> bool:
    """Return whether the source, the name or the suffix of a ticker tells its exchange."""
    return exchange is not None or _stated_calendar(ticker, exchange) is not None


def yahoo_name(symbol: str) -> str:
    """Return a symbol of another site as Yahoo writes it: SIMV.UK → SIMV.L, BTC/USD → BTC-USD."""
    base, dot, suffix = symbol.replace("/", "-").replace("\\", "-").rpartition(".")
    known = OTHER_SUFFIXES.get(f"{dot}{suffix}")
    return f"{base}{dot}{suffix}" if known is None else f"{base}{known}"


def in_hundredths(ticker: str) -> bool:
    """Return whether shares of this exchange are quoted in pence, cents or agorot."""
    return ticker.upper().endswith((".L", ".JO", ".TA"))


def _stated_calendar(ticker: str, exchange: str | None) -> str | None:
    if exchange in _CALENDAR_OF_EXCHANGE:
        return _CALENDAR_OF_EXCHANGE[exchange]
    if ticker.upper() in _CALENDAR_OF_INDEX:
        return _CALENDAR_OF_INDEX[ticker.upper()]
    endings = [end for end in _CALENDAR_OF_SUFFIX if ticker.upper().endswith(end)]
    return _CALENDAR_OF_SUFFIX[max(endings, key=len)] if endings else None
