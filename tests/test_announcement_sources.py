"""Announcement dates: asked of Yahoo and the SEC with their real clients, on loopback."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import evenings
import pandas as pd
import pytest
from command import LSTM, Lstm, hinted
from yahoo_announcements import HEAD, NO_TABLE, quarters, submissions, table_page
from yahoo_server import Fault, Listing, YahooServer, traded

from lstmcli.features.announcements import next_announcement
from lstmcli.frames import EARNINGS, EX_DIVIDEND
from lstmcli.sources import YahooSource
from lstmcli.store import Workspace

EVENING = datetime(2024, 3, 8, 23, 0, tzinfo=UTC)  # a Friday
EXPECTED = {"2024-02-02": "expected 2024-04-23 2024-04-27"}
CONFIRMED = {"2024-02-02": "confirmed 2024-04-25 8 AM"}
PAST = quarters("2024-02-01")


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return traded("2022-01-03", 700, seed=1)


@pytest.fixture
def mrk(yahoo: YahooServer, bars: pd.DataFrame, empty: Path) -> Listing:
    """Return a share whose next date is confirmed, on an evening with Yahoo at hand."""
    yahoo.move_clock(EVENING)
    listing = yahoo.listings["MRK"] = Listing(bars, announcements=[CONFIRMED, *PAST])
    return listing


def stated(workspace: Path, kind: str = EARNINGS, source: str = "yahoo") -> list[tuple[str, ...]]:
    """Return the statements of a source: session, timing, status and since when known."""
    store = Workspace(workspace).events
    events = store.read(kind) if kind in store.kinds() else pd.DataFrame({"source": []})
    return [
        (f"{row.session:%m-%d}", row.timing, row.status, f"{row.known_on:%m-%d}")
        for row in events[events["source"] == source].itertuples()
    ]


def next_date(lstm: Lstm) -> tuple[str, str, str, str] | None:
    """Return the next announcement of MRK as `lstm events` tells it."""
    (answer,) = json.loads(lstm("events", "MRK", "--json").out)["announcements"]
    found = answer["next"]
    return found and (found["day"], found["session"], found["timing"], found["status"])


def later(yahoo: YahooServer, day: str) -> None:
    yahoo.move_clock(datetime.fromisoformat(f"{day}T23:00+00:00"))


def fetch_is_sound(lstm: Lstm, *words: str) -> str:
    """Fetch, which has to succeed, and return what was said."""
    answer = lstm("fetch", "MRK", *words)
    assert answer.code == 0, answer.err
    return answer.err


# What is stored


def test_the_first_snapshot_assumes_since_when_the_past_was_known(mrk, lstm, empty):
    fetch_is_sound(lstm)
    assert len(stated(empty, source="yahoo_past")) == len(PAST)
    assert stated(empty, source="yahoo_past")[-1] == ("02-01", "before", "reported", "01-25")
    assert stated(empty) == [
        ("02-01", "before", "reported", "03-08"),
        ("04-25", "before", "confirmed", "03-08"),
    ]
    assert next_date(lstm) == ("2024-04-25", "2024-04-25", "before", "confirmed")


def test_a_date_is_expected_confirmed_moved_reported_and_the_next_one_comes(
    mrk, yahoo, lstm, empty
):
    mrk.announcements[0] = {
        **EXPECTED,
        "2024-03-20": "confirmed 2024-04-25 4 PM",
        "2024-04-10": "confirmed 2024-04-24 4 PM",
        "2024-04-25": "reported 2024-04-24 4 PM",
    }
    mrk.announcements.append({"2024-05-10": "expected 2024-07-30 2024-08-02"})
    for day in ("2024-03-08", "2024-03-20", "2024-04-10", "2024-04-24", "2024-04-25", "2024-05-10"):
        later(yahoo, day)
        fetch_is_sound(lstm)
    assert stated(empty) == [
        ("02-01", "before", "reported", "03-08"),
        ("04-23", "unknown", "expected", "03-08"),
        ("04-23", "unknown", "withdrawn", "03-20"),
        ("04-26", "after", "confirmed", "03-20"),
        ("04-26", "unknown", "withdrawn", "04-10"),
        ("04-25", "after", "confirmed", "04-10"),
        ("04-25", "after", "reported", "04-25"),
        ("07-30", "unknown", "expected", "05-10"),
    ]
    # No past date is assumed once snapshots are kept.
    assert len(stated(empty, source="yahoo_past")) == len(PAST)
    events = Workspace(empty).events.read(EARNINGS)
    for day, session, status in (
        ("2024-03-08", "2024-04-23", "expected"),
        ("2024-03-25", "2024-04-26", "confirmed"),
        ("2024-04-24", "2024-04-25", "confirmed"),
    ):
        found = next_announcement(events, pd.Timestamp(day))
        assert (found.session, found.status) == (pd.Timestamp(session), status)
    assert next_announcement(events, pd.Timestamp("2024-04-25")) is None


def test_a_date_that_is_gone_is_taken_back(mrk, yahoo, lstm, empty):
    mrk.announcements[0] = {**CONFIRMED, "2024-03-12": "gone"}
    fetch_is_sound(lstm)
    later(yahoo, "2024-03-12")
    fetch_is_sound(lstm)
    assert stated(empty)[-1] == ("04-25", "unknown", "withdrawn", "03-12")
    assert next_date(lstm) is None


@pytest.mark.parametrize(("day", "session"), [("2024-04-26", "04-26"), ("2024-05-28", "05-28")])
def test_a_date_that_moves_by_a_day_or_a_month_leaves_the_old_one(
    mrk, yahoo, lstm, empty, day, session
):
    mrk.announcements[0] = {**CONFIRMED, "2024-03-12": f"confirmed {day} 8 AM"}
    fetch_is_sound(lstm)
    later(yahoo, "2024-03-12")
    fetch_is_sound(lstm)
    assert stated(empty)[-2:] == [
        ("04-25", "unknown", "withdrawn", "03-12"),
        (session, "before", "confirmed", "03-12"),
    ]


def test_what_was_reported_tonight_is_not_taken_back_while_the_page_is_down(
    mrk, yahoo, lstm, empty
):
    mrk.announcements[0] = {**CONFIRMED, "2024-04-25": "reported 2024-04-25 4 PM"}
    mrk.announcements[0]["2024-02-02"] = "confirmed 2024-04-25 4 PM"
    mrk.announcements.append({"2024-04-25": "expected 2024-07-30 2024-08-02"})
    fetch_is_sound(lstm)
    later(yahoo, "2024-04-25")
    yahoo.faults.append(Fault("/calendar/earnings", status=500))
    fetch_is_sound(lstm)
    assert next_date(lstm) == ("2024-04-25", "2024-04-26", "after", "confirmed")
    yahoo.faults.clear()
    later(yahoo, "2024-04-26")
    fetch_is_sound(lstm)
    assert ("04-26", "after", "reported", "04-26") in stated(empty)


def test_a_result_on_another_day_than_was_said_takes_that_one_back(mrk, yahoo, lstm, empty):
    mrk.announcements[0] = {**CONFIRMED, "2024-04-29": "reported 2024-04-26 8 AM"}
    fetch_is_sound(lstm)
    for day in ("2024-04-26", "2024-04-29"):
        later(yahoo, day)
        fetch_is_sound(lstm)
    assert stated(empty)[2:] == [
        ("04-25", "unknown", "withdrawn", "04-29"),
        ("04-26", "before", "reported", "04-29"),
    ]


TIMES = {
    "before the open": ("2024-04-25 8 AM", ("04-25", "before")),
    "at the open": ("2024-04-25 10 AM", ("04-25", "during")),
    "at the close": ("2024-04-25 4 PM", ("04-26", "after")),
    "after the close of a Friday": ("2024-04-26 5 PM", ("04-29", "after")),
    "no time": ("2024-04-25", ("04-25", "unknown")),
    "a Saturday": ("2024-04-27 5 PM", ("04-29", "before")),
    "a holiday": ("2024-05-27", ("05-28", "before")),
    "after a half day": ("2024-07-03 2 PM", ("07-05", "after")),
}


@pytest.mark.parametrize(("words", "reaction"), TIMES.values(), ids=TIMES)
def test_a_time_says_which_session_reacts(mrk, lstm, empty, words, reaction):
    mrk.announcements[0] = {"2024-02-02": f"confirmed {words}"}
    fetch_is_sound(lstm)
    assert stated(empty)[-1] == (*reaction, "confirmed", "03-08")


def test_hours_are_those_of_the_exchange(yahoo, lstm, bars, empty):
    yahoo.move_clock(EVENING)
    tokyo = {"exchange": "JPX", "zone": "Asia/Tokyo", "currency": "JPY"}
    closes = datetime(2024, 1, 1, 15).time()
    yahoo.listings["7203.T"] = Listing(
        bars[bars.index.isin(_tokyo_sessions())],
        **tokyo,
        closes=closes,
        # 2 AM in New York is 15:00 in Tokyo in summer: at the close of the same day.
        announcements=[{"2024-02-02": "confirmed 2024-05-08 2 AM"}, *PAST],
    )
    assert lstm("fetch", "7203.T").code == 0
    assert stated(empty)[-1] == ("05-09", "after", "confirmed", "03-08")


def test_midnight_on_the_page_is_no_time_whatever_it_is_at_the_exchange(yahoo, lstm, bars, empty):
    yahoo.move_clock(EVENING)
    yahoo.listings["REL.L"] = Listing(bars, announcements=quarters("2024-02-15", time=""))
    assert lstm("events", "fetch", "REL.L").code == 0
    assert stated(empty)[-1][:2] == ("02-15", "unknown")


def _tokyo_sessions() -> pd.DatetimeIndex:
    from lstmcli.sessions import sessions_between

    span = pd.Timestamp("2022-01-01"), pd.Timestamp("2024-12-31")
    return sessions_between("XTKS", *span, observed=pd.DatetimeIndex([]))


@pytest.mark.process
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_the_time_zone_of_the_machine_changes_nothing(mrk, yahoo, lstm, empty, tmp_path, zone):
    mrk.announcements[0] = EXPECTED
    mrk.ex_date = "2024-03-14"
    fetch_is_sound(lstm)
    elsewhere = tmp_path / "elsewhere"
    variables = {**os.environ, "TZ": zone, "LSTM_WORKSPACE": str(elsewhere)}
    subprocess.run([*LSTM, "fetch", "MRK", "-q"], env=variables, check=True)
    for kind in (EARNINGS, EX_DIVIDEND):
        here, there = (Workspace(each).events.read(kind) for each in (empty, elsewhere))
        pd.testing.assert_frame_equal(here, there)


# What Yahoo may do


def page_with(yahoo: YahooServer, *dates: str, head: tuple[str, ...] = HEAD) -> None:
    """Let the page list dates as they are written, the first without a result."""
    rows = [["MRK", "A Company", text, "1.5", "-" if n == 0 else "1.6", "-"] for n, text in
            enumerate(dates)]  # fmt: skip
    yahoo.pages["MRK"] = table_page(rows, head)


GOOD = "February 1, 2024 at 8 AM EST"
PAGES = {
    "no table": ([], HEAD, "the page has no table"),
    "a renamed column": (
        ["April 25, 2024 at 8 AM EDT", GOOD],
        ("Symbol", "Company", "Report Date", *HEAD[3:]),
        "the page cannot be read",
    ),
    "no reported EPS": (
        ["April 25, 2024 at 8 AM EDT", GOOD],
        (*HEAD[:4], "Actual", HEAD[5]),
        "the page cannot be read",
    ),
    "a time with minutes": (
        ["April 25, 2024 at 4:30 PM EDT", GOOD],
        HEAD,
        "the page cannot be read",
    ),
    "BST": (["April 25, 2024 at 8 AM BST", GOOD], HEAD, "the page cannot be read"),
    "CEST": (["April 25, 2024 at 8 AM CEST", GOOD], HEAD, "the page cannot be read"),
    "GMT+1": (["April 25, 2024 at 8 AM GMT+1", GOOD], HEAD, "the page cannot be read"),
    "a row without a date": (["-", GOOD], HEAD, "the page cannot be read"),
}


@pytest.mark.parametrize(("dates", "head", "why"), PAGES.values(), ids=PAGES)
def test_a_page_that_cannot_be_read_is_said_once_and_the_next_date_is_kept(
    mrk, yahoo, lstm, empty, dates, head, why
):
    page_with(yahoo, *dates, head=head)
    said = fetch_is_sound(lstm)
    assert said.count("announcement dates") == 1
    assert f"warning: announcement dates not known in full: MRK ({why})\n" in said
    assert stated(empty) == [("04-25", "before", "confirmed", "03-08")]
    assert stated(empty, source="yahoo_past") == []
    # On the next evening it is asked for again, and takes nothing back.
    later(yahoo, "2024-03-11")
    fetch_is_sound(lstm)
    assert len(stated(empty)) == 1
    yahoo.pages.clear()
    later(yahoo, "2024-03-12")
    assert "announcement dates" not in fetch_is_sound(lstm)
    assert len(stated(empty, source="yahoo_past")) == len(PAST)


def test_a_page_without_a_table_is_not_known_where_nothing_else_is(mrk, yahoo, lstm, empty):
    yahoo.pages["MRK"] = NO_TABLE
    yahoo.faults.append(Fault("/quoteSummary/", body="{}"))
    assert "not known: MRK (Yahoo's calendar cannot be read)" in fetch_is_sound(lstm)
    assert next_date(lstm) is None


def test_other_zones_that_are_known_are_read(mrk, yahoo, lstm, empty):
    page_with(yahoo, "April 25, 2024 at 12 PM UTC", "February 1, 2024 at 9 PM UTC")
    fetch_is_sound(lstm)
    assert stated(empty, source="yahoo_past") == [("02-02", "after", "reported", "01-26")]
    assert stated(empty)[-1][:2] == ("04-25", "before")


def test_past_dates_only_leave_the_next_one_not_known(mrk, lstm, empty):
    del mrk.announcements[0]
    assert "announcement dates" not in fetch_is_sound(lstm)
    assert next_date(lstm) is None
    line = lstm("events").out.splitlines()[1]
    assert line.split() == ["MRK", "not", "known", "2024-02-01"]


def test_of_two_next_dates_one_counts(mrk, yahoo, lstm, empty):
    page = ["April 25, 2024 at 4 PM EDT", "April 23, 2024 at 6 AM EDT", "July 30, 2024 at 8 AM EDT"]
    rows = [["MRK", "A Company", text, "1.5", "-", "-"] for text in page]
    yahoo.pages["MRK"] = table_page([*rows, ["MRK", "A Company", GOOD, "1.5", "1.6", "-"]])
    fetch_is_sound(lstm)
    assert stated(empty)[1:] == [
        ("04-26", "after", "confirmed", "03-08"),
        ("07-30", "before", "expected", "03-08"),
    ]


def test_a_next_date_in_the_past_is_no_next_date(mrk, lstm, empty):
    mrk.announcements[0] = {"2024-02-02": "confirmed 2024-03-05 8 AM"}
    fetch_is_sound(lstm)
    assert next_date(lstm) is None
    assert [row[2] for row in stated(empty)] == ["reported"]


def test_a_clock_that_is_behind_brings_no_dates_of_a_later_day(mrk, yahoo, lstm, empty):
    mrk.ex_date = "2024-06-14"
    dates = [GOOD, "May 2, 2024 at 8 AM EDT"]
    rows = [["MRK", "A Company", text, "1.5", "1.6", "-"] for text in dates]
    yahoo.pages["MRK"] = table_page(rows)
    said = fetch_is_sound(lstm)
    assert "not known: MRK (Yahoo has results after 2024-03-08, the clock's day)\n" in said
    assert not (empty / "events").exists()


def test_an_estimate_of_one_day_is_expected(mrk, yahoo, lstm, empty):
    moment = int(datetime(2024, 4, 25, 12, tzinfo=UTC).timestamp())
    about = {"earningsDate": [{"raw": moment, "fmt": "x"}], "isEarningsDateEstimate": True}
    body = json.dumps({"quoteSummary": {"result": [{"calendarEvents": {"earnings": about}}]}})
    yahoo.faults.append(Fault("/quoteSummary/", body=body))
    fetch_is_sound(lstm)
    assert next_date(lstm) == ("2024-04-25", "2024-04-25", "before", "expected")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("/calendar/earnings", status=500),
        Fault("/calendar/earnings", drop=True),
        Fault("/quoteSummary/", status=500),
        Fault("/quoteSummary/", drop=True),
        Fault("/quoteSummary/", truncate=True),
        Fault("/quoteSummary/", status=401),
    ],
    ids=lambda fault: f"{fault.path} {fault.status} {fault.drop}",
)
def test_an_evening_without_an_answer_takes_nothing_back(mrk, yahoo, lstm, empty, fault):
    fetch_is_sound(lstm)
    before = stated(empty)
    later(yahoo, "2024-03-18")  # the page is due
    mrk.announcements[0] = {**CONFIRMED, "2024-03-12": "gone"}
    yahoo.faults.append(fault)
    said = fetch_is_sound(lstm)
    assert said.count("announcement dates not known in full: MRK (") == 1
    assert stated(empty) == before
    yahoo.faults.clear()
    later(yahoo, "2024-03-19")
    fetch_is_sound(lstm)
    assert stated(empty)[-1] == ("04-25", "unknown", "withdrawn", "03-19")


def test_a_time_that_was_known_stays_known_while_the_page_is_down(mrk, yahoo, lstm, empty):
    mrk.announcements[0] = {"2024-02-02": "confirmed 2024-04-25"}
    page_with(yahoo, "April 25, 2024 at 4 PM EDT", GOOD)
    fetch_is_sound(lstm)
    assert stated(empty)[-1] == ("04-26", "after", "confirmed", "03-08")
    later(yahoo, "2024-03-18")
    yahoo.faults.append(Fault("/calendar/earnings", status=500))
    fetch_is_sound(lstm)
    assert stated(empty)[-1] == ("04-26", "after", "confirmed", "03-08")


def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_ten_seconds(
    mrk, yahoo, lstm, monkeypatch
):
    monkeypatch.setattr("lstmcli.sources.announcements.yahoo.TIMEOUT", 0.3)
    yahoo.faults.append(Fault("/quoteSummary/", delay=2.0))
    said = fetch_is_sound(lstm)
    assert "not known: MRK (Yahoo did not answer within" in said
    assert not [r for r in yahoo.requests if r.path == "/calendar/earnings"]


def test_too_many_requests_end_the_asking_and_not_the_fetch(mrk, yahoo, lstm, bars, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    for ticker in ("MDT", "PEP"):
        yahoo.listings[ticker] = Listing(bars, announcements=PAST)
    yahoo.faults.append(Fault("/quoteSummary/", status=429, times=2))
    answer = lstm("fetch", "MRK", "MDT")
    assert answer.code == 0
    assert answer.err.count("new, ") == 2
    assert "announcement dates not known: MRK (Yahoo answered 429, Too Many Requests" in answer.err
    asked = len(yahoo.asked_about_announcements())
    assert lstm("fetch", "PEP").code == 0  # another process waits, too
    assert len(yahoo.asked_about_announcements()) == asked


def test_after_too_many_requests_for_bars_dates_are_not_asked_for(mrk, yahoo, lstm, bars):
    yahoo.faults.append(Fault("/v8/finance/chart/", status=429))
    assert lstm("fetch", "MRK").code == 5
    answer = lstm("events", "fetch", "MRK")
    assert (answer.code, yahoo.asked_about_announcements()) == (5, [])


def test_a_source_that_is_down_is_not_asked_for_every_ticker(mrk, yahoo, lstm, bars, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    names = [f"A{n}" for n in range(8)]
    yahoo.listings.update({name: Listing(bars, announcements=PAST) for name in names})
    yahoo.faults.append(Fault("/quoteSummary/", status=500))
    answer = lstm("fetch", *names)
    assert answer.code == 0
    asked = {r.path for r in yahoo.asked_about_announcements()}
    assert len(asked) == 5
    line = "not known: A0 A1 A2 A3 A4 and 3 more (Yahoo is down: it answered HTTP 500)\n"
    assert answer.err.count("announcement dates") == 1
    assert line in answer.err


# How often


def requests_of(yahoo: YahooServer, lstm: Lstm, day: str, *words: str) -> int:
    later(yahoo, day)
    before = len(yahoo.asked_about_announcements())
    assert lstm(*(words or ("fetch", "MRK"))).code == 0
    return len(yahoo.asked_about_announcements()) - before


def test_one_request_is_enough_on_most_evenings(mrk, yahoo, lstm):
    assert requests_of(yahoo, lstm, "2024-03-08") == 2  # the page, and the next date
    assert requests_of(yahoo, lstm, "2024-03-08") == 0
    assert requests_of(yahoo, lstm, "2024-03-08", "events", "fetch") == 0
    days = [f"2024-03-{day}" for day in (11, 12, 13, 14)]
    assert [requests_of(yahoo, lstm, day) for day in days] == [1, 1, 1, 1]
    assert requests_of(yahoo, lstm, "2024-03-15") == 2  # a week has gone
    mrk.announcements[0] = {**CONFIRMED, "2024-03-18": "confirmed 2024-04-24 8 AM"}
    assert requests_of(yahoo, lstm, "2024-03-18") == 2  # the date has moved
    assert requests_of(yahoo, lstm, "2024-03-19") == 1


def test_the_page_is_asked_for_until_it_has_the_result(mrk, yahoo, lstm):
    mrk.announcements[0] = {**CONFIRMED, "2024-04-26": "reported 2024-04-25 8 AM"}
    requests_of(yahoo, lstm, "2024-04-24")
    assert [requests_of(yahoo, lstm, f"2024-04-{day}") for day in (25, 26, 29)] == [2, 2, 1]


def test_what_failed_is_not_asked_for_again_on_the_same_day(mrk, yahoo, lstm):
    yahoo.faults.append(Fault("/quoteSummary/", status=500))
    fetch_is_sound(lstm)
    yahoo.faults.clear()
    assert requests_of(yahoo, lstm, "2024-03-08") == 0
    assert requests_of(yahoo, lstm, "2024-03-11") == 2


def test_without_the_note_of_what_was_asked_it_is_only_asked_again(mrk, yahoo, lstm, empty):
    fetch_is_sound(lstm)
    before = stated(empty), stated(empty, source="yahoo_past")
    (empty / ".cache/announcements.json").write_text("no JSON")
    assert requests_of(yahoo, lstm, "2024-03-11") == 2
    assert (stated(empty), stated(empty, source="yahoo_past")) == before


def test_events_that_were_deleted_are_fetched_again(mrk, yahoo, lstm, empty):
    fetch_is_sound(lstm)
    (empty / "events/earnings.parquet").unlink()
    assert requests_of(yahoo, lstm, "2024-03-11") == 2
    assert len(stated(empty, source="yahoo_past")) == len(PAST)


def test_a_removed_ticker_begins_anew(mrk, yahoo, lstm, empty):
    fetch_is_sound(lstm)
    assert lstm("remove", "MRK").code == 0
    assert Workspace(empty).events.kinds() == []
    assert requests_of(yahoo, lstm, "2024-03-08") == 2


@pytest.mark.parametrize(
    ("name", "kind", "exchange"),
    [("SPY", "ETF", "PCX"), ("^GSPC", "INDEX", "SNP"), ("BTC-USD", "CRYPTOCURRENCY", "CCC"),
     ("EURUSD=X", "CURRENCY", "CCY"), ("VFIAX", "MUTUALFUND", "NAS")],
)  # fmt: skip
def test_what_is_no_share_is_not_asked_about(yahoo, lstm, bars, empty, name, kind, exchange):
    yahoo.move_clock(EVENING)
    daily = bars.asfreq("D").ffill() if exchange == "CCC" else bars
    yahoo.listings[name] = Listing(daily, kind=kind, exchange=exchange)
    answer = lstm("fetch", name, "--calendar", "weekdays" if exchange != "CCC" else "24/7")
    assert (answer.code, yahoo.asked_about_announcements()) == (0, [])
    assert "announcement" not in answer.err
    answer = lstm("events", "fetch", name)
    assert (answer.code, yahoo.asked_about_announcements()) == (0, [])
    assert answer.err == f"{name}: not asked for: only the shares of companies report\n"
    assert not (empty / "events").exists()


def test_a_fund_of_which_that_is_not_known_has_no_dates(mrk, yahoo, lstm, bars):
    yahoo.listings["SPY"] = Listing(bars, kind="ETF")
    answer = lstm("events", "fetch", "SPY")
    assert answer.code == 0
    assert answer.out.splitlines()[1].split() == ["SPY", "not", "known", "not", "known"]
    asked = len(yahoo.asked_about_announcements())
    later(yahoo, "2024-03-11")
    assert lstm("events", "fetch", "SPY").code == 0
    assert len(yahoo.asked_about_announcements()) == asked  # not before a week has gone


def test_bars_of_a_file_bring_no_dates_and_no_request(yahoo, lstm, bars, empty):
    yahoo.move_clock(EVENING)
    settled = bars.loc[:"2024-03-08", ["open", "high", "low", "close", "volume"]]
    settled.rename_axis("Date").to_csv("MRK.csv")
    assert lstm("fetch", "MRK", "--source", "csv", "--file", "MRK.csv").code == 0
    assert yahoo.requests == []


def test_bars_only_leaves_the_dates_out(mrk, yahoo, lstm, empty):
    fetch_is_sound(lstm, "--bars-only")
    assert yahoo.asked_about_announcements() == []
    assert not (empty / "events").exists()


@pytest.mark.parametrize(
    "words", [["--market"], ["--source", "sample"], ["--source", "csv", "--file", "MRK.csv"]]
)
def test_bars_only_is_refused_where_nothing_else_comes(lstm, empty, words):
    answer = lstm("fetch", "MRK", "--bars-only", *words)
    assert answer.code == 2
    assert "Expected --bars-only with bars of Yahoo" in answer.err


# Ex-dates


def test_the_next_ex_date_is_kept_without_an_amount(mrk, yahoo, lstm, empty):
    mrk.ex_date = "2024-03-14"
    fetch_is_sound(lstm)
    assert stated(empty, EX_DIVIDEND) == [("03-14", "before", "confirmed", "03-08")]
    mrk.ex_date = "2024-03-15"
    later(yahoo, "2024-03-11")
    fetch_is_sound(lstm)
    assert stated(empty, EX_DIVIDEND)[1:] == [
        ("03-14", "before", "withdrawn", "03-11"),
        ("03-15", "before", "confirmed", "03-11"),
    ]
    later(yahoo, "2024-03-18")  # it has passed
    fetch_is_sound(lstm)
    assert len(stated(empty, EX_DIVIDEND)) == 3


def test_an_ex_date_of_the_past_is_not_stored(mrk, lstm, empty):
    mrk.ex_date = "2023-12-14"
    fetch_is_sound(lstm)
    assert stated(empty, EX_DIVIDEND) == []


# The SEC

CONTACT = "someone@example.org"
RESULTS = [
    ("8-K", "2.02,9.01", "2024-02-01T21:31:05.000Z"),  # 16:31 in New York
    ("8-K", "5.02", "2024-01-10T23:31:05.000Z"),
    ("10-K", "", "2024-02-23T21:31:05.000Z"),
    ("8-K", "2.02,9.01", "2023-11-02T11:00:05.000Z"),  # 7:00
]


@pytest.fixture
def sec(yahoo: YahooServer, mrk: Listing, monkeypatch) -> dict:
    """Return what the SEC knows, with a contact set and Yahoo without past dates."""
    monkeypatch.setenv("LSTM_SEC_CONTACT", CONTACT)
    monkeypatch.setattr("lstmcli.sources.announcements.sec.PAUSE", 0.0)
    mrk.announcements[:] = [CONFIRMED]
    older = {"name": "CIK0000310158-submissions-001.json"}
    yahoo.filings = {
        "company_tickers.json": {"0": {"cik_str": 310158, "ticker": "MRK", "title": "A Company"}},
        "CIK0000310158.json": {"filings": {"recent": submissions(RESULTS), "files": [older]}},
        older["name"]: submissions([("8-K", "2.02", "2003-05-01T20:30:00.000Z")]),
    }
    return yahoo.filings


def asked_of_sec(yahoo: YahooServer) -> list[str]:
    return [r.path.rpartition("/")[2] for r in yahoo.requests if r.host.endswith("sec.gov")]


def test_filings_are_asked_for_with_a_contact(sec, yahoo, lstm, empty):
    assert "announcement dates" not in fetch_is_sound(lstm)
    assert stated(empty, source="sec_past") == [
        ("05-02", "after", "reported", "04-25"),
        ("11-02", "before", "reported", "10-26"),
        ("02-02", "after", "reported", "01-26"),
    ]
    assert stated(empty, source="sec") == [("02-02", "after", "reported", "03-08")]
    agents = {r.agent for r in yahoo.requests if r.host.endswith("sec.gov")}
    assert len(agents) == 1
    assert CONTACT in agents.pop()
    assert len(asked_of_sec(yahoo)) == 3
    # The list of companies is kept, and older filings do not change.
    yahoo.requests.clear()
    later(yahoo, "2024-03-15")
    fetch_is_sound(lstm)
    assert asked_of_sec(yahoo) == ["CIK0000310158.json"]


def test_a_filing_that_is_found_later_was_known_when_it_was_found(sec, yahoo, lstm, empty):
    fetch_is_sound(lstm)
    new = [("8-K", "2.02,9.01", "2024-04-25T20:31:05.000Z"), *RESULTS]
    sec["CIK0000310158.json"]["filings"]["recent"] = submissions(new)
    later(yahoo, "2024-04-25")
    fetch_is_sound(lstm)
    assert stated(empty, source="sec")[-1] == ("04-26", "after", "reported", "04-25")
    assert len(stated(empty, source="sec_past")) == 3


def test_times_of_filings_that_are_new_yorks_are_read_so(sec, lstm, empty):
    # Nothing is accepted at 2:30 in New York, which 7:30 in UTC would be.
    local = [
        ("8-K", "2.02", "2024-02-01T16:21:00.000Z"),
        ("8-K", "5.02", "2024-01-10T07:30:00.000Z"),
    ]
    sec["CIK0000310158.json"]["filings"] = {"recent": submissions(local)}
    fetch_is_sound(lstm)
    assert stated(empty, source="sec") == [("02-02", "after", "reported", "03-08")]


def test_of_filings_whose_zone_is_not_known_the_day_counts(sec, lstm, empty):
    either = [("8-K", "2.02", "2024-02-01T15:30:00.000Z")]
    sec["CIK0000310158.json"]["filings"] = {"recent": submissions(either)}
    fetch_is_sound(lstm)
    assert stated(empty, source="sec") == [("02-01", "unknown", "reported", "03-08")]


def test_without_a_contact_the_sec_is_not_asked(sec, yahoo, lstm, monkeypatch):
    monkeypatch.delenv("LSTM_SEC_CONTACT")
    assert "SEC" not in fetch_is_sound(lstm)
    assert asked_of_sec(yahoo) == []


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault("company_tickers", status=403), "the SEC refused to answer: HTTP 403"),
        (Fault("/submissions/", status=503), "the SEC is down: it answered HTTP 503"),
        (Fault("/submissions/", body="{}"), "the SEC's answer cannot be read"),
        (Fault("/submissions/", body="<html>"), "the SEC's answer cannot be read"),
        (Fault("/submissions/", drop=True), "the SEC did not answer"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_what_the_sec_refuses_is_said_once(sec, yahoo, lstm, empty, fault, why):
    yahoo.faults.append(fault)
    said = fetch_is_sound(lstm)
    assert f"warning: announcement dates not known in full: MRK ({why})\n" in said
    assert stated(empty) == [("04-25", "before", "confirmed", "03-08")]


def test_a_ticker_that_the_sec_does_not_know_is_said_once_and_not_asked_for(sec, yahoo, lstm):
    sec["company_tickers.json"]["0"]["ticker"] = "MDT"
    assert "MRK (the SEC does not know it)" in fetch_is_sound(lstm)
    later(yahoo, "2024-03-15")
    assert "SEC" not in fetch_is_sound(lstm)
    assert lstm("events", "fetch", "MRK").code == 0


# A user's own dates


def test_a_users_file_of_announcements_goes_first(mrk, lstm, empty):
    fetch_is_sound(lstm)
    Path("my.csv").write_text(
        "ticker,session,known_on,timing,status\nMRK,2024-04-30,2024-03-07,during,confirmed\n"
    )
    assert lstm("events", "import", "my.csv", "--kind", "earnings").code == 0
    assert next_date(lstm) == ("2024-04-30", "2024-04-30", "during", "confirmed")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("2024-04-25,2024-03-08,BMO,confirmed", "timing to be one of before, during, after"),
        ("2024-04-25,2024-03-08,after,sure", "status to be one of expected, confirmed"),
        ("2024-04-27,2024-03-08,after,confirmed", "a Saturday"),
        ("2024-04-25,,after,confirmed", "known_on as a date"),
    ],
)
def test_a_users_file_with_other_words_is_refused_with_its_line(lstm, empty, cells, message):
    Path("my.csv").write_text(f"ticker,session,known_on,timing,status\nMRK,{cells}\n")
    answer = lstm("events", "import", "my.csv", "--kind", "earnings")
    assert answer.code == 2
    assert answer.err.startswith("error: my.csv:2: Expected ")
    assert message in answer.err
    assert hinted(answer) == ["lstm events import my.csv --kind earnings"]


# The commands


def test_events_lists_what_is_known_and_since_when(mrk, yahoo, lstm, empty):
    mrk.announcements[0] = {"2024-02-02": "confirmed 2024-04-25 4 PM"}
    mrk.ex_date = "2024-03-14"
    fetch_is_sound(lstm)
    for words in (["events"], ["events", "list"], ["events", "mrk"], ["events", "list", "MRK"]):
        head, line, *rest = lstm(*words).out.splitlines()
        assert head.split("  ")[0] == "ticker"
        assert line.split() == [
            *("MRK", "Thu", "2024-04-25", "after", "close", "confirmed", "2024-03-08"),
            *("yahoo", "2024-02-01", "2024-03-14"),
        ]
        assert rest == []
    (answer,) = json.loads(lstm("events", "--json").out)["announcements"]
    assert answer["next"] == {
        "day": "2024-04-25",
        "session": "2024-04-26",
        "timing": "after",
        "status": "confirmed",
        "known_on": "2024-03-08",
        "known_on_is_assumed": False,
        "source": "yahoo",
    }
    assert answer["ex_dividend"]["amount"] is None
    assert answer["asked_on"] == "2024-03-08"
    answer = lstm("events", "MDT")
    assert (answer.code, hinted(answer)) == (3, ["lstm events fetch MDT"])
    assert lstm("events", "fetc").code == 2


def test_events_fetch_asks_about_any_ticker(mrk, yahoo, lstm, empty):
    answer = lstm("events", "fetch", "MRK")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[1].split()[:3] == ["MRK", "Thu", "2024-04-25"]
    assert lstm("events", "fetch", "MRK").err == "MRK: was asked for today already\n"
    assert not (empty / "bars").exists()
    answer = lstm("events", "fetch")
    assert answer.code == 3
    assert hinted(answer) == ["lstm events fetch MRK"]


def test_a_page_is_read_anew_in_the_same_process(mrk, yahoo, lstm, empty):
    assert lstm("events", "fetch", "MRK").code == 0
    mrk.announcements.append({"2024-03-12": "expected 2024-07-30 8 AM"})
    later(yahoo, "2024-03-18")
    assert lstm("events", "fetch", "MRK").code == 0
    assert stated(empty)[-1] == ("07-30", "before", "expected", "03-18")


def test_events_fetch_fails_where_nothing_answers(mrk, yahoo, lstm):
    yahoo.faults.append(Fault("/quoteSummary/", status=500))
    answer = lstm("events", "fetch", "MRK")
    assert answer.code == 4
    assert "error: MRK: Yahoo is down (it answered HTTP 500)." in answer.err


def test_damaged_events_stop_no_fetch(mrk, lstm, empty):
    fetch_is_sound(lstm)
    path = empty / "events/earnings.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    os.environ["LSTM_NOW"] = "2024-03-11T23:00:00+00:00"
    said = fetch_is_sound(lstm)
    assert "earnings.parquet is damaged" in said
    assert path.exists()


# Forecasts and evenings

FAULTS_OF_AN_EVENING = [
    Fault("/calendar/earnings", status=500),
    Fault("/quoteSummary/", drop=True),
    Fault("/quoteSummary/", delay=2.0),
    Fault("/quoteSummary/", status=429),
    Fault("/calendar/earnings", body=NO_TABLE),
]


@pytest.mark.tensorflow
@pytest.mark.parametrize("fault", FAULTS_OF_AN_EVENING, ids=["500", "drop", "slow", "429", "page"])
def test_a_forecast_is_made_whatever_becomes_of_the_dates(
    mrk, yahoo, lstm, empty, monkeypatch, fault
):
    monkeypatch.setattr("lstmcli.sources.announcements.yahoo.TIMEOUT", 0.3)
    monkeypatch.setattr(YahooSource, "pause_between_tickers", lambda self: 0.0)
    yahoo.listings["^VIX"] = yahoo.listings["^GSPC"] = Listing(mrk.bars)
    yahoo.faults.append(replace(fault))
    answer = lstm("predict", "MRK")
    assert answer.code == 0
    assert "MRK  last close" in answer.out
    assert answer.err.count("announcement dates not known") == 1


@pytest.mark.tensorflow
def test_the_first_forecast_brings_the_dates_unless_it_is_offline(mrk, yahoo, lstm, empty):
    yahoo.listings["^VIX"] = yahoo.listings["^GSPC"] = Listing(mrk.bars, kind="INDEX")
    assert lstm("predict", "MRK", "--offline").code == 3
    assert yahoo.requests == []
    assert lstm("predict", "MRK").code == 0
    assert len(yahoo.asked_about_announcements()) == 2
    assert len(stated(empty)) == 2


@pytest.mark.tensorflow
def test_an_evening_asks_once_after_a_session(data, yahoo, lstm):
    for ticker in ("MRK", "MDT"):
        yahoo.listings[ticker].announcements = quarters("2014-11-20")
    (data / ".cache/announcements.json").unlink()  # as where an older version fetched the bars
    asked = yahoo.asked_about_announcements
    answer = lstm("daily")
    assert answer.code == 0
    assert answer.err.count("fetching announcement dates of 2 tickers …") == 1  # bars were there
    assert len(asked()) == 4
    assert lstm("daily", "-q").err == ""
    assert len(asked()) == 4
    evenings.go_to(yahoo, 1)
    answer = lstm("daily")
    assert (answer.code, len(asked())) == (0, 6)
    assert "announcement dates" not in answer.err  # they came with the bars
    yahoo.move_clock(yahoo.now + timedelta(hours=9))
    assert lstm("daily", "-q").err == ""
    assert len(asked()) == 6
    assert len(stated(data, source="yahoo_past")) == 16


@pytest.mark.tensorflow
def test_an_evening_without_the_page_succeeds_and_says_so_once(data, yahoo, lstm):
    for ticker in ("MRK", "MDT"):
        yahoo.listings[ticker].announcements = quarters("2014-11-20")
    evenings.go_to(yahoo, 1)
    yahoo.faults.append(Fault("/quoteSummary/", status=500))
    answer = lstm("daily", "--summary", "tonight.json")
    assert answer.code == 0
    line = "announcement dates not known: MDT MRK (Yahoo is down: it answered HTTP 500)"
    assert " ".join(answer.err.split()).count(line) == 1
    assert line in json.loads(Path("tonight.json").read_text())["notes"]
    assert "2 forecasts" in answer.err
    assert evenings.state(data)["exit_code"] == 0
