"""The kernel of the LSTM: its numbers, its memory, and what happens where it cannot run."""

from __future__ import annotations

import logging
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from lstmcli.models import kernel
from lstmcli.models.kernel import buffers

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """Load the kernel when the first test runs: to collect tests takes none."""
    global numba, types, lstm, tile
    import numba
    from numba.core import types

    from lstmcli.models.kernel import lstm, tile


def arguments(windows: int, lookback: int, features: int, units: int) -> list[np.ndarray]:
    """Return x, h, c, kernel, recurrent kernel and bias of `forward`."""
    generator = np.random.default_rng(0)
    shapes = [(windows, lookback, features), (windows, units), (windows, units)]
    shapes += [(features, 4 * units), (units, 4 * units), (4 * units,)]
    return [0.3 * generator.standard_normal(shape).astype(np.float32) for shape in shapes]


def test_memory_is_not_handed_on_while_somebody_holds_it():
    given = arguments(33, 5, 2, 4)
    outputs, state, memory = lstm.forward(*given, every=True, keep=True)
    copies = [array.copy() for array in (outputs, state, memory)]
    view = outputs[3:5]
    del outputs
    for _ in range(3):
        lstm.forward(*(2 * array for array in given), every=True, keep=True)
    np.testing.assert_array_equal(view, copies[0][3:5])
    np.testing.assert_array_equal(state, copies[1])
    np.testing.assert_array_equal(memory, copies[2])


def test_memory_that_nobody_holds_is_handed_on_until_it_is_released():
    kernel.release()
    given = arguments(33, 5, 2, 4)
    places = {lstm.forward(*given, every=True, keep=True)[2].ctypes.data for _ in range(3)}
    assert len(places) == 1
    # The allocator, too, may give the same place twice.
    assert places <= {memory.ctypes.data for memory in buffers._Memory.free}
    kernel.release()
    assert not buffers._Memory.free


def test_a_network_that_has_diverged_shows_it():
    given = arguments(9, 5, 2, 4)
    given[4][2, 7] = np.nan  # from the third unit to the forget gate of the fourth
    outputs, state, _ = lstm.forward(*given, every=True, keep=False)
    assert np.isnan(outputs[:, 0]).tolist() == [[False, False, False, True]] * 9
    assert np.isnan(outputs[:, 1:]).all()
    assert np.isnan(state).all()


@pytest.mark.parametrize("gate", range(4), ids=["input", "forget", "cell", "output"])
def test_a_gate_is_right_far_beyond_the_exponential_of_float32(gate: int):
    positive = [0.1, 1, 20, 79, 81, 87, 89, 104, 128, 200, 1e4, 1e30, 3e38]
    z = np.float32([*(-x for x in positive), 0, *positive])
    n, ones = len(z), np.ones((len(z), 1), np.float32)
    weights, recurrent = np.zeros((2, 1, 4), np.float32)
    weights[0, gate] = 1
    given = (z.reshape(n, 1, 1), 0 * ones, 0.7 * ones, weights, recurrent)
    outputs, state, _ = lstm.forward(*given, np.full(4, 0.5, "f4"), every=False, keep=False)
    gates = np.full((4, n), 0.5)
    gates[gate] += z
    i, f, o = (0.5 + 0.5 * np.tanh(gates[k] / 2) for k in (0, 1, 3))
    cell = f * np.float32(0.7) + i * np.tanh(gates[2])
    np.testing.assert_allclose(state[:, 0], cell, rtol=0, atol=1e-6)
    np.testing.assert_allclose(outputs[:, 0, 0], o * np.tanh(cell), rtol=0, atol=1e-6)


NARROW = """
import sys
import numpy as np
from lstmcli.models.kernel import lstm, tile

assert tile.WIDTH == 8
with np.load(sys.argv[1]) as saved:
    given = [saved[f"arr_{n}"] for n in range(6)]
outputs, state, memory = lstm.forward(*given, every=True, keep=True)
found = lstm.backward(outputs, state, given[0], given[4], memory)
dx = lstm.input_gradient(found[0], given[3], given[0])
np.savez(sys.argv[2], outputs, state, dx, *found[1:])
"""


