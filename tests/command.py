"""Running `lstm` from tests: in this process, or as one of its own."""

from __future__ import annotations

import errno
import logging
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from lstmcli.cli import app, run

LSTM = [sys.executable, "-m", "lstmcli"]

NOW = "2008-10-14T18:00:00-04:00"
"""Two hours after the last bar of the sample."""

LAST = "2008-10-14"
"""The session on which `NOW` is."""

TINY = [
    *("--config", "smoke.yaml", "--set", "training.epochs=1", "--set", "model.units=4"),
    *("--set", "window.lookback=12", "--set", "training.learning_rate=0.01"),
]
"""Options of a training that takes as long as loading TensorFlow."""

SMALL = [*TINY, "--set", "window.horizon=2", "--set", "backtest.folds=3"]
SMALL += ["--set", "backtest.start=2008-02-01", "--workers", "1"]
"""Three folds of a network that trains in a second."""


# In a hint a command ends at punctuation outside quotes, or at the verb of the sentence.
_COMMAND = re.compile(
    r"lstm [a-z](?:'[^']*'|(?!, | \(|\)| (?:brings|continues|goes|lists|overwrites|starts) ).)+"
)


@dataclass(frozen=True)
class Result:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def hint(self) -> str:
        return self.err.partition("\nhint: ")[2].strip()


class Lstm:
    """Runs commands in this process: `lstm("predict", "GOOG")`."""

    def __init__(self, capsys: Any) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str | Path) -> Result:
        self.capsys.readouterr()
        with kept_logging():
            code = run([str(argument) for argument in arguments])
        return Result(code, *self.capsys.readouterr())


@contextmanager
def kept_logging() -> Iterator[None]:
    """Give the package's logger back as it was: commands send it to stderr alone."""
    logger = logging.getLogger("lstmcli")
    handlers, level, propagate = logger.handlers, logger.level, logger.propagate
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@contextmanager
def kept_clock() -> Iterator[None]:
    """Give `LSTM_NOW` back as it was."""
    before = os.environ.get("LSTM_NOW")
    try:
        yield
    finally:
        os.environ.pop("LSTM_NOW", None)
        if before is not None:
            os.environ["LSTM_NOW"] = before


def environment(workspace: Path, changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of a process for which it is `NOW`."""
    return {**os.environ, "LSTM_WORKSPACE": str(workspace), "LSTM_NOW": NOW, **(changes or {})}


def spawn(
    *arguments: str | Path, workspace: Path, changes: Mapping[str, str] | None = None
) -> Result:
    """Run a command as a process of its own, its standard error no terminal."""
    done = subprocess.run(
        [*LSTM, *map(str, arguments)],
        env=environment(workspace, changes),
        cwd=workspace.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def start(*arguments: str, workspace: Path, **options: Any) -> subprocess.Popen[str]:
    """Start a command and return its process; the caller ends it."""
    return subprocess.Popen(
        [*LSTM, *arguments],
        env=environment(workspace, options.pop("changes", None)),
        cwd=workspace.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wait_for(process: subprocess.Popen[str], words: str) -> str:
    """Return what a process has said on stderr up to the line that holds `words`."""
    said = ""
    assert process.stderr is not None
    for line in process.stderr:
        said += line
        if words in line:
            return said
    raise AssertionError(f"it ended without saying {words!r}: {said}")


def commands() -> list[tuple[str, ...]]:
    """Return the words of every command and every group of the app, `()` first."""

    def below(group: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        for name, command in getattr(group, "commands", {}).items():
            yield from below(command, (*words, name))

    return list(below(typer.main.get_command(app), ()))


def check_parses(line: str) -> None:
    """Check that a command line that a message shows would be understood."""
    words = shlex.split(line)
    assert words[0] == "lstm"
    command, arguments, name = typer.main.get_command(app), words[1:], "lstm"
    while hasattr(command, "commands"):
        if "list" in command.commands and (not arguments or arguments[0].startswith("-")):
            arguments = ["list", *arguments]  # as `ListsByDefault` reads it
        if name == "events" and arguments[0].upper() == arguments[0]:
            arguments = ["list", *arguments]  # as `ListsTickers` reads it
        name, *arguments = arguments
        command = command.commands[name]
    with suppress(typer.Exit), command.make_context(name, arguments):  # --help exits
        pass


def hinted(result: Result) -> list[str]:
    """Return the commands that a hint shows, each of which parses."""
    lines = _COMMAND.findall(result.hint)
    for line in lines:
        check_parses(line)
    return lines


def stored(workspace: Path) -> dict[Path, bytes]:
    """Return the files that hold something; locks and caches do not."""
    return {
        path.relative_to(workspace): path.read_bytes()
        for path in workspace.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(workspace).parts)
    }


def fill(folder: Path) -> Path:
    """Write a file that leaves no room on the disk of a folder; return it."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 1024)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return filler


def run_folder(workspace: Path) -> Path:
    """Return the folder of the one run in a workspace."""
    (folder,) = (workspace / "runs").iterdir()
    return folder


def finished(data: Path) -> Path:
    """Return the folder of the one finished backtest in a workspace."""
    (manifest,) = (data / "backtests").glob("*/manifest.json")
    return manifest.parent
