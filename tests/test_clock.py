"""The announcement clock: its columns, what it finds, and that it reads the past alone."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
import reference
from panel_cases import CLOCK_WIDTH, random_clock
from simulate import panel_of, simulate_bars

from lstmcli.forecasters.filtered_simulation import MIN_POOL
from lstmcli.forecasters.volatility.clock import (
    CLOCK_STEPS,
    MAX_VARIANCE,
    QUARTER,
    ROWS,
    Days,
    FittedClock,
    clock_ahead,
    clock_columns,
    clock_regressors,
    every_nth,
    fit_clock,
    fit_panel_clock,
    learnt_rows,
    median_unusual,
    shocks,
)
from lstmcli.forecasters.volatility.regressors import unusual
from lstmcli.panel import Panel
from lstmcli.sessions import WEEKDAYS, sessions_between

pytestmark = pytest.mark.usefixtures("one_thread")


def days_of(first: str, last: str, calendar: str = "XNYS") -> Days:
    none = pd.DatetimeIndex([])
    between = pd.Timestamp(first), pd.Timestamp(last)
    return Days(sessions_between(calendar, *between, observed=none))


def random_shock(days: Days, *, seed: int = 0) -> pd.DataFrame:
    """Return shocks beyond every bound, of which some are not known."""
    generator = np.random.default_rng(seed)
    values = 3 * generator.standard_normal((len(days.sessions), 2))
    values[generator.random(values.shape) < 0.1] = np.nan
    return pd.DataFrame(values, index=days.sessions, columns=["range", "volume"])


def dates(days: Days) -> list:
    return [day.date() for day in days.sessions]


@pytest.mark.parametrize("calendar", ["XNYS", "24/7", WEEKDAYS])
def test_the_columns_are_those_of_a_plain_loop(calendar: str):
    every = days_of("1999-11-20", "2002-03-08", calendar)
    kept = np.random.default_rng(1).random(len(every.sessions)) > 0.05
    days = Days(every.sessions[kept])
    shock = random_shock(days)
    expected = reference.clock_columns(
        dates(days), shock["range"].tolist(), shock["volume"].tolist()
    )
    found = clock_columns(shock, days)
    assert found.shape == (len(days.sessions), CLOCK_WIDTH)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_a_session_that_the_shocks_lack_is_as_usual():
    days = days_of("2010-01-04", "2012-12-31")
    shock = random_shock(days).fillna(0.0)
    lacking = shock.drop(shock.index[50:90])
    zero = shock.copy()
    zero.iloc[50:90] = 0.0
    np.testing.assert_array_equal(clock_columns(lacking, days), clock_columns(zero, days))


CLOSURES = {
    "New York, September 2001": ("XNYS", "2001-01-02", "2002-06-28"),
    "Shanghai, New Year": ("XSHG", "2019-01-02", "2020-06-30"),
    "every day": ("24/7", "2019-01-01", "2019-12-31"),
    "weekdays": (WEEKDAYS, "1962-01-02", "1963-06-28"),
}


@pytest.mark.parametrize("name", CLOSURES)
def test_nothing_after_an_origin_changes_what_the_clock_says_there(name: str):
    calendar, first, last = CLOSURES[name]
    days = days_of(first, last, calendar)
    steps = (1, 5, 20, 40, 60)
    clock, shock, other = random_clock(), random_shock(days), random_shock(days, seed=1)

    def ahead(shock: pd.DataFrame, origins: np.ndarray) -> np.ndarray:
        return clock_ahead(clock.variance(clock_columns(shock, days)), days, origins, steps)

    every = np.arange(len(days.sessions) - max(steps))
    whole = ahead(shock, every)
    for origin in every[70::3]:
        spoilt = shock.copy()
        spoilt.iloc[origin + 1 :] = other.iloc[origin + 1 :]
        np.testing.assert_array_equal(ahead(spoilt, every[[origin]])[0], whole[origin])


def test_a_session_that_reads_past_the_origin_is_left_out_of_the_mean():
    days = days_of("2001-01-02", "2002-03-28")
    variance = np.exp(np.random.default_rng(2).standard_normal(len(days.sessions)))
    origins = np.arange(len(days.sessions) - 60)
    found = clock_ahead(variance, days, origins, (1, 7, 60))
    each = dates(days)
    expected = [
        [reference.clock_ahead(each, variance.tolist(), origin, step) for step in (1, 7, 60)]
        for origin in origins
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    plain = [np.log(variance[origin + 1 : origin + 61].mean()) for origin in origins]
    assert not np.allclose(found[:, 2], plain)  # the closure of September makes some read it


def test_after_a_closure_of_half_a_year_the_clock_says_as_usual():
    whole = days_of("2001-01-02", "2003-12-31").sessions
    days = Days(whole[(whole < "2002-01-01") | (whole > "2002-07-01")])
    last = int(days.origins(pd.DatetimeIndex(["2002-03-01"]))[0])
    assert days.sessions[last] == pd.Timestamp("2001-12-31")
    variance = np.full(len(days.sessions), 7.0)
    assert clock_ahead(variance, days, np.array([last]), (1, 20)).tolist() == [[0.0, 0.0]]
    assert clock_ahead(variance, days, np.array([last - 60]), (20,))[0, 0] == pytest.approx(
        np.log(7)
    )


def reports(bars: pd.DataFrame, start: int) -> np.ndarray:
    """Return the positions of reports: the first session from each 91st day on."""
    first = bars.index[start]
    due = pd.date_range(first, bars.index[-1], freq=f"{QUARTER}D")
    return np.asarray(bars.index.searchsorted(due))


@cache
def reporting(seed: int, start: int) -> pd.DataFrame:
    """Return 1,100 sessions of which each 91st day brings a wide range and much volume."""
    generator = np.random.default_rng(seed)
    returns = 0.01 * generator.standard_normal(1100)
    busy = reports(simulate_bars(1100), start)
    returns[busy] *= 5
    bars = simulate_bars(1100, seed=seed, returns=returns)
    bars.iloc[busy, bars.columns.get_loc("volume")] *= 6
    return bars


STARTS = {f"T{n}": 3 + 11 * n for n in range(6)}


@cache
def reporting_panel() -> Panel:
    return panel_of(**{name: reporting(n, at) for n, (name, at) in enumerate(STARTS.items())})


@cache
def fitted() -> FittedClock:
    return fit_panel_clock(reporting_panel())


def test_the_clock_finds_a_quarterly_burst():
    panel = reporting_panel()
    for ticker, start in STARTS.items():
        bars = panel[ticker]
        days = Days(pd.DatetimeIndex(bars.index))
        expected = fitted().variance(clock_columns(shocks(unusual(bars), None), days))
        busy = reports(bars, start)
        for at in busy[(busy > 600) & (busy < 1085)]:
            around = slice(at - 15, at + 16)
            assert np.argmax(expected[around]) == 15, (ticker, at)
            assert expected[at] > 2 * np.median(expected[around])


def test_the_regressors_count_down_to_the_burst():
    found = clock_regressors(reporting_panel(), fitted())["T1"]
    assert list(found) == [f"clock_{h}" for h in CLOCK_STEPS]
    assert np.isfinite(found.to_numpy()).all()
    busy = reports(reporting_panel()["T1"], STARTS["T1"])
    at = busy[(busy > 600) & (busy < 1085)][0]
    # One session ahead it is seen on the eve alone, five sessions ahead from five before on.
    assert found["clock_1"].iloc[at - 15 : at + 15].argmax() == 14
    assert found["clock_5"].iloc[at - 5 : at].min() > found["clock_5"].iloc[at - 8]


def test_no_bar_after_an_origin_changes_its_regressors():
    panel = reporting_panel()
    whole = clock_regressors(panel, fitted())
    for origin in (panel.sessions()[700], panel.sessions()[1050]):
        spoilt = {}
        for ticker, bars in panel.items():
            bars = bars.copy()
            bars.loc[bars.index > origin, ["open", "high", "low", "close"]] *= 3.7
            bars.loc[bars.index > origin, "volume"] *= 0.1
            spoilt[ticker] = bars
        for other in (panel.with_(bars=spoilt), panel.until(origin)):
            again = clock_regressors(other, fitted())
            for ticker in panel:
                pd.testing.assert_series_equal(again[ticker].loc[origin], whole[ticker].loc[origin])


def test_a_fitted_clock_survives_json():
    clock = fitted()
    again = FittedClock.model_validate_json(clock.model_dump_json())
    assert again == clock
    columns = clock_columns(random_shock(days := days_of("2010-01-04", "2013-03-28")), days)
    np.testing.assert_array_equal(again.variance(columns), clock.variance(columns))


def test_the_variance_is_the_exponential_of_what_the_coefficients_say():
    clock = fitted()
    [row] = clock_columns(random_shock(days := days_of("2010-01-04", "2013-03-28")), days)[-1:]
    total = clock.intercept
    for x, mean, scale, coefficient in zip(
        row, clock.mean, clock.scale, clock.coefficients, strict=True
    ):
        total += coefficient * (x - mean) / scale
    assert clock.variance(row[None])[0] == pytest.approx(np.exp(total))


def test_the_clock_learns_from_every_nth_session_of_a_ticker():
    days = days_of("2010-01-04", "2013-03-28")
    shock = random_shock(days)
    own = days.sessions[np.arange(len(days.sessions)) % 5 != 2]
    columns, size = learnt_rows(shock, days, own, 7)
    at = days.sessions.get_indexer(own)[::7]
    np.testing.assert_array_equal(columns, clock_columns(shock, days)[at])
    np.testing.assert_array_equal(size, shock["range"].reindex(days.sessions).to_numpy()[at])


def test_the_clock_learns_from_known_shocks_up_to_its_bound():
    days = days_of("2010-01-04", "2013-03-28")
    shock = random_shock(days)
    x, size = clock_columns(shock, days), shock["range"].to_numpy(copy=True)
    assert np.isnan(size).any()
    assert np.nanmax(np.exp(size)) > 10 * MAX_VARIANCE
    known = np.isfinite(size)
    bounded = np.minimum(size, np.log(MAX_VARIANCE))
    whole = fit_clock([(x, size)])
    assert fit_clock([(x[known], size[known])]) == whole
    np.testing.assert_allclose(fit_clock([(x, bounded)]).coefficients, whole.coefficients)
    halves = [(x[:400], size[:400]), (x[400:], size[400:])]
    assert fit_clock(halves) == whole
    # Poisson: what is expected is what there was, on the average.
    mean = whole.variance(x[known]).mean()
    assert mean == pytest.approx(np.exp(bounded[known]).mean(), rel=1e-3)


def test_of_many_rows_every_nth_is_learnt_from():
    assert [every_nth(rows) for rows in (1, ROWS, 2 * ROWS - 1, 2 * ROWS, 10 * ROWS)] == [
        1, 1, 1, 2, 10,
    ]  # fmt: skip


@cache
def market(tickers: int) -> Panel:
    return panel_of(**{f"M{n}": simulate_bars(120, seed=n) for n in range(tickers)})


def test_the_market_is_the_median_of_twenty_tickers():
    panel = market(MIN_POOL)
    found = median_unusual(panel)
    every = [unusual(bars) for bars in panel.values()]
    for session in found.index[[25, 70, 119]]:
        for name in ("range", "volume"):
            values = sorted(float(own[name].loc[session]) for own in every)
            expected = (values[9] + values[10]) / 2
            assert found[name].loc[session] == pytest.approx(expected, rel=1e-5)
    assert found.iloc[:20].isna().all(axis=None)
    assert median_unusual(market(MIN_POOL - 1)).isna().all(axis=None)


def test_what_moves_a_whole_panel_is_no_shock_of_its_tickers():
    panel = market(MIN_POOL)
    day = panel.sessions()[100]
    wild = {}
    for ticker, bars in panel.items():
        bars = bars.copy()
        bars.loc[day, "high"] *= 1.1
        bars.loc[day, "low"] /= 1.1
        bars.loc[day, "volume"] *= 8
        wild[ticker] = bars
    moved = panel.with_(bars=wild)
    own = unusual(wild["M3"])
    assert (own.loc[day] > [3, 1.5]).all()
    assert (shocks(own, median_unusual(moved)).loc[day].abs() < 1).all()
    assert (shocks(own, None).loc[day] == own.loc[day]).all()


@pytest.mark.parametrize("tickers", [1, MIN_POOL])
def test_a_ticker_that_lacks_sessions_has_regressors_on_all_that_it_has(tickers: int):
    whole = market(tickers)
    kept = np.random.default_rng(4).random(120) > 0.3
    panel = whole.with_(bars={**whole, "M0": whole["M0"][kept]})
    found = clock_regressors(panel, random_clock())
    pd.testing.assert_index_equal(found["M0"].index, panel["M0"].index)
    for columns in found.values():
        assert np.isfinite(columns.to_numpy()).all()


def test_a_ticker_alone_is_counted_from_nothing_and_one_of_a_panel_from_its_median():
    bars, clock = reporting(0, 3), random_clock()
    alone = clock_regressors(panel_of(A=bars), clock)["A"]
    few = clock_regressors(reporting_panel(), clock)["T0"]
    pd.testing.assert_frame_equal(alone, few)
    others = {f"M{n}": simulate_bars(1100, seed=n) for n in range(MIN_POOL)}
    many = clock_regressors(panel_of(A=bars, **others), clock)["A"]
    assert not np.allclose(many, alone)


def test_a_ticker_without_a_calendar_reads_its_own_weekdays():
    bars = simulate_bars(300)
    assert clock_regressors(Panel({"A": bars}, {}), random_clock())["A"].shape == (300, 4)
