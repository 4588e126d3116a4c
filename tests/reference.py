"""Slow oracles: what the package computes, again, as plain loops.

Written from the formulas, with no pandas and no vectors, so that an error in
one is unlikely to be in the other. Bars come as a list of dicts, oldest first.
"""

from __future__ import annotations

import math
from datetime import date
from itertools import pairwise
from statistics import NormalDist

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


def standardised_return(bars: Bars) -> list[float]:
    returns, sigma = log_return(bars), ewma_volatility(bars)
    return [math.nan] + [returns[t] / sigma[t - 1] for t in range(1, len(bars))]


def relative_volatility(bars: Bars) -> list[float]:
    return [
        math.log(session / usual)
        for session, usual in zip(garman_klass(bars), ewma_volatility(bars), strict=True)
    ]


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


def calibrated_quantiles(
    labels: list[dict], forecast: dict, looked: int, levels: list[float], *, cautious: bool
) -> list[float]:
    """Move the quantiles of one forecast by order statistics of past errors.

    Args:
        labels: of one step, all tickers: `ticker`, `arrived` (a day's number),
            `outcome` and `quantiles`.
        forecast: `ticker`, `step` and `quantiles`.
        looked: the day on which errors were looked at last.
        cautious: return what endpoints start from, not quantiles.
    """
    ends = levels.index(0.15), levels.index(0.85)
    known = [label for label in labels if label["arrived"] <= looked]
    days = sorted({label["arrived"] for label in known})[-1000:]
    if len(days) < 100:
        return list(forecast["quantiles"])
    pool = [label for label in known if label["arrived"] >= days[0]]
    own = [label for label in known if label["ticker"] == forecast["ticker"]]
    own = sorted(own, key=lambda label: label["arrived"])[-1000:]
    weight = len(own) / forecast["step"] / (len(own) / forecast["step"] + 1000)
    q = forecast["quantiles"]
    width = q[ends[1]] - q[ends[0]]
    middle = levels.index(0.5)
    moved = []
    for k, level in enumerate(levels):
        corrections = []
        for memory in (own, pool):
            scores = sorted(
                (label["outcome"] - label["quantiles"][k])
                / (label["quantiles"][ends[1]] - label["quantiles"][ends[0]])
                for label in memory
            )
            # Every level is so many fortieths: whole numbers need no rounding.
            fortieths = round(level * 40) * (len(scores) + 1)
            number = fortieths // 40 if level < 0.5 else -(-fortieths // 40)
            number = min(max(number, 1), len(scores))
            corrections.append(scores[number - 1] if scores else 0.0)
        shift = weight * corrections[0] + (1 - weight) * corrections[1]
        seen = len(days) / forecast["step"]
        if cautious:
            shift *= seen / (seen + 20)
        else:
            normal = NormalDist()
            density = normal.pdf(normal.inv_cdf(level))
            spread = normal.inv_cdf(0.85) - normal.inv_cdf(0.15)
            error = math.sqrt(level * (1 - level) / seen) / density / spread
            shift *= max(0.0, 1 - (error / shift) ** 2) if shift else 0.0
        value = q[k] + shift * width
        if k < middle:
            value = min(value, q[middle])
        elif k > middle:
            value = max(value, q[middle])
        moved.append(q[middle] if k == middle else value)
    return sorted(moved)


def tracked_intervals(
    forecasts: list[dict | None], step: int, levels: list[float]
) -> list[dict | None]:
    """Publish 50, 80 and 95 % intervals, and move them after each miss.

    Args:
        forecasts: one a bar, or None: `quantiles` after the first correction,
            the raw `width`, and the `outcome`, None where there is no label.
    """
    theta = {(share, side): 0.0 for share in (50, 80, 95) for side in ("lo", "hi")}
    published: list[dict | None] = []
    for t, forecast in enumerate(forecasts):
        origin = t - step
        if origin >= 0 and forecasts[origin] and forecasts[origin]["outcome"] is not None:
            came = forecasts[origin]["outcome"]
            for share, side in theta:
                end = published[origin][f"{side}{share}"]
                miss = came < end if side == "lo" else came > end
                tail = (100 - share) / 200
                value = theta[share, side] + 0.02 / step * ((1 if miss else 0) - tail)
                theta[share, side] = min(max(value, -1.0), 3.0)
        if forecast is None:
            published.append(None)
            continue
        quantiles = dict(zip(levels, forecast["quantiles"], strict=True))
        low = high = quantiles[0.5]
        bands = {}
        for share in (50, 80, 95):
            tail = round((100 - share) / 200, 3)
            out_low = theta[share, "lo"] * forecast["width"]
            out_high = theta[share, "hi"] * forecast["width"]
            low = min(low, quantiles[tail] - out_low)
            high = max(high, quantiles[round(1 - tail, 3)] + out_high)
            bands |= {f"lo{share}": low, f"hi{share}": high}
        published.append(bands)
    return published


def crps(levels: list[float], quantiles: list[float], outcome: float) -> float:
    """Return twice the mean pinball loss of the given levels."""
    losses = []
    for level, quantile in zip(levels, quantiles, strict=True):
        if outcome >= quantile:
            losses.append(level * (outcome - quantile))
        else:
            losses.append((1 - level) * (quantile - outcome))
    return 2 * sum(losses) / len(losses)


def ewc(values: list[float]) -> tuple[float, float, int]:
    """Return the mean, its standard error and the degrees of freedom, by equal-weighted cosines."""
    n = len(values)
    count = 4
    while (5 * (count + 1)) ** 3 <= n**2:  # count + 1 ≤ 0.2·n^(2/3), in whole numbers
        count += 1
    mean = sum(values) / n
    squares = 0.0
    for j in range(1, count + 1):
        total = 0.0
        for t, value in enumerate(values, start=1):
            total += value * math.cos(math.pi * j * (t - 0.5) / n)
        squares += 2 / n * total**2
    return mean, math.sqrt(squares / count / n), count
