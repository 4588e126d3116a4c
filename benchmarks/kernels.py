"""Time what was tried beside the fused LSTM layer, in turn in one process.

    python benchmarks/kernels.py                 # about five minutes

The task is that of `speed.py`: 7,500 windows of 60 sessions x 5 columns, 64
units. Prints the median seconds of an epoch and the ratio to the fused layer;
EXPERIMENTS.md says what followed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from lstmcli.models.runtime import load_tensorflow

load_tensorflow()
import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from lstmcli.models.layers import LSTM  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent / "work"))
from _task import COLUMNS, HORIZON, LOOKBACK, UNITS, materialised  # noqa: E402

STEPS = 16
"""Batches in one execution, as in our own training."""


def block_lstm(x, state, h, weights, bias):
    """TensorFlow's kernel of a whole sequence; x (L, N, F), state and h (N, U)."""
    units = state.shape[-1]
    return tf.raw_ops.BlockLSTM(
        seq_len_max=tf.cast(tf.shape(x)[0], tf.int64),
        x=x,
        cs_prev=state,
        h_prev=h,
        w=weights,
        b=bias,
        wci=bias[:units],
        wcf=bias[:units],
        wco=bias[:units],
        forget_bias=0.0,
        cell_clip=0.0,
        use_peephole=False,
    )


def last_output(x, state, h, weights, bias):
    return block_lstm(x, state, h, weights, bias).h[-1]


def last_output_product_gradient(x, state, h, weights, bias):
    return product_gradient(x, state, h, weights, bias)[0][-1]


@tf.custom_gradient
def product_gradient(x, state, h, weights, bias):
    """BlockLSTM whose gradient keeps only the recurrence per session.

    The weight gradients of all sessions become one large product at the end.
    x (L, N, F), state and h (N, U).
    """
    units = state.shape[-1]
    peephole = bias[:units]
    i, cs, f, o, ci, co, hs = block_lstm(x, state, h, weights, bias)

    def gradient(hs_gradient, cs_gradient):
        del cs_gradient  # nothing reads the states
        columns, sessions = x.shape[2], x.shape[0]
        recurrent = tf.transpose(weights[columns:])
        gates = [None] * sessions
        dh, dc = tf.zeros_like(h), tf.zeros_like(state)
        i_, cs_, f_, o_, ci_, co_, hs_ = (
            tf.unstack(each) for each in (i, cs, f, o, ci, co, hs_gradient)
        )
        for t in reversed(range(sessions)):
            dc, gates[t], *_ = tf.raw_ops.LSTMBlockCellGrad(
                x=x[0],
                cs_prev=cs_[t - 1] if t else state,
                h_prev=h,
                w=weights,
                wci=peephole,
                wcf=peephole,
                wco=peephole,
                b=bias,
                i=i_[t],
                cs=cs_[t],
                f=f_[t],
                o=o_[t],
                ci=ci_[t],
                co=co_[t],
                cs_grad=dc,
                h_grad=hs_[t] + dh,
                use_peephole=False,
            )
            dh = tf.matmul(gates[t], recurrent)
        every = tf.reshape(tf.stack(gates), [-1, 4 * units])
        before = tf.concat([h[None], hs[:-1]], 0)
        inputs = tf.reshape(tf.concat([x, before], 2), [-1, columns + units])
        dx = tf.matmul(every, weights[:columns], transpose_b=True)
        dw = tf.matmul(inputs, every, transpose_a=True)
        return tf.reshape(dx, tf.shape(x)), dc, dh, dw, tf.reduce_sum(every, 0)

    return (hs, cs), gradient


class InTwoShards(keras.layers.Layer):
    """An LSTM on a kernel that was tried, in two shards like the fused layer."""

    def __init__(self, last_output) -> None:
        super().__init__()
        self.last_output = last_output

    def build(self, shape) -> None:
        self.kernel = self.add_weight(shape=(shape[-1] + UNITS, 4 * UNITS))
        self.bias = self.add_weight(shape=(4 * UNITS,), initializer="zeros")

    def call(self, sequences):
        x = tf.transpose(tf.ensure_shape(sequences, (None, LOOKBACK, COLUMNS)), [1, 0, 2])
        half = tf.shape(x)[1] // 2
        last = []
        for part in (x[:, :half], x[:, half:]):
            zeros = tf.zeros((tf.shape(part)[1], UNITS))
            last.append(self.last_output(part, zeros, zeros, self.kernel, self.bias))
        return tf.concat(last, 0)

    def compute_output_shape(self, shape):
        return (shape[0], UNITS)


def batches(x: np.ndarray, y: np.ndarray, size: int) -> tf.data.Dataset:
    options = tf.data.Options()
    # An epoch would not end before the tuner wakes, after 1.3 or 2.6 seconds.
    options.autotune.enabled = False
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(size).prefetch(2).with_options(options)


def network(layer, batch: int, **compiling) -> keras.Model:
    inputs = keras.Input((LOOKBACK, COLUMNS))
    outputs = keras.layers.Dense(HORIZON, dtype="float32")(layer(inputs))
    built = keras.Model(inputs, outputs)
    built.compile("adam", "mse", steps_per_execution=STEPS, **compiling)
    built.batch = batch
    return built


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()
    batch = arguments.batch
    x, y = materialised()
    works = {
        "fused": network(LSTM(UNITS), batch),
        "fused, batch x 4": network(LSTM(UNITS), 4 * batch),
        "BlockLSTM": network(InTwoShards(last_output), batch),
        "BlockLSTM, weight gradient as one product": network(
            InTwoShards(last_output_product_gradient), batch
        ),
        "stock": network(keras.layers.LSTM(UNITS), batch),
        "stock, XLA": network(keras.layers.LSTM(UNITS), batch, jit_compile=True),
        "stock, XLA, bfloat16": network(
            keras.layers.LSTM(UNITS, dtype="mixed_bfloat16"), batch, jit_compile=True
        ),
        "simple RNN": network(keras.layers.SimpleRNN(UNITS), batch),
        "simple RNN, XLA": network(keras.layers.SimpleRNN(UNITS), batch, jit_compile=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    first: dict[str, float] = {}
    for turn in range(arguments.rounds + 1):
        for name, built in works.items():
            started = time.perf_counter()
            built.fit(batches(x, y, built.batch), shuffle=False, verbose=0)
            spent = time.perf_counter() - started
            if turn:
                seconds[name].append(spent)
            else:
                first[name] = spent
    for name, values in seconds.items():
        ratio = statistics.median(np.divide(values, seconds["fused"]))
        print(
            f"{name:40} {statistics.median(values):6.2f} s  {ratio:5.2f} x the fused"
            f"  (first epoch {first[name]:.1f} s)"
        )


if __name__ == "__main__":
    main()
