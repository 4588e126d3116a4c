"""What bad input gets: the exit code, the words, a way on, and nothing written."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command import TINY, hinted, run_folder, stored
from simulate import simulate_bars

from lstmcli.store.shipped import shipped_run

pytestmark = pytest.mark.process

BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nmodel: {name: lstm}\n"
CONFIGS = {
    "unknown variant": ("model:\n  name: lstn\n", "2:3: model.name: unknown variant 'lstn'; did"),
    "unknown key": ("model: {name: lstm, unts: 3}\n", "1:21: model.unts: unknown key; did you"),
    "unknown feature": (
        "features: [log_retrun]\nmodel: {name: lstm}\n",
        "1:12: features[0]: unknown feature 'log_retrun'; did you mean 'log_return'?",
    ),
    "wrong type": ("model: {name: lstm, units: many}\n", "1:21: model.units: Expected a whole num"),
    "duplicate key": ("seed: 1\nmodel: {name: lstm}\nseed: 2\n", "3:1: seed: duplicate key; first"),
    "empty file": ("", "1:1: Expected settings, as in `model: {name: stacked}`. Received: an em"),
    "YAML bomb": (BOMB, "1:4: a: anchors and aliases (&a) are not allowed"),
    "list for a map": ("model: [lstm]\n", "1:1: model: Expected a map. Received: a list."),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_bad_config_is_refused_with_its_place(lstm, workspace, name):
    text, message = CONFIGS[name]
    Path("bad.yaml").write_text(text)
    before = stored(workspace)
    answer = lstm("train", "GOOG", "--config", "bad.yaml")
    assert (answer.code, answer.out) == (2, "")
    assert f"bad.yaml:{message}" in answer.err
    assert stored(workspace) == before


def test_every_mistake_of_a_config_is_said_at_once(lstm, empty):
    Path("bad.yaml").write_text("sed: 1\nmodel: {name: lstm, unts: 3}\nwindow: {lookback: 0}\n")
    answer = lstm("train", "--config", "bad.yaml", "--set", "training.epoch=3")
    assert answer.code == 2
    places = re.findall(r"^(?:error: )?(bad\.yaml:\d+:\d+|--set \S+): ", answer.err, re.MULTILINE)
    assert places == ["bad.yaml:1:1", "bad.yaml:2:21", "bad.yaml:3:10", "--set training.epoch=3"]


def test_a_config_that_does_not_exist_is_refused_with_the_nearest(lstm, empty):
    answer = lstm("train", "--config", "stakced.yaml")
    assert answer.code == 2
    assert "'stakced.yaml', which does not exist" in answer.err
    assert answer.hint == "did you mean stacked?"
    assert lstm("train", "--config", "nosuch.yaml").code == 2


USAGE = {
    "unknown command": (["predct"], "No such command 'predct'. Did you mean 'predict'?"),
    "unknown option": (["predict", "--jsno"], "No such option: --jsno"),
    "no backtest to show": (["backtest", "--show"], "Option '--show' requires an argument."),
    "an option as a backtest": (
        ["backtest", "--show", "--csv"],
        "Expected --show with a name. Received: --csv.",
    ),
    "unknown kind": (["plot", "--kind", "forcast"], "forcast"),
    "bad date": (["predict", "GOOG", "--as-of", "30.12.2016"], "Expected --as-of as YYYY-MM-DD"),
    "bad start": (["fetch", "GOOG", "--start", "soon"], "Expected --start as YYYY-MM-DD"),
    "bad ending": (["plot", "GOOG", "-o", "x.gif"], ".png, .svg, .pdf. Received: x.gif"),
    "no ending": (["plot", "GOOG", "-o", "."], ".png, .svg, .pdf. Received: ."),
    "one file for two": (["plot", "GOOG", "SIM", "-o", "x.png"], "one ticker for one file"),
    "a ticker of a backtest": (
        ["plot", "ZZZ", "--kind", "backtest"],
        "Expected no ticker with --kind backtest, which draws all tickers of a backtest. "
        "Received: ZZZ.",
    ),
    "a ticker of a calibration": (
        ["plot", "GOOG", "--kind", "calibration"],
        "Expected no ticker with --kind calibration",
    ),
    "a date of a training": (
        ["plot", "--kind", "training", "--as-of", "2008-01-02"],
        "Expected no --as-of with --kind training",
    ),
    "a date of what came": (
        ["plot", "GOOG", "--kind", "past", "--as-of", "2008-01-02"],
        "Expected no --as-of with --kind past",
    ),
    "one to compare": (["plot", "GOOG", "--kind", "compare"], "two tickers or more to compare"),
    "41 to compare": (
        ["plot", *(f"T{n}" for n in range(41)), "--kind", "compare"],
        "at most 40 tickers in one picture",
    ),
    "no folder for a picture": (
        ["plot", "GOOG", "-o", "none/x.png"],
        "Expected a folder that exists. Received: none, for x.png.",
    ),
    "no folder for a page": (
        ["report", "-o", "none/x.html"],
        "Expected a folder that exists. Received: none, for x.html.",
    ),
    "no attention": (["plot", "GOOG", "--kind", "attention"], "Expected a run with attention"),
    "a file for yahoo": (["fetch", "--source", "yahoo", "--file", "x.csv"], "--source csv only"),
    "no file for csv": (["fetch", "X", "--source", "csv"], "Expected a file with --source csv"),
    "no such exchange": (["fetch", "GOOG", "--calendar", "XNYZ"], "XNYZ"),
    "no such universe": (["predict", "--universe", "none.txt"], "none.txt: Expected a text file"),
    "a --set without =": (["train", "--set", "seed"], "--set seed: Expected key=value"),
}


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (["predict", "--jsno"], "lstm predict --help lists arguments and options"),
        (["runs", "compare"], "lstm runs compare --help lists arguments and options"),
        (["predct"], "lstm --help lists commands and options"),
        (["runs", "shwo"], "lstm runs --help lists commands and options"),
        (["backtest", "--show", "--csv"], "lstm backtest --list lists all"),
    ],
)
def test_bad_usage_is_answered_with_the_help_of_its_command(lstm, empty, line, hint):
    answer = lstm(*line)
    assert answer.code == 2
    assert answer.hint == hint


@pytest.mark.parametrize("name", USAGE)
def test_bad_usage_exits_2_and_says_what_was_expected(lstm, workspace, name):
    line, message = USAGE[name]
    answer = lstm(*line)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("error: ") == 1
    assert message in answer.err
    hinted(answer)
    assert not Path("none").exists()


def test_a_bad_clock_is_refused(lstm, workspace, monkeypatch):
    monkeypatch.setenv("LSTM_NOW", "2008-10-14T18:00:00")
    answer = lstm("status")
    assert answer.code == 2
    assert "Expected LSTM_NOW as an ISO time with a zone." in answer.err


@pytest.mark.parametrize(
    "ticker", ["../x", "a/b", "", "A" * 200], ids=["up", "in", "empty", "long"]
)
@pytest.mark.parametrize("command", ["fetch", "train", "predict", "plot"])
def test_a_ticker_that_cannot_be_a_file_is_refused(lstm, workspace, yahoo, command, ticker):
    before = stored(workspace)
    answer = lstm(command, ticker)
    assert answer.code == 2
    assert "Expected a ticker such as MRK" in answer.err
    assert len(answer.err) < 400
    assert not yahoo.requests
    assert stored(workspace) == before


def test_an_unknown_ticker_exits_3(lstm, empty, yahoo):
    answer = lstm("fetch", "NOSUCH")
    assert answer.code == 3
    assert "NOSUCH" in answer.err
    assert answer.hint


def rows(path: Path) -> list[str]:
    return path.read_text().splitlines()


CSV_FAULTS: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "hole among the last ten": (lambda x: [*x[:-5], *x[-4:]], "2008-10-08"),
    "high < low": (lambda x: [*x[:-1], "2008-10-14,10,9,11,10,5"], ":561: SIM 2008-10-14: "),
    "text in a price": (lambda x: [*x[:-1], "2008-10-14,oops,9,9,9,5"], ":561: SIM 2008-10-14: "),
    "duplicate date": (lambda x: [*x, x[-1][:10] + x[-2][10:]], ":562: SIM 2008-10-14: "),
    "unsorted dates": (lambda x: [*x[:-2], x[-1], x[-2]], ":561: SIM 2008-10-13: "),
    "zero price": (lambda x: [*x[:-1], "2008-10-14,0,0,0,0,5"], ":561: SIM 2008-10-14: "),
    "negative price": (lambda x: [*x[:-1], "2008-10-14,9,9,-9,9,5"], ":561: SIM 2008-10-14: "),
    "one row": (lambda x: x[:2], "Expected at least two sessions. Received: 1."),
}


@pytest.mark.parametrize("name", CSV_FAULTS)
def test_a_faulty_csv_exits_6_with_the_row_and_stores_nothing(lstm, first_run, empty, name):
    spoil, words = CSV_FAULTS[name]
    lines = rows(Path(first_run["workspace"].out).parent / "SIM.csv")
    Path("SIM.csv").write_text("\n".join(spoil(lines)) + "\n")
    answer = lstm("fetch", "SIM", "--source", "csv", "--file", "SIM.csv")
    assert (answer.code, answer.out) == (6, "")
    assert words in answer.err
    assert hinted(answer)
    assert stored(empty) == {}


def test_descending_dates_are_no_fault(lstm, first_run, empty):
    head, *lines = rows(Path(first_run["workspace"].out).parent / "SIM.csv")
    Path("SIM.csv").write_text("\n".join([head, *lines[::-1]]) + "\n")
    assert lstm("fetch", "SIM", "--source", "csv", "--file", "SIM.csv").code == 0


def test_too_few_bars_are_refused_with_what_it_needs(lstm, empty):
    assert lstm("fetch", "GOOG", "--source", "sample", "--start", "2008-06-02").code == 0
    answer = lstm("train", *TINY)
    assert answer.code == 3
    needed, has = re.search(
        r"at least ([\d,]+) sessions for a lookback of 12, .* Received: ([\d,]+),", answer.err
    ).groups()
    assert int(has) == 95 < int(needed)
    assert hinted(answer)
    assert not (empty / "runs").exists()


def test_the_sessions_that_it_asks_for_are_enough(lstm, empty, monkeypatch):
    lstm("fetch", "GOOG", "--source", "sample")
    monkeypatch.setenv("LSTM_NOW", "2004-12-31T23:00:00-05:00")
    answer = lstm("train", *TINY, "--dry-run")
    needed = int(re.search(r"at least ([\d,]+) sessions", answer.err)[1])
    import pandas as pd

    session = pd.read_parquet(empty / "bars" / "GOOG.parquet")["session"]
    for count, code in ((needed - 1, 3), (needed, 0)):
        monkeypatch.setenv("LSTM_NOW", f"{session[count - 1]}T23:00:00-05:00")
        assert lstm("train", *TINY, "--dry-run").code == code, count


def test_nothing_fetched_is_said_with_the_command_that_fetches(lstm, empty):
    for line in (["train"], ["train", "MRK"], ["fetch"]):
        answer = lstm(*line)
        assert answer.code == 3
        assert hinted(answer)[0].startswith("lstm fetch")


def test_what_only_a_run_of_the_workspace_has_is_refused_without_one(lstm, workspace):
    shutil.rmtree(workspace / "runs")
    answer = lstm("plot", "--kind", "training")
    assert (answer.code, answer.out) == (3, "")
    assert "There is no finished run" in answer.err
    assert hinted(answer)[0].startswith("lstm train")


def test_an_unfinished_run_is_refused_with_the_command_that_finishes_it(lstm, workspace):
    folder = run_folder(workspace)
    (folder / "manifest.json").unlink()
    (folder / "plan.json").write_text("{}")
    answer = lstm("predict", "--run", folder.name)
    assert answer.code == 3
    assert hinted(answer) == ["lstm train --resume"]
    (first, _) = json.loads(lstm("predict", "--json").out)["forecasts"]
    assert first["run"] == shipped_run().manifest.run
    assert "interrupted: lstm train --resume" in lstm("runs").out


def test_a_run_for_other_tickers_is_refused_with_the_command_that_helps(lstm, workspace):
    of_others = ("--run", run_folder(workspace).name)
    helpful = {
        ("--offline",): "lstm fetch MRK",  # which nobody has fetched: that comes first
        of_others: "lstm train MRK --config lstm.yaml",
    }
    for extra, command in helpful.items():
        answer = lstm("predict", "MRK", *extra)
        assert answer.code == 3
        assert "MRK" in answer.err
        assert "fetching" not in answer.err
        assert hinted(answer) == [command]
    bars = simulate_bars(60, last="2008-10-14").rename_axis("Date")
    bars.drop(columns=["dividend", "split"]).to_csv("MRK.csv")
    assert lstm("fetch", "MRK", "--source", "csv", "--file", "MRK.csv").code == 0
    assert lstm("predict", "MRK").code == 0
    assert lstm("predict", "MRK", *of_others).code == 3
    for line in ([], ["NOBODY"]):
        answer = lstm("predict", *line, "--run", "nosuch")
        assert (answer.code, hinted(answer)) == (3, ["lstm runs"])


@pytest.mark.parametrize(
    ("setting", "allowed"),
    [
        ("training.threads=0", "1 or more"),
        ("training.shards=-2", "1 or more"),
        ("training.max_minutes=0", "above 0"),
        ("training.batch_size=60000", r"1 to \d+, the windows to train on"),
    ],
)
def test_settings_of_speed_outside_their_range_exit_2(lstm, workspace, setting, allowed):
    answer = lstm("train", "GOOG", *TINY, "--set", setting)
    assert answer.code == 2
    assert re.search(allowed, answer.err)
    assert setting.partition("=")[0] in answer.err
