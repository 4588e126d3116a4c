"""The Yahoo source, through the real yfinance client and a Yahoo on loopback."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pandas as pd
import pytest
from command import kept_clock
from yahoo_server import Fault, Listing, YahooServer, traded

from lstmcli.errors import (
    DataError,
    DiskError,
    LstmError,
    NoDataError,
    RateLimitError,
    SourceError,
)
from lstmcli.pipeline.fetch import fetch
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.update import FetchResult
from lstmcli.sources import SampleSource, YahooSource
from lstmcli.sources.yahoo_failures import is_of_network, words_of_failure
from lstmcli.store import Workspace

QUICK = YahooSource(pause=0, timeout=5)
QUICK_SOURCE = {"name": "yahoo", "pause": 0.0, "timeout": 5.0}
FRIDAY = datetime(2024, 3, 8, 23, 0, tzinfo=UTC)  # the close was at 21:00
LATER = datetime(2024, 3, 13, 23, 0, tzinfo=UTC)  # three sessions later


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "data")


@pytest.fixture
def mrk(yahoo: YahooServer) -> Listing:
    """MRK from 2023-11-01 to 2024-05-01; Yahoo's clock stands at FRIDAY."""
    yahoo.listings["MRK"] = Listing(traded("2023-11-01", 125))
    yahoo.move_clock(FRIDAY)
    return yahoo.listings["MRK"]


def get(workspace: Workspace, *tickers: str) -> FetchResult:
    return fetch(Session(workspace), tickers or ["MRK"], source=QUICK)[-1]


def failure(workspace: Workspace, *tickers: str) -> LstmError:
    result = get(workspace, *tickers)
    assert result.status == "failed"
    assert result.error is not None
    assert "delisted" not in str(result.error) or "No data found" in str(result.error)
    return result.error


def test_a_first_fetch_stores_every_settled_session(workspace, mrk, yahoo):
    result = get(workspace)
    bars, meta = workspace.bars.read("MRK")
    assert (result.status, result.rows, result.added) == ("new", len(bars), len(bars))
    assert bars.index[-1] == pd.Timestamp("2024-03-08")
    expected = mrk.bars.loc[:"2024-03-08", ["open", "high", "low", "close"]]
    assert (abs(bars[expected.columns] / expected - 1) < 1e-9).all(axis=None)
    assert (meta.calendar, meta.timezone, meta.currency) == ("XNYS", "America/New_York", "USD")
    assert meta.source["name"] == "yahoo"
    assert {request.host for request in yahoo.requests} <= {
        "fc.yahoo.com",
        "finance.yahoo.com",
        "query1.finance.yahoo.com",
        "query2.finance.yahoo.com",
    }


def test_a_start_leaves_out_what_lies_before(workspace, mrk):
    fetch(Session(workspace), ["MRK"], source=QUICK, start=datetime(2024, 1, 10).date())
    assert workspace.bars.read("MRK")[0].index[0] == pd.Timestamp("2024-01-10")
    again = fetch(Session(workspace), ["MRK"], source=QUICK, start=datetime(2023, 12, 1).date())[0]
    assert again.status == "restated"
    assert workspace.bars.read("MRK")[0].index[0] == pd.Timestamp("2023-12-01")


def test_an_update_asks_for_the_last_sessions_only(workspace, mrk, yahoo):
    first = get(workspace)
    yahoo.move_clock(LATER)
    yahoo.requests.clear()
    result = get(workspace)
    assert (result.status, result.added, result.rows) == ("updated", 3, first.rows + 3)
    assert len(yahoo.charts("MRK")) == 1
    asked = pd.Timestamp(int(yahoo.charts("MRK")[0].query["period1"]), unit="s")
    assert asked.normalize() == pd.Timestamp("2024-02-23")  # ten sessions before the last


def test_a_second_fetch_at_the_same_time_is_up_to_date(workspace, mrk):
    get(workspace)
    before = (workspace.bars.folder / "MRK.parquet").read_bytes()
    assert get(workspace).status == "up to date"
    assert (workspace.bars.folder / "MRK.parquet").read_bytes() == before


