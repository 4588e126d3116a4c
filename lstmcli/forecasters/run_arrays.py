"""The files of what was fitted as arrays alone, and back: what a run takes elsewhere.

`.npz` files are arrays already. Of a `.keras` file the weights are taken, and the network is
built anew from the config: nothing of Keras' own format is read. An export for LiteRT is left
out, because `FittedRun.exported` makes it again.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from lstmcli.forecasters.network_files import KERAS, LITE
from lstmcli.forecasters.run_recipe import BuildsNetworks, RunRecipe
from lstmcli.models.files import load_network, network_bytes

if TYPE_CHECKING:
    import keras

Arrays = Mapping[str, Mapping[str, np.ndarray]]
"""Arrays by the stem of their file, then by name."""

_NPZ = ".npz"
_NETWORK = "network-"


def to_arrays(files: Mapping[str, bytes]) -> dict[str, dict[str, np.ndarray]]:
    """Return the arrays of files that a fitted recipe keeps.

    Raises:
        ValueError: a file is damaged or of another kind; the message is a clause.
    """
    found = {}
    for name, content in files.items():
        if name == LITE:
            continue
        if name.endswith(_NPZ):
            found[name.removesuffix(_NPZ)] = npz_arrays(content)
        elif name.endswith(KERAS):
            weights = load_network(content).get_weights()
            found[name.removesuffix(KERAS)] = {f"{n:03d}": each for n, each in enumerate(weights)}
        else:
            raise ValueError(f"{name} is no file of arrays")
    return found


def from_arrays(recipe: RunRecipe, state: bytes, arrays: Arrays) -> dict[str, bytes]:
    """Return the files of which `to_arrays` returned the arrays, without any export.

    Args:
        state: what `FittedRun.stored_state` returned.

    Raises:
        ValueError: they are not those of the recipe; the message is a clause.
    """
    files = {}
    for stem, parts in arrays.items():
        if not stem.startswith(_NETWORK):
            files[f"{stem}{_NPZ}"] = npz_bytes(parts)
        elif isinstance(recipe, BuildsNetworks):
            network = recipe.build(state)
            _set_weights(network, stem, parts)
            files[f"{stem}{KERAS}"] = network_bytes(network)
        else:
            raise ValueError(f"{stem} is no part of its recipe")
    return files


def npz_arrays(content: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of a `.npz` file of ours.

    Raises:
        ValueError: it does not load.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, KeyError, EOFError, BadZipFile, TypeError) as error:
        raise ValueError(f"its arrays do not load: {type(error).__name__}") from error


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return arrays as a `.npz` file without pickle, and as quick to read as can be."""
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **dict(arrays))
    return stream.getvalue()


def _set_weights(network: keras.Model, stem: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Give a network its weights.

    Raises:
        ValueError: they are not its own, or not finite.
    """
    own = [(weight.shape, np.dtype(weight.dtype)) for weight in network.weights]
    given = [arrays[name] for name in sorted(arrays)]
    if [f"{n:03d}" for n in range(len(own))] != sorted(arrays):
        raise ValueError(f"{stem} has {len(given)} arrays, and its network {len(own)}")
    for (shape, dtype), array in zip(own, given, strict=True):
        if array.shape != tuple(shape) or array.dtype != dtype:
            raise ValueError(f"{stem} has arrays of other shapes than its network")
        if not np.isfinite(array).all():
            raise ValueError(f"{stem} holds weights that are not finite")
    network.set_weights(given)