def test_a_cpu_with_narrower_registers_finds_the_same(tmp_path):
    if tile.WIDTH == 8:
        pytest.skip("this machine has narrow registers itself")
    given = arguments(37, 6, 5, 20)
    np.savez(tmp_path / "given.npz", *given)
    environment = {**os.environ, "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"}
    command = [sys.executable, "-c", NARROW, tmp_path / "given.npz", tmp_path / "found.npz"]
    subprocess.run(command, env=environment, check=True)
    outputs, state, memory = lstm.forward(*given, every=True, keep=True)
    dz, *gradients = lstm.backward(outputs, state, given[0], given[4], memory)
    expected = [outputs, state, lstm.input_gradient(dz, given[3], given[0]), *gradients]
    with np.load(tmp_path / "found.npz") as saved:
        for name, array in zip(saved, expected, strict=True):
            scale = max(1, np.abs(array).max())
            np.testing.assert_allclose(saved[name], array, rtol=0, atol=3e-6 * scale)


# What was compiled is kept on disk.


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for the sources of the kernel; return the folder of what is compiled."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setattr(tile, "__file__", str(tmp_path / "tile.py"))
    return tmp_path / "kept"


def compile_double():
    @tile.compiled(types.Array(types.float32, 1, "C"))
    def double(x):
        for n in range(x.size):
            x[n] *= 2

    x = np.ones(3, np.float32)
    double(x)
    assert x.tolist() == [2, 2, 2]
    return double


@contextmanager
def full_disk() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # every write to a file fails
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def no_folder() -> Iterator[None]:
    with mock.patch("tempfile.TemporaryFile", side_effect=PermissionError):
        yield


@pytest.mark.parametrize("trouble", [full_disk, no_folder])
def test_what_cannot_be_kept_is_compiled_anew(trouble, kept, caplog):
    with caplog.at_level(logging.DEBUG, logger=tile.__name__), trouble():
        compile_double()
    [record] = caplog.records
    assert record.getMessage().startswith("compiles double anew each time: ")
    assert not list(kept.rglob("*.nbi"))


def test_a_change_in_any_file_of_the_kernel_compiles_anew(kept):
    def hits() -> int:
        return sum(compile_double().stats.cache_hits.values())

    (kept.parent / "panels.py").write_text("COLUMNS = 16\n")
    assert [hits(), hits()] == [0, 1]
    (kept.parent / "panels.py").write_text("COLUMNS = 32\n")
    assert [hits(), hits()] == [0, 1]


# Where the kernel does not run


def test_a_kernel_that_does_not_run_is_given_up_and_the_log_says_so_once(monkeypatch, caplog):
    def forward(*_, **__):
        raise RuntimeError("illegal instruction\nin _forward")

    monkeypatch.setattr(kernel, "_gave_up", False)
    monkeypatch.setattr(kernel, "_load_once", kernel._load_once.__wrapped__)
    monkeypatch.setattr(lstm, "forward", forward)
    with caplog.at_level(logging.WARNING):
        assert [kernel.load_kernel(), kernel.load_kernel()] == [None, None]
    assert [record.getMessage() for record in caplog.records] == [
        "going on with the stock LSTM layer, several times slower: illegal instruction"
    ]


def test_the_kernel_is_not_used_after_it_was_given_up_and_the_log_says_so_once(monkeypatch, caplog):
    monkeypatch.setattr(kernel, "_gave_up", False)
    assert kernel.load_kernel() is not None
    assert [kernel.use_stock_lstm("a test"), kernel.use_stock_lstm("a test")] == [True, False]
    assert kernel.load_kernel() is None
    assert len(caplog.records) == 1


def test_the_door_of_the_kernel_does_not_import_numba():
    code = "import sys, lstmcli.models.kernel; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
