"""A contract that every network keeps, and the pieces that they share."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from lstmcli.frames import MEDIAN, QUANTILES
from lstmcli.models import VARIANTS, WindowShape
from lstmcli.models.litert import LiteNetwork, export, unrolled_steps
from lstmcli.models.runtime import load_tensorflow

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """Load TensorFlow when the first test runs: to collect tests takes none."""
    global keras, attention_weights, AdditiveAttention, QuantileHead, QuantileLoss
    load_tensorflow()
    import keras

    from lstmcli.models.attention import attention_weights
    from lstmcli.models.layers import AdditiveAttention, QuantileHead, QuantileLoss


SHAPE = WindowShape(lookback=12, features=2, horizon=3)
SHORT = WindowShape(lookback=6, features=2, horizon=2)  # each step is unrolled in an export
AHEAD = WindowShape(lookback=12, features=2, horizon=3, future=2)
BASE = np.sort(np.random.default_rng(1).standard_normal((3, len(QUANTILES))), axis=1)
variants = pytest.mark.parametrize("name", VARIANTS)

# A lookback of 12 keeps tests short; six stretches of two sessions are enough.
SMALL = {
    "dense": {"units": (8,)},
    "stacked": {"units": (6, 4)},
    "cnn_lstm": {"filters": 4, "units": 4},
    "conv_lstm": {"filters": 2},
}


def small(name: str, **settings):
    """Return a small network; a setting that a variant does not have is left out."""
    fields = VARIANTS[name].model_fields
    usual = {"units": 4, **settings}
    few = {field: value for field, value in usual.items() if field in fields}
    return VARIANTS[name](**{**few, **SMALL.get(name, {})})


def inputs_of(
    network: keras.Model, windows: int = 5, *, shape: WindowShape = SHAPE, seed: int = 0
) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    every = {
        "window": generator.standard_normal((windows, shape.lookback, shape.features)),
    }
    for tensor in network.inputs:
        if tensor.name == "targets":
            every["targets"] = generator.standard_normal((windows, *tensor.shape[1:]))
    return {tensor.name: every[tensor.name].astype("f4") for tensor in network.inputs}


@variants
def test_the_untrained_network_is_the_baseline(name: str):
    network = small(name).build(SHAPE, BASE)
    q = network(inputs_of(network)).numpy()
    assert q.shape == (5, SHAPE.horizon, len(QUANTILES))
    gaps = np.maximum(np.diff(BASE, axis=1), 1e-4)
    np.testing.assert_allclose(np.diff(q, axis=2), np.tile(gaps, (5, 1, 1)), atol=1e-5)
    np.testing.assert_allclose(q[:, :, MEDIAN], np.tile(BASE[:, MEDIAN], (5, 1)), atol=1e-6)


@variants
def test_the_seed_decides_every_number(name: str):
    def weights(seed: int) -> list[np.ndarray]:
        keras.utils.set_random_seed(seed)
        return small(name).build(SHAPE, BASE).get_weights()

    first, again, other = weights(3), weights(3), weights(4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@variants
def test_a_saved_network_gives_the_same_numbers(name: str, tmp_path):
    network = small(name).build(SHAPE, BASE)
    shaken = [
        w + 0.1 * np.random.default_rng(n).standard_normal(w.shape)
        for n, w in enumerate(network.get_weights())
    ]
    network.set_weights(
        [
            w if np.issubdtype(w.dtype, np.floating) else old
            for w, old in zip(shaken, network.get_weights(), strict=True)
        ]
    )
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras", compile=False, safe_mode=True)
    given = inputs_of(network)
    np.testing.assert_array_equal(loaded(given).numpy(), network(given).numpy())


@variants
def test_the_export_forecasts_like_the_mean_of_the_members(name: str):
    members = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        member = small(name).build(SHORT, BASE[: SHORT.horizon])
        head = member.get_layer("corrections").kernel
        head.assign(np.random.default_rng(seed).standard_normal(head.shape))
        members.append(member)
    lite = LiteNetwork(export(members))
    for windows in (1, 40):  # a file serves any number of windows
        given = inputs_of(members[0], windows, shape=SHORT)
        expected = np.mean([member(given).numpy() for member in members], axis=0)
        np.testing.assert_allclose(lite.mean(given), expected, rtol=1e-5, atol=1e-5)


def test_steps_to_unroll_are_counted_over_layers_directions_and_members():
    def steps(name: str) -> int:
        return unrolled_steps([small(name).build(SHAPE, BASE)] * 2)

    assert [steps(name) for name in ("dense", "lstm", "stacked", "bidirectional")] == [
        0,
        24,
        48,
        48,
    ]
    assert steps("encoder_decoder") == 2 * (SHAPE.lookback + SHAPE.horizon)


@variants
def test_every_network_learns_which_windows_are_wild(name: str):
    """The width of the outcome follows the last input: a network has to find that."""
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    network = small(name, dropout=0.0).build(SHAPE, BASE)
    given = inputs_of(network, 512)
    wild = np.sign(given["window"][:, -1, :1])  # (N, 1)
    # Spread over the window, so that no pooling or stretch can miss it.
    given["window"] += 2 * wild[:, None, :]
    y = (np.exp(wild) * generator.standard_normal((512, SHAPE.horizon))).astype("f4")
    base = np.quantile(y, QUANTILES, axis=0).T
    network = small(name, dropout=0.0).build(SHAPE, base)
    network.compile(keras.optimizers.Adam(0.02), QuantileLoss(np.ones(SHAPE.horizon)))
    before = network.evaluate(given, y, verbose=0)
    network.fit(given, y, epochs=12, verbose=0)
    after = network.evaluate(given, y, verbose=0)
    assert after < 0.93 * before


@variants
def test_every_variant_says_its_flow_equation_and_source(name: str):
    text = VARIANTS[name].__doc__
    assert len(VARIANTS[name].summary()) < 80
    assert all(part in text for part in ("Flow:", "Equation:", "Source:", "(N, H, Q)"))


def test_quantiles_never_cross_whatever_the_corrections():
    head = QuantileHead(BASE)
    raw = 50 * np.random.default_rng(0).standard_normal((200, 3, len(QUANTILES) + 1))
    q = np.asarray(head(raw.astype("f4")))
    assert np.isfinite(q).all()
    assert (np.diff(q, axis=2) >= 0).all()


def test_the_head_is_its_formula():
    raw = np.random.default_rng(0).standard_normal((2, 3, len(QUANTILES) + 1))
    q = np.asarray(QuantileHead(BASE)(raw.astype("f4")))
    for n in range(2):
        for h in range(3):
            m, s, u = raw[n, h, 0], raw[n, h, 1], raw[n, h, 2:]
            expected = {MEDIAN: BASE[h, MEDIAN] + 0.5 * np.tanh(m)}
            gap = [
                np.exp(1.5 * np.tanh(s / 1.5))
                * max(BASE[h, k + 1] - BASE[h, k], 1e-4)
                * np.exp(0.5 * np.tanh(u[k]))
                for k in range(len(QUANTILES) - 1)
            ]
            for k in range(MEDIAN, len(QUANTILES) - 1):
                expected[k + 1] = expected[k] + gap[k]
            for k in range(MEDIAN, 0, -1):
                expected[k - 1] = expected[k] - gap[k - 1]
            np.testing.assert_allclose(
                q[n, h], [expected[k] for k in range(len(QUANTILES))], rtol=1e-4, atol=1e-5
            )


def test_the_loss_agrees_with_scikit_learn():
    from sklearn.metrics import mean_pinball_loss

    generator = np.random.default_rng(0)
    y, q = generator.standard_normal((50, 3)), generator.standard_normal((50, 3, len(QUANTILES)))
    weights = np.array([1.0, 0.5, 0.25])
    expected = np.mean(
        [
            weights[h]
            * np.mean(
                [
                    2 * mean_pinball_loss(y[:, h], q[:, h, k], alpha=level)
                    for k, level in enumerate(QUANTILES)
                ]
            )
            for h in range(3)
        ]
    )
    found = float(QuantileLoss(weights)(y.astype("f4"), q.astype("f4")))
    assert found == pytest.approx(expected, rel=1e-5)


def test_attention_is_its_formula_and_its_weights_can_be_read():
    network = small("attention").build(SHAPE, BASE)
    weights = attention_weights(network, inputs_of(network))
    assert weights.shape == (5, SHAPE.lookback)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)

    layer = AdditiveAttention()
    outputs = np.random.default_rng(0).standard_normal((2, 7, 4)).astype("f4")
    context, alpha = (np.asarray(each) for each in layer(outputs))
    layer.bias.assign(np.linspace(-1, 1, 7)[:, None])
    context, alpha = (np.asarray(each) for each in layer(outputs))
    kernel, bias = (np.asarray(weight) for weight in layer.get_weights())
    e = np.tanh(outputs @ kernel + bias)[:, :, 0]
    expected = np.exp(e) / np.exp(e).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(alpha, expected, atol=1e-6)
    np.testing.assert_allclose(context, (expected[:, :, None] * outputs).sum(axis=1), atol=1e-5)


def test_the_decoder_reads_what_is_known_of_its_targets():
    keras.utils.set_random_seed(0)
    network = small("encoder_decoder").build(AHEAD, BASE)
    network.get_layer("corrections").kernel.assign(
        np.random.default_rng(0).standard_normal(network.get_layer("corrections").kernel.shape)
    )
    given = inputs_of(network, 1)
    other = {**given, "targets": given["targets"] + np.eye(3)[0].astype("f4")}
    assert not np.allclose(network(given), network(other))


@variants
def test_every_network_can_read_what_is_known_ahead(name: str, tmp_path):
    keras.utils.set_random_seed(0)
    network = small(name).build(AHEAD, BASE)
    given = inputs_of(network)
    assert given["targets"].shape == (5, 3, 3)  # two channels, and the step
    # Untrained it is the baseline, whatever is known.
    np.testing.assert_allclose(
        network(given)[:, :, MEDIAN], np.tile(BASE[:, MEDIAN], (5, 1)), atol=1e-6
    )
    layer = "corrections" if VARIANTS[name].decodes else "known_ahead"
    kernel = network.get_layer(layer).kernel
    kernel.assign(np.random.default_rng(0).standard_normal(kernel.shape))
    event = np.zeros((5, 3, 3), "f4")
    event[:, 1, 0] = 1  # on the second session
    without = network({**given, "targets": np.zeros((5, 3, 3), "f4")}).numpy()
    with_event = network({**given, "targets": event}).numpy()
    changed = np.abs(with_event - without).max(axis=(0, 2)) > 1e-4
    # A return over three sessions holds the event of the second.
    assert changed[1:].all()
    assert VARIANTS[name].decodes or not changed[0]
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras", compile=False, safe_mode=True)
    np.testing.assert_array_equal(loaded(given).numpy(), network(given).numpy())


@pytest.mark.parametrize(
    ("name", "lookback", "says"),
    [("conv_lstm", 61, "60 would do"), ("cnn_lstm", 2, "at least 3")],
)
def test_a_lookback_that_does_not_fit_is_refused(name: str, lookback: int, says: str):
    with pytest.raises(ValueError, match=says):
        VARIANTS[name]().check_window(lookback)


def test_many_graphs_in_one_process_bring_no_warning():
    lines = (
        "from lstmcli.models.runtime import load_tensorflow",
        "load_tensorflow()",
        "import tensorflow as tf",
        "traced = tf.function(lambda x: x)",
        "for number in range(8): traced(number)",  # a graph of its own each time
    )
    line = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stderr == ""
