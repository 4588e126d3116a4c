from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from lstmcli.charts import (
    attention_chart,
    backtest_chart,
    calibration_chart,
    forecast_chart,
    live_chart,
    training_chart,
)
from lstmcli.charts._style import CONE_BLUES
from lstmcli.digits import five_digits
from lstmcli.errors import NoDataError
from lstmcli.evaluation.sequences import skill_sequence
from lstmcli.evaluation.significance import cumulative_skill, skill_test
from lstmcli.frames import COVERAGES, FORECAST_COLUMNS, QUANTILES, cone_columns, quantile_column
from lstmcli.pipeline.prices import in_prices
from lstmcli.report.prices import CLOSE, EX_DIVIDEND, TOTAL_RETURN, Dividend, PriceBasis

RUN = "20260730T141530Z-lstm-1a2b3c4d"
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


def usual_forecast_chart(**options: str) -> Figure:
    bars = simulated_bars()
    options = {"title": "MRK: 20 sessions ahead", "run": RUN} | options
    return forecast_chart(bars, priced(simulated_forecast(bars)), **options)


def awkward_forecast_chart(*, price: float, horizon: int, sigma: float = 0.015) -> Figure:
    """Return a chart with all that users do: long names, odd characters, odd prices."""
    bars = simulated_bars(price=price)
    forecast = simulated_forecast(bars, horizon=horizon, ticker="$A^2_\\日" * 4, sigma=sigma)
    return forecast_chart(
        bars,
        priced(forecast, TOTAL_RETURN),
        title="W" * 150,
        run=RUN * 5,
        note="MW " * 200,
        axis="close; cone: total return, USD",
        remark=PriceBasis(TOTAL_RETURN).sentence,
        sessions_shown=250,
    )


def simulated_growth(origins: int) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    losses = pd.Series(rng.gamma(4, 1, origins), pd.bdate_range("2019-01-01", periods=origins))
    return cumulative_skill(losses, losses * 1.01 + 0.05 * rng.standard_normal(origins), overlap=1)


def usual_backtest_chart(origins: int = 1000, **options) -> Figure:
    skills = pd.DataFrame(
        {
            "step": [1, 5, 10, 20],
            "skill": [0.011, 0.004, -0.002, -0.013],
            "low": [0.008, -0.002, -0.012, -0.02],
            "high": [0.014, 0.01, 0.008, -0.006],
        }
    )
    growth = simulated_growth(origins)
    options = {"title": "lstm: MRK", "line": "CRPS skill against the HAR ridge"} | options
    return backtest_chart(growth, skills, folds=list(growth.index[::250]), **options)


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
    options = {"title": "MRK: forecasts and what came", "against": "gradient_boosting"} | options
    return live_chart(rows, skills, **options)


LIVES = (1, 30, 59, 60, 80, 159, 160, 300)

