"""The evening: what `lstm daily` does, undisturbed and disturbed."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import year
from command import LSTM, TINY, Lstm, check_parses, fill, hinted, spawn
from evenings import FIRST, SESSIONS, SETTLED, TODAY, go_to, issued, listings, state
from yahoo_server import Fault, Listing, traded
from year import TICKERS, evening_of

from lstmcli.pipeline import retraining
from lstmcli.pipeline.retraining import is_due
from lstmcli.store import Workspace
from lstmcli.store import bars as bars_store

pytestmark = pytest.mark.process

EVENINGS = 30
"""Of the replay; a month begins among them, and both tickers are trained anew."""


CALM = {Path(".lock"), Path(".lock-holder"), Path("daily.json")}
"""What an evening without news may touch; the last says when all was well."""


def stamps(data: Path) -> dict[Path, int]:
    """Return when each file of a workspace was written last."""
    files = (path for path in data.rglob("*") if path.is_file())
    return {path.relative_to(data): path.stat().st_mtime_ns for path in files}


def touched(data: Path, before: dict[Path, int]) -> set[Path]:
    """Return the files that were written since."""
    return {path for path, stamp in stamps(data).items() if stamp != before.get(path)}


def go_to_next_month(yahoo) -> pd.Timestamp:
    """Move the clock to the first session of the month after TODAY; return it."""
    month = SESSIONS[(SESSIONS > TODAY) & (SESSIONS.month != TODAY.month)][0]
    yahoo.move_clock(evening_of(month))
    return month


def test_an_evening_issues_scores_and_reports(data, yahoo, lstm: Lstm):
    answer = lstm("daily")
    assert answer.code == 0, answer.err
    stamp = f"{TODAY:%Y-%m-%d}"
    assert re.search(rf"MRK +{stamp} +forecast +[\d.]+ +[\d.]+ - [\d.]+", answer.out)
    assert f"daily {stamp}: 2 forecast" in answer.err
    assert max(map(len, answer.out.splitlines())) <= 80
    assert issued(data) == [("MDT", stamp), ("MRK", stamp)]

    rows = Workspace(data).ledger.read("MRK")
    published = rows[rows["calibrated"]]
    assert published["step"].tolist() == list(range(1, 21))
    assert set(published["recipe"]) == {"smoke"}
    beside = rows[~rows["calibrated"]].groupby("recipe")["step"].apply(tuple)
    assert beside.unique().tolist() == [(1, 5, 10, 20)]
    assert set(beside.index) == {
        *("smoke", "random_walk", "drift", "historical", "ewma", "garch", "gjr", "har", "har_ridge")
    }
    # What is issued is what `predict` says.
    (forecast,) = json.loads(lstm("predict", "MRK", "--json").out)["forecasts"]
    told = forecast["steps"]
    (of_day,) = (entry for entry in state(data)["tickers"] if entry["ticker"] == "MRK")
    assert of_day["prices"] == forecast["prices"]
    assert (of_day["median"], of_day["declared"]) == (told[0]["q50"], 0)
    prices = published["last_close"] * published["lo80"].map(lambda x: 2.718281828459045**x)
    assert prices.tolist() == pytest.approx([step["lo80"] for step in told])
    page = (data / "report.html").read_text()
    assert "2 of 2 forecasts are up to date." in page
    assert page.count("<img") == 2
    assert (data / "charts" / "daily-MRK.svg").exists()


def test_an_evening_without_news_decodes_no_bars(
    data, first_evening, yahoo, lstm: Lstm, monkeypatch
):
    decoded, decode = [], bars_store._decode

    def count(content: bytes, path: Path, ticker: str, *, fetch: str):
        decoded.append(ticker)
        return decode(content, path, ticker, fetch=fetch)

    monkeypatch.setattr(bars_store, "_decode", count)
    answer = lstm("daily")
    assert "2 up to date" in answer.err
    assert not set(decoded) & set(TICKERS)
    # What was written after the readable copy is looked at.
    path = data / "bars" / "MRK.parquet"
    path.write_bytes(path.read_bytes())
    assert lstm("daily", "-q").code == 0
    assert set(decoded) & set(TICKERS) == {"MRK"}


def test_predict_says_what_was_issued_and_what_came(data, first_evening, yahoo, lstm: Lstm):
    rows = Workspace(data).ledger.read("MRK")
    first = rows[rows["calibrated"]].iloc[0]
    session = go_to(yahoo, 1)
    assert lstm("fetch", "MRK", "-q").code == 0
    previous = json.loads(lstm("predict", "MRK", "--json").out)["forecasts"][0]["previous"]
    assert (previous["made_on"], previous["issued"]) == (f"{TODAY:%Y-%m-%d}", True)
    assert previous["target_on"] == f"{session:%Y-%m-%d}"
    assert previous["low"] == pytest.approx(first["last_close"] * np.exp(first["lo80"]))
    assert previous["high"] == pytest.approx(first["last_close"] * np.exp(first["hi80"]))
    close = listings()["MRK"].bars.loc[session, "close"]
    assert previous["close"] == pytest.approx(close, rel=1e-5)
    inside = previous["low"] <= close <= previous["high"]
    assert (previous["where"] == "inside") == inside
    assert previous["sentence"] in " ".join(lstm("predict", "MRK").out.split())
    # A ledger that cannot be read withholds no forecast.
    (data / "ledger.sqlite").write_bytes(b"no database at all" * 100)
    answer = lstm("predict", "MRK")
    assert answer.code == 0
    assert "warning: MRK: the last forecast is not shown: " in answer.err
    assert previous["sentence"] not in answer.out


def test_a_second_run_is_up_to_date_and_asks_nobody(data, first_evening, yahoo, lstm: Lstm):
    before = stamps(data)
    asked = len(yahoo.requests)
    answer = lstm("daily")
    assert (answer.code, len(yahoo.requests)) == (0, asked)
    assert "2 up to date" in answer.err
    assert touched(data, before) <= CALM
    # A lost page comes back.
    (data / "report.html").unlink()
    assert lstm("daily", "-q").code == 0
    assert (data / "report.html").exists()


def test_quiet_says_nothing_when_all_is_well(data, yahoo, lstm: Lstm):
    for _ in range(2):
        answer = lstm("daily", "-q")
        assert (answer.code, answer.out, answer.err) == (0, "", "")


def test_a_weekend_changes_nothing(data, first_evening, yahoo, lstm: Lstm):
    saturday = TODAY + pd.offsets.Week(weekday=5)
    yahoo.move_clock(evening_of(saturday) - timedelta(hours=12))
    fresh = SESSIONS[saturday >= SESSIONS][-1]
    lstm("daily", "-q")
    asked, rows = len(yahoo.requests), issued(data)
    assert rows[-1] == ("MRK", f"{fresh:%Y-%m-%d}")
    yahoo.move_clock(yahoo.now + timedelta(hours=9))
    assert lstm("daily", "-q").code == 0
    assert (len(yahoo.requests), issued(data)) == (asked, rows)
    assert lstm("status", "--max-age", "1h").code == 0


def test_the_next_evening_scores_the_first(data, first_evening, yahoo, lstm: Lstm):
    go_to(yahoo, 1)
    assert lstm("daily", "-q").code == 0
    told = json.loads(lstm("score", "--json").out)["live"]
    assert told["counts"]["scored"] == 2
    assert told["missing"] == []
    assert "1 published forecast has an outcome, 39 wait" in (data / "report.html").read_text()
    table = lstm("score")
    assert table.code == 0
    assert max(map(len, table.out.splitlines())) <= 80
    assert table.out.startswith("MDT, MRK: issued 2015-01-26 to 2015-01-27\n2 scored, 78 open\n")
    assert "for the next session" in table.out
    assert "; 20 would be one." in " ".join(table.out.split())
    # One outcome is no evidence: no skill, and the table says how long it takes.
    scores, _, legend = table.out.partition("\n\nn: sessions")
    assert scores.count("159 more evenings") == 9
    assert "*" not in scores
    assert "From 160 sessions on" in legend
    assert all(
        row["skill"] is row["low"] is row["coverage80_low"] is None for row in told["scores"]
    )
    others = [row for row in told["scores"] if row["word"]]
    assert {row["word"] for row in others} == {"no verdict: 159 more evenings"}
    assert {row["evenings"] for row in others} == {159}
    csv = lstm("score", "MRK", "--csv").out.splitlines()
    assert len(csv) == 1 + 2 * (20 + 9 * 4)
    assert lstm("score", "GOOG").code == 3


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(status=429, body="Too Many Requests"), 5),
        (Fault(status=500, body="oops"), 4),
        (Fault(drop=True), 4),
        (Fault(truncate=True), 4),
    ],
)
def test_a_failing_yahoo_issues_nothing_and_is_asked_again(data, yahoo, lstm: Lstm, fault, code):
    session = go_to(yahoo, 1)
    yahoo.faults.append(fault)
    answer = lstm("daily", "-q")
    assert (answer.code, answer.out) == (code, "")
    # One failure of the source is one error, however many tickers it concerns.
    assert answer.err.count("error: ") == 1
    assert answer.err.count("hint: ") == 1
    assert "MDT" in answer.err
    assert "MRK" in answer.err
    assert issued(data) == []
    assert state(data)["exit_code"] == code
    assert "failed today: MDT, MRK" in (data / "report.html").read_text()
    yahoo.faults.clear()
    if code == 5:  # it was asked to wait
        yahoo.move_clock(yahoo.now + timedelta(hours=2))
    assert lstm("daily", "-q").code == 0
    assert issued(data) == [(ticker, f"{session:%Y-%m-%d}") for ticker in ("MDT", "MRK")]


@pytest.mark.parametrize("fault", [Fault(status=500, body="oops"), Fault(drop=True)])
def test_an_evening_in_which_every_source_fails_draws_nothing(
    data, first_evening, yahoo, lstm: Lstm, fault
):
    go_to(yahoo, 1)
    yahoo.faults.append(fault)
    for _ in range(2):
        before = stamps(data)
        answer = lstm("daily")
        assert answer.code == 4
        assert "drawing" not in answer.err
        written = {path for path in touched(data, before) if path.parts[0] != ".cache"}
        assert written - CALM == {Path("log/2015-01.jsonl")}
    assert state(data)["exit_code"] == 4
    # The page comes with the bars.
    yahoo.faults.clear()
    assert lstm("daily", "-q").code == 0
    assert "2 of 2 forecasts are up to date." in (data / "report.html").read_text()


def test_a_failure_that_is_over_leaves_the_page(data, yahoo, lstm: Lstm):
    yahoo.faults.append(Fault(status=500, body="oops"))
    lstm("fetch", "--market", "^VIX")  # asked for, never stored
    yahoo.faults.clear()
    lstm("daily", "-q")
    last = state(data) | {"drawn_code": 4}
    (data / "daily.json").write_text(json.dumps(last))
    answer = lstm("daily")
    assert (answer.code, "drawing" in answer.err) == (0, True)
    assert "drawing" not in lstm("daily").err


def test_a_session_that_failed_is_missing_with_its_reason(data, first_evening, yahoo, lstm: Lstm):
    failed = go_to(yahoo, 1)
    yahoo.faults.append(Fault(status=500, body="oops"))
    lstm("daily", "-q")
    yahoo.faults.clear()
    go_to(yahoo, 3)
    lstm("daily", "-q")
    missing = json.loads(lstm("score", "MRK", "--json").out)["live"]["missing"]
    assert [(each["session"], "did not run" in each["reason"]) for each in missing] == [
        (f"{failed:%Y-%m-%d}", False),
        (f"{SESSIONS[SETTLED + 1]:%Y-%m-%d}", True),
    ]
    assert not any(each["reason"].startswith("MRK: ") for each in missing)
    assert "2 sessions without a forecast" in (data / "report.html").read_text()


def test_a_page_drawn_later_calls_its_forecasts_stale(data, first_evening, yahoo, lstm: Lstm):
    assert "stale" not in (data / "report.html").read_text().lower()
    go_to(yahoo, 3)
    assert lstm("report", "-q").code == 0
    page = (data / "report.html").read_text()
    assert "0 of 2 forecasts are up to date; stale: MDT, MRK." in page
    assert page.count("3 sessions have settled since this forecast was made") == 2


def test_a_hole_stops_its_ticker_alone(data, yahoo, lstm: Lstm):
    session = f"{go_to(yahoo, 1):%Y-%m-%d}"
    yahoo.listings["MDT"].holes.add(session)
    answer = lstm("daily", "-q")
    assert answer.code == 4
    assert "MDT" in answer.err
    assert issued(data) == [("MRK", session)]
    page = (data / "report.html").read_text()
    assert "<strong>Today failed:</strong> stale: there is no bar of" in page
    yahoo.listings["MDT"].holes.clear()
    assert lstm("daily", "-q").code == 0
    assert issued(data) == [("MRK", session), ("MDT", session)]


def test_a_ticker_without_a_run_waits_and_the_others_go_on(data, yahoo, lstm: Lstm):
    yahoo.listings["KO"] = Listing(traded(FIRST, SETTLED + 60, seed=9))
    Path("list.txt").write_text("MRK\nKO # no run yet\n")
    evening = ("daily", "--universe", "list.txt", "--summary", "day.txt")
    answer = lstm(*evening)
    assert answer.code == 0, answer.err
    assert issued(data) == [("MRK", f"{TODAY:%Y-%m-%d}")]
    assert "1 forecast, 1 not trained yet" in answer.err
    command = "lstm train KO --config smoke.yaml --set retrain=monthly"
    summary = Path("day.txt").read_text()
    assert summary.count("KO: ") == 1
    for text in (" ".join(answer.err.split()), summary):
        assert "KO: no run knows it yet" in text
        assert "with the next monthly training of" in text
        assert command in text
    check_parses(command)
    waiting = [line for line in Workspace(data).log.read() if line["status"] == "waiting"]
    assert [(line["ticker"], command in line["message"]) for line in waiting] == [("KO", True)]
    assert "not trained yet: KO" in (data / "report.html").read_text()
    (of_ko,) = (each for each in state(data)["tickers"] if each["ticker"] == "KO")
    assert (of_ko["outcome"], of_ko["error"], of_ko["hint"]) == ("not trained", None, command)

    # All the same once more: nothing is drawn, or logged twice.
    before = stamps(data)
    assert lstm(*evening, "-q").code == 0
    assert touched(data, before) <= CALM
    assert lstm("status", "--max-age", "1h").code == 0


def test_sample_data_that_has_ended_is_left_out_and_said(data, yahoo, lstm: Lstm):
    assert lstm("fetch", "GOOG", "--source", "sample", "-q").code == 0
    answer = lstm("daily", "--summary", "day.txt")
    assert answer.code == 0, answer.err
    assert "2 forecasts, 1 left out" in answer.err
    for text in (" ".join(answer.err.split()), Path("day.txt").read_text()):
        assert "GOOG: its sample data ends on 2008-10-14, so it has no forecast." in text
        assert "lstm remove GOOG" in text
    page = (data / "report.html").read_text()
    assert "2 of 2 forecasts are up to date; left out: GOOG." in page
    (of_goog,) = (each for each in state(data)["tickers"] if each["ticker"] == "GOOG")
    assert (of_goog["outcome"], of_goog["error"]) == ("left out", None)

    # The same once more: nothing is drawn, or logged.
    before = stamps(data)
    assert lstm("daily", "-q").code == 0
    assert touched(data, before) <= CALM

    # A run that knows it is trained again without it.
    split = "split={validation: 60, calibration: 80, test: 60}"
    options = (*TINY, "--set", split, "--set", "retrain=monthly")
    assert lstm("train", "MRK", "GOOG", *options, "-q").code == 0
    go_to_next_month(yahoo)
    answer = lstm("daily")
    assert answer.code == 0, answer.err
    (run,) = {each["run"] for each in state(data)["tickers"] if each["ticker"] == "MRK"}
    assert Workspace(data).runs.manifest(run).tickers == ("MRK",)


def test_sample_data_alone_fails_once_it_has_ended(data, yahoo, lstm: Lstm):
    assert lstm("fetch", "GOOG", "--source", "sample", "-q").code == 0
    answer = lstm("daily", "GOOG", "-q")
    assert answer.code == 3
    assert "GOOG: its sample data ends on 2008-10-14" in answer.err
    assert "there is no other ticker" in answer.err
    # A ticker that no run knows is no help beside it.
    yahoo.listings["KO"] = Listing(traded(FIRST, SETTLED, seed=9))
    answer = lstm("daily", "GOOG", "KO", "-q")
    assert answer.code == 3
    assert hinted(answer) == ["lstm train KO"]


def test_a_list_of_which_no_run_knows_a_ticker_fails(data, yahoo, lstm: Lstm):
    yahoo.listings["KO"] = Listing(traded(FIRST, SETTLED, seed=9))
    answer = lstm("daily", "KO", "-q")
    assert answer.code == 3
    assert hinted(answer) == ["lstm train KO"]


def test_a_ticker_that_was_added_is_trained_with_the_next_training(data, yahoo, lstm: Lstm):
    yahoo.listings["KO"] = Listing(traded(FIRST, SETTLED + 60, seed=9))
    assert lstm("fetch", "KO", "-q").code == 0
    runs = set(Workspace(data).runs.names())
    month = go_to_next_month(yahoo)
    answer = lstm("daily")
    assert answer.code == 0, answer.err
    assert "3 forecasts, 3 retrained" in answer.err
    # Each of the others has a run of its own, and so has it.
    new = [run for run in Workspace(data).runs.manifests() if run.run not in runs]
    assert sorted(run.tickers for run in new) == [("KO",), ("MDT",), ("MRK",)]
    assert len({run.config_sha for run in new}) == 3
    assert ("KO", f"{month:%Y-%m-%d}") in issued(data)


@pytest.mark.parametrize("crash", [1, 2])
def test_a_crash_amid_the_trainings_loses_no_newcomer(data, yahoo, lstm: Lstm, monkeypatch, crash):
    # The newest run is not that of the first ticker.
    assert lstm("train", "MRK", *TINY, "--set", "retrain=monthly", "-q").code == 0
    yahoo.listings["KO"] = Listing(traded(FIRST, SETTLED + 60, seed=9))
    assert lstm("fetch", "KO", "-q").code == 0
    month = go_to_next_month(yahoo)
    trained, train = [], retraining.train_again

    def train_until_the_crash(session, config, tickers):
        if len(trained) == crash:
            raise KeyboardInterrupt
        trained.append(tickers)
        return train(session, config, tickers)

    with monkeypatch.context() as patched:
        patched.setattr(retraining, "train_again", train_until_the_crash)
        assert lstm("daily", "-q").code == 130
    assert len(trained) == crash
    assert lstm("daily", "-q").code == 0
    assert {ticker for ticker, made_on in issued(data) if made_on == f"{month:%Y-%m-%d}"} == {
        *TICKERS,
        "KO",
    }


def test_a_training_that_waits_for_a_ticker_of_no_list_says_so(data, yahoo, lstm: Lstm):
    assert lstm("train", "MRK", "MDT", *TINY, "--set", "retrain=monthly", "-q").code == 0
    go_to_next_month(yahoo)
    answer = lstm("daily", "MRK", "--summary", "day.txt")
    assert answer.code == 0, answer.err
    assert "retrained" not in answer.err
    for text in (answer.err, Path("day.txt").read_text()):
        flat = " ".join(text.split())
        assert "waits for MDT, which this evening was not asked for" in flat
        assert "Next: name them too, or lstm remove MDT." in flat
    check_parses("lstm remove MDT")


def test_a_ticker_joins_the_run_that_the_others_share(data, yahoo, lstm: Lstm):
    retrained = [*TINY, "--set", "retrain=monthly", "-q"]
    assert lstm("train", "MRK", "MDT", *retrained).code == 0
    yahoo.listings["KO"] = Listing(traded(FIRST, SETTLED + 60, seed=9))
    young = traded(FIRST, SETTLED + 60, seed=10)
    yahoo.listings["NEW"] = Listing(young.iloc[SETTLED - 5 :])
    assert lstm("fetch", "KO", "NEW", "-q").code == 0
    go_to_next_month(yahoo)
    answer = lstm("daily")
    assert answer.code == 0, answer.err
    assert "3 forecasts, 1 not trained yet, 1 retrained" in answer.err
    assert "sessions are too few to learn from" in " ".join(answer.err.split())
    assert Workspace(data).runs.latest().tickers == ("MRK", "MDT", "KO")


def test_a_new_month_trains_anew_once(data, yahoo, lstm: Lstm):
    runs = len(Workspace(data).runs.names())
    number = SESSIONS.get_loc(go_to_next_month(yahoo)) - SETTLED + 1
    answer = lstm("daily")
    assert answer.code == 0, answer.err
    assert "2 retrained" in answer.err
    assert len(Workspace(data).runs.names()) == runs + 2
    rows = Workspace(data).ledger.read()
    assert set(rows["run"]) == set(Workspace(data).runs.names()[-2:])
    assert lstm("daily", "-q").code == 0
    go_to(yahoo, number + 1)
    assert lstm("daily", "-q").code == 0
    assert len(Workspace(data).runs.names()) == runs + 2


@pytest.mark.parametrize(
    ("schedule", "trained", "now", "due"),
    [
        ("never", "2015-01-31", "2019-02-01", False),
        ("weekly", "2015-01-30", "2015-02-01", False),
        ("weekly", "2015-01-30", "2015-02-02", True),
        ("monthly", "2015-01-01", "2015-01-31", False),
        ("monthly", "2014-12-31", "2015-01-01", True),
        ("quarterly", "2015-01-31", "2015-03-31", False),
        ("quarterly", "2015-03-31", "2015-04-01", True),
        ("yearly", "2015-01-01", "2015-12-31", False),
        ("yearly", "2015-12-31", "2016-01-01", True),
        ("monthly", "2015-02-01", "2015-01-01", False),
    ],
)
def test_a_schedule_looks_at_the_calendar_alone(schedule, trained, now, due):
    moments = (datetime.fromisoformat(f"{day}T23:00+00:00") for day in (trained, now))
    assert is_due(schedule, *moments) is due


def test_another_company_fails_alone_and_scores_no_forecast(data, first_evening, yahoo, lstm: Lstm):
    go_to(yahoo, 2)
    other = traded(FIRST, SETTLED + 60, seed=9, price=31.0)
    yahoo.listings["MRK"] = Listing(other, currency="CAD")
    before = (data / "bars" / "MRK.parquet").read_bytes()
    answer = lstm("daily", "-q")
    assert (answer.code, answer.err.count("error: ")) == (6, 1)
    assert hinted(answer) == ["lstm fetch MRK --replace"]
    assert (data / "bars" / "MRK.parquet").read_bytes() == before
    assert lstm("fetch", "MRK", "--replace").code == 0
    counts = json.loads(lstm("score", "MRK", "--json").out)["live"]["counts"]
    assert {name: count for name, count in counts.items() if count} == {"unmatched": 20}
    assert "20 unmatched" in lstm("score", "MRK").out
    assert lstm("report").code == 0
    assert "no longer hold the close" in (data / "report.html").read_text()


def test_a_split_and_a_dividend_change_no_score(data, first_evening, yahoo, lstm: Lstm):
    go_to(yahoo, 2)
    lstm("daily", "-q")
    before = json.loads(lstm("score", "--json").out)["live"]["scores"]
    session = go_to(yahoo, 3)
    listing = yahoo.listings["MRK"]
    listing.splits[f"{session:%Y-%m-%d}"] = 3.0
    listing.bars.loc[session:, ["open", "high", "low", "close"]] /= 3  # as traded after it
    yahoo.listings["MDT"].dividends[f"{session:%Y-%m-%d}"] = 0.8
    assert lstm("fetch", "-q").code == 0
    bars = {ticker: Workspace(data).bars.read(ticker)[0].loc[session] for ticker in TICKERS}
    assert (bars["MRK"]["split"], bars["MDT"]["dividend"]) == (3.0, 0.8)
    go_to(yahoo, 2)
    after = json.loads(lstm("score", "--json").out)["live"]["scores"]
    assert before
    pd.testing.assert_frame_equal(
        pd.DataFrame(after), pd.DataFrame(before), rtol=1e-9, atol=1e-12, check_exact=False
    )


@pytest.mark.parametrize(
    ("damage", "hint"), [("junk", "recover"), ("cut", "recover"), ("newer", "newer lstm")]
)
def test_a_ledger_of_no_use_is_named_and_the_rest_goes_on(
    data, first_evening, yahoo, lstm: Lstm, damage, hint
):
    path = data / "ledger.sqlite"
    if damage == "newer":
        with sqlite3.connect(path) as plain:
            plain.execute("PRAGMA user_version = 99")
    else:
        whole = path.read_bytes()
        path.write_bytes(b"junk" * 5000 if damage == "junk" else whole[: len(whole) // 2])
    broken = path.read_bytes()
    session = go_to(yahoo, 1)
    answer = lstm("daily", "-q")
    assert answer.code == 6
    assert "ledger.sqlite" in answer.err
    assert path.read_bytes() == broken
    assert Workspace(data).bars.read("MRK")[0].index[-1] == session
    assert "ledger.sqlite" in (data / "report.html").read_text()
    assert lstm("ledger", "verify").code == 6
    doctor = lstm("doctor")
    assert doctor.code == 6
    assert hint in doctor.hint
    # As the hint says: out of the way, and a new one begins.
    path.rename(data / "old.sqlite")
    assert lstm("daily", "-q").code == 0
    assert [made_on for _, made_on in issued(data)] == [f"{session:%Y-%m-%d}"] * 2


def test_a_damaged_run_and_damaged_bars_are_named(data, yahoo, lstm: Lstm):
    run = next(run for run in Workspace(data).runs.manifests() if run.tickers == ("MRK",))
    path = Workspace(data).runs.path(run.run) / "forecast.tflite"
    path.write_bytes(path.read_bytes()[:-100])
    answer = lstm("daily", "-q")
    assert answer.code == 6
    assert run.run in answer.err
    assert issued(data) == [("MDT", f"{TODAY:%Y-%m-%d}")]
    parquet = data / "bars" / "MDT.parquet"
    parquet.write_bytes(parquet.read_bytes()[:-50])
    go_to(yahoo, 1)
    yahoo.faults.append(Fault(status=500, body="oops"))
    answer = lstm("daily", "-q")
    assert answer.code == 6
    assert "MDT" in answer.err


def test_a_clock_that_jumps_back_issues_nothing(data, first_evening, yahoo, lstm: Lstm):
    rows = issued(data)
    yahoo.move_clock(evening_of(SESSIONS[SETTLED - 30]))
    answer = lstm("daily", "-q")
    assert answer.code == 6
    assert "nothing is issued in the past" in answer.err
    assert issued(data) == rows


def test_a_summary_has_the_numbers_of_the_evening_each_time(data, yahoo, lstm: Lstm):
    yahoo.listings["MDT"].dividends["2014-12-30"] = 0.5  # a cone of total return
    told = []
    for number in range(4):
        assert lstm("daily", "-q", "--summary", f"day{number}.json").code == 0
        assert lstm("daily", "-q", "--summary", f"day{number}.txt").code == 0
        told.append(json.loads(Path(f"day{number}.json").read_text()))
        if number == 1:
            (data / "daily.json").unlink()  # it is lost: the stored forecast has them, too
    assert [each["outcome"] for each in told[0]["tickers"]] == ["forecast", "forecast"]
    assert told[1]["sentence"] == f"{TODAY:%Y-%m-%d}: 2 up to date"
    numbers = ("run", "session", "target_on", "prices", "declared", "last_close", "median")
    for first, *later in zip(*(each["tickers"] for each in told), strict=True):
        assert first["cone80"][0] < first["median"] < first["cone80"][1]
        for other in later:
            assert other["outcome"] == "up to date"
            assert [other[name] for name in numbers[:5]] == [first[name] for name in numbers[:5]]
            for name in (*numbers[5:], "cone80"):
                assert other[name] == pytest.approx(first[name], rel=1e-6)
    texts = [Path(f"day{number}.txt").read_text() for number in range(4)]
    assert texts[0] == texts[1] == texts[2] == texts[3]
    stamp = f"{TODAY:%Y-%m-%d}"
    assert texts[0].startswith(f"lstm daily {stamp}: 2 up to date\n\nticker  session ")
    assert re.search(rf"\nMRK +{stamp}  up to date +[\d.]+  [\d.]+ - [\d.]+ +close\n", texts[0])
    answer = lstm("daily", "--json")
    assert json.loads(answer.out)["day"]["tickers"] == told[-1]["tickers"]


def test_a_summary_may_have_a_file_for_each_evening(data, yahoo, lstm: Lstm):
    sessions = [go_to(yahoo, number) for number in (0, 1)]
    for number in (0, 1):
        go_to(yahoo, number)
        for _ in range(2):
            assert lstm("daily", "-q", "--summary", "lstm-{date}.json").code == 0
    found = {path.name for path in Path().glob("lstm-*")}
    assert found == {f"lstm-{session:%Y-%m-%d}.json" for session in sessions}
    answer = lstm("daily", "-q", "--summary", "new/{date}.json")
    assert (answer.code, answer.hint) == (2, "mkdir -p new")
    assert not Path("new").exists()


def test_a_failure_is_in_the_summary_with_its_ticker_once(data, yahoo, lstm: Lstm):
    session = f"{go_to(yahoo, 1):%Y-%m-%d}"
    yahoo.listings["MDT"].holes.add(session)
    assert lstm("daily", "-q", "--summary", "day.txt").code == 4
    text = Path("day.txt").read_text()
    assert "1 forecast, 1 failed" in text
    assert text.count("MDT: ") == 1
    assert f"MDT: stale: there is no bar of {session} yet. Next: lstm daily again" in text


def test_a_failure_of_all_is_said_once_and_points_to_the_next_evening(data, yahoo, lstm: Lstm):
    go_to(yahoo, 1)
    yahoo.faults.append(Fault(status=500, body="oops"))
    answer = lstm("daily", "-q", "--summary", "day.txt")
    assert answer.code == 4
    said = "Yahoo is down (it answered HTTP 500). Concerns: MDT MRK."
    assert answer.err.splitlines() == [f"error: {said}", "", "hint: try again later: lstm daily"]
    expected = "MDT, MRK: Yahoo is down (it answered HTTP 500). Next: try again later: lstm daily."
    assert expected in Path("day.txt").read_text().splitlines()


def test_stale_tickers_are_one_warning(data, yahoo, lstm: Lstm):
    go_to(yahoo, 1)
    answer = lstm("predict", "MRK", "MDT")
    expected = (
        "warning: 2 tickers: stale: 1 session has settled since their last bar, "
        f"{TODAY:%Y-%m-%d}; lstm fetch"
    )
    assert [line for line in answer.err.splitlines() if "stale" in line] == [expected]


def test_a_score_without_an_outcome_says_when_the_first_comes(
    data, first_evening, yahoo, lstm: Lstm
):
    answer = lstm("score", "-q")
    assert answer.code == 0
    due = f"The first comes with the close of {SESSIONS[SETTLED]:%Y-%m-%d}."
    assert f"No forecast has an outcome yet. {due}" in answer.out
    assert "95 % confidence sequence" not in answer.out


def test_status_tells_monitoring_how_old_the_last_success_is(data, yahoo, lstm: Lstm):
    assert lstm("status", "--max-age", "36h").code == 6
    lstm("daily", "-q")
    assert lstm("status", "--max-age", "36h").code == 0
    yahoo.move_clock(yahoo.now + timedelta(hours=37))
    answer = lstm("status", "--max-age", "36h", "-q")
    assert (answer.code, answer.out) == (6, "")
    assert "37 hours ago" in answer.err
    assert lstm("status", "--max-age", "3d").code == 0
    for wrong in ("", "36", "h", "-1h", "0h", "1w"):
        assert lstm("status", f"--max-age={wrong}").code == 2


def test_a_ticker_that_is_a_tag_is_escaped(data, yahoo, lstm: Lstm):
    bars = traded(FIRST, SETTLED).rename_axis("Date").assign(Ticker="<script>")
    bars.to_csv("evil.csv")
    assert lstm("fetch", "--source", "csv", "--file", "evil.csv", "-q").code == 0
    answer = lstm("daily", "-q")
    assert answer.code == 0
    page = (data / "report.html").read_text()
    assert "<script" not in page.lower()
    assert "&lt;SCRIPT&gt;" in page or "&lt;script&gt;" in page


def test_nothing_is_asked_of_a_terminal_or_of_the_environment(data, yahoo):
    """`env -i HOME=… PATH=… lstm daily -q </dev/null`, as cron would."""
    needed = {**yahoo.environment(data.parent), "HOME": str(data.parent), "PATH": os.defpath}
    line = [*LSTM, "daily", "-q", "--workspace", str(data)]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            line,
            env={**needed, "LSTM_NOW": yahoo.now.isoformat()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )

    done = run()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    go_to(yahoo, 1)
    yahoo.faults.append(Fault(status=503, body="Will be right back"))
    done = run()
    assert (done.returncode, done.stdout) == (4, "")
    assert (done.stderr.count("error: "), done.stderr.count("hint: ")) == (1, 1)


def test_two_at_once_issue_nothing_twice(data, yahoo):
    for number in range(1, 4):
        session = go_to(yahoo, number)
        both = [
            subprocess.Popen(
                [*LSTM, "daily", "-q"],
                env={**os.environ, **yahoo.environment(data.parent)},
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        said = [process.communicate()[1] for process in both]
        codes = sorted(process.returncode for process in both)
        assert codes in ([0, 0], [0, 7]), said
        assert issued(data)[-2:] == [(ticker, f"{session:%Y-%m-%d}") for ticker in ("MDT", "MRK")]
    assert len(issued(data)) == 6


def test_a_full_disk_loses_nothing(data, small_disk, yahoo, lstm: Lstm):
    size = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    disk = shutil.copytree(data, small_disk(size + 1_600_000), dirs_exist_ok=True)
    here = ["--workspace", str(disk)]
    evening = ["daily", *TICKERS, "-q"]
    assert lstm(*evening, *here).code == 0
    assert lstm("fetch", "GOOG", "--source", "sample", *here).code == 0
    verified = Workspace(disk).ledger.verify()
    filler = fill(disk)
    old = {
        path: path.read_bytes()
        for path in disk.rglob("*")
        if path.is_file() and path.suffix in (".parquet", ".html", ".tflite", ".json", ".csv")
    }
    go_to(yahoo, 1)
    units = ["--output", str(disk / "units")]
    export = ["ledger", "export", "--output", str(disk / "all.csv")]
    for line in (
        *(evening, ["fetch", *TICKERS], ["predict"], ["report"], ["plot", "MRK"], export),
        *(["train", "MRK", *TINY, "-q"], ["backtest", "GOOG", *TINY, "--set", "backtest.folds=2"]),
        *(["schedule", "systemd", *units], ["init", str(disk / "new")]),
    ):
        gc.collect()  # a deleted file that is still open keeps its room
        fill(disk)  # what the command before has left
        answer = lstm(*line, *(here if line[0] != "init" else []))
        assert answer.code == 8, (line, answer)
        assert "unexpected" not in answer.err
        assert hinted(answer) or "free" in answer.hint, (line, answer)
    for line in (["score"], ["status"], ["runs"], ["ledger", "verify"], ["doctor"]):
        assert lstm(*line, *here).code == 0, line
    assert all(path.read_bytes() == content for path, content in old.items())
    assert Workspace(disk).ledger.verify() == verified
    assert not list(disk.rglob("*.tmp"))
    filler.unlink()
    assert lstm(*evening, *here).code == 0
    assert Workspace(disk).ledger.verify().rows == 2 * verified.rows


ADDED = {"KO": 2, "IBM": 10}
"""Evenings before which a ticker is fetched, for the first time; each is trained next month."""

REMOVED = {"MDT": 15}
"""The evening before which a ticker is removed."""


def watch_list() -> dict[str, Listing]:
    """Return the tickers that a user of thirty evenings may ask for."""
    new = {
        ticker: Listing(traded(FIRST, SETTLED + 60, seed=9 + n)) for n, ticker in enumerate(ADDED)
    }
    return listings() | new


def changes() -> year.Changes:
    """Return what the user does: two tickers come, one goes."""
    return {
        number: lambda replay, ticker=ticker: replay.fetch(ticker)
        for ticker, number in ADDED.items()
    } | {
        number: lambda replay, ticker=ticker: replay.lstm("remove", ticker, "-q") and None
        for ticker, number in REMOVED.items()
    }


def expected_outcomes(sessions: pd.DatetimeIndex) -> dict[str, dict[str, str]]:
    """Return what a calm evening does for each ticker, by the date of the evening."""
    months = sessions.month.to_numpy()
    firsts = [n for n in range(1, len(sessions)) if months[n] != months[n - 1]]
    trained = {ticker: next(n for n in firsts if n >= number) for ticker, number in ADDED.items()}
    told = {}
    for number, session in enumerate(sessions):
        of_evening = {ticker: "forecast" for ticker in TICKERS if number < REMOVED.get(ticker, 99)}
        for ticker, first in ADDED.items():
            if number >= first:
                known = number >= trained[ticker]
                of_evening[ticker] = "forecast" if known else "not trained"
        told[f"{session:%Y-%m-%d}"] = of_evening
    return told


@pytest.mark.evenings
def test_disturbed_evenings_end_as_calm_ones(trained: Path, tmp_path: Path):
    sessions = SESSIONS[SETTLED : SETTLED + EVENINGS]
    with year.replaying(tmp_path / "calm", watch_list(), inside=True) as calm:
        shutil.copytree(trained / "data", calm.data)
        year.undisturbed(calm, sessions, changes=changes())
    with year.replaying(tmp_path / "rough", watch_list()) as rough:
        shutil.copytree(trained / "data", rough.data)
        year.disturbed(rough, sessions, seed=5, kills=12, longest=5.0, changes=changes())
    assert rough.kills >= 6
    now = evening_of(sessions[-1])

    # Each evening tells what it did for whom, with its numbers.
    expected, forecasts = expected_outcomes(sessions), 0
    for date, of_evening in expected.items():
        told = json.loads((calm.folder / f"evening-{date}.json").read_text())["tickers"]
        assert {each["ticker"]: each["outcome"] for each in told} == of_evening
        for each in told:
            made = each["outcome"] == "forecast"
            assert (each["median"] is not None, each["hint"] is None) == (made, made)
            forecasts += made

    table = year.compare(calm.data, rough.data, now)
    lacking = table["hash_two"].isna()
    assert (table["same"] | lacking).all()
    assert len(table) == forecasts * (20 + 9 * 4)
    missing, unknown = year.missing_without_reason(rough.data, now)
    assert unknown == []
    # Of a ticker that was removed nobody asks any more.
    of_stored = table[lacking & ~table["ticker"].isin(REMOVED)]
    assert of_stored.groupby(["ticker", "made_on"]).ngroups == missing


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (["schedule", "launchd"], 2),
        (["schedule", "--calendar", "XNIS"], 2),
        (["schedule", "--universe", "nowhere.txt"], 2),
        (["daily", "--universe", "nowhere.txt"], 2),
        (["daily", "../x"], 2),
        (["ledger"], 2),
        (["ledger", "export", "-o", "ledger.xls"], 2),
        (["ledger", "verify", "--holds", "abc"], 6),
    ],
)
def test_bad_words_are_refused(data, first_evening, yahoo, lstm: Lstm, line, code):
    answer = lstm(*line)
    assert (answer.code, answer.out) == (code, "")
    hinted(answer)


def test_an_empty_workspace_says_what_comes_first(empty: Path, lstm: Lstm):
    answer = lstm("daily")
    assert answer.code == 3
    assert hinted(answer) == ["lstm daily MRK"]
    for line in (["score"], ["report"], ["remove", "MRK"]):
        assert lstm(*line).code == 3
    assert not empty.exists()
    assert lstm("ledger", "verify").out.startswith("0 rows")


def test_the_ledger_goes_into_other_tools(data, first_evening, yahoo, lstm: Lstm):
    verified = lstm("ledger", "verify")
    assert verified.out.startswith("112 rows")
    head = verified.out.split()[-1]
    assert lstm("ledger", "verify", "--holds", head).code == 0
    stored = Workspace(data).ledger.read()
    for name in ("ledger.csv", "ledger.parquet"):
        assert lstm("ledger", "export", "--output", name).code == 0
    # What may lack a value is of another type in a file where every row has one.
    types = {"report_timing": object, "report_status": object, "report_source": object}
    exported = pd.read_parquet("ledger.parquet").astype(types)
    exported[[*types]] = exported[[*types]].where(exported[[*types]].notna(), None)
    pd.testing.assert_frame_equal(exported, stored)
    csv = pd.read_csv("ledger.csv")
    assert csv["q50"].tolist() == stored["q50"].tolist()
    assert len(lstm("ledger", "export").out.splitlines()) == 113


def test_a_process_of_its_own_works_too_and_loads_no_tensorflow(data, yahoo):
    changes = yahoo.environment(data.parent)
    answer = spawn("daily", workspace=data, changes=changes)
    assert answer.code == 0, answer.err
    assert "2 forecast" in answer.err
    for line in (["report"], ["score"]):
        script = f"""
import sys
from lstmcli.cli import run
assert run({line!r}) == 0
assert not {{"tensorflow", "keras", "sklearn", "arch", "yfinance"}} & set(sys.modules)
"""
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, **changes, "LSTM_WORKSPACE": str(data)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
