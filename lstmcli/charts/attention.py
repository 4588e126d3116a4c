"""Which sessions of a window attention prefers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lstmcli.charts._figure import new_figure, number_axis, session_axis, settle
from lstmcli.charts.theme import PAPER, Theme
from lstmcli.errors import NoDataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLAT = 0.1
"""Weights that all lie within a tenth of equal ones make no difference to a forecast."""

_LEAST = 25.0
"""Percent that the axis shows to each side at least, so that flat weights look flat."""


def attention_chart(
    weights: pd.DataFrame,
    closes: pd.Series,
    *,
    title: str,
    run: str,
    note: str | None = None,
    theme: Theme = PAPER,
) -> Figure:
    """Return how much more or less than equally each session counts, its close above.

    Without any preference every session has 1/L of the attention. Shown is the
    difference from that, in % of it.

    Args:
        weights: `session weight` of one window, oldest first; the weights sum to 1.
        closes: by session, at least those of the window.

    Raises:
        NoDataError: when the window is empty.
    """
    from matplotlib import style

    if weights.empty:
        raise NoDataError("Expected an attention weight or more. Received: none.")
    sessions = pd.DatetimeIndex(weights["session"])
    difference = 100 * (len(weights) * weights["weight"].to_numpy(float) - 1)
    furthest = float(np.abs(difference).max())
    colours = theme.colours

    with style.context(["default", theme.style]):
        figure = new_figure(
            theme,
            title=title,
            lines=[_finding(sessions, difference)],
            note=note,
            footer=f"Window of {len(sessions)} sessions up to {sessions[-1]:%d %b %Y}. "
            f"Run {run}. Not investment advice.",
            body=3.6 if theme.phone else None,
        )
        price, axes = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.3])
        # By position and not by date: weekends would tear holes between the bars.
        positions = np.arange(len(sessions))
        of_window = closes.reindex(sessions).to_numpy(float)
        price.plot(positions, of_window, color=colours.ink, linewidth=1.3)
        price.set_ylabel("close")
        price.grid(axis="y")
        price.tick_params(labelbottom=False)
        number_axis(price.yaxis)
        colour = [colours.blue if value >= 0 else colours.orange for value in difference]
        axes.bar(positions, difference, width=0.85, color=colour)
        axes.axhline(0, color=colours.ink, linewidth=1.0)
        session_axis(axes, sessions)
        number_axis(axes.yaxis, suffix=" %", signed=True)
        axes.set_ylabel("against equal")
        axes.set_xlim(-0.8, len(sessions) - 0.2)
        reach = 1.12 * max(furthest, _LEAST / 1.12)
        axes.set_ylim(-min(reach, 105), reach)
        axes.grid(axis="y")
        settle(figure)
    return figure


def _finding(sessions: pd.DatetimeIndex, difference: np.ndarray) -> str:
    """Return what the weights say, as a sentence."""
    if len(sessions) == 1:
        return "One session has all the attention: there is nothing to choose."
    if np.abs(difference).max() <= 100 * FLAT:
        return (
            f"Flat: it has learnt no timing. No session counts {100 * FLAT:.0f} % more or less "
            "than another would."
        )
    heaviest = int(difference.argmax())
    ago = len(sessions) - 1 - heaviest
    when = "the last one" if not ago else f"{ago} session{'s' * (ago > 1)} before the last"
    return (
        f"{sessions[heaviest]:%d %b %Y}, {when}, counts most: {difference[heaviest]:+.0f} % "
        "against equal weights."
    )
