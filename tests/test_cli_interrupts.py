"""Ctrl-C, kill -9 and --resume: a training that stops goes on where it was."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command import NOW, TINY, Result, check_parses, start, wait_for

from lstmcli.cli.terminal import interrupts
from lstmcli.store import Workspace

pytestmark = pytest.mark.process

LONG = ["GOOG", *TINY, "--set", "training.epochs=60", "--set", "training.patience=60"]
LONG += ["--set", "model.dropout=0.3"]


@dataclass(frozen=True)
class Stopped:
    """A training that was stopped twice, and the workspace after each time."""

    ctrl_c: Result
    after_ctrl_c: Path
    killed: Path
    began: Path  # as it was before


@pytest.fixture(scope="session")
def stopped(first_run: dict[str, Result], made_once) -> Stopped:
    bars = Path(first_run["workspace"].out) / "bars"
    folder, ctrl_c = made_once("stopped", lambda folder: _stop(folder, bars))
    places = (folder / name / "data" for name in ("ctrl-c", "killed", "began"))
    return Stopped(Result(**ctrl_c), *places)


def _stop(folder: Path, bars: Path) -> dict[str, Any]:
    began, after_ctrl_c, killed = (folder / name / "data" for name in ("began", "ctrl-c", "killed"))
    shutil.copytree(bars, began / "bars")
    shutil.copytree(began, after_ctrl_c)
    with start("train", *LONG, workspace=after_ctrl_c) as process:
        said = wait_for(process, "epoch 1 loss")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    shutil.copytree(after_ctrl_c, killed)
    with start("train", "--resume", workspace=killed) as again:
        wait_for(again, "epoch")
        again.kill()
        again.communicate(timeout=60)
    assert again.returncode == -signal.SIGKILL
    return vars(Result(process.returncode, out, said + err))


@pytest.fixture
def enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that copies a workspace here, where commands find it."""

    def copy(data: Path) -> Path:
        shutil.copytree(data, tmp_path / "data")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("LSTM_WORKSPACE", "data")
        monkeypatch.setenv("LSTM_NOW", NOW)
        return tmp_path / "data"

    return copy


def epochs(workspace: Path) -> int:
    """Return how many epochs an interrupted run has kept."""
    runs = Workspace(workspace).runs
    (run,) = runs.interrupted()
    kept = runs.checkpoints(run).load("scored-1")
    return 0 if kept is None else int(kept["rows"][-1][0])


def test_ctrl_c_exits_130_and_says_where_the_weights_are(stopped):
    assert stopped.ctrl_c.code == 130
    assert "Traceback" not in stopped.ctrl_c.err
    (folder,) = (stopped.after_ctrl_c / "runs").iterdir()
    assert f"stopped; what it has learnt so far is in {folder}\n" in stopped.ctrl_c.err
    check_parses("lstm train --resume")
    assert stopped.ctrl_c.hint.startswith("lstm train --resume")
    assert stopped.ctrl_c.out == ""
    assert not (folder / "manifest.json").exists()
    assert epochs(stopped.after_ctrl_c) >= 1


def test_a_killed_training_is_listed_as_interrupted(lstm, stopped, enter):
    data = enter(stopped.killed)
    (run,) = (path.name for path in (data / "runs").iterdir())
    assert epochs(stopped.killed) > epochs(stopped.after_ctrl_c)
    assert lstm("runs").out == f"{run}  interrupted: lstm train --resume\n"
    assert json.loads(lstm("runs", "--json").out)["interrupted"] == [run]
    assert "interrupted" in lstm("doctor").out
    assert not list(data.rglob("*.tmp"))


def test_a_resumed_training_gives_the_forecast_of_an_uninterrupted_one(
    lstm, stopped, enter, tmp_path
):
    data = enter(stopped.killed)
    undisturbed = shutil.copytree(stopped.began, tmp_path / "undisturbed" / "data")
    whole = lstm("train", *LONG, "--workspace", undisturbed)
    assert whole.code == 0
    resumed = lstm("train", "--resume")
    assert resumed.code == 0
    # The tables are the same but for the seconds that each took.
    assert resumed.out.splitlines()[1:] == whole.out.splitlines()[1:]
    files = []
    for workspace in (data, undisturbed):
        assert lstm("predict", "GOOG", "--workspace", workspace).code == 0
        (path,) = workspace.glob("forecasts/*/GOOG-*.csv")
        files.append(path.read_bytes())
    assert files[0] == files[1]
    runs = Workspace(data).runs
    assert runs.interrupted() == []
    assert not (runs.path(runs.names()[0]) / "resume").exists()
    again = lstm("train", "--resume")
    assert again.code == 3
    assert "There is no interrupted run" in again.err


