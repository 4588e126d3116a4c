"""Windows by index, and blocks by date."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from simulate import events_of, panel_of, simulate_bars

from lstmcli.errors import NoDataError
from lstmcli.features import ewma_volatility, feature_matrix, known_ahead
from lstmcli.frames import log_returns
from lstmcli.panel import MarketSeries, Panel
from lstmcli.splits import MIN_TRAIN, SplitConfig, split_origins
from lstmcli.windows import WindowConfig, Windows, cut_windows, target_sessions

FEATURES = ("log_return", "range")


def cut(
    panel: Panel,
    lookback: int,
    horizon: int,
    *,
    features: tuple[str, ...] = FEATURES,
    future: tuple[str, ...] = ("weekday",),
) -> Windows:
    return cut_windows(
        panel,
        lambda view: feature_matrix(view, features),
        {ticker: ewma_volatility(bars).to_numpy()[:, None] for ticker, bars in panel.items()},
        WindowConfig(lookback=lookback, horizon=horizon),
        future=partial(known_ahead, names=future),
    )


def windows_by_loop(
    panel: Panel, features: tuple[str, ...], lookback: int, horizon: int
) -> list[tuple[str, pd.Timestamp, np.ndarray, np.ndarray]]:
    """Return (ticker, origin, x (L, F), y (H,)) of every labelled window, by plain loops."""
    found = []
    for ticker, bars in panel.items():
        columns = feature_matrix(panel.view(ticker), features).to_numpy()
        volatility = ewma_volatility(bars).to_numpy()
        daily = log_returns(bars).to_numpy()
        for t in range(len(bars)):
            if t + 1 < lookback or t + horizon >= len(bars):
                continue
            x = columns[t - lookback + 1 : t + 1]
            if not (
                np.isfinite(x).all() and np.isfinite(volatility[t - lookback + 1 : t + 1]).all()
            ):
                continue
            y = [sum(daily[t + 1 : t + h + 1]) for h in range(1, horizon + 1)]
            found.append((ticker, bars.index[t], x, np.array(y)))
    return found


@settings(max_examples=25, deadline=None)
@given(
    lookback=st.integers(2, 30),
    horizon=st.integers(1, 12),
    sessions=st.lists(st.integers(1, 90), min_size=1, max_size=3),
)
def test_windows_are_those_of_a_plain_loop(lookback: int, horizon: int, sessions: list[int]):
    panel = panel_of(
        **{f"T{n}": simulate_bars(length, seed=n) for n, length in enumerate(sessions)}
    )
    windows = cut(panel, lookback, horizon)
    rows = np.flatnonzero(windows.trainable)
    expected = windows_by_loop(panel, FEATURES, lookback, horizon)
    assert len(rows) == len(expected)
    for row, (ticker, origin, x, y) in zip(rows, expected, strict=True):
        assert windows.tickers[windows.ticker[row]] == ticker
        assert windows.session[row] == origin.to_datetime64()
        np.testing.assert_allclose(windows.x(np.array([row]))[0], x, rtol=1e-6, atol=1e-7)
        came = [windows.y(np.array([row]), step)[0] for step in range(1, horizon + 1)]
        np.testing.assert_allclose(came, y, rtol=0, atol=1e-12)


def test_no_window_is_trained_across_a_hole_and_forecasts_go_on():
    bars = simulate_bars(200)
    hole = bars.index[150]
    holed = panel_of(A=bars.drop(hole))
    windows = cut(holed, 10, 5)
    trained = pd.DatetimeIndex(windows.session[windows.trainable])
    around = bars.index[150 - 5 : 150 + 10]
    assert not trained.isin(around).any()
    assert bars.index[[144, 160]].isin(trained).all()
    forecastable = pd.DatetimeIndex(windows.session[windows.forecastable])
    assert bars.index[151:].isin(forecastable).all()


def test_a_holiday_is_no_hole():
    bars = simulate_bars(200)
    assert pd.Timestamp("2016-11-24") not in bars.index  # Thanksgiving
    windows = cut(panel_of(A=bars), 10, 5)
    origins = windows.origins()
    assert pd.to_datetime(["2016-11-23", "2016-11-25"]).isin(origins).all()


def test_targets_are_dated_by_the_calendar():
    panel = panel_of(A=simulate_bars(60))
    last = pd.DatetimeIndex(["2016-12-30"])
    found = pd.DatetimeIndex(target_sessions(panel, "A", last, 3)[0])
    assert [f"{day:%m-%d}" for day in found] == ["01-03", "01-04", "01-05"]
    windows = cut(panel, 10, 3)
    weekdays = windows.future.of(np.array([59]), 3)[0].argmax(axis=1)
    assert weekdays.tolist() == [1, 2, 3]  # Tuesday to Thursday


def test_the_scale_is_sigma_times_the_root_of_the_step():
    windows = cut(panel_of(A=simulate_bars(100)), 10, 4)
    rows = np.flatnonzero(windows.trainable)
    scale = windows.scale(rows)
    np.testing.assert_allclose(scale[:, 3], 2 * scale[:, 0])


@settings(max_examples=50, deadline=None)
@example(origins=150, horizon=1, validation=0.125, calibration=0.125, test=0.0625)
@given(
    origins=st.integers(150, 3000),
    horizon=st.integers(1, 40),
    validation=st.floats(0.05, 0.2) | st.integers(10, 200),
    calibration=st.floats(0.05, 0.2) | st.integers(10, 200),
    test=st.floats(0.05, 0.2) | st.integers(10, 200),
)
def test_blocks_never_share_a_target(origins, horizon, validation, calibration, test):
    split = SplitConfig(validation=validation, calibration=calibration, test=test)
    days = pd.bdate_range("2000-01-03", periods=origins)
    assume(origins >= split.origins_needed(horizon))
    blocks = list(split_origins(days, split.resolve(origins), horizon, test=True).values())
    assert [block.name for block in blocks] == ["train", "validation", "calibration", "test"]
    assert len(blocks[0].origins) >= MIN_TRAIN
    assert blocks[-1].last == days[-1]
    for before, after in pairwise(blocks):
        gap = days.get_loc(after.first) - days.get_loc(before.last)
        assert gap == horizon + 1  # the last target of a block is the session before the next


def test_too_few_origins_are_refused():
    days = pd.bdate_range("2000-01-03", periods=150)
    with pytest.raises(NoDataError, match="at least 100"):
        split_origins(days, SplitConfig().resolve(150), 20, test=True)


def test_a_split_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="to train on"):
        SplitConfig(validation=0.4, calibration=0.3, test=0.3)


def test_levels_keep_daily_returns_exactly():
    bars = simulate_bars(120)
    windows = cut(panel_of(A=bars), 5, 1)
    rows = np.flatnonzero(windows.trainable)
    expected = log_returns(bars).to_numpy()[rows + 1]
    np.testing.assert_allclose(windows.y(rows, 1), expected, atol=1e-13)


def equal(one: Windows, other: Windows) -> None:
    """Fail unless two windows hold the same numbers, bit for bit."""
    assert (one.tickers, one.lookback, one.horizon) == (
        other.tickers,
        other.lookback,
        other.horizon,
    )
    for name in ("ticker", "session", "values", "level", "sigma", "close"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    np.testing.assert_array_equal(one.forecastable, other.forecastable)
    np.testing.assert_array_equal(one.trainable, other.trainable)
    rows = np.flatnonzero(one.forecastable)
    ahead = one.future.of(rows, one.horizon), other.future.of(rows, one.horizon)
    np.testing.assert_array_equal(*ahead)


def uneven() -> Panel:
    """Return three tickers; one ends early, one has a hole, one begins late."""
    late, holed = simulate_bars(300, seed=2), simulate_bars(300, seed=3)
    return panel_of(
        A=simulate_bars(300, seed=1).iloc[:220], B=late.iloc[150:], C=holed.drop(holed.index[200])
    )


@pytest.mark.parametrize("place", [160, 205, 290, 299])
def test_windows_cut_once_serve_every_earlier_end(place: int):
    panel = uneven()
    end = panel.sessions()[place]
    equal(cut(panel, 10, 5).until(end), cut(panel.until(end), 10, 5))


def test_windows_cut_once_serve_some_of_the_tickers():
    panel = uneven()
    equal(cut(panel, 10, 5).only(["C", "A"]), cut(panel.only(["A", "C"]), 10, 5))


def with_market(missing: slice) -> Panel:
    """Return a ticker, and a series `vix` that lacks some of the last hundred sessions."""
    bars, series = simulate_bars(200), simulate_bars(200, seed=9)
    kept = series.drop(series.index[-100:][missing])
    return panel_of(A=bars).with_(market={"vix": MarketSeries("^VIX", kept, "XNYS")})


def test_an_origin_without_its_market_session_has_no_window():
    bars = simulate_bars(200)
    windows = cut(with_market(slice(50, 52)), 10, 5, features=("log_return", "vix_level"))
    lacking = bars.index[[150, 151]]
    forecastable = pd.DatetimeIndex(windows.session[windows.forecastable])
    assert not forecastable.isin(lacking).any()
    # A short hole inside a window holds the value before it.
    assert bars.index[[149, 152, 161]].isin(forecastable).all()
    row = int(np.flatnonzero(windows.session == bars.index[155].to_datetime64())[0])
    levels = windows.x(np.array([row]))[0, :, 1]  # sessions 146 … 155
    assert levels[3] == levels[4] == levels[5] != levels[6]


def test_a_long_hole_in_the_market_is_not_filled():
    bars = simulate_bars(200)
    windows = cut(with_market(slice(50, 57)), 10, 5, features=("log_return", "vix_level"))
    forecastable = pd.DatetimeIndex(windows.session[windows.forecastable])
    assert not forecastable.isin(bars.index[150:166]).any()
    assert bars.index[[149, 166]].isin(forecastable).all()


def announced(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Return statements of ticker A: session, known_on, status."""
    return events_of("user:trial", *(("A", *row) for row in rows))


