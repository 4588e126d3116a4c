"""Announcements of results: which were known on a day, and what a forecast reads of them."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from panel_cases import bars_of, panel, quarterly
from simulate import panel_of, simulate_bars

from lstmcli.features.announcements import announcements_at, known_spans, next_announcement
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.forecasters.volatility.announcements import (
    AHEAD,
    QUIET_DAYS,
    SOON,
    Reaction,
    dates_of,
    fit_panel_reaction,
)
from lstmcli.forecasters.volatility.clock import Days
from lstmcli.forecasters.volatility.regressors import unusual
from lstmcli.frames import EARNINGS, EARNINGS_SOURCES, EVENT_COLUMNS
from lstmcli.windows import calendar_days

START = date(2024, 1, 1)
REACTION = Reaction(first=1.0, second=0.5)


def events(*rows: tuple) -> pd.DataFrame:
    """Return statements: (session, known_on, status, source, timing), the last three as wanted."""
    usual = ("2024-01-01", "2024-01-01", "expected", "yahoo", "unknown")
    full = [(*row, *usual[len(row) :]) for row in rows]
    table = pd.DataFrame(full, columns=["session", "known_on", "status", "source", "timing"])
    dates = {name: pd.to_datetime(table[name]).astype("datetime64[ns]")
             for name in ("session", "known_on")}  # fmt: skip
    table = table.assign(**dates, ticker="MRK", kind=EARNINGS, amount=np.nan)
    return table[list(EVENT_COLUMNS)]


STATEMENTS = st.lists(
    st.fixed_dictionaries(
        {
            "session": st.integers(0, 120).map(lambda n: START + timedelta(n)),
            "known_on": st.integers(0, 120).map(lambda n: START + timedelta(n)),
            "status": st.sampled_from(["expected", "confirmed", "reported", "withdrawn"]),
            "source": st.sampled_from(EARNINGS_SOURCES),
        }
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(STATEMENTS)
def test_what_is_known_on_a_day_is_that_of_a_plain_loop(statements: list[dict]):
    table = events(*((s["session"], s["known_on"], s["status"], s["source"]) for s in statements))
    spans = known_spans(table)
    assert (spans["since"] < spans["until"]).all()
    for days in (0, 30, 60, 119):
        day = START + timedelta(days)
        expected = reference.known_reports(statements, day, EARNINGS_SOURCES)
        found = announcements_at(table, pd.Timestamp(day))
        assert sorted((a.session.date(), a.status, a.source) for a in found) == sorted(
            (each["session"], each["status"], each["source"]) for each in expected
        )


def test_a_date_that_moves_is_known_as_it_was_on_each_day():
    table = events(
        ("2024-04-25", "2024-03-01"),
        ("2024-04-25", "2024-04-10", "withdrawn"),
        ("2024-04-30", "2024-04-10", "confirmed", "yahoo", "after"),
        ("2024-04-30", "2024-05-02", "reported", "yahoo", "after"),
    )
    for day, session, status in (
        ("2024-02-29", None, None),
        ("2024-03-01", "2024-04-25", "expected"),
        ("2024-04-09", "2024-04-25", "expected"),
        ("2024-04-10", "2024-04-30", "confirmed"),
        ("2024-04-30", None, None),
    ):
        found = next_announcement(table, pd.Timestamp(day))
        assert (found and f"{found.session:%Y-%m-%d}") == session
        assert (found and found.status) == status
    back = events(
        ("2024-04-25", "2024-03-01"),
        ("2024-04-25", "2024-03-20", "withdrawn"),
        ("2024-04-25", "2024-04-02", "confirmed"),
        ("2024-04-25", "2024-04-25", "reported"),
    )
    for day, since in (("2024-03-05", "2024-03-01"), ("2024-04-25", "2024-04-02")):
        [found] = announcements_at(back, pd.Timestamp(day))
        assert f"{found.known_on:%Y-%m-%d}" == since
    last = announcements_at(table, pd.Timestamp("2024-05-02"))
    assert [(each.status, f"{each.known_on:%Y-%m-%d}") for each in last] == [
        ("reported", "2024-04-10")
    ]


def test_a_source_that_stands_first_hides_the_same_report_of_another_while_it_speaks():
    table = events(
        ("2024-04-25", "2024-03-01", "expected", "yahoo"),
        ("2024-05-02", "2024-03-10", "confirmed", "user"),
        ("2024-05-02", "2024-04-01", "withdrawn", "user"),
    )
    found = {
        day: [f"{each.session:%m-%d}" for each in announcements_at(table, pd.Timestamp(day))]
        for day in ("2024-03-05", "2024-03-10", "2024-03-31", "2024-04-01")
    }
    assert list(found.values()) == [["04-25"], ["05-02"], ["05-02"], ["04-25"]]
    assert len(known_spans(table)) == 3


@pytest.mark.parametrize(("days", "reports"), [(30, 1), (31, 2)])
def test_two_sources_mean_one_report_within_thirty_days(days: int, reports: int):
    other = pd.Timestamp("2024-04-01") + pd.Timedelta(days, "D")
    table = events(
        ("2024-04-01", "2024-03-01", "expected", "yahoo"), (other, "2024-03-01", "expected", "sec")
    )
    assert len(announcements_at(table, pd.Timestamp("2024-03-05"))) == reports


SESSIONS = bars_of(0).index
SIZE = unusual(bars_of(0))["range"]
DAYS = Days(calendar_days(panel(1).view("T00"), 20))


def random_events(seed: int, timing: str = "unknown") -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    at = np.cumsum(generator.integers(50, 75, 12))
    at = at[at < len(SESSIONS)]
    known = np.maximum(at - generator.integers(1, 70, len(at)), 0)
    return events(
        *(
            (SESSIONS[s], SESSIONS[k], "confirmed", "yahoo", timing)
            for s, k in zip(at, known, strict=True)
        )
    )


@pytest.mark.parametrize("timing", ["unknown", "after", "before", "during"])
def test_the_columns_are_those_of_a_plain_loop(timing: str):
    table = random_events(3, timing)
    found = dates_of(table, DAYS, SIZE, REACTION)
    days = list(DAYS.sessions)
    sessions = table["session"].map(days.index).tolist()
    reports = [s - (timing == "after") for s in sessions]
    known_on = table["known_on"].tolist()
    ends = [SESSIONS.get_loc(day) for day in table["session"]]
    for t in (120, 301, 420, 555, 690, *(t for end in ends[2:5] for t in range(end - 6, end + 8))):
        here = days.index(SESSIONS[t])
        known = [r for r, k in zip(reports, known_on, strict=True) if k <= SESSIONS[t]]
        sizes = {}
        for later, prior in ((0, 1.0), (1, 0.5)):
            past = [r + later for r in known if here - 500 < r + later <= here]
            past = [float(SIZE.iloc[p]) for p in past if np.isfinite(SIZE.iloc[p])]
            sizes[later] = reference.reaction_of(past, prior)
        moves = {}
        for r in known:
            if timing != "after":
                moves[r] = sizes[0]
            if timing in ("after", "unknown"):
                moves[r + 1] = sizes[1]
        w = [moves.get(here + k, 0.0) for k in range(-5, 21)]
        expected = {
            f"date_{h}": np.log(reference.mean_of([np.exp(each) for each in w[6 : 6 + h]]))
            for h in range(1, 21)
        }
        expected |= {f"date_ahead_{h}": w[5 + h] for h in range(1, 6)}
        expected |= {"date_ahead_6_10": max(w[11:16]), "date_ahead_11_20": max(w[16:])}
        expected |= {"date_today": w[5], "date_past_6": max(w[:6])}
        passed = [here - r for r in known if r <= here]
        expected["date_since"] = np.log1p(min([130, *passed]))
        if found.ahead[t]:
            for name, value in expected.items():
                assert found.columns[name][t] == pytest.approx(value, abs=1e-9), (t, name)


def test_a_ticker_reacts_as_in_its_last_500_sessions():
    reports = range(63, 700, 63)
    table = events(*((SESSIONS[r], SESSIONS[r - 60]) for r in reports))
    found = dates_of(table, DAYS, SIZE, REACTION)
    eve = reports[-1] - 1
    remembered = [float(SIZE.iloc[r]) for r in reports if eve - 500 < r <= eve]
    assert 0 < len(remembered) < len(reports) - 1  # some are older
    expected = reference.reaction_of(remembered, REACTION.first)
    assert found.columns["date_1"][eve] == pytest.approx(expected, abs=1e-9)


def test_how_much_is_known_follows_from_the_dates_and_the_source():
    """Of past dates one is due within a quarter; of what an evening stored it is not said."""
    report, later = SESSIONS[300], SESSIONS[363]
    for source, between in (("sec_past", SOON), ("yahoo", 0)):
        table = events(
            (report, SESSIONS[295], "reported", source), (later, SESSIONS[358], "reported", source)
        )
        found = dates_of(table, DAYS, SIZE, REACTION).ahead
        quiet = SESSIONS.searchsorted(report + pd.Timedelta(QUIET_DAYS, "D"), side="right")
        assert set(found[:295]) == {0}
        assert set(found[295:quiet]) == {AHEAD}
        assert set(found[quiet:358]) == {between}
        assert set(found[358:380]) == {AHEAD}
        assert set(found[-200:]) == {0}


def test_dates_known_later_than_five_sessions_ahead_are_not_known_before():
    table = events((SESSIONS[300], SESSIONS[240]), (SESSIONS[363], SESSIONS[300]))
    found = dates_of(table, DAYS, SIZE, REACTION)
    assert set(found.ahead[240:363]) == {AHEAD}
    assert set(found.ahead_soon[240:295]) == {0}
    assert set(found.ahead_soon[295:325]) == {AHEAD}
    assert set(found.ahead_soon[335:358]) == {SOON}


def test_a_date_outside_the_bars_is_no_trouble():
    far = pd.Timestamp("2031-01-02")
    for session in ("1999-01-04", far, SESSIONS[0], SESSIONS[-1], DAYS.sessions[-1]):
        found = dates_of(events((session, SESSIONS[-1])), DAYS, SIZE, REACTION)
        assert all(len(column) == len(SESSIONS) for column in found.columns.values())
    assert dates_of(events((DAYS.sessions[-1], SESSIONS[-1])), DAYS, SIZE, REACTION).ahead[-1]
    assert not dates_of(events((far, SESSIONS[-1])), DAYS, SIZE, REACTION).ahead.any()
    assert not dates_of(events(("1999-01-04", "1998-12-01")), DAYS, SIZE, REACTION).ahead.any()
    none = dates_of(events(), DAYS, SIZE, REACTION)
    assert not none.ahead.any()
    assert np.isnan(none.columns["date_1"]).all()


def reporting(tickers: int = 3, sessions: int = 2000):
    """Return tickers whose volatility is six times as large on the day after each report."""
    generator = np.random.default_rng(6)
    bars = {}
    for number in range(tickers):
        volatility = np.full(sessions, 0.01)
        volatility[np.arange(63 + 7 * number, sessions, 63)] = 0.06
        returns = volatility * generator.standard_normal(sessions)
        bars[f"T{number:02d}"] = simulate_bars(sessions, returns=returns, seed=number)
    found = panel_of(**bars)
    rows = [
        quarterly(found).iloc[:0],
        *(
            pd.DataFrame(
                {
                    **dict.fromkeys(EVENT_COLUMNS),
                    "ticker": ticker,
                    "kind": EARNINGS,
                    "session": own.index[np.arange(63 + 7 * number, sessions, 63) - 1],
                    "known_on": own.index[np.arange(63 + 7 * number, sessions, 63) - 21],
                    "timing": "unknown",
                    "status": "reported",
                    "amount": np.nan,
                    "source": "sec_past",
                }
            )
            for number, (ticker, own) in enumerate(found.items())
        ),
    ]
    return found.with_(events=pd.concat(rows[1:], ignore_index=True))


def test_the_ridge_with_dates_knows_the_session_that_moves():
    """The report comes on the day before: the session after it is the one that moves."""
    given = reporting()
    until = given.sessions()[1499]
    reaction = fit_panel_reaction(given.until(until))
    assert reaction.second > 2 > 1 > reaction.first
    dated, blind = (
        BASELINES[name](5).fit(given, until).sigma(given)["T00"]
        for name in ("har_ridge_dates", "har_ridge_clock")
    )
    moves = np.arange(63 * 25, 2000, 63)  # after the fit
    usual = np.setdiff1d(np.arange(1500, 1990), np.concatenate([moves - k for k in range(1, 9)]))
    assert dated[moves - 1, 0].mean() > 2.5 * dated[usual, 0].mean()
    assert dated[moves - 1, 0].mean() > 1.5 * blind[moves - 1, 0].mean()
    # Two sessions before, the second session ahead is the one, not the first.
    assert dated[moves - 2, 0].mean() < 1.3 * dated[usual, 0].mean()
    assert dated[moves - 2, 1].mean() > 1.8 * dated[usual, 1].mean()


def test_without_dates_the_ridge_with_dates_is_that_with_the_clock():
    given = reporting().with_(events=events().iloc[:0])
    until = given.sessions()[1499]
    one, other = (
        BASELINES[name](5).fit(given, until).sigma(given)["T00"]
        for name in ("har_ridge_dates", "har_ridge_clock")
    )
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_no_digit_of_the_ridge_with_dates_changes_with_what_becomes_known_later():
    given = reporting()
    until, origin = given.sessions()[1499], given.sessions()[1700]
    fitted = BASELINES["har_ridge_dates"](5).fit(given, until)
    row = given["T00"].index.get_loc(origin)
    later = given.events["known_on"] > origin
    assert later.any()
    moved = given.events["session"].where(~later, given.events["session"] - pd.Timedelta(9, "D"))
    for other in (given.events[~later], given.events.assign(session=moved)):
        found = fitted.sigma(given.with_(events=other))["T00"][row]
        np.testing.assert_array_equal(found, fitted.sigma(given)["T00"][row])
