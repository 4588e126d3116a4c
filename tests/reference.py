"""Slow oracles: what the package computes, again, as plain loops.

Written from the formulas, with no pandas and no vectors, so that an error in
one is unlikely to be in the other. Bars come as a list of dicts, oldest first.
"""

from __future__ import annotations

import math
import struct
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


def half_precision(value: float) -> float:
    """Round to the nearest number of 16 bits, IEEE 754 binary16."""
    return struct.unpack("e", struct.pack("e", value))[0]


def calibrated_quantiles(
    labels: list[dict], forecast: dict, levels: list[float], *, memory: int
) -> list[float]:
    """Move the quantiles of one forecast by order statistics of past errors.

    Args:
        labels: of one step, all tickers: `ticker`, `arrived` (a date), `outcome` and
            `quantiles`.
        forecast: `ticker`, `made_on`, `step` and `quantiles`.
        memory: dates that are remembered.
    """
    ends = levels.index(0.15), levels.index(0.85)
    made = forecast["made_on"]
    monday = date.fromordinal(made.toordinal() - made.weekday())
    known = [label for label in labels if label["arrived"] < monday]
    days = sorted({label["arrived"] for label in known})[-memory:]
    if len(days) < 50 * forecast["step"]:
        return list(forecast["quantiles"])
    pool = [label for label in known if label["arrived"] >= days[0]]
    own = [label for label in known if label["ticker"] == forecast["ticker"]]
    own = sorted(own, key=lambda label: label["arrived"])[-memory:]
    weight = len(own) / forecast["step"] / (len(own) / forecast["step"] + 1000)
    q = forecast["quantiles"]
    width = q[ends[1]] - q[ends[0]]
    middle = levels.index(0.5)
    moved = []
    for k, level in enumerate(levels):
        corrections = []
        for remembered in (own, pool):
            scores = sorted(
                half_precision(
                    (label["outcome"] - label["quantiles"][k])
                    / (label["quantiles"][ends[1]] - label["quantiles"][ends[0]])
                )
                for label in remembered
            )
            # Every level is so many fortieths: whole numbers need no rounding.
            fortieths = round(level * 40) * (len(scores) + 1)
            number = fortieths // 40 if level < 0.5 else -(-fortieths // 40)
            number = min(max(number, 1), len(scores))
            corrections.append(scores[number - 1] if scores else 0.0)
        shift = weight * corrections[0] + (1 - weight) * corrections[1]
        normal = NormalDist()
        density = normal.pdf(normal.inv_cdf(level))
        spread = normal.inv_cdf(0.85) - normal.inv_cdf(0.15)
        error = math.sqrt(level * (1 - level) * forecast["step"] / len(days)) / density / spread
        shift *= max(0.0, 1 - (1.5 * error / shift) ** 2) if shift else 0.0
        value = q[k] + shift * width
        if k < middle:
            value = min(value, q[middle])
        elif k > middle:
            value = max(value, q[middle])
        moved.append(q[middle] if k == middle else value)
    return sorted(moved)


def tracked_intervals(forecasts: list[dict], levels: list[float]) -> list[dict]:
    """Publish 50, 80 and 95 % intervals of one ticker, and move them after each miss.

    Args:
        forecasts: one per origin, in order: `made_on`, and by step under `steps` the
            `quantiles` to start from, the raw `width`, the `outcome` and when it `arrived`,
            both None where there is no label.

    Returns:
        One per origin: by step, the ends `lo50 hi50 … hi95`.
    """
    sides = [(share, side) for share in (50, 80, 95) for side in ("lo", "hi")]
    theta = {(step, *end): 0.0 for step in forecasts[0]["steps"] for end in sides}
    published: list[dict] = []
    waiting: list[tuple] = []
    for forecast in forecasts:
        for arrived, step, outcome, bands in sorted(waiting, key=lambda label: label[:2]):
            if arrived > forecast["made_on"]:
                continue
            for share, side in sides:
                end = bands[f"{side}{share}"]
                miss = outcome < end if side == "lo" else outcome > end
                value = theta[step, share, side]
                value += 0.02 / step * ((1 if miss else 0) - (100 - share) / 200)
                theta[step, share, side] = min(max(value, -1.0), 3.0)
        waiting = [label for label in waiting if label[0] > forecast["made_on"]]
        reach = {}
        for share, side in sides:
            tail = (100 - share) / 200
            level = round(tail if side == "lo" else 1 - tail, 3)
            wanted = []
            for step, of_step in forecast["steps"].items():
                quantiles = dict(zip(levels, of_step["quantiles"], strict=True))
                distance = abs(quantiles[level] - quantiles[0.5])
                wanted.append(distance + theta[step, share, side] * of_step["width"])
            for step, value in zip(forecast["steps"], isotonic(wanted), strict=True):
                inner = reach.get((step, {80: 50, 95: 80}.get(share), side), 0.0)
                reach[step, share, side] = max(value, inner)
        cones = {}
        for step, of_step in forecast["steps"].items():
            median = of_step["quantiles"][levels.index(0.5)]
            bands = {f"lo{share}": median - reach[step, share, "lo"] for share in (50, 80, 95)}
            bands |= {f"hi{share}": median + reach[step, share, "hi"] for share in (50, 80, 95)}
            cones[step] = bands
            if of_step["outcome"] is not None:
                waiting.append((of_step["arrived"], step, of_step["outcome"], bands))
        published.append(cones)
    return published


