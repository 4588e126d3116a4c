"""A network that reads a market series, and one that knows events ahead, as a user has them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulate import simulate_bars

pytestmark = pytest.mark.process

EVENTS = range(20, 700, 20)
RETURNS = 0.01 * np.random.default_rng(0).standard_normal(700)
RETURNS[EVENTS] *= 6  # what is announced moves the price
BARS = simulate_bars(700, last="2016-12-30", returns=RETURNS)
INDEX = simulate_bars(700, seed=9, last="2016-12-30")
COLUMNS = ["open", "high", "low", "close", "volume"]
CONFIG = """\
market: {vix: ^VIX}
features: [log_return, vix_level]
future: [user:trial]
window: {lookback: 12, horizon: 4}
model: {name: lstm, units: 4}
training: {epochs: 6, members: 1, learning_rate: 0.02, refit: false}
"""


def write(path: str, bars: pd.DataFrame) -> None:
    bars[COLUMNS].rename_axis("Date").to_csv(path)


def evening(monkeypatch: pytest.MonkeyPatch, day: str) -> None:
    monkeypatch.setenv("LSTM_NOW", f"{day}T23:00:00+00:00")


@pytest.fixture
def desk(empty: Path, lstm, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a workspace with bars of SIM up to 28 December, beside files with its inputs."""
    evening(monkeypatch, "2016-12-28")
    write("SIM.csv", BARS[:"2016-12-28"])
    write("VIX.csv", INDEX[:"2016-12-28"])
    Path("informed.yaml").write_text(CONFIG)
    days = [f"{day:%Y-%m-%d}" for day in BARS.index]
    lines = [f"SIM,{days[n]},{days[n - 5]}" for n in EVENTS]
    Path("trials.csv").write_text("\n".join(["ticker,session,known_on", *lines]))
    assert lstm("fetch", "SIM", "--source", "csv", "--file", "SIM.csv").code == 0
    return empty


def fetch_vix(lstm) -> None:
    assert lstm("fetch", "--market", "^VIX", "--source", "csv", "--file", "VIX.csv").code == 0


def import_trials(lstm) -> None:
    assert lstm("events", "import", "trials.csv", "--kind", "trial").code == 0


def trained(lstm) -> None:
    fetch_vix(lstm)
    import_trials(lstm)
    answer = lstm("train", "SIM", "--config", "informed.yaml", "-q")
    assert answer.code == 0, answer.err


def test_a_training_names_the_input_that_is_not_stored(desk, lstm):
    answer = lstm("train", "SIM", "--config", "informed.yaml")
    assert answer.code == 3
    assert "Expected the market series vix, which features read: ^VIX." in answer.err
    assert answer.hint == "lstm fetch --market ^VIX"
    fetch_vix(lstm)
    answer = lstm("train", "SIM", "--config", "informed.yaml")
    assert answer.code == 3
    assert answer.hint == "lstm events import FILE --kind trial"


def test_a_market_series_is_never_forecast(desk, lstm, monkeypatch):
    trained(lstm)
    forecasts = json.loads(lstm("predict", "--json").out)["forecasts"]
    assert [forecast["ticker"] for forecast in forecasts] == ["SIM"]
    assert forecasts[0]["run"].split("-")[1] == "informed"
    tickers = json.loads(lstm("status", "--json").out)["tickers"]
    assert [ticker["ticker"] for ticker in tickers] == ["SIM"]
    manifest = json.loads(lstm("runs", "--json").out)["runs"][0]
    assert manifest["tickers"] == ["SIM"]
    assert set(manifest["bars"]) == {"SIM", "market ^VIX", "user:trial"}


def test_an_evening_brings_the_market_up_to_date_before_it_forecasts(desk, lstm, monkeypatch):
    trained(lstm)
    evening(monkeypatch, "2016-12-29")
    write("SIM.csv", BARS[:"2016-12-29"])
    write("VIX.csv", INDEX[:"2016-12-29"])
    answer = lstm("daily", "--json")
    day = json.loads(answer.out)["day"]
    assert (answer.code, [row["outcome"] for row in day["tickers"]]) == (0, ["forecast"])
    # Without the session of the market, a forecast would be made with a stale value.
    evening(monkeypatch, "2016-12-30")
    write("SIM.csv", BARS)
    answer = lstm("daily", "--json")
    row = json.loads(answer.out)["day"]["tickers"][0]
    assert (answer.code, row["outcome"]) == (6, "failed")
    assert "the session of ^VIX that had closed by 2016-12-30" in row["error"]
    assert "its last one is 2016-12-29" in row["error"]
    assert row["hint"] == "lstm fetch --market ^VIX"
    write("VIX.csv", INDEX)
    assert lstm("daily").code == 0


def test_a_hole_at_the_origin_refuses_the_forecast(desk, lstm, monkeypatch):
    trained(lstm)
    shutil.rmtree(desk / "market")  # what is stored would fill the hole
    write("VIX.csv", INDEX.drop(pd.Timestamp("2016-12-12"))[:"2016-12-28"])
    fetch_vix(lstm)
    answer = lstm("predict", "SIM", "--as-of", "2016-12-12")
    assert answer.code == 6
    assert "had closed by 2016-12-12" in answer.err
    # Inside a window the value before stands for it.
    assert lstm("predict", "SIM", "--as-of", "2016-12-13").code == 0


def test_a_run_that_lacks_its_market_series_says_so(desk, lstm):
    trained(lstm)
    for path in (desk / "market").iterdir():
        path.unlink()
    answer = lstm("predict", "SIM")
    assert answer.code == 3
    assert "Expected the market series vix" in answer.err
    assert answer.hint == "lstm fetch --market ^VIX"


def test_an_event_that_is_announced_moves_the_forecast(desk, lstm, monkeypatch):
    trained(lstm)
    before = json.loads(lstm("predict", "SIM", "--json").out)["forecasts"][0]["steps"]
    Path("more.csv").write_text("ticker,session,known_on\nSIM,2016-12-29,2016-12-28\n")
    assert lstm("events", "import", "more.csv", "--kind", "trial").code == 0
    after = json.loads(lstm("predict", "SIM", "--json").out)["forecasts"][0]["steps"]
    assert any(one["q95"] != two["q95"] for one, two in zip(before, after, strict=True))
    # What is announced tomorrow is not known today.
    Path("later.csv").write_text("ticker,session,known_on\nSIM,2016-12-30,2016-12-29\n")
    assert lstm("events", "import", "later.csv", "--kind", "trial").code == 0
    again = json.loads(lstm("predict", "SIM", "--json").out)["forecasts"][0]["steps"]
    assert again == after


def test_two_configs_that_mean_two_series_by_one_name_are_not_compared(desk, lstm):
    fetch_vix(lstm)
    import_trials(lstm)
    Path("other.yaml").write_text(CONFIG.replace("^VIX", "^VXN"))
    answer = lstm("backtest", "SIM", "-c", "informed.yaml", "-c", "other.yaml")
    assert answer.code == 2
    assert "market.vix is ^VIX and ^VXN" in answer.err
