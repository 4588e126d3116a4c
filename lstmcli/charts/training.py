"""A training as losses per epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lstmcli.charts._style import (
    BLUE,
    INK,
    MARGIN,
    ORANGE,
    SIZE,
    STYLE,
    new_figure,
    number_axis,
    settle,
)
from lstmcli.errors import NoDataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIT_NAMES = {"scored": "scored fit: for the test block", "final": "final fit: for forecasts"}


def training_chart(history: pd.DataFrame, *, title: str, note: str | None = None) -> Figure:
    """Return loss per epoch, one panel per fit, with each member's best epoch.

    A loss of 1.0 is the baseline's on the training windows, and the untrained
    network of epoch 0 is that baseline.

    Raises:
        NoDataError: when the history has no epoch.
    """
    from matplotlib import style
    from matplotlib.ticker import MaxNLocator

    fits = [fit for fit in FIT_NAMES if (history["fit"] == fit).any()]
    if not fits:
        raise NoDataError("Expected a training history with an epoch or more. Received: none.")

    with style.context(["default", STYLE]):
        figure = new_figure(title=title, lines=[""], note=note, footer=None)
        row = figure.subplots(1, len(fits), sharey=True, squeeze=False)[0]
        for axes, fit in zip(row, fits, strict=True):
            epochs = history[history["fit"] == fit].sort_values(["member", "epoch"])
            axes.axhline(1.0, color=INK, linewidth=1.2, linestyle=":", label="baseline")
            best = [
                found
                for _member, one in epochs.groupby("member")
                if (found := _draw_member(axes, one)) is not None
            ]
            axes.set_title(f"{FIT_NAMES[fit]}\n{_best_epochs(best)}", loc="left", fontsize=10)
            axes.set_xlabel("epoch (0: untrained)")
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            axes.grid(axis="y")
            axes.margins(y=0.08)
            last = max(epochs["epoch"].max(), 1)
            axes.set_xlim(-0.04 * last, 1.04 * last)
            number_axis(axes.yaxis)
        row[0].set_ylabel("loss (baseline = 1)")
        _training_legend(figure, row[0])
        settle(figure)
    return figure


def _draw_member(axes: Axes, epochs: pd.DataFrame) -> tuple[int, float] | None:
    """Draw one member's losses; return its best epoch and validation loss."""
    axes.plot(
        epochs["epoch"],
        epochs["loss"],
        color=ORANGE,
        linewidth=1.2,
        linestyle="--",
        marker="." if len(epochs) == 1 else None,
        label="training",
    )
    axes.plot(
        epochs["epoch"],
        epochs["validation_loss"],
        color=BLUE,
        linewidth=1.8,
        label="validation",
    )
    known = epochs[np.isfinite(epochs["validation_loss"])]
    if known.empty:
        return None
    best = known.loc[known["validation_loss"].idxmin()]
    axes.plot(
        [best["epoch"]],
        [best["validation_loss"]],
        "o",
        markersize=8,
        markerfacecolor="white",
        markeredgecolor=BLUE,
        markeredgewidth=1.8,
        zorder=3,
        label="best epoch",
    )
    return int(best["epoch"]), float(best["validation_loss"])


def _best_epochs(best: Sequence[tuple[int, float]]) -> str:
    """Return the best epochs of all members in a few words."""
    if not best:
        return "no finite validation loss"
    epochs = [epoch for epoch, _loss in best]
    lowest = min(loss for _epoch, loss in best)
    if len(epochs) == 1:
        return f"best epoch {epochs[0]}: {lowest:.4f}"
    # Three fit on a panel half as wide as the chart.
    listed = ", ".join(map(str, epochs)) if len(epochs) <= 3 else f"{min(epochs)}…{max(epochs)}"
    return f"best epochs {listed}: from {lowest:.4f}"


def _training_legend(figure: Figure, axes: Axes) -> None:
    """Explain the line styles once, under the title."""
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    figure.legend(
        once.values(),
        once.keys(),
        loc="upper left",
        bbox_to_anchor=(0.0, 1 - (MARGIN + 0.22) / SIZE[1]),
        ncols=4,
        frameon=False,
        borderaxespad=0.2,
        handlelength=2.2,
    ).set_in_layout(False)