def isotonic(values: list[float]) -> list[float]:
    """Return the nearest values that do not decrease: neighbours that do are averaged."""
    blocks: list[list[float]] = []
    for value in values:
        blocks.append([value])
        while len(blocks) > 1 and mean_of(blocks[-2]) >= mean_of(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    return [mean_of(block) for block in blocks for _ in block]


def mean_of(values: list[float]) -> float:
    return sum(values) / len(values)


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


def clock_columns(days: list[date], ranges: list[float], volumes: list[float]) -> list[list[float]]:
    """Return what the announcement clock reads of each day; shocks are NaN where not known."""
    sizes = []
    for own_range, own_volume in zip(ranges, volumes, strict=True):
        total = 0.0
        for value, most in ((own_range, 4), (own_volume, 3)):
            total += 0.0 if math.isnan(value) else min(max(value, -1), most)
        sizes.append(max(total, 0.0))
    rows = []
    for day in days:
        around = []  # by quarter, seven sessions
        for quarter in range(1, 9):
            start = date.fromordinal(day.toordinal() - 91 * quarter)
            base = next(n for n, other in enumerate(days) if other >= start)
            places = [base + shift for shift in range(-3, 4)] if base else []
            seven = [sizes[place] if place >= 0 else 0.0 for place in places]
            around.append(seven or [0.0] * 7)
        exact = [seven[3] for seven in around]
        near = [max(seven[2:5]) for seven in around]
        row = exact + near + [max(seven) for seven in around]
        row += [mean_of([seven[k] for seven in around]) for k in range(7)]
        row += [mean_of([around[3][k], around[7][k]]) for k in range(7)]
        row += [mean_of(near), mean_of(exact)]
        row += sorted(near)[3:5] + sorted(exact)[3:5]
        row += [mean_of(near) ** 2, mean_of(exact) ** 2]
        first = date(day.year, 3 * ((day.month - 1) // 3) + 1, 1)
        phase = 2 * math.pi * (day - first).days / 91.3
        row += [math.sin(k * phase) for k in range(1, 5)]
        row += [math.cos(k * phase) for k in range(1, 5)]
        row += [float(day.weekday() == number) for number in range(5)]
        rows.append(row)
    return rows


def clock_ahead(days: list[date], variance: list[float], origin: int, steps: int) -> float:
    """Return ln of the mean variance of the next sessions that read nothing after the origin."""
    total, count = 0.0, 0
    for place in range(origin + 1, origin + steps + 1):
        start = date.fromordinal(days[place].toordinal() - 91)
        latest = next(n for n, other in enumerate(days) if other >= start) + 3
        if days[0] >= start or latest <= origin:
            total, count = total + variance[place], count + 1
    return math.log(total / count) if count else 0.0


def panel_columns(bars: Bars) -> dict[str, float]:
    """Return what the panel network reads of a ticker's own bars at the last of them."""
    returns, sigma = log_return(bars), ewma_volatility(bars)
    variance = [value**2 for value in garman_klass(bars)]
    t = len(bars) - 1
    level = math.log(mean_of(variance[max(1, t - 999) :]))
    columns = {"level": level}
    for span in (1, 5, 22, 66):
        columns[f"variance_{span}"] = math.log(mean_of(variance[t + 1 - span :])) - level
    columns["fall_1"] = min(returns[t], 0) / sigma[t]
    columns["fall_5"] = min(sum(returns[t - 4 :]), 0) / (sigma[t] * math.sqrt(5))
    columns["size_1"] = abs(returns[t]) / sigma[t]
    for span in (5, 22):
        last = range(t + 1 - span, t + 1)
        total = sum(variance[s] for s in last)
        gaps = [
            math.log(bars[s]["open"] / (bars[s - 1]["close"] - bars[s]["dividend"])) for s in last
        ]
        columns[f"gap_{span}"] = min(sum(gap**2 for gap in gaps) / total, 1)
        columns[f"downside_{span}"] = sum(variance[s] for s in last if returns[s] < 0) / total
        squares = sum(returns[s] ** 2 for s in last)
        columns[f"close_to_close_{span}"] = math.log(squares / total + 0.05)
    for span in (5, 22, 66, 252):
        moved = sum(returns[t + 1 - span :]) / (sigma[t] * math.sqrt(span))
        columns[f"momentum_{span}"] = min(max(moved, -5), 5)
    since = 0
    while t - since > 20 and abs(returns[t - since]) <= 3 * sigma[t - since - 1]:
        since += 1
    columns["since_large"] = math.log(1 + min(since, 252))
    columns["ewma"] = math.log(sigma[t] ** 2) - level
    month = sorted(variance[t - 21 :])
    columns["max_variance_22"] = math.log(month[-1]) - level
    columns["median_variance_22"] = math.log((month[10] + month[11]) / 2) - level
    columns["return"] = min(max(returns[t] / sigma[t - 1], -8), 8)
    for k in range(1, 20):
        columns[f"variance_lag_{k}"] = math.log(variance[t - k]) - level
    for k in range(1, 10):
        columns[f"fall_lag_{k}"] = min(returns[t - k], 0) / sigma[t - k]
    return columns


def panel_loss(
    p: list, delta: list, residual: list, error: list, weight: list, scales: dict, levels: list
) -> float:
    """Return the loss of the panel network on one step's heads, (tickers, sessions) each.

    Args:
        scales: of the step: `variance`, `quantiles` by level, `pinball`; and `fixed`, the p that
            the second head's loss reads.
    """
    tickers, sessions = range(len(p)), range(len(p[0]))
    rows = sum(weight[b][t] for b in tickers for t in sessions)
    total = 0.0
    for t in sessions:
        there = [b for b in tickers if weight[b][t]]
        if not there:
            continue
        common = sum(residual[b][t] - p[b][t] for b in there) / len(there)
        for b in there:
            left = residual[b][t] - p[b][t] - common
            total += (left**2 + 0.05 * common**2) / scales["variance"]
            half = min(max((scales["fixed"][b][t] + delta[b][t]) / 2, -2), 2)
            pinball = 0.0
            for level, quantile in zip(levels, scales["quantiles"], strict=True):
                beyond = error[b][t] - math.exp(half) * quantile
                pinball += max(level * beyond, (level - 1) * beyond) / len(levels)
            total += 3 * pinball / scales["pinball"]
    return total / rows


Statement = dict[str, object]
"""One row of an Events table, dates as `date`."""


def known_reports(
    statements: list[Statement], day: date, order: tuple[str, ...]
) -> list[Statement]:
    """Return the announcements known on a day: of each source the last word about a session."""
    last: dict[tuple[object, object], Statement] = {}
    for statement in sorted(statements, key=lambda each: each["known_on"]):
        if statement["known_on"] <= day:
            last[statement["source"], statement["session"]] = statement
    held = [each for each in last.values() if each["status"] != "withdrawn"]
    kept = []
    for each in held:
        better = [
            other
            for other in held
            if order.index(other["source"]) < order.index(each["source"])
            and abs((other["session"] - each["session"]).days) <= 30
        ]
        if not better:
            kept.append(each)
    return sorted(kept, key=lambda each: each["session"])


def reaction_of(sizes: list[float], prior: float) -> float:
    return (sum(sizes) + 2 * prior) / (len(sizes) + 2)
