"""What a terminal sees: colours and bars; and what a pipe sees instead."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from command import LSTM, Lstm, environment, stored

from lstmcli.cli.audit import _Walks
from lstmcli.config import shipped_configs

pytestmark = pytest.mark.process


def on_terminal(*words: str, workspace: Path, changes: Mapping[str, str] | None = None) -> str:
    """Return what a command writes to standard error where that is a terminal."""
    parent, child = pty.openpty()
    changes = {"TERM": "xterm", "NO_COLOR": "", **(changes or {})}
    subprocess.run(
        [*LSTM, *words],
        env=environment(workspace, changes),
        cwd=workspace.parent,
        stdout=subprocess.DEVNULL,
        stderr=child,
        check=False,
    )
    os.close(child)
    said = b""
    try:
        while part := os.read(parent, 4096):
            said += part
    except OSError:  # the other end is closed
        pass
    os.close(parent)
    return said.decode().replace("\r\n", "\n")


def test_an_error_is_red_on_a_terminal(empty):
    said = on_terminal("predict", "GOOG", "--offline", workspace=empty)
    assert "\x1b[31merror:\x1b[0m There are no bars" in said
    assert "\nhint: lstm fetch GOOG" in said


def test_a_warning_is_yellow_on_a_terminal(workspace):
    said = on_terminal("predict", "GOOG", "--as-of", "2008-03-23", workspace=workspace)
    assert "\x1b[33mwarning:\x1b[0m GOOG: These weights have seen" in said


@pytest.mark.parametrize("changes", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colours_gets_none(empty, changes):
    said = on_terminal("fetch", "../x", workspace=empty, changes=changes)
    assert said.startswith("error: Expected a ticker")
    assert "\x1b" not in said


def test_errors_as_json_have_no_colours(empty):
    said = on_terminal("score", "--json", workspace=empty)
    assert "\x1b" not in said
    assert json.loads(said.splitlines()[-1])["exit_code"] == 3


def test_the_walks_of_an_audit_are_a_line_now_and_then(capsys, monkeypatch):
    walks = _Walks(200, quiet=False)
    seconds = iter(range(0, 10_000, 1))
    monkeypatch.setattr("lstmcli.cli.audit.time.monotonic", lambda: float(next(seconds)))
    for done in range(201):
        walks.show(done)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "simulated random walks: 0 of 200 …"
    assert lines[-1] == "simulated random walks: 200 of 200 …"
    assert 15 < len(lines) < 25
    _Walks(20, quiet=True).show(0)
    assert capsys.readouterr().err == ""


def test_the_walks_of_an_audit_are_one_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    walks = _Walks(20, quiet=False)
    for done in range(21):
        walks.show(done)
    walks.close()
    said = capsys.readouterr().err
    assert "20/20" in said
    assert " of 20" not in said


def test_doctor_creates_nothing(empty, lstm: Lstm):
    for words in ((), ("--json",), ("--workspace", "elsewhere")):
        assert lstm("doctor", *words).code == 0
        assert list(empty.parent.iterdir()) == []
    assert f"{empty}: none yet; lstm fetch MRK makes it" in lstm("doctor").out


def test_doctor_changes_nothing(workspace, lstm: Lstm):
    before = stored(workspace), sorted(workspace.rglob("*"))
    assert lstm("doctor").code == 0
    assert (stored(workspace), sorted(workspace.rglob("*"))) == before


def test_doctor_names_the_folders_in_which_configs_are_found(empty, lstm: Lstm):
    shipped = str(next(iter(shipped_configs().values())).parent)

    def told() -> str:
        checks = json.loads(lstm("doctor", "--json").out)["checks"]
        return next(check["value"] for check in checks if check["name"] == "configs")

    assert told() == shipped
    lstm("init", ".")
    assert told() == f"{empty.parent / 'configs'}, then {shipped}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_doctor_says_that_a_workspace_cannot_be_written(workspace, lstm: Lstm):
    workspace.chmod(0o500)
    answer = lstm("doctor")
    workspace.chmod(0o700)
    assert (answer.code, "may not be written" in answer.err) == (8, True)


def test_a_score_is_json_or_csv(empty, lstm: Lstm):
    answer = lstm("score", "--json", "--csv")
    assert (answer.code, answer.out) == (2, "")
    assert json.loads(answer.err)["hint"] == "lstm score --json, or lstm score --csv"
