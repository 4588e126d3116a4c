"""When an exchange opens and closes, as exchange_calendars knows it."""

from __future__ import annotations

import importlib.metadata
import io
import logging
import os
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import platformdirs

log = logging.getLogger(__name__)

KEPT_FOR = 7 * 24 * 3600.0
"""Seconds after which hours that were kept are built anew: time zones change, too."""


@dataclass(frozen=True)
class TradingHours:
    """Regular opens and closes (UTC) by session, and the days that they cover."""

    first: pd.Timestamp
    last: pd.Timestamp
    opens: pd.Series
    closes: pd.Series
    zone: str


def trading_hours(calendar: str, first: pd.Timestamp, last: pd.Timestamp) -> TradingHours | None:
    """Return the hours of an exchange around two days, as far as its calendar reaches.

    None, with a warning, where the calendar cannot be built.
    """
    # Whole decades: a build takes half a second however few days it covers, and is kept.
    return _hours(calendar, min(first.year, 2000) // 10, max(last.year, 2025) // 10)


@cache
def _hours(calendar: str, first_decade: int, last_decade: int) -> TradingHours | None:
    """Return hours that an earlier process has kept, or build them and keep them."""
    path = _kept_path(f"{calendar.replace('/', '_')}-{first_decade}0-{last_decade}9")
    found = None if path is None else _read(path)
    if found is not None:
        return found
    built = _build(calendar, first_decade, last_decade)
    if built is not None and path is not None:
        _keep(path, built)
    return built


def _build(calendar: str, first_decade: int, last_decade: int) -> TradingHours | None:
    import exchange_calendars

    first = pd.Timestamp(first_decade * 10, 1, 1)
    last = pd.Timestamp(last_decade * 10 + 9, 12, 31)
    with warnings.catch_warnings():
        # exchange_calendars 4.13 uses what pandas 3.1 has deprecated.
        warnings.simplefilter("ignore")
        try:
            try:
                built = exchange_calendars.get_calendar(calendar, start=first, end=last)
            except ValueError:
                # Outside the calendar's bounds, which only an instance tells.
                probe = exchange_calendars.get_calendar(calendar)
                first = max(first, probe.bound_min() or first)
                last = min(last, probe.bound_max() or last)
                built = exchange_calendars.get_calendar(calendar, start=first, end=last)
        except Exception as error:  # Some calendars fail on some pandas, each in its own way.
            warn_once(
                f"the calendar {calendar} cannot be built here ({type(error).__name__}): "
                "sessions are the weekdays seen in the ticker's own bars"
            )
            return None
    table = built.schedule
    table.index = pd.DatetimeIndex(table.index.to_numpy())
    return TradingHours(first, last, table["open"], table["close"], str(built.tz))


def _kept_path(name: str) -> Path | None:
    """Return where hours are kept for other processes of this user; None: nowhere."""
    version = importlib.metadata.version("exchange_calendars")
    try:
        folder = platformdirs.user_cache_path("lstm") / "trading-hours"
    except (OSError, RuntimeError):  # a user without a home
        return None
    return folder / f"{name}-{version}-{pd.__version__}.npz"


def _read(path: Path) -> TradingHours | None:
    """Return hours that were kept of late; None where there are none of use."""
    try:
        if not 0 <= time.time() - path.stat().st_mtime < KEPT_FOR:
            return None
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as kept:
            sessions = pd.DatetimeIndex(kept["sessions"])
            opens, closes = (
                pd.Series(pd.DatetimeIndex(kept[name], tz="UTC"), sessions, name=name)
                for name in ("open", "close")
            )
            first, last = map(pd.Timestamp, kept["span"])
            return TradingHours(first, last, opens, closes, str(kept["zone"]))
    except Exception as error:  # numpy fails on damaged files in many ways
        log.debug("%s is of no use: %r", path, error)
        return None


def _keep(path: Path, hours: TradingHours) -> None:
    stream = io.BytesIO()
    np.savez(
        stream,
        sessions=hours.opens.index.to_numpy(),
        open=hours.opens.dt.tz_localize(None).to_numpy(),
        close=hours.closes.dt.tz_localize(None).to_numpy(),
        span=np.array([hours.first.to_datetime64(), hours.last.to_datetime64()]),
        zone=np.array(hours.zone),
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(stream.getvalue())
        temporary.replace(path)
    except OSError as error:
        log.debug("%s cannot be written: %r", path, error)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@cache
def warn_once(message: str) -> None:
    """Log a warning, the first time that it is given."""
    log.warning("%s", message)
