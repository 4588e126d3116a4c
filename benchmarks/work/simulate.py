"""Write simulated bars of many tickers into a workspace: FOLDER TICKERS SESSIONS."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from lstmcli.sessions import sessions_between
from lstmcli.store import Workspace
from lstmcli.store.bars import BarsMeta

folder, tickers, sessions = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
workspace = Workspace(folder)
end = pd.Timestamp("2024-03-08")
span = pd.Timedelta(int(sessions * 1.6) + 30, "D")
index = sessions_between("XNYS", end - span, end, observed=pd.DatetimeIndex([]))[-sessions:]
for number in range(tickers):
    generator = np.random.default_rng(number)
    close = 100 * np.exp(np.cumsum(0.015 * generator.standard_normal(len(index))))
    bars = pd.DataFrame(
        {
            "open": close,
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "volume": np.round(1e6 * np.exp(generator.standard_normal(len(index)))),
            "dividend": 0.0,
            "split": 0.0,
        },
        index=pd.DatetimeIndex(index, name="session"),
    )
    meta = BarsMeta.of(
        bars,
        ticker=f"T{number:03d}",
        source={"name": "simulated"},
        calendar="XNYS",
        fetched_at=datetime.now(UTC),
    )
    workspace.bars.write(bars, meta)