def test_a_dividend_keeps_the_closes_and_is_recorded(workspace, mrk, yahoo):
    get(workspace)
    mrk.dividends["2024-03-12"] = 0.77
    yahoo.move_clock(LATER)
    assert get(workspace).status == "updated"
    bars, _ = workspace.bars.read("MRK")
    assert bars.at[pd.Timestamp("2024-03-12"), "dividend"] == pytest.approx(0.77)
    assert bars["dividend"].sum() == pytest.approx(0.77)


def test_a_changed_dividend_fetches_everything_again(workspace, mrk):
    mrk.dividends["2024-03-05"] = 0.77
    get(workspace)
    mrk.dividends["2024-03-05"] = 0.75
    result = get(workspace)
    assert result.status == "restated"
    assert "dividend of 2024-03-05 changed from 0.77 to 0.75" in result.notes[0]


@pytest.mark.parametrize("ratio", [4.0, 0.125])
def test_a_split_rewrites_the_whole_history(workspace, mrk, yahoo, ratio):
    get(workspace)
    before, _ = workspace.bars.read("MRK")
    # As traded, prices and volumes jump on the day.
    mrk.bars.loc["2024-03-12":, ["open", "high", "low", "close"]] /= ratio
    mrk.bars.loc["2024-03-12":, "volume"] *= ratio
    mrk.splits["2024-03-12"] = ratio
    yahoo.move_clock(LATER)
    result = get(workspace)
    assert result.status == "restated"
    assert "2024-03-12" in result.notes[0]
    after, _ = workspace.bars.read("MRK")
    share = after["close"].loc[before.index] / before["close"]
    assert abs(share * ratio - 1).max() < 1e-6
    assert after.at[pd.Timestamp("2024-03-12"), "split"] == ratio


def test_a_restatement_is_found_and_said(workspace, mrk):
    get(workspace)
    mrk.factor = 1.02
    result = get(workspace)
    assert result.status == "restated"
    assert "1.02 times" in result.notes[0]


def test_a_changed_bar_before_the_last_ones_fetches_everything_again(workspace, mrk):
    get(workspace)
    mrk.bars.loc["2024-02-27", "close"] *= 1.0005
    result = get(workspace)
    assert result.status == "restated"
    assert "close of 2024-02-27" in result.notes[0]


def test_a_small_correction_of_the_last_rows_is_taken_over(workspace, mrk):
    get(workspace)
    mrk.bars.loc["2024-03-07", "close"] *= 1.0005
    result = get(workspace)
    assert (result.status, result.added) == ("updated", 0)
    assert workspace.bars.read("MRK")[0].at[pd.Timestamp("2024-03-07"), "close"] == pytest.approx(
        mrk.bars.at[pd.Timestamp("2024-03-07"), "close"]
    )


@pytest.mark.parametrize(
    ("moment", "last"),
    [
        ("2024-03-08T15:00:00+00:00", "2024-03-07"),  # trading
        ("2024-03-08T21:29:00+00:00", "2024-03-07"),  # closed, within the margin
        ("2024-03-08T21:30:00+00:00", "2024-03-08"),  # settled
        ("2024-03-09T12:00:00+00:00", "2024-03-08"),  # weekend
        ("2024-03-11T13:00:00+00:00", "2024-03-08"),  # before Monday's open, now EDT
    ],
)
def test_todays_bar_is_dropped_until_it_has_settled(workspace, mrk, yahoo, moment, last):
    yahoo.move_clock(datetime.fromisoformat(moment))
    assert get(workspace).last == pd.Timestamp(last)


def test_an_unscheduled_early_close_settles_early(workspace, mrk, yahoo):
    mrk.closes = time(13, 0)
    yahoo.move_clock(datetime(2024, 3, 8, 18, 45, tzinfo=UTC))
    assert get(workspace).last == pd.Timestamp("2024-03-08")


