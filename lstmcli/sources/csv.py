"""Bars from a CSV file: a Yahoo download, Stooq, or lower-case columns."""

from __future__ import annotations

import difflib
import zlib
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import field_validator

from lstmcli.errors import DataError, NoDataError
from lstmcli.frames import BAR_COLUMNS, check_bars
from lstmcli.sources.base import (
    PRICES,
    Delivery,
    SourceConfig,
    widen_ranges,
    without_absent_sessions,
)

MIN_DIVIDEND = 1e-5
"""As a fraction of the price. Smaller steps of the adjusted close come from rounding."""

# Column names in lower case, without <>, with spaces instead of underscores.
_NAMES = {
    "date": "date",
    "datetime": "date",
    "timestamp": "date",
    "time": "time",
    "per": "period",
    "ticker": "ticker",
    "symbol": "ticker",
    "open": "open",
    "high": "high",
    "low": "low",
    "close": "close",
    "adj close": "adjusted",
    "adjclose": "adjusted",
    "adjusted close": "adjusted",
    "volume": "volume",
    "vol": "volume",
    "dividend": "dividend",
    "dividends": "dividend",
    "split": "split",
    "splits": "split",
    "stock split": "split",
    "stock splits": "split",
}
_MISSING = ["", "nan", "null", "none", "n/a", "na", "-"]


class CsvSource(SourceConfig):
    """A file with one ticker, or with several and a column that names them.

    Sessions ascend or descend. Prices must be split-adjusted. Dividends come from
    their column, else from the steps of `Adj Close` / `Close`.
    """

    name: Literal["csv"] = "csv"
    file: Path

    @field_validator("file")
    @classmethod
    def _absolute(cls, file: Path) -> Path:
        # The next update may run in another folder.
        return file.expanduser().resolve()

    def tickers(self) -> list[str]:
        table = self._table()
        if "ticker" in table:
            return list(table["ticker"].unique())
        stem = self.file.name.removesuffix(".gz")
        return [stem.removesuffix(".csv").removesuffix(".txt").upper()]

    def bars(self, ticker: str, start: date | None = None, *, cache: Path) -> Delivery:
        table = self._table()
        if "ticker" in table:
            table = table[table["ticker"] == self._spelled(ticker)]
        bars = _Reader(self.file, ticker, table).bars()
        if start is not None:
            bars = bars.loc[np.datetime64(start) :]
        return Delivery(bars)

    def _table(self) -> pd.DataFrame:
        try:
            changed = self.file.stat().st_mtime_ns
        except OSError as error:
            raise NoDataError(
                f"Expected a CSV file. Received: {self.file}: {error.strerror}.",
                hint="lstm fetch MRK --source csv --file MRK.csv",
            ) from error
        return _table(self.file, changed)

    def _spelled(self, ticker: str) -> str:
        """Return the ticker as the file has it: Stooq writes MRK.US for MRK."""
        known = self.tickers()
        if ticker in known:
            return ticker
        with_suffix = [name for name in known if name.partition(".")[0] == ticker]
        if len(with_suffix) == 1:
            return with_suffix[0]
        near = difflib.get_close_matches(ticker, known, n=1) or known[:1]
        raise NoDataError(
            f"Expected a ticker of {self.file}. Received: {ticker}. "
            f"It has {len(known)}: {', '.join(known[:5])}{' …' if len(known) > 5 else ''}",
            hint=f"lstm fetch {near[0]} --source csv --file {self.file}",
        )


@lru_cache(maxsize=1)
def _table(file: Path, changed: int) -> pd.DataFrame:
    """Return the known columns as text; the index is the line in the file.

    `changed` is part of the key, so that a file is read again after a change.
    """
    try:
        table = pd.read_csv(
            file, dtype=str, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig"
        )
    # The decompressor fails on a truncated file, the parser on one that is no CSV.
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{file}: cannot be read as CSV: {str(error).strip() or type(error).__name__}.",
            hint="Expected a header and one line per session, separated by commas",
        ) from error
    table.index = pd.RangeIndex(2, len(table) + 2)
    plain = [str(name).strip().strip("<>").lower().replace("_", " ") for name in table.columns]
    table.columns = pd.Index([_NAMES.get(name, f"?{name}") for name in plain])
    table = table.loc[:, [not name.startswith("?") for name in table.columns]]
    needed = {"date", *PRICES}
    if not needed <= set(table.columns) or not table.columns.is_unique:
        raise DataError(
            f"{file}: Expected the columns Date, Open, High, Low, Close and perhaps Adj Close, "
            f"Volume, Dividends, Stock Splits, Ticker. Received: {', '.join(plain)[:200]}.",
            hint="lstm fetch --help",
        )
    table = table.apply(lambda column: column.fillna("").str.strip())
    if "ticker" in table:
        table["ticker"] = table["ticker"].str.upper()
    return table[(table != "").any(axis=1)]


