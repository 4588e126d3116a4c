"""One process at a time, also where the system's locks do not reach and hosts differ."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command import environment

from lstmcli.errors import LockError
from lstmcli.store import Workspace, lease
from lstmcli.store.files import write_atomically
from lstmcli.store.ledger_database import open_ledger
from lstmcli.store.locks import hold

pytestmark = pytest.mark.process

ON_A_NETWORK_DISK = """
import fcntl, socket, sys
fcntl.flock = lambda *_: None  # what a lock of the system does there: nothing
socket.gethostname = lambda: sys.argv[1]
"""

COMMAND = f"{ON_A_NETWORK_DISK}\nfrom lstmcli.cli import run\nsys.exit(run(sys.argv[2:]))"

HOLDS = f"""{ON_A_NETWORK_DISK}
from pathlib import Path
from lstmcli.errors import LstmError
from lstmcli.store import Workspace
workspace = Workspace(Path(sys.argv[2]))
with workspace.lock():
    print("held", flush=True)
    sys.stdin.readline()
    try:
        workspace.write(workspace.last_day, b"mine")
    except LstmError as error:
        print(error.exit_code, error, flush=True)
"""

CONTENDS = f"""{ON_A_NETWORK_DISK}
from pathlib import Path
from lstmcli.errors import LockError
from lstmcli.store.locks import hold
print("ready", flush=True)
sys.stdin.readline()
try:
    with hold(Path(sys.argv[2]), patience=0, hint="wait"):
        print("holds", flush=True)
        sys.stdin.readline()
except LockError:
    print("waits", flush=True)
