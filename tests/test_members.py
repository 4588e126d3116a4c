"""Members trained as tasks: the digits of one process, whoever trains them."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest
from command import TINY, Lstm, run_folder, spawn, start, wait_for
from simulate import panel_of, simulate_bars

from lstmcli.config import load_config
from lstmcli.errors import ConfigError
from lstmcli.forecasters.panel_network.blocks import BLOCKS
from lstmcli.pipeline.members import check_members

pytestmark = [pytest.mark.process, pytest.mark.tensorflow]

WINDOWS = ["train", *TINY, "--set", "window.horizon=2"]
PANEL = ["train", "--config", "panel", "--set", "model.batches=2", "--set", "training.members=1"]
PANEL += ["--set", "window.horizon=5", "--set", "model.units=4", "--set", "model.hidden=4"]
SEVERAL = {"processes": ["--workers", "2"], "dask": ["--executor", "dask", "--workers", "2"]}


def copied(proven: tuple[Path, object], folder: Path) -> Path:
    """Return a workspace with the bars of two tickers alone."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(proven[0].parent / "fresh", folder / "data")
    return folder / "data"


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(WINDOWS, id="windows"),
        pytest.param(PANEL, id="panel", marks=pytest.mark.nightly),  # a minute for each executor
    ],
)
def here(request, proven, tmp_path_factory) -> tuple[list[str], Path]:
    """Return the command of a training, and the run that one process has made."""
    workspace = copied(proven, tmp_path_factory.mktemp("here"))
    answer = spawn(*request.param, workspace=workspace)
    assert answer.code == 0, answer.err
    return request.param, run_folder(workspace)


def check_same(run: Path, other: Path) -> None:
    """Check that two runs have learnt the same, to the last digit."""
    names = {path.name for path in run.iterdir()}
    assert {path.name for path in other.iterdir()} == names
    # A Keras file and a manifest have dates inside.
    alike = [name for name in names if name.endswith((".json", ".csv", ".tflite", ".npz"))]
    for name in set(alike) - {"manifest.json", "history.csv", "plan.json"}:
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    history, others = (pd.read_csv(folder / "history.csv") for folder in (run, other))
    pd.testing.assert_frame_equal(
        history.drop(columns="seconds"), others.drop(columns="seconds"), check_exact=True
    )


@pytest.mark.parametrize("name", SEVERAL)
def test_members_trained_apart_are_those_of_one_process(name, here, proven, tmp_path):
    command, run = here
    workspace = copied(proven, tmp_path)
    answer = spawn(*command, *SEVERAL[name], workspace=workspace)
    assert answer.code == 0, answer.err
    count = pd.read_csv(run / "history.csv").groupby(["fit", "member"]).ngroups
    assert f"({count}/{count})" in answer.err
    assert "epoch 1 loss" not in answer.err  # nothing was left to train here
    check_same(run, run_folder(workspace))


def test_members_that_were_trained_are_not_trained_again(proven, tmp_path):
    workspace = copied(proven, tmp_path)
    line = [*WINDOWS, "--set", "training.members=2", "--executor", "processes", "--workers", "1"]
    with start(*line, workspace=workspace) as process:
        wait_for(process, "(2/4)")
        process.kill()
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    resumed = spawn("train", "--resume", "--workers", "2", workspace=workspace)
    assert resumed.code == 0, resumed.err
    told = [line for line in resumed.err.splitlines() if line.endswith("/4)")]
    assert [line[-5:] for line in told] == ["(3/4)", "(4/4)"]
    assert all(line.startswith("final fit") for line in told)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--dry-run", "--workers", "2"], "Expected one of --dry-run"),
        (["--scheduler", "tcp://127.0.0.1:1"], "with --executor dask"),
    ],
)
def test_options_that_cannot_apply_are_refused(lstm: Lstm, fresh, options, words):
    answer = lstm("train", "AAA", *options)
    assert answer.code == 2
    assert words in answer.err
    assert not list(fresh.glob("runs/*"))


def test_what_goes_on_from_another_run_has_no_members_to_train_apart():
    panel = panel_of(AAA=simulate_bars(300))
    with pytest.raises(ConfigError, match="whose members are trained apart") as caught:
        check_members(load_config("tuned").recipe(), panel)
    assert "--config best.yaml" in caught.value.hint
    for name, count in {"lstm": 3, "best": 3, "panel": 2 + BLOCKS}.items():
        recipe = load_config(name).recipe()
        assert check_members(recipe, panel).count_members(panel) == count, name
