"""A forecast as a cone of prices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lstmcli.charts._cone import between_steps, draw_cone
from lstmcli.charts._figure import (
    drawable,
    new_figure,
    number_axis,
    session_axis,
    settle,
    spread,
)
from lstmcli.charts._reports import mark_reports
from lstmcli.charts.theme import PAPER, Palette, Theme
from lstmcli.digits import five_digits
from lstmcli.frames import (
    COVERAGES,
    INTERVAL_COLUMNS,
    MEDIAN,
    QUANTILE_COLUMNS,
    interval_columns,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEDIAN_COLUMN = QUANTILE_COLUMNS[MEDIAN]

LABEL_GAP = 14.0  # points, between the centres of two labels above each other

_EDGES = [MEDIAN_COLUMN, *INTERVAL_COLUMNS]


def forecast_chart(
    bars: pd.DataFrame,
    forecast: pd.DataFrame,
    *,
    title: str,
    run: str,
    words: Sequence[str] = (),
    baseline: pd.DataFrame | None = None,
    beside: str = "",
    axis: str = "close",
    remark: str = "",
    note: str | None = None,
    reports: Sequence[date] = (),
    sessions_shown: int = 90,
    theme: Theme = PAPER,
) -> Figure:
    """Return the recent closes and the cone of one forecast, in prices and in %.

    The cone starts at the last close and holds 50, 80 and 95 % of outcomes; between steps
    it is interpolated, see `between_steps`. On paper its edges at the last step carry their
    prices; on a phone a line above the axes has those of 80 %. Sessions are evenly spaced,
    with step 0 at the last close: by date, weekends would dent the cone. Short horizons show
    fewer than `sessions_shown`, so that the cone stays legible. A thin line marks each
    session from which on a dividend is subtracted, a triangle each that reacts to a report.

    Args:
        forecast: quantiles and intervals as prices, with `declared`: what is subtracted.
        words: what the forecast says and what is known of its network, a line each.
        baseline: the same of a baseline, whose 80 % cone is outlined.
        beside: the name of this baseline in a sentence.
        axis: what the prices are.
        remark: what a reader of them must know.
        reports: sessions that react to one, past ones and the next.

    Raises:
        ValueError: when the forecast is not one ticker from one origin in the bars.
    """
    from matplotlib import style

    origins = forecast[["ticker", "made_on"]].drop_duplicates()
    if len(origins) != 1:
        raise ValueError(f"Expected one ticker and one origin. Received: {len(origins)}.")
    forecast = forecast.sort_values("step")
    made_on = pd.Timestamp(forecast["made_on"].iloc[0])
    if made_on not in bars.index:
        raise ValueError(f"Expected bars with the session {made_on:%Y-%m-%d}.")
    shown = min(sessions_shown, max(20, 8 * len(forecast)))
    shown = min(shown, 40) if theme.phone else shown
    history = bars["close"].loc[:made_on].tail(shown)
    last_close = float(forecast["last_close"].iloc[0])
    end = forecast.iloc[-1]
    low, high = interval_columns(0.8)
    lines = [*words, f"made on {made_on:%d %b %Y}"]
    if theme.phone:
        lines[-1] += f", from {five_digits(last_close)}"
        reach = f"{five_digits(end[low])} to {five_digits(end[high])}"
        lines.append(f"{end['target_on']:%d %b %Y}: 80 % lie in {reach}")
    dates = history.index.append(pd.DatetimeIndex(forecast["target_on"]))
    marked = [day for day in reports if dates[0].date() <= day <= dates[-1].date()]
    colours = theme.colours

    with style.context(["default", theme.style]):
        figure = new_figure(
            theme,
            title=title,
            lines=lines,
            note=note,
            footer=_footer(
                remark, beside if baseline is not None else "", run, marked=bool(marked)
            ),
            body=2.9 if theme.phone else None,
        )
        axes = figure.add_subplot()
        positions = np.arange(1 - len(history), 1)
        closes = history.to_numpy()
        axes.plot(positions, closes, color=colours.ink, linewidth=1.3, label="close")
        steps, times, edges = _cone(forecast)
        draw_cone(axes, times, edges, colours)
        if baseline is not None:
            _outline(axes, baseline.sort_values("step"), colours)
        axes.plot(times, edges[MEDIAN_COLUMN], color=colours.median, linewidth=1.8, label="median")
        axes.plot([0], [last_close], "o", color=colours.ink, markersize=5, label="last close")

        axes.grid(axis="y")
        axes.margins(x=0.01, y=0.09)
        session_axis(axes, pd.DatetimeIndex(dates), first=1 - len(history))
        number_axis(axes.yaxis)
        axes.set_ylabel(drawable(axis))
        _mark_dividends(axes, forecast, colours)
        mark_reports(
            axes,
            pd.DatetimeIndex(dates),
            marked,
            origin=len(history),
            first=1 - len(history),
            colours=colours,
        )
        percent = _percent_axis(axes, last_close)
        if theme.phone:
            settle(figure)
        else:
            _label_last_close(axes, history, last_close, colours)
            _label_cone_edges(figure, axes, percent, steps, forecast, colours)
    return figure


def _footer(remark: str, beside: str, run: str, *, marked: bool) -> str:
    parts = [
        "Shaded: 50, 80 and 95 % of outcomes.",
        f"Dashed: 80 % of {beside}, the hardest baseline." if beside else "",
        "Triangles: reports." if marked else "",
        remark,
        f"Run {run}.",
        "Not investment advice.",
    ]
    return " ".join(filter(None, parts))


def _cone(forecast: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Return the steps, and at times between them the median and the edges of the cones."""
    steps = np.append(0, forecast["step"].to_numpy(int))
    origin = np.full(len(_EDGES), float(forecast["last_close"].iloc[0]))
    values = np.vstack([origin, forecast[_EDGES].to_numpy(float)])
    declared = np.append(0.0, forecast["declared"].to_numpy(float))
    times, drawn = between_steps(steps, values, less=declared)
    return steps, times, pd.DataFrame(drawn, columns=_EDGES)


