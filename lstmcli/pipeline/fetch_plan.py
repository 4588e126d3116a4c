"""What a fetch of many tickers will do: who is due, how many requests, how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from lstmcli import clock
from lstmcli.errors import LstmError, RateLimitError
from lstmcli.pipeline.announcements import Announcements, has_results, is_from_yahoo
from lstmcli.pipeline.progress import in_minutes
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.update import FetchResult
from lstmcli.sessions import WEEKDAYS, settled_session
from lstmcli.sources import AnySource, YahooSource
from lstmcli.sources.yahoo_client import check_cool_down
from lstmcli.store.bars import BarsMeta, BarsStore

MANY = 10
"""Tickers above which a plan is worth a line."""

_ANSWER = 0.3
"""Seconds that an answer of Yahoo takes, about."""


@dataclass(frozen=True)
class FetchPlan:
    """What a fetch will do.

    Attributes:
        due: the tickers whose bars are asked for.
        fresh: what is stored of the others: their last settled session is there.
        requests: to Yahoo, about; of files there are none.
        seconds: that this takes, with the pauses.
    """

    due: tuple[str, ...]
    fresh: Mapping[str, BarsMeta]
    requests: int = 0
    seconds: float = 0.0

    def sentence(self) -> str | None:
        """Return the plan in a line; None where few tickers need none."""
        if len(self.due) + len(self.fresh) <= MANY:
            return None
        if not self.due:
            return f"all {len(self.fresh):,} tickers are up to date"
        of_all = f" of {len(self.due) + len(self.fresh):,}" if self.fresh else ""
        there = f", {len(self.fresh):,} are up to date" if self.fresh else ""
        asked = f": about {self.requests:,} requests, {in_minutes(self.seconds)}"
        return f"fetching {len(self.due):,}{of_all} tickers{there}{asked if self.requests else ''}"

    def results(self) -> list[FetchResult]:
        """Return the results of the tickers that are not asked for."""
        return [
            FetchResult(
                ticker,
                "up to date",
                rows=meta.rows,
                first=pd.Timestamp(meta.first_session),
                last=pd.Timestamp(meta.last_session),
            )
            for ticker, meta in self.fresh.items()
        ]


def plan_fetch(
    session: Session,
    wanted: Sequence[str],
    announcements: Announcements | None,
    *,
    store: BarsStore,
    source: AnySource | None = None,
    may_skip: Callable[[str], bool] = lambda ticker: True,
) -> FetchPlan:
    """Return who is due, from the readable copies of the metadata alone.

    Args:
        announcements: that are asked for with the bars; None where none are.
        may_skip: whether a ticker need not be asked for where its last session is stored.
    """
    stored = set(store.tickers())
    metas = {ticker: store.sidecar(ticker) if ticker in stored else None for ticker in wanted}
    settled: dict[str, pd.Timestamp] = {}

    def is_fresh(ticker: str, meta: BarsMeta | None) -> bool:
        if meta is None or meta.calendar == WEEKDAYS or not may_skip(ticker):
            return False  # without an exchange calendar the bars say which sessions there are
        if not is_from_yahoo(meta) or source not in (None, YahooSource()):
            return False  # a file is read again: it may say something else
        if meta.calendar not in settled:
            last = pd.DatetimeIndex([meta.last_session])
            settled[meta.calendar] = settled_session(meta.calendar, clock.now(), observed=last)
        return pd.Timestamp(meta.last_session) >= settled[meta.calendar]

    fresh = {ticker: meta for ticker, meta in metas.items() if meta and is_fresh(ticker, meta)}
    requests, pauses = 0, 0
    for ticker, meta in metas.items():
        comes = _comes_from_yahoo(meta, source)
        if not comes:
            continue
        of_bars = 0 if ticker in fresh else 1 if meta else 2  # of a new one its time zone, too
        of_dates = 0 if announcements is None else _requests_for_dates(announcements, ticker, meta)
        requests += of_bars + of_dates
        pauses += bool(of_bars or of_dates)
    if _is_cooling_down(session):
        requests = pauses = 0
    seconds = pauses * YahooSource().pause + requests * _ANSWER
    due = tuple(ticker for ticker in wanted if ticker not in fresh)
    return FetchPlan(due, fresh, requests, seconds)


def _comes_from_yahoo(meta: BarsMeta | None, source: AnySource | None) -> bool:
    if source is not None:
        return isinstance(source, YahooSource)
    return meta is None or is_from_yahoo(meta)


def _requests_for_dates(announcements: Announcements, ticker: str, meta: BarsMeta | None) -> int:
    """Return how many requests the announcement dates of a ticker need: mostly one."""
    if announcements.was_asked(ticker) or not has_results(ticker, meta):
        return 0
    return 1 if announcements.knows(ticker) else 2


def _is_cooling_down(session: Session) -> bool:
    try:
        check_cool_down(session.workspace.cache)
    except RateLimitError:
        return True
    except LstmError:
        pass
    return False
