"""Remove: take a ticker out of a workspace. What was trained and issued stays."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from lstmcli.errors import LstmError, NoDataError, shell_word
from lstmcli.pipeline.day import last_day, write_day
from lstmcli.pipeline.session import Session
from lstmcli.store.asked import Asked
from lstmcli.store.files import check_ticker


@dataclass(frozen=True)
class Removed:
    """What is gone of a ticker, and what stays.

    Attributes:
        sessions: bars that are gone; None where they could not be read.
        events: statements that are gone.
        runs: those that know it; they stay.
        forecasts: issued ones in the ledger, which stay; None where it cannot be read.
    """

    ticker: str
    sessions: int | None
    events: int
    runs: tuple[str, ...]
    forecasts: int | None


def remove(session: Session, tickers: Sequence[str]) -> list[Removed]:
    """Delete the bars and events of tickers; all of them, or none where a name is wrong.

    Raises:
        NoDataError: one of them is not stored.
        LockError: another process works in this workspace.
        DataError: a file of events is damaged; the bars of the ticker remain.
        DiskError: something cannot be deleted.
    """
    workspace = session.workspace
    wanted = [check_ticker(ticker) for ticker in dict.fromkeys(tickers)]
    _check_stored(workspace.bars.tickers(), wanted, str(workspace.root))
    with workspace.lock():
        asked = Asked(workspace.asked)
        for ticker in {*wanted} & {*asked.tickers()}:
            asked.forget(ticker)
            asked.write()
        for ticker in wanted:
            workspace.fits.forget(ticker)
            workspace.calibrations.forget(ticker)
        done = [_remove(session, ticker) for ticker in wanted]
        last = last_day(workspace)
        if last is not None:
            entries = last.get("tickers") or []
            kept = [entry for entry in entries if entry.get("ticker") not in wanted]
            if len(kept) < len(entries):
                write_day(workspace, {**last, "tickers": kept})
    return done


def _check_stored(stored: Sequence[str], wanted: Sequence[str], folder: str) -> None:
    for ticker in wanted:
        if ticker not in stored:
            near = difflib.get_close_matches(ticker, stored, n=1)
            hint = "lstm status lists what is stored"
            if near:
                hint = f"did you mean {near[0]}? lstm remove {shell_word(near[0])}"
            raise NoDataError(
                f"Expected a ticker that is stored in {folder}. Received: {ticker}.", hint=hint
            )


def _remove(session: Session, ticker: str) -> Removed:
    workspace = session.workspace
    try:
        sessions = len(session.bars(ticker)[0])
    except LstmError:
        sessions = None  # damaged bars can go, too
    try:
        forecasts = workspace.ledger.origins(ticker)
    except LstmError:
        forecasts = None
    runs = tuple(run.run for run in session.manifests() if ticker in run.tickers)
    events = workspace.events.remove(ticker)
    workspace.bars.remove(ticker)
    return Removed(ticker, sessions, events, runs, forecasts)
