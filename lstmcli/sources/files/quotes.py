"""From a table to the quotes of its tickers: which lines, which days, which numbers.

A quote is what one line says about one ticker on one day, before anything is adjusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from lstmcli.errors import DataError
from lstmcli.sources.base import PRICES
from lstmcli.sources.files.actions import ratios, with_actions
from lstmcli.sources.files.dates import DateOrder, Stamps, read_dates
from lstmcli.sources.files.layouts import columns_of, fully_adjusted, plain_name, role_of
from lstmcli.sources.files.numbers import Decimal, decimal_mark, numbers, plain_numbers, unreadable
from lstmcli.sources.files.tables import Table

NUMBERS = (*PRICES, "adjusted", "volume", "dividend", "gains", "split")

MAX_STRAY = 0.05
"""Fraction of lines that may be no quotes: footers, and headers in the middle."""


_MAY_BE_DATE = r"^\s*(?:[A-Za-z]{3,9},? )?(?:[A-Za-z]{3,9}\.? )?\d"


@dataclass(frozen=True)
class Quotes:
    """The quotes of a file, one ticker after the other.

    Attributes:
        values: (R, …) float64 by role, NaN where absent or wrong; the index is the line.
        wrong: (R, …) bool by role, whether the cell holds something that is no number.
        cells: (R, …) by role, as the file has it, for messages.
        stamps: when each line was.
        tickers: (R,) in capitals, "" where the cell is empty; None without such a column.
        period: (R,) such as D; None without such a column.
        names: by role, what the file calls the column.
        notes: how the file was read, and what was left out.
        fully_adjusted: whether the layout is known to adjust prices for dividends.
    """

    values: pd.DataFrame
    wrong: pd.DataFrame
    cells: pd.DataFrame
    stamps: Stamps
    tickers: pd.Series | None
    period: pd.Series | None
    names: Mapping[str, str]
    notes: tuple[str, ...]
    fully_adjusted: bool = False

    @cached_property
    def spans(self) -> dict[str, slice]:
        """Return the rows of each ticker, which follow each other."""
        if self.tickers is None:
            return {}
        codes, names = pd.factorize(self.tickers)
        ends = np.searchsorted(codes, np.arange(len(names)), side="right").tolist()
        return dict(zip(map(str, names), map(slice, [0, *ends[:-1]], ends), strict=True))

    def of(self, ticker: str) -> Quotes:
        """Return the quotes of one ticker, in the order of the file."""
        at = self.spans[ticker]
        return replace(
            self,
            values=self.values.iloc[at],
            wrong=self.wrong.iloc[at],
            cells=self.cells.iloc[at],
            stamps=self.stamps.rows(at),
            tickers=None,
            period=None if self.period is None else self.period.iloc[at],
        )


def read_quotes(
    table: Table,
    file: str,
    *,
    order: DateOrder | None = None,
    decimal: Decimal | None = None,
    columns: Mapping[str, str] | None = None,
) -> Quotes:
    """Return what every line of a table says.

    Args:
        file: its name, for errors.
        order: of day and month; None: what the whole column proves.
        decimal: its decimal mark; None: what all numbers prove.
        columns: role → name of the column, where the user says so.

    Raises:
        DataError: columns are missing, or dates or numbers can be read in two ways.
        ConfigError: the user names a column that is not there.
    """
    frame, names, unread = _by_role(table, columns or {}, file)
    frame, stray = _without_strays(frame, names, file)
    frame = _by_ticker(with_actions(frame))
    stated = [role for role in NUMBERS if role in frame]
    text = {role: _text(frame[role]) for role in stated}
    if "split" in text:
        text["split"] = ratios(text["split"])
    notes = list(table.notes)
    mark = decimal or "."
    written = [text[role] for role in stated if pd.api.types.is_string_dtype(text[role])]
    if decimal is None and not plain_numbers(written):
        mark = decimal_mark(written, separator=table.separator, file=file)
    if mark == ",":
        notes.append("decimal commas")
    values = pd.DataFrame({role: numbers(text[role], mark) for role in stated}, index=frame.index)
    wrong = pd.DataFrame({role: unreadable(text[role], values[role]) for role in stated})
    stamps = read_dates(
        _with_time(_text(frame["date"]), table, names["date"]),
        order=order,
        file=file,
        column=names["date"],
    )
    if stamps.order:
        notes.append(f"dates read as {_ORDERS[stamps.order]}")
    notes += stray
    if unread:
        shown = ", ".join(unread[:8]) + (" …" if len(unread) > 8 else "")
        notes.append(f"columns not read: {shown}")
    if "volume" not in frame:
        values["volume"], wrong["volume"] = np.nan, False
        notes.append("no column of volume was found")
    return Quotes(
        values=values,
        wrong=wrong,
        cells=frame,
        stamps=stamps,
        tickers=frame.get("ticker"),
        period=frame.get("period"),
        names=names,
        notes=tuple(notes),
        fully_adjusted=fully_adjusted(table.names),
    )


_ORDERS = {"dmy": "day, month, year", "mdy": "month, day, year", "ymd": "year, month, day"}


def _with_time(dates: pd.Series, table: Table, name: str) -> pd.Series:
    """Return the dates with the times of a column beside them, unless these are all the same."""
    beside = [at for at, other in enumerate(table.names) if plain_name(other) == "time"]
    if not beside or plain_name(name) == "time" or _typed(dates) or any(table.tickers):
        return dates
    times = table.cells[beside[0]].loc[dates.index]
    if _typed(times) or times.nunique() < 2:
        return dates
    return dates + " " + times.str.replace(r"^(\d\d)(\d\d)(\d\d)?$", r"\1:\2", regex=True)


def _by_ticker(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of each ticker, in capitals, one after the other.

    To take scattered lines of one ticker from text takes as long as to take all.
    """
    if "ticker" not in frame:
        return frame
    frame = frame.assign(ticker=_text(frame["ticker"]).str.upper())
    codes = pd.factorize(frame["ticker"])[0]
    return frame if (np.diff(codes) >= 0).all() else frame.iloc[np.argsort(codes, kind="stable")]


