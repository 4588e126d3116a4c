"""Every command serves a recipe of another kind: no windows, no networks, no file of Keras."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from common_volatility import CommonVolatility, FittedCommonVolatility
from simulate import panel_of, simulate_bars

from lstmcli.config import RunConfig, load_config
from lstmcli.forecasters.calibrated import FittedCalibrated, learnt_from
from lstmcli.forecasters.calibration import learn
from lstmcli.forecasters.calibration_state import CalibrationState
from lstmcli.forecasters.run_recipe import FitSummary, Trained
from lstmcli.pipeline.market import WantedSeries, wanted_series
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.train import start_run
from lstmcli.pipeline.training_plan import plan_training
from lstmcli.splits import SplitConfig
from lstmcli.store import Workspace

pytestmark = pytest.mark.process

TICKERS = ("AAA", "BBB", "CCC")
BARS = {
    ticker: simulate_bars(702, seed=n, sigma=0.01 * n, last="2016-12-30")
    for n, ticker in enumerate(TICKERS, start=1)
}
VIX = simulate_bars(702, seed=9, last="2016-12-30")
COLUMNS = ["open", "high", "low", "close", "volume"]
CONFIG = """\
market: {vix: ^VIX}
window: {horizon: 4}
split: {validation: 0.1, calibration: 0.25, test: 0.1}
model: {name: lstm}
backtest: {folds: 1, start: 2016-10-03}
"""
TRAIN = ["train", "--config", "common.yaml", "-q"]


@pytest.fixture
def desk(empty: Path, lstm, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a workspace with bars of three tickers, on the evening of 28 December."""

    def recipe(config: RunConfig) -> CommonVolatility:
        return CommonVolatility(config.name, config.window.horizon, config.split)

    monkeypatch.setattr(RunConfig, "recipe", recipe)
    Path("common.yaml").write_text(CONFIG)
    at(monkeypatch, "2016-12-28")
    for ticker in TICKERS:
        deliver(ticker, BARS[ticker], "2016-12-28")
        answer = lstm("fetch", ticker, "--source", "csv", "--file", f"{ticker}.csv")
        assert answer.code == 0, answer.err
    return empty


def at(monkeypatch: pytest.MonkeyPatch, day: str) -> None:
    monkeypatch.setenv("LSTM_NOW", f"{day}T23:00:00+00:00")


def deliver(ticker: str, bars: pd.DataFrame, last: str) -> None:
    bars.loc[:last, COLUMNS].rename_axis("Date").to_csv(f"{ticker}.csv")


def fetch_vix(lstm, last: str = "2016-12-28") -> None:
    deliver("VIX", VIX, last)
    assert lstm("fetch", "--market", "^VIX", "--source", "csv", "--file", "VIX.csv").code == 0


def steps(lstm, *line: str) -> dict[str, list[dict]]:
    """Return the steps of each forecast of a command."""
    answer = lstm("predict", *line, "--json")
    assert answer.code == 0, answer.err
    return {one["ticker"]: one["steps"] for one in json.loads(answer.out)["forecasts"]}


def run_of(desk: Path) -> Path:
    (run,) = (desk / "runs").iterdir()
    return run


def test_a_run_keeps_the_files_that_its_recipe_names(desk, lstm):
    fetch_vix(lstm)
    answer = lstm(*TRAIN)
    assert answer.code == 0, answer.err
    assert "common-untrained" in answer.out
    kept = {path.name for path in run_of(desk).iterdir()} - {"manifest.json"}
    assert kept == {
        *("config.yaml", "state.json", "history.csv", "scores.csv"),
        *("calibration.npz", "outcomes.parquet", "weights.npz"),
    }
    manifest = json.loads((run_of(desk) / "manifest.json").read_text())
    assert set(manifest["files"]) == kept
    assert manifest["parameters"] == 3
    assert "market ^VIX" in manifest["bars"]
    state = FitSummary.model_validate_json((run_of(desk) / "state.json").read_bytes())
    shown = json.loads(lstm("runs", "show", run_of(desk).name, "--json").out)
    assert shown["best_epochs"] == list(state.best_epochs) == [1]
    assert shown["trained_to"] == state.fit_end == "2016-12-28"
    fitted = Session(Workspace(desk)).fitted(run_of(desk).name)
    assert isinstance(fitted, FittedCommonVolatility)
    assert isinstance(fitted, Trained)
    answer = lstm("plot", "AAA", "--kind", "attention")
    assert answer.code == 2
    assert "Expected a run with attention" in answer.err


