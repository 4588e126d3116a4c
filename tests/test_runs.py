"""The run store: what is written last, what is refused, what counts as a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli.errors import DataError, DiskError, NoDataError
from lstmcli.store.checkpoints import Checkpoints
from lstmcli.store.runs import FORMAT, Manifest, Plan, RunFiles, RunStore

NOON = datetime(2024, 3, 8, 12, 0, tzinfo=UTC)
CONFIG = "model: {name: lstm}\n"
SHA = "ab" * 32
LATEST = ("2016-01-04", "2016-02-01", 1)
HISTORY = pd.DataFrame({"epoch": [0, 1], "loss": [0.1 + 0.2, 0.25]})
SCORES = pd.DataFrame({"recipe": ["lstm"], "calibrated": [True], "value": [0.01]})
NETWORKS = {
    "network-01.keras": b"the first network",
    "network-02.keras": b"the second network",
}


def begin(store: RunStore, *, at: datetime = NOON, variant: str = "lstm") -> str:
    plan = Plan(config_sha=SHA, bars={"A": "1", "B": "2"})
    return store.start(at=at, variant=variant, config=CONFIG, plan=plan)


def manifest_of(run: str, **changes) -> Manifest:
    fields = {
        "format": FORMAT,
        "run": run,
        "created_at": NOON,
        "variant": "lstm",
        "tickers": ("A", "B"),
        "features": ("log_return", "range"),
        "config_sha": SHA,
        "bars": {"A": "1", "B": "2"},
        "labels": {},
        "test": LATEST,
        "parameters": 1,
        "seconds": 1.0,
        "threads": {},
        "versions": {},
    }
    return Manifest(**{**fields, **changes})


def finish(
    store: RunStore, run: str, *, fitted: Mapping[str, bytes] = NETWORKS, **changes
) -> Manifest:
    store.finish(
        manifest_of(run, **changes),
        state=b"{}",
        fitted=fitted,
        history=HISTORY,
        scores=SCORES,
    )
    return store.manifest(run)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


@pytest.mark.parametrize("files", [{}, NETWORKS, NETWORKS | {"arrays.npz": b"any other"}])
def test_a_finished_run_is_read_as_it_was_written(store, files):
    manifest = finish(store, begin(store), fitted=files)
    read = store.read(manifest)
    assert read == RunFiles(CONFIG, b"{}", files, read.history)
    pd.testing.assert_frame_equal(read.history, HISTORY)
    pd.testing.assert_frame_equal(store.scores(manifest), SCORES)


@pytest.mark.parametrize("name", ["state.json", "manifest.json", "calibration.npz"])
def test_a_file_that_every_run_has_is_not_written_over(store, name):
    run = begin(store)
    with pytest.raises(ValueError, match=name):
        finish(store, run, fitted={name: b"other"})
    assert store.interrupted() == [run]


def test_a_run_exists_once_its_manifest_does(store):
    run = begin(store)
    assert (store.names(), store.interrupted()) == ([], [run])
    store.checkpoints(run).save("scored-1", {"rows": np.zeros(3)})
    finish(store, run)
    assert (store.names(), store.interrupted()) == ([run], [])
    assert {path.name for path in store.path(run).iterdir()} == {
        *("config.yaml", "state.json", "history.csv", "scores.csv"),
        *("network-01.keras", "network-02.keras", "manifest.json"),
    }


def test_a_write_that_fails_leaves_no_manifest(store):
    run = begin(store)
    (store.path(run) / "network-01.keras").mkdir()  # what cannot be replaced by a file
    with pytest.raises(DiskError, match="network-01"):
        finish(store, run)
    assert (store.names(), store.interrupted()) == ([], [run])


def test_the_manifest_is_newer_than_every_file_that_it_lists(store):
    manifest = finish(store, begin(store))
    folder = store.path(manifest.run)
    written = {name: (folder / name).stat().st_mtime_ns for name in manifest.files}
    assert (folder / "manifest.json").stat().st_mtime_ns >= max(written.values())
    assert set(manifest.files) == {path.name for path in folder.iterdir()} - {"manifest.json"}


@pytest.mark.parametrize(
    "name", ["config.yaml", "state.json", "history.csv", "scores.csv", "network-01.keras"]
)
def test_a_changed_file_is_named(store, name):
    manifest = finish(store, begin(store))
    path = store.path(manifest.run) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=name):
        store.read(manifest)


@pytest.mark.parametrize("name", ["config.yaml", "state.json", "history.csv"])
def test_a_manifest_that_lacks_a_file_is_refused(store, name):
    manifest = finish(store, begin(store))
    files = {file: sha for file, sha in manifest.files.items() if file != name}
    with pytest.raises(DataError, match=rf"manifest\.json is damaged .*does not list {name}"):
        store.read(manifest.model_copy(update={"files": files}))


def test_a_damaged_plan_is_named(store):
    run = begin(store)
    assert store.plan(run) == (CONFIG, Plan(config_sha=SHA, bars={"A": "1", "B": "2"}))
    (store.path(run) / "plan.json").write_text("{damaged")
    with pytest.raises(DataError, match=run):
        store.plan(run)


def test_a_manifest_of_another_format_is_refused_and_not_listed(store):
    old, new = begin(store), begin(store)
    finish(store, old)
    finish(store, new)
    path = store.path(new) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": FORMAT + 1}))
    with pytest.raises(DataError, match=f"Received: {FORMAT + 1}"):
        store.manifest(new)
    assert [manifest.run for manifest in store.manifests()] == [old]
    with pytest.raises(DataError):
        store.latest()  # never silently an older one


def test_the_latest_run_is_the_newest_that_knows_every_ticker(store):
    first = finish(store, begin(store))
    second = finish(store, begin(store), tickers=("A",))
    assert store.latest().run == second.run
    assert store.latest(["A"]).run == second.run
    assert store.latest(["A", "B"]).run == first.run
    with pytest.raises(NoDataError, match="No run knows C"):
        store.latest(["C"])


def test_checkpoints_give_back_what_was_saved(tmp_path):
    kept = Checkpoints(tmp_path / "resume")
    assert kept.load("scored-1") is None
    arrays = {"rows": np.arange(8.0).reshape(2, 4), "live_0": np.array(3, dtype=np.int64)}
    kept.save("scored-1", arrays)
    loaded = kept.load("scored-1")
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype
    assert kept.load("scored-2") is None


def test_a_pickle_is_neither_written_nor_read(tmp_path):
    kept = Checkpoints(tmp_path)
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        kept.save("scored-1", {"rows": np.array([{}], dtype=object)})
    np.savez(tmp_path / "scored-1.npz", rows=np.array([print], dtype=object))
    with pytest.raises(DataError, match=r"scored-1\.npz is damaged"):
        kept.load("scored-1")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04damaged", b"nothing of the kind"])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    (tmp_path / "final-2.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"final-2\.npz is damaged") as caught:
        Checkpoints(tmp_path).load("final-2")
    assert caught.value.hint == "delete it: its member is trained from the beginning"
