"""`lstm runs export` and `lstm runs import`: a run forecasts elsewhere as it did at home."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import hinted, run_folder, spawn, stored
from make_golden import GOLDEN, RUNS, workspace_of
from mutations import change_one_value, members_of, repacked
from test_run_file import proven

from lstmcli.errors import DataError
from lstmcli.pipeline.portable import unpack_run
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.travel import export_run, import_run
from lstmcli.store.run_file import RunFile, from_bytes, to_bytes
from lstmcli.store.runs import Manifest, RunStore

pytestmark = [pytest.mark.process, pytest.mark.tensorflow]

BRIEF = {
    "best": ["--set", "training.epochs=1", "--set", "training.members=2"],
    "panel": [
        *("--set", "model.batches=20", "--set", "training.members=1"),
        *("--set", "model.units=4", "--set", "model.hidden=4"),
    ],
}
"""Options of trainings that take seconds."""


@pytest.fixture(scope="session")
def home(made_once, proven) -> Path:
    """Return a workspace with two tickers, a blend and a panel network."""

    def make(folder: Path) -> None:
        data = Path(shutil.copytree(proven[0].parent / "fresh", folder / "data"))
        for name, options in BRIEF.items():
            words = ["train", "--config", name, "--set", "window.horizon=5", *options, "-q"]
            answer = spawn(*words, workspace=data)
            assert answer.code == 0, answer.err

    return made_once("home", make)[0] / "data"


def elsewhere(workspace: Path) -> Path:
    """Return another workspace, with the bars of the first and nothing else."""
    other = workspace.parent / "elsewhere"
    shutil.copytree(workspace / "bars", other / "bars")
    return other


def forecasts(lstm, workspace: Path, *words: str) -> list[dict]:
    answer = lstm("predict", *words, "--json", "-q", "--workspace", workspace)
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)["forecasts"]
    return [{key: of for key, of in one.items() if key != "file"} for one in told]


def check_travels(lstm, workspace: Path, run: str, ticker: str) -> Path:
    """Check that a run forecasts elsewhere digit by digit; return the other workspace."""
    other, file = elsewhere(workspace), workspace.parent / "run.lstmrun"
    assert lstm("runs", "export", run, file).code == 0
    answer = lstm("runs", "import", file, "--workspace", other)
    assert answer.code == 0, answer.err
    assert forecasts(lstm, other, ticker, "--run", run) == forecasts(
        lstm, workspace, ticker, "--run", run
    )
    here, there = (
        json.loads(lstm("runs", "show", run, "--json", "--workspace", place).out)
        for place in (workspace, other)
    )
    for told in (here, there):
        del told["folder"], told["files"]
    assert there == here
    again = workspace.parent / "again.lstmrun"
    assert lstm("runs", "export", run, again, "--workspace", other).code == 0
    assert again.read_bytes() == file.read_bytes()
    return other


@pytest.mark.parametrize("name", BRIEF)
def test_a_blend_and_a_panel_network_travel(lstm, home, tmp_path, monkeypatch, name):
    workspace = Path(shutil.copytree(home, tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTM_WORKSPACE", "data")
    monkeypatch.setenv("LSTM_NOW", "2008-10-14T18:00:00-04:00")
    other = check_travels(lstm, workspace, name, "AAA")
    drawn = lstm("plot", "--kind", "training", "--run", name, "--workspace", other)
    assert drawn.code == 0, drawn.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda of: array_with("panel", "mean", set_to_nan)(of), "not finite"),
        (lambda of: with_array("panel", "more", np.zeros(1))(of), "other arrays"),
        (lambda of: with_array("network-01", "000", np.zeros(1))(of), "no part of its recipe"),
        (lambda of: text_with("state.json", '"columns": [', '"columns": ["x",')(of), "columns"),
    ],
)
def test_a_panel_network_with_other_arrays_is_refused(lstm, home, tmp_path, change, words):
    path = tmp_path / "panel.lstmrun"
    assert lstm("runs", "export", "panel", path, "--workspace", home).code == 0
    answer = lstm("runs", "import", edited(path, change), "--workspace", tmp_path / "other")
    assert (answer.code, answer.out) == (6, "")
    assert words in answer.err
    assert not (tmp_path / "other").exists()


def test_a_network_travels(lstm, workspace):
    other = check_travels(lstm, workspace, "smoke", "SIM")
    shutil.copytree(run_folder(workspace), other / "runs" / "20081015T000000Z-x-00000000")
    manifest = other / "runs" / "20081015T000000Z-x-00000000" / "manifest.json"
    told = json.loads(manifest.read_text("utf-8")) | {"run": manifest.parent.name}
    manifest.write_text(json.dumps(told))
    compared = lstm("runs", "compare", "smoke", "x", "--workspace", other, "--json")
    assert json.loads(compared.out)["sessions"]["count"] > 10
    assert forecasts(lstm, other, "GOOG")[0]["label"].startswith("sample data")


@pytest.fixture
def file(made_once, first_run, workspace) -> Path:
    """Return the file of the one run of the workspace."""

    def make(folder: Path) -> None:
        words = ["runs", "export", "smoke", folder / "smoke.lstmrun"]
        answer = spawn(*words, workspace=Path(first_run["workspace"].out))
        assert answer.code == 0, answer.err

    made = made_once("exported", make)[0] / "smoke.lstmrun"
    return Path(shutil.copy(made, workspace.parent))


def test_an_import_says_what_came(lstm, workspace, file):
    answer = lstm("runs", "import", file, "--workspace", "other", "-q")
    facts = {line[:12].strip(): line[12:] for line in answer.out.splitlines()}
    assert facts["run"] == run_folder(workspace).name
    assert facts["config"] == "smoke"
    assert facts["tickers"] == "2: GOOG SIM"
    assert facts["trained to"] == "2008-10-14"
    assert "on 2008-" in facts["verdict"]
    assert facts["made"].startswith("2008-10-14, by lstm 0.")
    assert "sample data" in answer.out
    assert "none of its tickers has bars here" in answer.out
    told = json.loads(lstm("runs", "--workspace", "other", "--json").out)["runs"]
    here = json.loads(lstm("runs", "--json").out)["runs"]
    for one in (*told, *here):
        del one["files"]
    assert told == here
    assert [*told[0]["bars"]] == [*here[0]["bars"]]


def test_both_answer_in_json(lstm, workspace, file):
    told = json.loads(lstm("runs", "export", "smoke", "two.lstmrun", "--json", "-q").out)
    assert told["run"] == run_folder(workspace).name
    assert told["bytes"] == Path(told["file"]).stat().st_size == len(file.read_bytes())
    came = json.loads(lstm("runs", "import", file, "--workspace", "other", "--json", "-q").out)
    assert (came["run"], came["config"], came["already"]) == (told["run"], "smoke", False)
    assert (came["trained_to"], came["with_bars"]) == ("2008-10-14", [])
    assert Path(came["folder"]) == Path("other/runs") / told["run"]


def test_the_file_says_where_the_run_comes_from(file):
    run_file = from_bytes(file.read_bytes())
    told = run_file.provenance
    assert told["tickers"] == ["GOOG", "SIM"]
    assert told["seeds"] == {"seed": 7, "networks": 1}
    assert told["span"]["trained_to"] == "2008-10-14"
    assert told["scores"]["crps"] == run_file.manifest.crps
    assert len(told["bars"]) == 64
    assert told["exported_by"]
    assert not any(name.endswith((".keras", ".tflite")) for name in members_of(file.read_bytes()))


def test_a_run_that_is_here_already_is_left_alone(lstm, workspace, file):
    before = stored(workspace)
    answer = lstm("runs", "import", file)
    assert answer.code == 0
    assert "here already" in answer.out
    assert stored(workspace) == before
    assert json.loads(lstm("runs", "import", file, "--json").out)["already"] is True


def edited(file: Path, change: Callable[[RunFile], RunFile]) -> Path:
    """Write a run that differs, all of its hashes right; return its file."""
    path = file.with_name("edited.lstmrun")
    path.write_bytes(to_bytes(change(from_bytes(file.read_bytes()))))
    return path


def manifest_with(**changes) -> Callable[[RunFile], RunFile]:
    return lambda of: replace(of, manifest=of.manifest.model_copy(update=changes))


def array_with(stem: str, name: str, change) -> Callable[[RunFile], RunFile]:
    def edit(of: RunFile) -> RunFile:
        arrays = {key: dict(value) for key, value in of.arrays.items()}
        arrays[stem][name] = change(arrays[stem][name].copy())
        return replace(of, arrays=arrays)

    return edit


def text_with(name: str, old: str, new: str) -> Callable[[RunFile], RunFile]:
    def edit(of: RunFile) -> RunFile:
        assert old in of.texts[name]
        return replace(of, texts={**of.texts, name: of.texts[name].replace(old, new)})

    return edit


def without(stem: str) -> Callable[[RunFile], RunFile]:
    return lambda of: replace(of, arrays={k: v for k, v in of.arrays.items() if k != stem})


def set_to_nan(array: np.ndarray) -> np.ndarray:
    array.flat[0] = np.nan
    return array


def with_array(stem: str, name: str, array: np.ndarray) -> Callable[[RunFile], RunFile]:
    return lambda of: replace(
        of, arrays={**of.arrays, stem: {**of.arrays.get(stem, {}), name: array}}
    )


WRONG = {
    "NaN weights": (array_with("network-01", "000", set_to_nan), "not finite"),
    "weights of another shape": (array_with("network-01", "000", lambda a: a[1:]), "shapes"),
    "weights of another kind": (
        array_with("network-01", "000", lambda a: a.astype("f8")),
        "shapes",
    ),
    "a weight too many": (with_array("network-01", "999", np.zeros(1)), "arrays"),
    "no network": (without("network-01"), "another version"),
    "a network of another recipe": (with_array("panel", "mean", np.zeros(1)), "other arrays"),
    "another config": (text_with("config.yaml", "units: 4", "units: 5"), "its config is not that"),
    "a config of another version": (text_with("config.yaml", "units: 4", "uni: 4"), "uni"),
    "another seed": (text_with("config.yaml", "seed: 7", "seed: 8"), "its config is not that"),
    "a name that leaves": (manifest_with(run="../../20081014T220000Z-smoke-0"), "its name"),
    "another name": (manifest_with(run="20081014T220000Z-best-01234567"), "its name"),
    "a ticker that leaves": (manifest_with(tickers=("../X", "SIM")), "tickers"),
    "no ticker": (manifest_with(tickers=()), "tickers"),
    "another ticker": (manifest_with(tickers=("GOOG", "SAM")), "state"),
    "test dates": (manifest_with(test=("2008-05-01", "2008-02-30", 1)), "test sessions"),
    "test dates turned": (manifest_with(test=("2008-05-01", "2007-05-01", 1)), "test sessions"),
    "a format": (manifest_with(format=2), "Expected a run in format 1"),
    "a label that steers": (manifest_with(labels={"GOOG": "\x1b[2J"}), "does not print"),
    "a verdict": (manifest_with(verdict={"recipe": "x", "ladder": 1}), "verdict"),
    "features": (text_with("state.json", '"log_return"', '"range"'), "another version"),
    "a mean": (text_with("state.json", '"mean": [', '"mean": [1.0,'), "state"),
    "no dates": (text_with("state.json", '"fit_end": "', '"fit_end": "x'), "state"),
    "scores": (text_with("scores.csv", "block,", "black,"), "scores.csv"),
    "history": (text_with("history.csv", "epoch", "epach"), "history.csv"),
    "calibration": (array_with("calibration", "theta", lambda a: a[:1]), "do not fit together"),
    "outcomes": (array_with("outcomes", "crps", lambda a: a[1:]), "outcomes"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_run_that_contradicts_itself_changes_nothing(lstm, workspace, file, name):
    change, words = WRONG[name]
    path = edited(file, change)
    shutil.rmtree(run_folder(workspace))
    before = stored(workspace)
    answer = lstm("runs", "import", path)
    assert (answer.code, answer.out) == (6, "")
    assert words in answer.err
    assert "Nothing was changed." in answer.err
    assert hinted(answer)
    assert stored(workspace) == before
    assert not [*(workspace / "runs").iterdir()]


def test_a_forger_gets_one_kind_of_error(file):
    run_file = from_bytes(file.read_bytes())
    whole = run_file.manifest.model_dump(mode="json")
    verdict, accepted = dict(whole["verdict"]), []
    for seed in range(200):
        chance = random.Random(seed)
        told = json.loads(json.dumps(whole))
        change_one_value(told["verdict"] if seed % 2 else told, chance)
        state = json.loads(run_file.texts["state.json"])
        if seed % 3 == 0:
            change_one_value(state, chance)
        texts = {**run_file.texts, "state.json": json.dumps(state)}
        try:
            manifest = Manifest.model_validate(told)
            unpacked = unpack_run(replace(run_file, manifest=manifest, texts=texts))
        except ValueError:
            continue
        accepted.append(unpacked.manifest)
    assert 20 < len(accepted) < 180
    assert any(manifest.verdict != verdict for manifest in accepted)


def test_a_damaged_file_is_refused_before_there_is_a_workspace(lstm, workspace, file):
    content = file.read_bytes()
    for damaged in (content[:-10], b"", b"hello", content.replace(b"config.yaml", b"config.yamm")):
        file.write_bytes(damaged)
        answer = lstm("runs", "import", file, "--workspace", "other")
        assert (answer.code, answer.out) == (6, "")
        assert "no run that can be imported" in answer.err
        assert hinted(answer)
    assert not Path("other").exists()
    told = json.loads(lstm("runs", "import", file, "--workspace", "other", "--json").err)
    assert told["exit_code"] == 6


def test_a_file_of_a_newer_version_says_so(lstm, workspace, file):
    file.write_bytes(repacked(proven(members_of(file.read_bytes()), format=2)))
    answer = lstm("runs", "import", file, "--workspace", "other")
    assert answer.code == 6
    assert "made by a newer version" in answer.err
    assert answer.hint.startswith("update lstm")


def test_the_config_of_another_version_trains_anew_as_the_hint_says(lstm, workspace, file):
    path = edited(file, text_with("state.json", '"log_return"', '"range"'))
    answer = lstm("runs", "import", path, "--workspace", "other")
    assert "unzip -p" in answer.hint
    Path("edited.yaml").write_bytes(members_of(path.read_bytes())["config.yaml"])
    assert hinted(answer) == ["lstm train --config edited.yaml"]
    assert lstm("train", "--config", "edited.yaml", "--dry-run").code == 0


def test_another_run_of_the_name_is_kept(lstm, workspace, file):
    path = edited(file, manifest_with(seconds=99.0))
    before = stored(workspace)
    answer = lstm("runs", "import", path)
    assert answer.code == 6
    assert "Another run of this name is here" in answer.err
    assert stored(workspace) == before
    # As the hint says.
    folder = run_folder(workspace)
    assert f"mv {Path('data/runs') / folder.name} data/{folder.name}.old" in answer.hint
    folder.rename(workspace / f"{folder.name}.old")
    assert lstm("runs", "import", path).code == 0


def test_a_damaged_run_of_the_name_is_kept(lstm, workspace, file):
    (run_folder(workspace) / "state.json").write_text("{}")
    before = stored(workspace)
    answer = lstm("runs", "import", file)
    assert answer.code == 6
    assert "cannot be read" in answer.err
    assert "lstm runs import" in answer.hint
    assert stored(workspace) == before


def test_an_unfinished_training_of_the_name_is_kept(lstm, workspace, file):
    folder = run_folder(workspace)
    (folder / "manifest.json").rename(folder / "plan.json")
    before = stored(workspace)
    answer = lstm("runs", "import", file)
    assert (answer.code, hinted(answer)) == (6, ["lstm train --resume"])
    assert stored(workspace) == before


def test_a_file_that_exists_is_replaced_by_force_alone(lstm, workspace, file):
    file.write_bytes(b"mine")
    answer = lstm("runs", "export", "smoke", "smoke.lstmrun")
    assert answer.code == 2
    assert hinted(answer) == ["lstm runs export smoke smoke.lstmrun --force"]
    assert file.read_bytes() == b"mine"
    assert lstm("runs", "export", "smoke", "smoke.lstmrun", "--force").code == 0
    assert len(file.read_bytes()) > 1000


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["export", "smoke", "none/run.lstmrun"], 2, "Expected a folder that exists"),
        (["export", "smoke", "data"], 2, "Expected a file. Received: data, a folder."),
        (["export", "nothing", "run.lstmrun"], 3, "There is no run nothing"),
        (["import", "none.lstmrun"], 2, "none.lstmrun: No such file or directory"),
        (["import", "data"], 2, "data: Is a directory"),
    ],
)
def test_what_cannot_be_done_says_why(lstm, workspace, words, code, message):
    answer = lstm("runs", *words)
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err
    assert answer.hint


def test_a_damaged_run_is_not_exported(lstm, workspace):
    (run_folder(workspace) / "network-01.keras").write_bytes(b"PK")
    answer = lstm("runs", "export", "smoke", "smoke.lstmrun")
    assert answer.code == 6
    assert "network-01.keras is damaged" in answer.err
    assert not Path("smoke.lstmrun").exists()


def test_a_full_disk_leaves_nothing_of_a_run(lstm, workspace, file, small_disk):
    disk = small_disk(100_000)
    answer = lstm("runs", "import", file, "--workspace", disk / "data")
    assert answer.code == 8, answer.err
    assert not [*(disk / "data" / "runs").iterdir()]
    answer = lstm("runs", "export", "smoke", disk / "smoke.lstmrun")
    assert answer.code == 8
    assert not (disk / "smoke.lstmrun").exists()


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.iterdir() if path.is_dir()))
def test_a_golden_run_of_every_network_travels(name, tmp_path, monkeypatch):
    monkeypatch.setenv("LSTM_NOW", "")  # put back what `workspace_of` sets
    home = workspace_of(tmp_path / "home")
    away = workspace_of(tmp_path / "away")
    home.runs = RunStore(GOLDEN / name / RUNS)
    session, file = Session(home), tmp_path / "run.lstmrun"
    run = session.latest(["A"]).run
    export_run(session, run, file, force=False, on_stage=lambda stage: None)
    import_run(Session(away), file, on_stage=lambda stage: None)
    panel = session.panel(["A"]).panel
    given, found = (
        each.fitted(run).forecast(panel, panel["A"].index[-1:]) for each in (session, Session(away))
    )
    # The golden run has no export for LiteRT: digits differ in the last place.
    pd.testing.assert_frame_equal(found, given, rtol=1e-5)


def test_a_run_without_its_network_is_no_run_of_this_version(file, tmp_path):
    path = edited(file, without("network-01"))
    with pytest.raises(DataError, match="Expected networks with 1 feature columns"):
        import_run(Session(workspace_of(tmp_path / "x")), path, on_stage=lambda stage: None)