def test_a_run_whose_bars_have_changed_is_not_resumed(lstm, stopped, enter):
    data = enter(stopped.after_ctrl_c)
    before = epochs(data)
    assert lstm("fetch", "GOOG", "--source", "sample", "--start", "2006-06-01").code == 0
    answer = lstm("train", "--resume")
    assert answer.code == 2
    assert "The bars of GOOG have changed since" in answer.err
    check_parses(answer.hint)
    assert epochs(data) == before
    assert lstm(*answer.hint.split()[1:], "--dry-run").code == 0


def test_a_dry_run_of_a_resume_fits_nothing(lstm, stopped, enter):
    data = enter(stopped.after_ctrl_c)
    before = epochs(data)
    answer = lstm("train", "--resume", "--dry-run")
    assert (answer.code, answer.out.splitlines()[:2]) == (0, ["name: smoke", "tickers: [GOOG]"])
    assert epochs(data) == before


@pytest.mark.parametrize("name", ["plan.json", "config.yaml", "resume/scored-1.npz"])
def test_a_damaged_interrupted_run_is_refused_by_name(lstm, stopped, enter, name):
    data = enter(stopped.after_ctrl_c)
    (folder,) = (data / "runs").iterdir()
    (folder / name).write_bytes(b"{damaged")
    answer = lstm("train", "--resume")
    assert answer.code == 6
    assert folder.name in answer.err
    assert answer.hint


def test_nothing_to_resume_exits_3(lstm, workspace):
    answer = lstm("train", "--resume")
    assert answer.code == 3
    assert answer.hint.startswith("lstm train MRK")


@pytest.mark.parametrize("delay", [0.2, 1.0])
def test_ctrl_c_while_tensorflow_is_imported_is_no_crash(stopped, enter, delay):
    data = enter(stopped.began)
    with start("train", *LONG, workspace=data) as process:
        said = wait_for(process, "loading TensorFlow")
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    # Python dies of the signal itself where it hit code that a C library runs while it is
    # imported, whoever caught it; a shell shows 130 for both.
    assert process.returncode in (130, -signal.SIGINT)
    assert "stopped; " in err
    assert "Traceback" not in said + err
    assert "error" not in err


def test_ctrl_c_in_a_backtest_ends_its_workers_and_keeps_what_is_finished(workspace):
    line = ["backtest", "GOOG", *TINY, "--set", "backtest.folds=1", "--workers", "2"]
    line += ["--set", "backtest.start=2008-08-01", "--set", "window.horizon=2"]
    with start(*line, workspace=workspace, start_new_session=True) as process:
        said = wait_for(process, "fold 1: ")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        before = time.monotonic()
        # This reads to the end of stderr, which a worker that lives on would keep open.
        out, err = process.communicate(timeout=60)
    assert time.monotonic() - before < 5
    assert (process.returncode, out) == (130, "")
    assert err.endswith(
        "stopped; what is finished is kept\n\nhint: the same command goes on from there\n"
    )
    assert "Traceback" not in said + err
    assert list(workspace.glob("backtests/*/raw/*.parquet"))


def test_a_run_that_is_being_trained_is_not_resumed(lstm, stopped, enter):
    workspace = enter(stopped.after_ctrl_c)
    runs = Workspace(workspace).runs
    (run,) = runs.interrupted()
    with runs.hold(run):
        answer = lstm("train", "--resume")
    assert answer.code == 7
    assert f"is in use by process {os.getpid()}" in answer.err


def test_resume_takes_no_other_settings(lstm, stopped, enter):
    enter(stopped.after_ctrl_c)
    for more in (["GOOG"], ["--set", "seed=8"]):
        answer = lstm("train", *more, "--resume")
        assert answer.code == 2
        assert "lstm train --resume" in answer.hint


def test_a_ctrl_c_that_comes_out_as_another_error_is_still_a_ctrl_c():
    with pytest.raises(KeyboardInterrupt), interrupts():
        raise SystemError("returned a result with an exception set") from KeyboardInterrupt()
    with pytest.raises(SystemError), interrupts():
        raise SystemError("returned a result with an exception set") from ValueError()
