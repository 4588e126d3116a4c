"""A training as what each epoch gains over the network before the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lstmcli.charts._figure import new_figure, number_axis, settle
from lstmcli.charts.theme import PAPER, Palette, Theme
from lstmcli.errors import NoDataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIT_NAMES = {"scored": "scored fit, for the test block", "final": "final fit, for forecasts"}

_LOSSES = {"loss": "training", "validation_loss": "validation"}

_BEST = [
    "Loss saved against the untrained network, which is the baseline.",
    "Solid: validation. Dashed: training. Circle: the epoch that is kept.",
]
_LAST = [
    "Loss saved against the regression alone, where training starts.",
    "Each line: a network, on the dates held out of its training. Circle: kept.",
]
"""Said of networks that keep their best epoch, and of those that keep their last."""

_LEAST = 0.5
"""Percent that the axis shows at least, so that rounding does not look like a gain."""


def training_chart(
    history: pd.DataFrame,
    *,
    title: str,
    run: str,
    keeps_best: bool = True,
    note: str | None = None,
    theme: Theme = PAPER,
) -> Figure:
    """Return the gain of each epoch in %, one panel per fit, with the epoch that is kept.

    The untrained network of epoch 0 is the baseline. Training and validation blocks are of
    different years, so each is divided by its own loss at epoch 0: above zero is better
    than the baseline on the same sessions. A member may have no validation block.

    Args:
        keeps_best: whether each member keeps its best epoch on the validation block; else
            its last one. Then losses of training are not drawn: each epoch's is of other
            batches.

    Equation: gain = 100·(1 − loss of the epoch / loss of epoch 0), by fit, member and block.

    Raises:
        NoDataError: when the history has no epoch.
    """
    from matplotlib import style
    from matplotlib.ticker import MaxNLocator

    fits = [fit for fit in FIT_NAMES if (history["fit"] == fit).any()]
    if not fits:
        raise NoDataError("Expected a training history with an epoch or more. Received: none.")
    gains = _gains(history)
    colours = theme.colours

    with style.context(["default", theme.style]):
        figure = new_figure(
            theme,
            title=title,
            lines=_BEST if keeps_best else _LAST,
            note=note,
            footer=f"Run {run}. Not investment advice.",
            body=2.4 * len(fits) + 0.2 if theme.phone else None,
        )
        shape = (len(fits), 1) if theme.phone else (1, len(fits))
        panels = figure.subplots(*shape, sharey=True, squeeze=False).ravel()
        for axes, fit in zip(panels, fits, strict=True):
            epochs = gains[gains["fit"] == fit].sort_values(["member", "epoch"])
            axes.axhline(0.0, color=colours.ink, linewidth=1.2, label="baseline")
            best = [
                found
                for _member, one in epochs.groupby("member")
                if (found := _draw_member(axes, one, colours, keeps_best)) is not None
            ]
            told = _best_epochs(best) if keeps_best else _last_epochs(best)
            axes.set_title(f"{FIT_NAMES[fit]}\n{told}", loc="left", fontsize=10)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            axes.grid(axis="y")
            axes.margins(y=0.08)
            last = max(epochs["epoch"].max(), 1)
            axes.set_xlim(-0.04 * last, 1.04 * last)
            number_axis(axes.yaxis, suffix=" %", signed=True)
        low, high = panels[0].get_ylim()
        if high - low < _LEAST:
            middle = (low + high) / 2
            panels[0].set_ylim(middle - _LEAST / 2, middle + _LEAST / 2)
        for axes in panels[-1:] if theme.phone else panels:
            axes.set_xlabel("epoch (0: untrained)")
        panels[0].set_ylabel("gain (up is better)")
        settle(figure)
    return figure


def _gains(history: pd.DataFrame) -> pd.DataFrame:
    """Return the history with gains in % instead of losses."""
    # The first epoch of a member is 0; rows come as members were trained.
    ordered = history.sort_values("epoch", kind="stable")
    first = ordered.groupby(["fit", "member"])[list(_LOSSES)].transform("first")
    return ordered.assign(**{name: 100 * (1 - ordered[name] / first[name]) for name in _LOSSES})


def _draw_member(
    axes: Axes, epochs: pd.DataFrame, colours: Palette, keeps_best: bool
) -> tuple[int, float] | None:
    """Draw one member's gains; return the epoch that it kept and what validation gained there."""
    drawn = [("validation_loss", colours.blue, 1.8, "-")]
    if keeps_best:
        drawn.insert(0, ("loss", colours.orange, 1.2, "--"))
    for column, color, width, dashes in drawn:
        axes.plot(
            epochs["epoch"],
            epochs[column],
            color=color,
            linewidth=width,
            linestyle=dashes,
            marker="." if len(epochs) == 1 else None,
            label=_LOSSES[column],
        )
    known = epochs[np.isfinite(epochs["validation_loss"])]
    if known.empty:
        return None
    best = known.loc[known["validation_loss"].idxmax()] if keeps_best else known.iloc[-1]
    axes.plot(
        [best["epoch"]],
        [best["validation_loss"]],
        "o",
        markersize=8,
        markerfacecolor=colours.paper,
        markeredgecolor=colours.blue,
        markeredgewidth=1.8,
        zorder=3,
        label="kept",
    )
    return int(best["epoch"]), float(best["validation_loss"])


def _best_epochs(best: Sequence[tuple[int, float]]) -> str:
    """Return the epochs that are kept of all members, and their mean gain, in a few words."""
    if not best:
        return "no finite validation loss"
    epochs = [epoch for epoch, _gain in best]
    if not any(epochs):
        return "no epoch was better: kept untrained"
    gain = f"{np.mean([gain for _epoch, gain in best]):+.2f} %".replace("-", "−")
    if len(epochs) == 1:
        return f"epoch {epochs[0]} kept: {gain}"
    # Three fit on a panel half as wide as the chart.
    listed = ", ".join(map(str, epochs)) if len(epochs) <= 3 else f"{min(epochs)}…{max(epochs)}"
    return f"epochs {listed} kept: {gain}"


def _last_epochs(last: Sequence[tuple[int, float]]) -> str:
    """Return what members with a validation block gain at their last epoch, in a few words."""
    if not last:
        return "no finite validation loss"
    gain = f"{np.mean([gain for _epoch, gain in last]):+.2f} %".replace("-", "−")
    return f"epoch {last[0][0]}, the last, kept: {gain}"
