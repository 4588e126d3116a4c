"""The record of issued forecasts on disk: a state that may be deleted at any time.

Each month of origins has a file of rows, which only an evening that concerns it reads, and one
of the sums that tables need. `state.json` names the hash of each: what does not match it is
built anew from the ledger and the bars.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lstmcli.store.files import write_atomically

FORMAT = 1

_STATE = "state.json"


class Outdated(Exception):
    """A file of the record is missing, or not what the state says."""


class RecordStore:
    """Tables by month in a folder, and a small state that says which of them hold."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def state(self) -> dict[str, Any] | None:
        """Return what `finish` kept; None where nothing is, or nothing that can be used."""
        try:
            state = json.loads((self.folder / _STATE).read_bytes())
        except (OSError, ValueError):
            return None
        return state if isinstance(state, dict) and state.get("format") == FORMAT else None

    def read(self, name: str, sha256: str) -> pd.DataFrame:
        """Return a table.

        Raises:
            Outdated: it is missing, or has another hash.
        """
        try:
            content = self._path(name).read_bytes()
        except OSError as error:
            raise Outdated(name) from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise Outdated(name)
        return pd.read_parquet(io.BytesIO(content))

    def write(self, name: str, table: pd.DataFrame) -> str:
        """Write a table and return its hash.

        Raises:
            DiskError: it cannot be written.
        """
        stream = io.BytesIO()
        table.to_parquet(stream, index=False, compression="zstd")
        # A power cut may cost it: its hash is in the state, and the record is built anew.
        write_atomically(self._path(name), stream.getvalue(), flush=False)
        return hashlib.sha256(stream.getvalue()).hexdigest()

    def finish(self, state: Mapping[str, Any]) -> None:
        """Keep the state once all tables that it names are written.

        Raises:
            DiskError: it cannot be written; the next evening builds the record anew.
        """
        content = json.dumps({"format": FORMAT, **state}) + "\n"
        write_atomically(self.folder / _STATE, content.encode())

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"
