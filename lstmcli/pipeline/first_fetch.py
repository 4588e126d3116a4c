"""The first fetch of a ticker that somebody asks a forecast of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lstmcli.errors import LstmError
from lstmcli.pipeline.market import note_without, optional_series
from lstmcli.pipeline.session import Session
from lstmcli.store.files import check_ticker
from lstmcli.store.shipped import PRETRAINED


def first_fetch(
    session: Session,
    tickers: Sequence[str],
    *,
    run: str | None,
    say: Callable[[str], None],
) -> dict[str, LstmError]:
    """Fetch the tickers that have no bars, and the market series that the shipped run reads.

    Market series are fetched with a new ticker alone: a workspace of other sources stays as
    it is. Without them a forecast is a little worse, which is said.

    Args:
        run: that is asked for; one of the workspace has its own series.
        say: is told what is fetched, and what came.

    Returns:
        The errors of tickers that could not be fetched.

    Raises:
        ConfigError: a name cannot be a ticker.
        LockError: another process works in this workspace.
    """
    stored = session.workspace.bars.tickers()
    new = [name for name in dict.fromkeys(map(check_ticker, tickers)) if name not in stored]
    if not new:
        return {}
    from lstmcli.pipeline.fetch import fetch_each

    series = [] if run not in (None, PRETRAINED) else _series(session)
    with session.workspace.lock():
        say(f"fetching {' '.join([*new, *series])} …")
        found = fetch_each(session, new)
        came = [result for result in found if result.error is None]
        if came:
            market = fetch_each(session, series, store=session.workspace.market)
            for result in market:
                if result.error is not None:
                    session.warn_once(note_without(result.ticker, why=f"failed ({result.error})"))
    for result in came:
        say(f"{result.ticker}: {result.rows:,} sessions, {result.first:%Y-%m-%d} to {result.last:%Y-%m-%d}")
        for note in result.notes:
            say(f"  {note}")
    return {result.ticker: result.error for result in found if result.error is not None}


def _series(session: Session) -> list[str]:
    """Return the market series of the shipped run that are not stored."""
    manifest = session.manifest(PRETRAINED)
    stored = session.workspace.market.tickers()
    series = optional_series(session.config(manifest.run)).values()
    return [ticker for ticker in series if ticker not in stored]
