"""Passes of a network over windows, batch by batch in TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.errors import ConfigError
from lstmcli.models.kernel import use_stock_lstm
from lstmcli.windows import Windows

if TYPE_CHECKING:
    import keras

STEPS_PER_EXECUTION = 16
"""Batches that TensorFlow runs before Python looks again, for a Ctrl-C, say."""

EVALUATED = 1024
"""Windows in a batch that trains nothing."""


Gather = Callable[[Any], tuple[dict[str, Any], Any]]
"""From rows of origins (N,) to the inputs and the scaled targets of their windows."""


class Passes:
    """Passes of a compiled network over windows, many batches in one call of TensorFlow.

    `fit` of Keras would build two data pipelines and their iterators for every epoch, which
    takes as long as fifty batches.
    """

    def __init__(self, network: keras.Model, gather: Gather) -> None:
        self._network = network
        self._gather = gather
        self.trace()

    def trace(self) -> None:
        """Build the graphs; once more where what they consist of has changed."""
        import tensorflow as tf

        def steps(step: Callable[[Any], Any]) -> Any:
            step = tf.autograph.experimental.do_not_convert(step)

            def run(rows: Any, batch_size: Any) -> None:
                for start in tf.range(0, tf.shape(rows)[0], batch_size):
                    step(self._gather(rows[start : start + batch_size]))

            signature = tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.int32)
            return tf.function(run, input_signature=signature)

        self._train = steps(self._network.train_step)
        self._evaluate = steps(self._network.test_step)

    def train(self, rows: np.ndarray, batch_size: int) -> float:
        """Return the mean loss of one epoch over the windows that end at `rows`, in that order."""
        return self._run(self._train, rows, batch_size)

    def evaluate(self, rows: np.ndarray) -> float:
        """Return the mean loss of windows without training."""
        return self._run(self._evaluate, rows, EVALUATED)

    def _run(self, steps: Any, rows: np.ndarray, batch_size: int) -> float:
        self._network.reset_metrics()
        many = STEPS_PER_EXECUTION * batch_size
        for start in range(0, len(rows), many):
            steps(rows[start : start + many].astype(np.int32), batch_size)
        return float(self._network.get_metrics_result()["loss"])


def window_batches(values: np.ndarray, windows: Windows, *, reads_targets: bool) -> Gather:
    """Return what cuts windows by index inside TensorFlow.

    The tables go to TensorFlow once, however many epochs follow.

    Args:
        values: (R, F) standardised features of the rows of `windows`.
    """
    import tensorflow as tf

    lookback = tf.range(1 - windows.lookback, 1)
    ahead = tf.range(1, windows.horizon + 1)
    table = tf.constant(values)
    level, sigma = tf.constant(windows.level), tf.constant(windows.sigma)
    root = tf.sqrt(tf.range(1, windows.horizon + 1, dtype=tf.float64))
    targets = _gather_targets(windows) if reads_targets else None

    def gather(row: Any) -> tuple[dict[str, Any], Any]:
        inputs = {"window": tf.gather(table, row[:, None] + lookback)}
        if targets is not None:
            inputs["targets"] = targets(row)
        # Levels are float64: a float32 sum over years would lose the daily return.
        y = tf.gather(level, row[:, None] + ahead) - tf.gather(level, row)[:, None]
        return inputs, tf.cast(y / (tf.gather(sigma, row) * root), tf.float32)

    return gather


def _gather_targets(windows: Windows) -> Callable[[Any], Any]:
    """Return what does in TensorFlow as `target_inputs` does, from the same tables."""
    import tensorflow as tf

    steps = tf.constant(_steps(windows.horizon))
    future = windows.future
    if future is None:
        return lambda row: tf.tile(steps[None], [tf.shape(row)[0], 1, 1])
    first, day = tf.constant(future.first), tf.constant(future.day)
    calendar, spans = tf.constant(future.calendar), tf.constant(future.spans)
    ahead = tf.range(windows.horizon)

    def targets(row: Any) -> Any:
        at = tf.gather(first, row)[:, None] + ahead  # (N, H)
        parts = [tf.gather(calendar, at)]
        if future.spans.size:
            span = tf.gather(spans, at)  # (N, H, E, D, 2)
            now = tf.gather(day, row)[:, None, None, None]
            known = (span[..., 0] <= now) & (now < span[..., 1])
            parts.append(tf.cast(tf.reduce_any(known, axis=-1), tf.float32))
        elif future.spans.shape[1]:
            parts.append(tf.zeros([tf.shape(row)[0], windows.horizon, future.spans.shape[1]]))
        parts.append(tf.tile(steps[None], [tf.shape(row)[0], 1, 1]))
        return tf.concat(parts, axis=-1)

    return targets


def target_inputs(windows: Windows, rows: np.ndarray) -> np.ndarray:
    """Return the input `targets` (N, H, K + 1): what is known ahead of each session, and h / H."""
    steps = np.tile(_steps(windows.horizon), (len(rows), 1, 1))
    if windows.future is None:
        return steps
    return np.concatenate([windows.future.of(rows, windows.horizon), steps], axis=-1)


def _steps(horizon: int) -> np.ndarray:
    return (np.arange(1, horizon + 1) / horizon).astype(np.float32)[:, None]


def in_memory(
    passes: Passes, work: Callable[[], tuple[float, float]], batch_size: int
) -> tuple[float, float]:
    """Return what `work` does; out of memory, try it once more with the stock LSTM layer.

    Raises:
        ConfigError: the memory does not suffice for that either.
    """
    import tensorflow as tf

    try:
        return work()
    except tf.errors.ResourceExhaustedError as error:
        if not use_stock_lstm("out of memory"):
            raise _too_large(batch_size) from error
    passes.trace()
    try:
        return work()
    except tf.errors.ResourceExhaustedError as error:
        raise _too_large(batch_size) from error


def _too_large(batch_size: int) -> ConfigError:
    return ConfigError(
        f"Expected memory for batches of {batch_size:,} windows. Received: too little.",
        hint=f"--set training.batch_size={max(1, batch_size // 4)}, or fewer model.units",
    )