def test_a_run_whose_files_do_not_load_is_told(desk, lstm):
    assert lstm(*TRAIN).code == 0
    store, session = Workspace(desk).runs, Session(Workspace(desk))
    manifest = session.manifest(run_of(desk).name)
    for name, content, reason in (
        ("weights.npz", b"no array", "is damaged (its weights cannot be read)"),
        ("state.json", b'{"recipe": "other"}', ": Expected a common volatility. Received"),
    ):
        kept = (run_of(desk) / name).read_bytes()
        (run_of(desk) / name).write_bytes(content)
        files = {**manifest.files, name: hashlib.sha256(content).hexdigest()}
        changed = json.loads(manifest.model_dump_json()) | {"files": files}
        (store.path(manifest.run) / "manifest.json").write_text(json.dumps(changed))
        answer = lstm("predict", "AAA")
        assert answer.code == 6
        assert reason in answer.err
        (run_of(desk) / name).write_bytes(kept)


def test_a_forecast_of_one_ticker_reads_the_others_and_is_the_same_as_with_them(
    desk, lstm, monkeypatch
):
    assert lstm(*TRAIN).code == 0
    asked = []
    forecast = FittedCommonVolatility.forecast

    def watched(fitted, panel, origins):
        asked.append((tuple(panel), tuple(panel.beside)))
        return forecast(fitted, panel, origins)

    monkeypatch.setattr(FittedCommonVolatility, "forecast", watched)
    every = steps(lstm)
    assert asked == [(TICKERS, ())]
    asked.clear()
    # Calibration has learnt all there is: of the others no forecast is made.
    assert steps(lstm, "CCC") == {"CCC": every["CCC"]}
    assert asked == [(("CCC",), ("AAA", "BBB"))]
    at(monkeypatch, "2016-12-30")
    for ticker in TICKERS:
        deliver(ticker, BARS[ticker], "2016-12-30")
        assert lstm("fetch", ticker).code == 0
    asked.clear()
    # Now it needs the errors of all of them since.
    later = steps(lstm)
    assert steps(lstm, "CCC") == {"CCC": later["CCC"]} != {"CCC": every["CCC"]}
    assert asked == [(TICKERS, ()), (TICKERS, ())]
    # The others matter.
    shutil.rmtree(desk / "bars")
    assert lstm("fetch", "CCC", "--source", "csv", "--file", "CCC.csv").code == 0
    assert steps(lstm, "CCC") != {"CCC": later["CCC"]}


def test_calibration_knows_of_the_others_also_where_they_are_not_forecast():
    """Labels of waiting forecasts arrive with the origin, those of the others too."""
    bars = {t: simulate_bars(1500, seed=n, sigma=0.01 * n) for n, t in enumerate(TICKERS, 1)}
    panel = panel_of(**bars)
    last = panel.sessions()[-1]
    split = SplitConfig(validation=100, calibration=600, test=100)
    fitted = CommonVolatility("common", 4, split).fit(panel, last)
    history = learnt_from(fitted, panel)
    past = panel.until(last)
    state = learn(fitted.forecast(past, history[history < last]), past, last)
    here = pd.DatetimeIndex([last])
    known = FittedCalibrated(fitted, state)
    _, every = known.with_inner(panel, here)
    for ticker in TICKERS:
        _, alone = known.with_inner(panel, here, enough=[ticker])
        wanted = every[every["ticker"] == ticker].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, wanted, check_exact=True)


def test_an_evening_forecasts_by_it(desk, lstm, monkeypatch):
    assert lstm(*TRAIN, "--set", "retrain=weekly").code == 0
    at(monkeypatch, "2016-12-29")
    for ticker in TICKERS:
        deliver(ticker, BARS[ticker], "2016-12-29")
    day = json.loads(lstm("daily", "--json").out)["day"]
    assert [row["outcome"] for row in day["tickers"]] == ["forecast"] * 3


