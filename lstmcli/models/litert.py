"""Forecasts without TensorFlow: members averaged in one graph, run by LiteRT.

LiteRT starts in a fraction of the time that TensorFlow takes to import. It has
no loops over a sequence, so recurrent layers are unrolled for the export, with
the same weights; that costs seconds, once, after a training.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.models.runtime import stderr_held

if TYPE_CHECKING:
    import keras

MAX_STEPS = 800
"""Unrolled steps of all members together; 360 took 15 s, 1,500 a minute and 4 GB."""


def unrolled_steps(networks: Sequence[keras.Model]) -> int:
    """Return how many steps of recurrent layers an export unrolls."""
    import keras

    steps = 0
    for layer in (layer for network in networks for layer in network.layers):
        if isinstance(layer, keras.layers.Bidirectional | keras.layers.RNN):
            inputs = layer.input if isinstance(layer.input, list) else [layer.input]
            both = isinstance(layer, keras.layers.Bidirectional)
            steps += inputs[0].shape[1] * (2 if both else 1)
    return steps


def export(networks: Sequence[keras.Model]) -> bytes:
    """Return a LiteRT file of the members' mean, quantile by quantile.

    Flow: inputs of one member, N windows → quantiles (N, H, Q).
    """
    import keras

    members = []
    for number, network in enumerate(networks):
        member = keras.models.clone_model(network, clone_function=_unrolled)
        member.set_weights(network.get_weights())
        member.name = f"member_{number}"
        members.append(member)
    inputs = [keras.Input(each.shape[1:], name=each.name) for each in networks[0].inputs]
    outputs = [member(inputs) for member in members]
    mean = keras.layers.Average()(outputs) if len(outputs) > 1 else outputs[0]
    with tempfile.TemporaryDirectory() as folder, stderr_held():
        path = Path(folder) / "forecast.tflite"
        keras.Model(inputs, mean).export(path, format="litert", verbose=False)
        return path.read_bytes()


def _unrolled(layer: Any) -> Any:
    import keras

    config = layer.get_config()
    if isinstance(layer, keras.layers.Bidirectional):
        for direction in ("layer", "backward_layer"):
            if direction in config:
                config[direction]["config"]["unroll"] = True
    elif isinstance(layer, keras.layers.RNN):
        config["unroll"] = True
    return layer.__class__.from_config(config)


class LiteNetwork:
    """The averaged members of a run, without TensorFlow.

    Attributes:
        content: the file that it was loaded from.
    """

    def __init__(self, content: bytes) -> None:
        """Load a file that `export` made.

        Raises:
            ValueError: it is not one.
        """
        with stderr_held():
            from ai_edge_litert.interpreter import Interpreter

            self.content = content  # the interpreter reads it in place
            self._run = Interpreter(model_content=content).get_signature_runner()

    def mean(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return quantiles (N, H, Q) in units of `sigma * sqrt(h)`."""
        with stderr_held():  # it reports its delegate when it first runs
            (quantiles,) = self._run(**inputs).values()
        return quantiles.astype(np.float64)
