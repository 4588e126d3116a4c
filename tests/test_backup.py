"""A workspace leaves in one file and comes back from it, and old files go."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import LSTM, Lstm, fill, hinted

from lstmcli.store import Workspace
from lstmcli.store.backups import KEPT, LIST
from lstmcli.store.locks import hold
from lstmcli.store.shipped import shipped_run

pytestmark = pytest.mark.process

GOLDEN = Path(__file__).parent / "golden_workspace"
EVENING = "2008-10-10T23:00:00+00:00"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a workspace with bars, a run, a backtest, five evenings and things to leave out."""
    data = tmp_path / "data"
    shutil.copytree(GOLDEN, data)
    (data / "charts").mkdir()
    (data / "charts" / "GOOG.png").write_bytes(b"drawn")
    (data / "bars" / ".GOOG.parquet.1.tmp").write_bytes(b"half a file of a crash")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTM_WORKSPACE", "data")
    monkeypatch.setenv("LSTM_NOW", EVENING)
    return data


def contents(root: Path) -> dict[str, bytes]:
    """Return what a backup holds of a workspace, but the ledger, whose bytes may differ."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for top in KEPT
        for path in (root / top).rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_a_restored_workspace_is_the_one_that_was_backed_up(old, lstm: Lstm):
    head = lstm("ledger", "verify").out
    made = lstm("backup", "kept.tar.gz")
    assert made.code == 0, made.err
    assert made.out.startswith("kept.tar.gz  22 files, the ledger among them, ")
    restored = lstm("restore", "kept.tar.gz", "--workspace", "other")
    assert (restored.code, restored.out) == (
        0,
        "other  22 files, the ledger among them, as of 2008-10-10 23:00 UTC\n",
    )
    other = Path("other")
    assert contents(other) == contents(old) != {}
    assert not (other / "charts").exists()
    assert lstm("ledger", "verify", "--workspace", "other").out == head
    forecast = lstm("predict", "GOOG", "--csv").out
    assert lstm("predict", "GOOG", "--csv", "--workspace", "other").out == forecast != ""


def test_equal_workspaces_give_equal_files(old, lstm: Lstm):
    assert lstm("backup", "a.tar.gz").code == lstm("backup", "b.tar.gz").code == 0
    assert Path("a.tar.gz").read_bytes() == Path("b.tar.gz").read_bytes()


def test_any_tar_program_reads_a_backup(old, lstm: Lstm):
    lstm("backup", "kept.tar.gz")
    subprocess.run(["tar", "xzf", "kept.tar.gz", "--one-top-level=plain"], check=True)
    assert contents(Path("plain")) == contents(old)
    listed = json.loads(Path("plain", LIST).read_text())
    assert set(listed["files"]) == {*contents(old), "daily.json", "ledger.sqlite"}


def test_a_backup_that_lost_a_byte_is_refused_wherever_it_was(old, lstm: Lstm):
    lstm("backup", "kept.tar.gz")
    whole = Path("kept.tar.gz").read_bytes()
    for share in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        at = int(share * len(whole))
        broken = bytearray(whole)
        broken[at] ^= 0x10
        Path("broken.tar.gz").write_bytes(broken)
        answer = lstm("restore", "broken.tar.gz", "--workspace", "other")
        changed = answer.code == 0  # a bit of the header of gzip says nothing
        assert changed == (share == 0.0 and answer.code == 0), share
        if not changed:
            assert answer.code == 6, (share, answer.err)
            assert not any(Path("other").glob("[!.]*")), share
        Path("broken.tar.gz").write_bytes(whole[:at])
        answer = lstm("restore", "broken.tar.gz", "--workspace", "other")
        assert (answer.code, answer.out) == (6, ""), share
        assert "is no whole backup" in answer.err


def _packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _file(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), b"planted"


def _link(name: str, to: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, to
    return member, b""


@pytest.mark.parametrize(
    "member",
    [
        _file("../escaped"),
        _file("/tmp/escaped"),
        _file("bars/../../escaped"),
        _file("bars/./x.json"),
        _file("bars/.lock"),
        _file("elsewhere/x"),
        _file("bars"),
        _file("bars\\..\\x"),
        _link("bars/x", "/etc/passwd", tarfile.SYMTYPE),
        _link("bars/x", "ledger.sqlite", tarfile.LNKTYPE),
        _link("bars", "", tarfile.DIRTYPE),
        _link("bars/x", "", tarfile.FIFOTYPE),
    ],
    ids=lambda member: member[0].name,
)
def test_no_file_is_written_outside_the_workspace(empty, lstm: Lstm, member):
    Path("planted.tar.gz").write_bytes(_packed(member))
    answer = lstm("restore", "planted.tar.gz")
    assert (answer.code, answer.out) == (6, "")
    assert not list(empty.parent.rglob("escaped"))
    assert not Path("/tmp/escaped").exists()
    assert not any(empty.glob("[!.]*"))


def test_a_file_that_the_list_does_not_name_is_refused(empty, lstm: Lstm):
    listed = {
        **{"format": 1, "made_at": EVENING, "version": "0.3.0"},
        **{"head": None, "files": {}},
    }
    content = json.dumps(listed).encode()
    named = tarfile.TarInfo(LIST)
    Path("more.tar.gz").write_bytes(_packed(_file("bars/X.json"), (named, content)))
    answer = lstm("restore", "more.tar.gz")
    assert answer.code == 6
    assert "bars/X.json is not what was written" in answer.err
    Path("newer.tar.gz").write_bytes(
        _packed((tarfile.TarInfo(LIST), json.dumps({**listed, "format": 2}).encode()))
    )
    answer = lstm("restore", "newer.tar.gz")
    assert answer.code == 6
    assert "Expected a backup of format 1 or older. Received: 2." in answer.err


def test_what_was_there_is_set_aside_and_never_lost(old, lstm: Lstm):
    lstm("backup", "kept.tar.gz")
    before = contents(old)
    refused = lstm("restore", "kept.tar.gz")
    assert (refused.code, refused.out) == (2, "")
    assert "--force sets aside what is there" in refused.err
    assert contents(old) == before
    (old / "bars" / "GOOG.json").write_text("changed by hand")
    changed = contents(old)
    answer = lstm("restore", "kept.tar.gz", "--force")
    assert answer.code == 0
    assert contents(old) == before
    (aside,) = old.glob("before-restore-*")
    assert str(aside.name) in answer.err
    assert contents(aside) == changed


def test_a_backup_needs_a_name_of_its_own(old, lstm: Lstm):
    assert lstm("backup", "kept.tar.gz").code == 0
    whole = Path("kept.tar.gz").read_bytes()
    answer = lstm("backup", "kept.tar.gz")
    assert (answer.code, Path("kept.tar.gz").read_bytes()) == (2, whole)
    assert lstm("backup", "kept.tar.gz", "--force").code == 0
    assert lstm("backup", "data").code == 2
    assert lstm("backup", "none/kept.tar.gz").code == 2
    assert lstm("backup", "nothing.tar.gz", "--workspace", "none").code == 2
    assert not Path("none").exists()
    assert not Path("nothing.tar.gz").exists()
    # A backup inside the workspace does not hold the one before.
    assert lstm("backup", "data/log/kept.tar.gz").code == 0
    assert lstm("backup", "data/log/kept.tar.gz", "--force").out.startswith(
        "data/log/kept.tar.gz  22 files"
    )


def test_a_ledger_that_does_not_verify_is_kept_and_told(old, lstm: Lstm):
    path = old / "ledger.sqlite"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = b"\0" * (len(content) - len(content) // 2)
    path.write_bytes(content)
    made = lstm("backup", "kept.tar.gz")
    assert made.code == 6
    assert "ledger.sqlite is damaged" in made.err
    restored = lstm("restore", "kept.tar.gz", "--workspace", "other")
    assert restored.code == 6
    assert contents(Path("other")) == contents(old)
    header = 100  # of a SQLite file; two bytes of it say how it is written
    copied = Path("other", "ledger.sqlite").read_bytes()
    assert copied[header:] == bytes(content)[header:]


def test_nothing_is_copied_while_another_process_works(old, lstm: Lstm, monkeypatch):
    monkeypatch.setattr("lstmcli.store.LOCK_PATIENCE", 0.0)
    lstm("backup", "kept.tar.gz")
    script = (
        "import sys, time; from pathlib import Path; from lstmcli.store import Workspace\n"
        "with Workspace(Path('data')).lock():\n    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([LSTM[0], "-c", script], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        for words in (
            ("backup", "again.tar.gz"),
            ("restore", "kept.tar.gz", "--force"),
            ("prune", "--keep", "1d"),
        ):
            answer = lstm(*words)
            assert (answer.code, answer.out) == (7, ""), words
            assert str(other.pid) in answer.err
        other.kill()
    assert not Path("again.tar.gz").exists()
    assert not list(old.glob("before-restore-*"))


def test_a_restore_that_is_killed_is_done_again(old, lstm: Lstm):
    (old / "log" / "large.jsonl").write_bytes(os.urandom(30_000_000))
    lstm("backup", "kept.tar.gz")
    before = contents(old)
    command = [*LSTM, "restore", "kept.tar.gz", "--workspace", "other", "-q"]
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 60
        while not list(Path("other").glob(".restore/bars/*")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert not any(Path("other").glob("[!.]*"))
    assert lstm("restore", "kept.tar.gz", "--workspace", "other").code == 0
    assert contents(Path("other")) == before
    assert not Path("other", ".restore").exists()


def test_a_full_disk_leaves_the_old_backup_and_no_half_workspace(
    old, lstm: Lstm, small_disk: Callable[[int], Path]
):
    lstm("backup", "kept.tar.gz")
    disk = small_disk(1_200_000)
    data = shutil.copytree(old, disk / "data")
    shutil.copy("kept.tar.gz", disk / "small.tar.gz")
    whole, before = (disk / "small.tar.gz").read_bytes(), contents(data)
    fill(disk)
    for words in (("backup", disk / "small.tar.gz"), ("restore", "kept.tar.gz")):
        answer = lstm(*words, "--force", "--workspace", data)
        assert (answer.code, answer.out) == (8, ""), answer.err
        assert "No space left on device" in answer.err
    assert (disk / "small.tar.gz").read_bytes() == whole
    assert contents(data) == before
    assert not list(data.glob("before-restore-*"))


def test_prune_takes_old_files_and_leaves_what_is_needed(old, lstm: Lstm, monkeypatch):
    monkeypatch.setenv("LSTM_NOW", "2008-10-10T23:00:00+00:00")
    before = contents(old)
    told = json.loads(lstm("prune", "--keep", "3d", "--dry-run", "--json").out)
    assert told["dry_run"] is True
    assert [(one["kind"], one["files"]) for one in told["pruned"]] == [("forecasts", 2)]
    assert contents(old) == before
    assert lstm("prune", "--keep", "3d").out.splitlines()[1].split()[:2] == ["forecasts", "2"]
    days = {path.name for path in (old / "forecasts").iterdir()}
    assert days == {"2008-10-07", "2008-10-08", "2008-10-09"}
    again = lstm("prune", "--keep", "3d")
    assert (again.code, again.out) == (0, "")
    # Years later the newest day, the run, the backtest and the ledger are still there.
    monkeypatch.setenv("LSTM_NOW", "2040-01-01T00:00:00+00:00")
    assert lstm("prune", "--keep", "30d").code == 0
    assert {path.name for path in (old / "forecasts").iterdir()} == {"2008-10-09"}
    assert not list((old / "charts").iterdir())
    kept = {name for name in before if not name.startswith("forecasts")}
    assert kept == {name for name in contents(old) if not name.startswith("forecasts")}
    assert lstm("ledger", "verify").code == 0


def test_prune_takes_runs_that_were_replaced_and_never_issued(old, lstm: Lstm, monkeypatch):
    (run,) = (old / "runs").iterdir()
    manifest = json.loads((run / "manifest.json").read_text())
    for stamp in ("20081001T230000Z", "20081009T230000Z"):
        name = run.name.replace("20081003T230000Z", stamp)
        shutil.copytree(run, old / "runs" / name)
        changed = {**manifest, "run": name, "created_at": f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}"}
        changed["created_at"] += "T23:00:00Z"
        (old / "runs" / name / "manifest.json").write_text(json.dumps(changed))
        Workspace(old).calibrations.of(name).write({"MRK": b"kept"})
    monkeypatch.setenv("LSTM_NOW", "2040-01-01T00:00:00+00:00")
    assert lstm("prune", "--keep", "30d").code == 0
    left = [path.name[:8] for path in sorted((old / "runs").iterdir())]
    assert left == ["20081003", "20081009"]  # that of the ledger, and the newest
    # What is kept of a run goes with it.
    assert [run[:8] for run in Workspace(old).calibrations.runs()] == ["20081009"]


def test_prune_takes_interrupted_work_that_nobody_does(old, lstm: Lstm, monkeypatch):
    (backtest,) = (old / "backtests").iterdir()
    half = old / "backtests" / "20081016T000000Z-half"
    half.mkdir()
    shutil.copy(backtest / "plan.json", half)
    monkeypatch.setenv("LSTM_NOW", "2040-01-01T00:00:00+00:00")
    with hold(half, patience=0, hint=""):
        lstm("prune", "--keep", "30d")
        assert half.exists()
    lstm("prune", "--keep", "30d")
    assert not half.exists()
    assert backtest.exists()


def test_prune_takes_what_evenings_keep_of_runs_that_are_gone(old, lstm: Lstm, monkeypatch):
    store, (known,) = Workspace(old).calibrations, Workspace(old).runs.manifests()
    every = {known.run, shipped_run().manifest.run, "20081001T000000Z-gone"}
    for run in every:
        store.of(run).write({"MRK": b"kept"})
    assert lstm("prune", "--keep", "30d").code == 0
    assert set(store.runs()) == every  # none of them is old
    monkeypatch.setenv("LSTM_NOW", "2040-01-01T00:00:00+00:00")
    assert lstm("prune", "--keep", "30d").code == 0
    assert set(store.runs()) == every - {"20081001T000000Z-gone"}


def test_prune_needs_an_age(old, lstm: Lstm):
    assert lstm("prune").code == 2
    for wrong in ("90", "3w", "-1d", ""):
        answer = lstm("prune", "--keep", wrong)
        assert answer.code == 2, wrong
    assert hinted(lstm("prune", "--keep", "90")) == ["lstm prune --keep 90d"]
    none = lstm("prune", "--keep", "90d", "--workspace", "none")
    assert (none.code, none.out, Path("none").exists()) == (0, "", False)


def test_prune_deletes_nothing_where_the_ledger_cannot_be_read(old, lstm: Lstm, monkeypatch):
    monkeypatch.setenv("LSTM_NOW", "2040-01-01T00:00:00+00:00")
    Workspace(old).ledger.path.write_bytes(b"no database")
    before = contents(old)
    assert lstm("prune", "--keep", "30d").code == 6
    assert contents(old) == before
