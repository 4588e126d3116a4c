"""From the stamps of a file to sessions: which day of its exchange each line is."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd

from lstmcli.errors import DataError, shell_word
from lstmcli.sessions import closing_times, time_zone
from lstmcli.sources.files.dates import Stamps

MAX_INTRADAY = 0.1
"""Fraction of lines that may share their day with another line of another time."""


def sessions_of(
    stamps: Stamps, calendar: str, file: str, ticker: str
) -> tuple[np.ndarray, list[str]]:
    """Return the session (R,) datetime64[ns] of each line, and notes.

    A moment in UTC becomes the day that it is at the exchange. NaT stands for a last
    line that was written before its session had closed: it is a quote of the day.

    Raises:
        DataError: the lines are intraday bars.
    """
    wall = stamps.wall
    timed = stamps.timed.to_numpy()
    utc = stamps.utc.to_numpy() & bool((stamps.utc & stamps.timed).any())
    local = wall.to_numpy().copy()
    notes = []
    if utc.any():
        zone = time_zone(calendar)
        there = wall.dt.tz_localize("UTC").dt.tz_convert(zone).dt.tz_localize(None)
        local = np.where(utc, there.to_numpy(), local)
        if zone != "UTC":
            notes.append(f"times in UTC were taken to {zone}, the zone of {calendar}")
    days = pd.DatetimeIndex(local).normalize()
    shared = pd.Series(days).duplicated(keep=False).to_numpy()
    times = pd.DataFrame({"day": days, "time": local}).drop_duplicates()
    if (
        shared.any()
        and timed.any()
        and len(times) - times["day"].nunique() > MAX_INTRADAY * len(times)
    ):
        most = int(times["day"].value_counts().iloc[0])
        raise DataError(
            f"{file}: {ticker}: Expected daily bars. Received: intraday bars, up to {most} a day.",
            hint="download or export daily bars: one line per session",
        )
    if 0 < timed.sum() < len(timed) / 2:
        row = int(np.flatnonzero(timed)[0])
        if timed.sum() > 1 or days[row] != days.max():
            raise DataError(
                f"{file}:{wall.index[row]}: {ticker} {pd.Timestamp(local[row])}: Expected a date "
                "without a time, as on other lines.",
                hint=f"correct or delete line {wall.index[row]}, then: "
                f"lstm fetch {shell_word(ticker)}",
            )
        if _still_open(pd.Timestamp(local[row]), calendar):
            notes.append(f"a quote of {pd.Timestamp(local[row]):%Y-%m-%d %H:%M} was left out")
            days = days.where(np.arange(len(days)) != row)
    return days.to_numpy(), notes


def _still_open(moment: pd.Timestamp, calendar: str) -> bool:
    """Return whether a local time of its exchange is before the close of that day."""
    zone = time_zone(calendar)
    begin = moment.normalize().tz_localize(zone).tz_convert("UTC")
    closes = closing_times(calendar, begin, begin + timedelta(days=1))
    return bool(len(closes)) and moment.tz_localize(zone) < closes[-1]