CHARTS: dict[str, Callable[[], Figure]] = {
    "forecast": usual_forecast_chart,
    "sample": lambda: usual_forecast_chart(note=NOTE, axis="close, USD"),
    "one_step": lambda: awkward_forecast_chart(price=0.00001, horizon=1),
    "dear": lambda: awkward_forecast_chart(price=712_345, horizon=60),
    "narrow": lambda: awkward_forecast_chart(price=1.08, horizon=5, sigma=1e-4),
    "wide": lambda: awkward_forecast_chart(price=100, horizon=20, sigma=0.3),
    "two_fits": lambda: training_chart(
        simulated_history(fits=("scored", "final"), members=3, epochs=25), title="MRK: lstm"
    ),
    "many_members": lambda: training_chart(
        simulated_history(fits=("scored", "final"), members=12, epochs=200),
        title="W" * 150,
        note=NOTE,
    ),
    "untrained": lambda: training_chart(
        simulated_history(fits=("final",), members=1, epochs=0), title="MRK: lstm"
    ),
    "backtest": usual_backtest_chart,
    "short_backtest": lambda: usual_backtest_chart(12, title="W" * 150, note=NOTE),
    "calibration": usual_calibration_chart,
    "short_calibration": lambda: usual_calibration_chart(40, title="W" * 150, note=NOTE),
    **{f"live_{count}": partial(usual_live_chart, count) for count in LIVES},
    "noted_live": lambda: usual_live_chart(300, title="W" * 150, note=NOTE),
    "attention": lambda: attention_chart(simulated_weights(60), title="MRK", note=NOTE),
    "long_attention": lambda: attention_chart(simulated_weights(500), title="W" * 150),
    "equal_attention": lambda: attention_chart(simulated_weights(5, equal=True), title="MRK"),
    "single_attention": lambda: attention_chart(simulated_weights(1), title="MRK"),
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


@pytest.fixture(scope="module")
def drawn() -> dict[str, Figure]:
    return {name: make() for name, make in CHARTS.items()}


@pytest.mark.parametrize("name", CHARTS)
def test_every_text_is_inside_the_figure(name: str, drawn: dict[str, Figure]) -> None:
    figure = drawn[name]
    shown = shown_texts(figure)
    assert len(shown) > 5
    for text in shown:
        box = Text.get_window_extent(text)
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.width, text
        assert box.y1 <= figure.bbox.height, text


@pytest.mark.parametrize("name", CHARTS)
def test_no_text_covers_another(name: str, drawn: dict[str, Figure]) -> None:
    boxes = [(text, Text.get_window_extent(text)) for text in shown_texts(drawn[name])]
    for k, (text, box) in enumerate(boxes):
        for other, other_box in boxes[k + 1 :]:
            across = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
            along = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
            # The box of a line has some air above and below its letters.
            assert across <= 1 or along <= 0.25 * min(box.height, other_box.height), (text, other)


@pytest.mark.parametrize("name", CHARTS)
def test_text_has_ten_points_and_only_the_footer_less(name: str, drawn: dict[str, Figure]) -> None:
    figure = drawn[name]
    assert tuple(figure.get_size_inches()) == (7.0, 4.5)
    assert figure.dpi == 150
    small = [text.get_text() for text in shown_texts(figure) if text.get_fontsize() < 10]
    # A long footer is wrapped.
    assert all(" ".join(text.split()).endswith("Not investment advice.") for text in small)
    assert len(small) <= 1


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_chart_can_be_saved_in_every_format(
    name: str, kind: str, drawn: dict[str, Figure]
) -> None:
    file = io.BytesIO()
    drawn[name].savefig(file, format=kind)
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


def test_a_declared_dividend_lowers_the_cone_from_its_ex_date_on() -> None:
    bars = simulated_bars()
    forecast = simulated_forecast(bars)
    ex_date = forecast["target_on"].iloc[6]
    prices = priced(forecast, EX_DIVIDEND, Dividend(ex_date, 3.0))
    (axes,) = forecast_chart(bars, prices, title="MRK", run=RUN).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines["_ex"].get_xdata()) == [7, 7]
    total = bars["close"].iloc[249] * np.exp(forecast["q50"])
    less = np.where(forecast["step"] >= 7, 3.0, 0.0)
    np.testing.assert_allclose(lines["median"].get_ydata()[1:], total - less)


def test_a_long_remark_is_wrapped_and_total_return_stands_at_the_axis() -> None:
    basis = PriceBasis(TOTAL_RETURN, currency="USD")
    figure = usual_forecast_chart(axis=basis.axis, remark=basis.sentence)
    assert figure.axes[0].get_ylabel() == "close; cone: total return, USD"
    footer = next(text for text in texts(figure) if "Shaded" in text)
    assert len(footer.splitlines()) == 2
    assert basis.sentence in footer.replace("\n", " ")
    assert "total return" not in "".join(texts(usual_forecast_chart())).lower()


def test_the_date_of_a_forecast_stays_however_long_its_names_are() -> None:
    figure = awkward_forecast_chart(price=50, horizon=20)
    assert any(text.startswith("made on 14 Oct 2016") for text in texts(figure))


def test_a_forecast_of_real_data_has_no_note() -> None:
    assert not any(text.get_bbox_patch() for text in usual_forecast_chart().texts)
    assert any(text.get_bbox_patch() for text in usual_forecast_chart(note=NOTE).texts)


def test_the_cones_are_the_prices_of_their_quantiles() -> None:
    bars = simulated_bars()
    forecast = simulated_forecast(bars)
    # The order of rows in a file is not the chart's to trust.
    figure = forecast_chart(bars, priced(forecast.iloc[::-1]), title="MRK", run=RUN)
    (axes,) = figure.axes
    cones = {cone.get_label(): cone for cone in axes.collections}
    assert set(cones) == {"50%", "80%", "95%"}
    last_close = bars["close"].iloc[249]
    for coverage in COVERAGES:
        lower, upper = (
            [last_close, *(last_close * np.exp(forecast[column]))]
            for column in cone_columns(coverage)
        )
        cone = cones[f"{coverage:.0%}"]
        corners = {(x, round(y, 9)) for x, y in cone.get_paths()[0].vertices}
        expected = {
            (float(step), round(price, 9))
            for edge in (lower, upper)
            for step, price in enumerate(edge)
        }
        assert corners == expected
        np.testing.assert_allclose(cone.get_facecolor()[0, :3], to_rgb(CONE_BLUES[coverage]))


