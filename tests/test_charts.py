from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from functools import cache, partial
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from lstmcli.charts import (
    SCHEMES,
    Theme,
    attention_chart,
    backtest_chart,
    calibration_chart,
    compare_chart,
    forecast_chart,
    live_chart,
    past_chart,
    training_chart,
)
from lstmcli.charts._cone import between_steps
from lstmcli.charts._figure import period_starts
from lstmcli.charts.theme import DARK, LIGHT, Palette
from lstmcli.digits import five_digits
from lstmcli.errors import NoDataError
from lstmcli.evaluation.sequences import skill_sequence
from lstmcli.evaluation.significance import cumulative_skill, skill_test
from lstmcli.frames import (
    COVERAGES,
    FORECAST_COLUMNS,
    QUANTILES,
    cone_columns,
    interval_columns,
    quantile_column,
)
from lstmcli.pipeline.prices import in_prices
from lstmcli.report.prices import CLOSE, EX_DIVIDEND, TOTAL_RETURN, Dividend, PriceBasis

RUN = "20260730T141530Z-lstm-1a2b3c4d"
WORDS = [
    "No sign that it knows the direction. Expect ±2 % tomorrow, ±10 % in a month.",
    "Better than the random walk, on sessions it had not seen. Cannot be told from EWMA and HAR.",
]
NOTE = "sample data: daily GOOG bars 2004-08-19…2008-10-14, not current prices"


