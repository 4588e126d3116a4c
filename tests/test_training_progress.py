"""What a training says about itself: its work, its time to come, its stages and epochs."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from command import LSTM, TINY, environment

from lstmcli.cli.training_progress import TrainingProgress
from lstmcli.forecasters.run_recipe import Work
from lstmcli.forecasters.training import Epoch, TrainingConfig
from lstmcli.report.wording import duration, time_to_come, training_work


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


WORK = Work(3, least=5, most=50)
PANEL = Work(6, least=15, most=15, keeps_best=False)


def epoch(
    number: int, *, seconds: float = 1.0, member: int = 1, fit: str = "scored", together: int = 1
) -> Epoch:
    return Epoch(fit, member, 3, number, 50, 0.99, 0.98, number, seconds, together)


def test_a_time_is_said_as_people_say_it():
    said = {1: "5 seconds", 22: "20 seconds", 58: "a minute", 130: "2 minutes", 3290: "55 minutes"}
    said |= {3600: "an hour", 5500: "1.5 hours", 7300: "2 hours"}
    assert {seconds: duration(seconds) for seconds in said} == said


def test_the_work_is_said_before_and_the_time_where_it_is_known():
    assert training_work(WORK, 2, 7, None) == (
        "training 6 networks of at most 50 epochs on 7 tickers; the second epoch tells how long it "
        "takes"
    )
    assert training_work(Work(1, 1, 1), 1, 1, None) == (
        "training 1 network of at most 1 epoch on 1 ticker; the first epoch tells how long it takes"
    )
    assert training_work(PANEL, 2, 7, None).startswith("training 12 networks of 15 epochs on 7 ")
    assert training_work(WORK, 2, 7, (130, "r1")) == "this takes about 2 minutes, as r1 did"


def test_the_time_to_come_counts_early_stopping():
    said = time_to_come(1.0, networks=6, least=5, most=50, limit=None)
    assert said == (
        "30 seconds to 5 minutes: 6 networks of 5 to 50 epochs of 1 s; scoring and saving come on "
        "top"
    )
    assert time_to_come(1.0, networks=6, least=5, most=50, limit=120).startswith(
        "30 seconds to 2 m"
    )
    assert time_to_come(0.5, networks=2, least=20, most=20, limit=None).startswith(
        "about 20 seconds of epochs (0.5 s each);"
    )


def test_the_time_is_measured_on_the_second_epoch_and_said_once(capsys):
    with TrainingProgress(WORK, TrainingConfig(), quiet=False) as progress:
        progress.on_stage("loading TensorFlow")
        progress.on_epoch(epoch(1, seconds=20.0))  # it compiles, too
        for number in range(2, 5):
            progress.on_epoch(epoch(number))
        progress.on_stage("scoring")
        progress.on_epoch(epoch(2, fit="final", member=2))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "loading TensorFlow …"
    assert lines[1].startswith("scored fit, network 1/3: epoch 1 loss 0.9900, validation 0.9800")
    assert [line for line in lines if "on top" in line] == [
        time_to_come(1.0, networks=6, least=5, most=50, limit=None)
    ]
    assert lines[-1] == "scoring …"


def test_nothing_is_called_best_where_the_last_epoch_is_kept(capsys):
    with TrainingProgress(PANEL, TrainingConfig(), quiet=False) as progress:
        progress.on_epoch(epoch(1))
    said = capsys.readouterr().err
    assert ", validation 0.9800, about " in said
    assert "best" not in said


def test_members_side_by_side_are_counted_each_and_share_the_time(capsys):
    with TrainingProgress(WORK, TrainingConfig(), quiet=False) as progress:
        for number, member in [(1, 2), (1, 1)]:  # whichever is first
            progress.on_epoch(epoch(number, member=member, together=2))
            assert progress._done(epoch(number, member=member, together=2)) == 3 - member
        for number in range(2, 51):
            progress.on_epoch(epoch(number, member=1, together=2))
        progress.on_epoch(epoch(1, member=3, together=2))
        assert progress._done(epoch(1, member=3, together=2)) == 50 + 1 + 1
    said = capsys.readouterr().err
    # 6 networks of 50 epochs of 1 s; 52 are done.
    assert "network 3/3: epoch 1" in said
    assert "at most 124 s left" in said
    assert time_to_come(0.5, networks=6, least=5, most=50, limit=None) in said


def test_quiet_says_nothing(capsys):
    with TrainingProgress(WORK, TrainingConfig(), quiet=True) as progress:
        progress.on_stage("loading TensorFlow")
        progress.on_epoch(epoch(1))
        progress.on_epoch(epoch(2))
    assert capsys.readouterr().err == ""


def test_a_stage_does_not_show_the_last_epoch(monkeypatch):
    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", stream)
    with TrainingProgress(WORK, TrainingConfig(), quiet=False) as progress:
        progress.on_epoch(epoch(1))
        progress.on_epoch(epoch(2))
        assert "epoch 1: 0.9900, validation 0.9800" in stream.getvalue()
        written = len(stream.getvalue())
        progress.on_stage("scoring")
    after = stream.getvalue()[written:]
    after = after[after.index("scoring …") :]
    assert "epoch" not in after
    assert "scored fit" not in after


def on_terminal(*words: str, workspace: Path, columns: int) -> str:
    """Run a command whose three streams are a terminal; return what it showed, without codes."""
    ours, theirs = pty.openpty()
    changes = {"TERM": "xterm", "COLUMNS": str(columns)}
    process = subprocess.Popen(
        [*LSTM, *words],
        env=environment(workspace, changes),
        cwd=workspace.parent,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.process
def test_a_training_on_a_terminal_shows_stages_time_colours_and_the_next_step(workspace):
    shown = on_terminal(
        "train", "SIM", *TINY, "--set", "training.epochs=3", workspace=workspace, columns=80
    )
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(r"training 2 networks of at most 3 epochs on 1 ticker; the second", plain)
    assert re.search(r"about 5 seconds of epochs \([\d.]+ s each\); scoring and saving", plain)
    stages = ["loading TensorFlow", "scoring", "fitting up to the last bar", "calibrating"]
    assert [plain.index(f"⠋ {stage} …") for stage in stages] == sorted(
        plain.index(f"⠋ {stage} …") for stage in stages
    )
    assert re.search(r"scored fit 1/1 \S*━\S* epoch \d: \d\.\d{4}, validation \d\.\d{4}", plain)
    assert re.search(r"\nnext: lstm predict SIM\n", plain)
    # A word of the verdict has its colour, after the numbers of its row.
    assert re.search(r"\nhar +[-+\d.]+ .*\x1b\[\d+m[ \w]+\x1b\[0m\n", shown)
    result = plain[plain.index("smoke on SIM") : plain.index("saved ")]
    assert max(map(len, result.splitlines())) <= 80


@pytest.mark.process
def test_a_second_training_of_a_config_says_how_long_the_first_one_took(lstm, workspace):
    (run,) = json.loads(lstm("runs", "--json").out)["runs"]
    answer = lstm("train", *TINY, "--set", "seed=9")
    assert answer.code == 0
    expected = f"this takes about {duration(run['seconds'])}, as {run['run']} did"
    assert expected in answer.err.splitlines()
    other = lstm("train", "SIM", *TINY, "--set", "model.units=5")
    assert "this takes about" not in other.err
    assert "training 2 networks of at most 1 epoch on 1 ticker;" in other.err