def test_lines_are_the_closes_up_to_the_origin_and_the_median() -> None:
    bars = simulated_bars()
    forecast = simulated_forecast(bars)
    (axes,) = forecast_chart(bars, priced(forecast), title="MRK", run=RUN, sessions_shown=70).axes
    lines = {line.get_label(): line for line in axes.lines}
    # The bars go on for 50 sessions: a chart of the past must not show what came next.
    np.testing.assert_array_equal(lines["close"].get_ydata(), bars["close"].iloc[180:250])
    np.testing.assert_array_equal(lines["close"].get_xdata(), np.arange(-69, 1))
    last_close = bars["close"].iloc[249]
    np.testing.assert_allclose(
        lines["median"].get_ydata(), [last_close, *(last_close * np.exp(forecast["q50"]))]
    )
    assert lines["last close"].get_xydata().tolist() == [[0, last_close]]


def test_cone_edges_carry_their_prices_and_point_at_them() -> None:
    bars = simulated_bars()
    forecast = simulated_forecast(bars)
    (axes,) = forecast_chart(bars, priced(forecast), title="MRK", run=RUN).axes
    labels = {text.get_text(): text for text in axes.texts if isinstance(text, Annotation)}
    last = forecast.iloc[-1]
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
        assert labels[f"{five_digits(price)}  {name}"].xy == (20, pytest.approx(price))
    assert f"last close {five_digits(last['last_close'])}" in labels
    assert f"{last['target_on']:%d %b %Y}" in labels


def test_dates_stand_at_the_first_session_of_a_month() -> None:
    bars = simulated_bars()
    (axes,) = forecast_chart(bars, priced(simulated_forecast(bars)), title="MRK", run=RUN).axes
    labels = dict(zip(axes.get_xticks(), axes.get_xticklabels(), strict=True))
    sessions = pd.bdate_range(bars.index[0], bars.index[249] + pd.offsets.BDay(20))
    years = set()
    for position, label in labels.items():
        session = sessions[249 + int(position)]
        assert session.month != sessions[248 + int(position)].month
        year = "" if session.year in years else f"\n{session:%Y}"
        assert label.get_text() == f"{session:%b}{year}"
        years.add(session.year)
    assert len(labels) == 6


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
    (axes,) = figure.axes
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    assert [float(tick.replace(",", "")) for tick in ticks] == axes.get_yticks().tolist()
    assert all("," in tick for tick in ticks if len(tick) > 3)


def test_a_short_horizon_shows_less_history_so_that_the_cone_is_seen() -> None:
    bars = simulated_bars()
    figure = forecast_chart(bars, priced(simulated_forecast(bars, horizon=1)), title="X", run=RUN)
    assert len(figure.axes[0].lines[0].get_xdata()) == 20


def test_cones_differ_in_lightness_for_print_and_colour_blind_readers() -> None:
    luminance = [np.dot(to_rgb(CONE_BLUES[c]), (0.2126, 0.7152, 0.0722)) for c in COVERAGES]
    assert np.all(np.diff(luminance) > 0.12)


def test_a_forecast_of_two_tickers_or_without_its_bars_is_refused() -> None:
    bars = simulated_bars()
    forecast = simulated_forecast(bars)
    both = pd.concat([forecast, forecast.assign(ticker="MDT")])
    with pytest.raises(ValueError, match="one ticker and one origin"):
        forecast_chart(bars, both, title="X", run=RUN)
    with pytest.raises(ValueError, match="Expected bars with the session"):
        forecast_chart(bars.iloc[:100], forecast, title="X", run=RUN)


def test_the_best_epoch_of_each_member_is_marked_at_its_lowest_validation_loss() -> None:
    history = simulated_history(fits=("scored", "final"), members=3, epochs=25)
    figure = training_chart(history, title="MRK: lstm")
    assert len(figure.axes) == 2
    for axes, fit in zip(figure.axes, ("scored", "final"), strict=True):
        rows = history[history["fit"] == fit]
        best = rows.loc[rows.groupby("member")["validation_loss"].idxmin()]
        marked = [
            tuple(line.get_xydata()[0]) for line in axes.lines if line.get_label() == "best epoch"
        ]
        assert marked == list(zip(best["epoch"], best["validation_loss"], strict=True))
        listed = ", ".join(map(str, best["epoch"]))
        lowest = best["validation_loss"].min()
        assert axes.get_title(loc="left").endswith(f"best epochs {listed}: from {lowest:.4f}")
        assert fit in axes.get_title(loc="left")