class _Reader:
    """Turns the lines of one ticker into bars; an error names its line."""

    def __init__(self, file: Path, ticker: str, table: pd.DataFrame) -> None:
        self.file = file
        self.ticker = ticker
        self.table = table

    def bars(self) -> pd.DataFrame:
        if self.table.empty:
            raise DataError(f"{self.file}: Expected bars of {self.ticker}. Received: no line.")
        sessions = self._sessions()
        bars = pd.DataFrame({name: self._numbers(name) for name in PRICES})
        for name in ("volume", "dividend", "split"):
            bars[name] = self._numbers(name).fillna(0.0) if name in self.table else 0.0
        if "adjusted" in self.table and "dividend" not in self.table:
            bars["adjusted"] = self._numbers("adjusted")
        bars["line"] = self.table.index
        bars.index = pd.DatetimeIndex(sessions, name="session")
        if not bars.index.is_monotonic_increasing:
            bars = bars[::-1]
        bars = without_absent_sessions(bars)
        lines = bars["line"].to_numpy()
        if "adjusted" in bars:
            bars["dividend"] = _dividends(bars["close"], bars["adjusted"])
        bars = widen_ranges(bars[list(BAR_COLUMNS)].astype(float), self.ticker)
        self._check_values(bars, lines)
        return bars

    def _sessions(self) -> pd.Series:
        """Return the dates as datetime64, strictly ascending or descending."""
        text = self.table["date"]
        parts = text.str.extract(r"^(\d{4})([-/.]?)(\d{2})\2(\d{2})(?:[T ](\d\d:\d\d).*)?$")
        sessions = pd.to_datetime(
            parts[0] + parts[2] + parts[3], format="%Y%m%d", errors="coerce"
        ).astype("datetime64[ns]")
        self._refuse(sessions.isna(), "Expected a date such as 2024-03-08", text)
        clock = parts[4].notna() & (parts[4] != "00:00")
        self._refuse(clock, "Expected daily bars, with no time of day", text)
        if "period" in self.table:
            period = self.table["period"]
            self._refuse(period.str.upper() != "D", "Expected daily bars, <PER> D", period)
        order = 1 if len(sessions) < 2 or sessions.iloc[0] <= sessions.iloc[-1] else -1
        steps = np.diff(sessions.to_numpy().astype("datetime64[D]").astype(int)) * order
        twice = sessions.duplicated()
        self._refuse(twice, "Expected one line per session; this date was there before", text)
        unsorted = pd.Series([False, *(steps < 0)], index=text.index)
        self._refuse(unsorted, "Expected dates in order; this one breaks it", text)
        return sessions

    def _numbers(self, name: str) -> pd.Series:
        text = self.table[name]
        numbers = pd.to_numeric(text, errors="coerce")
        absent = text.str.lower().isin(_MISSING)
        wrong = (numbers.isna() & ~absent) | np.isinf(numbers)
        self._refuse(wrong, f"Expected a number as {name}", text)
        return numbers.astype(float)

    def _refuse(self, wrong: pd.Series, expectation: str, text: pd.Series) -> None:
        if wrong.any():
            line = wrong.idxmax()
            raise self._fault(line, f"{expectation}. Received: {text[line]!r}.")

    def _fault(self, line: int, message: str) -> DataError:
        return DataError(
            f"{self.file}:{line}: {self.ticker} {self.table.at[line, 'date']}: {message}",
            hint=f"correct or delete line {line}, then: "
            f"lstm fetch {self.ticker} --source csv --file {self.file}",
        )

    def _check_values(self, bars: pd.DataFrame, lines: np.ndarray) -> None:
        try:
            check_bars(bars, self.ticker)
        except DataError:
            sound, broken = 0, len(bars)  # rows known to be sound; rows known to hold a fault
            while broken - sound > 1:
                middle = (sound + broken) // 2
                try:
                    check_bars(bars.iloc[sound:middle], self.ticker)
                    sound = middle
                except DataError:
                    broken = middle
            try:
                check_bars(bars.iloc[sound:broken], self.ticker)
            except DataError as error:
                rule = str(error).partition(": ")[2].partition(": ")[2]
                raise self._fault(int(lines[sound]), rule) from error


def _dividends(close: pd.Series, adjusted: pd.Series) -> np.ndarray:
    """Return the dividends that explain the adjusted close.

    With f = adjusted / close, the step f[t-1] / f[t] is 1 − D[t] / C[t-1].
    """
    factor = (adjusted / close).where(adjusted > 0).ffill()
    share = 1 - factor.shift() / factor
    return (share.where(share >= MIN_DIVIDEND, 0.0) * close.shift().fillna(0.0)).to_numpy()