def _outline(axes: Axes, baseline: pd.DataFrame, colours: Palette) -> None:
    """Draw the edges of a baseline's 80 % cone."""
    _, times, edges = _cone(baseline)
    for column in interval_columns(0.8):
        axes.plot(
            times,
            edges[column].to_numpy(),
            color=colours.ink,
            linewidth=0.9,
            linestyle=(0, (4, 3)),
            label="_baseline",
        )


def _mark_dividends(axes: Axes, forecast: pd.DataFrame, colours: Palette) -> None:
    """Draw a thin line at each session from which on a dividend is subtracted."""
    paid = np.diff(forecast["declared"].to_numpy(float), prepend=0.0)
    for row in np.flatnonzero(paid > 0):
        at = forecast["step"].iloc[row]
        axes.axvline(at, color=colours.muted, linewidth=0.7, linestyle=":", label="_ex")


def _percent_axis(axes: Axes, last_close: float) -> Axes:
    """Write the change from the last close at the right."""
    percent = axes.twinx()
    low, high = axes.get_ylim()
    percent.set_ylim(100 * (low / last_close - 1), 100 * (high / last_close - 1))
    number_axis(percent.yaxis, suffix=" %", signed=True)
    return percent


def _label_last_close(axes: Axes, history: pd.Series, last_close: float, colours: Palette) -> None:
    """Write the last close beside the recent closes, on the side that is nearer."""
    text = f"last close {five_digits(last_close)}"
    # A character takes about a fiftieth of the axes: clear the sessions above the label.
    near = history.tail(-(-len(text) * round(np.ptp(axes.get_xlim())) // 50))
    high, low = near.max(), near.min()
    above = high - last_close < last_close - low
    axes.annotate(
        text,
        (0, last_close),
        xytext=(0, _beyond(axes, high, 6) if above else _beyond(axes, low, -6)),
        textcoords="data",
        ha="right",
        va="bottom" if above else "top",
        color=colours.ink,
        arrowprops=_leader(colours, relpos=(1, 0) if above else (1, 1)),
    )


def _label_cone_edges(
    figure: Figure,
    axes: Axes,
    percent: Axes,
    steps: np.ndarray,
    forecast: pd.DataFrame,
    colours: Palette,
) -> None:
    """Write what each edge costs at the last step, in a column right of the axis in %."""
    columns = [MEDIAN_COLUMN]
    names = ["median"]
    for coverage in sorted(COVERAGES):
        lower, upper = interval_columns(coverage)
        columns = [lower, *columns, upper]
        names = [f"{100 * coverage:.0f} %", *names, f"{100 * coverage:.0f} %"]

    edges = forecast.iloc[-1]
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    ticks = [label for label in percent.yaxis.get_majorticklabels() if label.get_text()]
    longest = max((len(label.get_text()) for label in ticks), default=5)
    left = 18 + 6.4 * longest  # points: DejaVu's digits of 10 points are 6.4 wide
    labels = [
        axes.annotate(
            f"{five_digits(edges[column])}  {name}",
            (1, 0.5),
            xytext=(left, 0),
            va="center",
            color=colours.ink,
            fontweight="bold" if name == "median" else "normal",
            annotation_clip=False,
            **place,
        )
        for column, name in zip(columns, names, strict=True)
    ]
    heading = axes.annotate(
        f"{edges['target_on']:%d %b %Y}",
        (1, 1),
        xytext=(left, 1.2 * LABEL_GAP),
        va="center",
        color=colours.muted,
        annotation_clip=False,
        **place,
    )

    # Only a finished layout knows how far apart the edges are on paper.
    settle(figure)
    height = axes.get_window_extent().height * 72 / figure.dpi  # points
    last = int(steps[-1])
    wanted = [axes.transLimits.transform((last, edges[column]))[1] * height for column in columns]
    places = spread(wanted, gap=LABEL_GAP, top=height)
    for label, at in zip(labels, places, strict=True):
        label.xy = (1, at / height)
    heading.xy = (1, places[-1] / height)


def _beyond(axes: Axes, value: float, points: float) -> float:
    """Return the y value that lies `points` above `value` on paper, roughly."""
    low, high = axes.get_ylim()
    height = 0.6 * 72 * axes.figure.bbox.height / axes.figure.dpi  # axes take 0.6 of the height
    return value + points / height * (high - low)


def _leader(colours: Palette, *, relpos: tuple[float, float]) -> dict[str, Any]:
    """Return the thin line from a label to what it names."""
    return {
        "arrowstyle": "-",
        "color": colours.muted,
        "linewidth": 0.7,
        "shrinkA": 1,
        "shrinkB": 0,
        "relpos": relpos,
    }