def test_a_doubled_last_row_becomes_one_bar_whose_volume_is_revised(workspace, mrk, yahoo):
    get(workspace)
    session = pd.Timestamp("2024-03-08")
    bars, _ = workspace.bars.read("MRK")
    assert bars.index.is_unique
    assert bars.at[session, "volume"] < mrk.bars.at[session, "volume"]
    yahoo.move_clock(LATER)
    assert "revised" in get(workspace).notes[0]
    bars, _ = workspace.bars.read("MRK")
    assert bars.at[session, "volume"] == mrk.bars.at[session, "volume"]


@pytest.mark.parametrize("kind", ["holes", "nulls"])
def test_a_recent_hole_is_refused_and_the_old_file_kept(workspace, mrk, yahoo, kind):
    get(workspace)
    before = (workspace.bars.folder / "MRK.parquet").read_bytes()
    yahoo.move_clock(LATER)
    getattr(mrk, kind).add("2024-03-12")
    error = failure(workspace)
    assert isinstance(error, DataError)
    assert "Missing: 2024-03-12" in str(error)
    assert (workspace.bars.folder / "MRK.parquet").read_bytes() == before
    getattr(mrk, kind).clear()
    assert get(workspace).added == 3


def test_an_old_hole_is_a_warning_and_stays_a_hole(workspace, mrk, caplog):
    mrk.nulls.add("2023-12-05")
    with caplog.at_level(logging.WARNING):
        assert get(workspace).status == "new"
    assert "2023-12-05" in caplog.text
    assert pd.Timestamp("2023-12-05") not in workspace.bars.read("MRK")[0].index


def test_the_dividend_of_a_row_without_prices_goes_to_the_next_session(workspace, mrk):
    mrk.nulls.add("2023-12-05")
    mrk.dividends["2023-12-05"] = 0.5
    get(workspace)
    bars, _ = workspace.bars.read("MRK")
    assert bars.at[pd.Timestamp("2023-12-06"), "dividend"] == 0.5


def test_a_session_that_yahoo_lost_again_stays_stored(workspace, mrk):
    first = get(workspace)
    mrk.holes.add("2024-03-05")
    assert get(workspace).rows == first.rows


def test_a_429_stops_the_batch_and_is_remembered(workspace, mrk, yahoo):
    get(workspace)
    yahoo.faults.append(Fault(status=429, body="Too Many Requests"))
    results = fetch(Session(workspace), ["MRK", "MDT"], source=QUICK)
    assert [type(result.error) for result in results] == [RateLimitError, RateLimitError]
    assert not any("MDT" in request.path for request in yahoo.requests)
    assert "not asked for" in str(results[1].error)
    assert results[0].rows > 0  # what is stored stays usable

    yahoo.faults.clear()
    yahoo.requests.clear()
    error = failure(workspace)
    assert isinstance(error, RateLimitError)
    assert "23:15" in (error.hint or "")
    assert not yahoo.requests
    yahoo.move_clock(datetime(2024, 3, 8, 23, 16, tzinfo=UTC))
    assert get(workspace).status == "up to date"


def test_a_429_for_the_crumb_alone_does_no_harm(workspace, mrk, yahoo):
    yahoo.faults.append(Fault("getcrumb", status=429, body="Too Many Requests"))
    assert get(workspace).status == "new"


