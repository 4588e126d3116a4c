"""The columns of the panel network: causal, free of scale, and known where they can be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import reference
from panel_cases import (
    PRICES,
    REACTION,
    bars_of,
    clocks,
    columns_of,
    panel,
    series,
    spoilt_after,
)
from simulate import panel_of, simulate_bars

from lstmcli.forecasters.filtered_simulation import MIN_POOL
from lstmcli.forecasters.panel_network.columns import Columns
from lstmcli.forecasters.panel_network.modes import (
    COLUMNS,
    DATES_BEHIND,
    FLAGS,
    INPUTS,
    MODES,
    Mode,
    clock_of,
    har_ridge_columns,
    masked_inputs,
    network_columns,
    own_columns,
    ridge_columns,
)
from lstmcli.forecasters.panel_network.state import Stretch
from lstmcli.forecasters.panel_network.ticker_columns import GROUPS
from lstmcli.forecasters.volatility.clock import clock_columns
from lstmcli.forecasters.volatility.regressors import LONG_WARM_UP
from lstmcli.panel import MarketSeries, Panel

MODE_OF = {
    (20, True): 8,
    (20, False): 9,
    (5, True): 10,
    (1, True): 10,
    (5, False): 11,
    (1, False): 11,
}
"""From tickers and whether there are market series to the number of the mode."""


def at(name: str) -> int:
    return COLUMNS.index(name)


@pytest.mark.parametrize(("tickers", "market"), MODE_OF)
def test_the_mode_follows_from_the_tickers_and_the_market_series(tickers: int, market: bool):
    found = columns_of(panel(tickers, market=market))
    expected = MODE_OF[tickers, market]
    assert set(found.modes()[found.known]) == {expected}
    assert MODES[expected] == Mode(tickers >= MIN_POOL, market, 0)
    [number] = set(found.groups()[found.known])
    for mode in MODES:
        served = mode.panel <= (tickers >= MIN_POOL) and mode.market <= market and not mode.dates
        assert GROUPS[number].knows(mode) == served


@pytest.mark.parametrize("dates", [False, True])
@pytest.mark.parametrize(("tickers", "market"), [(20, True), (20, False), (2, True), (1, False)])
def test_no_digit_of_a_row_changes_with_what_comes_after_it(
    tickers: int, market: bool, dates: bool
):
    given = panel(tickers, market=market, dates=dates)
    whole = columns_of(given)
    for number in (450, 690):
        session = given.sessions()[number]
        for other in (spoilt_after(given, session), given.until(session)):
            found = columns_of(other)
            for name in ("values", "known", "panel", "market", "dates", "dates_soon"):
                here = slice(0, number + 1)
                np.testing.assert_array_equal(
                    getattr(found, name)[here], getattr(whole, name)[here]
                )
            if len(found.values) > number + 1:
                changed = (found.values[number + 1 :] != whole.values[number + 1 :]).any(axis=0)
                assert changed[at("variance_1")]
                assert changed[at("vix_change_1")] or not market


def test_a_ticker_that_ends_changes_no_earlier_row():
    given = panel(20)
    session = given.sessions()[500]
    ended = given.with_(bars={**given, "T05": given["T05"].loc[:session]})
    found, whole = columns_of(ended), columns_of(given)
    np.testing.assert_array_equal(found.values[:501], whole.values[:501])
    assert found.panel[:501][whole.known[:501]].all()
    assert not found.panel[501:].any()  # 19 are left


def test_ten_times_the_prices_change_nothing():
    given = panel(20)
    dearer = {
        ticker: bars.assign(**{name: 10 * bars[name] for name in PRICES})
        for ticker, bars in given.items()
    }
    found, whole = columns_of(given.with_(bars=dearer)), columns_of(given)
    np.testing.assert_allclose(found.values, whole.values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["vix", "index"])
def test_a_series_that_lacks_a_session_is_not_known_on_it_alone(name: str):
    given = panel(1)
    session = given.sessions()[400]
    each = given.market[name]
    lacking = replace(each, bars=each.bars.drop(session))
    found = columns_of(given.with_(market={**given.market, name: lacking}))
    assert found.known[LONG_WARM_UP:].all()
    assert np.flatnonzero(~found.market[LONG_WARM_UP:]).tolist() == [400 - LONG_WARM_UP]
    assert found.modes()[399:402].tolist() == [10, 11, 10]


@pytest.mark.parametrize("name", ["vix", "index"])
def test_one_series_of_two_is_no_market(name: str):
    given = panel(1)
    found = columns_of(given.with_(market={name: given.market[name]}))
    assert not found.market.any()
    assert found.known[LONG_WARM_UP:].all()


def test_tickers_of_two_exchanges_have_their_own_market():
    """London closes before New York: it knows the volatility index of the day before."""
    given = panel(20)
    both = given.with_(calendars={**given.calendars, "T00": "XLON", "T01": "XLON"})
    session = given.sessions()[600]
    columns, spoilt = Columns(both), Columns(spoilt_after(both, given.sessions()[599]))
    for ticker, changes in (("T00", False), ("T05", True)):
        before, after = (
            columns.of(ticker, clocks(), REACTION),
            spoilt.of(ticker, clocks(), REACTION),
        )
        row = before.sessions.get_loc(session)
        name = at("vix_change_1")
        assert (before.values[row, name] != after.values[row, name]) == changes
        assert not before.panel.any()  # two of London, eighteen of New York
    vix = both.market["vix"].bars["close"]
    expected = np.log(vix).diff().shift(1) * 2
    found = columns.of("T00", clocks(), REACTION)
    rows = np.flatnonzero(np.isfinite(found.values[:, at("vix_change_1")]))
    # Where a holiday of one exchange lies between, the day before is another.
    same = np.isclose(found.values[rows, at("vix_change_1")], expected.iloc[rows], atol=1e-5)
    assert same.mean() > 0.9


@pytest.mark.parametrize("sessions", [0, 1, 20, 100, 101, 300])
def test_a_short_history_inside_a_panel_is_known_from_its_101st_bar_on(sessions: int):
    given = panel(21)
    short = given["T00"].iloc[len(given["T00"]) - sessions :]
    found = columns_of(given.with_(bars={**given, "T00": short}), "T00")
    assert found.values.shape == (sessions, len(COLUMNS))
    assert found.known.sum() == max(sessions - LONG_WARM_UP, 0)
    assert found.panel[found.known].all()


@pytest.mark.parametrize("tickers", [30, 40])
def test_a_session_without_half_of_the_panel_is_one_of_few_tickers(tickers: int):
    given = panel(tickers)
    session = given.sessions()[500]
    bars = {
        ticker: rows.drop(session) if number % 2 else rows
        for number, (ticker, rows) in enumerate(given.items())
    }
    found = columns_of(given.with_(bars=bars))
    expected = [True, tickers // 2 >= MIN_POOL, True]
    assert found.panel[499:502].tolist() == expected
    assert found.known[499:502].all()
    means = found.values[500, at("mean_variance_1")]
    assert np.isfinite(means) == expected[1]


def test_the_means_are_those_of_a_plain_loop():
    given = panel(20)
    columns = Columns(given)
    every = {ticker: columns.of(ticker, clocks(), REACTION) for ticker in given}
    for name in ("variance_22", "fall_5", "size_1"):
        expected = reference.mean_of([float(own.values[450, at(name)]) for own in every.values()])
        for own in every.values():
            assert own.values[450, at(f"mean_{name}")] == pytest.approx(expected, rel=1e-4)


def test_a_price_that_does_not_move_for_a_year_gives_finite_columns():
    still = bars_of(0).copy()
    still.loc[still.index[200:460], PRICES] = still["close"].iloc[200]
    still.loc[still.index[200:460], "volume"] = 0.0
    found = columns_of(panel(1).with_(bars={"T00": still}))
    assert found.known[LONG_WARM_UP:].all()
    alone = [mode for mode in MODES if not mode.panel and not mode.dates]
    read = sorted({column for mode in alone for column in ridge_columns(mode)})
    assert np.isfinite(found.values[300:, read]).all()


def test_before_a_volatility_index_there_is_no_market():
    bars = simulate_bars(700, last="1992-06-30")
    vix = {name: replace(each, bars=each.bars.loc["1990-01-02":]) for name, each in
           series(700, "1992-06-30").items()}  # fmt: skip
    found = columns_of(panel_of(A=bars).with_(market=vix))
    assert found.known[LONG_WARM_UP:].all()
    early = found.sessions < "1990-01-02"
    assert early.sum() > 50
    assert not found.market[early].any()
    assert found.market[-300:].all()


def test_a_ticker_without_a_calendar_reads_its_own_weekdays():
    given = Panel({"A": bars_of(0)}, {}, market=series())
    found = columns_of(given)
    assert found.known[LONG_WARM_UP:].all()


def plain(bars: pd.DataFrame) -> list[dict[str, float]]:
    return bars.to_dict("records")


def test_a_tickers_own_columns_are_those_of_a_plain_loop():
    frame = bars_of(3).copy()
    frame.loc[frame.index[333], "dividend"] = 0.7
    found = columns_of(panel_of(A=frame)).values
    bars = plain(frame)
    for t in (400, 650):
        expected = reference.panel_columns(bars[: t + 1])
        for name, value in expected.items():
            assert found[t, at(name)] == pytest.approx(value, rel=1e-4, abs=1e-4), (t, name)


def test_the_clocks_columns_are_those_of_a_plain_loop():
    given = panel(2)
    columns, clock = Columns(given), clocks()["own"]
    days, shock = columns.days("T00"), columns.shocks("T00")["own"]
    each = np.log(clock.variance(clock_columns(shock, days)))
    found = columns.of("T00", clocks(), REACTION)
    for t in (150, 699):
        here = list(days.sessions).index(found.sessions[t])
        ahead = [float(each[here + h]) for h in range(1, 21)]
        expected = {f"ahead_{h}": ahead[h - 1] for h in range(1, 6)}
        expected["ahead_6_10"] = max(ahead[5:10])
        expected["ahead_11_20"] = max(ahead[10:])
        expected["past_6"] = max(float(each[here - k]) for k in range(6))
        expected |= {
            f"clock_{h}": np.log(reference.mean_of([np.exp(w) for w in ahead[:h]]))
            for h in (1, 5, 10, 20)
        }
        expected |= {f"shock_{name}": shock[name].iloc[t] for name in ("range", "volume")}
        for name, value in expected.items():
            assert found.values[t, at(f"own_{name}")] == pytest.approx(value, rel=1e-4), (t, name)


def test_the_calendar_is_that_of_the_next_session():
    found = columns_of(panel(1))
    rows = {day: row for row, day in enumerate(found.sessions.strftime("%Y-%m-%d"))}
    for day, to_next, friday in (
        ("2016-11-23", 2, 0),  # the eve of Thanksgiving
        ("2016-11-25", 3, 1),
        ("2016-11-28", 1, 0),
        ("2016-09-02", 4, 1),  # Labor Day follows
    ):
        row = found.values[rows[day]]
        assert (row[at("days_to_next")], row[at("friday")]) == (to_next, friday)
    row, phase = found.values[rows["2016-11-25"]], 2 * np.pi * 55 / 91.3
    assert row[at("sin_2")] == pytest.approx(np.sin(2 * phase), abs=1e-5)
    assert row[at("cos_3")] == pytest.approx(np.cos(3 * phase), abs=1e-5)


def test_a_mode_reads_nothing_that_it_lacks():
    for mode in MODES:
        names = {COLUMNS[n] for n in (*ridge_columns(mode), *har_ridge_columns(mode))}
        names |= {COLUMNS[n] for n, gone in zip(network_columns(mode), masked_inputs(mode),
                                                strict=True) if not gone}  # fmt: skip
        assert any(name.startswith("mean_") for name in names) == mode.panel
        assert any(name.startswith(("vix", "index_variance")) for name in names) == mode.market
        kinds = {name.split("_")[0] for name in names if "_clock_" in name}
        assert kinds == {clock_of(mode)}
        about = {name for name in names if name.startswith("date_")}
        assert bool(about) == bool(mode.dates)
        assert about <= {*DATES_BEHIND} or mode.dates == 20
        assert own_columns(mode, (1, 2, 40)) == (
            [at("date_1"), at("date_2"), at("date_20")] if mode.dates == 20 else []
        )
        assert len(network_columns(mode)) + FLAGS == INPUTS
    places = [[COLUMNS[n].split("_", 1)[-1] for n in network_columns(mode)] for mode in MODES]
    assert all(place == places[0] for place in places)


def test_a_market_series_of_another_name_is_not_read():
    given = panel(1)
    other = {"rates": MarketSeries("^TNX", given.market["vix"].bars, "XNYS")}
    assert not columns_of(given.with_(market=other)).market.any()


def test_a_mode_learns_from_sessions_that_know_what_it_reads():
    """That no report comes soon is learnt where all dates are known, too: hidden beyond five."""
    for group in GROUPS:
        learns = {mode for mode in MODES if group.knows(mode)}
        assert {mode.dates for mode in learns} == {
            0,
            *({20} if group.dates == 20 else ()),
            *({5} if group.dates_soon == 5 else ()),
        }
        assert {mode.panel for mode in learns} == {False, group.panel}
        assert {mode.market for mode in learns} == {False, group.market}


def test_the_group_of_a_session_is_what_it_knows():
    found = columns_of(panel(20, dates=True))
    for t in (150, 360, 365, 400, 520):
        assert GROUPS[found.groups()[t]] == (
            *(found.dates[t], found.dates_soon[t]),
            *(found.panel[t], found.market[t]),
        )
    assert {*found.dates} == {0, 20}
    assert {*found.dates_soon} == {0, 5, 20}


def test_a_mode_that_was_not_trained_is_served_by_one_that_reads_no_more():
    """Where all dates are known, nothing says that no report comes within five sessions."""
    trained = dict.fromkeys((Mode(False, True, 5), Mode(False, True, 0), Mode(False, False, 0)))
    stretch = Stretch(trained, trained, ())
    assert stretch.served(Mode(True, True, 20)) == Mode(False, True, 0)
    assert stretch.served(Mode(True, True, 5)) == Mode(False, True, 5)
    assert stretch.served(Mode(True, False, 5)) == Mode(False, False, 0)
