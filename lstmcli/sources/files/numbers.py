"""Numbers as files write them: decimal commas, thousands, currency signs, K and M.

A file has one way to write numbers. It is found from all of its columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import pandas as pd

from lstmcli.errors import DataError

Decimal = Literal[",", "."]

ABSENT = frozenset(["", "nan", "null", "none", "nil", "n/a", "na", "#n/a", "-", "--", "—", "."])
"""What stands for no number, in lower case."""

_SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}

_AROUND = (
    r"\s*[€$£¥₹%]$|^[A-Z]{0,3}[€$£¥₹]\s*(?=[-\d.,])|^[A-Z]{3}\s(?=[-\d.,])"
    r"|[\s'’\u00a0\u2009\u202f]|^\+"
)
"""What may stand around a number: currencies, spaces and apostrophes between thousands."""

_PROOFS: dict[str, tuple[Decimal, str]] = {
    "1,234.5": (".", r"^-?[\d,]*,\d{3}\.\d*$"),
    "1.234,5": (",", r"^-?[\d.]*\.\d{3},\d*$"),
    "1,234,567": (".", r"^-?\d{1,3}(?:,\d{2,3})+,\d{3}$"),
    "1.234.567": (",", r"^-?\d{1,3}(?:\.\d{3}){2,}$"),
    "12.34": (".", r"^-?(?:\d*\.(?:\d{1,2}|\d{4,})|0*\.\d+|\d{4,}\.\d+)$"),
    "12,34": (",", r"^-?(?:\d*,(?:\d{1,2}|\d{4,})|0*,\d+|\d{4,},\d+)$"),
}
"""Ways to write a number that leave one decimal mark, each with an example as its name."""

_EITHER = r"^-?\d{1,3},\d{3}$"  # 87,190 is 87.19 or 87190


def decimal_mark(columns: Iterable[pd.Series], *, separator: str | None, file: str) -> Decimal:
    """Return the decimal mark of a file, from all of its number columns.

    Args:
        columns: text, stripped.
        separator: between columns. A file separated by semicolons has commas for
            decimals; in one separated by commas a comma in a cell is for thousands.
        file: its name, for the error.

    Raises:
        DataError: the numbers prove neither, or both.
    """
    proofs: dict[Decimal, tuple[str, int]] = {}
    either: tuple[str, int] | None = None
    for column in columns:
        text = _bare(column).str.replace(r"[kKmMbBtT]$", "", regex=True)
        marked = text[text.str.contains(r"[.,]", regex=True)]
        for mark, pattern in _PROOFS.values():
            found = marked.str.contains(pattern, regex=True)
            if found.any() and mark not in proofs:
                line = int(found.idxmax())
                proofs[mark] = str(column[line]), line
        unclear = marked.str.contains(_EITHER, regex=True)
        if unclear.any() and either is None:
            line = int(unclear.idxmax())
            either = str(column[line]), line
    if len(proofs) == 2:
        shown = " and ".join(f"{text!r} (line {line})" for text, line in proofs.values())
        raise DataError(
            f"{file}: Expected one decimal mark in all numbers. Received: {shown}.",
            hint="correct these lines, or say which holds with --decimal . or --decimal ,",
        )
    if proofs:
        return next(iter(proofs))
    if either is None:
        return "."
    if separator in (";", ","):
        return "," if separator == ";" else "."
    text, line = either
    raise DataError(
        f"{file}: Expected numbers that can be read in one way. Received: {text!r} (line {line}), "
        "where the comma may be for decimals or for thousands.",
        hint="say which with --decimal , or --decimal .",
    )


def plain_numbers(columns: Iterable[pd.Series]) -> bool:
    """Return whether every cell is a plain number such as 12.34, or absent."""
    return all(
        not unreadable(column, pd.to_numeric(column, errors="coerce")).any() for column in columns
    )


def numbers(text: pd.Series, decimal: Decimal) -> pd.Series:
    """Return text as float64; NaN where it is absent or no number."""
    if pd.api.types.is_numeric_dtype(text):
        return text.astype(float)
    plain = pd.to_numeric(text, errors="coerce")
    if decimal == "." and not unreadable(text, plain).any():
        return plain.astype(float)
    bare = _bare(text)
    scale = bare.str[-1:].str.lower().map(_SUFFIXES)
    bare = bare.where(scale.isna(), bare.str[:-1])
    thousands = "," if decimal == "." else "."
    bare = bare.str.replace(thousands, "", regex=False).str.replace(decimal, ".", regex=False)
    # An exponent is no thousands' mark: 2.5e-05 has its plain reading.
    parsed = pd.to_numeric(bare, errors="coerce").astype(float) * scale.fillna(1.0).astype(float)
    if decimal == ".":
        parsed = plain.astype(float).where(plain.notna(), parsed)
    return parsed


def unreadable(text: pd.Series, parsed: pd.Series) -> pd.Series:
    """Return which cells (R,) hold something that is no finite number."""
    infinite = parsed.isin([float("inf"), float("-inf")])
    failed = parsed.isna() | infinite
    if not failed.any() or pd.api.types.is_numeric_dtype(text):
        return infinite
    # Few cells fail, as a rule: only those are compared.
    wrong = failed.copy()
    wrong[failed] = ~text[failed].str.lower().isin(ABSENT)
    return wrong


def _bare(text: pd.Series) -> pd.Series:
    return text.str.replace("−", "-", regex=False).str.replace(_AROUND, "", regex=True)
