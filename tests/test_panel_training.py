"""The network of the panel and its training: one result, however it is computed."""

from __future__ import annotations

import threading
from functools import cache, partial

import numpy as np
import pandas as pd
import pytest
import reference
from panel_cases import predicted, random_rows, random_standardisation, random_table
from pydantic import ValidationError

from lstmcli.forecasters.panel_network import settings, training
from lstmcli.forecasters.panel_network.batches import Batches
from lstmcli.forecasters.panel_network.member import (
    Member,
    Network,
    _compiled,
    heads_of,
    loss_of,
)
from lstmcli.forecasters.panel_network.modes import COLUMNS, FLAGS, INPUTS
from lstmcli.forecasters.panel_network.network import STEPS, Weights, corrections
from lstmcli.forecasters.panel_network.settings import PanelNetworkConfig
from lstmcli.forecasters.panel_network.table import LEVELS, Scales, TrainingTable
from lstmcli.forecasters.panel_network.ticker_columns import TickerColumns
from lstmcli.forecasters.panel_network.training import (
    WARM_UP,
    Stopped,
    rate_of,
    side_by_side,
    train_member,
)
from lstmcli.forecasters.training import Epoch, Silent
from lstmcli.models.runtime import load_tensorflow

pytestmark = pytest.mark.tensorflow

SMALL = PanelNetworkConfig(
    units=4, hidden=8, batches=7, tickers=3, span=65, burn_in=8, learning_rate=0.02
)
LENGTHS = (1, 40, 3000, 7, 40)


@cache
def untrained() -> Weights:
    load_tensorflow()
    return Network(INPUTS, 4, 8).weights()


@cache
def shaken() -> Weights:
    """Return weights whose network corrects something."""
    generator = np.random.default_rng(5)
    return Weights.of(
        [each + 0.2 * generator.standard_normal(each.shape) for each in untrained().arrays()]
    )


@cache
def histories() -> list[np.ndarray]:
    generator = np.random.default_rng(6)
    return [generator.standard_normal((n, INPUTS)).astype(np.float32) for n in LENGTHS]


def test_keras_and_numpy_agree():
    load_tensorflow()
    network = Network(INPUTS, 4, 8)
    network.set_weights(shaken())
    together = corrections(shaken(), histories())
    for history, by_numpy in zip(histories(), together, strict=True):
        by_keras = np.asarray(network(history[None]))[0]
        assert by_numpy.shape == (len(history), 2, len(STEPS))
        np.testing.assert_allclose(by_keras.reshape(by_numpy.shape), by_numpy, rtol=0, atol=1e-5)
    assert np.abs(together[2]).max() > 0.1


def test_a_history_gets_the_same_digits_whichever_others_are_run_with_it():
    generator = np.random.default_rng(8)
    every = generator.standard_normal((37, 50, INPUTS)).astype(np.float32)
    together = corrections(shaken(), [*every, *histories()])
    for number in (0, 17, 36):
        [alone] = corrections(shaken(), [every[number]])
        np.testing.assert_array_equal(alone, together[number])


def test_what_follows_a_session_changes_nothing_before_it():
    history = histories()[1]
    other = np.concatenate([history[:20], 9 * history[20:]])
    for few in ([history, other], [history, other] * 2):
        found = corrections(shaken(), few)
        np.testing.assert_array_equal(found[0][:20], found[1][:20])
        assert not np.allclose(found[0][20:], found[1][20:])


def test_an_untrained_network_corrects_nothing():
    assert not any(each.any() for each in corrections(untrained(), histories()))


@cache
def table() -> TrainingTable:
    return random_table({f"T{n}": random_rows(n, rows=119, known=0.98) for n in range(6)})


def learnt() -> np.ndarray:
    return np.arange(len(table().sessions)) < 90


