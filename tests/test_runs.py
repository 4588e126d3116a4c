"""The run store: what is written last, what is refused, what counts as a run."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_forecasters import UNTIL, network, panel

from lstmcli.config import RunConfig, config_sha, parse_config
from lstmcli.errors import DataError, DiskError, NoDataError
from lstmcli.forecasters.network import FittedNetwork
from lstmcli.store.runs import FORMAT, Checkpoints, Manifest, Plan, RunStore

NOON = datetime(2024, 3, 8, 12, 0, tzinfo=UTC)
CONFIG = "features: [log_return, range]\nmodel: {name: lstm, units: 4}\n"
SCORES = pd.DataFrame({"recipe": ["lstm"], "value": [0.01]})
LATEST = ("2016-01-04", "2016-02-01", 1)


@cache
def fitted() -> FittedNetwork:
    return network().fit(panel(), UNTIL)


def config() -> RunConfig:
    return parse_config(CONFIG, "test")


def begin(store: RunStore, *, at: datetime = NOON, variant: str = "lstm") -> str:
    plan = Plan(config_sha=config_sha(config()), bars={"A": "1", "B": "2"})
    return store.start(at=at, variant=variant, config=CONFIG, plan=plan)


def manifest_of(run: str, **changes) -> Manifest:
    fields = {
        "format": FORMAT,
        "run": run,
        "created_at": NOON,
        "variant": "lstm",
        "tickers": ("A", "B"),
        "features": ("log_return", "range"),
        "config_sha": config_sha(config()),
        "bars": {"A": "1", "B": "2"},
        "labels": {},
        "test": LATEST,
        "parameters": 1,
        "seconds": 1.0,
        "threads": {},
        "versions": {},
    }
    return Manifest(**{**fields, **changes})


def finish(store: RunStore, run: str, **changes) -> Manifest:
    history = fitted().history
    store.finish(fitted(), manifest_of(run, **changes), history=history, scores=SCORES, lite=None)
    return store.manifest(run)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def test_a_finished_run_loads_as_it_was(store):
    manifest = finish(store, begin(store))
    loaded = store.load(manifest, network())
    assert loaded.state == fitted().state
    origins = pd.DatetimeIndex([UNTIL])
    pd.testing.assert_frame_equal(
        loaded.forecast(panel(), origins), fitted().forecast(panel(), origins)
    )
    assert store.config_text(manifest) == CONFIG
    assert store.scores(manifest)["value"].tolist() == [0.01]
    assert store.history(manifest)["epoch"].tolist() == [0, 1]


def test_a_run_exists_once_its_manifest_does(store):
    run = begin(store)
    assert (store.names(), store.interrupted()) == ([], [run])
    store.checkpoints(run).save("scored-1", {"rows": np.zeros(3)})
    finish(store, run)
    assert (store.names(), store.interrupted()) == ([run], [])
    assert {path.name for path in store.path(run).iterdir()} == {
        *("config.yaml", "state.json", "history.csv", "scores.csv"),
        *("network-01.keras", "manifest.json"),
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
    for look in (store.check, store.config_text, lambda m: store.load(m, network())):
        with pytest.raises(DataError, match=name):
            look(manifest)


def test_a_run_with_other_features_than_its_recipe_is_refused(store):
    manifest = finish(store, begin(store))
    with pytest.raises(DataError, match=r"columns log_return\. Received: log"):
        store.load(manifest, network(features=("log_return",)))


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


def test_runs_that_begin_in_one_second_keep_their_order(store):
    names = [begin(store, variant=name) for name in ["lstm", "dense", "stacked"] * 5]
    assert len(set(names)) == 15
    assert store.interrupted() == names
    assert names[0].startswith("20240308T120000Z-lstm-")


def test_the_latest_run_is_the_newest_that_knows_every_ticker(store):
    first = finish(store, begin(store))
    second = finish(store, begin(store), tickers=("A",))
    assert store.latest().run == second.run
    assert store.latest(["A"]).run == second.run
    assert store.latest(["A", "B"]).run == first.run
    with pytest.raises(NoDataError, match="No run knows C"):
        store.latest(["C"])


def test_evaluations_count_test_blocks_that_overlap_for_a_shared_ticker(store):
    assert store.evaluations(["A"], "2016-01-01", "2016-12-31") == 0
    finish(store, begin(store))
    finish(store, begin(store), tickers=("A",), test=("2016-01-20", "2016-03-01", 2))
    finish(store, begin(store), tickers=("C",))
    begin(store)  # unfinished: it has shown nobody a score
    assert store.evaluations(["A", "X"], "2016-01-25", "2016-05-01") == 2
    assert store.evaluations(["B"], "2016-02-01", "2016-05-01") == 1
    assert store.evaluations(["A"], "2016-02-02", "2016-05-01") == 1
    assert store.evaluations(["A"], "2016-03-02", "2016-05-01") == 0


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
    assert "delete it" in caught.value.hint


def test_a_network_that_holds_code_is_refused(store, tmp_path):
    import keras

    manifest = finish(store, begin(store))
    done = tmp_path / "done"
    name = str(done)  # what is saved with the code that closes over it
    inputs = keras.Input((12, 2))
    code = keras.layers.Lambda(lambda x: open(name, "w").close() or x, output_shape=(12, 2))
    trap = store.path(manifest.run) / "network-01.keras"
    keras.Model(inputs, code(inputs)).save(trap)
    done.unlink(missing_ok=True)
    digest = hashlib.sha256(trap.read_bytes()).hexdigest()
    forged = manifest.model_copy(update={"files": manifest.files | {trap.name: digest}})
    with pytest.raises(DataError, match="a network does not load") as caught:
        store.load(forged, network())
    assert caught.value.exit_code == 6
    assert not done.exists()
