"""Rebuild: make what evenings keep anew, and say whether the numbers are the same."""

from __future__ import annotations

import pandas as pd

from lstmcli.errors import DataError, LstmError
from lstmcli.forecasters.baselines.kept_fits import made_by, rebuild
from lstmcli.frames import log_returns
from lstmcli.pipeline.doctor import Check
from lstmcli.pipeline.session import Session

NAMED = 5
"""Tickers that a line names; of more it says how many."""


def rebuild_state(session: Session) -> list[Check]:
    """Make kept fits of baselines anew from the stored bars, and write them.

    Raises:
        LockError: another process works in this workspace.
        DiskError: the fits cannot be written; the old ones are unchanged.
    """
    workspace = session.workspace
    with workspace.lock():
        kept = session.fits
        tickers = dict.fromkeys(ticker for ticker, _ in kept.known)
        returns = {ticker: _returns(session, ticker) for ticker in tickers}
        made = rebuild(kept, {name: of for name, of in returns.items() if of is not None})
        if kept.known:
            workspace.fits.write(made.fits.as_rows(), made_by())
    if not kept.known:
        return [Check("rebuilt", "nothing is kept; lstm daily keeps fits of GARCH")]
    value = f"{len(made.fits.known):,} of {len(kept.known):,} fits, "
    value += "other numbers" if made.different else "the same numbers"
    if made.moved:
        value += f"; bars have changed since: {_named(made.moved)}"
    if not made.different:
        return [Check("rebuilt", value)]
    error = DataError(
        f"{workspace.fits.path}: Expected the numbers of fits that are made anew. Received: other "
        f"ones of {_named(made.different)}. They have been replaced.",
        hint="lstm doctor --rebuild once more; other numbers again are a fault of lstm",
    )
    return [Check("rebuilt", value, error)]


def _returns(session: Session, ticker: str) -> pd.Series | None:
    """Return the log returns that forecasts may read; None where there are no bars."""
    try:
        bars = session.panel([ticker]).panel[ticker]
    except LstmError:
        return None
    return log_returns(bars).dropna()


def _named(tickers: tuple[str, ...]) -> str:
    if len(tickers) > NAMED:
        return f"{' '.join(tickers[:NAMED])} and {len(tickers) - NAMED:,} more"
    return " ".join(tickers)