def test_losses_are_drawn_in_the_order_of_their_epochs() -> None:
    history = simulated_history(fits=("scored",), members=2, epochs=10)
    (axes,) = training_chart(history, title="MRK: lstm").axes
    for column, label in (("loss", "training"), ("validation_loss", "validation")):
        lines = [line for line in axes.lines if line.get_label() == label]
        assert len(lines) == 2
        for member, line in enumerate(lines):
            rows = history[history["member"] == member].sort_values("epoch")
            np.testing.assert_array_equal(line.get_xdata(), np.arange(11))
            np.testing.assert_array_equal(line.get_ydata(), rows[column])
    (reference,) = [line for line in axes.lines if line.get_label() == "baseline"]
    assert set(reference.get_ydata()) == {1.0}
    # Told apart without colour as well.
    styles = {line.get_linestyle() for line in axes.lines if line.get_linestyle() != "None"}
    assert styles == {"-", "--", ":"}


def test_a_member_that_diverged_is_drawn_without_a_best_epoch() -> None:
    history = simulated_history(fits=("scored",), members=1, epochs=5)
    history["validation_loss"] = np.nan
    figure = training_chart(history, title="MRK: lstm")
    assert any("no finite validation loss" in text for text in texts(figure))
    assert not [line for line in figure.axes[0].lines if line.get_label() == "best epoch"]


def test_an_empty_history_or_window_is_refused() -> None:
    with pytest.raises(NoDataError, match="training history"):
        training_chart(simulated_history(fits=("final",), members=1, epochs=1)[:0], title="X")
    with pytest.raises(NoDataError, match="attention weight"):
        attention_chart(simulated_weights(3)[:0], title="X")


def test_attention_bars_are_the_weights_in_percent() -> None:
    weights = simulated_weights(60)
    figure = attention_chart(weights, title="MRK")
    (axes,) = figure.axes
    heights = np.array([bar.get_height() for bar in axes.patches])
    np.testing.assert_allclose(heights, 100 * weights["weight"])
    (uniform,) = axes.lines
    np.testing.assert_allclose(uniform.get_ydata(), 100 / 60)
    heaviest = weights.loc[weights["weight"].idxmax()]
    share = f"{100 * heaviest['weight']:.2g} %"
    assert f"{heaviest['session']:%d %b}: {share}" in texts(figure)
    assert "uniform\n1.7 %" in texts(figure)


def test_equal_attention_names_no_heaviest_session() -> None:
    figure = attention_chart(simulated_weights(5, equal=True), title="MRK")
    assert len({bar.get_facecolor() for bar in figure.axes[0].patches}) == 1
    assert not any(": 20 %" in text for text in texts(figure))


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
charts.attention_chart(pd.DataFrame({"session": index, "weight": 0.25}), title="X")
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
    assert figure.axes[0].get_title("left") == (
        "gained so far at 1, 5, 10, 20 sessions\n(dotted: a new fit)"
    )
    whiskers = [line.get_ydata() for line in figure.axes[1].lines[:-1:2]]
    expected = [[0.8, 1.4], [-0.2, 1.0], [-1.2, 0.8], [-2, -0.6]]
    np.testing.assert_allclose(whiskers, expected)


def test_a_calibration_chart_marks_the_worst_year_of_the_80_percent_cone():
    figure = usual_calibration_chart()
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert sum(heights) == pytest.approx(100)
    rolling = figure.axes[2]
    lowest = min(line.get_ydata().min() for line in rolling.lines if len(line.get_ydata()) > 100
                 and 70 < line.get_ydata().mean() < 90)  # fmt: skip
    assert f"{lowest:.1f} %" in [text.get_text() for text in rolling.texts]
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
        backtest_chart(nothing, pd.DataFrame(), folds=[], title="", line="")
    with pytest.raises(NoDataError):
        calibration_chart(np.array([]), pd.DataFrame(), pd.DataFrame(), title="", line="",
                          sessions=250)  # fmt: skip
    with pytest.raises(NoDataError):
        live_chart(pd.DataFrame(), pd.DataFrame(), title="", against="")
