"""Bars from Yahoo through yfinance, with its many failures told apart."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pandas as pd
from pydantic import Field

from lstmcli import clock
from lstmcli.errors import (
    DataError,
    NoDataError,
    RateLimitError,
    SourceError,
    shell_word,
)
from lstmcli.frames import BAR_COLUMNS
from lstmcli.sources.base import Delivery, SourceConfig
from lstmcli.sources.yahoo_bars import YahooBars, details, yahoo_bars
from lstmcli.sources.yahoo_client import (
    check_cool_down,
    failure_of_cache,
    rate_limited,
    remember_cool_down,
    set_up,
)
from lstmcli.sources.yahoo_failures import (
    is_no_symbol,
    is_of_network,
    words_of_answer,
    words_of_failure,
)

log = logging.getLogger(__name__)

_CHART = "https://query2.finance.yahoo.com/v8/finance/chart/"


class YahooSource(SourceConfig):
    """Daily bars of Yahoo Finance: split-adjusted, with dividends and splits."""

    name: Literal["yahoo"] = "yahoo"
    timeout: float = Field(20.0, gt=0)  # seconds per request
    pause: float = Field(1.0, ge=0)  # seconds between tickers, and before a retry
    retries: int = Field(1, ge=0)

    incremental = True
    settles = True

    def pause_between_tickers(self) -> float:
        return self.pause

    def bars(
        self,
        ticker: str,
        start: date | None = None,
        *,
        cache: Path,
        allowed: Collection[pd.Timestamp] = (),
    ) -> Delivery:
        """Return the settled bars; empty where the range holds none.

        The last sessions alone hardly tell how a dividend or a split is meant: where
        it is in doubt, the whole history is asked for.

        Raises:
            DataError: the bars cannot be right.
            NoDataError: Yahoo itself says that it does not know the symbol.
            RateLimitError: Yahoo answers 429, or did so minutes ago.
            SourceError: any other failure, after all retries.
        """
        check_cool_down(cache)
        set_up(cache)
        found = self._read(ticker, start, cache, allowed)
        if start is None or not found.doubtful:
            return found.delivery
        try:
            whole = self._read(ticker, None, cache, allowed).delivery
        except DataError as error:  # of sessions that are not wanted
            log.info("%s: the history before %s is at fault: %s", ticker, start, error)
            return found.delivery
        return replace(whole, bars=whole.bars.loc[pd.Timestamp(start) :])

    def _read(
        self, ticker: str, start: date | None, cache: Path, allowed: Collection[pd.Timestamp]
    ) -> YahooBars:
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(self.pause)
            try:
                return self._ask(ticker, start, cache, allowed)
            except RateLimitError as error:
                raise remember_cool_down(cache) from error
            except SourceError as error:
                failure = error
                log.info("%s: attempt %d of %d: %s", ticker, attempt + 1, self.retries + 1, error)
        raise failure

    def _ask(
        self, ticker: str, start: date | None, cache: Path, allowed: Collection[pd.Timestamp]
    ) -> YahooBars:
        import yfinance
        from yfinance.data import YfData
        from yfinance.exceptions import YFPricesMissingError, YFRateLimitError, YFTzMissingError

        # yfinance remembers a failed answer for the life of the process.
        YfData.cache_get.cache_clear()
        symbol = yfinance.Ticker(ticker)
        span = {"period": "max"} if start is None else {"start": start.isoformat()}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # yfinance uses what pandas 3 has deprecated
                table = symbol.history(
                    **span, interval="1d", auto_adjust=False, actions=True, timeout=self.timeout
                )
        except YFRateLimitError as error:
            raise rate_limited(clock.now()) from error
        except YFPricesMissingError as error:
            return self._without_prices(ticker, error, symbol.history_metadata)
        except YFTzMissingError as error:
            raise self._why(ticker) from error
        except Exception as error:
            # yfinance documents no exceptions. Seen here: OSErrors of curl, and for an
            # unexpected answer KeyError, TypeError, JSONDecodeError and others.
            failure = failure_of_cache(ticker, error, cache)
            if failure is not None:
                raise failure from error
            if is_of_network(error):
                raise self._unreachable(ticker, error) from error
            log.info("%s: %s: %s", ticker, type(error).__name__, error)
            raise self._why(ticker) from error
        return yahoo_bars(
            ticker,
            table,
            symbol.history_metadata,
            currencies=_currencies(symbol),
            allowed=allowed,
        )

    def _without_prices(self, ticker: str, error: Any, metadata: Mapping[str, Any]) -> YahooBars:
        """Return an empty delivery if nothing is new, and raise what else it means."""
        reason = error.yahoo_reason or ""
        if reason.startswith("No data found"):
            raise _unknown(ticker, reason) from error
        empty = reason.startswith("Data doesn't exist")
        if empty or (not reason and metadata.get("exchangeTimezoneName")):
            bars = pd.DataFrame(columns=list(BAR_COLUMNS), index=pd.DatetimeIndex([])).astype(float)
            return YahooBars(Delivery(bars, **details(metadata)))
        raise self._why(ticker, reason) from error

    def _why(self, ticker: str, reason: str = "") -> NoDataError | SourceError:
        """Ask Yahoo again, and return what its own answer says.

        yfinance calls a symbol without a time zone "possibly delisted", even if the
        network failed, and does not keep Yahoo's answer.

        Args:
            ticker: the symbol.
            reason: what Yahoo said before, if it said something.
        """
        from yfinance.data import YfData
        from yfinance.exceptions import YFRateLimitError

        address = _CHART + quote(ticker)
        try:
            answer = YfData().get(
                address, params={"range": "1d", "interval": "1d"}, timeout=self.timeout
            )
        except YFRateLimitError:
            return rate_limited(clock.now())
        except Exception as error:  # any type, as in `_ask`
            return self._unreachable(ticker, error)
        try:
            said = answer.json()["chart"]["error"]
        except (ValueError, KeyError, TypeError):
            said = None
        if answer.status_code == 404 and said:
            return _unknown(ticker, str(said["description"]))
        if reason and answer.status_code < 500:
            return _failed(ticker, f"Yahoo gave no prices: {reason}")
        return _failed(ticker, words_of_answer(answer.status_code, answer.text))

    def _unreachable(self, ticker: str, error: Exception) -> NoDataError | SourceError:
        log.info("%s: %s: %s", ticker, type(error).__name__, error)
        if is_no_symbol(error):
            return _unknown(ticker, "it cannot be part of an address")
        return _failed(ticker, words_of_failure(error, self.timeout))


def _currencies(symbol: Any) -> pd.Series | None:
    """Return the currency of each dividend, if Yahoo states it.

    `history` leaves it out. No public method has it without another request.
    """
    paid = getattr(getattr(symbol, "_price_history", None), "_dividends", None)
    if isinstance(paid, pd.DataFrame) and "currency" in paid:
        return paid["currency"]
    return None


def _unknown(ticker: str, words: str) -> NoDataError:
    return NoDataError(
        f"{ticker}: Yahoo does not know this symbol: {words}.",
        hint=f"look the symbol up: https://finance.yahoo.com/lookup?s={ticker}",
    )


def _failed(ticker: str, words: str) -> SourceError:
    return SourceError(
        f"{ticker}: {words}.", hint=f"try again later: lstm fetch {shell_word(ticker)}"
    )
