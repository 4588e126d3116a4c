"""What keeps a workspace in order over the years: the log, and tickers that go."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command import TINY, Lstm, hinted, stored
from evenings import SESSIONS, SETTLED, TODAY, go_to, issued, state

from lstmcli.digits import age_in_words
from lstmcli.store import Workspace
from lstmcli.store.log import RunLog

pytestmark = pytest.mark.process


@pytest.fixture
def logged(empty: Path) -> Path:
    """Return a workspace whose log has three evenings, one of which failed for a ticker."""
    log = Workspace(empty).log
    for day in (1, 2, 3):
        at = datetime(2008, 10, 9 + day, 21, 0, tzinfo=UTC)
        if day == 2:
            log.append(at, "look", "failed", ticker="MRK", session="2008-10-11", message="stale")
        log.append(at, "score", "ok", counts={"scored": 1_200, "open": 0}, missing=3)
        log.append(at, "daily", "ok", message=f"evening {day}")
    return empty


def test_the_log_shows_what_an_evening_did(logged, lstm: Lstm):
    lines = lstm("log").out.splitlines()
    assert len(lines) == 7
    assert lines[2] == "2008-10-11 21:00:00  look       failed      MRK  2008-10-11  stale"
    assert lines[1] == "2008-10-10 21:00:00  daily      ok          evening 1"
    assert lines[0].endswith("counts 1,200 scored, missing 3")
    assert [line.rsplit("  ")[-1] for line in lstm("log", "--tail", "1").out.splitlines()] == [
        "evening 3"
    ]
    # It is 2008-10-14 22:00 UTC.
    for since, count in {"2008-10-12": 2, "72h": 2, "4d": 5, "2008-10-11T21:00+00:00": 5}.items():
        assert len(lstm("log", "--since", since).out.splitlines()) == count, since
    assert len(lstm("log", "--since", "4d", "-n", "1").out.splitlines()) == 1
    told = json.loads(lstm("log", "--json", "--tail", "2").out)["lines"]
    assert [line["step"] for line in told] == ["score", "daily"]
    for wrong in ("yesterday", "3w", "2008-13-01"):
        answer = lstm("log", "--since", wrong)
        assert (answer.code, answer.out) == (2, "")
        assert hinted(answer) == ["lstm log --since 7d"]
    assert lstm("log", "--tail", "0").code == 2


def test_a_log_of_nothing_says_so_and_makes_no_folder(empty, lstm: Lstm):
    answer = lstm("log")
    assert (answer.code, answer.out, answer.err) == (0, "", "nothing is logged in data/log\n")
    assert json.loads(lstm("log", "--json").out)["lines"] == []
    assert not empty.exists()


def test_a_log_that_grew_keeps_the_reasons_of_missing_forecasts(tmp_path):
    log = RunLog(tmp_path / "log")
    for month in range(1, 7):
        at = datetime(2020, month, 3, tzinfo=UTC)
        for number in range(100):
            log.append(at, "ledger", "ok", ticker="MRK", run="x" * 50, number=number)
        log.append(at, "look", "failed", ticker="MRK", session=f"2020-{month:02}-03", message="s")
        log.append(at, "report", "failed", message="concerns no ticker")
    whole = stored(tmp_path)
    size = sum(map(len, whole.values()))
    log.rotate(limit=size)
    assert stored(tmp_path) == whole
    log.rotate(limit=size // 2)
    thinned = [path for path, content in stored(tmp_path).items() if content != whole[path]]
    months = [f"2020-0{month}.jsonl" for month in (1, 2, 3, 4)]
    assert sorted(path.name for path in thinned) == months
    assert sum(map(len, stored(tmp_path).values())) <= size // 2
    failed = [line["session"] for line in log.read() if line.get("ticker") and "session" in line]
    assert failed == [f"2020-0{month}-03" for month in range(1, 7)]
    # This month stays whole, however small the limit.
    log.rotate(limit=0)
    assert (tmp_path / "log" / "2020-06.jsonl").read_bytes() == whole[Path("log/2020-06.jsonl")]
    after = stored(tmp_path)
    log.rotate(limit=0)
    assert stored(tmp_path) == after


def test_the_errors_of_cron_are_rotated(data, yahoo, lstm: Lstm):
    (data / "cron.log").write_text("error\n" * 10)
    lstm("daily", "-q")
    assert not (data / "cron.log.1").exists()
    (data / "cron.log").write_text("error\n" * 200_000)
    (data / "cron.log.1").write_text("older\n")
    lstm("daily", "-q")
    assert (data / "cron.log.1").read_text() == "error\n" * 200_000
    assert not (data / "cron.log").exists()


def test_a_ticker_that_is_removed_is_left_alone(data, yahoo, lstm: Lstm):
    assert lstm("train", "MRK", "MDT", *TINY, "--set", "retrain=monthly", "-q").code == 0
    dividends = "ticker,session,known_on,amount\n" + "".join(
        f"{ticker},2015-03-02,2015-01-20,0.5\n" for ticker in ("MDT", "MRK")
    )
    Path("dividends.csv").write_text(dividends)
    assert lstm("events", "import", "dividends.csv", "--kind", "ex_dividend", "-q").code == 0
    assert lstm("daily", "-q").code == 0
    kept = stored(data / "runs") | stored(data / "forecasts")
    ledger = Workspace(data).ledger.verify()

    answer = lstm("remove", "MDT")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == (
        f"MDT: {SETTLED} sessions and 1 event removed; 2 runs and 1 forecast in the ledger stay\n"
    )
    assert Workspace(data).bars.tickers() == ["MRK"]
    assert not list((data / "bars").glob("MDT*"))
    assert Workspace(data).events.read("ex_dividend")["ticker"].tolist() == ["MRK"]
    assert stored(data / "runs") | stored(data / "forecasts") == kept
    assert Workspace(data).ledger.verify() == ledger
    assert lstm("daily", "-q").code == 0  # nothing is left to do
    assert [entry["ticker"] for entry in state(data)["tickers"]] == ["MRK"]
    again = lstm("remove", "MDT")
    assert again.code == 3

    # The next month: one training, without it; nothing fails, nothing waits for it.
    month = SESSIONS[(SESSIONS > TODAY) & (SESSIONS.month != TODAY.month)][0]
    go_to(yahoo, SESSIONS.get_loc(month) - SETTLED + 1)
    asked = len(yahoo.charts("MDT"))
    answer = lstm("daily")
    assert answer.code == 0, answer.err
    assert "1 forecast, 1 retrained" in answer.err
    assert len(yahoo.charts("MDT")) == asked
    assert Workspace(data).runs.latest().tickers == ("MRK",)
    assert issued(data)[-1] == ("MRK", f"{month:%Y-%m-%d}")
    page = (data / "report.html").read_text()
    assert "The forecast is up to date." in page or "MDT" not in page
    score = lstm("score")
    assert (score.code, "bars are not stored: MDT" in score.out) == (0, True)
    assert json.loads(lstm("score", "--json").out)["live"]["removed"] == ["MDT"]
    assert lstm("predict", "-q", "--run", Workspace(data).runs.names()[-2]).code == 0
    # By name it is an error, with the way back.
    answer = lstm("score", "MDT")
    assert (answer.code, hinted(answer)) == (3, ["lstm fetch MDT"])
    assert lstm("fetch", "MDT", "-q").code == 0
    assert json.loads(lstm("score", "MDT", "--json").out)["live"]["counts"]["scored"] > 0


def test_remove_takes_all_or_nothing(data, lstm: Lstm):
    before = stored(data)
    answer = lstm("remove", "MDT", "MRKK")
    assert (answer.code, stored(data)) == (3, before)
    assert hinted(answer) == ["lstm remove MRK"]
    assert "did you mean MRK?" in answer.hint
    assert hinted(lstm("remove", "ZZZZZ")) == ["lstm status"]
    assert lstm("remove", "../x").code == 2
    assert lstm("remove").code == 2
    assert stored(data) == before
    told = json.loads(lstm("remove", "mdt", "MRK", "--json", "-q").out)["removed"]
    assert [(each["ticker"], each["sessions"], each["events"]) for each in told] == [
        ("MDT", SETTLED, 0),
        ("MRK", SETTLED, 0),
    ]


def test_damaged_bars_can_be_removed(data, lstm: Lstm):
    path = data / "bars" / "MRK.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    answer = lstm("remove", "MRK")
    assert (answer.code, answer.err) == (0, "MRK: its bars removed; 1 run stay\n")
    assert lstm("doctor").code == 0


def test_status_says_how_old_a_training_is(data, yahoo, lstm: Lstm):
    go_to(yahoo, 20)
    days = (SESSIONS[SETTLED + 19] - TODAY).days
    lines = lstm("status").out.splitlines()
    assert lines[0].endswith("newest run, age")
    assert lines[1].endswith(f", {days} d")
    assert max(map(len, lines)) <= 80
    (ticker, _) = json.loads(lstm("status", "--json").out)["tickers"]
    assert ticker["trained_at"].startswith(f"{TODAY:%Y-%m-%d}")


def test_the_age_of_the_last_success_is_json_too(data, yahoo, lstm: Lstm):
    lstm("daily", "-q")
    told = json.loads(lstm("status", "--max-age", "36h", "--json").out)
    assert (told["succeeded_at"][:10], told["max_age_seconds"]) == (f"{TODAY:%Y-%m-%d}", 129_600)
    yahoo.move_clock(yahoo.now + timedelta(days=62, hours=3))
    answer = lstm("status", "--max-age", "36h")
    assert "last succeeded 62 days ago, at 2015-01-26T23:00:00+00:00. Allowed: 36 hours." in (
        answer.err
    )


@pytest.mark.parametrize(
    ("age", "words"),
    [
        ({"minutes": 1}, "1 minute"),
        ({"minutes": 119}, "119 minutes"),
        ({"hours": 36}, "36 hours"),
        ({"hours": 36, "minutes": 20}, "36.3 hours"),
        ({"hours": 1489}, "62 days"),
        ({"days": 3}, "3 days"),
        ({"days": 3, "hours": 5}, "3.2 days"),
        ({"days": 1200}, "1,200 days"),
    ],
)
def test_an_age_is_told_in_its_natural_unit(age, words):
    assert age_in_words(timedelta(**age)) == words
