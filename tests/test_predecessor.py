"""A run keeps what calibration has learnt, and the next run with its config goes on from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import TINY, Lstm
from simulate import simulate_bars

from lstmcli.config import load_config
from lstmcli.forecasters.calibrated import FittedCalibrated, learnt_from
from lstmcli.forecasters.calibration import calibrate
from lstmcli.frames import INTERVAL_COLUMNS, QUANTILE_COLUMNS
from lstmcli.pipeline.predecessor import lineage
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.stored_calibration import calibration_of
from lstmcli.splits import SplitConfig
from lstmcli.store import Workspace

pytestmark = pytest.mark.tensorflow

LAST = "2008-10-14"
FIRST_EVENING, SECOND_EVENING = "2008-06-30T23:00:00+00:00", "2008-10-14T23:00:00+00:00"
COLUMNS = [*QUANTILE_COLUMNS, *INTERVAL_COLUMNS]
TRAIN = [*TINY, "--set", "window.horizon=6", "-q"]


@pytest.fixture
def data(tmp_path: Path, lstm: Lstm, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a workspace with three tickers on the first evening."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTM_WORKSPACE", "data")
    monkeypatch.setenv("LSTM_NOW", SECOND_EVENING)
    for seed, name in enumerate(("AAA", "BBB", "CCC")):
        store(lstm, name, simulate_bars(900, seed=seed, last=LAST))
    monkeypatch.setenv("LSTM_NOW", FIRST_EVENING)
    return tmp_path / "data"


def store(lstm: Lstm, name: str, bars: pd.DataFrame, *words: str) -> None:
    bars = bars.rename_axis("Date")[["open", "high", "low", "close", "volume"]]
    bars.to_csv(f"{name}.csv")
    answer = lstm("fetch", name, "--source", "csv", "--file", f"{name}.csv", *words)
    assert answer.code == 0, answer.err


def train(lstm: Lstm, *words: str) -> None:
    answer = lstm("train", *words, *TRAIN)
    assert answer.code == 0, answer.err


def test_a_forecast_by_what_is_kept_is_that_by_the_bars(data, lstm, monkeypatch):
    train(lstm, "AAA", "BBB")
    monkeypatch.setenv("LSTM_NOW", "2008-07-21T23:00:00+00:00")
    session = Session(Workspace(data))
    run = session.latest().run
    panel = session.panel(["AAA", "BBB"]).panel
    state = calibration_of(session, run, panel)
    assert state is not None and state.before == pd.Timestamp("2008-06-30")
    origin = panel.sessions()[-1:]
    fitted = session.fitted(run)
    kept, again = (FittedCalibrated(fitted, of).forecast(panel, origin) for of in (state, None))
    np.testing.assert_allclose(kept[COLUMNS], again[COLUMNS], rtol=1e-5, atol=1e-7)
    answer = lstm("predict", "AAA", "--csv")
    assert answer.code == 0, answer.err
    (written,) = (data / "forecasts" / "2008-07-21").glob("AAA-*.csv")
    prices = pd.read_csv(written)
    close = prices["last_close"].iloc[0]
    hi80 = kept.loc[kept["ticker"] == "AAA", "hi80"]
    np.testing.assert_allclose(prices["hi80"].iloc[:6], close * np.exp(hi80), rtol=1e-6)


def test_the_next_run_goes_on_with_the_errors_of_the_one_before(data, lstm, monkeypatch):
    train(lstm, "AAA", "BBB")
    monkeypatch.setenv("LSTM_NOW", SECOND_EVENING)
    train(lstm, "AAA", "BBB", "CCC")
    session = Session(Workspace(data))
    one, two = (manifest.run for manifest in session.manifests())
    panel = session.panel(["AAA", "BBB", "CCC"]).panel
    state = session.calibration(two)
    assert state is not None and state.tickers == ("AAA", "BBB")
    # Each date by the fit that was current on it, those before the first by its own block.
    first, second = session.fitted(one), session.fitted(two)
    known = panel.only(["AAA", "BBB"]).until(pd.Timestamp(LAST))
    until = known.until(pd.Timestamp("2008-06-30"))
    history = learnt_from(first, until).union(known.sessions()[known.sessions() > "2008-06-30"])
    earlier = first.forecast(known, history[history < LAST])
    origin = pd.DatetimeIndex([LAST])
    raw = pd.concat([earlier, second.forecast(panel, origin)], ignore_index=True)
    expected = calibrate(raw, panel, origin)
    found = FittedCalibrated(second, calibration_of(session, two, panel)).forecast(panel, origin)
    np.testing.assert_allclose(found[COLUMNS], expected[COLUMNS], rtol=1e-5, atol=1e-7)
    alone = FittedCalibrated(second).forecast(panel, origin)
    assert not np.allclose(found["lo80"], alone["lo80"], rtol=1e-3)


def test_another_config_or_seed_starts_anew(data, lstm, monkeypatch):
    train(lstm, "AAA")
    monkeypatch.setenv("LSTM_NOW", SECOND_EVENING)
    train(lstm, "AAA", "--set", "seed=8")
    session = Session(Workspace(data))
    run = session.manifests()[-1].run
    state = session.calibration(run)
    assert state is not None
    assert pd.Timestamp(state.made_on[0]) == session.fitted(run).learns_from


def test_a_lineage_is_the_config_without_tickers_and_blocks():
    config = load_config("smoke.yaml")
    split = SplitConfig(validation=20, calibration=30, test=40)
    other = config.model_copy(update={"tickers": ("MRK",), "split": split, "retrain": "weekly"})
    assert lineage(config) == lineage(other)
    assert lineage(config) != lineage(config.model_copy(update={"seed": 8}))
    assert lineage(config) != lineage(config.model_copy(update={"features": ("volume",)}))


def test_corrected_bars_are_said_and_their_errors_left_out(data, lstm, monkeypatch):
    train(lstm, "AAA", "BBB")
    corrected = simulate_bars(900, seed=1, last=LAST)
    corrected.iloc[-100, corrected.columns.get_indexer(["high", "close"])] *= 1.01
    monkeypatch.setenv("LSTM_NOW", SECOND_EVENING)
    store(lstm, "BBB", corrected, "--replace")
    answer = lstm("predict", "AAA")
    assert answer.code == 0, answer.err
    said = "bars before 2008-06-30 have changed since"
    assert said in answer.err and ": BBB; their calibration starts anew" in answer.err
    session = Session(Workspace(data))
    panel = session.panel(["AAA", "BBB"]).panel
    known = calibration_of(session, session.latest().run, panel)
    assert known is not None and known.tickers == ("AAA",)
    assert calibration_of(session, session.latest().run, panel.only(["BBB"])) is None
