"""Bars of many tickers as Parquet files, and the task of a walk-forward over them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HORIZON, LOOKBACK, UNITS, BATCH = 20, 60, 32, 1024
EPOCH_SHARE = 0.75
"""Share of the windows that ours trains on: `lstm.yaml` keeps a quarter for other ends."""

TASK = "task.json"
"""Quantile levels, and of each fold the first session, the last of the fit and the origins."""


def task(folder: Path) -> dict[str, Any]:
    return json.loads((folder / TASK).read_text("utf-8"))


def frame(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the log returns of all tickers as neuralforecast reads them, and their sessions.

    Dates are numbers of sessions: an exchange has holidays that no frequency of pandas knows.
    """
    parts = []
    for path in sorted((folder / "bars").glob("*.parquet")):
        bars = pd.read_parquet(path)
        rows = pd.DataFrame({"ds": bars["session"], "y": np.log(bars["close"]).diff()})
        parts.append(rows.iloc[1:].assign(unique_id=path.stem))
    every = pd.concat(parts, ignore_index=True)
    sessions = np.unique(every["ds"].to_numpy())
    numbers = np.searchsorted(sessions, every["ds"].to_numpy())
    return every.assign(ds=numbers, y=every["y"].astype(np.float32)), sessions
