"""Damaged files, full disks, a held lock, a failing network: what it says, and what survives."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command import TINY, fill, hinted, run_folder, spawn, start, stored
from yahoo_server import Fault, Listing, YahooServer, traded

pytestmark = pytest.mark.process

FRIDAY = datetime(2024, 3, 8, 23, 0, tzinfo=UTC)


def rewrite(folder: Path, name: str, change: Callable[[dict], None]) -> None:
    """Change a JSON file of a run, and its hash in the manifest: an intact file, but another."""
    content = json.loads((folder / name).read_bytes())
    change(content)
    (folder / name).write_text(json.dumps(content))
    if name != "manifest.json":
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        rewrite(folder, "manifest.json", lambda manifest: manifest["files"].update({name: digest}))


FILES = ["network-01.keras", "state.json", "config.yaml", "history.csv", "manifest.json"]


@pytest.mark.parametrize("how", ["cut", "gone"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_run_is_refused_by_name(lstm, workspace, name, how):
    path = run_folder(workspace) / name
    path.write_bytes(path.read_bytes()[:-20])
    if how == "gone":
        path.unlink()
    never_finished = (name, how) == ("manifest.json", "gone")
    for line in (["predict", "GOOG", "SIM"], ["plot", "--kind", "training"]):
        if never_finished and line[0] == "predict":
            continue  # by the network that ships
        answer = lstm(*line)
        if never_finished:
            assert answer.code == 3
        else:
            assert (answer.code, answer.out) == (6, "")
            assert f"{path.relative_to(workspace.parent)} is damaged" in answer.err
            assert answer.err.count("error: ") == 1
        assert hinted(answer)
    if not never_finished:
        check = lstm("doctor")
        assert check.code == 6
        assert name in check.err
    if (name, how) == ("manifest.json", "cut"):
        for options in ([], ["--json"]):
            listed = lstm("runs", *options)
            assert listed.code == 6
            assert name in listed.err


def test_a_run_of_another_format_is_refused(lstm, workspace):
    rewrite(run_folder(workspace), "manifest.json", lambda manifest: manifest.update(format=99))
    answer = lstm("predict")
    assert answer.code == 6
    assert "Expected a run in format 1. Received: 99." in answer.err
    assert hinted(answer)[0].startswith("lstm train --config data/runs/")


@pytest.mark.parametrize("features", [["range"], ["log_return", "moon_phase"]])
def test_a_run_with_other_feature_columns_is_refused(lstm, workspace, features):
    rewrite(run_folder(workspace), "state.json", lambda state: state.update(features=features))
    answer = lstm("predict")
    assert answer.code == 6
    assert f"Expected the feature columns log_return. Received: {', '.join(features)}" in answer.err
    assert hinted(answer)


def test_a_run_whose_config_this_version_does_not_know_is_refused(lstm, workspace):
    folder = run_folder(workspace)
    text = (folder / "config.yaml").read_text().replace("log_return", "moon_phase")
    (folder / "config.yaml").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    rewrite(folder, "manifest.json", lambda m: m["files"].update({"config.yaml": digest}))
    answer = lstm("predict")
    assert answer.code == 6
    assert "unknown feature 'moon_phase'" in answer.err


def test_damaged_bars_are_named_and_fetched_again(lstm, workspace):
    path = workspace / "bars" / "GOOG.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    for line in (["predict", "GOOG"], ["train", "GOOG"], ["status"], ["doctor"]):
        answer = lstm(*line)
        assert answer.code == 6
        assert "data/bars/GOOG.parquet is damaged" in answer.err
        assert hinted(answer) == ["lstm fetch GOOG"]
    assert lstm("fetch", "GOOG").code == 0
    assert lstm("predict", "GOOG").code == 0


def test_one_failing_ticker_leaves_the_others_and_the_highest_code(lstm, workspace):
    path = workspace / "bars" / "GOOG.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    answer = lstm("predict", "MRK", "GOOG", "SIM", "--json")
    assert answer.code == 6
    assert [each["ticker"] for each in json.loads(answer.out)["forecasts"]] == ["SIM"]
    errors = [json.loads(line) for line in answer.err.splitlines() if line.startswith("{")]
    assert [(error["schema"], error["exit_code"]) for error in errors] == [(2, 4), (2, 6)]
    answer = lstm("fetch", "NOSUCH", "GOOG", "--source", "sample")
    assert answer.code == 3
    assert "GOOG: new" in answer.err


def test_a_universe_is_a_file_with_comments(lstm, workspace):
    text = "\ufeff# mine\n\nsim   # simulated\n"
    Path("universe.txt").write_text(text, encoding="utf-8")
    answer = lstm("predict", "--universe", "universe.txt", "--json")
    assert [each["ticker"] for each in json.loads(answer.out)["forecasts"]] == ["SIM"]
    Path("universe.txt").write_text("# none\n")
    assert lstm("predict", "--universe", "universe.txt").code == 2


def test_a_file_where_the_workspace_should_be_exits_8(lstm, workspace):
    Path("file").write_text("mine")
    for line in (["fetch", "GOOG", "--source", "sample"], ["doctor"], ["predict", "GOOG"]):
        answer = lstm(*line, "--workspace", "file")
        assert answer.code == 8, line
        assert answer.hint
    shutil.rmtree(workspace / "runs")
    (workspace / "runs").write_text("mine")
    assert lstm("train", *TINY).code == 8


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_exits_8(lstm, workspace):
    before = stored(workspace)
    folders = [path for path in (workspace, *workspace.rglob("*")) if path.is_dir()]
    for folder in folders:
        folder.chmod(0o500)
    try:
        earlier = ["fetch", "GOOG", "--start", "2006-06-01"]
        for line in (["train", *TINY], ["predict"], earlier):
            assert lstm(*line).code == 8
    finally:
        for folder in folders:
            folder.chmod(0o700)
    assert stored(workspace) == before


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow beyond 2,000 bytes: what a full disk does, for anybody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("command", ["predict", "plot", "train"])
def test_a_write_that_fails_halfway_exits_8_and_keeps_the_old_files(
    lstm, workspace, small_files, command
):
    before = stored(workspace)
    answer = lstm(command, "SIM", *(TINY if command == "train" else []))
    assert answer.code == 8
    assert "cannot be written" in answer.err
    assert answer.hint
    kept = stored(workspace)
    assert {path: kept[path] for path in before} == before
    new = {path.name for path in kept.keys() - before.keys()}
    begun = {"config.yaml", "plan.json"}  # small enough to be written
    assert new == (begun if command == "train" else set())


def test_a_full_disk_exits_8_and_keeps_the_old_files(lstm, workspace, small_disk):
    disk = small_disk(1_600_000)
    data = shutil.copytree(workspace, disk / "data")
    fill(disk)
    before = stored(data)
    answer = lstm("predict", "SIM", "--workspace", data)
    assert (answer.code, answer.out) == (8, "")
    assert "No space left on device" in answer.err
    assert stored(data) == before


def test_a_held_workspace_exits_7_and_names_the_holder(lstm, workspace):
    script = (
        "import sys\nfrom pathlib import Path\nfrom lstmcli.store import Workspace\n"
        f"with Workspace(Path({str(workspace)!r})).lock():\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        answer = lstm("fetch", "GOOG", "--source", "sample")
        assert answer.code == 7
        assert f"data is in use by process {holder.pid}." in answer.err
        assert answer.hint
    finally:
        holder.communicate("", timeout=30)
    assert lstm("fetch", "GOOG", "--source", "sample").code == 0


@pytest.mark.parametrize("buffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_reader_that_has_seen_enough_is_no_error(empty, buffered):
    process = start("config", "show", workspace=empty, changes={"PYTHONUNBUFFERED": buffered})
    process.stdout.close()
    with process.stderr as stderr:
        assert stderr.read() == ""
    assert process.wait(timeout=60) == 0


def test_yahoo_is_fetched_by_a_process_and_updated_when_the_clock_moves(tmp_path):
    data = tmp_path / "data"
    with YahooServer(tmp_path) as yahoo:
        yahoo.listings = {name: Listing(traded("2023-11-01", 125)) for name in ("MRK", "MDT")}
        yahoo.now = FRIDAY
        answer = spawn("fetch", "MRK", "MDT", workspace=data, changes=yahoo.environment(tmp_path))
        assert answer.code == 0, answer.err
        found = re.findall(r"^(\w+): new, \d+ sessions, .* to 2024-03-08$", answer.err, re.M)
        assert found == ["MRK", "MDT"], answer.err
        yahoo.now = datetime(2024, 3, 13, 23, 0, tzinfo=UTC)
        answer = spawn("fetch", "--json", workspace=data, changes=yahoo.environment(tmp_path))
        found = json.loads(answer.out)["tickers"]
        assert [(each["status"], each["added"]) for each in found] == [("updated", 3)] * 2
        assert yahoo.leaks == []
        assert yahoo.requests
        assert all(request.host.endswith(".yahoo.com") for request in yahoo.requests)


def test_the_lock_of_a_killed_process_is_free(lstm, workspace):
    process = start("fetch", "GOOG", "--source", "sample", workspace=workspace)
    deadline = time.monotonic() + 30
    while not (workspace / ".lock-holder").exists():
        assert time.monotonic() < deadline, "it has not taken the lock"
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert lstm("fetch", "GOOG", "--source", "sample").code == 0


@pytest.mark.parametrize(
    ("fault", "code"),
    [(Fault(status=500), 4), (Fault(status=429), 5), (None, 4)],
    ids=["500", "429", "no network"],
)
def test_a_failing_yahoo_leaves_what_is_stored_usable(lstm, workspace, yahoo, fault, code):
    before = stored(workspace)
    if fault is None:
        for name in ("HTTPS_PROXY", "https_proxy"):
            os.environ[name] = "http://127.0.0.1:9"  # put back by the fixture of `yahoo`
    else:
        yahoo.faults = [fault]
    answer = lstm("fetch", "SIM", "--source", "yahoo")
    assert answer.code == code
    assert answer.err.startswith("error: ")
    assert answer.hint
    assert stored(workspace) == before
    assert lstm("predict", "SIM", "--as-of", "2008-10-14").code == 0


LEAVES = """
import ctypes, os, sys, atexit
from lstmcli.cli import main

aborts = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p)(lambda *_: os.abort())
ctypes.CDLL(None).on_exit(aborts, None)
atexit.register(print, "Python has been left")
sys.argv = ["lstm", *sys.argv[1:]]
main()
"""


@pytest.mark.process
@pytest.mark.parametrize(("words", "code"), [(["models"], 0), (["models", "nonsense"], 2)])
def test_a_library_that_aborts_while_the_process_ends_changes_no_exit_code(words, code):
    done = subprocess.run(
        [sys.executable, "-c", LEAVES, *words], check=False, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    assert done.stdout.endswith("Python has been left\n")
