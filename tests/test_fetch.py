"""Fetching: which tickers, from where, and what stays when something fails."""

from __future__ import annotations

import json
import logging
import re
import resource
import signal
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from test_sources import YAHOO_HEADER, lines, write
from yahoo_server import traded

from lstmcli.errors import ConfigError, DataError, DiskError, NoDataError
from lstmcli.pipeline.fetch import fetch
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.update import FetchResult
from lstmcli.sources import CsvSource, SampleSource, YahooSource
from lstmcli.store import Workspace

BARS = traded("2024-01-02", 60)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "data")


def from_csv(workspace: Workspace, rows: list[str], *tickers: str, **options) -> FetchResult:
    source = CsvSource(file=write(workspace.root.parent, rows))
    return fetch(Session(workspace), tickers, source=source, **options)[0]


def stored(workspace: Workspace) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in workspace.bars.folder.glob("*")}


def test_the_sample_needs_no_ticker_and_no_network(workspace):
    results = fetch(Session(workspace), [], source=SampleSource())
    assert [(result.ticker, result.status, result.rows) for result in results] == [
        ("^GSPC", "new", 5031),
        ("GOOG", "new", 1047),
    ]
    for result in results:
        assert any(note.startswith("sample data: ") for note in result.notes)
        assert workspace.bars.read(result.ticker)[1].label in result.notes
    assert {result.status for result in fetch(Session(workspace), [])} == {"up to date"}


def test_a_file_without_a_ticker_is_fetched_by_its_name(workspace):
    result = from_csv(workspace, lines(BARS))
    assert (result.ticker, result.status, result.rows, result.added) == ("MRK", "new", 60, 60)
    assert (result.first, result.last) == (BARS.index[0], BARS.index[-1])


def test_every_ticker_of_a_file_is_fetched(workspace, tmp_path):
    rows = [f"{ticker},{line}" for ticker in ("MRK", "MDT") for line in lines(BARS)]
    source = CsvSource(file=write(tmp_path, rows, header="Ticker," + YAHOO_HEADER))
    seen: list[str] = []
    results = fetch(
        Session(workspace), [], source=source, on_result=lambda r: seen.append(r.ticker)
    )
    assert [result.ticker for result in results] == seen == ["MRK", "MDT"]
    assert workspace.bars.tickers() == ["MDT", "MRK"]


def test_without_tickers_each_comes_from_where_it_came_before(workspace):
    from_csv(workspace, lines(BARS[:50]))
    fetch(Session(workspace), [], source=SampleSource())
    write(workspace.root.parent, lines(BARS))
    results = {result.ticker: result for result in fetch(Session(workspace), [])}
    assert {ticker: result.status for ticker, result in results.items()} == {
        "GOOG": "up to date",
        "^GSPC": "up to date",
        "MRK": "updated",
    }
    assert results["MRK"].added == 10


def test_a_source_without_tickers_takes_its_own_stored_ones(workspace):
    fetch(Session(workspace), [], source=SampleSource())
    with pytest.raises(NoDataError):
        fetch(Session(workspace), [], source=YahooSource())


def test_nothing_to_fetch_is_said_with_a_next_step(workspace):
    with pytest.raises(NoDataError) as caught:
        fetch(Session(workspace), [])
    assert "lstm fetch" in (caught.value.hint or "")


@pytest.mark.parametrize("ticker", ["", "../x", "a/b", "A" * 200])
def test_a_bad_ticker_stops_before_any_request(workspace, yahoo, ticker):
    with pytest.raises(ConfigError):
        fetch(Session(workspace), ["MRK", ticker])
    assert not yahoo.requests
    assert not workspace.root.exists()


BAD_NAMES = ["BTC/USD", ".X", "A" * 200]


def test_a_bad_name_of_a_universe_fails_alone(workspace):
    from_csv(workspace, lines(BARS), "MRK")
    results = fetch(Session(workspace), ["MRK"], universe=[*BAD_NAMES, "GOOG"])
    assert [result.ticker for result in results] == ["MRK", *BAD_NAMES, "GOOG"]
    for result in results[1:4]:
        assert isinstance(result.error, ConfigError)
        assert "lstm" not in result.error.hint
    assert results[0].status == "up to date"


