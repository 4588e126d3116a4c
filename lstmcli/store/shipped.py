"""The run that ships with the program: trained, and kept in one file beside the code."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from lstmcli.errors import DataError
from lstmcli.store.run_file import RunFile, RunFileError, from_bytes
from lstmcli.store.runs import Manifest, RunFiles

PRETRAINED = "pretrained"
"""The name by which the run is asked for; its own has a time and a hash."""

PATH = Path(__file__).parent.parent / "pretrained.lstmrun"


@dataclass(frozen=True)
class ShippedRun:
    """A run that every workspace knows."""

    run_file: RunFile
    files: RunFiles

    @property
    def manifest(self) -> Manifest:
        return self.run_file.manifest


@cache
def shipped_run() -> ShippedRun:
    """Return the run that ships with the program.

    Raises:
        DataError: its file is damaged.
    """
    try:
        found = from_bytes(PATH.read_bytes())
        return ShippedRun(found, files_of(found))
    except (OSError, RunFileError, KeyError) as error:
        raise DataError(
            f"{PATH} is damaged ({_reason(error)}): it is the network that ships with lstm.",
            hint="install lstm again, or train one: lstm train",
        ) from error


def ships(run: str) -> bool:
    """Return whether the run of a name ships with the program.

    Raises:
        DataError: its file is damaged.
    """
    return PRETRAINED in run and run == shipped_run().manifest.run


def files_of(found: RunFile) -> RunFiles:
    """Return the files of a run that a file holds.

    Raises:
        KeyError: one is missing.
    """
    return RunFiles(
        config=found.texts["config.yaml"],
        state=found.texts["state.json"].encode(),
        fitted={f"{stem}.npz": _npz(arrays) for stem, arrays in found.arrays.items()},
        history=pd.read_csv(io.StringIO(found.texts["history.csv"])),
    )


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def _reason(error: Exception) -> str:
    return "it cannot be read" if isinstance(error, OSError) else str(error).strip("'")
