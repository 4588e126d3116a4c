"""Charts: a frame in, a matplotlib Figure out.

Nothing is saved and pyplot is never imported, so that no window can open and
no state is shared. Every chart is 7 × 4.5 inches with text of 10 points or
more (the footer alone has 8), which still reads in a print column and on a
phone. Colours differ in lightness too, for greyscale and colour-blind readers.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lstmcli.errors import NoDataError
from lstmcli.frames import COVERAGES, MEDIAN, QUANTILE_COLUMNS, cone_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SIZE = (7.0, 4.5)
"""Width and height, in inches."""

DPI = 150

FONT = "DejaVu Sans"  # ships with matplotlib, so that a chart is the same everywhere
STYLE = {
    "font.family": FONT,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": "#444444",
    "xtick.color": "#666666",
    "ytick.color": "#666666",
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
}

INK = "#222222"
MUTED = "#555555"
BLUE = "#0072b2"  # Okabe and Ito (2008), as is ORANGE: apart for every colour vision
ORANGE = "#d55e00"
MEDIAN_BLUE = "#002b4d"
CONE_BLUES = {0.95: "#d3e5f2", 0.80: "#9cc5e1", 0.50: "#5b9fce"}

MARGIN = 0.1  # inches, around everything
LINE = 0.2  # inches, one line of 10 points
LABEL_GAP = 14.0  # points, between the centres of two labels above each other
FIT_NAMES = {"scored": "scored fit: for the test block", "final": "final fit: for forecasts"}


def forecast_chart(
    bars: pd.DataFrame,
    forecast: pd.DataFrame,
    *,
    title: str,
    run: str,
    note: str | None = None,
    currency: str | None = None,
    sessions_shown: int = 120,
) -> Figure:
    """Return the recent closes and the cone of one forecast, in prices.

    The cone starts at the last close and holds 50, 80 and 95 % of outcomes.
    Its edges at the last step carry their prices. Sessions are evenly spaced,
    with step 0 at the last close: by date, weekends would dent the cone. Short
    horizons show fewer than `sessions_shown`, or nobody could see the cone.

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
        figure = _figure(
            title=title,
            lines=[f"made on {made_on:%d %b %Y} · {forecast['ticker'].iloc[0]} · run {run}"],
            note=note,
            footer="Shaded: 50, 80 and 95 % of outcomes. "
            "Prices assume reinvested dividends. Not investment advice.",
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
            lower, upper = cone_columns(coverage)
            axes.fill_between(
                steps,
                prices[lower].to_numpy(),
                prices[upper].to_numpy(),
                facecolor=CONE_BLUES[coverage],
                edgecolor="white",
                linewidth=0.5,
                label=f"{coverage:.0%}",
            )
        median = prices[QUANTILE_COLUMNS[MEDIAN]].to_numpy()
        axes.plot(steps, median, color=MEDIAN_BLUE, linewidth=1.8, label="median")
        axes.plot([0], [last_close], "o", color=INK, markersize=5, label="last close")

        axes.grid(axis="y")
        axes.margins(x=0.01, y=0.09)
        _session_axis(axes, history.index.append(prices.index[1:]), first=1 - len(history))
        _number_axis(axes.yaxis)
        axes.set_ylabel(f"close, {_drawable(currency)}" if currency else "close")
        _label_last_close(axes, history, last_close)
        _label_cone_edges(figure, axes, prices)
        _settle(figure)
    return figure


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
        figure = _figure(title=title, lines=[""], note=note, footer=None)
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
            _number_axis(axes.yaxis)
        row[0].set_ylabel("loss (baseline = 1)")
        _training_legend(figure, row[0])
        _settle(figure)
    return figure


def attention_chart(weights: pd.DataFrame, *, title: str, note: str | None = None) -> Figure:
    """Return the attention on each session of the window as bars.

    The dashed line is 1/L, which a network without preference would give.

    Raises:
        NoDataError: when the window is empty.
    """
    from matplotlib import style

    if weights.empty:
        raise NoDataError("Expected an attention weight or more. Received: none.")
    sessions = pd.DatetimeIndex(weights["session"])
    percent = 100 * weights["weight"].to_numpy(float)
    uniform = 100 / len(percent)

    with style.context(["default", STYLE]):
        figure = _figure(
            title=title,
            lines=[f"window of {len(sessions)} sessions up to {sessions[-1]:%d %b %Y}"],
            note=note,
            footer=None,
        )
        axes = figure.add_subplot()
        # By position and not by date: weekends would tear holes between the bars.
        positions = np.arange(len(sessions))
        heaviest = int(percent.argmax())
        bars = axes.bar(positions, percent, width=0.85, color=CONE_BLUES[0.50])
        axes.axhline(uniform, color=INK, linewidth=1.2, linestyle="--")
        axes.annotate(
            f"uniform\n{uniform:.2g} %",
            (1, uniform),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=INK,
        )
        # Equal weights have no heaviest; a hair above is rounding.
        if percent[heaviest] > 1.01 * uniform:
            bars[heaviest].set_facecolor(BLUE)
            share = heaviest / max(len(sessions) - 1, 1)
            axes.annotate(
                f"{sessions[heaviest]:%d %b}: {percent[heaviest]:.2g} %",
                (heaviest, percent[heaviest]),
                xytext=(0, 3),
                textcoords="offset points",
                ha="left" if share < 0.1 else "right" if share > 0.9 else "center",
                va="bottom",
                color=INK,
            )
        ticks = np.unique(np.linspace(0, len(sessions) - 1, 6).round().astype(int))
        axes.set_xticks(ticks, _dates_with_years(sessions[ticks], "%d %b"))
        _number_axis(axes.yaxis, suffix=" %")
        axes.set_ylabel("share of the attention")
        axes.set_xlim(-0.8, len(sessions) - 0.2)
        axes.set_ylim(0, 1.12 * max(percent.max(), uniform))
        axes.grid(axis="y")
        _settle(figure)
    return figure


def _cone_prices(forecast: pd.DataFrame) -> pd.DataFrame:
    """Return prices per quantile, (1 + H, Q), by date; the first row is the origin."""
    levels = list(QUANTILE_COLUMNS)
    dates = pd.DatetimeIndex([*forecast["made_on"].iloc[:1], *forecast["target_on"]])
    returns = np.vstack([np.zeros(len(levels)), forecast[levels].to_numpy(float)])
    last_close = float(forecast["last_close"].iloc[0])
    return pd.DataFrame(last_close * np.exp(returns), index=dates, columns=levels)


def _label_last_close(axes: Axes, history: pd.Series, last_close: float) -> None:
    """Write the last close beside the recent closes, on the side that is nearer."""
    text = f"last close {_price(last_close, last_close)}"
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
    columns = [QUANTILE_COLUMNS[MEDIAN]]
    names = ["median"]
    for coverage in sorted(COVERAGES):
        lower, upper = cone_columns(coverage)
        columns = [lower, *columns, upper]
        names = [f"{100 * coverage:.0f} %", *names, f"{100 * coverage:.0f} %"]

    step, last_close, edges = len(prices) - 1, prices.iloc[0, MEDIAN], prices.iloc[-1]
    labels = [
        axes.annotate(
            f"{_price(edges[column], last_close)}  {name}",
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
    figure.draw_without_rendering()
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


def _figure(*, title: str, lines: Sequence[str], note: str | None, footer: str | None) -> Figure:
    """Return a figure with its header and footer, and room for axes between them."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=SIZE, dpi=DPI)
    width, height = SIZE
    left, top = MARGIN / width, height - MARGIN  # a fraction, inches

    def write(text: str, **style: Any) -> None:
        figure.text(
            left,
            top / height,
            _shortened(figure, text, style),
            va="top",
            parse_math=False,
            **style,
        )

    write(title, fontsize=13, fontweight="bold", color=INK)
    top -= 1.3 * LINE
    for line in lines:
        write(line, color=MUTED)
        top -= LINE
    if note:
        top -= 0.05
        left += 0.05 / width
        box = {"boxstyle": "round,pad=0.25", "facecolor": "#fff3c4", "edgecolor": "#8a6d00"}
        style: dict[str, Any] = {"fontsize": 10, "color": INK}
        wrapped = textwrap.wrap(note, 78, max_lines=2, placeholder=" …")
        text = "\n".join(_shortened(figure, line, style) for line in wrapped)
        figure.text(left, top / height, text, va="top", parse_math=False, bbox=box, **style)
        left -= 0.05 / width
        top -= LINE * len(wrapped) + 0.05
    bottom = MARGIN
    if footer:
        figure.text(left, MARGIN / height, footer, fontsize=8, va="bottom", color=MUTED)
        bottom += 0.18
    # One margin less at the sides: constrained layout pads the axes by about as much.
    rect = (0.03 / width, bottom / height, 1 - 0.06 / width, (top - bottom) / height)
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=rect, w_pad=0.06, h_pad=0.04))
    return figure


def _settle(figure: Figure) -> None:
    """Lay the figure out once and for all, so that every format gets the same."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _shortened(figure: Figure, text: str, style: dict[str, Any]) -> str:
    """Return text that fits the figure's width, its middle left out if need be."""
    text = _drawable(text)
    probe = figure.text(0, 0, text, parse_math=False, **style)
    # A hundredth less: SVG and PDF measure text a little differently.
    room = 0.99 * (SIZE[0] - 2 * MARGIN - 0.1) * DPI
    kept = len(text)
    while probe.get_window_extent().width > room:
        kept -= 1
        probe.set_text(text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :])
    probe.remove()
    return probe.get_text()


def _drawable(text: str) -> str:
    """Return the text with characters that the font lacks as question marks."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known = get_font(findfont(FontProperties(family=FONT))).get_charmap()
    return "".join(character if ord(character) in known else "?" for character in text)


def _price(price: float, scale: float) -> str:
    """Return a price with as many decimals as prices around `scale` need."""
    decimals = 0 if scale >= 10_000 else max(2, 3 - int(np.floor(np.log10(scale))))
    return f"{price:,.{decimals}f}"


def _number_axis(axis: Axis, *, suffix: str = "") -> None:
    """Write ticks with thousands separators and no more decimals than they need."""
    from matplotlib.ticker import FuncFormatter

    def write(value: float, _position: int | None) -> str:
        step = np.diff(axis.get_majorticklocs()[:2])
        needed = (d for d in range(12) if np.allclose(step, np.round(step, d), rtol=1e-6, atol=0))
        return f"{value:,.{next(needed, 12)}f}{suffix}"

    axis.set_major_formatter(FuncFormatter(write))


def _session_axis(axes: Axes, dates: pd.DatetimeIndex, *, first: int) -> None:
    """Write the dates of the positions first, first + 1, … where a period starts."""
    starts, form = _period_starts(dates, most=7)
    axes.set_xticks(first + starts, _dates_with_years(dates[starts], form))


def _period_starts(dates: pd.DatetimeIndex, *, most: int) -> tuple[np.ndarray, str]:
    """Return where weeks, months or longer periods start, and their date form.

    Of up to twice as many as `most`, every other one.
    """
    if len(dates) <= most:
        return np.arange(len(dates)), "%d %b"
    for period, form in (("W", "%d %b"), ("M", "%b"), ("Q", "%b"), ("Y", "%b")):
        starts = 1 + np.flatnonzero(np.diff(dates.to_period(period).asi8))
        if len(starts) <= 2 * most:
            return starts[:: 2 if len(starts) > most else 1], form
    return starts[:: len(starts) // most], "%b"  # every few years


def _dates_with_years(dates: pd.DatetimeIndex, form: str) -> list[str]:
    """Return the dates in a form, with the year under the first of each year."""
    new = np.diff(dates.year, prepend=-1) != 0
    return [
        f"{date:{form}}\n{date:%Y}" if first else f"{date:{form}}"
        for date, first in zip(dates, new, strict=True)
    ]
