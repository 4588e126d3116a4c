"""Charts inside a page: SVG that follows the reader's scheme, and small cones."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Schemes = Mapping[str, tuple[str, str]]
"""The light and the dark colour of everything that is drawn, by name."""

SKETCH_SESSIONS = 40
"""Recent closes in a small cone."""

_WIDTH, _HEIGHT = 120.0, 36.0


@dataclass(frozen=True)
class Picture:
    """A chart for the page: as SVG for a wide window and for a phone, and in words."""

    svg: str
    alt: str
    phone: str | None = None

    @property
    def address(self) -> str:
        """Return the chart as an address that holds it."""
        return _address(self.svg)

    @property
    def phone_address(self) -> str | None:
        """Return the same for a phone."""
        return None if self.phone is None else _address(self.phone)


def picture(
    figure: Figure, *, alt: str, name: str, schemes: Schemes, phone: Figure | None = None
) -> Picture:
    """Return a figure as an SVG that follows the reader's light or dark scheme.

    Args:
        figure, phone: drawn in light colours.
        name: makes its inner names its own, the same on every day.
    """
    narrow = None if phone is None else _svg(phone, f"{name}-phone", schemes)
    return Picture(_svg(figure, name, schemes), alt, narrow)


def _svg(figure: Figure, name: str, schemes: Schemes) -> str:
    import matplotlib

    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(
            stream,
            format="svg",
            metadata={"Date": None, "Creator": None},
            facecolor=figure.get_facecolor(),
        )
    svg = stream.getvalue().decode()
    svg = svg[svg.index("<svg") :]  # no prologue: nothing in it is needed
    for part, (light, _) in schemes.items():
        svg = svg.replace(light, f"var({_variable(part)})")
    head = svg.index(">") + 1
    fonts = "text{font-family:system-ui,'DejaVu Sans',sans-serif!important}"
    return f"{svg[:head]}<style>{scheme_css(schemes)}{fonts}</style>{svg[head:]}"


def scheme_css(schemes: Schemes) -> str:
    """Return the colours as properties of a style, in light and in dark."""
    light, dark = (
        "".join(f"{_variable(part)}:{pair[side]};" for part, pair in schemes.items())
        for side in (0, 1)
    )
    return f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def _variable(part: str) -> str:
    return f"--{part.replace('_', '-')}"


def _address(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def cone_sketch(closes: np.ndarray, prices: pd.DataFrame) -> str:
    """Return a cone as small as a line of a table, as markup; words must stand beside it.

    Args:
        closes: up to the origin; the last `SKETCH_SESSIONS` are drawn.
        prices: `last_close q50 lo50 … hi95` of one ticker, by step.
    """
    closes = np.asarray(closes, float)[-SKETCH_SESSIONS:]
    start = float(prices["last_close"].iloc[0])
    ends = {
        name: np.append(start, prices[name].to_numpy(float))
        for name in ("lo95", "hi95", "lo80", "hi80", "lo50", "hi50", "q50")
    }
    low, high = min(closes.min(), ends["lo95"].min()), max(closes.max(), ends["hi95"].max())
    count = len(closes) + len(prices)
    steps = np.append(0.0, prices["step"].to_numpy(float))

    def points(x: np.ndarray, y: np.ndarray) -> str:
        across = 1 + (_WIDTH - 2) * x / max(count - 1, 1)
        down = 1 + (_HEIGHT - 2) * (high - y) / max(high - low, 1e-12)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, down, strict=True))

    origin = len(closes) - 1
    parts = []
    for share in (95, 80, 50):
        x = np.concatenate([origin + steps, origin + steps[::-1]])
        y = np.concatenate([ends[f"lo{share}"], ends[f"hi{share}"][::-1]])
        parts.append(f'<polygon fill="var(--cone{share})" points="{points(x, y)}"/>')
    line = '<polyline fill="none" stroke="var(--{})" stroke-width="1.3" points="{}"/>'
    parts.append(line.format("median", points(origin + steps, ends["q50"])))
    parts.append(line.format("ink", points(np.arange(len(closes)), closes)))
    return (
        f'<svg class="sketch" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" aria-hidden="true" '
        f'focusable="false">{"".join(parts)}</svg>'
    )


_TINY = 2
"""Closes of which a tiny cone draws one, and units of its drawing to one of a small cone."""

_TINY_STEPS = (0, 1, 3, 5, 10, 15, 20, 40, 60)
"""Steps of which a tiny cone draws the ends."""


def tiny_cone(closes: np.ndarray, prices: pd.DataFrame) -> str:
    """Return `cone_sketch` in a fifth of its size, for hundreds of lines: classes, no colours.

    Args:
        closes, prices: as of `cone_sketch`.
    """
    closes = np.asarray(closes, float)[-SKETCH_SESSIONS:]
    horizon = len(prices)
    kept = sorted({min(step, horizon) for step in _TINY_STEPS} | {horizon})
    start = float(prices["last_close"].iloc[0])
    ends = {
        name: np.append(start, prices[name].to_numpy(float))[kept]
        for name in ("lo95", "hi95", "lo80", "hi80", "lo50", "hi50", "q50")
    }
    low, high = min(closes.min(), ends["lo95"].min()), max(closes.max(), ends["hi95"].max())
    past = np.arange(len(closes) - 1, -1, -_TINY)[::-1]
    origin = len(closes) - 1
    across = _TINY * _WIDTH / max(origin + horizon, 1)
    down = _TINY * _HEIGHT / max(high - low, 1e-12)

    def path(at: np.ndarray, price: np.ndarray) -> str:
        x, y = np.rint(across * at).astype(int), np.rint(down * (high - price)).astype(int)
        moves = zip(np.diff(x), np.diff(y), strict=True)
        return f"M{x[0]} {y[0]}l" + " ".join(f"{a} {b}" for a, b in moves).replace(" -", "-")

    ahead = origin + np.array(kept)
    cones = "".join(
        f'<path class="{name}" d="'
        + path(
            np.concatenate([ahead, ahead[::-1]]),
            np.concatenate([ends[f"lo{share}"], ends[f"hi{share}"][::-1]]),
        )
        + 'z"/>'
        for name, share in (("a", 95), ("b", 80), ("c", 50))
    )
    lines = "".join(
        f'<path class="{name}" d="{path(at, price)}"/>'
        for name, at, price in (("m", ahead, ends["q50"]), ("k", past, closes[past]))
    )
    box = f"0 0 {_TINY * _WIDTH:g} {_TINY * _HEIGHT:g}"
    return f'<svg class="s" viewBox="{box}" aria-hidden="true">{cones}{lines}</svg>'
