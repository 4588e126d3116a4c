"""Crontab: the one marked line with which cron runs `lstm daily` for a workspace.

A crontab belongs to its user. So one line alone is ours, told by the comment at its end;
every other line stays as it is, byte for byte.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lstmcli.errors import ConfigError, DiskError
from lstmcli.pipeline.schedule import Schedule, cron_times

PROGRAM = "crontab"

_MARK = "# lstm schedule "
_NOTHING = re.compile(rb"no crontab for|can't open .*no such file", re.IGNORECASE)
"""What `crontab -l` of cronie, Debian and BusyBox says of a user who has none, with code 1."""


@dataclass(frozen=True)
class Installed:
    """What `install` has done.

    Attributes:
        line: ours.
        changed: whether the crontab was written; False where it held the line already.
        others: lines without our mark that run `lstm daily` for this workspace too.
    """

    line: str
    changed: bool
    others: tuple[str, ...]


def crontab(plan: Schedule) -> str:
    """Return the line with two of comment, to be read or put into a crontab by hand."""
    return (
        f"# lstm daily for {plan.workspace}, after the close of {plan.calendar} ({plan.zone}),\n"
        "# in this machine's time and several times: what is done is not done again.\n"
        f"{cron_line(plan)}\n"
    )


def cron_line(plan: Schedule) -> str:
    """Return the line for a crontab, its mark at the end."""
    log = shlex.quote(str(plan.cron_log))
    mark = _mark(plan.workspace, plan.universe)
    command = f"{shlex.join(plan.command)} 2>> {log} {mark}"
    return f"{cron_times(plan)} {_escaped(command)}"


def install(plan: Schedule) -> Installed:
    """Put the line into the crontab of this user, in place of one that is there already.

    Raises:
        ConfigError: there is no program crontab.
        DiskError: it refused.
    """
    line = cron_line(plan)
    lines = _read()
    own = [n for n, known in enumerate(lines) if _owner(known) == (plan.workspace, plan.universe)]
    kept = [known for n, known in enumerate(lines) if n not in own[1:]]
    if own:
        kept[own[0]] = line.encode() + b"\n"
    else:
        if kept and not kept[-1].endswith(b"\n"):
            kept[-1] += b"\n"
        kept.append(line.encode() + b"\n")
    if kept != lines:
        _write(kept)
    return Installed(line, kept != lines, _others(lines, plan.workspace))


def remove(workspace: Path, universe: Path | None = None) -> list[str]:
    """Take the lines of a workspace out of the crontab; return them.

    Args:
        workspace: resolved; it need not exist any more.
        universe: resolved; only the line of this file. None: every line of the workspace.

    Raises:
        ConfigError: there is no program crontab.
        DiskError: it refused.
    """
    lines = _read()
    own = []
    for known in lines:
        owner = _owner(known)
        if owner and owner[0] == workspace and universe in (None, owner[1]):
            own.append(known)
    if own:
        _write([known for known in lines if known not in own])
    return [_text(known) for known in own]


def _mark(workspace: Path, universe: Path | None) -> str:
    words = ["--workspace", str(workspace)]
    return _MARK + shlex.join(words + (["--universe", str(universe)] if universe else []))


def _owner(line: bytes) -> tuple[Path, Path | None] | None:
    """Return the workspace and the universe that a line is marked for; None of another line."""
    text = _text(line).replace(r"\%", "%")
    before, mark, words = text.rpartition(_MARK)
    if not mark or before.lstrip().startswith("#"):
        return None
    try:
        _, workspace, *rest = shlex.split(words)
    except ValueError:
        return None
    return Path(workspace), Path(rest[1]) if len(rest) == 2 else None


def _others(lines: list[bytes], workspace: Path) -> tuple[str, ...]:
    """Return lines that run `lstm daily` for a workspace without being marked as ours."""
    word = shlex.quote(str(workspace))
    found = [_text(line) for line in lines if _owner(line) is None]
    return tuple(
        text
        for text in found
        if re.search(r"\blstm(cli)? daily\b", text)
        and f"--workspace {word}" in text
        and not text.lstrip().startswith("#")
    )


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape").rstrip("\n")


def _escaped(command: str) -> str:
    return command.replace("%", r"\%")  # cron takes % for a line break


def _read() -> list[bytes]:
    """Return the lines of the crontab with their ends."""
    done = _run("-l")
    if done.returncode and not _NOTHING.search(done.stderr):
        raise _refused(done)
    return done.stdout.splitlines(keepends=True) if not done.returncode else []


def _write(lines: list[bytes]) -> None:
    done = _run("-", b"".join(lines))
    if done.returncode:
        raise _refused(done)


def _run(argument: str, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = shutil.which(PROGRAM)
    if program is None:
        raise ConfigError(
            f"Expected the program {PROGRAM}. Received: none on this machine.",
            hint="install cron, or with systemd: "
            "lstm schedule systemd --output ~/.config/systemd/user",
        )
    # Its messages are read: in English.
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run([program, argument], input=content, capture_output=True, env=environment)


def _refused(done: subprocess.CompletedProcess[bytes]) -> DiskError:
    said = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
    return DiskError(
        f"The program {PROGRAM} refused: {said}. The crontab is as it was.",
        hint="ask who runs this machine, or put it in by hand: lstm schedule",
    )
