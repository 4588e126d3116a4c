"""The next report of a company: what a forecast knew of it, and where that is shown."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest
from command import Lstm
from simulate import events_of, simulate_bars

from lstmcli.frames import EARNINGS
from lstmcli.pipeline.day import Day, TickerDay
from lstmcli.pipeline.inputs import find_inputs, panel_of_run
from lstmcli.pipeline.issue import issue
from lstmcli.pipeline.next_report import reads_announcements, reports_at
from lstmcli.pipeline.predict import predict
from lstmcli.pipeline.report import write_report
from lstmcli.pipeline.score import score
from lstmcli.pipeline.session import Session
from lstmcli.report.announcements import (
    NextReport,
    Reports,
    legend,
    report_from_json,
    reports_ahead,
)
from lstmcli.report.summary import summary_text
from lstmcli.store import Workspace
from lstmcli.store.bars import BarsMeta

TODAY = date(2026, 10, 22)
TARGETS = [date(2026, 10, 23) + pd.Timedelta(days=n) for n in range(20)]


def coming(**changes: object) -> NextReport:
    """Return a report on Thursday 29 October 2026 that a source has confirmed."""
    usual = {
        "day": date(2026, 10, 29),
        "session": date(2026, 10, 30),
        "timing": "after",
        "status": "confirmed",
        "source": "yahoo",
        "known_on": TODAY,
        "assumed": False,
    }
    return NextReport(**{**usual, **changes})


@pytest.mark.parametrize(
    ("changes", "phrase", "cell"),
    [
        ({}, "reports Thu 29 Oct after the close (confirmed)", "29 Oct after close"),
        (
            {"timing": "before", "status": "expected"},
            "reports Thu 29 Oct before the open (expected)",
            "29 Oct before open?",
        ),
        (
            {"timing": "unknown", "status": "expected"},
            "reports Thu 29 Oct (expected)",
            "29 Oct?",
        ),
        (
            {"timing": "during"},
            "reports Thu 29 Oct during trading (confirmed)",
            "29 Oct in trading",
        ),
        (
            {"day": date(2027, 1, 5)},
            "reports Tue 5 Jan 2027 after the close (confirmed)",
            "5 Jan 2027 after close",
        ),
        (
            {"status": "reported", "assumed": True},
            "reports Thu 29 Oct after the close (taken as known)",
            "29 Oct after close",
        ),
        (
            {"status": "reported", "day": date(2026, 10, 20)},
            "reported Tue 20 Oct after the close",
            "20 Oct after close",
        ),
    ],
)
def test_a_report_is_said_in_words(changes: dict, phrase: str, cell: str):
    assert coming(**changes).phrase(TODAY) == phrase
    assert coming(**changes).cell(TODAY) == cell


def test_a_report_within_the_forecast_says_what_it_does():
    said = "Reports Thu 29 Oct after the close (confirmed)."
    reads, blind = Reports(coming(), read=True), Reports(coming())
    assert reads.sentence(TARGETS, TODAY) == f"{said} The ranges from Fri 30 Oct on allow for it."
    assert blind.sentence(TARGETS, TODAY) == (
        f"{said} The forecast does not read it: from Fri 30 Oct on its ranges may be too narrow."
    )
    assert reads.sentence(TARGETS[:3], TODAY) == said  # it ends before
    assert Reports(due=True).sentence(TARGETS, TODAY) == "Next report not known."
    assert Reports().sentence(TARGETS, TODAY) == ""
    assert (Reports(due=True).cell(TODAY), Reports().cell(TODAY)) == ("not known", "")


def test_reports_ahead_are_listed_the_first_one_first():
    shown = {
        "LATE": Reports(coming(session=date(2027, 2, 1))),
        "B": Reports(coming()),
        "A": Reports(
            coming(day=date(2026, 10, 26), session=date(2026, 10, 26), timing="before"), read=True
        ),
        "NONE": Reports(due=True),
    }
    last = TARGETS[-1]
    listed = reports_ahead(shown, last, today=TODAY)
    assert listed == "Reports ahead: A 26 Oct before open, B 29 Oct after close."
    assert legend(shown, last) == ["The ranges of B do not allow for a report."]
    many = {f"T{n}": Reports(coming(status="expected")) for n in range(8)}
    assert reports_ahead(many, last, today=TODAY).endswith("T4 29 Oct after close? and 3 more.")
    assert legend(many, last) == [
        "A report with ? is expected on that day, not confirmed.",
        "The ranges of T0, T1, T2, T3, T4 and 3 more do not allow for a report.",
    ]
    assert reports_ahead({"NONE": Reports()}, last, today=TODAY) == ""


# What is known of one ticker, whose last bar is of Friday 30 December 2016

BARS = simulate_bars(600, seed=4)
NEW_YEAR = "2017-01-02T20:00:00+00:00"


def stored(folder: Path, *rows: tuple, kind: str | None = "EQUITY", calendar: str = "XNYS"):
    """Return a session with the bars of A, and what is stated of it."""
    workspace = Workspace(folder)
    meta = BarsMeta.of(
        BARS,
        ticker="A",
        source={"name": "csv"},
        calendar=calendar,
        fetched_at=pd.Timestamp(NEW_YEAR).to_pydatetime(),
        kind=kind,
    )
    workspace.bars.write(BARS, meta)
    for day, known_on, status, timing, source in rows:
        statement = events_of(EARNINGS, ("A", day, known_on, status))
        workspace.events.append(statement.assign(timing=timing, source=source))
    return Session(workspace), meta


def known(session: Session, meta: BarsMeta, by: str, *, last: str | None = None) -> Reports:
    bars = BARS.loc[:last]
    return reports_at(session, "A", meta, bars, known=pd.Timestamp(by))


def test_after_the_close_is_the_session_before_by_the_calendar(tmp_path, monkeypatch):
    monkeypatch.setenv("LSTM_NOW", NEW_YEAR)
    said = "2016-12-20", "confirmed", "after", "yahoo"
    session, meta = stored(tmp_path, ("2017-01-03", *said))
    found = known(session, meta, "2017-01-02").coming
    # The exchange rested on Monday, 2 January.
    assert (found.day, found.session) == (date(2016, 12, 30), date(2017, 1, 3))
    assert (found.known_on, found.source, found.assumed) == (date(2016, 12, 20), "yahoo", False)


def test_only_what_was_known_by_the_day_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("LSTM_NOW", NEW_YEAR)
    session, meta = stored(
        tmp_path,
        ("2016-10-20", "2016-10-13", "reported", "before", "yahoo_past"),
        ("2017-01-10", "2016-12-20", "expected", "before", "yahoo"),
        ("2017-01-10", "2016-12-31", "withdrawn", "before", "yahoo"),
        ("2017-01-12", "2016-12-31", "confirmed", "after", "yahoo"),
        ("2017-01-05", "2017-01-04", "confirmed", "after", "yahoo"),  # not yet known to the clock
    )
    on_saturday = known(session, meta, "2016-12-31")
    assert on_saturday.coming.session == date(2017, 1, 12)
    assert on_saturday.coming.known_on == date(2016, 12, 31)
    assert on_saturday.past == (date(2016, 10, 20),)
    on_friday = known(session, meta, "2016-12-30").coming
    assert (on_friday.session, on_friday.status) == (date(2017, 1, 10), "expected")
    assert known(session, meta, "2017-01-09").coming.session == date(2017, 1, 12)
    past = known(session, meta, "2016-10-19", last="2016-10-19").coming
    assert (past.session, past.assumed) == (date(2016, 10, 20), True)
    assert known(session, meta, "2016-10-12", last="2016-10-12").coming is None


@pytest.mark.parametrize(
    ("kind", "dated", "due"),
    [("EQUITY", False, True), (None, False, False), (None, True, True), ("ETF", False, False)],
)
def test_what_never_reports_is_not_said_to_be_unknown(tmp_path, monkeypatch, kind, dated, due):
    monkeypatch.setenv("LSTM_NOW", NEW_YEAR)
    rows = [("2016-12-15", "2016-12-08", "reported", "before", "yahoo_past")] * dated
    session, meta = stored(tmp_path, *rows, kind=kind)
    found = known(session, meta, "2017-01-02")
    assert (found.coming, found.due) == (None, due)


def test_damaged_announcements_withhold_no_forecast(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("LSTM_NOW", NEW_YEAR)
    said = "2016-12-20", "confirmed", "after", "yahoo"
    session, meta = stored(tmp_path, ("2017-01-03", *said))
    (tmp_path / "events" / "earnings.parquet").write_bytes(b"")
    for _ in range(2):
        assert known(session, meta, "2017-01-02").coming is None
    (record,) = caplog.records
    assert "earnings.parquet is damaged" in record.getMessage()


# What a user sees of GOOG after 2008-10-14, a Tuesday


def announce(
    workspace: Path, session: str, known_on: str = "2008-10-01", **columns: object
) -> None:
    statement = events_of(EARNINGS, ("GOOG", session, known_on, "confirmed"))
    statement = statement.assign(**{"timing": "after", "source": "yahoo", **columns})
    Workspace(workspace).events.append(statement)


def test_predict_says_when_the_next_report_comes(workspace, lstm: Lstm):
    assert "eport" not in lstm("predict", "GOOG").out.split("total")[0]
    (before,) = json.loads(lstm("predict", "GOOG", "--json").out)["forecasts"]
    assert before["next_report"] is None
    announce(workspace, "2008-10-17")
    text = " ".join(lstm("predict", "GOOG").out.split())
    assert "Reports Thu 16 Oct after the close (confirmed). The forecast does not read it" in text
    answer = lstm("predict", "GOOG", "--json")
    (after,) = json.loads(answer.out)["forecasts"]
    assert after["next_report"] == {
        "day": "2008-10-16",
        "session": "2008-10-17",
        "timing": "after",
        "status": "confirmed",
        "source": "yahoo",
        "known_on": "2008-10-01",
        "assumed": False,
    }
    printed = pd.read_csv(io.StringIO(lstm("predict", "GOOG", "--csv").out))
    assert set(printed["next_report"]) == {"2008-10-17"}
    assert set(pd.read_csv(after["file"])["next_report"]) == {"2008-10-17"}
    lines = [lstm("predict", "GOOG", "--as-of", day).out for day in ("2008-09-30", "2008-10-01")]
    assert ["Reports Thu 16 Oct" in out for out in lines] == [False, True]


def test_a_watch_list_shows_next_reports_where_there_is_room(workspace, lstm: Lstm, monkeypatch):
    assert "eport" not in lstm("predict", "GOOG", "SIM").out
    announce(workspace, "2008-10-17", status="expected")
    for width, head in ((79, False), (160, True)):
        monkeypatch.setenv("COLUMNS", str(width))
        out = lstm("predict", "GOOG", "SIM").out
        table = out.split("\n\n")[1].splitlines()
        assert table[0].endswith("next report") == head
        assert table[1].endswith("16 Oct after close?") == head
        assert ("Reports ahead: GOOG 16 Oct after close?." in out) != head
        assert "A report with ? is expected on that day, not confirmed." in out
        assert "The ranges of GOOG do not allow for a report." in out


def test_a_forecast_of_the_past_reads_no_event_that_was_stated_later(workspace, monkeypatch):
    announce(workspace, "2008-10-10", "2008-10-02")
    announce(workspace, "2008-10-17", "2008-10-11")  # a Saturday
    session = Session(Workspace(workspace))
    run = session.latest(["GOOG"]).run
    reads = session.config(run).model_copy(update={"future": (EARNINGS,)})
    monkeypatch.setattr(session, "config", lambda run: reads)

    def sessions(as_of: str | None) -> list[str]:
        day = None if as_of is None else pd.Timestamp(as_of)
        inputs = find_inputs(session, None, "GOOG", as_of=day)
        events = panel_of_run(session, [inputs]).view("GOOG").events(EARNINGS)
        return [f"{of:%m-%d}" for of in events["session"]]

    assert sessions("2008-10-01") == []
    assert sessions("2008-10-10") == ["10-10"]
    assert sessions("2008-10-12") == ["10-10", "10-17"]  # a Sunday
    assert sessions(None) == ["10-10", "10-17"]


def test_an_issued_forecast_keeps_what_it_knew(workspace, lstm: Lstm):
    session = Session(Workspace(workspace))
    announce(workspace, "2008-10-17", status="expected")
    (prediction,), _ = predict(session, ["GOOG"])
    issue(session.workspace, [prediction])
    # The date moves afterwards: what was issued had known the old one.
    announce(workspace, "2008-10-17", "2008-10-14", status="withdrawn")
    announce(workspace, "2008-10-20", "2008-10-14")
    session = Session(Workspace(workspace))
    page = write_report(session, None, score(session)).read_text()
    assert "Reports Thu 16 Oct after the close (expected). The forecast does not read it" in page
    chart = (workspace / "charts" / "daily-GOOG.svg").read_text()
    assert ">report<" in chart
    assert "Triangles: reports." in chart
    exported = pd.read_csv(io.StringIO(lstm("ledger", "export").out))
    kept = exported[["report_session", "report_timing", "report_status", "report_source"]]
    assert kept.drop_duplicates().to_numpy().tolist() == [
        ["2008-10-17", "after", "expected", "yahoo"]
    ]
    assert "Reports Fri 17 Oct after the close" in lstm("predict", "GOOG").out


def test_the_overview_has_next_reports_where_one_is_known(workspace):
    def overview(*tickers: str) -> tuple[str, list[str]]:
        session = Session(Workspace(workspace))
        done, _ = predict(session, tickers)
        made = {of.ticker: of for of in done}
        page = write_report(session, None, None, unissued=made).read_text()
        table = page[page.index("<table") : page.index("</table>")]
        return table, re.findall(r'data-head="next report">([^<]*)<', table)

    table, dates = overview("GOOG", "SIM")
    assert "next report" not in table
    assert not dates
    announce(workspace, "2008-10-17", status="expected")
    table, dates = overview("GOOG", "SIM")
    assert dates == ["16 Oct after close?", ""]
    assert "A report with ? is expected on that day" in table


def test_a_summary_tells_of_reports_within_a_week():
    at = datetime(2026, 10, 22, 22, tzinfo=UTC)
    later = coming(day=date(2026, 10, 30), session=date(2026, 10, 30), timing="before")
    days = [
        TickerDay("SOON", next_report=Reports(coming(session=date(2026, 10, 29))).as_json()),
        TickerDay("LATER", next_report=Reports(later).as_json()),
        TickerDay("NONE"),
    ]
    told = Day(at, days).as_dict()
    assert "\nReports ahead: SOON 29 Oct after close.\n" in summary_text(told)
    assert told["tickers"][0]["next_report"]["session"] == "2026-10-29"
    assert report_from_json(json.loads(json.dumps(told["tickers"][1]["next_report"]))) == later
    assert "Reports" not in summary_text(Day(at, days[1:]).as_dict())


def test_a_run_reads_reports_where_it_has_learnt_from_them(empty):
    session = Session(Workspace(empty))
    shipped = session.manifest("pretrained")
    bars = {key: sha for key, sha in shipped.bars.items() if key != EARNINGS}

    def reads(**changes: object) -> bool:
        return reads_announcements(session, shipped.model_copy(update=changes))

    assert reads(bars={**bars, EARNINGS: "hash"})
    assert not reads(bars=bars)
