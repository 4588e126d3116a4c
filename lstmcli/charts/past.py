"""Past forecasts of a ticker as cones, and the closes that came."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lstmcli.charts._cone import between_steps, draw_cone
from lstmcli.charts._figure import new_figure, number_axis, session_axis, settle
from lstmcli.charts.theme import PAPER, Palette, Theme
from lstmcli.errors import NoDataError
from lstmcli.frames import INTERVAL_COLUMNS, interval_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 250
"""Sessions on paper: a year."""

SHOWN_ON_A_PHONE = 90


def past_chart(
    closes: pd.Series,
    forecasts: pd.DataFrame,
    *,
    title: str,
    made: str,
    axis: str = "close",
    note: str | None = None,
    theme: Theme = PAPER,
) -> Figure:
    """Return the recent closes and, behind them, forecasts whose outcome is known.

    Of all forecasts those are drawn that follow each other without overlapping, back from
    the last one. A dot marks the close at the last step of each.

    Args:
        closes: by session, with dividends reinvested, as the returns that are forecast.
        forecasts: of one ticker `made_on step target_on` and the ends of the cones as log
            returns; `made_on` and `target_on` are sessions of `closes`.
        made: who made the forecasts, as a sentence.
        axis: what the closes are.

    Raises:
        NoDataError: there is no forecast with an outcome.
    """
    from matplotlib import style

    shown = SHOWN_ON_A_PHONE if theme.phone else SHOWN
    drawn = _one_after_another(closes.index, forecasts, shown=shown)
    if drawn.empty:
        raise NoDataError("Expected a forecast whose outcome is known. Received: none.")
    first, last = closes.index.get_indexer([drawn["made_on"].min(), drawn["target_on"].max()])
    history = closes.iloc[max(first - 5, 0) : last + 1]
    horizon = int(drawn["step"].max())
    ends = drawn[drawn["step"] == horizon]
    held = {share: _held(closes, ends, share) for share in (0.8, 0.95)}
    of_steps = f"{horizon} session{'s' * (horizon > 1)} ahead"
    colours = theme.colours

    with style.context(["default", theme.style]):
        figure = new_figure(
            theme,
            title=title,
            lines=[
                f"{int(held[0.8].sum())} of {len(ends)} closes {of_steps} lay inside the 80 % "
                f"cone, {int(held[0.95].sum())} inside 95 %.",
                made,
            ],
            note=note,
            footer="Shaded: 50, 80 and 95 % of outcomes. Dots: the close at the end of a cone; "
            "diamonds: outside 95 %. Not investment advice.",
            body=2.9 if theme.phone else None,
        )
        axes = figure.add_subplot()
        for made_on, rows in drawn.groupby("made_on"):
            _draw_one(axes, history, pd.Timestamp(made_on), rows.sort_values("step"), colours)
        axes.plot(np.arange(len(history)), history.to_numpy(), color=colours.ink, linewidth=1.3)
        at = history.index.get_indexer(ends["target_on"])
        came = history.to_numpy()[at]
        for inside, marker, colour, size in (
            (held[0.95], "o", colours.ink, 4),
            (~held[0.95], "D", colours.orange, 5),
        ):
            axes.plot(at[inside], came[inside], marker, color=colour, markersize=size)
        axes.grid(axis="y")
        axes.margins(x=0.01)
        axes.set_ylabel(axis)
        session_axis(axes, pd.DatetimeIndex(history.index))
        number_axis(axes.yaxis)
        settle(figure)
    return figure


def _one_after_another(sessions: pd.Index, forecasts: pd.DataFrame, *, shown: int) -> pd.DataFrame:
    """Return whole forecasts of the last `shown` sessions that do not overlap."""
    known = forecasts[forecasts["made_on"].isin(sessions) & forecasts["target_on"].isin(sessions)]
    horizon = known.groupby("made_on")["step"].transform("max")
    known = known[horizon == horizon.max()]
    spans = known.groupby("made_on")["target_on"].max().sort_index(ascending=False)
    kept: list[pd.Timestamp] = []
    until = None
    for made_on, target_on in spans.items():
        if len(sessions) - sessions.get_loc(made_on) > shown and kept:
            break
        if until is None or target_on <= until:
            kept.append(made_on)
            until = made_on
    return known[known["made_on"].isin(kept)]


def _held(closes: pd.Series, ends: pd.DataFrame, coverage: float) -> np.ndarray:
    """Return whether the closes at the last steps lay inside a cone."""
    came = np.log(
        closes.reindex(ends["target_on"]).to_numpy() / closes.reindex(ends["made_on"]).to_numpy()
    )
    low, high = (ends[column].to_numpy(float) for column in interval_columns(coverage))
    return (came >= low) & (came <= high)


def _draw_one(
    axes: Axes, history: pd.Series, made_on: pd.Timestamp, rows: pd.DataFrame, colours: Palette
) -> None:
    start = history.index.get_loc(made_on)
    # Sessions that an exchange did not have are no step of the axis.
    steps = np.append(0, history.index.get_indexer(rows["target_on"]) - start)
    levels = np.vstack([np.zeros(len(INTERVAL_COLUMNS)), rows[list(INTERVAL_COLUMNS)]])
    times, drawn = between_steps(steps, levels)
    prices = history.iloc[start] * np.exp(drawn)
    edges = pd.DataFrame(prices, columns=list(INTERVAL_COLUMNS))
    draw_cone(axes, start + times, edges, colours, label="_")
