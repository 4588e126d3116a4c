"""A forecast as a cone of prices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lstmcli.charts._style import (
    CONE_BLUES,
    INK,
    MEDIAN_BLUE,
    MUTED,
    SIZE,
    STYLE,
    drawable,
    lay_out,
    new_figure,
    number_axis,
    session_axis,
    settle,
)
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


def forecast_chart(
    bars: pd.DataFrame,
    forecast: pd.DataFrame,
    *,
    title: str,
    run: str,
    axis: str = "close",
    remark: str = "",
    note: str | None = None,
    sessions_shown: int = 120,
) -> Figure:
    """Return the recent closes and the cone of one forecast, in prices.

    The cone starts at the last close and holds 50, 80 and 95 % of outcomes.
    Its edges at the last step carry their prices. Sessions are evenly spaced,
    with step 0 at the last close: by date, weekends would dent the cone. Short
    horizons show fewer than `sessions_shown`, so that the cone stays legible. A thin line
    marks each session from which on a dividend is subtracted.

    Args:
        forecast: quantiles and intervals as prices, with `declared`: what is subtracted.
        axis: what the prices are.
        remark: what a reader of them must know.

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
    history = bars["close"].loc[:made_on].tail(shown)
    prices = _cone_prices(forecast)
    last_close = float(forecast["last_close"].iloc[0])

    with style.context(["default", STYLE]):
        figure = new_figure(
            title=title,
            lines=[f"made on {made_on:%d %b %Y} · {forecast['ticker'].iloc[0]} · run {run}"],
            note=note,
            footer=" ".join(
                filter(
                    None,
                    ["Shaded: 50, 80 and 95 % of outcomes.", remark, "Not investment advice."],
                )
            ),
        )
        axes = figure.add_subplot()
        axes.plot(
            np.arange(1 - len(history), 1),
            history.to_numpy(),
            color=INK,
            linewidth=1.3,
            label="close",
        )
        steps = np.arange(len(prices))
        for coverage in sorted(COVERAGES, reverse=True):
            lower, upper = interval_columns(coverage)
            axes.fill_between(
                steps,
                prices[lower].to_numpy(),
                prices[upper].to_numpy(),
                facecolor=CONE_BLUES[coverage],
                edgecolor="white",
                linewidth=0.5,
                label=f"{coverage:.0%}",
            )
        median = prices[MEDIAN_COLUMN].to_numpy()
        axes.plot(steps, median, color=MEDIAN_BLUE, linewidth=1.8, label="median")
        axes.plot([0], [last_close], "o", color=INK, markersize=5, label="last close")

        axes.grid(axis="y")
        axes.margins(x=0.01, y=0.09)
        session_axis(axes, history.index.append(prices.index[1:]), first=1 - len(history))
        number_axis(axes.yaxis)
        axes.set_ylabel(drawable(axis))
        _mark_dividends(axes, forecast)
        _label_last_close(axes, history, last_close)
        _label_cone_edges(figure, axes, prices)
        settle(figure)
    return figure


def _cone_prices(forecast: pd.DataFrame) -> pd.DataFrame:
    """Return the median and the edges of the cones, (1 + H, 7), by date, from the origin on."""
    names = [MEDIAN_COLUMN, *INTERVAL_COLUMNS]
    dates = pd.DatetimeIndex([*forecast["made_on"].iloc[:1], *forecast["target_on"]])
    origin = np.full(len(names), float(forecast["last_close"].iloc[0]))
    prices = np.vstack([origin, forecast[names].to_numpy(float)])
    return pd.DataFrame(prices, index=dates, columns=names)


def _mark_dividends(axes: Axes, forecast: pd.DataFrame) -> None:
    """Draw a thin line at each session from which on a dividend is subtracted."""
    paid = np.diff(forecast["declared"].to_numpy(float), prepend=0.0)
    for row in np.flatnonzero(paid > 0):
        axes.axvline(
            forecast["step"].iloc[row], color=MUTED, linewidth=0.7, linestyle=":", label="_ex"
        )


def _label_last_close(axes: Axes, history: pd.Series, last_close: float) -> None:
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
        color=INK,
        arrowprops=_leader(relpos=(1, 0) if above else (1, 1)),
    )


def _label_cone_edges(figure: Figure, axes: Axes, prices: pd.DataFrame) -> None:
    """Write what each edge costs at the last step, in a column right of the cone."""
    columns = [MEDIAN_COLUMN]
    names = ["median"]
    for coverage in sorted(COVERAGES):
        lower, upper = interval_columns(coverage)
        columns = [lower, *columns, upper]
        names = [f"{100 * coverage:.0f} %", *names, f"{100 * coverage:.0f} %"]

    step, edges = len(prices) - 1, prices.iloc[-1]
    labels = [
        axes.annotate(
            f"{five_digits(edges[column])}  {name}",
            (step, edges[column]),
            xytext=(1.05, 0.5),
            textcoords="axes fraction",
            va="center",
            color=INK,
            fontweight="bold" if name == "median" else "normal",
            annotation_clip=False,
            arrowprops=_leader(relpos=(0, 0.5)),
        )
        for column, name in zip(columns, names, strict=True)
    ]
    heading = axes.annotate(
        f"{prices.index[-1]:%d %b %Y}",
        (1.05, 1),
        xycoords="axes fraction",
        va="center",
        color=MUTED,
        annotation_clip=False,
    )

    # Only a finished layout knows how far apart the edges are on paper.
    lay_out(figure)
    height = axes.get_window_extent().height * 72 / figure.dpi  # points
    wanted = [axes.transLimits.transform((step, edges[column]))[1] * height for column in columns]
    places = _spread(wanted, gap=LABEL_GAP, top=height)
    for label, place in zip(labels, places, strict=True):
        label.set_position((1.05, place / height))
    heading.xy = (1.05, (places[-1] + 1.2 * LABEL_GAP) / height)


def _beyond(axes: Axes, value: float, points: float) -> float:
    """Return the y value that lies `points` above `value` on paper, roughly."""
    low, high = axes.get_ylim()
    return value + points / (0.6 * 72 * SIZE[1]) * (high - low)  # axes take 0.6 of the height


def _leader(*, relpos: tuple[float, float]) -> dict[str, Any]:
    """Return the thin line from a label to what it names."""
    return {
        "arrowstyle": "-",
        "color": MUTED,
        "linewidth": 0.7,
        "shrinkA": 1,
        "shrinkB": 0,
        "relpos": relpos,
    }


def _spread(wanted: Sequence[float], *, gap: float, top: float) -> list[float]:
    """Return ascending places at least `gap` apart, in 0…top, near those wanted.

    The middle one stays where it is, if it can, and pushes the others outward.
    """
    places = list(wanted)
    middle = len(places) // 2
    for k in range(middle + 1, len(places)):
        places[k] = max(places[k], places[k - 1] + gap)
    for k in range(middle - 1, -1, -1):
        places[k] = min(places[k], places[k + 1] - gap)
    # Those that this pushed off the paper push back.
    floor, ceiling = 0.0, top
    for k, place in enumerate(places):
        places[k] = max(place, floor)
        floor = places[k] + gap
    for k in reversed(range(len(places))):
        places[k] = min(places[k], ceiling)
        ceiling = places[k] - gap
    return places
