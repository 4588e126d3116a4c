"""The task that every library is given: the same windows, the same network.

7,500 windows of 60 sessions x 5 columns, one or two LSTM layers of 64 units, a
dense head of 5, Adam. One epoch is about 48 GFLOP with one layer.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable

import numpy as np

WINDOWS, LOOKBACK, COLUMNS, UNITS, HORIZON = 7500, 60, 5, 64, 5


def columns(windows: int = WINDOWS) -> np.ndarray:
    """Return rows (R, 5) from which `windows` windows with their targets can be cut."""
    rows = windows + LOOKBACK + HORIZON - 1
    return np.random.default_rng(0).standard_normal((rows, COLUMNS)).astype(np.float32)


def materialised(windows: int = WINDOWS) -> tuple[np.ndarray, np.ndarray]:
    """Return x (N, L, 5) and y (N, 5), as a tutorial would."""
    rows = columns(windows)
    x = np.lib.stride_tricks.sliding_window_view(rows, LOOKBACK, axis=0)[:windows]
    first = np.arange(LOOKBACK, LOOKBACK + windows)[:, None]
    y = rows[first + np.arange(HORIZON), 0]
    return np.ascontiguousarray(x.transpose(0, 2, 1)), np.ascontiguousarray(y)


def answer(seconds: list[float], **more: object) -> None:
    """Print the median seconds of an epoch as the last line."""
    print(json.dumps({"seconds": statistics.median(seconds), "epochs": len(seconds), **more}))


def arguments() -> tuple[int, int, int]:
    """Return batch size, layers and windows from the command line."""
    batch, layers, windows = (int(word) for word in sys.argv[1:4])
    return batch, layers, windows


def difference(run: Callable[[int], float], few: int, many: int) -> float:
    """Return the seconds of one step, warm-up cancelled: (run(many) − run(few)) / steps."""
    return (run(many) - run(few)) / (many - few)