FAULTS = {
    "500": Fault(status=500, body="<html>Internal Server Error</html>"),
    "500 as JSON": Fault(
        status=500,
        body='{"chart":{"result":null,"error":{"code":"Internal","description":"later"}}}',
    ),
    "truncated JSON": Fault(truncate=True),
    "down": Fault(body="Will be right back..."),
    "another shape": Fault(body='{"finance":{"result":null,"error":null}}'),
    "a list": Fault(body="[]"),
    "401": Fault(status=401, body='{"finance":{"error":{"code":"Unauthorized"}}}'),
    "dropped connection": Fault(drop=True),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("stage", ["time zone", "bars"])
def test_a_failing_yahoo_is_a_source_error(workspace, mrk, yahoo, name, stage):
    """The time zone is a symbol's first request; its failure looks like a delisting."""
    if stage == "bars":
        get(workspace)  # the time zone is known from here on
        mrk.bars.loc["2024-03-07", "close"] *= 1.0005
    before = sorted(workspace.bars.folder.glob("*"))
    yahoo.faults.append(replace(FAULTS[name]))
    error = failure(workspace)
    assert isinstance(error, SourceError)
    assert error.exit_code == 4
    assert sorted(workspace.bars.folder.glob("*")) == before
    yahoo.faults.clear()
    assert get(workspace).status in ("new", "updated")


WORDS = {
    "500": "MRK: Yahoo is down (it answered HTTP 500).",
    "500 as JSON": "MRK: Yahoo is down (it answered HTTP 500).",
    "truncated JSON": "MRK: Yahoo's answer could not be understood.",
    "down": 'MRK: Yahoo is down (it answered "Will be right back").',
    "another shape": "MRK: Yahoo's answer could not be understood.",
    "a list": "MRK: Yahoo's answer could not be understood.",
    "401": "MRK: Yahoo refused to answer (HTTP 401).",
    "dropped connection": "MRK: the connection to Yahoo broke off.",
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("stage", ["time zone", "bars"])
def test_a_failure_is_said_in_plain_words(workspace, mrk, yahoo, name, stage):
    if stage == "bars":
        get(workspace)
    yahoo.faults.append(replace(FAULTS[name]))
    error = failure(workspace)
    assert str(error) == WORDS[name]
    assert error.hint == "try again later: lstm fetch MRK --source yahoo"


def test_no_network_and_a_slow_yahoo_are_said_in_plain_words(workspace, mrk, yahoo, monkeypatch):
    get(workspace)
    yahoo.faults.append(Fault(delay=1.5))
    slow = fetch(Session(workspace), ["MRK"], source=YahooSource(pause=0, timeout=0.5, retries=0))
    assert str(slow[0].error) == "MRK: Yahoo did not answer within 0.5 seconds."
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    said = "no network: no connection to query2.finance.yahoo.com through the proxy 127.0.0.1."
    assert str(failure(workspace)) == f"MRK: {said}"


def test_a_certificate_that_nobody_vouches_for_is_said_in_plain_words(
    workspace, mrk, yahoo, tmp_path, monkeypatch
):
    other = tmp_path / "other"
    other.mkdir()
    stranger = YahooServer(other)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(stranger.certificate))
    stranger._server.server_close()
    assert "its certificate could not be verified" in str(failure(workspace))


@pytest.mark.parametrize(
    ("code", "said", "words"),
    [
        (6, "curl: (6) Could not resolve host: query2.finance.yahoo.com. See https://curl.se",
         "no network: the name query2.finance.yahoo.com could not be looked up"),
        (5, "curl: (5) Could not resolve proxy: proxy.lan. See https://curl.se",
         "no network: the name of the proxy proxy.lan could not be looked up"),
        (7, "curl: (7) Failed to connect to query2.finance.yahoo.com port 443 after 3 ms: refused",
         "no network: no connection to query2.finance.yahoo.com"),
        (35, "curl: (35) TLS connect error: error:00000000",
         "no secure connection to Yahoo could be made"),
        (56, "curl: (56) CONNECT tunnel failed, response 407",
         "the proxy lets nobody through to Yahoo (HTTP 407)"),
        (47, "curl: (47) Maximum (30) redirects followed", "no connection to Yahoo"),
    ],
)  # fmt: skip
def test_what_curl_says_is_said_in_plain_words(code, said, words):
    from curl_cffi.const import CurlECode
    from curl_cffi.requests.exceptions import RequestException

    error = RequestException(f"Failed to perform, {said}", CurlECode(code))
    assert is_of_network(error)
    assert words_of_failure(error, 20.0) == words


@pytest.mark.parametrize("fault", ["500", "429"])
def test_many_tickers_say_once_why_yahoo_failed(lstm, empty, yahoo, monkeypatch, fault):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    names = [f"A{number}" for number in range(13)]
    yahoo.faults.append(
        Fault(status=int(fault), body="Too Many Requests" if fault == "429" else "")
    )
    answer = lstm("fetch", *names)
    assert answer.code == {"500": 4, "429": 5}[fault]
    (said,) = [line for line in answer.err.splitlines() if line.startswith("error: ")]
    assert said.endswith(" 12 other tickers: the same (A1 A2 A3 A4 A5 …).")
    asked = {
        request.path.rpartition("/")[2] for request in yahoo.requests if "chart" in request.path
    }
    assert asked == set(names[:5] if fault == "500" else names[:1])
    told = json.loads(lstm("fetch", *names, "--json").out)["tickers"]
    assert [ticker["ticker"] for ticker in told if ticker["error"]] == names


def test_a_source_that_is_down_stops_no_ticker_of_another(workspace, yahoo):
    fetch(Session(workspace), ["GOOG"], source=SampleSource())
    yahoo.faults.append(Fault(status=500))
    store = workspace.bars
    for name in ("A", "B", "C", "D", "E", "F"):
        bars, meta = store.read("GOOG")
        store.write(bars, meta.model_copy(update={"ticker": name, "source": QUICK_SOURCE}))
    results = fetch(Session(workspace), [])
    assert [result.status for result in results] == [*["failed"] * 6, "up to date"]


def test_one_failure_is_cured_by_the_retry(workspace, mrk, yahoo):
    yahoo.faults.append(Fault(drop=True, times=1))
    assert get(workspace).status == "new"


def test_a_slow_yahoo_times_out(workspace, mrk, yahoo):
    yahoo.faults.append(Fault(delay=1.5))
    source = YahooSource(pause=0, timeout=0.5, retries=0)
    get(workspace)
    result = fetch(Session(workspace), ["MRK"], source=source)[0]
    assert isinstance(result.error, SourceError)


def test_no_network_is_a_source_error(workspace, mrk, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert failure(workspace).exit_code == 4


def test_an_unknown_symbol_is_told_in_yahoos_words(workspace, mrk):
    error = failure(workspace, "NOSUCH")
    assert isinstance(error, NoDataError)
    assert "No data found, symbol may be delisted" in str(error)


def test_an_unknown_symbol_leaves_the_others(workspace, mrk):
    results = fetch(Session(workspace), ["NOSUCH", "MRK"], source=QUICK)
    assert [result.status for result in results] == ["failed", "new"]


def test_a_symbol_that_vanished_keeps_its_file(workspace, mrk, yahoo):
    get(workspace)
    del yahoo.listings["MRK"]
    assert isinstance(failure(workspace), NoDataError)
    assert workspace.bars.read("MRK")[0] is not None


def test_a_range_without_bars_is_up_to_date(workspace, mrk, yahoo):
    get(workspace)
    mrk.holes.update(str(session.date()) for session in mrk.bars.index)
    assert get(workspace).status == "up to date"


def test_a_high_below_the_low_is_refused(workspace, mrk):
    mrk.bars.loc["2024-03-06", "high"] = mrk.bars.at[pd.Timestamp("2024-03-06"), "low"] / 2
    error = failure(workspace)
    assert error.exit_code == 6
    assert "2024-03-06" in str(error)


def test_a_missing_split_is_refused(workspace, mrk):
    mrk.bars.loc["2024-02-01":, ["open", "high", "low", "close"]] /= 4
    error = failure(workspace)
    assert error.exit_code == 6
    assert "2024-02-01" in str(error)


def test_a_damaged_cache_of_yfinance_is_made_anew(workspace, mrk, yahoo):
    from yfinance.cache import _TzCacheManager

    from lstmcli.sources.yahoo_client import open_cache

    get(workspace)
    open_cache(workspace.cache)  # as in a new process
    for path in (workspace.cache / "yfinance").glob("*.db*"):
        path.write_bytes(b"not a database" * 500)
    yahoo.move_clock(LATER)
    assert get(workspace).status == "updated"
    assert _TzCacheManager.get_tz_cache().lookup("MRK") == "America/New_York"


def test_the_cache_lies_in_the_workspace(workspace, mrk, tmp_path):
    get(workspace)
    assert (workspace.cache / "yfinance" / "tkr-tz.db").exists()
    assert not list((tmp_path / "xdg-cache").glob("**/*.db"))


def test_a_cache_folder_that_cannot_be_made_is_a_disk_error(workspace, mrk):
    workspace.cache.parent.mkdir(parents=True)
    workspace.cache.write_text("a file where the folder should be")
    assert isinstance(failure(workspace), DiskError)


def test_tel_aviv_trades_on_sundays(workspace, yahoo):
    days = pd.date_range("2024-01-01", "2024-03-08")
    days = days[~days.day_of_week.isin([4, 5])]
    bars = traded("2024-01-02", len(days)).set_axis(days)
    yahoo.listings["KEN.TA"] = Listing(
        bars, exchange="TLV", zone="Asia/Jerusalem", currency="ILA", closes=time(17, 15)
    )
    yahoo.move_clock(datetime(2024, 3, 3, 16, 0, tzinfo=UTC))  # Sunday, after the close
    assert get(workspace, "KEN.TA").last == pd.Timestamp("2024-03-03")
    assert workspace.bars.read("KEN.TA")[1].calendar == "XTAE"


def test_a_subprocess_sees_the_same_yahoo(workspace, mrk, yahoo, tmp_path):
    """Stays quiet too: no warning of pandas or yfinance reaches stderr."""
    script = (
        "from pathlib import Path; import sys\n"
        "from lstmcli.pipeline.fetch import fetch\n"
        "from lstmcli.pipeline.session import Session\n"
        "from lstmcli.store import Workspace\n"
        "session = Session(Workspace(Path(sys.argv[1])))\n"
        "print(*[(r.ticker, r.status) for r in fetch(session, sys.argv[2:])])"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(workspace.root), "MRK", "NOSUCH"],
        env={**os.environ, **yahoo.environment(tmp_path), "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (run.stdout, run.stderr) == ("('MRK', 'new') ('NOSUCH', 'failed')\n", "")


@pytest.fixture(params=["volume 0", "no volume"])
def vix(request, yahoo: YahooServer) -> Listing:
    """^VIX on the clock of `mrk`, with each of the volumes that Yahoo gives an index."""
    bars = traded("2023-11-01", 125, price=15.0).assign(volume=0.0)
    listing = Listing(bars, exchange="WCB", zone="America/Chicago")
    listing.opens, listing.closes = time(8, 30), time(15, 15)
    listing.null_volume = request.param == "no volume"
    yahoo.listings["^VIX"] = listing
    yahoo.move_clock(FRIDAY)
    return listing


def get_market(workspace: Workspace, *names: str) -> FetchResult:
    return fetch(Session(workspace), names, store=workspace.market, source=QUICK)[-1]


def test_an_index_is_fetched_and_updated_as_a_market_series(workspace, vix, yahoo):
    result = get_market(workspace, "^VIX")
    bars, meta = workspace.market.read("^VIX")
    assert (result.status, result.last) == ("new", pd.Timestamp("2024-03-08"))
    assert (meta.calendar, meta.exchange) == ("XNYS", "WCB")
    assert not bars[["volume", "dividend", "split"]].any(axis=None)
    assert workspace.bars.tickers() == []
    yahoo.move_clock(LATER)
    yahoo.requests.clear()
    result = get_market(workspace)  # no name: every stored one
    assert (result.ticker, result.status, result.added) == ("^VIX", "updated", 3)
    assert len(yahoo.charts("^VIX")) == 1
    vix.factor = 1.02
    assert get_market(workspace, "^VIX").status == "restated"


def test_a_row_of_an_index_on_a_holiday_is_kept(workspace, vix):
    holiday = pd.Timestamp("2023-12-25")
    vix.bars = pd.concat([vix.bars, vix.bars.iloc[[30]].set_axis([holiday])]).sort_index()
    get_market(workspace, "^VIX")
    assert holiday in workspace.market.read("^VIX")[0].index


def test_an_index_that_jumps_like_a_split_is_sound(workspace, vix):
    vix.bars.loc["2024-02-05":, ["open", "high", "low", "close"]] *= 2
    assert get_market(workspace, "^VIX").status == "new"


@pytest.mark.parametrize("fault", ["500", "dropped connection", "unknown", "hole"])
def test_a_failing_market_series_keeps_its_file_and_its_hint_says_market(
    workspace, vix, yahoo, fault
):
    get_market(workspace, "^VIX")
    before = (workspace.market.folder / "^VIX.parquet").read_bytes()
    yahoo.move_clock(LATER)
    if fault == "hole":
        vix.holes.add("2024-03-12")
    elif fault == "unknown":
        del yahoo.listings["^VIX"]
    else:
        yahoo.faults.append(replace(FAULTS[fault]))
    error = get_market(workspace, "^VIX").error
    codes = {"500": 4, "dropped connection": 4, "unknown": 3, "hole": 6}
    assert error is not None
    assert error.exit_code == codes[fault]
    if fault != "unknown":  # whose hint is Yahoo's page that looks symbols up
        assert "lstm fetch --market ^VIX" in error.hint
    assert (workspace.market.folder / "^VIX.parquet").read_bytes() == before


def test_a_clock_that_a_test_moves_is_put_back(yahoo):
    before = os.environ["LSTM_NOW"]
    with kept_clock():
        yahoo.move_clock(LATER)
        assert os.environ["LSTM_NOW"] == LATER.isoformat()
    assert os.environ["LSTM_NOW"] == before


def test_a_429_states_how_long_to_wait(workspace, mrk, yahoo):
    yahoo.faults.append(Fault(status=429, headers={"Retry-After": "7200"}))
    assert "2024-03-09 01:00 UTC" in (failure(workspace).hint or "")
    yahoo.faults[:] = [Fault(status=429, headers={"Retry-After": "Sat, 09 Mar 2024 03:00:00 GMT"})]
    yahoo.move_clock(datetime(2024, 3, 9, 1, 1, tzinfo=UTC))
    assert "2024-03-09 03:00 UTC" in (failure(workspace).hint or "")
    for ignored in ("never", "-5", "999999"):
        yahoo.move_clock(yahoo.now + timedelta(days=3))
        yahoo.faults[:] = [Fault(status=429, headers={"Retry-After": ignored})]
        wait = timedelta(days=1) if ignored == "999999" else timedelta(minutes=15)
        assert f"{yahoo.now + wait:%Y-%m-%d %H:%M} UTC" in (failure(workspace).hint or "")


def test_a_429_soon_after_a_cool_down_makes_a_longer_one(workspace, mrk, yahoo):
    yahoo.faults.append(Fault(status=429))
    waits = []
    for _ in range(6):
        before = yahoo.now
        hint = failure(workspace).hint or ""
        until = datetime.strptime(hint, "fetch again after %Y-%m-%d %H:%M UTC").replace(tzinfo=UTC)
        waits.append((until - before) / timedelta(minutes=1))
        yahoo.move_clock(until)
    assert waits == [15, 30, 60, 120, 240, 240]
    yahoo.move_clock(yahoo.now + timedelta(hours=2))
    assert f"{yahoo.now + timedelta(minutes=15):%H:%M} UTC" in (failure(workspace).hint or "")


def test_a_clock_that_is_set_back_ends_a_cool_down(workspace, mrk, yahoo):
    now = yahoo.now
    yahoo.faults.append(Fault(status=429))
    yahoo.move_clock(now + timedelta(days=400))
    assert isinstance(failure(workspace), RateLimitError)
    yahoo.faults.clear()
    yahoo.move_clock(now)
    assert get(workspace).status == "new"
