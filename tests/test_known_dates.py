"""What a verdict says of the dates of announcements that a recipe could read."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from command import TINY, Lstm
from simulate import events_of, panel_of, simulate_bars

from lstmcli.evaluation.known_dates import KnownDates, known_dates
from lstmcli.frames import EARNINGS, empty_events
from lstmcli.report.announcements import dates_sentence
from lstmcli.store import Workspace

DAY = pd.Timestamp


def statement(session: str, known_on: str, source: str, status: str = "expected") -> pd.DataFrame:
    return events_of(EARNINGS, ("A", session, known_on, status)).assign(source=source)


def test_dates_that_were_stored_and_dates_that_are_assumed_are_counted_apart():
    events = pd.concat(
        [
            statement("2016-01-20", "2016-01-13", "yahoo_past"),  # before the test
            statement("2016-04-20", "2016-04-13", "yahoo_past"),
            statement("2016-04-21", "2016-04-14", "sec_past"),  # the same announcement
            statement("2016-07-20", "2016-07-13", "yahoo_past"),
            statement("2016-07-20", "2016-06-20", "yahoo"),  # and it was stored
            statement("2016-10-05", "2016-09-01", "yahoo"),
            statement("2016-10-05", "2016-09-20", "yahoo", "withdrawn"),  # moved
            statement("2016-10-19", "2016-09-20", "yahoo"),
            statement("2016-11-16", "2016-11-16", "user"),  # said on the day itself
        ],
        ignore_index=True,
    )
    panel = panel_of(A=simulate_bars(600, seed=4)).with_(events=events)

    def known(first: object, last: object) -> KnownDates | None:
        return known_dates(panel, DAY(first), DAY(last), horizon=2)

    assert known("2016-02-01", "2016-12-30") == KnownDates(2, 1)
    # From the session after the first origin to the one that the last origin reaches.
    assert known("2016-04-20", "2016-10-14") == KnownDates(1, 0)
    assert known("2016-04-19", "2016-10-17") == KnownDates(2, 1)
    assert known(pd.NaT, pd.NaT) == KnownDates(0, 0)
    panel = panel.with_(events=empty_events())
    assert known("2016-02-01", "2016-12-30") is None


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        ((0, 118), "It reads the dates of 118 announcements. Nobody had stored when they became"),
        ((3, 0), "It reads the dates of 3 announcements, each stored before it came."),
        ((1, 0), "It reads the dates of 1 announcement, each stored before it came."),
        ((2, 1), "2 had been stored before they came, and 1 are past dates that are taken as"),
        ((0, 0), "no date was known in these sessions"),
    ],
)
def test_what_was_assumed_is_said(dates: tuple[int, int], said: str):
    assert said in dates_sentence(KnownDates(*dates))


@pytest.mark.tensorflow
def test_a_training_that_reads_announcements_says_what_was_assumed(workspace, lstm: Lstm):
    line = ["train", "GOOG", *TINY, "--set", "future=[earnings]"]
    sessions = pd.bdate_range("2007-01-15", "2008-10-10", freq="63B")
    rows = [
        ("GOOG", f"{day:%Y-%m-%d}", f"{day - pd.Timedelta(days=7):%Y-%m-%d}", "reported")
        for day in sessions
    ]
    Workspace(workspace).events.append(events_of(EARNINGS, *rows).assign(source="yahoo_past"))
    answer = lstm(*line)
    assert answer.code == 0, answer.err
    manifest = Workspace(workspace).runs.latest(["GOOG"])
    kept = manifest.verdict["announcements"]
    assert kept["stored"] == 0
    assert kept["assumed"] == sum(sessions > manifest.test[0]) > 0
    said = " ".join(answer.out.split())
    assert f"It reads the dates of {kept['assumed']} announcement" in said
    assert "taken as known five sessions ahead" in said
    assert said.count("It reads the dates") == 1
    shown = lstm("runs", "show", manifest.run)
    assert "taken as known five sessions ahead" in " ".join(shown.out.split())
    assert json.loads(lstm("predict", "GOOG", "--json").out)["forecasts"][0]["next_report"] is None
