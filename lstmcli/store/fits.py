"""Fits of baselines that are kept: one small file, which may be deleted at any time."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lstmcli.store.files import write_atomically

log = logging.getLogger(__name__)


class FitStore:
    """Rows of kept fits in a JSON file, all tickers together: 500 tickers take 350 kB.

    A file that is missing, damaged, or made by something else holds nothing: the fits are made
    anew then, so that nobody has to be told.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        return self.path.exists()

    def read(self, made_by: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the rows that `write` was given; none where the file is of no use.

        Args:
            made_by: what the numbers depend on, beside the bars: versions of libraries.
        """
        try:
            content = json.loads(self.path.read_bytes())
            rows: list[dict[str, Any]] = content["fits"]
            if content["sha256"] != _hash_of(rows):
                log.info("%s is damaged; its fits are made anew", self.path)
            elif content["made_by"] != dict(made_by):
                log.info("%s is of other versions; its fits are made anew", self.path)
            else:
                return rows
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.info("%s cannot be read (%r); its fits are made anew", self.path, error)
        return []

    def write(self, rows: Sequence[Mapping[str, Any]], made_by: Mapping[str, str]) -> None:
        """Replace the file.

        Raises:
            DiskError: it cannot be written; the old one is unchanged.
        """
        content = {"made_by": dict(made_by), "sha256": _hash_of(rows), "fits": rows}
        write_atomically(self.path, json.dumps(content).encode())


def _hash_of(rows: Sequence[Mapping[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
