"""The LSTM layer and Adam are those of Keras, only faster."""

from __future__ import annotations

import sys
from functools import cache

import numpy as np
import pytest

from lstmcli.errors import ConfigError
from lstmcli.forecasters.passes import Passes, in_memory
from lstmcli.models import kernel
from lstmcli.models.runtime import Threads, load_tensorflow, threads

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """Load TensorFlow when the first test runs: to collect tests takes none."""
    global keras, tf, lstm_layer, Adam, LSTM
    load_tensorflow(Threads(intra_op=1, inter_op=2, shards=2))
    import keras
    import tensorflow as tf

    from lstmcli.models.layers import LSTM, Adam
    from lstmcli.models.layers import lstm as lstm_layer


# The last has more columns and units than a panel, and no whole number of blocks.
SHAPES = [(1, 1, 1, 1), (7, 5, 3, 4), (33, 20, 2, 16), (64, 60, 5, 64), (75, 4, 40, 70)]
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


def kernel_calls(layer: keras.Layer, x: tf.Tensor) -> int:
    """Return how many operations of the layer's graph call the kernel."""
    graph = tf.function(lambda: layer(x)).get_concrete_function().graph
    return [operation.type for operation in graph.get_operations()].count("PyFuncStateless")


def test_the_kernel_serves_the_layer_once_for_each_shard():
    assert kernel_calls(LSTM(3), tf.zeros((4, 5, 2))) == threads().shards == 2


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


def block_lstm_2(kernel, x, h, c, weights, *, every, keep):
    """TensorFlow's own kernel, whose second version has the gradient of the first.

    The first orders its gates i, c, f, o; the second, like Keras, i, f, c, o.
    """
    weight, recurrent, bias = weights
    _, cells, _, _, _, _, outputs = tf.raw_ops.BlockLSTMV2(
        seq_len_max=tf.cast(x.shape[1], tf.int64),
        x=tf.transpose(x, [1, 0, 2]),
        cs_prev=c,
        h_prev=h,
        w=tf.concat([weight, recurrent], axis=0),
        b=bias,
        wci=bias[: c.shape[-1]],
        wcf=bias[: c.shape[-1]],
        wco=bias[: c.shape[-1]],
        cell_clip=0.0,
        use_peephole=False,
    )
    return tf.transpose(outputs if every else outputs[-1:], [1, 0, 2]), cells[-1]


def test_a_kernel_with_a_wrong_gradient_would_fail_this_test(monkeypatch):
    x, state = data(7, 5, 3, 4)
    stock, fused = pair(4, (7, 5, 3))
    monkeypatch.setattr(lstm_layer, "whole_sequence", block_lstm_2)
    expected, found = run(stock, x, state), run(fused, x, state)
    assert_close(found[0], expected[0])  # its forward pass is right …
    with pytest.raises(AssertionError):
        assert_close(found[1], expected[1])  # … and its gradient wrong


@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_the_same_whether_memory_was_kept_for_them_or_not(training: bool):
    # More than one block of windows in a shard: memory that is not kept holds one block.
    x, state = data(90, 6, 2, 5)
    stock, fused = pair(5, (90, 6, 2))
    expected, found = run(stock, x, state), run(fused, x, state, training=training)
    assert_close(found[1], expected[1])


def test_a_platform_without_the_kernel_goes_on_and_says_so_once(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "numba", None)  # as where its package is broken
    monkeypatch.delitem(sys.modules, "lstmcli.models.kernel.lstm", raising=False)
    monkeypatch.setattr(kernel, "_gave_up", False)
    monkeypatch.setattr(kernel, "_load_once", cache(kernel._load_once.__wrapped__))
    for _ in range(2):
        assert LSTM(3)(np.ones((2, 4, 1), "f4")).shape == (2, 3)
    (record,) = caplog.records
    assert "stock LSTM" in record.getMessage()
    assert "numba" in record.getMessage()


def test_adam_is_that_of_keras():
    x = np.random.default_rng(0).standard_normal((64, 5)).astype("f4")
    found = []
    for optimizer in (Adam, keras.optimizers.Adam):
        keras.utils.set_random_seed(1)
        network = keras.Sequential([keras.Input((5,)), keras.layers.Dense(7, activation="tanh")])
        network.compile(optimizer(1e-2, global_clipnorm=1.0), "mse")
        network.fit(x, 3 * np.tile(x[:, :1], 7), epochs=5, batch_size=16, verbose=0)
        found.append(
            [np.asarray(weight) for weight in (*network.weights, *network.optimizer.variables)]
        )
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


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
        {"recurrent_dropout": 0.5},
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
    assert kernel_calls(fused, x) == 0


def test_a_mask_falls_back():
    x, _ = data(5, 4, 3, 2)
    stock, fused = pair(2, (5, 4, 3))
    mask = tf.constant([[True, True, False, True]] * 5)
    assert_close([fused(x, mask=mask)], [stock(x, mask=mask)])


def model(layer: type) -> keras.Model:
    inputs = keras.Input((6, 2))
    x = layer(4, return_sequences=True, name="first")(inputs)
    return keras.Model(inputs, layer(3, name="second")(x))


@pytest.mark.parametrize("fused_first", [True, False])
def test_weights_travel_both_ways_between_the_classes(fused_first: bool, tmp_path):
    classes = (LSTM, keras.layers.LSTM) if fused_first else (keras.layers.LSTM, LSTM)
    here, there = map(model, classes)
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


def test_out_of_memory_goes_on_with_the_stock_layer_and_says_so_once(monkeypatch, caplog):
    monkeypatch.setattr(kernel, "_gave_up", False)
    inputs = keras.Input((5, 2))
    network = keras.Model(inputs, LSTM(3)(inputs))
    network.compile("sgd", "mse")
    x, y = tf.ones((4, 5, 2)), tf.zeros((4, 3))
    before = network.predict(x, verbose=0)
    passes = Passes(network, lambda rows: (tf.gather(x, rows), tf.gather(y, rows)))
    calls_kernel = []

    def work() -> tuple[float, float]:
        graph = passes._evaluate.get_concrete_function().graph.as_graph_def(add_shapes=False)
        nodes = [node.op for function in graph.library.function for node in function.node_def]
        calls_kernel.append("PyFuncStateless" in nodes)
        if len(calls_kernel) == 1:
            tf.zeros(2**44)  # 64 TB
        return passes.evaluate(np.arange(4)), 0.0

    assert in_memory(passes, work, 64)[0] == pytest.approx(np.mean(before**2), rel=1e-5)
    assert calls_kernel == [True, False]
    with pytest.raises(ConfigError) as caught:
        in_memory(passes, lambda: tf.zeros(2**44), 64)
    assert str(caught.value).startswith("Expected memory for batches of 64 windows.")
    assert "training.batch_size=16" in caught.value.hint
    assert [record.getMessage() for record in caplog.records] == [
        "going on with the stock LSTM layer, several times slower: out of memory"
    ]
