"""Bars from a file: CSV of any site or program that `layouts` knows, or Parquet."""

from __future__ import annotations

import difflib
import re
import stat
import sys
from collections.abc import Collection
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field, field_validator

from lstmcli.errors import ConfigError, NoDataError, shell_word
from lstmcli.sources.base import Delivery, SourceConfig
from lstmcli.sources.exchanges import yahoo_name
from lstmcli.sources.files.bars import FileBars
from lstmcli.sources.files.dates import DateOrder
from lstmcli.sources.files.layouts import ROLES, file_ticker
from lstmcli.sources.files.numbers import Decimal
from lstmcli.sources.files.quotes import Quotes, listed, read_quotes
from lstmcli.sources.files.tables import read_table

STDIN = Path("-")


class CsvSource(SourceConfig):
    """A file with one ticker or several: CSV, or Parquet with the same columns.

    Prices are split-adjusted, or the file states its splits. Dividends come from their
    column, else from the steps of `Adj Close` / `Close`.
    """

    name: Literal["csv"] = "csv"
    file: Path
    dates: DateOrder | None = None  # the order of 3/8/2024, where the file does not prove it
    decimal: Decimal | None = None
    columns: dict[str, str] = Field(default_factory=dict)  # role → name of the column

    @field_validator("file")
    @classmethod
    def _absolute(cls, file: Path) -> Path:
        if file == STDIN:
            return file
        # The next update may run in another folder. A pipe has no path behind its name.
        file = file.expanduser().absolute()
        return file.resolve() if file.is_file() else file

    @field_validator("columns")
    @classmethod
    def _roles(cls, columns: dict[str, str]) -> dict[str, str]:
        for role in columns:
            if role not in ROLES:
                near = difflib.get_close_matches(role, ROLES, n=1) or ["close"]
                raise ConfigError(
                    f"Expected --columns with one of {', '.join(ROLES)}. Received: {role!r}.",
                    hint=f"did you mean --columns {near[0]}={shell_word(columns[role])}?",
                )
        return columns

    @property
    def repeatable(self) -> bool:
        return self.file != STDIN

    def options(self) -> str:
        shown = str(self.file)
        if self.file.is_relative_to(Path.cwd()):
            shown = str(self.file.relative_to(Path.cwd()))
        words = ["--source", "csv", "--file", shell_word(shown)]
        words += ["--dates", self.dates] if self.dates else []
        words += ["--decimal", self.decimal] if self.decimal else []
        for role, name in self.columns.items():
            words += ["--columns", shell_word(f"{role}={name}")]
        return " ".join(words)

    def tickers(self) -> list[str]:
        quotes = self._quotes()
        if quotes.tickers is not None:
            return list(dict.fromkeys(yahoo_name(name) for name in quotes.spans if name))
        name = self.file.name
        for ending in (".gz", ".bz2", ".xz", ".zip", ".csv", ".txt", ".tsv", ".parquet", ".pq"):
            name = name.removesuffix(ending)
        return [file_ticker(name)]

    def symbols(self) -> dict[str, int]:
        """Return how many lines each ticker has, as the file spells it; none without a column."""
        return {name: at.stop - at.start for name, at in self._quotes().spans.items() if name}

    def bars(
        self,
        ticker: str,
        start: date | None = None,
        *,
        cache: Path,
        allowed: Collection[pd.Timestamp] = (),
    ) -> Delivery:
        quotes = self._quotes()
        notes = [*quotes.notes]
        if quotes.tickers is not None:
            name = self._named(ticker, quotes)
            if name != ticker:
                notes.append(f"the file calls it {name}")
            if "" in quotes.spans:
                lines = listed(quotes.of("").values.index)
                notes.append(f"without a ticker, and not read: {lines}")
            quotes = quotes.of(name)
        return FileBars(str(self.file), ticker, quotes, notes).delivery(start, allowed)

    def _quotes(self) -> Quotes:
        stream: Any = None
        if self.file == STDIN:
            stream = sys.stdin
        try:
            if stream is None:
                about = self.file.stat()
                # A pipe can be read once: then its content is kept.
                stream = about.st_mtime_ns if stat.S_ISREG(about.st_mode) else "pipe"
            options = (self.dates, self.decimal, tuple(self.columns.items()))
            return _quotes_of(self.file, stream, *options)
        except OSError as error:
            raise NoDataError(
                f"Expected a file with bars. Received: {self.file}: {error.strerror}.",
                hint="lstm fetch MRK --source csv --file MRK.csv",
            ) from error

    def spelled(self, ticker: str) -> str | None:
        """Return the ticker as the file has it: Stooq writes MRK.US for MRK."""
        known = list(self.symbols())
        if ticker in known:
            return ticker
        for same in (yahoo_name, _without_suffix, _letters):
            fitting = [name for name in known if same(name) in (ticker, _letters(ticker))]
            if len(fitting) == 1:
                return fitting[0]
        # What can be no ticker here gets the name that the user chooses.
        if len(known) == 1 and not re.fullmatch(r"[\w^=.&-]+", known[0]):
            return known[0]
        return None

    def _named(self, ticker: str, quotes: Quotes) -> str:
        name = self.spelled(ticker)
        if name is not None:
            return name
        known = [name for name in quotes.spans if name]
        near = difflib.get_close_matches(ticker, known, n=1) or known[:1]
        raise NoDataError(
            f"Expected a ticker of {self.file}. Received: {ticker}. "
            f"It has {len(known)}: {', '.join(known[:5])}{' …' if len(known) > 5 else ''}",
            hint=f"lstm fetch {shell_word(yahoo_name(near[0]))}" if near else None,
        )


def _without_suffix(name: str) -> str:
    return name.partition(".")[0]


def _letters(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", name.upper())


@lru_cache(maxsize=1)
def _quotes_of(
    file: Path,
    changed: Any,
    order: DateOrder | None,
    decimal: Decimal | None,
    columns: tuple[tuple[str, str], ...],
) -> Quotes:
    """Return what a file says.

    `changed` is part of the key, so that a file is read again after a change, and
    standard input or a pipe once.
    """
    if file == STDIN:
        if changed is None or changed.isatty():
            raise NoDataError(
                "Expected bars on standard input. Received: none.",
                hint="cat MRK.csv | lstm fetch MRK --source csv --file -, "
                "or name the file: lstm fetch MRK --source csv --file MRK.csv",
            )
        content = changed.buffer.read()
    else:
        content = file.read_bytes()
    table = read_table(content, str(file), named=[name for _, name in columns])
    return read_quotes(table, str(file), order=order, decimal=decimal, columns=dict(columns))
