"""The first fetch of a ticker that somebody asks a forecast of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lstmcli.errors import LstmError
from lstmcli.pipeline.fetch import fetch_each
from lstmcli.pipeline.market import note_without, optional_series
from lstmcli.pipeline.session import Session
from lstmcli.store.shipped import PRETRAINED


def first_fetch(
    session: Session, tickers: Sequence[str], *, run: str | None, say: Callable[[str], None]
) -> dict[str, LstmError]:
    """Fetch tickers without bars, and the market series that the run that ships reads.

    Market series are fetched with a new ticker alone: a workspace of other sources stays as
    it is. Without them a forecast is a little worse, which is said.

    Args:
        run: that is asked for; one of the workspace has its own series.
        say: is told what is fetched, and what came.

    Returns:
        The errors of tickers that could not be fetched.

    Raises:
        LockError: another process works in this workspace.
    """
    series = [] if run not in (None, PRETRAINED) else series_to_fetch(session)
    with session.workspace.lock():
        say(f"fetching {' '.join([*tickers, *series])} …")
        found = fetch_each(session, tickers)
        came = [result for result in found if result.error is None]
        market = fetch_each(session, series, store=session.workspace.market) if came else []
    for result in market:
        if result.error is not None:
            session.warn_once(note_without(result.ticker, why=f"failed ({result.error})"))
    for result in came:
        span = f"{result.first:%Y-%m-%d} to {result.last:%Y-%m-%d}"
        say(f"{result.ticker}: {result.rows:,} sessions, {span}")
        for note in result.notes:
            say(f"  {note}")
    return {result.ticker: result.error for result in found if result.error is not None}


def series_to_fetch(session: Session) -> list[str]:
    """Return the market series of the run that ships that are not stored."""
    manifest = session.manifest(PRETRAINED)
    stored = session.workspace.market.tickers()
    series = optional_series(session.config(manifest.run)).values()
    return [ticker for ticker in series if ticker not in stored]
