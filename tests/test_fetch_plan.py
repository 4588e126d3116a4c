"""A fetch of many tickers: planned, killed, gone on with, and stopped by a full disk."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command import Lstm, fill, start, wait_for
from yahoo_announcements import quarters
from yahoo_server import Fault, Listing, YahooServer, traded

from lstmcli.pipeline import progress as progress_of
from lstmcli.pipeline.progress import Progress
from lstmcli.store import Workspace

NAMES = [f"T{n:02d}" for n in range(14)]


@pytest.fixture
def listed(yahoo: YahooServer, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty workspace beside a list of 14 tickers that Yahoo knows."""
    bars = traded("2023-11-01", 130)
    said = quarters("2024-02-01")
    yahoo.listings = {name: Listing(bars, announcements=list(said)) for name in NAMES}
    monkeypatch.setenv("LSTM_NOW", yahoo.now.isoformat())
    (empty.parent / "list.txt").write_text("\n".join(NAMES))
    return empty


def asked(yahoo: YahooServer) -> dict[str, set[str]]:
    """Return which tickers were asked for, by what, and forget it."""
    found: dict[str, set[str]] = {"bars": set(), "dates": set()}
    for request in yahoo.requests:
        if "/chart/" in request.path:
            found["bars"].add(request.path.rpartition("/")[2])
    for request in yahoo.asked_about_announcements():
        found["dates"].add(request.query["symbol"])
    yahoo.requests.clear()
    return found


@pytest.mark.process
def test_a_killed_fetch_goes_on_where_it_was(
    lstm: Lstm, listed: Path, yahoo: YahooServer, monkeypatch: pytest.MonkeyPatch
):
    changes = yahoo.environment(listed.parent)
    process = start("fetch", "--universe", "list.txt", workspace=listed, changes=changes)
    said = wait_for(process, "T03: new")
    process.kill()
    process.communicate()
    assert "fetching 14 tickers: about 56 requests, 1 minute\n" in said
    before = asked(yahoo)
    assert "T13" not in before["bars"]
    done = set(Workspace(listed).bars.tickers())
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    answer = lstm("fetch", "--universe", "list.txt")
    assert answer.code == 0
    assert f"fetching {14 - len(done)} of 14 tickers, {len(done)} are up to date" in answer.err
    after = asked(yahoo)
    assert after["bars"] == set(NAMES) - done
    # The one at which it was killed may have been asked about, and have been told nothing.
    assert after["dates"] - (set(NAMES) - done) <= {max(done)}
    assert set(Workspace(listed).events.read("earnings")["ticker"]) == set(NAMES)
    assert not list(listed.rglob("*pending*"))


def test_who_has_the_last_session_is_not_asked_for_until_the_next(
    lstm: Lstm, listed: Path, yahoo: YahooServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert lstm("fetch", *NAMES).code == 0
    asked(yahoo)
    for words in (["--universe", "list.txt"], []):
        answer = lstm("fetch", *words, "--json")
        assert (answer.code, answer.err) == (0, "all 14 tickers are up to date\n")
        told = json.loads(answer.out)["tickers"]
        assert [(each["ticker"], each["status"]) for each in told] == [
            (name, "up to date") for name in NAMES
        ]
        assert {each["last_session"] for each in told} == {"2024-03-08"}
        assert asked(yahoo) == {"bars": set(), "dates": set()}
    assert lstm("fetch", "T05").code == 0  # who is named is asked for
    assert lstm("fetch", "--start", "2024-01-02").code == 0
    assert asked(yahoo)["bars"] == set(NAMES)
    yahoo.move_clock(datetime(2024, 3, 11, 23, 0, tzinfo=UTC))
    answer = lstm("fetch")
    assert "fetching 14 tickers: about 28 requests, 1 minute\n" in answer.err
    assert answer.err.count(": updated, ") == 14
    assert asked(yahoo) == {"bars": set(NAMES), "dates": set(NAMES)}


def test_an_evening_says_its_plan(lstm: Lstm, listed: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert lstm("fetch", *NAMES[:3]).code == 0
    answer = lstm("daily", "--universe", "list.txt")
    assert "fetching 11 of 14 tickers, 3 are up to date: about 44 requests, 1 min" in answer.err


def test_within_a_cool_down_no_plan_promises_requests(lstm: Lstm, listed: Path, yahoo: YahooServer):
    yahoo.faults.append(Fault(status=429))
    assert lstm("fetch", "--universe", "list.txt").code == 5
    asked(yahoo)
    answer = lstm("fetch", "--universe", "list.txt")
    assert (answer.code, answer.err.count("error: ")) == (5, 1)
    assert answer.hint == "fetch again after 2024-03-08 23:15 UTC"
    assert "requests, " not in answer.err
    assert asked(yahoo)["bars"] == set()


def test_a_disk_that_fills_in_the_middle_is_said_once_and_gone_on_with(
    lstm: Lstm, listed: Path, yahoo: YahooServer, small_disk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    data = small_disk(1_000_000) / "data"
    assert lstm("fetch", *NAMES[:2], "--workspace", data).code == 0
    filler = fill(data.parent)
    with filler.open("r+b") as stream:
        stream.truncate(filler.stat().st_size - 50_000)  # room for some of them
    answer = lstm("fetch", "--universe", "list.txt", "--workspace", data)
    assert (answer.code, answer.err.count("error: ")) == (8, 1), answer.err
    assert "No space left on device" in answer.err
    came = Workspace(data).bars.tickers()
    assert NAMES[:2] < came < NAMES
    for ticker in came:
        Workspace(data).bars.read(ticker)
    assert not list(data.rglob("*.tmp"))
    filler.unlink()
    asked(yahoo)
    answer = lstm("fetch", "--universe", "list.txt", "--workspace", data)
    assert answer.code == 0
    assert asked(yahoo)["bars"] == set(NAMES) - set(came)
    assert Workspace(data).bars.tickers() == NAMES


def test_progress_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch):
    clock, said = [0.0], []
    monkeypatch.setattr(progress_of.time, "monotonic", lambda: clock[0])
    progress = Progress(300, said.append, done="fetched")
    for _ in range(300):
        clock[0] += 2.0
        progress.advance()
    assert len(said) == 9
    assert said[0] == "fetched 30 of 300 tickers, about 9 minutes left"


def test_an_evening_on_a_full_disk_says_so_once_and_is_made_up_for(
    lstm: Lstm, listed: Path, yahoo: YahooServer, small_disk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    data = small_disk(4_000_000) / "data"
    assert lstm("fetch", *NAMES[:3], "--workspace", data).code == 0
    filler = fill(data.parent)
    with filler.open("r+b") as stream:
        stream.truncate(filler.stat().st_size - 60_000)  # too little for a ledger
    answer = lstm("daily", *NAMES[:3], "--workspace", data)
    assert (answer.code, answer.err.count("error: ")) == (8, 1), answer.err
    assert "daily.json" in answer.err
    filler.unlink()
    answer = lstm("daily", *NAMES[:3], "--workspace", data)
    assert (answer.code, "3 forecasts" in answer.err) == (0, True), answer.err
