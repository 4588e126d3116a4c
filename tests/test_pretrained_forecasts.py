"""Forecasts by the run that ships: any ticker, from a fresh machine on."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import Lstm, hinted, spawn
from evenings import issued, state
from yahoo_server import Fault, Listing, YahooServer, traded
from year import evening_of

import lstmcli
from lstmcli.cli import predict as predict_command
from lstmcli.forecasters.volatility.ewma import ewma_scale
from lstmcli.pipeline.session import Session
from lstmcli.sessions import sessions_between
from lstmcli.sources import YahooSource
from lstmcli.store import Workspace
from lstmcli.store.shipped import PATH, shipped_run

SATURDAY = datetime(2024, 3, 9, 12, 0, tzinfo=UTC)
LAST = pd.Timestamp("2024-03-08")
BARS = {seed: traded("2021-06-01", 740, seed=seed) for seed in range(5)}
UNTESTED = "The network was tested on US shares alone."


def up_to_last(seed: int = 0, *, sessions: int | None = None) -> Listing:
    """Return a share of which so many sessions have been traded by now; None: all of them."""
    bars = BARS[seed]
    end = bars.index.get_loc(LAST) + 1
    return Listing(bars.iloc[0 if sessions is None else end - sessions :])


def crypto(days: int = 700) -> dict:
    """Return a pair that is traded every day of the week."""
    dates = pd.date_range(end="2024-03-20", periods=days)
    close = 30_000 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.03, days)))
    opening = np.r_[close[0], close[:-1]]
    high, low = np.maximum(opening, close) * 1.005, np.minimum(opening, close) * 0.995
    rows = [
        [str(day.date()), *map(float, prices), 1e9]
        for day, *prices in zip(dates, opening, high, low, close, strict=True)
    ]
    return {
        **{"rows": rows, "zone": "UTC", "open": "00:00", "close": "23:59"},
        **{"exchange": "CCC", "type": "CRYPTOCURRENCY"},
    }


def fund() -> dict:
    """Return an exchange-traded fund."""
    rows = [[str(day.date()), *map(float, row)] for day, row in zip(*rows_of(BARS[4]), strict=True)]
    return {"rows": rows, "type": "ETF", "exchange": "PCX"}


def rows_of(bars: pd.DataFrame) -> tuple[pd.DatetimeIndex, np.ndarray]:
    return bars.index, bars[["open", "high", "low", "close", "volume"]].to_numpy()


@pytest.fixture
def place(yahoo: YahooServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a workspace that does not exist yet, beside a Yahoo that knows some tickers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTM_WORKSPACE", "data")
    monkeypatch.setattr(YahooSource, "pause_between_tickers", lambda self: 0.0)
    yahoo.listings |= {"MRK": up_to_last(0), "MDT": up_to_last(1)}
    yahoo.listings |= {"^VIX": up_to_last(2), "^GSPC": up_to_last(3)}
    yahoo.move_clock(SATURDAY)
    return tmp_path / "data"


def forecasts(lstm: Lstm, *words: str, code: int = 0) -> dict[str, dict]:
    """Return what `lstm predict --json` says of each ticker."""
    answer = lstm("predict", *words, "--json")
    assert answer.code == code, answer.err
    return {each["ticker"]: each for each in json.loads(answer.out)["forecasts"]}


def test_a_fresh_machine_fetches_and_forecasts(lstm, place, yahoo):
    answer = lstm("predict", "MRK")
    assert answer.code == 0, answer.err
    assert "fetching MRK ^VIX ^GSPC …" in answer.err
    assert "warning" not in answer.err
    assert "MRK  last close" in answer.out
    assert "NOTE" not in answer.out
    flat = " ".join(answer.out.split())
    assert "Trained on 500 US shares to 2023-12-29." in flat
    assert "These weights are judged by your ledger from now on." in flat
    assert Workspace(place).market.tickers() == ["^GSPC", "^VIX"]
    asked = len(yahoo.requests)
    first = forecasts(lstm, "MRK")["MRK"]
    assert (first["run"], first["in_sample"]) == (shipped_run().manifest.run, False)
    assert (first["sessions_behind"], first["notes"]) == (0, [])
    for words in (["MRK"], [], ["MRK", "--run", "pretrained"], ["MRK", "--offline"]):
        assert forecasts(lstm, *words) == {"MRK": first}
    assert len(yahoo.requests) == asked  # what is stored is not fetched again
    assert not (place / "runs").exists()


def test_the_digits_of_a_ticker_do_not_depend_on_others(lstm, place, yahoo):
    yahoo.raw["BTC-USD"] = crypto()
    yahoo.listings["NEW"] = up_to_last(4, sessions=60)
    steps = forecasts(lstm, "MRK")["MRK"]["steps"]
    together = forecasts(lstm, "BTC-USD", "MDT", "NEW", "MRK")
    assert list(together) == ["BTC-USD", "MDT", "NEW", "MRK"]
    assert together["MRK"]["steps"] == steps
    assert forecasts(lstm, "MRK")["MRK"]["steps"] == steps
    assert {name: of["steps"] for name, of in forecasts(lstm).items()} == {
        name: of["steps"] for name, of in together.items()
    }


@pytest.mark.parametrize(("sessions", "left"), [(20, 1), (5, 16)])
def test_too_few_sessions_exit_3_with_what_is_needed(lstm, place, yahoo, sessions, left):
    yahoo.listings["NEW"] = up_to_last(4, sessions=sessions)
    answer = lstm("predict", "NEW")
    assert (answer.code, answer.out) == (3, "")
    assert f"NEW: Expected 21 sessions up to 2024-03-08 for a forecast. Received: {sessions}." in (
        answer.err
    )
    assert answer.hint.startswith(f"{left} more session")
    assert hinted(answer) == ["lstm daily NEW"]
    bars = BARS[4].loc[:LAST].iloc[-sessions:].rename_axis("Date")
    bars.to_csv("OWN.csv")
    assert lstm("fetch", "OWN", "--file", "OWN.csv").code == 0
    answer = lstm("predict", "OWN")
    assert answer.code == 3
    assert "a longer history" in answer.hint


def test_a_share_listed_yesterday_exits_3(lstm, place, yahoo):
    yahoo.listings["NEW"] = up_to_last(4, sessions=1)
    answer = lstm("predict", "NEW", "MRK")
    assert answer.code == 3
    assert "NEW: Expected at least two sessions. Received: the first one, 2024-03-08." in answer.err
    assert hinted(answer) == ["lstm fetch NEW"]
    assert "MRK  last close" in answer.out


@pytest.mark.parametrize("sessions", [21, 100])
def test_a_short_history_is_forecast_by_ewma_which_is_said(lstm, place, yahoo, sessions):
    yahoo.listings["NEW"] = up_to_last(4, sessions=sessions)
    told = f"{sessions} sessions are too few for the network, which reads 101."
    of_new = forecasts(lstm, "NEW")["NEW"]
    assert of_new["notes"] == [f"{told} The ranges follow EWMA volatility."]
    sigma = [step["sigma"] for step in of_new["steps"]]
    bars, _ = Session(Workspace(place)).settled("NEW")
    assert sigma == pytest.approx(ewma_scale(bars, 20)[-1].tolist())
    flat = " ".join(lstm("predict", "NEW").out.split())
    assert f"NOTE: {told}" in flat


def test_the_shape_of_a_short_history_is_the_shipped_one(lstm, place, yahoo):
    """Its own errors are too few: of 21 sessions there is none."""
    yahoo.listings |= {f"NEW{seed}": up_to_last(seed, sessions=21) for seed in (3, 4)}
    shapes = []
    for of in forecasts(lstm, "NEW3", "NEW4").values():
        step, close = of["steps"][0], of["last_close"]
        shapes.append([np.log(step[q] / close) / step["sigma"] for q in ("q05", "q50", "q95")])
    assert shapes[0] == pytest.approx(shapes[1])
    low, _, high = shapes[0]
    assert low == pytest.approx(-1.6, abs=0.3)
    assert high == pytest.approx(1.6, abs=0.3)


def test_the_network_forecasts_from_101_sessions_on(lstm, place, yahoo):
    yahoo.listings["NEW"] = up_to_last(4, sessions=101)
    of_new = forecasts(lstm, "NEW")["NEW"]
    assert of_new["notes"] == []
    bars, _ = Session(Workspace(place)).settled("NEW")
    sigma = np.array([step["sigma"] for step in of_new["steps"]])
    assert np.abs(sigma / ewma_scale(bars, 20)[-1] - 1).max() > 0.05


def test_a_suspended_share_is_refused_with_its_last_trade(lstm, place, yahoo):
    listing = up_to_last(4)
    last = listing.bars.index[-1]
    bars = listing.bars.loc[:LAST].copy()
    still = bars.index[-12:]
    close = bars["close"].loc[: still[0]].iloc[-2]
    bars.loc[still, ["open", "high", "low", "close"]] = close
    bars.loc[still, "volume"] = 0.0
    yahoo.listings["HALT"] = Listing(pd.concat([bars, listing.bars.loc[last:]]))
    answer = lstm("predict", "HALT")
    assert (answer.code, answer.out) == (6, "")
    (command,) = hinted(answer)
    assert command.startswith("lstm predict HALT --as-of ")
    day = command.split()[4]
    assert lstm("predict", "HALT", "--as-of", day).code == 0


def test_a_pair_that_is_traded_at_weekends_is_forecast_for_weekends(lstm, place, yahoo):
    yahoo.raw["BTC-USD"] = crypto()
    of_pair = forecasts(lstm, "BTC-USD")["BTC-USD"]
    days = pd.DatetimeIndex([step["target_on"] for step in of_pair["steps"]])
    assert days.tolist() == pd.date_range("2024-03-09", periods=20).tolist()
    (note,) = of_pair["notes"]
    assert note.startswith(UNTESTED)


def test_a_ticker_that_yahoo_does_not_know_exits_3_beside_others(lstm, place):
    for words in (["NOPE"], ["NOPE", "MRK"], ["MDT", "NOPE", "MRK"]):
        answer = lstm("predict", *words)
        assert answer.code == 3
        assert answer.err.count("error: ") == 1
        assert "error: NOPE: Yahoo does not know this symbol" in answer.err
        assert "finance.yahoo.com/lookup" in answer.hint
        for ticker in words:
            assert (re.search(rf"^{ticker} ", answer.out, re.M) is not None) == (ticker != "NOPE")


def test_without_yahoo_what_is_stored_is_forecast_and_called_stale(lstm, place, yahoo):
    assert lstm("predict", "MRK").code == 0
    yahoo.faults.append(Fault(path="", drop=True))
    yahoo.move_clock(datetime(2024, 3, 14, 23, 0, tzinfo=UTC))
    answer = lstm("predict", "MRK")
    assert answer.code == 0
    assert "warning: MRK: stale: 4 sessions have settled since its last bar" in answer.err
    assert "MRK  last close" in answer.out
    answer = lstm("predict", "NEW")
    assert (answer.code, answer.out) == (4, "")
    assert hinted(answer) == ["lstm fetch NEW"]
    answer = lstm("predict", "NEW", "NEWER", "NEWEST", "MRK")
    assert answer.code == 4
    assert answer.err.count("error: ") == 1
    assert "2 other tickers: the same (NEWER NEWEST)." in answer.err
    assert "MRK  last close" in answer.out


def test_offline_fetches_nothing(lstm, place, yahoo):
    answer = lstm("predict", "MRK", "--offline")
    assert (answer.code, answer.out) == (3, "")
    assert hinted(answer) == ["lstm fetch MRK"]
    answer = lstm("predict", "--offline")
    assert answer.code == 3
    assert hinted(answer) == ["lstm predict MRK"]
    assert yahoo.requests == []
    assert not place.exists()


def test_absent_market_series_are_said_once(lstm, place, yahoo):
    for name in ("^VIX", "^GSPC"):
        del yahoo.listings[name]
    words = {"first": "could not be fetched (", "again": "is not stored: forecasts go without it"}
    for told in words.values():
        answer = lstm("predict", "MRK", "MDT")
        assert answer.code == 0
        for name in ("^VIX", "^GSPC"):
            lines = [line for line in answer.err.splitlines() if line.startswith("warning: ")]
            (line,) = [line for line in lines if name in line]
            assert line.startswith(f"warning: {name} {told}")


@pytest.mark.parametrize("name", ["BTC-USD", "SPY", "^FTSE", "REL.L"])
def test_what_the_network_was_never_tested_on_is_noted_everywhere(lstm, place, yahoo, name):
    yahoo.raw |= {"BTC-USD": crypto(), "SPY": fund()}
    yahoo.listings["^FTSE"] = up_to_last(4)
    london = {"exchange": "LSE", "zone": "Europe/London", "currency": "GBP"}
    yahoo.listings["REL.L"] = Listing(of_london(), **london)
    told = f"NOTE: {UNTESTED} How well it forecasts anything else is not known."
    table = lstm("predict", name)
    assert table.code == 0, table.err
    assert told in " ".join(table.out.split())
    both = " ".join(lstm("predict", "MRK", name).out.split())
    assert f"NOTE: {name}: {UNTESTED}" in both
    told_of = forecasts(lstm, "MRK", name)
    assert [len(told_of[each]["notes"]) for each in ("MRK", name)] == [0, 1]
    for line in ([name], ["MRK", name, "--kind", "compare"]):
        answer = lstm("plot", *line, "-o", "drawn.svg")
        assert answer.code == 0, answer.err
        assert UNTESTED in text_of(Path("drawn.svg"))
    assert lstm("report").code == 0
    assert (place / "report.html").read_text().count(f'<p class="note">{UNTESTED}') == 1


def of_london() -> pd.DataFrame:
    """Return bars on London's sessions."""
    span = pd.Timestamp("2021-06-01"), pd.Timestamp("2024-03-20")
    days = sessions_between("XLON", *span, observed=pd.DatetimeIndex([]))
    bars = BARS[4].iloc[: len(days)]
    return bars.set_axis(days[: len(bars)], axis=0)


