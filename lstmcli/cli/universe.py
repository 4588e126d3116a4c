"""Files of tickers: one a line, or a table with a column of them, as people have them."""

from __future__ import annotations

import codecs
import csv
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from lstmcli.errors import ConfigError, shell_word

log = logging.getLogger(__name__)

_HEADS = ("ticker", "tickers", "symbol", "symbols", "ticker symbol")
"""What the column of tickers may be called, in any letters."""

_SHOWN = 20
"""Names in a message at most."""

_TEXTS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by how a file begins."""


def read_universe(path: Path) -> list[str]:
    """Return the tickers of a file in capitals, once each; a warning says what is odd in it.

    What can be no ticker is among them: it fails alone, where its turn comes.

    Raises:
        ConfigError: the file cannot be read, or names no ticker.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"{path}: Expected a text file with one ticker a line. Received: {reason}.",
            hint="name a file of tickers, such as --universe watchlist.txt",
        ) from error
    named = [name.upper() for name in _names(path, _text(path, content)) if name]
    if not named:
        raise ConfigError(
            f"{path}: Expected one ticker a line. Received: none.",
            hint=f"echo MRK >> {shell_word(str(path))}",
        )
    tickers = list(dict.fromkeys(named))
    _say_what_is_odd(path, named, tickers)
    return tickers


def _text(path: Path, content: bytes) -> str:
    """Return the text of a file in UTF-8, in UTF-16, or in one byte a letter.

    Raises:
        ConfigError: it is no text.
    """
    encoding = next((name for mark, name in _TEXTS.items() if content.startswith(mark)), "utf-8")
    if encoding == "utf-8" and len(content) > 1 and 0 in content[:2]:
        encoding = "utf-16-be" if content[0] == 0 else "utf-16-le"  # without its mark
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # tickers are ASCII: only comments can differ
    if "\0" in text:
        raise ConfigError(
            f"{path}: Expected a text file with one ticker a line. Received: bytes that are no "
            "text, as of a spreadsheet or an archive.",
            hint="save it as text or CSV",
        )
    return text


def _names(path: Path, text: str) -> list[str]:
    """Return the names of a list, or those in the column of a table.

    Raises:
        ConfigError: a table has no such column.
    """
    lines = [line for line in text.splitlines() if line.strip() and line.strip()[0] != "#"]
    if lines and re.fullmatch(r"sep=.", lines[0].strip(), re.IGNORECASE):
        del lines[0]  # Excel writes it
    if not lines:
        return []
    delimiter = max(",;\t|", key=lines[0].count)
    head = [name.strip().lower() for name in next(csv.reader(lines[:1], delimiter=delimiter))]
    column = next((head.index(name) for name in _HEADS if name in head), None)
    if column is not None:
        rows = csv.reader(lines[1:], delimiter=delimiter)
        return [row[column].strip() for row in rows if len(row) > column]
    if len(lines) > 1 and all(line.count(delimiter) == len(head) - 1 > 0 for line in lines):
        raise ConfigError(
            f"{path}: Expected a column called ticker or symbol. "
            f"Received: a table that begins {lines[0].strip()[:60]!r}.",
            hint="give the column that name in the first line, or write one ticker a line",
        )
    return [line.split("#")[0].strip().strip("\"'") for line in lines]


def _say_what_is_odd(path: Path, named: Sequence[str], tickers: Sequence[str]) -> None:
    from lstmcli.store.files import check_ticker

    wrong = []
    for ticker in tickers:
        try:
            check_ticker(ticker)
        except ConfigError:
            wrong.append(repr(ticker)[1:-1])
    again = len(named) - len(tickers)
    odd = [f"{again} duplicate{'s' * (again > 1)}"] if again else []
    if wrong:
        what = "names that cannot be tickers" if len(wrong) > 1 else "name that cannot be a ticker"
        shown = ", ".join(name[:_SHOWN] for name in wrong[:_SHOWN])
        odd.append(f"{len(wrong)} {what}: {shown}{', …' * (len(wrong) > _SHOWN)}")
    if odd:
        log.warning("%s: %s", path, ", ".join(odd))
