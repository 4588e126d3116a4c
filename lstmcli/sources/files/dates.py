"""Dates as files write them: orders of day and month, names of months, times, epochs.

A column has one way to write dates. It is found from all of its cells.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from lstmcli.errors import DataError

DateOrder = Literal["dmy", "mdy", "ymd"]

EXAMPLE = "Expected a date such as 2024-03-08"

_TIME = (
    r"(?:[T ,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?)?\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2}|[A-Z]{2,4})?"
)
_YEAR_FIRST = re.compile(
    r"^(?P<y>\d{4})(?P<mark>[-/. 年]?)(?P<m>\d{1,2})[-/. 月]?(?P<d>\d{1,2})日?" + _TIME + "$"
)
_YEAR_LAST = re.compile(
    r"^(?P<a>\d{1,2})[-/. ](?P<b>\d{1,2})[-/. ](?P<y>\d{4}|\d{2})" + _TIME + "$"
)
_NAMED = re.compile(
    r"^(?:[A-Za-z]{3,9},? )?(?:(?P<m1>[A-Za-z]{3,9})\.? (?P<d1>\d{1,2}),? "
    r"|(?P<d2>\d{1,2})[- .](?P<m2>[A-Za-z]{3,9})\.?[- .])(?P<y>\d{4}|\d{2})" + _TIME + "$"
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

_EPOCHS = {10: "s", 9: "s", 13: "ms", 12: "ms", 16: "us", 19: "ns"}
"""By the number of digits: years from 1973 on."""


@dataclass(frozen=True)
class Stamps:
    """When each line was, as its text says.

    Attributes:
        wall: (R,) datetime64[ns], date and time without a zone; NaT where it is no date.
        utc: (R,) bool, whether `wall` is in UTC: it was an epoch, or the text says so.
        timed: (R,) bool, whether the text has a time of day.
        order: how dates with the year at the end, or of two digits, were read; else None.
    """

    wall: pd.Series
    utc: pd.Series
    timed: pd.Series
    order: DateOrder | None = None

    def rows(self, at: slice) -> Stamps:
        """Return the same for some of the lines."""
        parts = {name: getattr(self, name).iloc[at] for name in ("wall", "utc", "timed")}
        return replace(self, **parts)


def read_dates(cells: pd.Series, *, order: DateOrder | None, file: str, column: str) -> Stamps:
    """Return the dates and times of a column (R,) of text, numbers or timestamps.

    Args:
        order: of day, month and year, where the user says it.
        column: its name, for the error.

    Raises:
        DataError: every day is 12 or less, so that days and months look the same.
    """
    if pd.api.types.is_datetime64_any_dtype(cells):
        return _typed(cells)
    text = cells.astype(str) if not pd.api.types.is_string_dtype(cells) else cells
    # Where a column was once floating point: 1622088000.0
    text = text.str.replace(r"^(\d+)\.0$", r"\1", regex=True)
    text = text.str.replace(r"(?<=\d)\s*([-/.])\s+(?=\d)", r"\1", regex=True)  # 2024- 03- 08
    # Many lines share a date: each way of writing it is read once.
    code, kinds = pd.factorize(text)
    unique = pd.Series(kinds, dtype=text.dtype)
    stamps = _epochs(unique)
    if stamps is None:
        stamps = _written(unique, order, f"{file}: {column}")
    spread = {
        name: pd.Series(getattr(stamps, name).to_numpy()[code], index=cells.index)
        for name in ("wall", "utc", "timed")
    }
    return Stamps(**spread, order=stamps.order)


def _typed(cells: pd.Series) -> Stamps:
    utc = getattr(cells.dt, "tz", None) is not None and str(cells.dt.tz) == "UTC"
    wall = cells.dt.tz_localize(None).astype("datetime64[ns]")
    return Stamps(wall, pd.Series(utc, index=cells.index), wall != wall.dt.normalize())


def _epochs(text: pd.Series) -> Stamps | None:
    """Return what seconds, milliseconds … since 1970, or days since 1900, say; else None."""
    digits = text.str.fullmatch(r"\d+")
    size = int(text.str.len().median()) if len(text) else 0
    if not len(text) or digits.mean() < 0.5 or not (size == 5 or size in _EPOCHS):
        return None
    value = pd.to_numeric(text.where(digits & (text.str.len() >= size - 1)), errors="coerce")
    if size == 5:  # a spreadsheet's days
        wall = pd.to_datetime(value, unit="D", origin="1899-12-30", errors="coerce")
    else:
        wall = pd.to_datetime(value, unit=_EPOCHS[size], errors="coerce")
    wall = wall.astype("datetime64[ns]")
    whole = pd.Series(size != 5, index=text.index)
    return Stamps(wall, whole, wall.notna() & (wall != wall.dt.normalize()))


def _written(text: pd.Series, order: DateOrder | None, column: str) -> Stamps:
    """Return what texts such as 2024-03-08, 3/8/2024 or Mar 8, 2024 say."""
    first = text.str.extract(_YEAR_FIRST)
    last = text.str.extract(_YEAR_LAST)
    named = text.str.extract(_NAMED)
    year, month, day = first["y"], first["m"], first["d"]
    used: DateOrder | None = None
    # A few dates of another kind are faults, which the reader names.
    if last["y"].notna().mean() > 0.5:
        used = order or _order(last, text, column)
        parts = {"dmy": ("y", "b", "a"), "mdy": ("y", "a", "b"), "ymd": ("a", "b", "y")}[used]
        year, month, day = (
            have.fillna(last[part]) for have, part in zip((year, month, day), parts, strict=True)
        )
    month_name = named["m1"].fillna(named["m2"]).str[:3].str.lower()
    number = {name: str(place) for place, name in enumerate(_MONTHS, start=1)}
    year, month = year.fillna(named["y"]), month.fillna(month_name.map(number))
    day = day.fillna(named["d1"].fillna(named["d2"]))
    zone, hour, minute, second, half = (
        first[part].fillna(last[part]).fillna(named[part])
        for part in ("zone", "hour", "minute", "second", "half")
    )
    numbers = [pd.to_numeric(part, errors="coerce") for part in (year, month, day)]
    numbers[0] = numbers[0] + np.where(numbers[0] < 70, 2000, np.where(numbers[0] < 100, 1900, 0))
    frame = pd.DataFrame(dict(zip(("year", "month", "day"), numbers, strict=True)))
    date = pd.to_datetime(frame, errors="coerce").astype("datetime64[ns]")
    clock = [pd.to_numeric(part, errors="coerce").fillna(0) for part in (hour, minute, second)]
    afternoon = half.str[:1].str.lower()
    hours = clock[0] % 12 + 12 * (afternoon == "p") if half.notna().any() else clock[0]
    wall = date + pd.to_timedelta(hours * 3600 + clock[1] * 60 + clock[2], unit="s")
    utc = zone.str.fullmatch(r"Z|UTC|GMT|[+-]00:?00").fillna(False).astype(bool)
    return Stamps(
        wall.astype("datetime64[ns]"), utc & hour.notna(), (wall != date) & wall.notna(), used
    )


def _order(last: pd.DataFrame, text: pd.Series, column: str) -> DateOrder:
    """Return the order that the whole column proves."""
    a, b = (pd.to_numeric(last[name], errors="coerce") for name in "ab")
    day_first, month_first = bool((a > 12).any()), bool((b > 12).any())
    if (a > 31).any():
        return "ymd"
    if day_first != month_first:
        return "dmy" if day_first else "mdy"
    known = last["y"].notna()
    if not day_first and bool(text[known].str.match(r"\d+\.").all()):
        return "dmy"  # dots are written with the day first
    shown = ", ".join(repr(value) for value in text[known].unique()[:3])
    if day_first:
        raise DataError(
            f"{column}: Expected dates of one order. Received: {shown}, with days and months "
            "in both places.",
            hint="write all dates as 2024-03-08",
        )
    raise DataError(
        f"{column}: Expected dates that can be read in one way. Received: {shown}, where "
        "day and month may be either.",
        hint="say which with --dates dmy or --dates mdy",
    )
