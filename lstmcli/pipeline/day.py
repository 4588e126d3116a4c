"""Day: what one run of `lstm daily` did, and the file in which the last one is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from lstmcli.errors import LstmError
from lstmcli.store import Workspace
from lstmcli.version import __version__

Outcome = Literal["forecast", "up to date", "not trained", "too young", "left out", "failed"]

NOT_TRAINED: Outcome = "not trained"
"""Of a ticker that no run knows yet: it waits for the next training, and nothing has failed."""

TOO_YOUNG: Outcome = "too young"
"""Of a ticker that has too few bars for any run: it waits for more, and nothing has failed."""

LEFT_OUT: Outcome = "left out"
"""Of sample data that has ended: no evening brings it a bar, and nothing has failed."""

_COUNTED: dict[Outcome, tuple[str, str]] = {
    "forecast": ("forecast", "forecasts"),
    "up to date": ("up to date", "up to date"),
    NOT_TRAINED: ("not trained yet", "not trained yet"),
    TOO_YOUNG: ("too young", "too young"),
    LEFT_OUT: ("left out", "left out"),
    "failed": ("failed", "failed"),
}
"""How one and how several of an outcome are told."""


@dataclass
class TickerDay:
    """What `lstm daily` did for one ticker.

    Attributes:
        session: the last settled one; None where no bars are stored.
        note, hint: why there is no forecast where nothing has failed, and what to do.
        last_close: that the forecast was made from.
        target_on: the session of the first step.
        median, cone80: of the first step, in the ticker's currency.
        prices: what they are: `close`, `ex-dividend` or `total return`.
        declared: dividends that are subtracted of them, per share.
        next_report: as `Reports.as_json` returns it.
    """

    ticker: str
    session: pd.Timestamp | None = None
    outcome: Outcome = "failed"
    error: LstmError | None = None
    note: str | None = None
    hint: str | None = None
    run: str | None = None
    last_close: float | None = None
    target_on: str | None = None
    median: float | None = None
    cone80: tuple[float, float] | None = None
    prices: str | None = None
    declared: float | None = None
    next_report: Mapping[str, Any] | None = None

    def set_forecast(self, first: Mapping[str, Any]) -> None:
        """Take the numbers of a forecast from its first step, in prices."""
        self.last_close, self.median = float(first["last_close"]), float(first["q50"])
        self.cone80 = (float(first["lo80"]), float(first["hi80"]))
        self.target_on = str(first["target_on"])[:10]
        self.prices, self.declared = str(first["prices"]), float(first["declared"])


@dataclass
class Day:
    """What `lstm daily` did.

    Attributes:
        errors: of steps that concern no single ticker.
        notes: what a person should know, though nothing has failed.
        retrained: runs that were trained because their schedule said so.
        report: where the page was written; None where nothing had changed, or it failed.
    """

    at: datetime
    tickers: list[TickerDay] = field(default_factory=list)
    errors: list[LstmError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    retrained: list[str] = field(default_factory=list)
    report: Path | None = None

    @property
    def exit_code(self) -> int:
        errors = [*(ticker.error for ticker in self.tickers if ticker.error), *self.errors]
        return max((error.exit_code for error in errors), default=0)

    def add_error(self, error: LstmError) -> None:
        """Add the error of a step, unless another step has said the same."""
        if str(error) not in map(str, self.errors):
            self.errors.append(error)

    def count(self, outcome: Outcome) -> int:
        return sum(ticker.outcome == outcome for ticker in self.tickers)

    def date(self) -> str:
        """Return the newest session of the tickers, else the day of the clock, as ISO."""
        sessions = [ticker.session for ticker in self.tickers if ticker.session is not None]
        return f"{max(sessions, default=self.at):%Y-%m-%d}"

    def sentence(self) -> str:
        """Return the day in a line."""
        sessions = sorted(
            {f"{ticker.session:%Y-%m-%d}" for ticker in self.tickers if ticker.session}
        )
        parts = [
            f"{count} {words[count > 1]}"
            for outcome, words in _COUNTED.items()
            if (count := self.count(outcome))
        ]
        if self.retrained:
            parts.append(f"{len(self.retrained)} retrained")
        if self.errors:
            parts.append(f"{len(self.errors)} step{'s' * (len(self.errors) > 1)} failed")
        return f"{' '.join(sessions[-1:])}: {', '.join(parts) or 'nothing to do'}".lstrip(": ")

    def as_dict(self) -> dict[str, Any]:
        """Return the day as JSON takes it."""
        return {
            "schema": 1,
            "at": self.at.isoformat(timespec="seconds"),
            "exit_code": self.exit_code,
            "sentence": self.sentence(),
            "tickers": [
                {
                    "ticker": ticker.ticker,
                    "session": ticker.session and f"{ticker.session:%Y-%m-%d}",
                    "outcome": ticker.outcome,
                    "note": ticker.note,
                    "run": ticker.run,
                    "last_close": ticker.last_close,
                    "target_on": ticker.target_on,
                    "median": ticker.median,
                    "cone80": ticker.cone80,
                    "prices": ticker.prices,
                    "declared": ticker.declared,
                    "next_report": ticker.next_report,
                    **_error_fields(ticker.error),
                    **({"hint": ticker.hint} if ticker.note else {}),
                }
                for ticker in self.tickers
            ],
            "errors": [_error_fields(error) for error in self.errors],
            "notes": self.notes,
            "retrained": self.retrained,
            "report": self.report and str(self.report),
            "version": __version__,
        }


def _error_fields(error: LstmError | None) -> dict[str, Any]:
    return {
        "error": error and str(error),
        "hint": error and error.hint,
        "exit_code": error.exit_code if error else 0,
    }


def write_day(workspace: Workspace, answer: dict[str, Any]) -> None:
    """Keep what `lstm daily` did as that of the last one.

    Raises:
        DiskError: it cannot be written; the old one remains.
    """
    text = json.dumps(answer, indent=2, default=str, ensure_ascii=False) + "\n"
    workspace.write(workspace.last_day, text.encode())


def last_day(workspace: Workspace) -> dict[str, Any] | None:
    """Return what the last `lstm daily` did; None where there is none."""
    try:
        answer = json.loads(workspace.last_day.read_bytes())
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None
