"""Two tickers, trained, and the evenings that follow: what tests of `lstm daily` share."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from yahoo_server import Listing, YahooServer, traded
from year import TICKERS, evening_of

from lstmcli.store import Workspace

FIRST = "2013-01-02"
SETTLED = 520
"""Sessions that are stored when the first evening comes."""


def listings() -> dict[str, Listing]:
    """Return two tickers of which a test may go on for 60 sessions."""
    return {
        ticker: Listing(traded(FIRST, SETTLED + 60, seed=seed))
        for seed, ticker in enumerate(TICKERS)
    }


SESSIONS = listings()["MRK"].bars.index
TODAY = SESSIONS[SETTLED - 1]


def go_to(yahoo: YahooServer, number: int) -> pd.Timestamp:
    """Move the clock to the evening of a session that many after TODAY; return the session."""
    session = SESSIONS[SETTLED - 1 + number]
    yahoo.move_clock(evening_of(session))
    return session


def issued(data: Path) -> list[tuple[str, str]]:
    """Return ticker and origin of every forecast in the ledger, in their order."""
    rows = Workspace(data).ledger.read()
    found = rows[["ticker", "made_on"]].drop_duplicates()
    return [(ticker, f"{made_on:%Y-%m-%d}") for ticker, made_on in found.to_numpy()]


def state(data: Path) -> dict:
    """Return what the last `lstm daily` wrote about itself."""
    return json.loads((data / "daily.json").read_text())