"""


def begin(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a script as a process that waits for lines on its standard input."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@contextmanager
def held_by(host: str, data: Path) -> Iterator[subprocess.Popen[str]]:
    process = begin(HOLDS, host, data)
    try:
        assert process.stdout.readline() == "held\n", process.communicate()
        yield process
    finally:
        process.kill()
        process.communicate()


def fetch(host: str, data: Path) -> subprocess.CompletedProcess[str]:
    """Run `lstm fetch` on a host, after a patience of nearly nothing."""
    script = COMMAND.replace(
        "sys.exit", "import lstmcli.store\nlstmcli.store.LOCK_PATIENCE = 0.3\nsys.exit"
    )
    command = [sys.executable, "-c", script, host, "fetch", "GOOG", "--source", "sample"]
    return subprocess.run(
        command, env=environment(data), capture_output=True, text=True, timeout=60, check=False
    )


def grow_old(path: Path) -> None:
    """Give a file the stamp of one that nobody has touched for longer than a lease lasts."""
    before = path.stat().st_mtime - lease.EXPIRES_AFTER - 1
    os.utime(path, (before, before))


def test_of_two_hosts_on_one_disk_one_works_and_the_other_names_it(empty):
    with held_by("alpha", empty) as process:
        answer = fetch("beta", empty)
        assert answer.returncode == 7
        assert f"data is in use by process {process.pid} on alpha." in answer.stderr
        assert "if alpha is off, the folder is free 2 minutes later" in answer.stderr
        assert not list(empty.glob("bars/*"))
        process.communicate("\n", timeout=30)
    assert (empty / "daily.json").read_bytes() == b"mine"
    assert fetch("beta", empty).returncode == 0
    assert not (empty / lease.NAME).exists()


def test_a_killed_holder_of_another_host_is_followed_when_its_lease_has_expired(empty):
    with held_by("alpha", empty):
        pass
    assert fetch("beta", empty).returncode == 7
    grow_old(empty / lease.NAME)
    assert fetch("beta", empty).returncode == 0


def test_a_killed_holder_of_the_same_host_is_followed_at_once(empty):
    with held_by("alpha", empty):
        pass
    assert fetch("alpha", empty).returncode == 0


def test_a_holder_that_was_suspended_writes_nothing_over_the_next_ones_files(empty):
    with held_by("alpha", empty) as suspended:
        grow_old(empty / lease.NAME)
        with held_by("beta", empty) as next_one:
            said, _ = suspended.communicate("\n", timeout=30)
            assert said.startswith(f"7 {empty} was taken over by process {next_one.pid}"), said
            assert not (empty / "daily.json").exists()
            assert lease.holder_of(empty).host == "beta"  # the first one's end has left it
            next_one.communicate("\n", timeout=30)
    assert (empty / "daily.json").read_bytes() == b"mine"


@pytest.mark.parametrize("left", ["expired", "none"])
def test_of_many_that_come_at_once_one_holds(empty, left):
    empty.mkdir()
    if left == "expired":
        with held_by("alpha", empty):
            pass
        grow_old(empty / lease.NAME)
    processes = [begin(CONTENDS, f"host{n}", empty) for n in range(6)]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        said = [process.stdout.readline() for process in processes]
        assert sorted(said) == ["holds\n", *["waits\n"] * 5]
    finally:
        for process in processes:
            process.communicate("\n", timeout=30)


def test_a_lost_lease_stops_the_ledger_too(tmp_path):
    workspace = Workspace(tmp_path / "data")
    other = lease.Holder("beta", 1, "", "other")
    with workspace.lock():
        (workspace.root / lease.NAME).write_text(json.dumps(vars(other)))
        with (
            pytest.raises(LockError, match="taken over by process 1 on beta"),
            open_ledger(workspace.ledger.path, write=True),
        ):
            pass
    assert not workspace.ledger.exists()
    write_atomically(tmp_path / "free", b"")  # nothing is held any more


def test_a_lease_is_renewed(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "RENEWED_EVERY", 0.02)
    with hold(tmp_path, patience=0, hint="wait"):
        grow_old(tmp_path / lease.NAME)
        old = (tmp_path / lease.NAME).stat().st_mtime
        deadline = time.monotonic() + 10
        while (tmp_path / lease.NAME).stat().st_mtime == old:
            assert time.monotonic() < deadline, "it was not renewed"
            time.sleep(0.02)


def test_the_number_that_an_older_version_left_holds_nothing(tmp_path):
    (tmp_path / lease.NAME).write_text("1")
    with hold(tmp_path, patience=0, hint="wait"):
        assert lease.holder_of(tmp_path).pid == os.getpid()


def test_half_a_lease_holds_until_it_has_expired(tmp_path):
    (tmp_path / lease.NAME).write_text('{"host": ')
    with pytest.raises(LockError, match="in use by another process"):
        hold(tmp_path, patience=0, hint="wait").__enter__()
    grow_old(tmp_path / lease.NAME)
    with hold(tmp_path, patience=0, hint="wait"):
        pass


def test_a_takeover_that_was_killed_stops_nobody_for_long(tmp_path):
    other = lease.Holder("beta", 1, "", "other")
    for name in (lease.NAME, ".lock-takeover"):
        (tmp_path / name).write_text(json.dumps(vars(other)))
        grow_old(tmp_path / name)
    with hold(tmp_path, patience=5, hint="wait"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_disk_without_locks_of_the_system_has_the_lease(tmp_path, monkeypatch):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with hold(tmp_path, patience=0, hint="wait"):
        assert lease.holder_of(tmp_path).pid == os.getpid()


def test_of_two_that_find_one_lease_expired_the_later_one_sees_the_new_lease(tmp_path, monkeypatch):
    left, new = lease.Holder("alpha", 1, "", "left"), lease.Holder("beta", 1, "", "new")
    (tmp_path / lease.NAME).write_text(json.dumps(vars(left)))
    grow_old(tmp_path / lease.NAME)
    make = lease._make

    def after_the_other_one(path: Path, content: bytes) -> bool:
        if path.name != lease.NAME:  # it has looked, and is about to take over
            (tmp_path / lease.NAME).write_text(json.dumps(vars(new)))
        return make(path, content)

    monkeypatch.setattr(lease, "_make", after_the_other_one)
    assert lease.take(tmp_path) is None
    assert lease.holder_of(tmp_path) == new
