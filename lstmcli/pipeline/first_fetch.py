"""The first fetch of a ticker that somebody asks a forecast of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lstmcli.errors import LstmError, cause_of
from lstmcli.pipeline.announcements import Announcements
from lstmcli.pipeline.fetch import fetch_each
from lstmcli.pipeline.fetch_plan import plan_fetch
from lstmcli.pipeline.market import note_without, optional_series
from lstmcli.pipeline.progress import Progress
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.update import FetchResult
from lstmcli.store.shipped import PRETRAINED


def first_fetch(
    session: Session, tickers: Sequence[str], *, run: str | None, say: Callable[[str], None]
) -> dict[str, LstmError]:
    """Fetch tickers without bars, and what the run that ships reads beside them.

    These are market series, and the dates on which companies report.

    Market series are fetched with a new ticker alone: a workspace of other sources stays as
    it is. Without them a forecast is a little worse, which is said.

    Args:
        run: that is asked for; one of the workspace has its own series.
        say: is told what is fetched, and what came.

    Returns:
        The errors of tickers that could not be fetched.

    Raises:
        LockError: another process works in this workspace.
        NoDataError: there is no such run.
        DataError: it is damaged.
    """
    manifest = session.manifest(run or PRETRAINED)
    if not manifest.any_ticker:
        tickers = [name for name in tickers if name in manifest.tickers]  # of others it says so
        if not tickers:
            return {}
    series = absent_series(session) if manifest.any_ticker else []
    with session.workspace.lock(), Announcements(session) as announcements:
        plan = plan_fetch(session, tickers, announcements, store=session.workspace.bars)
        say(plan.sentence() or f"fetching {' '.join([*tickers, *series])} …")
        progress = Progress(len(tickers), say, done="fetched")

        def after_bars(result: FetchResult) -> None:
            announcements.ask_after_bars(result)
            progress.advance()

        found = fetch_each(session, tickers, on_result=after_bars)
        came = [result for result in found if result.error is None]
        for result in fetch_series(session, series if came else []):
            if result.error is not None:
                session.warn_once(note_on_failed(result), about=result.ticker)
    if note := announcements.note():
        session.warn_once(note)
    for result in came:
        span = f"{result.first:%Y-%m-%d} to {result.last:%Y-%m-%d}"
        say(f"{result.ticker}: {result.rows:,} sessions, {span}")
        for note in result.notes:
            say(f"  {note}")
    return {result.ticker: result.error for result in found if result.error is not None}


def absent_series(session: Session) -> list[str]:
    """Return the market series that the shipped run reads and that are not stored.

    Raises:
        DataError: that run is damaged.
    """
    manifest = session.manifest(PRETRAINED)
    stored = session.workspace.market.tickers()
    series = optional_series(session.config(manifest.run)).values()
    return [ticker for ticker in series if ticker not in stored]


def fetch_series(session: Session, series: Sequence[str]) -> list[FetchResult]:
    """Fetch market series, for a caller that holds the workspace."""
    return fetch_each(session, series, store=session.workspace.market)


def note_on_failed(result: FetchResult) -> str:
    """Return the note about a market series that could not be fetched."""
    cause = "" if result.error is None else cause_of(result.ticker, result.error).rstrip(".")
    return note_without(result.ticker, why=f"could not be fetched ({cause})")
