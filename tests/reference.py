"""Slow oracles: what the package computes, again, as plain loops.

Written from the formulas, with no pandas and no vectors, so that an error in
one is unlikely to be in the other. Bars come as a list of dicts, oldest first.
"""

from __future__ import annotations

import math
from datetime import date
from itertools import pairwise

Bars = list[dict[str, float]]


def log_return(bars: Bars) -> list[float]:
    values = [math.nan]
    for before, bar in pairwise(bars):
        values.append(math.log(bar["close"] / (before["close"] - bar["dividend"])))
    return values


def high_low_range(bars: Bars) -> list[float]:
    return [math.log(bar["high"]) - math.log(bar["low"]) for bar in bars]


def garman_klass(bars: Bars) -> list[float]:
    values = [math.nan]
    for before, bar in pairwise(bars):
        gap = math.log(bar["open"] / (before["close"] - bar["dividend"]))
        high_low = math.log(bar["high"] / bar["low"])
        open_close = math.log(bar["close"] / bar["open"])
        v = gap**2 + high_low**2 / 2 - (2 * math.log(2) - 1) * open_close**2
        values.append(math.sqrt(max(v, 1e-8)))
    return values


def ewma_volatility(bars: Bars) -> list[float]:
    returns = log_return(bars)
    values = []
    for t in range(len(bars)):
        total = weights = 0.0
        for age, past in enumerate(reversed(returns[1 : t + 1])):
            total += 0.94**age * past**2
            weights += 0.94**age
        values.append(max(math.sqrt(total / weights), 1e-4) if t >= 20 else math.nan)
    return values


def volume(bars: Bars) -> list[float]:
    values = []
    for t in range(len(bars)):
        window = [bar["volume"] for bar in bars[t - 59 : t + 1]]
        if t < 59:
            values.append(math.nan)
        elif sum(window) == 0:
            values.append(0.0)
        else:
            values.append(math.log(max(window[-1] / (sum(window) / 60), 0.01)))
    return values


def momentum(bars: Bars, sessions: int) -> list[float]:
    returns = log_return(bars)
    return [
        sum(returns[t - sessions + 1 : t + 1]) if t >= sessions else math.nan
        for t in range(len(bars))
    ]


def weekday(days: list[date]) -> list[float]:
    # 1900-01-01 was a Monday.
    return [float((day - date(1900, 1, 1)).days % 7) for day in days]


def high_52w(bars: Bars) -> list[float]:
    returns = log_return(bars)
    values = []
    for t in range(len(bars)):
        if t < 251:
            values.append(math.nan)
            continue
        # Each high against today's close, dividends on the way reinvested.
        nearest = math.inf
        growth = 0.0
        for past in range(t, t - 252, -1):
            nearest = min(nearest, growth - math.log(bars[past]["high"] / bars[past]["close"]))
            growth += returns[past] if past else 0.0
        values.append(nearest)
    return values
