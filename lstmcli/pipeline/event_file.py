"""A user's CSV file of events: read whole, and every mistake told by its line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from lstmcli.digits import in_words
from lstmcli.errors import ConfigError
from lstmcli.features.events import WITHDRAWN
from lstmcli.frames import EVENT_COLUMNS, EVENT_STATUSES, EVENT_TIMINGS, EX_DIVIDEND, shares_since
from lstmcli.sessions import sessions_between
from lstmcli.store.files import check_ticker

NEEDED = ("ticker", "session", "known_on")
OPTIONAL = ("timing", "status", "amount")

SOURCE = "user"
"""The source of every statement, whatever its file is called: a corrected file replaces what
the first one said."""

MAX_MISTAKES = 20
"""How many mistakes of a file are shown at once."""

YEARS = range(1900, 2100)
"""What counts as a date: no calendar reaches further, and typing errors do."""


@dataclass(frozen=True)
class Listing:
    """What is known of a ticker: its calendar, and its bars, which may be none."""

    calendar: str
    bars: pd.DataFrame
    currency: str | None = None


ListingOf = Callable[[str], Listing]


def read_event_file(file: Path, kind: str, listing_of: ListingOf, *, command: str) -> pd.DataFrame:
    """Return the Events table that a CSV file states.

    Args:
        command: what the user runs again once the file is corrected.

    Raises:
        ConfigError: the file cannot be read or is wrong; with every mistake.
    """
    return _EventFile(file, kind, listing_of, command).events()


@dataclass(frozen=True)
class _Statement:
    """One line of the file."""

    line: int
    ticker: str
    session: pd.Timestamp
    known_on: pd.Timestamp
    timing: str
    status: str
    amount: float


@dataclass
class _EventFile:
    """Reads one file, and collects what is wrong with it."""

    file: Path
    kind: str
    listing_of: ListingOf
    command: str
    mistakes: list[tuple[int, str]] = field(default_factory=list)

    @property
    def _needed(self) -> tuple[str, ...]:
        return (*NEEDED, "amount") if self.kind == EX_DIVIDEND else NEEDED

    def events(self) -> pd.DataFrame:
        statements = [self._statement(line, row) for line, row in self._rows()]
        sound = [statement for statement in statements if statement is not None]
        self._check_sessions(sound)
        if self.kind == EX_DIVIDEND:
            self._check_dividends(sound)
        self._check_contradictions(sound)
        self._refuse_mistakes()
        table = pd.DataFrame([vars(statement) for statement in sound])
        table = table.assign(kind=self.kind, source=SOURCE)[list(EVENT_COLUMNS)]
        dates = {name: table[name].astype("datetime64[ns]") for name in ("session", "known_on")}
        return table.assign(**dates)

    def _rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Return each line's number and its cells by column."""
        reader = csv.reader(io.StringIO(self._text(), newline=""), strict=True)
        columns: list[str] = []
        found = False
        while True:
            line = reader.line_num + 1
            try:
                cells = [cell.strip() for cell in next(reader)]
            except StopIteration:
                break
            except csv.Error as error:
                self._add(line, f"Expected values separated by commas. Received: {error}.")
                break
            if not any(cells):
                continue
            if not columns:
                columns = [cell.lower() for cell in cells]
                self._check_columns(line, columns)
                continue
            found = True
            if len(cells) != len(columns):
                self._add(line, f"Expected {len(columns)} values. Received: {len(cells)}.")
                continue
            yield line, dict(zip(columns, cells, strict=True))
        if not columns:
            self._add(
                1, f"Expected the columns {', '.join(self._needed)}. Received: an empty file."
            )
        elif not found:
            self._add(line, "Expected one event a line below the columns. Received: none.")

    def _text(self) -> str:
        try:
            return self.file.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{self.file}: Expected text in UTF-8. Received: byte {error.start} is not.",
                hint=f"save it as CSV in UTF-8, then: {self.command}",
            ) from error
        except OSError as error:
            raise ConfigError(
                f"Expected a CSV file with the columns {', '.join(self._needed)}. "
                f"Received: {self.file}: {error.strerror or error}.",
                hint=f"name a file that exists, then: {self.command}",
            ) from error

    def _check_columns(self, line: int, columns: list[str]) -> None:
        allowed = (*NEEDED, *OPTIONAL)
        missing = [name for name in self._needed if name not in columns]
        unknown = [name for name in columns if name not in allowed]
        repeated = sorted({name for name in columns if columns.count(name) > 1})
        if missing:
            needed = ", ".join(self._needed)
            self._add(line, f"Expected the columns {needed}. Missing: {_list(missing)}.")
        if unknown:
            self._add(
                line, f"Expected no columns but {', '.join(allowed)}. Found: {_list(unknown)}."
            )
        if repeated:
            self._add(line, f"Expected each column once. Repeated: {_list(repeated)}.")
        self._refuse_mistakes()

    def _statement(self, line: int, row: dict[str, str]) -> _Statement | None:
        before = len(self.mistakes)
        ticker = row["ticker"].upper()
        try:
            check_ticker(ticker)
        except ConfigError as error:
            self._add(line, str(error))
        session, known_on = self._date(line, row, "session"), self._date(line, row, "known_on")
        if session and known_on and known_on > session:
            self._add(
                line,
                f"Expected known_on no later than the session, {session}. Received: {known_on}.",
            )
        timing = self._word(line, row, "timing", EVENT_TIMINGS, "unknown")
        status = self._word(line, row, "status", EVENT_STATUSES, "confirmed")
        amount = self._amount(line, row)
        if len(self.mistakes) > before:
            return None
        return _Statement(
            line, ticker, pd.Timestamp(session), pd.Timestamp(known_on), timing, status, amount
        )

    def _date(self, line: int, row: dict[str, str], column: str) -> date | None:
        text = row[column]
        try:
            # `fromisoformat` takes 20240308 and 2024-W10-5 as well.
            found = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None
        except ValueError:
            found = None
        if found is None or found.year not in YEARS:
            self._add(line, f"Expected {column} as a date such as 2024-03-08. Received: {text!r}.")
            return None
        return found

    def _word(
        self, line: int, row: dict[str, str], column: str, allowed: Sequence[str], default: str
    ) -> str:
        word = row.get(column, "").lower() or default
        if word not in allowed:
            self._add(
                line,
                f"Expected {column} to be one of {', '.join(allowed)}. Received: {row[column]!r}.",
            )
        return word

    def _amount(self, line: int, row: dict[str, str]) -> float:
        text = row.get("amount", "")
        try:
            amount = float(text) if text else np.nan
        except ValueError:
            amount = np.inf
        if text and not np.isfinite(amount):
            self._add(line, f"Expected amount as a number, or nothing. Received: {text!r}.")
        return amount

    def _check_sessions(self, statements: Sequence[_Statement]) -> None:
        """Check that the ticker's exchange trades on each session."""
        of_ticker: dict[str, list[_Statement]] = {}
        for statement in statements:
            of_ticker.setdefault(statement.ticker, []).append(statement)
        for ticker, stated in of_ticker.items():
            listing = self.listing_of(ticker)
            calendar, observed = listing.calendar, pd.DatetimeIndex(listing.bars.index)
            days = [statement.session for statement in stated]
            # Two weeks more, so that every day has a session after it.
            until = max(days) + timedelta(days=14)
            sessions = sessions_between(calendar, min(days), until, observed=observed)
            for statement in stated:
                if statement.session in sessions:
                    continue
                after = sessions[sessions > statement.session]
                following = f" The next one is {after[0]:%Y-%m-%d}." if len(after) else ""
                self._add(
                    statement.line,
                    f"Expected a session of {ticker} (calendar {calendar}). "
                    f"Received: {statement.session:%Y-%m-%d, a %A}.{following}",
                )

    def _check_dividends(self, statements: Sequence[_Statement]) -> None:
        """Check that each dividend has an amount that a share can pay."""
        for statement in statements:
            amount, ticker = statement.amount, statement.ticker
            if np.isnan(amount) and statement.status == WITHDRAWN:
                continue
            listing = self.listing_of(ticker)
            unit = f" {listing.currency}" if listing.currency else ""
            if not amount > 0:
                said = "none" if np.isnan(amount) else in_words(amount)
                self._add(
                    statement.line,
                    f"Expected amount as the dividend per share{unit and ', in' + unit}, above 0. "
                    f"Received: {said}.",
                )
                continue
            close = _close_on(listing.bars, statement.known_on)
            if close is not None and amount >= close:
                self._add(
                    statement.line,
                    f"Expected amount below the close of {ticker} known on "
                    f"{statement.known_on:%Y-%m-%d}, {in_words(close)}{unit}. "
                    f"Received: {in_words(amount)}.",
                )

    def _check_contradictions(self, statements: Sequence[_Statement]) -> None:
        """Check that no two lines say different things about one event on one day."""
        said: dict[tuple[str, pd.Timestamp, pd.Timestamp], _Statement] = {}
        for statement in statements:
            first = said.setdefault(
                (statement.ticker, statement.session, statement.known_on), statement
            )
            if _content(first) != _content(statement):
                self._add(
                    statement.line,
                    f"Expected one statement about {statement.ticker} "
                    f"{statement.session:%Y-%m-%d} on {statement.known_on:%Y-%m-%d}. "
                    f"Line {first.line} says something else.",
                )

    def _add(self, line: int, mistake: str) -> None:
        self.mistakes.append((line, mistake))

    def _refuse_mistakes(self) -> None:
        if not self.mistakes:
            return
        self.mistakes.sort(key=lambda mistake: mistake[0])
        lines = [f"{self.file}:{line}: {text}" for line, text in self.mistakes[:MAX_MISTAKES]]
        if len(self.mistakes) > MAX_MISTAKES:
            lines.append(f"… and {len(self.mistakes) - MAX_MISTAKES:,} more")
        raise ConfigError(
            "\n".join(lines),
            hint=f"nothing was stored; correct the file, then: {self.command}",
        )


def _close_on(bars: pd.DataFrame, day: pd.Timestamp) -> float | None:
    """Return the close of a day in the shares of that day, or the first one; None if unknown."""
    if not len(bars):
        return None
    row = max(int(bars.index.searchsorted(day, side="right")) - 1, 0)
    return float(bars["close"].iloc[row]) * shares_since(bars["split"], day)


def _content(statement: _Statement) -> tuple[str, str, str]:
    return statement.timing, statement.status, str(statement.amount)  # NaN is not equal to itself


def _list(names: Sequence[str]) -> str:
    return ", ".join(name or "a column without a name" for name in names)
