"""Many tickers at once: each gets the digits that it gets alone."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from panel_cases import REACTION, bars_of, clocks, quarterly, series
from simulate import panel_of

from lstmcli.features import StackedBars, alike, ewma_volatility, garman_klass_variance
from lstmcli.forecasters.base import join_forecasts
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.forecasters.baselines.alone import forecast_alone
from lstmcli.forecasters.calibrated import FittedCalibrated
from lstmcli.forecasters.filtered_simulation import filtered_simulation
from lstmcli.forecasters.panel_network.columns import Columns
from lstmcli.forecasters.small_products import one_thread
from lstmcli.forecasters.volatility.ewma import ewma_scale
from lstmcli.frames import log_returns
from lstmcli.panel import Panel
from lstmcli.pipeline.saved import fitted_from, stored_config
from lstmcli.pipeline.session import Session
from lstmcli.rolling import (
    ewm_mean,
    rolling_max,
    rolling_mean,
    rolling_median,
    rolling_min,
    rolling_sum,
    shifted,
)
from lstmcli.store import Workspace
from lstmcli.store.shipped import shipped_run
from lstmcli.trading import least_volatility

COLUMNS = arrays(
    float,
    st.tuples(st.integers(1, 40), st.integers(1, 4)),
    elements=st.floats(-1e3, 1e3, width=32) | st.just(np.nan),
)


@given(COLUMNS, st.integers(1, 12))
@settings(deadline=None)
def test_a_window_over_many_columns_is_that_of_pandas_over_each(columns, span):
    some = max(1, span // 2)
    found = {
        "mean": rolling_mean(columns, span, some),
        "sum": rolling_sum(columns, span, some),
        "median": rolling_median(columns, span, some),
        "max": rolling_max(columns, span, some),
    }
    for number in range(columns.shape[1]):
        one = pd.Series(columns[:, number])
        for name, each in found.items():
            expected = getattr(one.rolling(span, min_periods=some), name)()
            np.testing.assert_array_equal(each[:, number], expected, err_msg=name)
        np.testing.assert_array_equal(
            rolling_max(columns, span)[:, number], one.rolling(span).max()
        )
        np.testing.assert_array_equal(
            rolling_min(columns, span)[:, number], one.rolling(span, min_periods=1).min()
        )
        np.testing.assert_array_equal(shifted(columns, span)[:, number], one.shift(span))
        np.testing.assert_array_equal(
            ewm_mean(columns, 0.06, some)[:, number],
            one.ewm(alpha=0.06, adjust=True, min_periods=some).mean(),
        )


@cache
def universe() -> Panel:
    """Return tickers with one history, young ones, one with holes, and one that pays."""
    bars = {f"T{n:02d}": bars_of(n) for n in range(20)}
    bars |= {"YOUNG": bars_of(31).iloc[-400:], "ALSO": bars_of(32).iloc[-400:]}
    bars["HOLES"] = bars_of(33).drop(bars_of(33).index[[100, 300, 650]])
    bars["PAYS"] = bars_of(34).assign(dividend=np.where(np.arange(700) % 60 == 7, 0.5, 0.0))
    found = panel_of(**bars).with_(market=series())
    return found.with_(events=quarterly(found.only(["T00", "T01", "YOUNG"])))


def test_tickers_with_the_same_sessions_are_told_from_the_others():
    groups = alike(universe().bars)
    assert sorted(map(len, groups)) == [1, 2, 21]
    assert ["YOUNG", "ALSO"] in groups
    assert sorted(ticker for group in groups for ticker in group) == sorted(universe())
    assert alike({"NONE": bars_of(1).iloc[:0]}) == [["NONE"]]


def test_what_is_computed_of_stacked_bars_is_what_each_gives():
    tickers = ["T00", "PAYS", "T07"]
    stacked = StackedBars.of([universe()[ticker] for ticker in tickers])
    for number, ticker in enumerate(tickers):
        bars = universe()[ticker]
        for found, expected in (
            (stacked.returns, log_returns(bars)),
            (stacked.sigma, ewma_volatility(bars)),
            (stacked.variance, garman_klass_variance(bars)),
            (stacked.least, least_volatility(bars)),
        ):
            np.testing.assert_array_equal(found[:, number], expected)


@pytest.mark.parametrize("alone", [True, False])
def test_columns_of_a_ticker_do_not_depend_on_which_others_are_asked_for(alone):
    # Alone a ticker knows the days since its first bar, and not those of older ones.
    groups = alike(universe().bars) if alone else [list(universe())]
    for tickers in groups:
        group = universe().only(tickers)
        every = Columns(group, alone=alone).each(tickers, clocks(), REACTION)
        for ticker, found in zip(tickers, every, strict=True):
            given = group.only([ticker]) if alone else group
            one = Columns(given, alone=alone).of(ticker, clocks(), REACTION)
            for name in ("values", "known", "panel", "market", "dates", "dates_soon"):
                a, b = getattr(found, name), getattr(one, name)
                np.testing.assert_array_equal(a, b, err_msg=f"{ticker} {name}")
        assert not every[0].panel.any() if alone else every[0].panel.any()


def test_a_ticker_alone_simulates_as_in_a_call_for_itself():
    origins = universe().sessions()[-30:]
    scales = {ticker: ewma_scale(bars, 5) for ticker, bars in universe().items()}
    together = filtered_simulation("x", universe(), origins, scales, alone=True)
    each = [
        filtered_simulation("x", universe().only([ticker]), origins, {ticker: scales[ticker]})
        for ticker in universe()
    ]
    pd.testing.assert_frame_equal(together, join_forecasts(each), check_exact=True)
    pooled = filtered_simulation("x", universe(), origins, scales)
    assert not np.allclose(pooled["q10"], together["q10"])


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "gradient_boosting"])
def test_a_baseline_of_tickers_alone_is_that_of_panels_of_one(name):
    tickers = ["T00", "T09", "HOLES", "PAYS", "YOUNG", "FEW"]
    # Too few sessions of one of them stop none of the others.
    every = universe().with_(bars={**universe().bars, "FEW": bars_of(40).iloc[-90:]}).only(tickers)
    origins, recipe = every.sessions()[-1:], BASELINES[name](20)
    together = forecast_alone(recipe, every, origins)
    with one_thread():
        for ticker in tickers[:-1]:
            one = every.only([ticker])
            # GARCH is fitted once a month; the end of the month is far enough for each of them.
            month = origins[-1].to_period("M").start_time - pd.Timedelta(days=1)
            until = month if name in ("garch", "gjr") else origins[-1]
            expected = recipe.fit(one, until).forecast(one, origins)
            found = together[together["ticker"] == ticker].reset_index(drop=True)
            pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert "FEW" not in set(together["ticker"])
    assert not len(forecast_alone(recipe, every.only(["FEW"]), origins))


def test_the_run_that_ships_gives_a_ticker_the_same_digits_alone_and_in_a_crowd(tmp_path):
    session = Session(Workspace(tmp_path))
    run = shipped_run()
    runs = session.workspace.runs
    recipe = stored_config(runs, run.manifest.run, run.files.config).recipe()
    fitted = fitted_from(run.files, recipe, store=runs, run=run.manifest.run)
    # Its years of training end in 2023; the simulated bars end before, so they are moved.
    later = {
        ticker: bars.set_axis(bars.index + pd.Timedelta(weeks=52 * 8), axis=0)
        for ticker, bars in universe().items()
    }
    crowd = Panel(later, {})
    origins = crowd.sessions()[-3:]
    calibrated = FittedCalibrated(fitted, None, alone=True)
    raw, published = calibrated.with_inner(crowd, origins)
    assert set(published["ticker"]) == set(crowd)
    for ticker in ("T00", "T13", "HOLES", "YOUNG"):
        one_raw, one = calibrated.with_inner(crowd.only([ticker]), origins)
        for found, expected in ((raw, one_raw), (published, one)):
            own = found[found["ticker"] == ticker].reset_index(drop=True)
            pd.testing.assert_frame_equal(own, expected, check_exact=True)