def test_an_event_is_known_ahead_from_the_day_it_is_announced():
    panel = panel_of(A=simulate_bars(60)).with_(
        events=announced(("2016-12-28", "2016-12-21", "expected"))
    )
    windows = cut(panel, 10, 5, future=("user:trial",))
    known = windows.future.of(np.arange(60), 5)[..., 0]
    sessions = pd.DatetimeIndex(windows.session)
    found = {f"{sessions[row]:%m-%d}": int(step) + 1 for row, step in np.argwhere(known)}
    # 26 December was a holiday: five sessions after the 20th end with the 28th, but nobody knew.
    assert found == {"12-21": 4, "12-22": 3, "12-23": 2, "12-27": 1}


def test_the_newest_statement_about_a_session_counts():
    panel = panel_of(A=simulate_bars(60)).with_(
        events=announced(
            ("2016-12-28", "2016-12-19", "expected"),
            ("2016-12-28", "2016-12-22", "withdrawn"),
            ("2016-12-28", "2016-12-27", "expected"),
        )
    )
    windows = cut(panel, 10, 6, future=("weekday", "user:trial"))
    assert windows.future.channels == 8
    known = windows.future.of(np.arange(60), 6)[..., 7]
    sessions = pd.DatetimeIndex(windows.session)
    days = {f"{sessions[row]:%m-%d}" for row in np.flatnonzero(known.any(axis=1))}
    assert days == {"12-19", "12-20", "12-21", "12-27"}


def test_an_event_that_is_taken_back_at_once_was_never_known():
    at_once = (("2016-12-28", "2016-12-19", status) for status in ("expected", "withdrawn"))
    panel = panel_of(A=simulate_bars(60)).with_(events=announced(*at_once))
    windows = cut(panel, 10, 6, future=("user:trial",))
    assert not windows.future.of(np.arange(60), 6).any()


def test_what_is_known_ahead_is_the_same_whatever_is_announced_later():
    later = announced(
        ("2016-12-28", "2016-12-19", "expected"), ("2016-12-28", "2016-12-22", "withdrawn")
    )
    panel = panel_of(A=simulate_bars(60)).with_(events=later)
    end = pd.Timestamp("2016-12-20")
    equal(
        cut(panel, 10, 6, future=("user:trial",)).until(end),
        cut(panel.until(end), 10, 6, future=("user:trial",)),
    )
