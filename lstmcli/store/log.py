"""The log of `lstm daily`: one JSON line per step, one file per month."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from lstmcli.errors import DiskError
from lstmcli.store.files import write_atomically

LIMIT = 16 * 2**20
"""Bytes of all months together. Every evening of 500 tickers fills them in four months, of
thirty in six years."""

REASONS = ("failed", "waiting")
"""Lines that say why a ticker has no forecast. `score` reads them, so they stay."""


class RunLog:
    """Lines that only grow. A line that a crash cut short is skipped on reading."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def append(self, at: datetime, step: str, status: str, **details: Any) -> None:
        """Append one line: when, which step, what came of it.

        Raises:
            DiskError: no space, or not writable.
        """
        path = self.folder / f"{at:%Y-%m}.jsonl"
        record = {"at": at.isoformat(timespec="seconds"), "step": step, "status": status}
        record |= {key: value for key, value in details.items() if value is not None}
        line = json.dumps(record, default=str, ensure_ascii=False) + "\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab+") as stream:
                stream.seek(0, os.SEEK_END)
                if stream.tell():
                    stream.seek(-1, os.SEEK_END)
                    # A crash may have left half a line: what follows begins its own.
                    line = line if stream.read(1) == b"\n" else "\n" + line
                stream.write(line.encode())
        except OSError as error:
            raise DiskError(
                f"{path}: cannot be written: {error.strerror or error}.",
                hint="free some space, or choose a folder that you may write with --workspace",
            ) from error

    def read(self) -> list[dict[str, Any]]:
        """Return every whole line, oldest first."""
        return [record for path in self._months() for _, record in _records(path)]

    def rotate(self, limit: int = LIMIT) -> None:
        """Thin out the oldest months until all together have at most so many bytes.

        Only reasons of missing forecasts stay of such a month; see `REASONS`.

        Raises:
            DiskError: a month cannot be written; the old one remains.
        """
        months = self._months()
        size = sum(path.stat().st_size for path in months)
        for path in months[:-1]:
            if size <= limit:
                return
            lines = _records(path)
            kept = [
                line
                for line, record in lines
                if record.get("ticker") and record.get("status") in REASONS
            ]
            if len(kept) < len(lines):
                size -= path.stat().st_size - sum(len(line) + 1 for line in kept)
                write_atomically(path, b"".join(line + b"\n" for line in kept))

    def _months(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))


def _records(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """Return the whole lines of a file, each as it stands there and what it holds."""
    found = []
    for line in path.read_bytes().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            found.append((line, record))
    return found
