"""Cones: what is drawn between the steps of a forecast."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lstmcli.charts.theme import Palette
from lstmcli.frames import COVERAGES, interval_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PIECES = 8
"""Straight pieces to the first step. From step n on an nth of them bends as smoothly."""


def between_steps(
    steps: Sequence[int] | np.ndarray, values: np.ndarray, *, less: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return times from 0 to the last step, and values between those of the steps.

    They pass through every step and grow with the square root of time in between, as the
    reach of a random walk does. Nothing lies outside the two steps beside it.

    Equation: v(t) = v_i + (v_j − v_i)·(√t − √i)/(√j − √i) for steps i ≤ t ≤ j.

    Args:
        steps: ascending, the first is 0.
        values: (S, E), one row per step.
        less: (S,) what is subtracted from the values at each step, a dividend, which has
            nothing to do with time.

    Returns:
        (T,) and (T, E).
    """
    known = np.asarray(steps, float)
    subtracted = np.zeros(len(known)) if less is None else np.asarray(less, float)
    pieces = []
    for start, end in pairwise(known):
        count = max(round(_PIECES / (1 + start)), round(end - start))
        inner = np.square(np.linspace(np.sqrt(start), np.sqrt(end), count + 1)[1:-1])
        pieces += [[start], inner]
    times = np.concatenate([*pieces, known[-1:]])
    whole = values + subtracted[:, None]
    drawn = [np.interp(np.sqrt(times), np.sqrt(known), column) for column in whole.T]
    return times, np.column_stack(drawn) - np.interp(times, known, subtracted)[:, None]


def draw_cone(
    axes: Axes, times: np.ndarray, edges: pd.DataFrame, colours: Palette, *, label: str = ""
) -> None:
    """Fill the 95, 80 and 50 % cones, the widest first."""
    for coverage in sorted(COVERAGES, reverse=True):
        lower, upper = interval_columns(coverage)
        axes.fill_between(
            times,
            edges[lower].to_numpy(),
            edges[upper].to_numpy(),
            facecolor=colours.cones[coverage],
            edgecolor=colours.paper,
            linewidth=0.5,
            label=f"{label}{coverage:.0%}",
        )
