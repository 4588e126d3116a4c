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
from lstmcli.forecasters.baselines.kept_fits import KeptFits
from lstmcli.forecasters.calibrated import FittedCalibrated
from lstmcli.forecasters.filtered_simulation import filtered_simulation
from lstmcli.forecasters.panel_network.columns import Columns
from lstmcli.forecasters.panel_network.network import RUN_IN
from lstmcli.forecasters.small_products import one_thread
from lstmcli.forecasters.volatility.ewma import ewma_scale
from lstmcli.frames import QUANTILE_COLUMNS, log_returns
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

MONTHLY = ("random_walk", "drift", "historical", "ewma", "garch", "gjr", "har", "har_ridge")

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


def test_columns_from_a_session_on_are_those_of_all_sessions():
    for tickers in alike(universe().bars):
        columns = Columns(universe().only(tickers), alone=True)
        since = columns.bars[tickers[0]].index[-20]
        every = columns.each(tickers, clocks(), REACTION)
        late = columns.each(tickers, clocks(), REACTION, since=since)
        for whole, part in zip(every, late, strict=True):
            first = len(whole.sessions) - 20 - RUN_IN
            for name in ("values", "known", "panel", "market", "dates", "dates_soon"):
                a, b = getattr(whole, name), getattr(part, name)
                np.testing.assert_array_equal(a[first:], b[first:], err_msg=name)
            assert whole.known[:first].any()
            assert not part.known[:first].any()


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


@cache
def crowd() -> Panel:
    """Return tickers of any kind; one has too few sessions, which stops none of the others."""
    bars = {**universe().bars, "FEW": bars_of(40).iloc[-90:]}
    return universe().with_(bars=bars).only(["T00", "T09", "HOLES", "PAYS", "YOUNG", "FEW"])


def alone(name: str) -> pd.DataFrame:
    recipe = BASELINES[name](20)
    found = forecast_alone([recipe], crowd(), crowd().sessions()[-1], KeptFits())
    assert list(found) == [name]
    return found[name]


@pytest.mark.parametrize("name", MONTHLY)
def test_a_baseline_alone_is_fitted_before_the_month_and_follows_its_volatility(name):
    origins, recipe, together = crowd().sessions()[-1:], BASELINES[name](20), alone(name)
    month = origins[0].to_period("M").start_time - pd.Timedelta(7, "D")
    assert set(together["ticker"]) == {*crowd()} - {"FEW"}
    with one_thread():
        for ticker in {*crowd()} - {"FEW"}:
            one = crowd().only([ticker])
            fitted = recipe.fit(one.until(month), month)
            before = fitted.forecast(one.until(month), one.until(month).sessions()[-1:])
            now = fitted.forecast(one, origins)
            found = together[together["ticker"] == ticker].reset_index(drop=True)
            pd.testing.assert_frame_equal(
                found[["ticker", "made_on", "step", "target_on", "last_close"]],
                now[["ticker", "made_on", "step", "target_on", "last_close"]],
            )
            sigma = (
                before["sigma"] if name in ("random_walk", "drift", "historical") else now["sigma"]
            )
            np.testing.assert_allclose(found["sigma"], sigma, rtol=1e-6)
            levels = list(QUANTILE_COLUMNS)
            np.testing.assert_allclose(
                found[levels].div(found["sigma"], axis=0),
                before[levels].div(before["sigma"], axis=0),
                rtol=1e-12,
                atol=1e-12,
            )


@pytest.mark.parametrize("name", ["har_ridge_clock", "har_ridge_dates"])
def test_a_baseline_that_is_not_made_monthly_is_that_of_panels_of_one(name):
    origins, together = crowd().sessions()[-1:], alone(name)
    for ticker in {*crowd()} - {"FEW"}:
        one = crowd().only([ticker])
        expected = BASELINES[name](20).fit(one, origins[-1]).forecast(one, origins)
        found = together[together["ticker"] == ticker].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert "FEW" not in set(together["ticker"])


@pytest.mark.parametrize("name", MONTHLY)
def test_a_ticker_gets_the_same_digits_from_a_month_alone_and_in_a_crowd(name):
    origin, recipe, together = crowd().sessions()[-1], BASELINES[name](20), alone(name)
    for ticker in crowd():
        one = forecast_alone([recipe], crowd().only([ticker]), origin, KeptFits())[name]
        found = together[together["ticker"] == ticker].reset_index(drop=True)
        if len(found):
            pd.testing.assert_frame_equal(found, one, check_exact=True)
        else:
            assert not len(one)


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
