"""The fused LSTM layer is the stock layer, only faster."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from lstmcli.models._tensorflow import Threads, _quota, load_tensorflow, threads, usable_cores

load_tensorflow(Threads(intra_op=1, inter_op=2, shards=2))
import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from lstmcli.models._layers import LSTM, missing  # noqa: E402

SHAPES = [(1, 1, 1, 1), (7, 5, 3, 4), (33, 20, 2, 16), (64, 60, 5, 64)]
FORMS = [
    {},
    {"return_sequences": True},
    {"return_state": True},
    {"go_backwards": True},
    {"return_sequences": True, "return_state": True, "go_backwards": True},
]


def pair(units: int, shape: tuple[int, ...], **form) -> tuple[keras.Layer, keras.Layer]:
    """Return a stock and a fused layer with the same random weights."""
    stock, fused = keras.layers.LSTM(units, **form), LSTM(units, **form)
    generator = np.random.default_rng(units)
    for layer in (stock, fused):
        layer.build(shape)
    # Larger ones would make a chaotic loop, in which rounding errors grow.
    spread = 0.3 / np.sqrt(units)
    weights = [w + spread * generator.standard_normal(w.shape) for w in stock.get_weights()]
    stock.set_weights(weights)
    fused.set_weights(weights)
    return stock, fused


def run(layer, x, state, *, training: bool = False):
    """Return outputs, and gradients of a loss that every output enters."""
    sources = [x, *(state or [])]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        outputs = layer(x, initial_state=state, training=training)
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        loss = sum(tf.reduce_sum(tf.sin(3 * output)) for output in outputs)
    wanted = [*sources, *(weight.value for weight in layer.trainable_variables)]
    return outputs, tape.gradient(loss, wanted)


def data(windows: int, lookback: int, features: int, units: int):
    generator = np.random.default_rng(0)
    x = tf.constant(generator.standard_normal((windows, lookback, features)), tf.float32)
    state = [tf.constant(generator.standard_normal((windows, units)), tf.float32) for _ in "hc"]
    return x, state


def assert_close(found, expected):
    for a, b in zip(found, expected, strict=True):
        scale = max(1.0, float(tf.reduce_max(tf.abs(b))))
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=3e-6 * scale)


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(form) or "last")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_outputs_and_gradients_are_those_of_the_stock_layer(shape, form, with_state: bool):
    windows, lookback, features, units = shape
    x, state = data(*shape)
    stock, fused = pair(units, (windows, lookback, features), **form)
    expected = run(stock, x, state if with_state else None)
    found = run(fused, x, state if with_state else None)
    assert_close(found[0], expected[0])
    assert_close(found[1], expected[1])


def test_version_two_of_the_kernel_would_fail_this_test(monkeypatch):
    """BlockLSTMV2 has the gradient of version 1, whose gates have another order."""
    x, state = data(7, 5, 3, 4)
    stock, fused = pair(4, (7, 5, 3))
    version_2 = tf.raw_ops.BlockLSTMV2

    def in_its_place(*, forget_bias, w, b, **rest):
        # The same numbers in the gate order of version 2: i, c, f, o → i, f, c, o.
        i, c, f, o = tf.split(w, 4, axis=1)
        bi, bc, bf, bo = tf.split(b, 4)
        assert forget_bias == 0.0
        return version_2(w=tf.concat([i, f, c, o], 1), b=tf.concat([bi, bf, bc, bo], 0), **rest)

    class RawOps:
        BlockLSTM = staticmethod(in_its_place)

    monkeypatch.setattr(tf, "raw_ops", RawOps)
    expected, found = run(stock, x, state), run(fused, x, state)
    assert_close(found[0], expected[0])  # its forward pass is right …
    with pytest.raises(AssertionError):
        assert_close(found[1], expected[1])  # … and its gradient wrong


def test_a_batch_smaller_than_the_shards_has_a_gradient():
    assert threads().shards > 1
    x, _ = data(1, 6, 2, 3)
    stock, fused = pair(3, (1, 6, 2))
    assert_close(run(fused, x, None)[1], run(stock, x, None)[1])


def test_both_directions_are_those_of_the_stock_layer():
    x, _ = data(9, 8, 3, 4)
    layers = []
    for stock in pair(4, (9, 8, 3)):
        layer = keras.layers.Bidirectional(stock)
        layer.build((9, 8, 3))
        layers.append(layer)
    layers[1].set_weights(layers[0].get_weights())
    assert isinstance(layers[1].backward_layer, LSTM)
    expected, found = (run_plain(layer, x) for layer in layers)
    assert_close(found, expected)


def run_plain(layer, x):
    with tf.GradientTape() as tape:
        y = layer(x)
        loss = tf.reduce_sum(tf.sin(3 * y))
    return [y, *tape.gradient(loss, [weight.value for weight in layer.trainable_variables])]


def test_dropout_of_inputs_is_applied():
    x, _ = data(64, 10, 6, 5)
    stock, fused = pair(5, (64, 10, 6), dropout=0.5, seed=3)
    assert_close([fused(x, training=True)], [stock(x, training=True)])
    assert not np.allclose(fused(x, training=True), fused(x, training=False), atol=1e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {"unroll": True},
        {"use_bias": False},
        {"activation": "relu"},
        {"recurrent_activation": "hard_sigmoid"},
        {"dtype": "float64"},
    ],
    ids=str,
)
def test_what_the_kernel_cannot_do_falls_back(settings):
    x, _ = data(5, 4, 3, 2)
    x = tf.cast(x, settings.get("dtype", "float32"))
    stock, fused = pair(2, (5, 4, 3), **settings)
    assert_close([fused(x)], [stock(x)])


def test_a_mask_falls_back():
    x, _ = data(5, 4, 3, 2)
    stock, fused = pair(2, (5, 4, 3))
    mask = tf.constant([[True, True, False, True]] * 5)
    assert_close([fused(x, mask=mask)], [stock(x, mask=mask)])


def model(layer: type) -> keras.Model:
    inputs = keras.Input((6, 2))
    x = layer(4, return_sequences=True, name="first")(inputs)
    return keras.Model(inputs, layer(3, name="second")(x))


@pytest.mark.parametrize(("one", "other"), [(LSTM, keras.layers.LSTM), (keras.layers.LSTM, LSTM)])
def test_weights_travel_both_ways_between_the_classes(one, other, tmp_path):
    here, there = model(one), model(other)
    here.save_weights(tmp_path / "network.weights.h5")
    there.load_weights(tmp_path / "network.weights.h5")
    x = np.random.default_rng(0).standard_normal((5, 6, 2)).astype("f4")
    np.testing.assert_allclose(there(x), here(x), atol=1e-6)
    configs = [network.get_layer("first").get_config() for network in (here, there)]
    assert configs[0] == configs[1]


def test_a_saved_network_keeps_its_fused_layers(tmp_path):
    network = model(LSTM)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras", safe_mode=True)
    assert type(loaded.get_layer("first")) is LSTM


def test_two_trainings_give_the_same_weights():
    x = np.random.default_rng(0).standard_normal((65, 6, 2)).astype("f4")

    def trained() -> list[np.ndarray]:
        keras.utils.set_random_seed(0)
        network = model(LSTM)
        network.compile("adam", "mse")
        network.fit(x, x[:, :3, 0], epochs=2, batch_size=16, verbose=0)
        return network.get_weights()

    for first, second in zip(trained(), trained(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 2**16), ("150000 100000", 1), ("400000 100000", 4)]
)
def test_the_quota_of_a_cgroup_counts(quota: str, cores: int, tmp_path):
    (tmp_path / "cpu.max").write_text(quota)
    assert _quota(tmp_path) == cores


def test_threads_follow_the_usable_cores():
    chosen = Threads.choose()
    assert (chosen.intra_op, chosen.inter_op, chosen.shards) == (1, usable_cores(), usable_cores())
    assert Threads.choose(3, 5) == Threads(intra_op=1, inter_op=3, shards=5)


OUT_OF_MEMORY = """
import logging
import numpy as np
from lstmcli.models._tensorflow import load_tensorflow
load_tensorflow()
import keras
import tensorflow as tf
from lstmcli.forecasters.training import _in_memory
from lstmcli.models._layers import LSTM

