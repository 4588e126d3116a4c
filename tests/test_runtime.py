"""How many threads TensorFlow gets."""

from __future__ import annotations

import platform
import random
import subprocess
import sys
import threading

import numpy as np
import pytest

from lstmcli.models import runtime
from lstmcli.models.runtime import Threads, _quota, load_tensorflow, seeded

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 2**16), ("150000 100000", 1), ("400000 100000", 4)]
)
def test_the_quota_of_a_cgroup_counts(quota: str, cores: int, tmp_path):
    (tmp_path / "cpu.max").write_text(quota)
    assert _quota(tmp_path) == cores


def test_threads_follow_the_usable_cores(monkeypatch):
    monkeypatch.setattr(runtime, "usable_cores", lambda: 6)
    assert Threads.choose() == Threads(intra_op=1, inter_op=6, shards=6)
    assert Threads.choose(3, 5) == Threads(intra_op=1, inter_op=3, shards=5)


def test_shards_are_those_of_the_last_who_asked(monkeypatch):
    load_tensorflow()
    monkeypatch.setattr(runtime, "_chosen", Threads(1, 2, 2))
    assert load_tensorflow(Threads.choose(1, 5)) == Threads(1, 2, 5)
    assert load_tensorflow() == runtime.threads() == Threads(1, 2, 5)


def test_weights_follow_from_the_seed_whatever_other_threads_draw():
    load_tensorflow()
    import keras

    def weights() -> list[np.ndarray]:
        with seeded(7):
            layers = [keras.layers.Dense(3) for _ in range(20)]
            for layer in layers:
                layer.build((None, 4))
        return [layer.kernel.numpy() for layer in layers]

    alone, done = weights(), threading.Event()

    def draw() -> None:
        while not done.is_set():
            random.sample(range(9), 3)
            random.randint(1, 9)

    other = threading.Thread(target=draw)
    other.start()
    try:
        beside = [weights() for _ in range(5)]
    finally:
        done.set()
        other.join()
    for found in beside:
        np.testing.assert_array_equal(found, alone)
    keras.utils.set_random_seed(7)
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    np.testing.assert_array_equal(layer.kernel.numpy(), alone[0])  # as Keras itself seeds it
    assert random.randint.__self__ is random.random.__self__  # it is given back


@pytest.mark.process
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is of glibc")
def test_freed_arrays_leave_the_process():
    program = """
from pathlib import Path
import numpy as np
from lstmcli.models.runtime import arrays_given_back

def resident():
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1]) / 2**20

np.ones(2**20 * 3)  # once 24 MB are freed, glibc keeps arrays of that size
before = resident()
with arrays_given_back():
    arrays = [np.ones(2**18) for _ in range(100)]  # 2 MB each
    pinned = arrays[-1]
    arrays.clear()
    print(resident() - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert float(done.stdout) < 30, done.stderr  # of 200 MB
