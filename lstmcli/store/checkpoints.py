"""Arrays from which an interrupted fit goes on."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from lstmcli.errors import DataError
from lstmcli.store.files import write_atomically


class Checkpoints:
    """Arrays by key, one file per key, without pickle."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the arrays of a key in one step.

        Raises:
            DiskError: they cannot be written.
            ValueError: an array holds Python objects.
        """
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **dict(arrays))
        write_atomically(self.folder / f"{key}.npz", stream.getvalue())

    def load(self, key: str) -> dict[str, np.ndarray] | None:
        """Return the arrays of a key, or None where nothing was saved.

        Raises:
            DataError: the file is damaged.
        """
        path = self.folder / f"{key}.npz"
        try:
            # From memory: of a damaged file numpy would leave the handle open.
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as saved:
                return {name: saved[name] for name in saved.files}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
            raise DataError(
                f"{path} is damaged (it cannot be read).",
                hint="delete it: its member is trained from the beginning",
            ) from error
