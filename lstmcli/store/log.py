"""The log of `lstm daily`: one JSON line per step, one file per month."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from lstmcli.errors import DiskError


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
        found = []
        for path in sorted(self.folder.glob("*.jsonl")):
            for line in path.read_bytes().splitlines():
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if isinstance(record, dict):
                    found.append(record)
        return found