class Recorder(Silent):
    """A watch that keeps what it is given, and can stop a fit."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.kept: dict[str, dict[str, np.ndarray]] = {}
        self.epochs: list[Epoch] = []
        self.stop_at = stop_at

    def on_epoch(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)
        if len(self.epochs) == self.stop_at:
            raise KeyboardInterrupt

    def load(self, key: str):
        return self.kept.get(key)

    def save(self, key: str, arrays) -> None:
        self.kept[key] = {name: np.array(array) for name, array in arrays.items()}


def train(watch: Silent | None = None, **changes) -> tuple[list[bytes], pd.DataFrame]:
    load_tensorflow()
    settings = {"held": ~learnt(), "seed": 5, "fit": "final", "member": 1}
    weights, history = train_member(
        SMALL, table(), learnt(), members=1, watch=watch or Silent(), **{**settings, **changes}
    )
    return [each.tobytes() for each in weights.arrays()], history.drop(columns="seconds")


def test_a_training_gives_the_same_bytes_again_and_after_any_interruption(
    monkeypatch: pytest.MonkeyPatch,
):
    for module in (training, settings):
        monkeypatch.setattr(module, "EPOCH", 3)
    weights, history = train()
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    again, same = train()
    assert again == weights
    pd.testing.assert_frame_equal(same, history)
    for stop_at in (1, 2, 3):
        watch = Recorder(stop_at)
        with pytest.raises(KeyboardInterrupt):
            train(watch)
        watch.stop_at = None
        resumed, rows = train(watch)
        assert resumed == weights, stop_at
        pd.testing.assert_frame_equal(rows, history)
        assert [epoch.epoch for epoch in watch.epochs] == [1, 2, 3]


def test_another_seed_and_another_block_give_another_network():
    weights, _ = train()
    other, _ = train(seed=6)
    assert other != weights
    # What is shown of validation decides nothing.
    blind, history = train(held=None)
    assert blind == weights
    assert history["validation_loss"].isna().all()


def equal(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_batch_is_the_same_whenever_it_is_asked_for():
    batches = Batches(table(), SMALL, learnt(), seed=3)
    third = batches[3]
    assert not equal(batches[0], third)
    assert equal(batches[3], third)
    assert equal(Batches(table(), SMALL, learnt(), seed=3)[3], third)
    ahead = list(batches.ahead(range(2, 5)))
    assert len(ahead) == 3
    assert equal(ahead[1], third)
    assert not equal(Batches(table(), SMALL, learnt(), seed=4)[3], third)


def test_a_batch_never_shows_a_target_that_may_not_be_learnt_from():
    few = learnt() & (np.arange(len(table().sessions)) < 60)
    batches = Batches(table(), SMALL, few, seed=3)
    for number in range(6):
        batch = batches[number]
        assert batch.weight.any()
        assert batch.x.shape == (3, 65, INPUTS)
    none = np.zeros(len(few), bool)
    assert not Batches(table(), SMALL, none, seed=3)
    # All that may be learnt from lies in the first sessions of every span.
    early = np.arange(len(few)) < 8
    assert not Batches(table(), SMALL, early, seed=3)


def test_hidden_groups_are_those_of_their_share():
    shown = changed(hide_panel=0.0, hide_market=1.0, hide_dates=1.0)
    for number in range(3):
        flags = Batches(table(), shown, learnt(), seed=3)[number].x[..., -FLAGS:]
        assert flags[..., 0].any()
        assert not flags[..., 1:].any()


def test_half_of_the_histories_with_dates_know_them_five_sessions_ahead_alone():
    draws = np.linspace(0, 1, 1000, endpoint=False)
    found = Batches(table(), changed(hide_dates=0.5), learnt(), seed=3)._dates_shown(draws)
    assert {level: (found == level).mean() for level in (0, 5, 20)} == {0: 0.5, 5: 0.25, 20: 0.25}
    shown = changed(hide_dates=0.0, tickers=6)
    flags = Batches(table(), shown, learnt(), seed=3)[0].x[..., -2:]
    every = flags.any(axis=1)  # of each history
    assert every[:, 0].all()
    assert every[:, 1].any()


def changed(**changes) -> PanelNetworkConfig:
    return SMALL.model_copy(update=changes)


def test_the_loss_is_that_of_a_plain_loop_and_so_is_its_gradient():
    load_tensorflow()
    import tensorflow as tf

    generator = np.random.default_rng(11)
    shape = (4, 6, len(STEPS))
    p, delta, residual, error = generator.standard_normal((4, *shape))
    weight = (generator.random(shape[:2]) > 0.3).astype(float)
    weight[:, 2] = 0
    scales = Scales(
        generator.uniform(0.5, 2, len(STEPS)).astype(np.float32),
        np.sort(generator.standard_normal((len(STEPS), len(LEVELS)))).astype(np.float32),
        generator.uniform(0.5, 2, len(STEPS)).astype(np.float32),
    )
    given = [tf.constant(each) for each in (scales.variance, scales.quantiles, scales.pinball)]

    def plain(p: np.ndarray, delta: np.ndarray, fixed: np.ndarray) -> float:
        return sum(
            reference.panel_loss(
                *(each[..., k].tolist() for each in (p, delta, residual, error)),
                weight.tolist(),
                {
                    "variance": float(scales.variance[k]),
                    "quantiles": scales.quantiles[k].tolist(),
                    "pinball": float(scales.pinball[k]),
                    "fixed": fixed[..., k].tolist(),
                },
                LEVELS.tolist(),
            )
            for k in range(len(STEPS))
        )

    heads = tf.Variable(np.concatenate([p, delta], axis=-1), dtype=tf.float32)
    with tf.GradientTape() as tape:
        targets = [tf.constant(each, tf.float32) for each in (residual, error, weight)]
        loss = loss_of(heads, targets, given, few=False)
    gradient = tape.gradient(loss, heads).numpy()
    assert float(loss) == pytest.approx(plain(p, delta, p), rel=1e-4)
    step = 1e-4
    for place in ((0, 0, 0), (1, 3, 2), (3, 5, 3), (2, 2, 1)):
        for part, at in (("p", 0), ("delta", len(STEPS))):
            moved = {"p": p, "delta": delta}
            up, down = p.copy() if part == "p" else delta.copy(), moved[part].copy()
            up[place] += step
            down[place] -= step
            higher = plain(**{**moved, part: up}, fixed=p)
            lower = plain(**{**moved, part: down}, fixed=p)
            found = gradient[place[0], place[1], at + place[2]]
            assert found == pytest.approx((higher - lower) / 2 / step, rel=2e-2, abs=2e-4)


def step_of(left_out: int, noise: list[np.ndarray]) -> tuple[float, list[np.ndarray]]:
    """Return loss and gradients of the heads on a batch, as the compiled step has them."""
    import tensorflow as tf

    x, *targets = (tf.constant(each) for each in Batches(table(), SMALL, learnt(), seed=3)[0])
    network, scales = Network(INPUTS, 4, 8), table().scales(learnt())
    network.set_weights(shaken())
    found = _compiled(left_out, SMALL.burn_in, few=False)(
        *(x, network.lstm(x), [tf.constant(each) for each in noise], targets),
        [tf.constant(each) for each in (scales.variance, scales.quantiles, scales.pinball)],
        [part.value for part in network.parts],
    )
    loss, states, parts = found
    return float(loss), [np.asarray(each) for each in (states, *parts)]


def noise_of(value: int) -> list[np.ndarray]:
    shape = 3, 65 - SMALL.burn_in
    return [np.full((*shape, width), value, np.uint16) for width in (4, 8)]


def test_the_compiled_step_has_loss_and_gradients_of_the_plain_network():
    load_tensorflow()
    import tensorflow as tf

    loss, gradients = step_of(0, noise_of(0))
    x, *targets = (tf.constant(each) for each in Batches(table(), SMALL, learnt(), seed=3)[0])
    network, scales = Network(INPUTS, 4, 8), table().scales(learnt())
    network.set_weights(shaken())
    given = [tf.constant(each) for each in (scales.variance, scales.quantiles, scales.pinball)]
    states = network.lstm(x)
    with tf.GradientTape() as tape:
        tape.watch(states)
        parts = [part.value for part in network.parts]
        tape.watch(parts)
        heads = heads_of(x, states, parts)[:, SMALL.burn_in :]
        plain = loss_of(heads, [each[:, SMALL.burn_in :] for each in targets], given, few=False)
    assert loss == pytest.approx(float(plain), rel=1e-5)
    for one, other in zip(gradients, tape.gradient(plain, [states, *parts]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_dropout_leaves_numbers_out_and_makes_up_for_them():
    load_tensorflow()
    whole, gradients = step_of(0, noise_of(0))
    half = 2**15
    kept, doubled = step_of(half, noise_of(half))  # all kept, and twice as large
    assert kept != whole
    assert not np.allclose(doubled[0], gradients[0])
    _, none = step_of(half, noise_of(half - 1))  # all left out
    assert not none[0].any()
    # Of the first layer the weights of the inputs and of the states alike.
    assert not none[1].any()


def test_noise_is_uniform_and_that_of_its_batch():
    config = changed(dropout=0.1, units=64, hidden=96)
    member = Member(config, table().scales(learnt()), seed=1)
    x = np.zeros((50, 65, 3))
    states, hidden = member._noise(x, 4)
    assert states.shape == (50, 65 - config.burn_in, 64)
    assert hidden.shape == (50, 65 - config.burn_in, 96)
    assert equal(member._noise(x, 4), (states, hidden))
    assert not np.array_equal(member._noise(x, 5)[0], states)
    for draws in (states, hidden):
        assert (draws < 0.1 * 2**16).mean() == pytest.approx(0.1, abs=0.005)
        assert draws.mean() == pytest.approx(2**15, rel=0.01)


def test_empty_histories_change_no_loss():
    member = Member(SMALL, table().scales(learnt()), seed=1)
    batch = Batches(table(), SMALL, learnt(), seed=3)[0]
    more = batch.filled(7)
    assert [len(each) for each in more] == [7] * 4
    assert batch.filled(3) is batch
    assert member.evaluate(more) == pytest.approx(member.evaluate(batch), rel=1e-6)


def test_members_have_the_same_bytes_on_any_number_of_cores():
    def trained(cores: int) -> list[list[bytes]]:
        wanted = [
            partial(train_member, SMALL, table(), learnt(), held=None, seed=seed, fit="final",
                    member=seed, members=3)
            for seed in (1, 2, 3)
        ]  # fmt: skip
        found = side_by_side(wanted, Silent(), cores)
        assert [history["member"].iloc[0] for _, history in found] == [1, 2, 3]
        return [[each.tobytes() for each in weights.arrays()] for weights, _ in found]

    one = trained(1)
    assert trained(3) == trained(2) == one
    assert one[0] != one[1]


def test_a_training_that_fails_stops_those_beside_it():
    started, told = threading.Event(), []

    def fails(**_) -> None:
        started.wait(30)
        raise ValueError("broken")

    def goes_on(*, stop: threading.Event, **_) -> None:
        started.set()
        told.append(stop.wait(10))
        raise Stopped

    with pytest.raises(ValueError, match="broken"):
        side_by_side([goes_on, fails], Silent(), 2)
    assert told == [True]
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(Stopped):
        train(stop=stopped)


def test_the_first_sessions_of_a_span_are_without_loss():
    member = Member(SMALL, table().scales(learnt()), seed=1)
    batch = Batches(table(), SMALL, learnt(), seed=3)[0]
    before = member.evaluate(batch)
    spoilt = batch.residual.copy()
    spoilt[:, :8] = 3.0
    assert member.evaluate(batch._replace(residual=spoilt)) == before
    spoilt[:, 8:] = 3.0
    assert member.evaluate(batch._replace(residual=spoilt)) != before


def test_the_learning_rate_warms_up_and_fades():
    config = PanelNetworkConfig()
    rates = [rate_of(number, config) for number in range(config.batches)]
    assert np.argmax(rates) == pytest.approx(WARM_UP, abs=2)
    assert max(rates) == pytest.approx(config.learning_rate, rel=0.01)
    assert rates[0] < config.learning_rate / 40
    assert 0 < rates[-1] < config.learning_rate / 1000
    assert (np.diff(rates[WARM_UP:]) < 0).all()


def test_a_span_without_loss_is_refused():
    with pytest.raises(ValidationError, match="burn_in"):
        PanelNetworkConfig(span=70, burn_in=70)


def test_weights_are_kept_in_the_order_of_keras():
    assert shaken().size == sum(each.size for each in shaken().arrays())
    shapes = Weights.shapes(INPUTS, 4, 8)
    assert [each.shape for each in Network(INPUTS, 4, 8).variables] == list(shapes)


def test_tickers_of_a_market_that_never_closes_keep_nobody_out_of_a_batch():
    days = pd.date_range("2020-01-01", periods=300)
    weekdays = days[days.day_of_week < 5]
    sessions = {"COIN": days, "A": weekdays, "B": weekdays}
    made = TrainingTable(sessions, {"COIN": "24/7", "A": "XNYS", "B": "XNYS"})
    generator = np.random.default_rng(0)
    for name, own in sessions.items():
        values = generator.standard_normal((len(own), len(COLUMNS))).astype(np.float32)
        known = np.ones(len(own), bool)
        columns = TickerColumns(own, values, known, known, known, 20 * known, 5 * known)
        made.put(name, columns, *generator.standard_normal((2, len(own), len(STEPS))))
    made.finish(random_standardisation(), predicted)
    batches = Batches(made, SMALL, np.ones(len(made.sessions), bool), seed=1)
    sizes = {len(batches[number].x) for number in range(40)}
    assert sizes == {1, 2}
    for number in range(40):
        # No day on which its tickers rest stands in a history.
        assert batches[number].weight[:, SMALL.burn_in :].all()
