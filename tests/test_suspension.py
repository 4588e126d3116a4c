"""What a user sees of a share that rests, of one that is another one, and of a still price."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import NOW, TINY, Lstm, hinted, spawn, stored
from simulate import simulate_bars

from lstmcli import clock, forecast, read_bars
from lstmcli.config import load_config
from lstmcli.errors import DataError, NoDataError
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.training_plan import plan_training, sessions_needed
from lstmcli.store import Workspace
from lstmcli.store.bars import BarsMeta

pytestmark = pytest.mark.process

LAST = "2008-10-14"
TRADED = 530
"""Sessions before the suspension of REST, which lasts to the end."""

RESTING = 30


def rest() -> pd.DataFrame:
    bars = simulate_bars(TRADED + RESTING, seed=3, last=LAST)
    rows = bars.index[TRADED:]
    bars.loc[rows, ["open", "high", "low", "close"]] = bars["close"].iloc[TRADED - 1]
    bars.loc[rows, "volume"] = 0.0
    return bars


SINCE = f"{rest().index[TRADED - 1]:%Y-%m-%d}"
REFUSED = (
    "REST: Expected a session with trades at the origin. "
    f"Received: none since {SINCE} ({RESTING} sessions)."
)


def write_csv(bars: pd.DataFrame, path: Path) -> Path:
    frame = bars.rename_axis("Date")[["open", "high", "low", "close", "volume"]]
    frame.to_csv(path)
    return path


@pytest.fixture(scope="session")
def pool(made_once) -> tuple[Path, dict[str, dict[str, object]]]:
    """Fetch and train, as processes, a share that rests and one that trades."""

    def make(folder: Path) -> dict[str, dict[str, object]]:
        answers = {}
        for name, bars in {"REST": rest(), "SIM": simulate_bars(560, last=LAST)}.items():
            write_csv(bars, folder / f"{name}.csv")
            line = ["fetch", name, "--source", "csv", "--file", f"{name}.csv"]
            answers[name] = spawn(*line, workspace=folder / "data")
        answers["train"] = spawn("train", *TINY, workspace=folder / "data")
        for answer in answers.values():
            assert answer.code == 0, answer.err
        return {name: vars(answer) for name, answer in answers.items()}

    return made_once("resting", make)


@pytest.fixture
def data(pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(pool[0], tmp_path / "pool")
    monkeypatch.chdir(tmp_path / "pool")
    monkeypatch.setenv("LSTM_WORKSPACE", "data")
    monkeypatch.setenv(clock.VARIABLE, NOW)
    return tmp_path / "pool" / "data"


def test_fetch_and_train_say_since_when_a_share_rests(pool):
    answers = pool[1]
    said = f"no trade since {SINCE} ({RESTING} sessions): no forecast until it trades"
    lines = answers["REST"]["err"].splitlines()
    assert lines[0].startswith("REST: new, 560 sessions, ") and lines[1] == f"  {said}"
    assert "no trade" not in answers["SIM"]["err"]
    assert f"warning: REST: {said}" in answers["train"]["err"]


def test_fetch_says_it_again_where_nothing_is_new(data, lstm: Lstm):
    answer = lstm("fetch", "REST", "--json")
    (told,) = json.loads(answer.out)["tickers"]
    assert told["status"] == "up to date"
    assert told["rows"] == 560
    assert [note for note in told["notes"] if note.startswith(f"no trade since {SINCE}")]


def test_predict_refuses_the_share_that_rests_and_forecasts_the_other(data, lstm: Lstm):
    answer = lstm("predict")
    assert answer.code == 6
    assert f"error: {REFUSED}" in answer.err
    assert "SIM  last close" in answer.out
    (csv,) = data.glob("forecasts/*/*.csv")
    assert csv.name.startswith("SIM-")
    (line,) = hinted(answer)
    again = lstm(*line.split()[1:])
    assert again.code == 0, again.err
    assert re.search(f"REST  last close [0-9.,]+, {SINCE}", again.out)


def test_a_chart_is_refused_too(data, lstm: Lstm):
    answer = lstm("plot", "REST")
    assert answer.code == 6
    assert REFUSED in answer.err
    assert not list(data.glob("charts/*"))


def test_a_forecast_of_the_past_does_not_know_that_the_share_will_rest(data, lstm: Lstm):
    # On the ninth still session it is not suspended yet.
    ninth = f"{rest().index[TRADED + 8]:%Y-%m-%d}"
    tenth = f"{rest().index[TRADED + 9]:%Y-%m-%d}"
    assert lstm("predict", "REST", "--as-of", ninth).code == 0
    answer = lstm("predict", "REST", "--as-of", tenth)
    assert answer.code == 6
    assert f"none since {SINCE} (10 sessions)" in answer.err


def test_daily_names_it_and_goes_on_and_the_report_shows_it(data, lstm: Lstm):
    answer = lstm("daily", "--json")
    assert answer.code == 6
    day = json.loads(answer.out)["day"]
    outcomes = {ticker["ticker"]: ticker["outcome"] for ticker in day["tickers"]}
    assert outcomes == {"REST": "failed", "SIM": "forecast"}
    assert day["sentence"].endswith("1 forecast, 1 failed")
    # Printed once, in one line.
    plain = lstm("daily")
    assert plain.err.count("Expected a session with trades") == 1
    page = (data / "report.html").read_text()
    assert f"none since {SINCE} ({RESTING} sessions)" in page
    assert lstm("report").code == 0
    page = (data / "report.html").read_text()
    assert "SIM" in page


def test_status_says_since_when(data, lstm: Lstm):
    answer = lstm("status")
    assert answer.code == 0
    assert f"REST: no trade since {SINCE}: no forecast" in answer.out
    assert "SIM: no trade" not in answer.out
    told = {row["ticker"]: row for row in json.loads(lstm("status", "--json").out)["tickers"]}
    assert told["REST"]["no_trade_since"] == SINCE
    assert told["SIM"]["no_trade_since"] is None


def test_outcomes_that_were_counted_stay_when_a_suspension_follows(
    data, lstm: Lstm, monkeypatch: pytest.MonkeyPatch
):
    made_on = rest().index[TRADED - 3]
    monkeypatch.setenv(clock.VARIABLE, f"{made_on:%Y-%m-%d}T18:00:00-04:00")
    assert lstm("daily", "REST").code == 0
    counts = []
    for row in (TRADED + 5, TRADED + RESTING - 1):
        evening = f"{rest().index[row]:%Y-%m-%d}T18:00:00-04:00"
        monkeypatch.setenv(clock.VARIABLE, evening)
        counts.append(json.loads(lstm("score", "--json").out)["live"]["counts"]["scored"])
    assert counts == [8, 20]


def test_python_reads_all_bars_and_gives_no_forecast(data):
    assert len(read_bars("REST")) == 560
    with pytest.raises(DataError, match="session with trades"):
        forecast("REST")
    assert set(forecast("SIM")["ticker"]) == {"SIM"}


def test_training_reads_no_session_without_a_trade(data):
    session = Session(Workspace(data))
    loaded = session.panel(["REST", "SIM"])
    assert str(loaded.panel["REST"].index[-1].date()) == SINCE
    assert list(loaded.unread) == ["REST"]
    assert len(loaded.panel["SIM"]) == 560


def test_a_relisted_share_is_trained_and_forecast_from_its_new_bars(empty, lstm: Lstm):
    bars = simulate_bars(700, seed=4, last=LAST)
    bars.loc[bars.index[250] :, ["open", "high", "low", "close"]] *= 12
    bars = bars.drop(bars.index[200:250])
    fetched = lstm("fetch", "NEW", "--source", "csv", "--file", write_csv(bars, Path("NEW.csv")))
    since = f"{bars.index[200]:%Y-%m-%d}"
    said = f"relisted on {since}: earlier bars are stored and not read"
    assert fetched.code == 0
    assert f"  {said}" in fetched.err
    assert "NEW: new, 650 sessions" in fetched.err
    planned = lstm("train", "NEW", *TINY, "--dry-run")
    assert planned.code == 0, planned.err
    assert f"warning: NEW: {said}" in planned.err
    first = re.search(r"scored  train +(\S+)", planned.out)
    # 20 returns, then a lookback of 12: the window of the first origin starts after them.
    assert first[1] == f"{bars.index[200 + 20 + 11]:%Y-%m-%d}"
    assert len(Session(Workspace(empty)).panel(["NEW"]).panel["NEW"]) == 450


def test_a_money_market_fund_is_refused_at_fetch(empty, lstm: Lstm):
    fund = rest().assign(open=1.0, high=1.0, low=1.0, close=1.0, volume=0.0)
    path = write_csv(fund, Path("FUND.csv"))
    before = stored(empty) if empty.exists() else {}
    answer = lstm("fetch", "FUND", "--source", "csv", "--file", path)
    assert answer.code == 6
    assert "FUND: Expected a price that moves. Received: 1" in answer.err
    assert "in all 560 sessions" in answer.err
    assert stored(empty) == before
    # A market series may stand still: a rate does, and nobody forecasts it.
    assert lstm("fetch", "RATE", "--market", "--source", "csv", "--file", path).code == 0


def test_a_still_price_that_an_older_version_stored_is_refused_by_every_verb(data, lstm: Lstm):
    fund = rest().assign(open=1.0, high=1.0, low=1.0, close=1.0, volume=0.0)
    store = Workspace(data).bars
    _, meta = store.read("SIM")
    details = {name: getattr(meta, name) for name in ("exchange", "timezone", "currency")}
    for name in ("FUND", "SIM"):  # SIM has a run already
        made = BarsMeta.of(
            fund,
            ticker=name,
            source=meta.source,
            calendar=meta.calendar,
            fetched_at=meta.fetched_at,
            **details,
        )
        store.write(fund, made)
    kept = stored(data)
    for line in (
        ["train", "FUND", *TINY],
        ["train", "FUND", "--dry-run"],
        ["predict", "SIM"],
        ["backtest", "FUND", "-c", "smoke"],
    ):
        answer = lstm(*line)
        assert answer.code == 6, (line, answer.err)
        assert "Expected a price that moves" in answer.err
    assert stored(data) == kept


def test_days_that_were_filled_in_are_dropped_at_every_fetch(empty, lstm: Lstm):
    bars = simulate_bars(300, last=LAST)
    every = bars.reindex(pd.date_range(bars.index[0], bars.index[-1])).ffill()
    new = ~every.index.isin(bars.index)
    for name in ("open", "high", "low"):
        every.loc[new, name] = every.loc[new, "close"]
    every.loc[new, "volume"] = 0.0
    path = write_csv(every, Path("FILLED.csv"))
    said = f"  {new.sum()} flat rows were dropped: on days without a session"
    for status in ("new", "up to date"):
        answer = lstm("fetch", "FILLED", "--source", "csv", "--file", path)
        assert answer.code == 0
        assert f"FILLED: {status}, 300 sessions" in answer.err
        assert said in answer.err.splitlines()
    np.testing.assert_allclose(read_bars("FILLED")["close"], bars["close"])


@pytest.mark.parametrize("name", ["smoke", "lstm", "multivariate", "best"])
def test_the_sessions_that_a_training_asks_for_suffice(name, empty, lstm: Lstm):
    # With a batch of 64 the windows to train on fill one.
    config = load_config(name, overrides=["training.batch_size=64"])
    needed = sessions_needed(config)
    bars = simulate_bars(needed, last=LAST)
    for count in (45, needed - 1, needed):
        path = write_csv(bars.iloc[-count:], Path("IPO.csv"))
        assert lstm("fetch", "IPO", "--source", "csv", "--file", path).code == 0
        session = Session(Workspace(empty))
        if count == needed:
            assert plan_training(session, config, ["IPO"]).scored
            continue
        with pytest.raises(NoDataError, match=f"at least {needed} sessions .* {count}, which"):
            plan_training(session, config, ["IPO"])


def test_the_sessions_asked_for_fill_a_batch_too(empty, lstm: Lstm):
    config = load_config("smoke", overrides=["training.batch_size=200"])
    needed = 45
    for _ in range(2):
        path = write_csv(simulate_bars(needed, last=LAST), Path("IPO.csv"))
        assert lstm("fetch", "IPO", "--source", "csv", "--file", path, "--replace").code == 0
        session = Session(Workspace(empty))
        if needed > 45:
            plan = plan_training(session, config, ["IPO"])
            assert len(plan.scored["train"].origins) >= 200
            return
        with pytest.raises(NoDataError) as caught:
            plan_training(session, config, ["IPO"])
        needed = int(re.search(r"at least (\d+) sessions", str(caught.value))[1])


def test_behind_a_hole_the_sessions_that_a_training_asks_for_suffice(empty, lstm: Lstm):
    config = load_config("smoke")
    days = 2 * sessions_needed(config)
    bars = simulate_bars(days, last=LAST)
    for count in (60, 150, 250):
        # A short hole, behind which there are few sessions.
        some = bars.iloc[:count].drop(bars.index[count - 20])
        ticker = f"IPO{count}"
        path = write_csv(some, Path("IPO.csv"))
        assert lstm("fetch", ticker, "--source", "csv", "--file", path).code == 0
        with pytest.raises(NoDataError) as caught:
            plan_training(Session(Workspace(empty)), config, [ticker])
        needed = int(re.search(r"at least (\d+) sessions", str(caught.value))[1])
        more = bars.iloc[: needed + 1].drop(bars.index[count - 20])
        assert len(more) == needed
        path = write_csv(more, Path("IPO.csv"))
        assert lstm("fetch", ticker, "--source", "csv", "--file", path).code == 0
        assert plan_training(Session(Workspace(empty)), config, [ticker]).scored


@pytest.mark.tensorflow
def test_a_training_on_the_fewest_sessions_ends(empty, lstm: Lstm):
    path = write_csv(simulate_bars(45, last=LAST), Path("IPO.csv"))
    assert lstm("fetch", "IPO", "--source", "csv", "--file", path).code == 0
    refused = lstm("train", "IPO", *TINY)
    assert refused.code == 3
    needed = int(re.search(r"at least (\d+) sessions", refused.err)[1])
    write_csv(simulate_bars(needed, last=LAST), path)
    assert lstm("fetch", "IPO", "--source", "csv", "--file", path, "--replace").code == 0
    answer = lstm("train", "IPO", *TINY)
    assert answer.code == 0, answer.err
    assert lstm("predict", "IPO").code == 0
