"""The client of Yahoo: how yfinance is set up, its cache, and the time that it is left alone."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lstmcli import clock
from lstmcli.errors import DiskError, RateLimitError, SourceError, shell_word

log = logging.getLogger(__name__)

COOL_DOWN = timedelta(minutes=15)
"""How long Yahoo is left alone after a 429; asking sooner makes it last longer."""

BARS = "bars"
ANNOUNCEMENTS = "announcements"
"""What Yahoo is asked about. After a 429 about bars it is asked about nothing. One about
announcements stops only these: bars are what a forecast cannot do without."""


def set_up(cache: Path) -> None:
    """Let yfinance raise what goes wrong, and keep its files in a folder.

    Raises:
        DiskError: the folder cannot be made.
    """
    with warnings.catch_warnings():  # yfinance sets a warning filter of its own when imported
        import yfinance
        from yfinance.cache import _TzDBManager

    logging.getLogger("yfinance").setLevel(logging.CRITICAL)  # "possibly delisted" and the like
    yfinance.config.debug.hide_exceptions = False
    if _TzDBManager.get_location() != str(cache / "yfinance"):
        open_cache(cache)


def open_cache(cache: Path) -> None:
    """Let yfinance keep time zones and cookies in the workspace.

    yfinance has no public way to close its databases: its private fields are reset.
    """
    import yfinance
    from yfinance.cache import _CookieCacheManager, _TzCacheManager

    folder = cache / "yfinance"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(
            f"{folder}: cannot be made: {error.strerror}.",
            hint="choose a folder that you may write with --workspace",
        ) from error
    yfinance.set_tz_cache_location(str(folder))
    _TzCacheManager._tz_cache = None
    _CookieCacheManager._Cookie_cache = None


def failure_of_cache(ticker: str, error: Exception, cache: Path) -> DiskError | SourceError | None:
    """Return what an exception of yfinance's cache means; None of another exception.

    A damaged cache is made anew.
    """
    if not _is_cache_fault(error):
        return None
    if "full" in str(error) or "readonly" in str(error):
        return DiskError(
            f"{cache}: yfinance cannot write its cache: {error}.",
            hint="free some space, or choose a folder that you may write with --workspace",
        )
    shutil.rmtree(cache / "yfinance", ignore_errors=True)
    open_cache(cache)
    return SourceError(
        f"{ticker}: yfinance's cache in {cache} was damaged, and is made anew.",
        hint=f"try again later: lstm fetch {shell_word(ticker)}",
    )


def _is_cache_fault(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] in ("peewee", "sqlite3")


def _cool_down_file(cache: Path, about: str) -> Path:
    return cache / ("yahoo-cool-down.json" if about == BARS else f"yahoo-cool-down-{about}.json")


def check_cool_down(cache: Path, about: str = BARS) -> None:
    """Check that Yahoo may be asked about something.

    Raises:
        RateLimitError: it answered 429 minutes ago.
    """
    try:
        stated = json.loads(_cool_down_file(cache, about).read_text())
        until = datetime.fromisoformat(stated["until"]).astimezone(UTC)
    except (OSError, ValueError, KeyError, TypeError):
        return
    # If the clock was set back, the stored time may lie years ahead: it does not count.
    if timedelta() < until - clock.now() <= COOL_DOWN:
        raise rate_limited(until)


def remember_cool_down(cache: Path, about: str = BARS) -> None:
    """Keep that Yahoo has answered 429, for this process and those after it."""
    try:
        until = clock.now() + COOL_DOWN
        cache.mkdir(parents=True, exist_ok=True)
        _cool_down_file(cache, about).write_text(json.dumps({"until": until.isoformat()}))
    except OSError as error:
        log.info("cool-down not remembered: %s", error)


def rate_limited(until: datetime | None = None) -> RateLimitError:
    """Return the error of a 429; without a time, of one that has just come."""
    until = until or clock.now() + COOL_DOWN
    return RateLimitError(
        "Yahoo answered 429, Too Many Requests. What is stored stays usable.",
        hint=f"fetch again after {until:%Y-%m-%d %H:%M} UTC",
    )
