"""What sources have said of announcements and is not stored yet, so that a kill loses none of it.

The files of events are written once, when all tickers were asked about: they hold all tickers,
and to write them for each would take as long as to ask.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lstmcli.sources.announcements import Statement


@dataclass(frozen=True)
class Answer:
    """What was learnt of one ticker.

    Attributes:
        kept: what `Asked` keeps of it.
    """

    ticker: str
    kept: dict[str, str]
    statements: Sequence[Statement]


class PendingAnswers:
    """A file with one line for each ticker that was asked about; only ever lengthened."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, answer: Answer) -> None:
        """Add what was learnt; where that fails, a kill loses it and it is asked for again."""
        rows = [
            {**vars(each), "session": str(each.session), "known_on": str(each.known_on)}
            for each in answer.statements
        ]
        line = json.dumps({"ticker": answer.ticker, "kept": answer.kept, "statements": rows})
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as stream:
                stream.write(line + "\n")

    def read(self) -> list[Answer]:
        """Return what a process left that was killed; without a line that it had not finished."""
        found: list[Answer] = []
        try:
            for line in self._path.read_text().splitlines():
                said = json.loads(line)
                found.append(Answer(said["ticker"], said["kept"], _statements(said["statements"])))
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return found

    def clear(self) -> None:
        """Delete the file: all is stored."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def _statements(rows: Sequence[dict[str, str]]) -> list[Statement]:
    days = ("session", "known_on")
    return [Statement(**{**row, **{day: pd.Timestamp(row[day]) for day in days}}) for row in rows]
