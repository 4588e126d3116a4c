"""The client of Yahoo: how yfinance is set up, its cache, and the time that it is left alone."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from lstmcli import clock
from lstmcli.errors import DiskError, RateLimitError, SourceError, shell_word

log = logging.getLogger(__name__)

COOL_DOWN = timedelta(minutes=15)
"""How long Yahoo is left alone after a 429, unless it states a time (Retry-After); asking sooner
makes it last longer. The next one is twice as long if it comes within `SOON` after this one."""

SOON = timedelta(hours=1)
LONGEST = timedelta(hours=4)
"""A cool-down of ours is no longer than this, and one that Yahoo states no longer than a day."""

_CLOCK_SLIP = timedelta(minutes=5)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

_stated: list[str] = []
"""What the last 429 stated as Retry-After."""

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
    _listen()


def _listen() -> None:
    """Note what a 429 states as Retry-After: yfinance keeps no header of it."""
    from yfinance.data import YfData

    session: Any = YfData()._session
    if "request" in vars(session):
        return
    ask = session.request

    def request(*words: Any, **options: Any) -> Any:
        answer = ask(*words, **options)
        if answer.status_code == 429:
            _stated[:] = [answer.headers.get("Retry-After") or ""]
        return answer

    session.request = request


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
    since, until = _remembered(cache, about)
    # A clock that was set back to before it began must not lock it for long.
    if since - _CLOCK_SLIP <= clock.now() < until:
        raise rate_limited(until)


def remember_cool_down(cache: Path, about: str = BARS) -> RateLimitError:
    """Keep that Yahoo has answered 429, for this process and those after it.

    Returns:
        The error that says until when.
    """
    now = clock.now()
    since, until = _remembered(cache, about)
    again = since <= now <= until + SOON
    pause = _retry_after(now) or min(2 * (until - since) if again else COOL_DOWN, LONGEST)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        stated = {"since": now.isoformat(), "until": (now + pause).isoformat()}
        _cool_down_file(cache, about).write_text(json.dumps(stated))
    except OSError as error:
        log.info("cool-down not remembered: %s", error)
    return rate_limited(now + pause)


def rate_limited(until: datetime) -> RateLimitError:
    """Return the error of a 429."""
    return RateLimitError(
        "Yahoo answered 429, Too Many Requests. What is stored stays usable.",
        hint=f"fetch again after {until:%Y-%m-%d %H:%M} UTC",
    )


def _remembered(cache: Path, about: str) -> tuple[datetime, datetime]:
    """Return when the last cool-down began and ends; a past of long ago where there was none."""
    try:
        stated = json.loads(_cool_down_file(cache, about).read_text())
        until = datetime.fromisoformat(stated["until"]).astimezone(UTC)
        if "since" not in stated:  # of an older version
            return until - COOL_DOWN, until
        return datetime.fromisoformat(stated["since"]).astimezone(UTC), until
    except (OSError, ValueError, KeyError, TypeError):
        return (_LONG_AGO, _LONG_AGO)


def _retry_after(now: datetime) -> timedelta | None:
    """Return how long the last 429 asks to wait, in seconds or up to a time; None: not said."""
    said = _stated.pop() if _stated else ""
    try:
        pause = timedelta(seconds=float(said))
    except (ValueError, OverflowError):
        try:
            pause = parsedate_to_datetime(said).astimezone(UTC) - now
        except (ValueError, TypeError):
            return None
    return min(pause, timedelta(days=1)) if pause > timedelta() else None
