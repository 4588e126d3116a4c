"""Cases of files and of Yahoo's answers, with what a command must make of each.

A table (`file_cases.toml`, `inputs/expected.toml`) has one list of steps for each folder
of files. A step is a command line, and what it must do:

    run       the words after `lstm`; {tiny} stands for the options of a very short training
    now       the moment of the command, else NOW
    yahoo     the JSON file that Yahoo answers from, in this step and later ones
    stdin     the file that the command reads from standard input
    fresh     whether the step begins in a new folder and workspace
    code      the exit code, or those allowed; 0 unless stated
    says      words that stdout or stderr must hold; "a|b" allows either
    never     words that neither may hold
    stored    what the workspace then holds of a ticker, see `_differences`
    way_out   what a command that the hint shows must store, as `stored`
    either    alternatives: each replaces what it states; one must hold

Case does not matter in `says` and `never`.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command import TINY, Result, hinted
from yahoo_server import YahooServer

from lstmcli.errors import LstmError
from lstmcli.frames import log_returns
from lstmcli.store import Workspace

NOW = "2024-03-10T12:00:00-05:00"
"""A Sunday: every bar of a file that ends on 2024-03-08 has settled."""

Step = dict[str, Any]


def read_table(file: Path) -> dict[str, list[Step]]:
    """Return the steps of every case."""
    return tomllib.loads(file.read_text("utf-8"))


def loads_tensorflow(steps: list[Step]) -> bool:
    """Return whether a step trains or forecasts."""
    return any(shlex.split(step["run"])[0] in ("train", "predict") for step in steps)


@dataclass
class Stage:
    """A copy of a case's folder, where commands run; the workspace is `data` in it."""

    origin: Path
    folder: Path
    lstm: Callable[..., Result]
    patch: pytest.MonkeyPatch
    yahoo: YahooServer | None = None
    copies: Iterator[int] = field(default_factory=itertools.count)

    def play(self, steps: list[Step]) -> Iterator[tuple[Step, Result]]:
        """Run each step and yield it with its result, before the next one runs."""
        self.start_anew(0)
        for number, step in enumerate(steps):
            if step.get("fresh"):
                self.start_anew(number)
            if "yahoo" in step:
                assert self.yahoo is not None
                self.yahoo.serve_raw(json.loads((self.origin / step["yahoo"]).read_text()))
            yield step, self.run(step["run"], now=step.get("now", NOW), stdin=step.get("stdin"))

    def start_anew(self, number: int) -> None:
        """Enter a new copy of the case's folder, without a workspace."""
        self.enter(self.folder / str(number))
        for path in self.origin.iterdir():
            if path.name != "README":
                shutil.copy(path, self.here)

    def enter(self, here: Path) -> None:
        self.here = here
        here.mkdir(parents=True, exist_ok=True)
        self.patch.chdir(here)
        self.patch.setenv("LSTM_WORKSPACE", "data")

    def run(self, line: str, *, now: str, stdin: str | None = None) -> Result:
        self.patch.setenv("LSTM_NOW", now)
        if self.yahoo is not None:
            self.yahoo.move_clock(datetime.fromisoformat(now))
        words = [w for word in shlex.split(line) for w in (TINY if word == "{tiny}" else [word])]
        with self.patch.context() as patch:
            if stdin is not None:
                content = io.BytesIO((self.here / stdin).read_bytes())
                patch.setattr(sys, "stdin", io.TextIOWrapper(content, encoding="utf-8"))
            return self.lstm(*words)

    def follow_hints(self, step: Step, result: Result) -> Iterator[tuple[str, Result]]:
        """Run each command that the hint shows, each where all is as it was; see `here`.

        A line that the hint tells to delete first is deleted from the file of the command.
        """
        here = self.here
        try:
            for line in hinted(result):
                copy = here.with_name(f"{here.name}-hint-{next(self.copies)}")
                shutil.copytree(here, copy)
                self.enter(copy)
                words = line.removeprefix("lstm ").replace(str(here), str(copy))
                if doomed := re.search(r"delete line (\d+)", result.hint):
                    _delete_line(int(doomed[1]), _file_of(words))
                yield line, self.run(words, now=step.get("now", NOW), stdin=step.get("stdin"))
        finally:
            self.enter(here)


def _file_of(words: str) -> Path:
    parts = shlex.split(words)
    return Path(parts[parts.index("--file") + 1])


def _delete_line(number: int, file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[: number - 1], *lines[number:]]))