logging.basicConfig(format="%(message)s")
inputs = keras.Input((5, 2))
network = keras.Model(inputs, LSTM(3)(inputs))
network.compile("sgd", "mse")
x, y = np.ones((4, 5, 2), "f4"), np.zeros((4, 3), "f4")
before = network.predict(x, verbose=0)
tries = []

def kernels():
    traced = tf.function(lambda: network(x)).get_concrete_function().graph
    return [node.op_def.name for node in traced.get_operations()]

def work():
    tries.append("BlockLSTM" in kernels())
    if len(tries) == 1:
        tf.zeros(2**44)  # 64 TB
    return float(network.evaluate(x, y, verbose=0)), 0.0

print(np.isclose(_in_memory(network, work, 64)[0], np.mean(before**2), rtol=1e-5), tries)
try:
    _in_memory(network, lambda: tf.zeros(2**44), 64)
except Exception as error:
    print(type(error).__name__, error, error.hint)
"""


def test_out_of_memory_goes_on_with_the_stock_layer_and_says_so_once():
    done = subprocess.run([sys.executable, "-c", OUT_OF_MEMORY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "True [True, False]"
    assert second.startswith("ConfigError Expected memory for batches of 64 windows.")
    assert "training.batch_size=16" in second
    lines = [line for line in done.stderr.splitlines() if "stock LSTM" in line]
    assert lines == ["going on with the stock LSTM layer, several times slower: out of memory"]


def test_a_kernel_that_the_platform_lacks_is_noticed():
    """cuDNN's is one that a machine without a GPU lacks."""
    x, state = tf.zeros((1, 1, 1)), tf.zeros((1, 1, 1))

    def absent():
        tf.raw_ops.CudnnRNN(input=x, input_h=state, input_c=state, params=tf.zeros(1))

    assert "CudnnRNN" in missing(absent)
    assert missing(lambda: tf.raw_ops.Tanh(x=x)) is None