def test_the_command_fetches_the_others_of_a_universe(lstm, empty, monkeypatch):
    monkeypatch.setenv("LSTM_NOW", "2024-04-02T12:00:00+00:00")
    write(empty.parent, [f"{ticker},{line}" for ticker in ("MRK", "MDT") for line in lines(BARS)],
          header="Ticker," + YAHOO_HEADER)  # fmt: skip
    Path("universe.txt").write_text("MRK\nBTC/USD\nMDT\n")
    answer = lstm("fetch", "--file", "MRK.csv", "--universe", "universe.txt")
    assert (answer.code, answer.err.count("error: ")) == (2, 1)
    assert "'BTC/USD'" in answer.err
    assert Workspace(empty).bars.tickers() == ["MDT", "MRK"]
    typed = lstm("fetch", "MRK", "A/B", "--file", "MRK.csv", "--universe", "universe.txt")
    assert (typed.code, "MRK: " in typed.err) == (2, False)


def test_a_bad_calendar_stops_before_anything_else(workspace):
    with pytest.raises(ConfigError, match="XNYZ"):
        fetch(Session(workspace), [], source=SampleSource(), calendar="XNYZ")


def test_a_calendar_is_kept_for_the_updates(workspace):
    from_csv(workspace, lines(BARS[:50]), calendar="XTSE")
    # Family Day closes Toronto and not New York: no hole there, one less session.
    assert workspace.bars.read("MRK")[1].calendar == "XTSE"
    write(workspace.root.parent, lines(BARS))
    fetch(Session(workspace), [])
    assert workspace.bars.read("MRK")[1].calendar == "XTSE"


def test_a_ticker_twice_is_fetched_once(workspace):
    assert len(fetch(Session(workspace), ["GOOG", "GOOG"], source=SampleSource())) == 1


def test_a_start_cuts_the_bars(workspace):
    result = from_csv(workspace, lines(BARS), start=date(2024, 2, 1))
    assert result.first == pd.Timestamp("2024-02-01")


