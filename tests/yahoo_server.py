"""Yahoo on loopback: an HTTPS proxy that ends TLS for `*.yahoo.com` itself.

The SEC is there, too, where a test gives it filings.

The real yfinance client talks to it, in this process or in a subprocess, because
curl takes its proxy and its certificates from the environment. Bars are kept as
traded, with dividends and splits beside them, and are rendered as of a settable
clock: rewritten history, partial bars and doubled rows come by moving the clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import trustme
from yahoo_announcements import NO_TABLE, Announcement, calendar_of, page_of
from yahoo_rows import chart, chart_meta

PAGE = "/calendar/earnings"
SEC = ("www.sec.gov", "data.sec.gov")
GONE = {"code": "Not Found", "description": "No data found, symbol may be delisted"}


@dataclass
class Listing:
    """One symbol: bars as traded, and what happened to it."""

    bars: pd.DataFrame  # open high low close volume, by session
    dividends: dict[str, float] = field(default_factory=dict)
    splits: dict[str, float] = field(default_factory=dict)  # new shares for one old
    holes: set[str] = field(default_factory=set)  # sessions without a row
    nulls: set[str] = field(default_factory=set)  # sessions with a row of nulls
    factor: float = 1.0  # by which Yahoo restates every price
    null_volume: bool = False  # as of some indices
    exchange: str = "NYQ"
    zone: str = "America/New_York"
    currency: str = "USD"
    opens: clock_time = clock_time(9, 30)
    closes: clock_time = clock_time(16, 0)
    kind: str = "EQUITY"
    announcements: list[Announcement] = field(default_factory=list)
    ex_date: str | None = None  # the newest one that Yahoo's calendar states


@dataclass
class Fault:
    """What happens to the next `times` requests whose path holds `path`."""

    path: str = "/v8/finance/chart/"
    status: int = 200
    body: str | None = None
    truncate: bool = False
    drop: bool = False
    delay: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    skip: int = 0  # matching requests that pass first
    times: int = 1_000_000


@dataclass(frozen=True)
class Request:
    host: str
    path: str
    query: dict[str, str]
    agent: str = ""


@cache
def _sessions() -> pd.DatetimeIndex:
    """Return the sessions of the NYSE in the years that tests ask for."""
    import exchange_calendars

    with warnings.catch_warnings():  # it uses what pandas 3 has deprecated
        warnings.simplefilter("ignore")
        calendar = exchange_calendars.get_calendar("XNYS", start="2012-01-01", end="2027-12-31")
    return calendar.sessions


def traded(first: str, count: int, *, seed: int = 0, price: float = 100.0) -> pd.DataFrame:
    """Return bars as traded on the NYSE, a random walk from a seed."""
    sessions = _sessions()[_sessions().searchsorted(pd.Timestamp(first)) :][:count]
    assert len(sessions) == count
    random = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    opening = close * np.exp(random.normal(0, 0.003, count))
    high, low = np.maximum(opening, close) * 1.004, np.minimum(opening, close) * 0.996
    values = {"open": opening, "high": high, "low": low, "close": close}
    bars = pd.DataFrame(values, index=pd.DatetimeIndex(sessions)).round(4)
    return bars.assign(volume=random.integers(1_000_000, 3_000_000, count).astype(float))


class YahooServer:
    """The loopback server; use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.listings: dict[str, Listing] = {}
        self.raw: dict[str, dict[str, Any]] = {}
        self.pages: dict[str, str] = {}  # of announcements, in place of what a listing gives
        self.filings: dict[str, dict[str, Any]] | None = None  # of the SEC, by the end of the path
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.leaks: list[str] = []
        self.now = datetime(2024, 3, 8, 23, 0, tzinfo=UTC)
        authority = trustme.CA()
        self.certificate = folder / "yahoo-ca.pem"
        authority.cert_pem.write_to_path(str(self.certificate))
        leaf = authority.issue_cert("yahoo.com", "*.yahoo.com", "*.finance.yahoo.com", *SEC)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.set_alpn_protocols(["http/1.1"])
        leaf.configure_cert(self.tls)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.yahoo = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    def __enter__(self) -> YahooServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the variables of a process that shall see this Yahoo and its time."""
        proxy = f"http://127.0.0.1:{self._server.server_address[1]}"
        names = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
        trust = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
        return {
            **dict.fromkeys(names, proxy),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
            **dict.fromkeys(trust, str(self.certificate)),
            "XDG_CACHE_HOME": str(folder / "xdg-cache"),
            "LSTM_NOW": self.now.isoformat(),
        }

    def move_clock(self, moment: datetime) -> None:
        """Set Yahoo's time, and that of this process where it follows `LSTM_NOW`."""
        self.now = moment
        os.environ["LSTM_NOW"] = moment.isoformat()

    def serve_raw(self, symbols: Mapping[str, dict[str, Any]]) -> None:
        """Answer with rows as they are, in place of all symbols before; see `yahoo_rows`."""
        self.listings, self.raw = {}, dict(symbols)

    def charts(self, symbol: str) -> list[Request]:
        """Return the requests for bars of a symbol, without those for its time zone."""
        path = f"/v8/finance/chart/{symbol}"
        return [r for r in self.requests if r.path == path and "period1" in r.query]

    def asked_about_announcements(self) -> list[Request]:
        """Return the requests for dates of announcements, without those for a crumb."""
        return [r for r in self.requests if r.path == PAGE or "calendarEvents" in str(r.query)]

    def knows(self, host: str) -> bool:
        """Return whether a host is one that this server plays."""
        of_yahoo = host == "yahoo.com" or host.endswith(".yahoo.com")
        return of_yahoo or (self.filings is not None and host in SEC)

    def fault_for(self, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.path in path and fault.times > 0:
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def answer(self, request: Request) -> tuple[int, str]:
        """Return the status and the body for a request that no fault meets."""
        path, _, symbol = request.path.rpartition("/")
        if request.path.endswith("/getcrumb"):
            return 200, "crumb"
        if request.host == "fc.yahoo.com":
            return 404, ""
        if request.host == "guce.yahoo.com":
            return 200, "<html>consent</html>"
        if request.host in SEC:
            found = (self.filings or {}).get(symbol)
            return (404, "") if found is None else (200, json.dumps(found))
        if request.path == PAGE:
            return self._page(request.query["symbol"])
        if "quoteSummary" in path and request.query.get("modules") == "calendarEvents":
            return self._calendar(unquote(symbol))
        if path == "/v8/finance/chart":
            return self._chart(unquote(symbol), request.query)
        if "quoteSummary" in path:
            return 404, json.dumps({"quoteSummary": {"result": None, "error": GONE}})
        if path.endswith("/quote") or request.path.endswith("/quote"):
            return 200, json.dumps({"quoteResponse": {"result": [], "error": None}})
        if "fundamentals-timeseries" in path:
            return 200, json.dumps({"timeseries": {"result": [], "error": None}})
        return 404, json.dumps({"error": GONE})

    def _page(self, symbol: str) -> tuple[int, str]:
        listing = self.listings.get(symbol)
        if symbol in self.pages or listing is None:
            return 200, self.pages.get(symbol, NO_TABLE)
        today = self.now.astimezone(ZoneInfo(listing.zone)).date()
        return 200, page_of(symbol, listing.announcements, today)

    def _calendar(self, symbol: str) -> tuple[int, str]:
        listing, facts = self.listings.get(symbol), self.raw.get(symbol)
        kind = listing.kind if listing else (facts or {}).get("type", "EQUITY")
        if kind != "EQUITY" or (listing is None and facts is None):
            return 404, json.dumps({"quoteSummary": {"result": None, "error": GONE}})
        if listing is None:
            return 200, json.dumps(calendar_of([], self.now.date(), None))
        today = self.now.astimezone(ZoneInfo(listing.zone)).date()
        return 200, json.dumps(calendar_of(listing.announcements, today, listing.ex_date))

    def _chart(self, symbol: str, query: dict[str, str]) -> tuple[int, str]:
        facts, listing = self.raw.get(symbol), self.listings.get(symbol)
        if facts is not None and not facts.get("gone"):
            rendered = chart(symbol, facts, query, self.now)
            return 200, json.dumps({"chart": {"result": [rendered], "error": None}})
        if listing is None:
            return 404, json.dumps({"chart": {"result": None, "error": GONE}})
        rendered = _render(listing, symbol, query, self.now)
        return 200, json.dumps({"chart": {"result": [rendered], "error": None}})


def _render(listing: Listing, symbol: str, query: dict[str, str], now: datetime) -> dict:
    zone = ZoneInfo(listing.zone)
    today = now.astimezone(zone).date()

    def at(day: date, when: clock_time) -> int:
        return int(datetime.combine(day, when, zone).timestamp())

    sessions = [session.date() for session in listing.bars.index]
    trading_day = max((s for s in sessions if s <= today), default=sessions[0])
    first = int(query.get("period1", at(trading_day, listing.opens)))
    last = int(query.get("period2", 2**40))
    rows, events = [], {"dividends": {}, "splits": {}}
    for session, row in listing.bars.iterrows():
        day, opening = session.date(), at(session.date(), listing.opens)
        stamp = str(day)
        if not first <= opening <= last or opening > now.timestamp():
            continue
        later = [r for d, r in listing.splits.items() if day < date.fromisoformat(d) <= today]
        ratio = float(np.prod(later)) if later else 1.0
        if stamp in listing.dividends:
            amount = listing.dividends[stamp] / ratio
            events["dividends"][str(opening)] = {"amount": amount, "date": opening}
        if stamp in listing.splits:
            share = listing.splits[stamp]
            events["splits"][str(opening)] = {
                "date": opening, "numerator": share, "denominator": 1, "splitRatio": f"{share}:1",
            }  # fmt: skip
        if stamp in listing.holes:
            continue
        prices = [float(row[n]) / ratio * listing.factor for n in ("open", "high", "low", "close")]
        volume = int(row["volume"] * ratio)
        if stamp in listing.nulls:
            rows.append((opening, [None] * 4, None))
            continue
        closing = at(day, listing.closes)
        if now.timestamp() < closing:  # partial: near the open, with little volume
            middle = (prices[0] + prices[3]) / 2
            prices = [prices[0], max(prices[0], middle), min(prices[0], middle), middle]
            volume //= 3
        elif day == today:  # over: today twice, the later row with more volume
            rows.append((opening, prices, volume * 97 // 100))
            opening, volume = closing, volume * 98 // 100
        rows.append((opening, prices, volume))
    meta = chart_meta(
        symbol,
        zone=listing.zone,
        exchange=listing.exchange,
        currency=listing.currency,
        kind=listing.kind,
        first=at(sessions[0], listing.opens),
        regular=(at(trading_day, listing.opens), at(trading_day, listing.closes)),
        now=now,
        range=query.get("range", ""),
    )
    if rows:
        meta["regularMarketPrice"] = rows[-1][1][3]
    if not rows:
        return {"meta": meta, "indicators": {"quote": [{}], "adjclose": [{}]}}
    columns = {
        name: [prices[i] for _, prices, _ in rows]
        for i, name in enumerate(("open", "high", "low", "close"))
    }
    return {
        "meta": meta,
        "timestamp": [stamp for stamp, _, _ in rows],
        "events": {name: found for name, found in events.items() if found},
        "indicators": {
            "quote": [
                {**columns, "volume": [None if listing.null_volume else row[2] for row in rows]}
            ],
            "adjclose": [{"adjclose": columns["close"]}],
        },
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    yahoo: YahooServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay quiet: clients of a dropped connection hang up in the middle."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the client's delayed ACK
    server: _Server
    host = ""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_CONNECT(self) -> None:
        host = self.path.partition(":")[0]
        if not self.server.yahoo.knows(host):
            self.server.yahoo.leaks.append(host)
            self.send_error(403)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        self.connection = self.server.yahoo.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.host = host
        self.close_connection = False

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        with contextlib.suppress(OSError):
            self.connection.close()

    def do_GET(self) -> None:
        yahoo = self.server.yahoo
        if not self.host:  # plain HTTP through the proxy: nobody here speaks it
            yahoo.leaks.append(self.path)
            self.send_error(403)
            return
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        agent = self.headers.get("User-Agent", "")
        request = Request(self.host, unquote(parts.path), query, agent)
        yahoo.requests.append(request)
        fault = yahoo.fault_for(request.path)
        status, body = yahoo.answer(request)
        if fault is not None:
            time.sleep(fault.delay)
            if fault.drop:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            if fault.status != 200 or fault.body is not None:
                status, body = fault.status, fault.body or ""
            if fault.truncate:
                body = body[: len(body) // 2]
        self._send(status, body.encode(), fault.headers if fault is not None else {})

    do_POST = do_GET

    def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if self.host == "fc.yahoo.com":
            expires = datetime.now(UTC) + timedelta(days=365)
            self.send_header(
                "Set-Cookie",
                f"A3=cookie; Expires={expires:%a, %d %b %Y %H:%M:%S GMT}; "
                "Domain=.yahoo.com; Path=/; Secure; HttpOnly",
            )
        self.end_headers()
        self.wfile.write(content)