def text_of(svg: Path) -> str:
    """Return the words of a picture."""
    return " ".join(" ".join(re.findall(r">([^<]+)</text>", svg.read_text())).split())


def test_an_origin_that_the_weights_have_seen_is_a_picture(lstm, place):
    answer = lstm("predict", "MRK", "--as-of", "2023-06-30")
    assert answer.code == 0
    assert (
        "MRK: These weights have seen the years to 2023-12-29, and this forecast is from "
        "2023-06-30: a picture, no score." in answer.err
    )
    assert forecasts(lstm, "MRK", "--as-of", "2023-06-30")["MRK"]["in_sample"] is True
    assert forecasts(lstm, "MRK", "--as-of", "2024-01-02")["MRK"]["in_sample"] is False
    assert lstm("predict", "MDT").code == 0
    for words in (["MRK"], ["MRK", "MDT", "--kind", "compare"]):
        answer = lstm("plot", *words, "--as-of", "2023-06-30", "-o", "drawn.svg")
        assert answer.code == 0
        assert "a picture, no score" in text_of(Path("drawn.svg"))
    assert "no score" not in lstm("predict", "MRK", "--as-of", "2024-01-02").err


@pytest.mark.process
@pytest.mark.parametrize("how", ["cut", "changed", "gone"])
def test_a_damaged_file_of_the_run_exits_6_and_doctor_says_so(tmp_path, lstm, place, how):
    assert lstm("predict", "MRK").code == 0  # what is stored needs no network
    package = Path(lstmcli.__file__).parent
    shutil.copytree(package, tmp_path / "installed" / "lstmcli")
    shutil.copytree(package.parent / "configs", tmp_path / "installed" / "configs")
    shipped = tmp_path / "installed" / "lstmcli" / PATH.name
    content = bytearray(shipped.read_bytes())
    content[len(content) // 2] ^= 1
    shipped.write_bytes(content if how == "changed" else content[:-100])
    if how == "gone":
        shipped.unlink()
    changes = {"PYTHONPATH": str(tmp_path / "installed"), "LSTM_NOW": SATURDAY.isoformat()}
    answer = spawn("predict", "MRK", workspace=place, changes=changes)
    assert (answer.code, answer.out) == (6, "")
    assert f"{shipped} is damaged" in answer.err
    assert "install lstm again" in answer.hint
    answer = spawn("doctor", workspace=place, changes=changes)
    assert answer.code == 6
    assert re.search(r"^pretrained +failed$", answer.out, re.M)
    assert f"{shipped} is damaged" in answer.err


def test_doctor_tells_of_the_run_that_ships(lstm, place):
    answer = lstm("doctor")
    assert answer.code == 0
    (line,) = re.findall(r"^pretrained +(.*)$", answer.out, re.M)
    told = f"{shipped_run().manifest.run}, fitted on 500 tickers to 2023-12-29, "
    assert re.fullmatch(rf"{told}\d+ kB, whole", line)


def test_several_failures_alike_are_each_said_in_json(lstm, place, yahoo):
    yahoo.faults.append(Fault(path="", drop=True))
    answer = lstm("predict", "NEW", "NEWER", "--json")
    assert answer.code == 4
    errors = [json.loads(line) for line in answer.err.splitlines() if line.startswith("{")]
    assert [error["error"].partition(":")[0] for error in errors] == ["NEW", "NEWER"]
    assert predict_command.said_once([]) == []


def evening(yahoo: YahooServer, number: int) -> pd.Timestamp:
    """Move the clock to the evening of a session so many after LAST; return the session."""
    sessions = BARS[0].index
    session = sessions[sessions.get_loc(LAST) + number]
    yahoo.move_clock(evening_of(session))
    return session


def whole(yahoo: YahooServer, **tickers: int) -> None:
    """Let Yahoo know tickers, by the seed of their bars, on evenings to come."""
    for ticker in yahoo.listings:
        yahoo.listings[ticker] = Listing(BARS[list(yahoo.listings).index(ticker)])
    yahoo.listings |= {ticker: Listing(BARS[seed]) for ticker, seed in tickers.items()}


def outcomes(place: Path) -> dict[str, str]:
    return {each["ticker"]: each["outcome"] for each in state(place)["tickers"]}


def test_evenings_of_an_empty_workspace_need_no_training(lstm, place, yahoo):
    whole(yahoo, KO=4)
    young = BARS[4].iloc[BARS[4].index.get_loc(LAST) - 19 :]  # 20 sessions by now
    yahoo.listings["NEW"] = Listing(young)
    first = evening(yahoo, 0)
    answer = lstm("daily", "MRK", "MDT", "NEW")
    assert answer.code == 0, answer.err
    assert "2 forecasts, 1 too young" in answer.err
    assert "NEW: Expected 21 sessions up to 2024-03-08" in answer.err
    assert Workspace(place).market.tickers() == ["^GSPC", "^VIX"]
    page = (place / "report.html").read_text()
    assert "2 of 3 forecasts are up to date; too young: NEW." in page
    assert "Better than the random walk" in page
    assert ", on shares it never saw." in page
    assert "before it shipped, on 500 US shares to 2023-12-29" in page
    assert "the same training to 2015 and 2019, on 100 shares that it never saw" in page
    again = lstm("daily", "MRK", "MDT", "NEW")
    assert again.code == 0
    assert "2 up to date, 1 too young" in again.err

    # A ticker that is named for the first time has its forecast the same evening.
    names = ["MRK", "MDT", "NEW", "KO"]
    for number in (1, 2, 3):
        evening(yahoo, number)
        answer = lstm("daily", *names[: 2 + number])
        assert answer.code == 0, answer.err
        assert outcomes(place) == dict.fromkeys(names[: 2 + number], "forecast")
    assert not (place / "runs").exists()
    workspace = Workspace(place)
    assert workspace.ledger.verify().rows == len(workspace.ledger.read())
    rows = workspace.ledger.read()
    assert set(rows["run"]) == {shipped_run().manifest.run}
    count = rows[rows["calibrated"]].groupby("ticker")["made_on"].nunique()
    assert count.to_dict() == {"MRK": 4, "MDT": 4, "NEW": 3, "KO": 2}
    assert rows["made_on"].min() == first
    score = lstm("score")
    assert score.code == 0
    assert re.search(r"^ *1 +pretrained\+calibrated +3 ", score.out, re.M)
    assert "No alarm about the cones of pretrained+calibrated" in " ".join(score.out.split())


def test_an_evening_asks_for_absent_market_series_with_a_new_ticker_alone(lstm, place, yahoo):
    whole(yahoo)
    del yahoo.listings["^VIX"], yahoo.listings["^GSPC"]
    evening(yahoo, 0)
    answer = lstm("daily", "MRK")
    assert answer.code == 0
    notes = state(place)["notes"]
    assert [note.partition(" could not be fetched")[0] for note in notes] == ["^VIX", "^GSPC"]
    assert "warning" not in answer.err
    asked = len(yahoo.charts("^VIX"))
    evening(yahoo, 1)
    assert lstm("daily").code == 0
    assert state(place)["notes"] == []
    assert len(yahoo.charts("^VIX")) == asked
    yahoo.listings["^VIX"] = Listing(BARS[2])
    evening(yahoo, 2)
    assert lstm("daily", "MRK", "MDT").code == 0
    assert Workspace(place).market.tickers() == ["^VIX"]


def test_a_share_listed_tonight_waits_without_failing_the_evening(lstm, place, yahoo):
    whole(yahoo)
    yahoo.listings["NEW"] = Listing(BARS[4].loc[LAST:])
    evening(yahoo, 0)
    answer = lstm("daily", "NEW", "MRK")
    assert answer.code == 0, answer.err
    assert outcomes(place) == {"NEW": "too young", "MRK": "forecast"}
    evening(yahoo, 1)
    assert lstm("daily", "NEW", "MRK").code == 0
    assert outcomes(place) == {"NEW": "too young", "MRK": "forecast"}


def test_no_forecast_that_the_weights_have_seen_is_issued(lstm, place, yahoo):
    yahoo.move_clock(datetime(2023, 12, 28, 23, 0, tzinfo=UTC))
    for _ in range(2):
        answer = lstm("daily", "MRK")
        assert answer.code == 3
        assert "the network that ships has seen the sessions to 2023-12-29" in answer.err
        assert hinted(answer) == ["lstm train MRK"]
    assert not Workspace(place).ledger.exists()
    assert Workspace(place).market.tickers() == []
    yahoo.move_clock(datetime(2024, 1, 2, 23, 0, tzinfo=UTC))
    assert lstm("daily", "MRK").code == 0
    assert issued(place) == [("MRK", "2024-01-02")]