FAULTS = {
    "hole": lambda rows: [*rows[:-5], *rows[-4:]],
    "null": lambda rows: [*rows[:-5], rows[-5][:10] + ",,,,,,", *rows[-4:]],
    "text": lambda rows: [*rows[:-1], rows[-1].replace(",", ",oops", 1)],
    "duplicate": lambda rows: [*rows, rows[-2].replace(rows[-2][:10], rows[-1][:10])],
    "unsorted": lambda rows: [*rows[1:], rows[0]],
    "one row": lambda rows: rows[:1],
    "empty": lambda rows: [],
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_file_stores_nothing(workspace, name):
    result = from_csv(workspace, FAULTS[name](lines(BARS)), "MRK")
    assert result.status == "failed"
    assert isinstance(result.error, DataError)
    assert result.error.hint or name == "empty"
    assert not stored(workspace)


# One sound row of the stored ones is no fault: what is stored stays.
@pytest.mark.parametrize("name", [fault for fault in FAULTS if fault != "one row"])
def test_a_faulty_update_keeps_the_old_file(workspace, name):
    from_csv(workspace, lines(BARS[:50]), "MRK")
    before = stored(workspace)
    result = from_csv(workspace, FAULTS[name](lines(BARS)), "MRK")
    assert (result.status, result.rows) == ("failed", 50)
    assert stored(workspace) == before


def test_a_file_that_says_something_else_now_is_a_restatement(workspace):
    from_csv(workspace, lines(BARS), "MRK")
    changed = BARS.copy()
    changed[["open", "high", "low", "close"]] /= 2
    result = from_csv(workspace, lines(changed), "MRK")
    assert result.status == "restated"
    assert "0.5 times" in result.notes[0]


def test_a_file_that_is_gone_keeps_the_bars(workspace):
    from_csv(workspace, lines(BARS), "MRK")
    (workspace.root.parent / "MRK.csv").unlink()
    (result,) = fetch(Session(workspace), [])
    assert isinstance(result.error, NoDataError)
    assert len(workspace.bars.read("MRK")[0]) == 60


@pytest.mark.parametrize("copy", ["with the JSON copy", "without it"])
def test_fetching_brings_a_damaged_file_back(workspace, copy):
    from_csv(workspace, lines(BARS), "MRK")
    (workspace.bars.folder / "MRK.parquet").write_bytes(b"damaged")
    if copy == "without it":
        (workspace.bars.folder / "MRK.json").unlink()
        (result,) = fetch(Session(workspace), ["MRK"])
        assert isinstance(result.error, DataError)  # nobody knows where it came from
        source = CsvSource(file=workspace.root.parent / "MRK.csv")
        (result,) = fetch(Session(workspace), ["MRK"], source=source)
    else:
        (result,) = fetch(Session(workspace), ["MRK"])
    assert (result.status, result.rows) == ("new", 60)
    assert "damaged" in result.notes[0]
    assert len(workspace.bars.read("MRK")[0]) == 60


def test_an_old_hole_is_filled_when_the_file_has_it_later(workspace, caplog):
    with caplog.at_level(logging.WARNING):
        from_csv(workspace, [*lines(BARS)[:20], *lines(BARS)[21:]], "MRK")
    assert f"{BARS.index[20]:%Y-%m-%d}" in caplog.text
    result = from_csv(workspace, lines(BARS), "MRK")
    assert (result.status, result.added) == ("updated", 1)


def test_one_failing_ticker_leaves_the_others(workspace):
    results = fetch(Session(workspace), ["NOSUCH", "GOOG"], source=SampleSource())
    assert [result.status for result in results] == ["failed", "new"]
    assert results[0].error is not None
    assert results[0].error.exit_code == 3


def test_a_disk_that_is_full_fails_and_keeps_the_old_file(workspace):
    from_csv(workspace, lines(BARS[:50]), "MRK")
    before = stored(workspace)
    write(workspace.root.parent, lines(BARS))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        (result,) = fetch(Session(workspace), ["MRK"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert isinstance(result.error, DiskError)
    assert result.rows == 50
    assert stored(workspace) == before


# Market series


def test_a_market_series_lies_beside_the_tickers_and_is_none_of_them(workspace):
    from_csv(workspace, lines(BARS))
    result = from_csv(workspace, lines(BARS), "MRK", store=workspace.market)
    assert (result.status, result.rows) == ("new", 60)
    from_csv(workspace, lines(BARS), store=workspace.market)  # the file's own name
    assert workspace.bars.tickers() == workspace.market.tickers() == ["MRK"]
    assert (workspace.root / "market" / "MRK.parquet").exists()


def test_without_names_each_store_brings_its_own_up_to_date(workspace, tmp_path):
    from_csv(workspace, lines(BARS[:50]))
    (tmp_path / "^VIX.csv").write_text(YAHOO_HEADER + "\n".join(lines(BARS)))
    source = CsvSource(file=tmp_path / "^VIX.csv")
    fetch(Session(workspace), [], source=source, store=workspace.market)
    assert [result.ticker for result in fetch(Session(workspace), [])] == ["MRK"]
    (result,) = fetch(Session(workspace), [], store=workspace.market)
    assert (result.ticker, result.status) == ("^VIX", "up to date")
    # A file does not say its exchange.
    assert workspace.market.read("^VIX")[1].calendar == "XNYS"


def like_a_split(*, volume: bool) -> list[str]:
    bars = BARS.copy()
    bars.loc[bars.index[30] :, ["open", "high", "low", "close"]] *= 2
    return lines(bars if volume else bars.assign(volume=0.0))


def test_only_a_market_series_without_volume_may_jump_like_a_split(workspace):
    index = from_csv(workspace, like_a_split(volume=False), "MRK", store=workspace.market)
    assert index.status == "new"
    fund = from_csv(workspace, like_a_split(volume=True), "MDT", store=workspace.market)
    share = from_csv(workspace, like_a_split(volume=False), "MRK")
    for result in (fund, share):
        assert isinstance(result.error, DataError)


@pytest.mark.parametrize("name", [fault for fault in FAULTS if fault != "empty"])
def test_a_faulty_market_series_is_refused_with_its_own_command(workspace, name):
    result = from_csv(workspace, FAULTS[name](lines(BARS)), "MRK", store=workspace.market)
    assert "lstm fetch --market MRK" in result.error.hint
    assert workspace.market.tickers() == []


def test_a_damaged_market_series_comes_back(workspace):
    from_csv(workspace, lines(BARS), "MRK", store=workspace.market)
    (workspace.market.folder / "MRK.parquet").write_bytes(b"damaged")
    (result,) = fetch(Session(workspace), [], store=workspace.market)
    assert (result.status, result.rows) == ("new", 60)


# The command


def test_the_command_says_what_became_of_a_market_series(lstm, empty, monkeypatch):
    monkeypatch.setenv("LSTM_NOW", "2024-04-02T12:00:00+00:00")
    write(empty.parent, lines(BARS)).rename(empty.parent / "vix.csv")
    answer = lstm("fetch", "--market", "--file", "vix.csv", "--json")
    (vix,) = json.loads(answer.out)["market"]
    assert (answer.code, vix["ticker"], vix["status"], vix["rows"]) == (0, "VIX", "new", 60)
    assert lstm("fetch", "--market").err.startswith("VIX: up to date, 60 sessions")


def test_status_and_doctor_show_market_series_apart(lstm, empty, monkeypatch):
    monkeypatch.setenv("LSTM_NOW", "2024-04-02T12:00:00+00:00")
    write(empty.parent, lines(BARS))
    lstm("fetch", "^vix", "--market", "--file", "MRK.csv")
    head, row = lstm("status").out.splitlines()
    assert head.split() == ["market", "series", "source", "sessions", "last", "behind"]
    assert row.split() == ["^VIX", "csv", "60", "2024-03-27", "2"]
    lstm("fetch", "MRK", "--file", "MRK.csv")
    shown = lstm("status").out.splitlines()
    assert [line.partition(" ")[0] for line in shown] == ["ticker", "MRK", "", "market", "^VIX"]
    parsed = json.loads(lstm("status", "--json").out)
    assert [ticker["ticker"] for ticker in parsed["tickers"]] == ["MRK"]
    assert [(vix["ticker"], vix["sessions_behind"]) for vix in parsed["market"]] == [("^VIX", 2)]
    checked = lstm("doctor").out
    for name in ("bars MRK", r"market \^VIX"):
        row = rf"^{name} +60 sessions, 2024-01-02 to 2024-03-27, 2 behind$"
        assert re.search(row, checked, re.MULTILINE)
    (empty / "market" / "^VIX.parquet").write_bytes(b"damaged")
    for command in ("status", "doctor"):
        answer = lstm(command)
        assert (answer.code, answer.hint.partition(" brings")[0]) == (6, "lstm fetch --market ^VIX")


@pytest.mark.parametrize(
    ("words", "code", "said", "hint"),
    [
        (["--market"], 3, "name of a market series", "lstm fetch --market ^VIX"),
        (["--market", "a/b"], 2, "'A/B'", "lstm fetch --market"),
        (["--market", "X", "--source", "csv", "--file", "no.csv"], 3, "no.csv", "fetch --market"),
        (["--market", "X", "--source", "sample"], 3, "GOOG", "lstm fetch --market X"),
        (["MRK", "--source", "yahooo"], 2, "csv, sample, yahoo", "--source yahoo"),
        (["MRK", "--source", "zzz"], 2, "csv, sample, yahoo", "--source"),
        (["--source", "sample", "--file", "x.csv"], 2, "--source csv only", "--source csv --file"),
        (["MRK", "--source", "csv"], 2, "a file with --source csv", "--source csv --file"),
        (["--market", "X", "--source", "csv"], 2, "a file", "lstm fetch --market MRK --source csv"),
    ],
)
def test_a_wrong_command_line_is_refused_with_the_right_one(lstm, empty, words, code, said, hint):
    answer = lstm("fetch", *words)
    assert answer.code == code
    assert said in answer.err
    assert hint in answer.hint


@pytest.mark.market
def test_the_real_files_are_fetched_whole(workspace, market_data):
    (mrk,) = fetch(Session(workspace), ["MRK"], source=CsvSource(file=market_data / "MRK.csv"))
    assert (mrk.status, mrk.rows) == ("new", 4277)
    results = fetch(Session(workspace), [], source=CsvSource(file=market_data / "market30.csv.gz"))
    assert [result.rows for result in results] == [4828] * 30
