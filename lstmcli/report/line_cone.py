"""A cone with axes as SVG by hand: what a page of hundreds of tickers can afford.

Matplotlib takes a third of a second for a chart. This takes a millisecond, and has what a
reader of one forecast needs: recent closes, three cones, prices and dates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
import pandas as pd

from lstmcli.digits import in_words
from lstmcli.report.pictures import Picture, Schemes, scheme_css

RECENT = 60
"""Closes that are shown before the cone."""

_WIDE, _PHONE = (704, 300), (360, 260)
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 62, 12, 26


def line_cone(closes: pd.Series, prices: pd.DataFrame, *, alt: str, schemes: Schemes) -> Picture:
    """Return a forecast after its recent closes, for a wide window and for a phone.

    Args:
        closes: by session, up to the origin.
        prices: `target_on last_close q50 lo50 … hi95` of one ticker, by step.
        alt: the picture in words.
    """
    wide, phone = (
        _svg(closes.iloc[-RECENT:], prices, size, alt=alt, schemes=schemes)
        for size in (_WIDE, _PHONE)
    )
    return Picture(wide, alt, phone)


def _svg(
    closes: pd.Series, prices: pd.DataFrame, size: tuple[int, int], *, alt: str, schemes: Schemes
) -> str:
    width, height = size
    start = float(prices["last_close"].iloc[0])
    known = closes.to_numpy(float)
    ends = {
        name: np.append(start, prices[name].to_numpy(float))
        for name in ("lo95", "hi95", "lo80", "hi80", "lo50", "hi50", "q50")
    }
    low, high = min(known.min(), ends["lo95"].min()), max(known.max(), ends["hi95"].max())
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    days = [*closes.index, *prices["target_on"]]
    origin, last = len(known) - 1, len(days) - 1
    steps = np.arange(origin, last + 1)

    def x(at: np.ndarray | float) -> np.ndarray:
        return _LEFT + (width - _LEFT - _RIGHT) * np.asarray(at, float) / max(last, 1)

    def y(price: np.ndarray | float) -> np.ndarray:
        share = (high - np.asarray(price, float)) / max(high - low, 1e-12)
        return _TOP + (height - _TOP - _BOTTOM) * share

    def points(at: np.ndarray, of: np.ndarray) -> str:
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x(at), y(of), strict=True))

    parts = []
    for price in ticks:
        parts.append(
            f'<path class="g" d="M{_LEFT} {y(price):.1f}H{width - _RIGHT}"/>'
            f'<text x="{width - _RIGHT + 6}" y="{y(price) + 4:.1f}">{in_words(price)}</text>'
        )
    for at, anchor in _dated(origin, last):
        day = f"{days[at]:%d %b}".lstrip("0")
        parts.append(
            f'<text x="{x(at):.1f}" y="{height - 8}" text-anchor="{anchor}">{escape(day)}</text>'
        )
    for share in (95, 80, 50):
        outline = points(
            np.concatenate([steps, steps[::-1]]),
            np.concatenate([ends[f"lo{share}"], ends[f"hi{share}"][::-1]]),
        )
        parts.append(f'<polygon fill="var(--cone{share})" points="{outline}"/>')
    parts += [
        f'<path class="g" d="M{x(origin):.1f} {_TOP}V{height - _BOTTOM}"/>',
        f'<polyline stroke="var(--median)" points="{points(steps, ends["q50"])}"/>',
        f'<polyline stroke="var(--ink)" points="{points(np.arange(origin + 1), known)}"/>',
    ]
    style = (
        f"{scheme_css(_used(schemes))}text{{font:12px system-ui,'DejaVu Sans',sans-serif;"
        "fill:var(--label)}.g{stroke:var(--grid)}polyline{fill:none;stroke-width:1.8}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(alt)}"><style>{style}</style>{"".join(parts)}</svg>'
    )


def _used(schemes: Schemes) -> Schemes:
    names = ("ink", "label", "grid", "median", "cone95", "cone80", "cone50")
    return {name: schemes[name] for name in names}


def _dated(origin: int, last: int) -> Iterator[tuple[int, str]]:
    """Yield which sessions are dated: the first, the origin and the last."""
    yield 0, "start"
    if origin > 0:
        yield origin, "middle"
    yield last, "end"


def _ticks(low: float, high: float) -> Sequence[float]:
    """Return round prices inside a range, three to six of them."""
    span = max(high - low, 1e-9)
    size = 10.0 ** np.floor(np.log10(span / 3))
    step = next(size * by for by in (1, 2, 5, 10) if span / (size * by) <= 5)
    first = np.ceil(low / step) * step
    return [float(round(value, 10)) for value in np.arange(first, high + step * 1e-6, step)]
