"""Networks as bytes, in Keras' own file format."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lstmcli.models.runtime import load_tensorflow

if TYPE_CHECKING:
    import keras

# Keras saves to a path and loads from one, and wants this ending.
_NAME = "network.keras"


def network_bytes(network: keras.Model) -> bytes:
    """Return the `.keras` file of a network."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _NAME
        network.save(path)
        return path.read_bytes()


def load_network(content: bytes) -> keras.Model:
    """Return the network of a `.keras` file; code in it is never run.

    Raises:
        ValueError: the content is no network, or holds code.
    """
    load_tensorflow()
    import keras

    from lstmcli.models import layers  # noqa: F401  (registers the layers that files name)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _NAME
        path.write_bytes(content)
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except (TypeError, OSError, KeyError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