def simulated_bars(*, price: float = 50, sessions: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    close = price * np.exp(np.cumsum(rng.normal(0, 0.015, sessions)))
    index = pd.bdate_range("2015-11-02", periods=sessions, name="session")
    return pd.DataFrame({"close": close}, index=index)


def simulated_forecast(
    bars: pd.DataFrame, *, horizon: int = 20, ticker: str = "MRK", sigma: float = 0.015
) -> pd.DataFrame:
    """Return the forecast of a random walk from the 250th bar."""
    made_on, last_close = bars.index[249], bars["close"].iloc[249]
    rows = []
    for step, target_on in enumerate(pd.bdate_range(made_on, periods=horizon + 1)[1:], start=1):
        spread = sigma * np.sqrt(step)
        levels = {
            quantile_column(level): 0.001 * step + spread * NormalDist().inv_cdf(level)
            for level in QUANTILES
        }
        row = {"recipe": "lstm", "calibrated": False, "ticker": ticker, "made_on": made_on}
        row |= {
            "step": step,
            "target_on": target_on,
            "last_close": last_close,
            "sigma": spread,
        } | levels
        rows.append(row)
    return pd.DataFrame(rows)[list(FORECAST_COLUMNS)]


def priced(forecast: pd.DataFrame, kind: str = CLOSE, *declared: Dividend) -> pd.DataFrame:
    return in_prices(forecast, {forecast["ticker"].iloc[0]: PriceBasis(kind, declared)})


def simulated_history(*, fits: tuple[str, ...], members: int, epochs: int) -> pd.DataFrame:
    rng = np.random.default_rng(6)
    count = np.arange(epochs + 1)
    parts = [
        pd.DataFrame(
            {
                "fit": fit,
                "member": member,
                "epoch": count,
                "loss": 1 - 0.03 * (1 - np.exp(-count / 5)),
                "validation_loss": 1.003 - 0.02 * rng.random(epochs + 1),
                "seconds": 1.0,
            }
        )
        for fit in fits
        for member in range(members)
    ]
    # Rows come as the members were trained, not as the chart wants them.
    return pd.concat(parts).sample(frac=1, random_state=1, ignore_index=True)


def simulated_weights(lookback: int, *, equal: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    weight = np.full(lookback, 1 / lookback) if equal else rng.dirichlet(np.full(lookback, 3.0))
    index = pd.bdate_range("2016-10-03", periods=lookback)
    return pd.DataFrame({"session": index, "weight": weight})


def usual_forecast_chart(**options) -> Figure:
    bars = simulated_bars()
    options = {"title": "MRK: 20 sessions ahead", "run": RUN, "words": WORDS} | options
    return forecast_chart(bars, priced(simulated_forecast(bars)), **options)


def awkward_forecast_chart(
    *, price: float, horizon: int, sigma: float = 0.015, **options
) -> Figure:
    """Return a chart with all that users do: long names, odd characters, odd prices."""
    bars = simulated_bars(price=price)
    forecast = simulated_forecast(bars, horizon=horizon, ticker="$A^2_\\日" * 4, sigma=sigma)
    beside = simulated_forecast(bars, horizon=horizon, ticker="$A^2_\\日" * 4, sigma=0.8 * sigma)
    return forecast_chart(
        bars,
        priced(forecast, TOTAL_RETURN),
        title="W" * 150,
        run=RUN * 5,
        note="MW " * 200,
        words=["$A^2 " * 40],
        baseline=priced(beside, TOTAL_RETURN),
        beside="GJR-GARCH",
        axis="close; cone: total return, USD",
        remark=PriceBasis(TOTAL_RETURN).sentence,
        sessions_shown=250,
        **options,
    )


def simulated_growth(origins: int, seed: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    losses = pd.Series(rng.gamma(4, 1, origins), pd.bdate_range("2019-01-01", periods=origins))
    return cumulative_skill(losses, losses * 1.01 + 0.05 * rng.standard_normal(origins), overlap=1)


RUNGS = ("random walk", "EWMA", "GARCH", "GJR-GARCH", "HAR", "HAR ridge")


def simulated_ladder(recipes: tuple[str, ...]) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    rows = []
    for recipe in recipes:
        for rung, baseline in enumerate(RUNGS):
            skill = 0.05 - 0.012 * rung + 0.002 * rng.standard_normal()
            word = "BEATS" if rung < 2 else "LOSES" if rung == 5 else "TIES"
            row = {"recipe": recipe, "baseline": baseline, "skill": skill, "word": word}
            rows.append(row | {"low": skill - 0.01, "high": skill + 0.01})
    return pd.DataFrame(rows)


def usual_backtest_chart(origins: int = 1000, recipes=("lstm",), **options) -> Figure:
    growth = {recipe: simulated_growth(origins, 8 + n) for n, recipe in enumerate(recipes)}
    options = {
        "title": "lstm: MRK",
        "against": "the HAR ridge",
        "steps": (1, 5, 10, 20),
        "footer": "Lines: 95 % confidence. Backtest 20260730T141530Z-lstm.",
    } | options
    folds = list(growth[recipes[0]].index[::250])
    return backtest_chart(growth, simulated_ladder(recipes), folds=folds, **options)


def usual_calibration_chart(origins: int = 1000, **options) -> Figure:
    rng = np.random.default_rng(9)
    hits = {share: rng.uniform(size=origins) < share for share in COVERAGES}
    days = pd.bdate_range("2019-01-01", periods=origins)
    rolling = pd.DataFrame(hits, days).rolling(250).mean().dropna()
    steps = pd.DataFrame(
        {
            "step": [1, 5, 20],
            "coverage50": [0.49, 0.5, 0.46],
            "coverage80": [0.8, 0.81, 0.77],
            "coverage95": [0.95, 0.94, 0.93],
        }
    )
    options = {"title": "lstm: MRK", "line": "4,000 calibrated forecasts"} | options
    return calibration_chart(rng.uniform(size=origins), steps, rolling, sessions=250, **options)


def usual_live_chart(outcomes: int, **options) -> Figure:
    rng = np.random.default_rng(10)
    days = pd.bdate_range("2019-01-01", periods=outcomes + 1)
    rows = pd.DataFrame({"made_on": days[:-1], "target_on": days[1:]})
    rows["realised"] = 0.012 * rng.standard_normal(outcomes)
    for share, reach in zip(COVERAGES, (0.008, 0.015, 0.024), strict=True):
        rows[list(cone_columns(share))] = -reach, reach
    baseline = pd.Series(rng.gamma(4, 0.15, outcomes), days[:-1])
    losses = 0.98 * baseline + 0.04 * rng.standard_normal(outcomes)
    skills = skill_sequence(losses, baseline)
    options = {"title": "MRK: forecasts and what came", "against": "GJR-GARCH"} | options
    return live_chart(rows, skills, **options)


def simulated_past(horizon: int = 20) -> tuple[pd.Series, pd.DataFrame]:
    """Return 300 closes, and a forecast from each but the last ones."""
    bars = simulated_bars()
    rows = []
    for at in range(100, 300 - horizon):
        for step in range(1, horizon + 1):
            reach = 0.015 * np.sqrt(step)
            row = {"made_on": bars.index[at], "step": step, "target_on": bars.index[at + step]}
            for share, width in zip(COVERAGES, (0.67, 1.28, 1.96), strict=True):
                low, high = interval_columns(share)
                row |= {low: -width * reach, high: width * reach}
            rows.append(row)
    return bars["close"], pd.DataFrame(rows)


def usual_past_chart(horizon: int = 20, **options) -> Figure:
    closes, rows = simulated_past(horizon)
    made = {"made": "lstm in the backtest 20260730T141530Z-lstm, on sessions it had not seen."}
    return past_chart(closes, rows, **({"title": "MRK: past forecasts"} | made | options))


def usual_compare_chart(count: int = 3, horizon: int = 20, **options) -> Figure:
    rows = []
    for number in range(count):
        for step in {1, horizon}:
            reach = (0.01 + 0.002 * ((7 * number) % count)) * np.sqrt(step)
            target_on = pd.Timestamp("2016-12-30") + pd.offsets.BDay(step)
            row = {"ticker": f"T{number:02d}.L", "step": step, "target_on": target_on, "q50": 0.0}
            for share, width in zip(COVERAGES, (0.67, 1.28, 1.96), strict=True):
                low, high = interval_columns(share)
                row |= {low: -width * reach, high: width * reach}
            rows.append(row)
    options = {"title": f"How far {count} tickers may move", "lines": ["Made today."]} | options
    return compare_chart(pd.DataFrame(rows), **options)


def usual_attention_chart(weights: pd.DataFrame, **options) -> Figure:
    closes = pd.Series(np.linspace(40, 60, len(weights)), weights["session"])
    return attention_chart(weights, closes, **({"title": "MRK", "run": RUN} | options))


def usual_training_chart(history: pd.DataFrame, **options) -> Figure:
    return training_chart(history, **({"title": "MRK: lstm", "run": RUN} | options))


REPORTS = [date(2016, 7, 1), date(2016, 9, 30), date(2016, 10, 26)]
"""Two that were and one within the forecast, which is made on 14 October 2016."""

LIVES = (1, 30, 59, 60, 80, 159, 160, 300)

CONFIGS = ("lstm", "encoder_decoder", "best", "smoke", "dense", "rnn", "stacked", "conv_lstm")

MAKERS: dict[str, Callable[..., Figure]] = {
    "forecast": usual_forecast_chart,
    "sample": partial(usual_forecast_chart, note=NOTE, axis="close, USD"),
    "reports": partial(usual_forecast_chart, reports=REPORTS),
    "report_tomorrow": partial(usual_forecast_chart, reports=[*REPORTS[:1], date(2016, 10, 17)]),
    "report_at_the_end": partial(
        awkward_forecast_chart, price=50, horizon=20, reports=[*REPORTS[:2], date(2016, 11, 11)]
    ),
    "one_step": partial(awkward_forecast_chart, price=0.00001, horizon=1),
    "dear": partial(awkward_forecast_chart, price=712_345, horizon=60),
    "narrow": partial(awkward_forecast_chart, price=1.08, horizon=5, sigma=1e-4),
    "wide": partial(awkward_forecast_chart, price=100, horizon=20, sigma=0.3),
    "two_fits": partial(
        usual_training_chart, simulated_history(fits=("scored", "final"), members=3, epochs=25)
    ),
    "many_members": partial(
        usual_training_chart,
        simulated_history(fits=("scored", "final"), members=12, epochs=200),
        title="W" * 150,
        note=NOTE,
    ),
    "untrained": partial(
        usual_training_chart, simulated_history(fits=("final",), members=1, epochs=0)
    ),
    "backtest": usual_backtest_chart,
    "two_configs": partial(usual_backtest_chart, recipes=("lstm", "encoder_decoder")),
    "eight_configs": partial(usual_backtest_chart, recipes=CONFIGS),
    "short_backtest": partial(usual_backtest_chart, 12, title="W" * 150, note=NOTE),
    "calibration": usual_calibration_chart,
    "short_calibration": partial(usual_calibration_chart, 40, title="W" * 150, note=NOTE),
    **{f"live_{count}": partial(usual_live_chart, count) for count in LIVES},
    "noted_live": partial(usual_live_chart, 300, title="W" * 150, note=NOTE),
    "past": usual_past_chart,
    "past_of_one_step": partial(usual_past_chart, 1, title="W" * 150, note=NOTE),
    "compare": usual_compare_chart,
    "compare_one_step": partial(usual_compare_chart, 2, 1, note=NOTE),
    "compare_many": partial(usual_compare_chart, 40, title="W" * 150),
    "attention": partial(usual_attention_chart, simulated_weights(60), note=NOTE),
    "long_attention": partial(usual_attention_chart, simulated_weights(500), title="W" * 150),
    "equal_attention": partial(usual_attention_chart, simulated_weights(5, equal=True)),
    "single_attention": partial(usual_attention_chart, simulated_weights(1)),
}

CHARTS: dict[str, Callable[[], Figure]] = {
    **MAKERS,
    **{f"{name}-phone": partial(make, theme=Theme(phone=True)) for name, make in MAKERS.items()},
}


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def shown_texts(figure: Figure) -> list[Text]:
    """Return the texts on paper: visible, and no tick label outside its axis."""
    figure.draw_without_rendering()
    shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            outside = [t for t in axis.get_major_ticks() if not low <= t.get_loc() <= high]
            hidden = {label for tick in outside for label in (tick.label1, tick.label2)}
            shown = [text for text in shown if text not in hidden]
    return shown


@cache
def drawn(name: str) -> Figure:
    return CHARTS[name]()


@cache
def shown_boxes(name: str) -> list[tuple[Text, Bbox]]:
    """Return the texts of a chart on paper, each with the box that it fills."""
    return [(text, Text.get_window_extent(text)) for text in shown_texts(drawn(name))]


@pytest.mark.parametrize("name", CHARTS)
def test_every_text_is_inside_the_figure(name: str) -> None:
    figure, shown = drawn(name), shown_boxes(name)
    assert len(shown) > 5
    for text, box in shown:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.width, text
        assert box.y1 <= figure.bbox.height, text


@pytest.mark.parametrize("name", CHARTS)
def test_no_text_covers_another(name: str) -> None:
    boxes = shown_boxes(name)
    for k, (text, box) in enumerate(boxes):
        for other, other_box in boxes[k + 1 :]:
            across = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
            along = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
            # The box of a line has some air above and below its letters.
            assert across <= 1 or along <= 0.25 * min(box.height, other_box.height), (text, other)


@pytest.mark.parametrize("name", CHARTS)
def test_text_has_ten_points_and_only_the_footer_less(name: str) -> None:
    figure = drawn(name)
    width, height = figure.get_size_inches()
    assert width == (3.5 if name.endswith("-phone") else 7.0)
    assert height >= (2.5 if name.endswith("-phone") else 4.5)
    assert figure.dpi == 150
    small = [text.get_text() for text, _ in shown_boxes(name) if text.get_fontsize() < 10]
    # A long footer is wrapped.
    assert all(" ".join(text.split()).endswith("Not investment advice.") for text in small)
    assert len(small) <= 1


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_chart_can_be_saved_in_every_format(name: str, kind: str) -> None:
    file = io.BytesIO()
    drawn(name).savefig(file, format=kind)
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind]
    assert file.getvalue().startswith(start)


def test_the_same_forecast_gives_the_same_picture() -> None:
    pictures = set()
    for _ in range(2):
        file = io.BytesIO()
        usual_forecast_chart(note=NOTE).savefig(file, format="png")
        pictures.add(file.getvalue())
    assert len(pictures) == 1


def test_a_forecast_says_what_it_is_of_and_from_when() -> None:
    shown = "\n".join(texts(usual_forecast_chart(note=NOTE, axis="close, USD")))
    made_on = simulated_bars().index[249]
    for part in ("MRK: 20 sessions ahead", RUN, f"made on {made_on:%d %b %Y}", NOTE[:40]):
        assert part in shown
    assert "Not investment advice" in shown
    assert "close, USD" in shown


def at_steps(line: Line2D) -> np.ndarray:
    """Return the values of a line at 0, 1, 2 …, without those between."""
    x, y = line.get_data()
    return np.asarray(y)[np.isclose(x, np.round(x))]


def test_a_declared_dividend_lowers_the_cone_from_its_ex_date_on() -> None:
    bars = simulated_bars()
    forecast = simulated_forecast(bars)
    ex_date = forecast["target_on"].iloc[6]
    prices = priced(forecast, EX_DIVIDEND, Dividend(ex_date, 3.0))
    axes = forecast_chart(bars, prices, title="MRK", run=RUN).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines["_ex"].get_xdata()) == [7, 7]
    total = bars["close"].iloc[249] * np.exp(forecast["q50"])
    less = np.where(forecast["step"] >= 7, 3.0, 0.0)
    np.testing.assert_allclose(at_steps(lines["median"])[1:], total - less)


@pytest.mark.parametrize("phone", [False, True])
def test_reports_are_marked_at_the_sessions_that_react(phone: bool) -> None:
    figure = usual_forecast_chart(reports=REPORTS, theme=Theme(phone=phone))
    axes = figure.axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    # 30 September is ten sessions before the last close; in July no close is shown on a phone.
    assert list(lines["_past reports"].get_xdata()) == ([-10] if phone else [-75, -10])
    assert list(lines["_next report"].get_xdata()) == [8]
    assert texts(figure).count("report") == 1
    assert "Triangles: reports." in " ".join(" ".join(texts(figure)).split())
    alone = usual_forecast_chart(reports=[date(2014, 1, 2), date(2017, 1, 2)])
    assert not [line for line in alone.axes[0].lines if "report" in str(line.get_label())]
    assert "report" not in "".join(texts(alone))


def test_the_step_of_a_cone_at_a_report_is_not_smoothed_away() -> None:
    bars = simulated_bars()
    forecast = simulated_forecast(bars)
    levels = [name for name in forecast if name.startswith("q")]
    wide = forecast["step"] >= 8
    forecast.loc[wide, levels] *= 2
    axes = forecast_chart(bars, priced(forecast), title="X", run=RUN, reports=REPORTS).axes[0]
    cone = next(cone for cone in axes.collections if cone.get_label() == "95%")
    corners = cone.get_paths()[0].vertices
    height = {at: np.ptp(corners[np.isclose(corners[:, 0], at)][:, 1]) for at in (6, 7, 8, 9)}
    assert height[8] - height[7] > 5 * (height[7] - height[6])
    assert height[8] - height[7] > 5 * (height[9] - height[8])


def test_a_long_remark_is_wrapped_and_total_return_stands_at_the_axis() -> None:
    basis = PriceBasis(TOTAL_RETURN, currency="USD")
    figure = usual_forecast_chart(axis=basis.axis, remark=basis.sentence)
    assert figure.axes[0].get_ylabel() == "close; cone: total return, USD"
    footer = next(text for text in texts(figure) if "Shaded" in text)
    assert len(footer.splitlines()) > 1
    assert basis.sentence in footer.replace("\n", " ")
    assert "total return" not in "".join(texts(usual_forecast_chart())).lower()


def test_the_date_of_a_forecast_stays_however_long_its_names_are() -> None:
    figure = awkward_forecast_chart(price=50, horizon=20)
    assert any(text.startswith("made on 14 Oct 2016") for text in texts(figure))


def test_a_forecast_of_real_data_has_no_note() -> None:
    assert not any(text.get_bbox_patch() for text in usual_forecast_chart().texts)
    assert any(text.get_bbox_patch() for text in usual_forecast_chart(note=NOTE).texts)


def test_each_line_of_a_note_has_lines_of_its_own() -> None:
    figure = usual_forecast_chart(note=f"sample data\n{'long words ' * 30}\nlast")
    (box,) = (text for text in figure.texts if text.get_bbox_patch())
    first, *middle, last = box.get_text().splitlines()
    assert (first, len(middle), last) == ("sample data", 3, "last")
    assert middle[-1].endswith("…")


def test_the_cones_are_the_prices_of_their_quantiles() -> None:
    bars = simulated_bars()
    forecast = simulated_forecast(bars)
    # The order of rows in a file is not the chart's to trust.
    figure = forecast_chart(bars, priced(forecast.iloc[::-1]), title="MRK", run=RUN)
    axes, _ = figure.axes
    cones = {cone.get_label(): cone for cone in axes.collections}
    assert set(cones) == {"50%", "80%", "95%"}
    last_close = bars["close"].iloc[249]
    for coverage in COVERAGES:
        lower, upper = (
            [last_close, *(last_close * np.exp(forecast[column]))]
            for column in cone_columns(coverage)
        )
        cone = cones[f"{coverage:.0%}"]
        corners = {
            (round(x, 9), round(y, 9))
            for x, y in cone.get_paths()[0].vertices
            if np.isclose(x, np.round(x))
        }
        expected = {
            (float(step), round(price, 9))
            for edge in (lower, upper)
            for step, price in enumerate(edge)
        }
        assert corners == expected
        np.testing.assert_allclose(cone.get_facecolor()[0, :3], to_rgb(LIGHT.cones[coverage]))


def test_lines_are_the_closes_up_to_the_origin_and_the_median() -> None:
    bars = simulated_bars()
    forecast = simulated_forecast(bars)
    axes = forecast_chart(bars, priced(forecast), title="MRK", run=RUN, sessions_shown=70).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    # The bars go on for 50 sessions: a chart of the past must not show what came next.
    np.testing.assert_array_equal(lines["close"].get_ydata(), bars["close"].iloc[180:250])
    np.testing.assert_array_equal(lines["close"].get_xdata(), np.arange(-69, 1))
    last_close = bars["close"].iloc[249]
    np.testing.assert_allclose(
        at_steps(lines["median"]), [last_close, *(last_close * np.exp(forecast["q50"]))]
    )
    assert lines["last close"].get_xydata().tolist() == [[0, last_close]]


def test_cone_edges_carry_their_prices_from_the_highest_to_the_lowest() -> None:
    bars = simulated_bars()
    forecast = simulated_forecast(bars)
    axes = forecast_chart(bars, priced(forecast), title="MRK", run=RUN).axes[0]
    labels = {text.get_text(): text for text in axes.texts if isinstance(text, Annotation)}
    last = forecast.iloc[-1]
    heights = []
    for column, name in [
        ("q025", "95 %"),
        ("q10", "80 %"),
        ("q25", "50 %"),
        ("q50", "median"),
        ("q75", "50 %"),
        ("q90", "80 %"),
        ("q975", "95 %"),
    ]:
        price = last["last_close"] * np.exp(last[column])
        heights.append(labels[f"{five_digits(price)}  {name}"].xy[1])
    assert heights == sorted(heights)
    assert f"last close {five_digits(last['last_close'])}" in labels
    assert f"{last['target_on']:%d %b %Y}" in labels


def test_dates_stand_at_the_first_session_of_a_month() -> None:
    bars = simulated_bars()
    axes = forecast_chart(bars, priced(simulated_forecast(bars)), title="MRK", run=RUN).axes[0]
    labels = dict(zip(axes.get_xticks(), axes.get_xticklabels(), strict=True))
    sessions = pd.bdate_range(bars.index[0], bars.index[249] + pd.offsets.BDay(20))
    years = set()
    for position, label in labels.items():
        session = sessions[249 + int(position)]
        assert session.month != sessions[248 + int(position)].month
        year = "" if session.year in years else f"\n{session:%Y}"
        assert label.get_text() == f"{session:%b}{year}"
        years.add(session.year)
    assert len(labels) == 5


@pytest.mark.parametrize(
    ("price", "written"),
    [
        (712_345.0, "712,350"),
        (4_321.5, "4,321.5"),
        (56.171, "56.171"),
        (1.08453, "1.0845"),
        (0.51234, "0.51234"),
        (0.000010774, "0.000010774"),
    ],
)
def test_prices_have_five_significant_digits(price: float, written: str) -> None:
    bars = simulated_bars()
    bars["close"] *= price / bars["close"].iloc[249]
    figure = forecast_chart(bars, priced(simulated_forecast(bars)), title="X", run=RUN)
    assert f"last close {written}" in texts(figure)


def test_price_ticks_have_thousands_separators_and_differ() -> None:
    bars = simulated_bars(price=20_000)
    figure = forecast_chart(bars, priced(simulated_forecast(bars)), title="X", run=RUN)
    axes = figure.axes[0]
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    assert [float(tick.replace(",", "")) for tick in ticks] == axes.get_yticks().tolist()
    assert all("," in tick for tick in ticks if len(tick) > 3)


def test_a_short_horizon_shows_less_history_so_that_the_cone_is_seen() -> None:
    bars = simulated_bars()
    figure = forecast_chart(bars, priced(simulated_forecast(bars, horizon=1)), title="X", run=RUN)
    assert len(figure.axes[0].lines[0].get_xdata()) == 20


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_cones_differ_in_lightness_for_print_and_colour_blind_readers(palette: Palette) -> None:
    luminance = [np.dot(to_rgb(palette.cones[c]), (0.2126, 0.7152, 0.0722)) for c in COVERAGES]
    assert np.all(np.abs(np.diff(luminance)) > 0.1)


def test_a_forecast_of_two_tickers_or_without_its_bars_is_refused() -> None:
    bars = simulated_bars()
    forecast = simulated_forecast(bars)
    both = pd.concat([forecast, forecast.assign(ticker="MDT")])
    with pytest.raises(ValueError, match="one ticker and one origin"):
        forecast_chart(bars, both, title="X", run=RUN)
    with pytest.raises(ValueError, match="Expected bars with the session"):
        forecast_chart(bars.iloc[:100], forecast, title="X", run=RUN)


def test_gains_are_against_the_untrained_network_of_the_same_block_and_member() -> None:
    history = simulated_history(fits=("scored", "final"), members=3, epochs=25)
    figure = usual_training_chart(history)
    assert len(figure.axes) == 2
    for axes, fit in zip(figure.axes, ("scored", "final"), strict=True):
        rows = history[history["fit"] == fit].sort_values(["member", "epoch"])
        for column, label in (("loss", "training"), ("validation_loss", "validation")):
            lines = [line for line in axes.lines if line.get_label() == label]
            assert len(lines) == 3
            for line, (_, own) in zip(lines, rows.groupby("member"), strict=True):
                np.testing.assert_array_equal(line.get_xdata(), np.arange(26))
                losses = own[column].to_numpy()
                np.testing.assert_allclose(line.get_ydata(), 100 * (1 - losses / losses[0]))
        (reference,) = [line for line in axes.lines if line.get_label() == "baseline"]
        assert set(reference.get_ydata()) == {0.0}
        # Told apart without colour as well.
        styles = {line.get_linestyle() for line in axes.lines if line.get_linestyle() != "None"}
        assert styles == {"-", "--"}


def test_the_epoch_that_is_kept_is_marked_where_validation_lost_least() -> None:
    history = simulated_history(fits=("scored",), members=3, epochs=25)
    (axes,) = usual_training_chart(history).axes
    best = history.loc[history.groupby("member")["validation_loss"].idxmin()]
    marked = [line.get_xdata()[0] for line in axes.lines if line.get_label() == "kept"]
    assert marked == list(best["epoch"])
    listed = ", ".join(map(str, best["epoch"]))
    assert f"epochs {listed} kept: " in axes.get_title(loc="left")


def test_a_block_with_a_high_loss_of_its_own_does_not_look_worse() -> None:
    """A validation block of wild years has a loss above 1 from the start."""
    history = simulated_history(fits=("scored",), members=1, epochs=10)
    wild = history.assign(validation_loss=1.3 * history["validation_loss"])
    calm, rough = (usual_training_chart(rows).axes[0] for rows in (history, wild))
    for axes in (calm, rough):
        (line,) = [line for line in axes.lines if line.get_label() == "validation"]
        assert line.get_ydata()[0] == 0
    np.testing.assert_allclose(calm.lines[2].get_ydata(), rough.lines[2].get_ydata(), atol=1e-9)


def test_a_member_that_diverged_is_drawn_without_a_best_epoch() -> None:
    history = simulated_history(fits=("scored",), members=1, epochs=5)
    history["validation_loss"] = np.nan
    figure = usual_training_chart(history)
    assert any("no finite validation loss" in text for text in texts(figure))
    assert not [line for line in figure.axes[0].lines if line.get_label() == "kept"]


def test_networks_that_keep_their_last_epoch_are_drawn_by_the_dates_held_out() -> None:
    history = simulated_history(fits=("scored", "final"), members=3, epochs=25)
    # The first member learns from all dates.
    history.loc[history["member"] == history["member"].min(), "validation_loss"] = np.nan
    figure = usual_training_chart(history, keeps_best=False)
    said = " ".join(texts(figure))
    assert "regression alone" in said
    assert "epoch 25, the last, kept: " in said
    for axes in figure.axes:
        kept = [line.get_xdata()[0] for line in axes.lines if line.get_label() == "kept"]
        assert kept == [25, 25]
        assert "training" not in [line.get_label() for line in axes.lines]


def test_an_empty_history_or_window_is_refused() -> None:
    with pytest.raises(NoDataError, match="training history"):
        usual_training_chart(simulated_history(fits=("final",), members=1, epochs=1)[:0])
    with pytest.raises(NoDataError, match="attention weight"):
        attention_chart(simulated_weights(3)[:0], pd.Series(dtype=float), title="X", run=RUN)


def test_attention_is_drawn_as_the_difference_from_equal_weights_below_the_closes() -> None:
    weights = simulated_weights(60)
    price, axes = usual_attention_chart(weights).axes
    heights = np.array([bar.get_height() for bar in axes.patches])
    np.testing.assert_allclose(heights, 100 * (60 * weights["weight"] - 1))
    np.testing.assert_allclose(price.lines[0].get_ydata(), np.linspace(40, 60, 60))
    heaviest = weights.loc[weights["weight"].idxmax()]
    said = " ".join(texts(usual_attention_chart(weights)))
    assert f"{heaviest['session']:%d %b %Y}" in said
    assert f"{100 * (60 * heaviest['weight'] - 1):+.0f} % against equal weights" in said


@pytest.mark.parametrize(("off", "flat"), [(0.0, True), (0.09, True), (0.12, False)])
def test_attention_that_prefers_nothing_is_called_flat(off: float, flat: bool) -> None:
    weights = simulated_weights(40, equal=True)
    weights.loc[:1, "weight"] *= [1 + off, 1 - off]
    figure = usual_attention_chart(weights)
    assert ("Flat: it has learnt no timing." in " ".join(texts(figure))) == flat
    low, high = figure.axes[1].get_ylim()
    assert high >= 25  # or a hair would fill the picture
    assert low <= -25


def test_settings_of_the_user_do_not_reach_a_chart_nor_the_other_way_round() -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        before = dict(matplotlib.rcParams)
        figure = usual_forecast_chart()
        assert dict(matplotlib.rcParams) == before
        assert {text.get_fontsize() for text in shown_texts(figure)} == {8, 10, 13}
    assert figure.axes[0].get_facecolor() == (1, 1, 1, 1)


def test_no_chart_imports_pyplot_and_the_module_no_matplotlib() -> None:
    code = """
import sys
import pandas as pd
from lstmcli import charts
assert "matplotlib" not in sys.modules
index = pd.bdate_range("2020-01-01", periods=4)
weights = pd.DataFrame({"session": index, "weight": 0.25})
charts.attention_chart(weights, pd.Series(1.0, index), title="X", run="r")
assert "matplotlib" in sys.modules
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_backtest_ends_at_the_skill_of_its_span_inside_its_band():
    rng = np.random.default_rng(8)
    losses = pd.Series(rng.gamma(4, 1, 300), pd.bdate_range("2019-01-01", periods=300))
    base = losses * 1.02 + 0.1 * rng.standard_normal(300)
    growth = cumulative_skill(losses, base, overlap=5)
    test = skill_test(losses.to_numpy(), base.to_numpy(), overlap=5)
    assert growth["gain"].iloc[-1] == pytest.approx(test.mean)
    assert growth["low"].iloc[:49].isna().all()
    assert (growth["low"].iloc[49:] < growth["gain"].iloc[49:]).all()
    figure = usual_backtest_chart()
    line = figure.axes[0].lines[0].get_ydata()
    assert line[-1] == pytest.approx(100 * simulated_growth(1000)["gain"].iloc[-1])
    assert figure.axes[0].get_title("left").startswith("gained so far against\nthe HAR ridge")


def test_a_backtest_draws_every_rung_of_the_ladder_and_what_was_said_of_it():
    ladder = simulated_ladder(("lstm", "dense"))
    figure = usual_backtest_chart(recipes=("lstm", "dense"))
    rungs = figure.axes[1]
    assert [label.get_text() for label in rungs.get_yticklabels()] == list(RUNGS)
    marks = [line for line in rungs.lines if len(line.get_xdata()) == 1]
    assert sorted(line.get_marker() for line in marks) == sorted("^^^^oooooovv")
    np.testing.assert_allclose(
        sorted(line.get_xdata()[0] for line in marks), sorted(100 * ladder["skill"])
    )
    whiskers = [line.get_xdata() for line in rungs.lines if len(line.get_xdata()) == 2][:12]
    np.testing.assert_allclose([np.ptp(ends) for ends in whiskers], 2.0)


def test_every_config_of_a_backtest_is_named_where_its_line_ends():
    figure = usual_backtest_chart(recipes=CONFIGS)
    labels = {text.get_text().split("\n")[0]: text for text in figure.axes[0].texts}
    assert set(labels) == set(CONFIGS)
    ends = {line.get_label(): line.get_ydata()[-1] for line in figure.axes[0].lines[:8]}
    by_height = sorted(labels, key=lambda name: labels[name].xy[1])
    assert by_height == sorted(ends, key=lambda name: ends[name])
    assert len({(line.get_color(), str(line.get_linestyle())) for line in
                figure.axes[0].lines[:8]}) == 8  # fmt: skip


def test_a_calibration_chart_marks_the_worst_year_of_the_80_percent_cone():
    figure = usual_calibration_chart()
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert sum(heights) == pytest.approx(100)
    rolling = figure.axes[2]
    lowest = min(line.get_ydata().min() for line in rolling.lines if len(line.get_ydata()) > 100
                 and 70 < line.get_ydata().mean() < 90)  # fmt: skip
    assert rolling.get_title("left").endswith(f"\nlowest 80 %: {lowest:.1f} % (dot)")
    short = usual_calibration_chart(40)
    assert [text.get_text() for text in short.axes[2].texts] == ["fewer than 250 origins"]


@pytest.mark.parametrize("outcomes", LIVES)
def test_a_live_chart_draws_an_interval_only_where_there_is_one(outcomes: int) -> None:
    skill = usual_live_chart(outcomes).axes[1]
    said = "\n".join(text.get_text() for text in skill.texts)
    waits = f"no interval before 160\nsessions: {160 - outcomes} to come"
    assert said == (waits if outcomes < 160 else "")
    drawn = [len(line.get_xdata()) for line in skill.lines[:1]]
    assert drawn == ([outcomes - 59] if outcomes >= 60 else [])
    bands = [path for area in skill.collections for path in area.get_paths()]
    assert bool(bands) == (outcomes >= 160)
    for band in bands:
        width, height = np.ptp(band.vertices, axis=0)
        assert width == outcomes - 159
        assert height > 0.1


def test_charts_of_nothing_are_refused():
    nothing = simulated_growth(20).iloc[:0]
    with pytest.raises(NoDataError):
        backtest_chart({"lstm": nothing}, simulated_ladder(("lstm",)), folds=[], title="",
                       against="", steps=(1,), footer="")  # fmt: skip
    with pytest.raises(NoDataError):
        calibration_chart(np.array([]), pd.DataFrame(), pd.DataFrame(), title="", line="",
                          sessions=250)  # fmt: skip
    with pytest.raises(NoDataError):
        live_chart(pd.DataFrame(), pd.DataFrame(), title="", against="")
    closes, rows = simulated_past()
    with pytest.raises(NoDataError, match="whose outcome is known"):
        past_chart(closes.iloc[:50], rows, title="", made="")


@settings(deadline=None)
@given(
    arrays(float, (6, 2), elements=st.floats(-1, 1)),
    st.lists(st.integers(1, 60), min_size=5, max_size=5, unique=True),
)
def test_between_steps_nothing_is_claimed_beyond_them(values: np.ndarray, later: list[int]):
    steps = [0, *sorted(later)]
    times, drawn = between_steps(steps, values)
    assert np.all(np.diff(times) > 0)
    for n, (start, end) in enumerate(pairwise(steps)):
        inside = (times >= start) & (times <= end)
        low, high = np.sort(values[n : n + 2], axis=0)
        assert np.all((drawn[inside] >= low - 1e-12) & (drawn[inside] <= high + 1e-12))
        np.testing.assert_allclose(drawn[inside][[0, -1]], values[n : n + 2], atol=1e-12)


def test_the_cone_of_a_random_walk_has_its_shape_between_steps():
    steps = [0, 1, 5, 20]
    times, drawn = between_steps(steps, np.sqrt(steps)[:, None])
    np.testing.assert_allclose(drawn[:, 0], np.sqrt(times))


def test_the_right_axis_is_the_change_from_the_last_close():
    bars = simulated_bars()
    prices, percent = forecast_chart(
        bars, priced(simulated_forecast(bars)), title="MRK", run=RUN
    ).axes
    close = bars["close"].iloc[249]
    np.testing.assert_allclose(
        np.array(percent.get_ylim()), 100 * (np.array(prices.get_ylim()) / close - 1)
    )
    assert all(label.get_text().endswith(" %") for label in percent.get_yticklabels())


def test_the_hardest_baseline_is_outlined_and_named():
    bars = simulated_bars()
    beside = priced(simulated_forecast(bars, sigma=0.02))
    options = {"title": "MRK", "run": RUN, "beside": "GARCH"}
    figure = forecast_chart(bars, priced(simulated_forecast(bars)), baseline=beside, **options)
    outline = [line for line in figure.axes[0].lines if line.get_label() == "_baseline"]
    for line, column in zip(outline, interval_columns(0.8), strict=True):
        np.testing.assert_allclose(at_steps(line)[1:], beside[column])
    said = " ".join(" ".join(texts(figure)).split())
    assert "Dashed: 80 % of GARCH, the hardest baseline." in said
    alone = usual_forecast_chart(beside="GARCH")
    assert not [line for line in alone.axes[0].lines if line.get_label() == "_baseline"]
    assert not any("Dashed" in text for text in texts(alone))


def test_a_forecast_on_a_phone_says_its_cone_in_words():
    bars = simulated_bars()
    end = priced(simulated_forecast(bars)).iloc[-1]
    said = " ".join(texts(usual_forecast_chart(theme=Theme(phone=True))))
    assert f"80 % lie in {five_digits(end['lo80'])} to {five_digits(end['hi80'])}" in said


def test_past_cones_follow_each_other_and_say_how_many_held():
    closes, rows = simulated_past()
    figure = usual_past_chart()
    starts = sorted({path.vertices[:, 0].min() for area in figure.axes[0].collections
                     for path in area.get_paths()})  # fmt: skip
    np.testing.assert_allclose(np.diff(starts), 20)
    last = rows["made_on"].max()
    kept = [closes.index[closes.index.get_loc(last) - 20 * n] for n in range(len(starts))]
    ends = rows[(rows["step"] == 20) & rows["made_on"].isin(kept)]
    came = np.log(closes[ends["target_on"]].to_numpy() / closes[ends["made_on"]].to_numpy())
    held = [
        int(((came >= ends[low]) & (came <= ends[high])).sum())
        for low, high in map(interval_columns, (0.8, 0.95))
    ]
    assert (
        f"{held[0]} of {len(ends)} closes 20 sessions ahead lay inside the 80 % cone, "
        f"{held[1]} inside 95 %." in texts(figure)
    )


def test_a_comparison_begins_with_the_calmest_ticker_and_has_its_numbers():
    figure = usual_compare_chart(5)
    first, last = (axes for axes in figure.axes if axes.patches)
    for axes in (first, last):
        widths = [patch.get_width() for patch in axes.patches[5:10]]  # of 80 %
        assert widths == sorted(widths)
        assert axes.yaxis_inverted()
    numbers = [axes for axes in figure.axes if not axes.patches]
    width = last.patches[5].get_width() / 2
    assert numbers[1].get_yticklabels()[0].get_text() == f"−{width:.1f} to +{width:.1f} %"
    with pytest.raises(ValueError, match="at most 40 tickers"):
        usual_compare_chart(41)


def test_dates_below_an_axis_never_touch_each_other():
    days = pd.bdate_range("2016-01-04", periods=3000)
    for count in (1, 2, 5, 20, 40, 60, 120, 250, 600, 3000):
        for width in (2.0, 3.0, 6.0):
            starts, form = period_starts(days[:count], width / count)
            assert len(starts) >= 1
            room = 0.66 if form == "%d %b" else 0.5
            assert len(starts) == 1 or np.diff(starts).min() * width / count >= room - 1e-9


@pytest.mark.parametrize("theme", [Theme(dark=True), Theme(dark=True, phone=True)])
@pytest.mark.parametrize("name", ["forecast", "backtest", "live_300", "past", "compare"])
def test_a_dark_chart_has_none_of_the_light_colours(name: str, theme: Theme):
    file = io.StringIO()
    figure = MAKERS[name](theme=theme)
    figure.savefig(file, format="svg", facecolor=figure.get_facecolor())
    drawn = set(re.findall(r"#[0-9a-f]{6}", file.getvalue()))
    assert drawn <= {dark for _, dark in SCHEMES.values()}
    assert drawn & {dark for _, dark in SCHEMES.values()}


def luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_whatever_is_written_stands_out(palette: Palette):
    """Contrast of 4.5 and more, as WCAG 2.2 asks of text."""
    written = {palette.ink, palette.label, palette.muted, *palette.series}
    pairs = {(colour, palette.paper) for colour in written} | {(palette.ink, palette.note)}
    for pair in pairs:
        dark, light = sorted(map(luminance, pair))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, pair
