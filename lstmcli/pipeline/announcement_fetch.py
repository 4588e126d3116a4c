"""The fetch of announcement dates alone, of tickers one after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lstmcli.errors import LstmError, NoDataError
from lstmcli.pipeline.announcements import Announcements, has_results, is_from_yahoo, meta_of
from lstmcli.pipeline.session import Session
from lstmcli.sources import YahooSource
from lstmcli.store.files import check_ticker


def fetch_announcements(
    tickers: Sequence[str],
    announcements: Announcements,
    *,
    on_ticker: Callable[[str], None] = lambda ticker: None,
) -> None:
    """Ask about tickers one after another, for a caller that holds the workspace.

    Args:
        on_ticker: is told of each ticker before it is asked about.
    """
    pause = 0.0
    for ticker in tickers:
        on_ticker(ticker)
        before = len(announcements.asked)
        time.sleep(pause)
        announcements.ask(ticker)
        pause = YahooSource().pause_between_tickers() * (len(announcements.asked) - before)


@dataclass(frozen=True)
class Fetched:
    """What `fetch_named` did.

    Attributes:
        tickers: that have announcements, asked for now or earlier today.
        asked, asked_before: those asked for now, and earlier today.
        without_results: those behind which no company stands.
        added: statements that were new.
        errors: of sources that did not answer.
        note: of all that could not be asked for, in a line; None where there is nothing.
    """

    tickers: tuple[str, ...]
    asked: tuple[str, ...]
    asked_before: tuple[str, ...]
    without_results: tuple[str, ...]
    added: int
    errors: tuple[LstmError, ...]
    note: str | None


def fetch_named(session: Session, tickers: Sequence[str]) -> Fetched:
    """Ask for the announcement dates of tickers, else of every stored share from Yahoo.

    Raises:
        ConfigError: a name cannot be a ticker.
        NoDataError: no ticker is named, and no share from Yahoo is stored.
        LockError: another process works in this workspace.
    """
    stored = {ticker: meta_of(session, ticker) for ticker in session.workspace.bars.tickers()}
    wanted = [check_ticker(ticker) for ticker in tickers]
    wanted = wanted or [ticker for ticker, meta in stored.items() if meta and is_from_yahoo(meta)]
    if not wanted:
        raise NoDataError(
            f"Expected a ticker, or stored bars from Yahoo. Received: none in "
            f"{session.workspace.root}.",
            hint="lstm events fetch MRK",
        )
    companies = [ticker for ticker in wanted if has_results(ticker, stored.get(ticker))]
    with session.workspace.lock(), Announcements(session) as announcements:
        due = [ticker for ticker in companies if not announcements.was_asked(ticker)]
        fetch_announcements(due, announcements)
    return Fetched(
        tuple(companies),
        tuple(announcements.asked),
        tuple(ticker for ticker in companies if ticker not in due),
        tuple(ticker for ticker in wanted if ticker not in companies) if tickers else (),
        announcements.added,
        tuple(
            missing.error
            for missing in announcements.missing.values()
            if not isinstance(missing.error, NoDataError)
        ),
        announcements.note(),
    )
