"""From the bytes of a file to a table: separator, header, names, lines."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from lstmcli.errors import DataError
from lstmcli.sources.files.content import check_is_table, decoded, refused, unpacked
from lstmcli.sources.files.layouts import KLINES, PLAIN, role_of, without_tickers

SEPARATORS = (",", ";", "\t", "|", " ")
"""The first of equals wins: a line of words with spaces may be a title."""

MAX_HEADER = 40
"""Lines among which the header is looked for: some files begin with a banner."""


@dataclass(frozen=True)
class Table:
    """Columns of a file, as text where it is text.

    Attributes:
        cells: (R, C) labelled 0…C−1; the index is the line in the file.
        names: (C,) of the columns, as the file has them.
        tickers: (C,) the ticker above each column, "" where there is none.
        separator: between columns; None where the file is no text.
        notes: how the file was read, where that is not plain.
    """

    cells: pd.DataFrame
    names: tuple[str, ...]
    tickers: tuple[str, ...]
    separator: str | None
    notes: tuple[str, ...] = ()


def read_table(content: bytes, file: str, *, named: Sequence[str] = ()) -> Table:
    """Return the table that a file holds.

    Args:
        file: its name, for errors.
        named: columns that the user names, which make a line the header too.

    Raises:
        DataError: it holds no table that could be bars.
    """
    content = unpacked(content, file)
    if content[:4] == b"PAR1":
        return _parquet(content, file)
    if content[:4] == b"\xd0\xcf\x11\xe0":
        raise refused(file, "an Excel workbook")
    text, encoding = decoded(content, file)
    check_is_table(text, file)
    table = _text_table(text, file, named)
    notes = () if encoding == "utf-8" else (f"read as {encoding}",)
    if table.separator == "\t":
        notes = (*notes, "separated by tabs")
    elif table.separator != ",":
        notes = (*notes, f"separated by {table.separator!r}")
    return Table(table.cells, table.names, table.tickers, table.separator, (*notes, *table.notes))


@dataclass(frozen=True)
class _Header:
    """Where a header stands, and what separates its names."""

    line: int
    separator: str
    names: list[str]


def _text_table(text: str, file: str, named: Sequence[str]) -> Table:
    top = text[:100_000].splitlines()[:MAX_HEADER]
    header = _header(top, named)
    if header is None:
        return _without_header(text, top, file)
    rows = list(csv.reader(top, delimiter=header.separator, skipinitialspace=True))
    # csv.reader joins quoted line breaks; a header has none.
    names, tickers = without_tickers(header.names)
    width = len(names)
    priced = [
        at for at, name in enumerate(names) if role_of(name) in ("open", "high", "low", "close")
    ]
    begin = header.line + 1
    above = [row for row in rows[: header.line] if any(cell.strip() for cell in row)]
    below: list[list[str]] = []
    while begin < len(rows) and _names_only(rows[begin], priced):
        below.append(rows[begin])
        begin += 1
    banner = []
    for row in [*above, *below]:
        cells = [cell.strip() for cell in row] + [""] * (width - len(row))
        if all(cells[at] for at in priced) and len(cells) == width:
            tickers = cells
        elif cells[0] and role_of(cells[0]) == "date" and not any(cells[1:]):
            names[0] = cells[0]
        elif any(cells) and not cells[0].startswith("sep="):
            banner.append(" ".join(cell for cell in cells if cell))
    notes = [f"line without bars: {line[:60]!r}" for line in banner]
    tickers = ["" if role_of(name) == "date" else t for name, t in zip(names, tickers, strict=True)]
    cells = _cells(text, header.separator, begin, width, file)
    names += [""] * (cells.shape[1] - width)
    tickers += [""] * (cells.shape[1] - width)
    return Table(cells, tuple(names), tuple(tickers), header.separator, tuple(notes))


def _header(top: Sequence[str], named: Sequence[str]) -> _Header | None:
    """Return the line that names most columns, the first of equals."""
    best, most = None, 0
    for separator in SEPARATORS:
        for line, row in enumerate(csv.reader(top, delimiter=separator, skipinitialspace=True)):
            names = [cell.strip() for cell in row]
            roles = {role_of(name) for name in without_tickers(names)[0]} - {None}
            known = len(roles & {"date", "open", "high", "low", "close"})
            known += sum(name in names for name in named)
            if known > most:
                best, most = _Header(line, separator, names), known
    return best


def _names_only(row: Sequence[str], priced: Sequence[int]) -> bool:
    """Return whether a line below the header goes on with it: tickers, or a lone Date."""
    cells = [cell.strip() for cell in row]
    prices = [cells[at] for at in priced if at < len(cells)]
    if not any(cells):
        return False
    lone = role_of(cells[0]) == "date" and not any(cells[1:])
    above_prices = bool(prices) and all(cell and not re.search(r"^[\W\d]", cell) for cell in prices)
    return lone or (above_prices and not re.match(r"\d", cells[0]) and cells[0].lower() != "date")


def _without_header(text: str, top: Sequence[str], file: str) -> Table:
    """Return the table of a file without header, if its columns show what they are."""
    for separator in SEPARATORS:
        rows = [row for row in csv.reader(top, delimiter=separator) if row]
        names = _shown_names(rows)
        if names is None:
            continue
        cells = _cells(text, separator, 0, len(names), file)
        known = [name for name in names if not name.startswith("column ")]
        note = f"no header: read as {', '.join(known[:7])}"
        return Table(cells, tuple(names), ("",) * len(names), separator, (note,))
    raise DataError(
        f"{file}: Expected the columns Date, Open, High, Low, Close and perhaps Adj Close, Volume, "
        f"Dividends, Stock Splits, Ticker. Received: {(top[0] if top else '')[:200]}.",
        hint="name them: --columns date=NAME,open=NAME,high=NAME,low=NAME,close=NAME",
    )


def _shown_names(rows: Sequence[Sequence[str]]) -> list[str] | None:
    """Return names of columns without header: four in a row are open, high, low and close.

    Before them stand a date and perhaps a time and a ticker, after them the volume.
    """
    width = len(rows[0]) if rows else 0
    if width < 5 or any(len(row) != width for row in rows):
        return None
    if width == len(KLINES) and re.fullmatch(r"\d{10,}", rows[0][0]):
        return list(KLINES)
    numbers = pd.DataFrame(rows).apply(pd.to_numeric, errors="coerce")
    for first in range(1, min(4, width - 3)):
        prices = numbers.iloc[:, first : first + 4]
        in_range = prices.iloc[:, 1].eq(prices.max(axis=1)) & prices.iloc[:, 2].eq(
            prices.min(axis=1)
        )
        before = [_kind(cell) for cell in rows[0][:first]]
        if in_range.all() and before.count("date") == 1 and len(set(before)) == first:
            after = ["volume", *[f"column {n}" for n in range(first + 6, width + 1)]]
            return [*before, *PLAIN[1:5], *after][:width]
    return None


def _kind(cell: str) -> str:
    if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", cell):
        return "time"
    return "date" if re.match(r"\d{4}|\d{1,2}[-/.]", cell) else "ticker"


def _cells(text: str, separator: str, begin: int, width: int, file: str) -> pd.DataFrame:
    """Return the lines from `begin` on as text, without blank ones; the index is the line."""
    try:
        cells = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None,
            skiprows=begin,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            skipinitialspace=True,
        )
    except ValueError as error:  # pandas' ParserError and EmptyDataError
        raise DataError(
            f"{file}: cannot be read as CSV: {str(error).strip() or type(error).__name__}.",
            hint="Expected a header and one line per session, each with as many columns",
        ) from error
    cells.index = pd.RangeIndex(begin + 1, begin + 1 + len(cells))
    cells = cells.fillna("")
    for column in range(cells.shape[1], width):
        cells[column] = ""
    return cells[(cells != "").any(axis=1)]


def _parquet(content: bytes, file: str) -> Table:
    import pyarrow

    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{file}: cannot be read as Parquet: {error}.", hint="write or download it again"
        ) from error
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(allow_duplicates=True)
    labels = [label if isinstance(label, tuple) else (label,) for label in frame.columns]
    names, tickers = [], []
    for label in labels:
        texts = ["" if part is None else str(part) for part in label]
        name = next((text for text in texts if role_of(text)), texts[0])
        names.append(name)
        tickers.append(next((text for text in texts if text and text != name), ""))
    cells = frame.set_axis(range(frame.shape[1]), axis=1)
    cells.index = pd.RangeIndex(1, len(cells) + 1)
    return Table(cells, tuple(names), tuple(tickers), None)
