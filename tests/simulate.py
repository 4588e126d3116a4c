"""Bars simulated from known truth, for tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lstmcli.frames import BAR_COLUMNS, EVENT_COLUMNS, check_bars
from lstmcli.panel import Panel, View


def simulate_bars(
    sessions: int = 400,
    *,
    seed: int = 0,
    sigma: float = 0.01,
    last: str = "2016-12-30",
    returns: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return a random walk in bars on the sessions of XNYS, or given log returns."""
    from lstmcli.sessions import sessions_between

    end = pd.Timestamp(last)
    first = end - pd.Timedelta(int(sessions * 1.6) + 30, "D")
    index = sessions_between("XNYS", first, end, observed=pd.DatetimeIndex([]))[-sessions:]
    generator = np.random.default_rng(seed)
    if returns is None:
        returns = sigma * generator.standard_normal(sessions)
    close = 100 * np.exp(np.cumsum(returns))
    open_ = close * np.exp(-returns * generator.uniform(0, 1, sessions))
    spread = np.exp(np.abs(sigma / 3 * generator.standard_normal((2, sessions))))
    bars = pd.DataFrame(
        {
            "open": open_,
            "high": np.maximum(open_, close) * spread[0],
            "low": np.minimum(open_, close) / spread[1],
            "close": close,
            "volume": np.round(1e6 * np.exp(0.3 * generator.standard_normal(sessions))),
            "dividend": 0.0,
            "split": 0.0,
        },
        index=pd.DatetimeIndex(index, name="session"),
    )[list(BAR_COLUMNS)]
    check_bars(bars, "TEST")
    return bars


def panel_of(**tickers: pd.DataFrame) -> Panel:
    """Return a panel of bars on the calendar XNYS."""
    return Panel(tickers, dict.fromkeys(tickers, "XNYS"))


def view_of(bars: pd.DataFrame) -> View:
    """Return bars as a feature sees them."""
    return panel_of(A=bars).view("A")


def events_of(kind: str, *rows: tuple[str, str, str, str]) -> pd.DataFrame:
    """Return statements about events: ticker, session, known_on and status of each."""
    table = pd.DataFrame(list(rows), columns=["ticker", "session", "known_on", "status"])
    for name in ("session", "known_on"):
        table[name] = pd.to_datetime(table[name]).astype("datetime64[ns]")
    return table.assign(kind=kind, timing="unknown", amount=np.nan, source="user")[
        list(EVENT_COLUMNS)
    ]