def test_calibration_goes_on_from_a_run_that_read_the_same(desk, lstm, monkeypatch):
    def train() -> CalibrationState:
        assert lstm(*TRAIN).code == 0
        session = Session(Workspace(desk))
        return session.calibration(session.latest().run)

    first = train()
    at(monkeypatch, "2016-12-30")
    for ticker in TICKERS:
        deliver(ticker, BARS[ticker], "2016-12-30")
        assert lstm("fetch", ticker).code == 0
    second = train()
    assert (first.before, second.before) == tuple(pd.to_datetime(["2016-12-28", "2016-12-30"]))
    assert second.made_on.min() == first.made_on.min()
    fetch_vix(lstm, "2016-12-30")
    assert train().made_on.min() > first.made_on.min()


def test_a_backtest_and_an_audit_take_it(desk, lstm):
    line = ["--config", "common.yaml", "--workers", "1", "--json"]
    answer = lstm("backtest", *line)
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert told["best_epochs"] == {"common-01": [1]}
    answer = lstm("audit", *line)
    checks = {check["check"]: check for check in json.loads(answer.out)["checks"]}
    # It learns no direction; of all else nothing is wrong.
    for name in (
        "features look back only",
        "targets are the returns that follow",
        "the fit stops where it should",
        "forecasts look back only",
        "no skill where there is none",
        "random walks are not beaten",
    ):
        assert checks[name]["passed"], checks[name]
    assert checks["targets are the returns that follow"]["did"].startswith("2,0")


def test_a_series_that_it_can_do_without_is_read_where_it_is_stored(desk, lstm, monkeypatch):
    note = "^VIX is not stored: forecasts go without it (lstm fetch --market ^VIX)"
    answer = lstm(*TRAIN[:-1])
    assert answer.code == 0
    assert answer.err.count(note) == 1
    assert Session(Workspace(desk)).panel([]).panel.market == {}
    # A run that has never read it says nothing of it each day.
    assert "VIX" not in lstm("predict").err
    without = steps(lstm, "AAA")
    fetch_vix(lstm)
    assert steps(lstm, "AAA") == without  # it was not learnt from
    answer = lstm(*TRAIN[:-1])
    assert "VIX" not in answer.err
    assert steps(lstm, "AAA") != without
    at(monkeypatch, "2016-12-29")
    for ticker in TICKERS:
        deliver(ticker, BARS[ticker], "2016-12-29")
        assert lstm("fetch", ticker).code == 0
    answer = lstm("predict")
    assert answer.code == 0
    assert answer.err.count("^VIX lacks what had closed by 2016-12-29: forecasts go without") == 1
    shutil.rmtree(desk / "market")
    answer = lstm("predict")
    assert answer.code == 0
    assert answer.err.count(note) == 1


class Demanding(CommonVolatility):
    """The same, which cannot do without VIX."""

    series = ("vix",)
    optional_series = ()


def test_a_series_that_one_of_both_configs_needs_is_required(desk, monkeypatch):
    config = load_config("common.yaml")
    assert wanted_series([config]) == {"vix": WantedSeries("^VIX", required=False)}
    assert wanted_series([config.model_copy(update={"market": {}})]) == {}
    recipes = {1: CommonVolatility("may", 4, config.split), 2: Demanding("must", 4, config.split)}
    monkeypatch.setattr(RunConfig, "recipe", lambda config: recipes[config.seed])
    for seeds in ((1, 2), (2, 1)):
        both = [config.model_copy(update={"seed": seed}) for seed in seeds]
        assert wanted_series(both) == {"vix": WantedSeries("^VIX", required=True)}


def test_a_training_is_not_resumed_without_the_series_that_it_began_with(desk, lstm):
    fetch_vix(lstm)
    session = Session(Workspace(desk))
    start_run(session, plan_training(session, load_config("common.yaml"), ()))
    shutil.rmtree(desk / "market")
    answer = lstm("train", "--resume")
    assert answer.code == 2
    assert "The bars of market ^VIX have changed since" in answer.err
