from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from simulate import events_of, simulate_bars

from lstmcli.errors import NoDataError
from lstmcli.panel import MarketSeries, Panel
from lstmcli.sessions import sessions_between

LAST = pd.Timestamp("2016-12-30")


def vix(*, last: str = "2016-12-30") -> MarketSeries:
    return MarketSeries("^VIX", simulate_bars(300, seed=9, last=last), "XNYS")


def events(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Return statements: ticker, session, known_on."""
    return events_of("user:trial", *((*row, "expected") for row in rows))


def panel(**parts: object) -> Panel:
    bars = {"A": simulate_bars(300, seed=1), "B": simulate_bars(200, seed=2)}
    whole = Panel(bars, dict.fromkeys(bars, "XNYS"), {"vix": vix()})
    return whole.with_(**parts)


def london(sessions: int = 60) -> pd.DataFrame:
    """Return bars on the sessions of London up to the last one of 2016."""
    index = sessions_between(
        "XLON", LAST - pd.Timedelta(200, "D"), LAST, observed=pd.DatetimeIndex([])
    )[-sessions:]
    return simulate_bars(sessions).set_index(pd.DatetimeIndex(index, name="session"))


def test_until_cuts_bars_market_and_events():
    rows = events(("A", "2016-12-01", "2016-10-03"), ("A", "2016-12-02", "2016-10-04"))
    day = pd.Timestamp("2016-10-03")
    past = panel(events=rows).until(day)
    assert past["A"].index[-1] == past["B"].index[-1] == day
    assert past.market["vix"].sessions[-1] == day
    assert past.events["session"].tolist() == [pd.Timestamp("2016-12-01")]


def test_until_leaves_a_market_that_has_not_closed_out():
    bars = london()
    day = pd.Timestamp("2016-12-14")
    alone = Panel({"L": bars}, {"L": "XLON"}, {"vix": vix()})
    assert alone.until(day).market["vix"].sessions[-1] == pd.Timestamp("2016-12-13")
    # A ticker in New York has seen the session of the day.
    both = alone.with_(
        bars={"L": bars, "A": simulate_bars(300)}, calendars={"L": "XLON", "A": "XNYS"}
    )
    assert both.until(day).market["vix"].sessions[-1] == day


def test_only_keeps_the_market_and_its_own_events():
    rows = events(("A", "2016-12-01", "2016-10-03"), ("B", "2016-12-02", "2016-10-03"))
    some = panel(events=rows).only(["B"])
    assert list(some) == ["B"]
    assert list(some.market) == ["vix"]
    assert some.events["ticker"].tolist() == ["B"]


def test_events_of_some_tickers_stand_in_the_order_in_which_they_were_stated():
    days = ("B", "A", "B", "A")
    rows = events(*((ticker, f"2016-12-{n:02d}", "2016-10-03") for n, ticker in enumerate(days, 1)))
    whole = panel(events=rows)
    pd.testing.assert_frame_equal(whole.only(["B", "A"]).events, rows)
    pd.testing.assert_frame_equal(whole.view("A").events("user:trial"), rows.iloc[[1, 3]])
    assert whole.view("A").events("earnings").empty
    assert panel().view("A").events("user:trial").empty


def test_a_narrow_panel_forecasts_some_and_reads_the_others_beside():
    rows = events(("A", "2016-12-01", "2016-10-03"), ("B", "2016-12-02", "2016-10-03"))
    whole = panel(events=rows)
    some = whole.narrow(["B"])
    assert (list(some), list(some.beside)) == (["B"], ["A"])
    assert list(some.events["ticker"]) == ["A", "B"]
    assert some.beside["A"] is whole["A"]
    assert some.sessions().equals(whole["B"].index)
    day = pd.Timestamp("2016-10-03")
    assert some.until(day).beside["A"].index[-1] == day
    assert some.since(day).beside["A"].index[0] == day
    assert some.only(["B"]).beside == {}
    assert list(some.narrow([]).beside) == ["A", "B"]


def test_peers_are_those_that_close_when_the_ticker_does():
    bars = {"A": simulate_bars(300), "L": london(), "B": simulate_bars(300, seed=1)}
    both = Panel(bars, {"A": "XNYS", "L": "XLON", "B": "XNYS"})
    for of in (both, both.narrow(["A", "L"])):
        assert list(of.peers("A")) == list(of.peers("B")) == ["A", "B"]
        assert list(of.peers("L")) == ["L"]
    found = both.narrow(["B"]).peers("B")
    assert (found["A"] is bars["A"], found.beside) == (True, {})


def test_since_keeps_the_market_whole():
    later = panel().since(pd.Timestamp("2016-06-01"))
    assert later["A"].index[0] == pd.Timestamp("2016-06-01")
    assert len(later.market["vix"].bars) == 300


def test_a_view_sees_the_market_session_that_had_closed():
    close = vix().bars["close"]
    seen = Panel({"A": simulate_bars(100)}, {"A": "XNYS"}, {"vix": vix()}).view("A")
    found = seen.at_close("vix", close)
    pd.testing.assert_series_equal(found, close.iloc[-100:], check_names=False)
    abroad = Panel({"L": london()}, {"L": "XLON"}, {"vix": vix()}).view("L")
    at_london = abroad.at_close("vix", close)
    # London closes hours before New York: it has seen the session before.
    assert at_london["2016-12-14"] == close["2016-12-13"]
    assert at_london["2016-12-12"] == close["2016-12-09"]


def test_a_hole_in_the_market_is_no_number():
    series = vix()
    hole = pd.Timestamp("2016-12-14")
    holed = MarketSeries("^VIX", series.bars.drop(hole), "XNYS")
    view = Panel({"A": simulate_bars(100)}, {"A": "XNYS"}, {"vix": holed}).view("A")
    found = view.at_close("vix", holed.bars["close"])
    assert np.isnan(found[hole])
    assert found.drop(hole).notna().all()


def test_a_stale_market_is_no_number():
    view = Panel({"A": simulate_bars(100)}, {"A": "XNYS"}, {"vix": vix(last="2016-12-28")}).view(
        "A"
    )
    found = view.at_close("vix", view.market("vix")["close"])
    assert found.isna().tolist() == [False] * 98 + [True] * 2


def test_a_market_series_that_is_not_there_is_named():
    with pytest.raises(NoDataError, match="A: Expected the market series rate") as error:
        panel().view("A").market("rate")
    assert "market: {rate:" in str(error.value.hint)


def test_equal_panels_have_equal_hashes_and_every_part_counts():
    one = panel()
    assert one.sha256 == panel().sha256
    dearer = one["A"].copy()
    dearer.iloc[5, 0] += 1e-9
    others = [
        one.with_(bars={**one.bars, "A": dearer}),
        one.with_(calendars={**one.calendars, "A": "XLON"}),
        one.with_(market={"vix": vix(last="2016-12-29")}),
        one.with_(market={"index": vix()}),
        one.with_(events=events(("A", "2016-12-01", "2016-10-03"))),
        one.only(["A"]),
        one.narrow(["A"]),
    ]
    assert len({one.sha256, *(other.sha256 for other in others)}) == 8