def _text(column: pd.Series) -> pd.Series:
    """Return a column of text without spaces around it; a typed one as it is."""
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return column
    return column.astype("str").fillna("").str.strip()


def _by_role(
    table: Table, overrides: Mapping[str, str], file: str
) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """Return the columns by role, their names, and the names of those not read."""
    over = dict.fromkeys(ticker for ticker in table.tickers if ticker)
    groups: list[tuple[str, list[int]]] = [
        (ticker, [at for at, t in enumerate(table.tickers) if t in ("", ticker)]) for ticker in over
    ] or [("", list(range(len(table.names))))]
    parts, names, read = [], {}, set()
    for ticker, positions in groups:
        here = [table.names[at] for at in positions]
        places = {
            role: positions[at] for role, at in columns_of(here, overrides, file=file).items()
        }
        first = positions[0]
        if "date" not in places and table.names[first].strip().lower() in ("", "index", "price"):
            places["date"] = first  # an index without a name
        _check_complete(places, table, file)
        read |= set(places.values())
        names = {role: table.names[at].strip() or role for role, at in places.items()}
        part = table.cells[list(places.values())].set_axis(list(places), axis=1)
        if ticker:
            part = part.assign(ticker=ticker)
        parts.append(part)
    frame = parts[0] if len(parts) == 1 else pd.concat(parts)
    if len(parts) > 1:  # of several tickers side by side, each has its own days
        priced = frame[PRICES].apply(lambda column: _text(column).isin(["", None]))
        frame = frame[~(priced.all(axis=1) | frame[PRICES].isna().all(axis=1))]
    unread = [
        name.strip()
        for at, name in enumerate(table.names)
        if at not in read and name.strip() and not _needs_no_word(table, at)
    ]
    return frame, names, list(dict.fromkeys(unread))


def _check_complete(places: Mapping[str, int], table: Table, file: str) -> None:
    missing = [role for role in ("date", *PRICES) if role not in places]
    if not missing:
        return
    seen = ", ".join(name.strip() for name in table.names if name.strip())[:300]
    hint = "bars need an open, high, low and close of each session"
    if len([name for name in table.names if role_of(name) is None]) >= len(missing):
        hint += "; columns of other names: --columns " + ",".join(f"{m}=NAME" for m in missing)
    raise DataError(
        f"{file}: Expected the columns Date, Open, High, Low, Close and perhaps Adj Close, Volume, "
        f"Dividends, Stock Splits, Ticker. Received: {seen}. Missing: {', '.join(missing)}.",
        hint=hint,
    )


def _needs_no_word(table: Table, at: int) -> bool:
    """Return whether a column is pandas' index, or the time of day, which dates are read with."""
    return plain_name(table.names[at]) in ("index", "unnamed: 0", "level 0", "time")


def _without_strays(
    frame: pd.DataFrame, names: Mapping[str, str], file: str
) -> tuple[pd.DataFrame, list[str]]:
    """Return the lines that may be quotes, and notes on the others.

    A line is none if no price holds a digit and its date is none: a footer, or a
    header in the middle of two files that were joined.
    """
    columns = ["date", *PRICES]
    if any(_typed(frame[column]) for column in columns):
        return frame, []
    # A footer may hold a date among its words; the date of a line begins it, or has a month.
    digits = frame["date"].str.contains(_MAY_BE_DATE, regex=True).to_numpy(bool, copy=True)
    for column in PRICES:
        digits |= frame[column].str.contains(r"\d", regex=True).to_numpy()
    if digits.all():
        return frame, []
    stray = frame[~digits]
    if len(stray) > max(5, MAX_STRAY * len(frame)):
        raise DataError(
            f"{file}: Expected a date and prices on every line. Received: none on {len(stray)} of "
            f"{len(frame)} lines, such as {listed(stray.index)}.",
            hint=f"the columns read are {', '.join(f'{r}={n}' for r, n in names.items())}; "
            "--columns close=NAME reads another",
        )
    return frame[digits], [f"without a date and a price, and not read: {listed(stray.index)}"]


def _typed(column: pd.Series) -> bool:
    return not pd.api.types.is_string_dtype(column)


def listed(lines: Iterable[int]) -> str:
    """Return lines of a file for a message, the first five of them."""
    ordered = sorted({int(line) for line in lines})
    more = f" and {len(ordered) - 5} more" if len(ordered) > 5 else ""
    return f"line{'s' if len(ordered) > 1 else ''} {', '.join(map(str, ordered[:5]))}{more}"