def complaints(stage: Stage, step: Step, result: Result) -> list[str]:
    """Return in what a step did not do what its table states; nothing if it did."""
    if "either" not in step:
        return _complaints(stage, step, result)
    found = []
    for alternative in step["either"]:
        wrong = _complaints(stage, {**step, **alternative}, result)
        if not wrong:
            return []
        found.append(" and ".join(wrong))
    return [" OR ".join(found), *([] if result.code == 0 else [_first_line(result)])]


def _complaints(stage: Stage, step: Step, result: Result) -> list[str]:
    wrong = []
    # Whatever the folder's name holds is not said by the command.
    said = f"{result.out}\n{result.err}".replace(str(stage.here), "").lower()
    codes = step.get("code", 0)
    if result.code not in (codes if isinstance(codes, list) else [codes]):
        wrong.append(f"Expected the code {codes}. Received: {result.code}: {_first_line(result)}")
    for words in step.get("says", []):
        if not any(_holds(said, word) for word in words.split("|")):
            wrong.append(f"Expected it to say {words!r}. It said: {result.err}")
    wrong += [f"It says {word!r}." for word in step.get("never", []) if _holds(said, word)]
    for ticker, expected in step.get("stored", {}).items():
        wrong += _differences(stage.here / "data", ticker, expected)
    if "way_out" in step and not wrong:
        wrong += _without_way_out(stage, step, result)
    return wrong


def _holds(said: str, word: str) -> bool:
    """Return whether a text holds a word; a number must not be part of another or of a date."""
    if word.isdigit():
        return bool(re.search(rf"(?<![\d-])(?<!\d[.,]){word}(?!\d)", said))
    return word.lower() in said


def _without_way_out(stage: Stage, step: Step, result: Result) -> list[str]:
    tried = {}
    for line, after in stage.follow_hints(step, result):
        tried[line] = [] if after.code == 0 else [_first_line(after)]
        for ticker, expected in step["way_out"].items():
            tried[line] += _differences(stage.here / "data", ticker, expected)
    if any(not wrong for wrong in tried.values()):
        return []
    return [f"Expected a hint that leads out. Received: {result.hint!r}, and from it: {tried}"]


def _first_line(result: Result) -> str:
    lines = [line for line in result.err.splitlines() if line.startswith("error:")]
    return lines[0] if lines else result.err.strip()[-300:]


def _differences(workspace: Path, ticker: str, expected: Mapping[str, Any]) -> list[str]:
    """Return in what stored bars differ from what is expected of them.

    bars        how many there are, or numbers allowed
    span        the first and the last session
    close       the first and the last close; volume: likewise
    dividends   how many there are and their sum, within 2 %
    splits      their ratios: 2.0 is two new shares for one old
    total       the total log return, within 0.0005 or, as [total, tolerance], the tolerance
    returns     the log returns of some sessions, within 0.0005
    calm        a size that no log return exceeds
    calendar    the calendar
    """
    try:
        bars, meta = Workspace(workspace).bars.read(ticker)
    except LstmError as error:
        return [str(error)]
    returns = log_returns(bars)
    dividends = bars["dividend"][bars["dividend"] > 0]
    found = {
        "bars": len(bars),
        "span": [f"{bars.index[0]:%Y-%m-%d}", f"{bars.index[-1]:%Y-%m-%d}"],
        "close": bars["close"].iloc[[0, -1]].tolist(),
        "volume": bars["volume"].iloc[[0, -1]].tolist(),
        "dividends": [len(dividends), float(dividends.sum())],
        "splits": bars["split"][bars["split"] > 0].tolist(),
        "total": returns.sum(),
        "returns": {day: _on(returns, day) for day in expected.get("returns", {})},
        "calm": returns.abs().max(),
        "calendar": meta.calendar,
    }
    return [
        f"{ticker}: Expected {name} {wanted}. Received: {found[name]}."
        for name, wanted in expected.items()
        if not _agrees(name, found[name], wanted)
    ]


def _on(returns: pd.Series, day: str) -> float:
    return float(returns.get(pd.Timestamp(day), math.nan))


def _agrees(name: str, found: Any, wanted: Any) -> bool:
    if name == "bars":
        return found in (wanted if isinstance(wanted, list) else [wanted])
    if name == "total":
        wanted, within = wanted if isinstance(wanted, list) else (wanted, 0.0005)
        return found == pytest.approx(wanted, abs=within)
    if name == "returns":
        return found == pytest.approx(wanted, abs=0.0005)
    if name == "dividends":
        return found[0] == wanted[0] and found[1] == pytest.approx(wanted[1], rel=0.02)
    if name == "calm":
        return found <= wanted
    if name in ("close", "volume", "splits"):
        return found == pytest.approx(wanted, rel=1e-6)
    return found == wanted
