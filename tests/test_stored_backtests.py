"""Finished backtests: listed, shown without computing, and not computed twice."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from command import SMALL, Lstm, finished, hinted, spawn, stored

import lstmcli
from lstmcli.config import load_config
from lstmcli.pipeline import backtest as pipeline

pytestmark = pytest.mark.process

GOLDEN = Path(__file__).parent / "golden_workspace"


@pytest.fixture
def done(proven, tmp_path, monkeypatch) -> Path:
    """Return a copy of the workspace with a finished backtest, which commands find."""
    shutil.copytree(proven[0], tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTM_WORKSPACE", "data")
    return tmp_path / "data"


@pytest.fixture
def nothing_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments, **options):
        raise AssertionError("a fit was begun")

    monkeypatch.setattr(pipeline, "open_executor", fail)


def test_the_same_backtest_is_shown_and_not_computed_again(
    lstm: Lstm, done, proven, nothing_fitted
):
    before = stored(done)
    answer = lstm("backtest", *SMALL, "--json")
    assert answer.code == 0, answer.err
    # The very answer of when it was computed.
    assert json.loads(answer.out) == json.loads(proven[1].out)
    assert f"is shown from {finished(done).name}; --again computes it anew" in answer.err
    assert "saved" not in answer.err
    assert stored(done) == before
    quiet = lstm("backtest", *SMALL, "-q")
    assert quiet.err == ""
    assert quiet.out == lstm("backtest", "--show", finished(done).name).out


def test_a_shown_backtest_has_its_scores_and_its_verdict(lstm: Lstm, done, proven):
    told = json.loads(proven[1].out)
    answer = lstm("backtest", "--show", "smoke")
    assert (answer.code, answer.err) == (0, "")
    said = " ".join(answer.out.split())
    assert " ".join(told["verdicts"]["smoke"]["headline"].split()) in said
    for name, row in told["scores"].items():
        assert [line for line in answer.out.splitlines() if line.startswith(f"{name} ")]
        assert f"{100 * row['crps']:.4f}" in answer.out
    assert " * " in answer.out
    assert "smoke: " in answer.out
    assert json.loads(lstm("backtest", "--show", "smoke", "--json").out) == told


def test_the_scores_of_a_backtest_as_csv_are_those_on_disk(lstm: Lstm, done):
    printed = pd.read_csv(io.StringIO(lstm("backtest", "--show", "smoke", "--csv").out))
    pd.testing.assert_frame_equal(printed, pd.read_csv(finished(done) / "scores.csv"))


@pytest.mark.parametrize(
    "change",
    ["--again", "bars", "--set training.learning_rate=0.02", "--set backtest.folds=2", "AAA"],
)
def test_another_backtest_is_computed(lstm: Lstm, done, monkeypatch, change):
    class Begun(Exception):
        pass

    def begin(*arguments, **options):
        raise Begun

    monkeypatch.setattr(pipeline, "open_executor", begin)
    if change == "bars":
        bars = pd.read_parquet(done / "bars" / "AAA.parquet").set_index("session")
        bars.loc[bars.index[-9], "volume"] *= 2
        bars[["open", "high", "low", "close", "volume"]].rename_axis("Date").to_csv("AAA.csv")
        source = ["--source", "csv", "--file", "AAA.csv", "--replace"]
        assert lstm("fetch", "AAA", *source).code == 0
    words = [] if change == "bars" else change.split()
    answer = lstm("backtest", *SMALL, *words)
    assert answer.code == 1
    assert "is shown from" not in answer.err
    assert "unexpected Begun" in answer.err


def test_one_of_another_version_is_named_and_computed_anew(lstm: Lstm, done, monkeypatch):
    path = finished(done) / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["record"]["versions"]["numba"] = "0.1"
    path.write_text(json.dumps(manifest))
    monkeypatch.setattr(pipeline, "open_executor", lambda *a, **o: 1 / 0)
    answer = lstm("backtest", *SMALL)
    assert "ZeroDivisionError" in answer.err
    name = finished(done).name
    assert f"another version of numba: lstm backtest --show {name} shows it" in answer.err


def test_a_damaged_one_is_named_and_computed_anew(lstm: Lstm, done, monkeypatch):
    (finished(done) / "scores.csv").write_text("nothing")
    shown = lstm("backtest", "--show", "smoke")
    assert shown.code == 6
    assert hinted(shown)[0].startswith("lstm backtest --again")
    monkeypatch.setattr(pipeline, "open_executor", lambda *a, **o: 1 / 0)
    answer = lstm("backtest", *SMALL)
    assert "scores.csv is damaged" in answer.err
    assert "ZeroDivisionError" in answer.err


def test_computed_again_it_is_a_second_one_with_the_same_numbers(lstm: Lstm, done):
    first = finished(done).name
    # In a process of its own, as the first was: threads of this one round otherwise.
    answer = spawn("backtest", *SMALL, "--again", "--json", workspace=done)
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert told["backtest"] != first
    assert told["evaluations"] == 2
    before = json.loads(lstm("backtest", "--show", first, "--json").out)
    assert (before["scores"], before["verdicts"]) == (told["scores"], told["verdicts"])
    assert before["evaluations"] == 2  # by now
    # The newest of two equal ones is shown.
    assert json.loads(lstm("backtest", *SMALL, "--json").out)["backtest"] == told["backtest"]
    several = lstm("backtest", "--show", "smoke")
    assert several.code == 2
    assert first in several.err
    listed = lstm("backtest", "--list").out.splitlines()
    assert [line.split()[0] for line in listed[1:3]] == [told["backtest"], first]


def test_python_does_not_compute_it_twice_either(done, nothing_fitted):
    overrides = [word for word in SMALL[2:-2] if word != "--set"]
    config = load_config("smoke", overrides=overrides)
    result = lstmcli.backtest(config)
    assert result.manifest.backtest == finished(done).name
    assert result.verdicts["smoke"].word("random_walk") in {"BEATS", "TIES", "LOSES", "not asked"}
    with pytest.raises(AssertionError, match="a fit was begun"):
        lstmcli.backtest(config, again=True)


def test_backtests_are_listed_with_their_verdict(lstm: Lstm, done, monkeypatch):
    name = finished(done).name
    told = json.loads(lstm("backtest", "--list", "--json").out)
    (entry,) = told["backtests"]
    assert (entry["backtest"], entry["config"], entry["folds"]) == (name, "smoke", 3)
    assert entry["tickers"] == ["AAA", "BBB"]
    shown = json.loads(lstm("backtest", "--show", name, "--json").out)
    assert [entry["first"], entry["last"]] == [shown["folds"][0][0], shown["folds"][-1][1]]
    assert entry["crps"] == pytest.approx(shown["scores"]["smoke+calibrated"]["crps"], abs=1e-12)
    (row,) = csv.DictReader(io.StringIO(lstm("backtest", "--list", "--csv").out))
    assert row["tickers"] == "AAA BBB"
    assert {key: str(value) for key, value in entry.items() if key != "tickers"} == {
        key: value for key, value in row.items() if key != "tickers"
    }
    monkeypatch.setenv("COLUMNS", "80")
    head, line, *_ = lstm("backtest", "--list").out.splitlines()
    assert max(len(head), len(line)) <= 80
    assert entry["verdict"] in line


def test_an_interrupted_one_is_listed_and_cannot_be_shown(lstm: Lstm, done):
    folder = finished(done)
    (folder / "manifest.json").rename(folder / "plan.json")
    assert f"{folder.name}  interrupted" in lstm("backtest", "--list").out
    assert json.loads(lstm("backtest", "--list", "--json").out)["interrupted"] == [folder.name]
    answer = lstm("backtest", "--show", "smoke")
    assert answer.code == 3
    assert "is unfinished" in answer.err


def test_no_backtest_yet_is_no_error(lstm: Lstm, empty):
    assert lstm("backtest", "--list").out == "no backtests in data\n"
    assert json.loads(lstm("backtest", "--list", "--json").out)["backtests"] == []
    answer = lstm("backtest", "--show", "smoke")
    assert (answer.code, answer.out) == (3, "")
    assert hinted(answer) == ["lstm backtest --list"]
    assert not empty.exists()


def test_one_without_folds_in_its_forecasts_is_shown_and_drawn(lstm: Lstm, done):
    path = finished(done) / "forecasts.parquet"
    pd.read_parquet(path).drop(columns="fold").to_parquet(path, index=False)
    assert lstm("backtest", "--show", "smoke").code == 0
    for kind in ("backtest", "calibration"):
        drawn = lstm("plot", "--kind", kind, "--run", "smoke", "--output", f"{kind}.svg")
        assert drawn.code == 0, drawn.err
    assert lstm("doctor").code == 0


@pytest.mark.parametrize(
    "line",
    [
        "--list AAA",
        "--list --config smoke",
        "--show smoke --set seed=1",
        "--show smoke --again",
        "--show smoke --workers 2",
        "--list --show smoke",
        "--list --dry-run",
        "--dry-run --json",
        "--dry-run --again",
        "--list --json --csv",
    ],
)
def test_an_option_that_cannot_apply_is_refused(lstm: Lstm, done, line):
    answer = lstm("backtest", *line.split())
    assert (answer.code, answer.out) == (2, "")
    assert '"exit_code": 2' in answer.err if "--json" in line else answer.hint


def test_a_backtest_of_version_01_is_listed_and_shown(lstm: Lstm, tmp_path, monkeypatch):
    shutil.copytree(GOLDEN, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    answer = lstm("backtest", "--show", "smoke")
    assert (answer.code, answer.err) == (0, "")
    assert "smoke+calibrated TIES with har_ridge, the strongest" in " ".join(answer.out.split())
    assert "GOOG: 1 fold, 38 origins, 2008-08-15 to 2008-10-08" in answer.out
    assert "confidence set" not in answer.out
    (entry,) = json.loads(lstm("backtest", "--list", "--json").out)["backtests"]
    assert entry["verdict"] == "cannot tell"
    assert f"{100 * entry['crps']:.4f}" in answer.out
    # It has no column `fold`.
    drawn = lstm("plot", "--kind", "backtest", "--run", "smoke", "--output", "b.svg")
    assert drawn.code == 0, drawn.err
    run = lstm("runs", "show", "lstm")
    assert run.code == 0
    assert "lstm+calibrated TIES with har" in " ".join(run.out.split())
