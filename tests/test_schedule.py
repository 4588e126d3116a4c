"""What makes cron and systemd run `lstm daily`, and whether it can run there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import pandas as pd
import pytest
import sandbox
from command import Lstm, hinted
from evenings import TODAY, issued
from year import TICKERS

pytestmark = pytest.mark.process


def test_the_crontab_runs_after_every_close_of_the_year(data, lstm: Lstm, monkeypatch):
    import exchange_calendars

    monkeypatch.setenv("LSTM_NOW", "2026-01-02T12:00:00+00:00")
    for zone in ("America/New_York", "Europe/Berlin", "Asia/Tokyo", "UTC"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        answer = lstm("schedule", "-q")
        assert answer.code == 0
        lines = [line.split(maxsplit=5) for line in answer.out.splitlines() if line[0] != "#"]
        runs = set()
        for minute, hours, _, _, days, command in lines:
            assert command.startswith("/")
            assert f"--workspace {data.resolve()}" in command
            first, _, last = days.partition("-")
            wanted = (
                range(int(first), int(last) + 1) if last else [int(day) for day in days.split(",")]
            )
            runs |= {
                (int(day), int(hour), int(minute)) for day in wanted for hour in hours.split(",")
            }
        with warnings.catch_warnings():  # it uses what pandas 3 has deprecated
            warnings.simplefilter("ignore")
            closes = exchange_calendars.get_calendar("XNYS", start="2025-12-01").closes
            every = list(closes.loc["2026-01-05":"2026-12-20"])
        for close in every:
            local = close.tz_convert(zone)
            later = [(local + pd.Timedelta(wait, "min")) for wait in range(45, 12 * 60)]
            hits = [at for at in later if (at.isoweekday() % 7, at.hour, at.minute) in runs]
            assert hits, (zone, close)
            assert hits[0] - local < pd.Timedelta("4h")
    monkeypatch.undo()
    time.tzset()


def test_the_units_of_systemd_are_sound(data, lstm: Lstm, tmp_path):
    folder = tmp_path / "units"
    answer = lstm("schedule", "systemd", "--output", str(folder))
    assert answer.code == 0
    service, timer = ((folder / f"lstm-daily.{kind}").read_text() for kind in ("service", "timer"))
    assert "Type=oneshot" in service
    assert f"ReadWritePaths={data.resolve()}" in service
    assert "Persistent=true" in timer
    assert "RandomizedDelaySec=" in timer
    assert "OnCalendar=Mon,Tue,Wed,Thu,Fri 16:45:00 America/New_York" in timer


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_finds_no_fault_in_its_units(data, lstm: Lstm, tmp_path):
    folder = tmp_path / "units"
    assert lstm("schedule", "systemd", "--output", str(folder)).code == 0
    units = [str(folder / f"lstm-daily.{kind}") for kind in ("service", "timer")]
    line = ["systemd-analyze", "verify", *units]
    done = subprocess.run(line, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


needs_unshare = pytest.mark.skipif(
    not sandbox.may_unshare(), reason="this process may not have a mount namespace of its own"
)
LSTM = str(Path(sys.executable).parent / "lstm")


def variables(yahoo, data: Path) -> dict[str, str]:
    """Return what an imitated service needs to see Yahoo on loopback, and no more."""
    found = yahoo.environment(data.parent)
    del found["XDG_CACHE_HOME"]
    # Yahoo's certificate, inside the namespace; and this checkout, if it is not the installed one.
    found = {
        name: value.replace(str(data.parent), str(sandbox.SHOWN)) for name, value in found.items()
    }
    path = os.environ.get("PYTHONPATH")
    return found | ({"PYTHONPATH": path} if path else {})


def unit_of(workspace: Path, folder: Path) -> str:
    """Return the service that `lstm schedule systemd` prints where a service would see it."""
    line = [LSTM, "schedule", "systemd", "-q", "--workspace", str(workspace)]
    printed = sandbox.run_inside(line, folder=folder, private="no", writable=[])
    assert printed.returncode == 0, printed.stderr
    return printed.stdout.partition("# lstm-daily.timer")[0]


@needs_unshare
def test_the_service_runs_in_its_sandbox(data, yahoo):
    at = sandbox.SHOWN / "data"
    unit = unit_of(at, data.parent)
    assert sandbox.settings_of(unit)["ReadWritePaths"] == [str(at)]
    done = sandbox.run_service(unit, folder=data.parent, environment=variables(yahoo, data))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert issued(data) == [(ticker, f"{TODAY:%Y-%m-%d}") for ticker in ("MDT", "MRK")]
    assert (data / ".cache" / "matplotlib").is_dir()


@needs_unshare
@pytest.mark.parametrize("shared", ["/tmp", "/var/tmp"])
def test_the_service_runs_in_its_sandbox_where_all_can_write(data, yahoo, shared):
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        at = shutil.copytree(data, Path(folder) / "data")
        unit = unit_of(at, data.parent)
        done = sandbox.run_service(unit, folder=data.parent, environment=variables(yahoo, data))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert len(issued(at)) == len(TICKERS)


def test_the_service_asks_for_nothing_that_the_manager_of_a_user_may_not_do(data, lstm: Lstm):
    unit = lstm("schedule", "systemd", "-q").out
    # Each takes a capability away, which ends such a service with 218/CAPABILITIES.
    for option in ("PrivateDevices", "ProtectClock", "ProtectKernelLogs", "ProtectKernelModules"):
        assert option not in unit


@pytest.mark.parametrize("form", ["cron", "systemd"])
def test_a_schedule_without_a_workspace_says_what_comes_first(empty: Path, lstm: Lstm, form):
    Path("list.txt").write_text("MRK\n")
    for words in ((), ("--universe", "list.txt"), ("--calendar", "XNYS")):
        answer = lstm("schedule", form, *words)
        assert (answer.code, answer.out) == (3, "")
        assert hinted(answer) == ["lstm fetch MRK --workspace data"]
        assert not empty.exists()


# What a crontab program does: -l prints, - replaces, and the end of the last line is asked for.
CRONTAB = """#!/bin/sh
file={folder}/crontab-of-root
case "$1" in
  -l) [ -f "$file" ] || {{ echo "no crontab for root" >&2; exit 1; }}
      cat "$file" ;;
  -)  cat > "$file.new"
      if [ -n "$(tail -c 1 "$file.new")" ]; then
        echo "new crontab file is missing newline before EOF, can't install." >&2
        exit 1
      fi
      mv "$file.new" "$file"; echo written >> {folder}/writes ;;
  *)  exit 2 ;;
esac
"""


class Cron:
    """The crontab of a user, kept by a program `crontab` on the path."""

    def __init__(self, folder: Path) -> None:
        self.file, self.log = folder / "crontab-of-root", folder / "writes"

    @property
    def text(self) -> bytes:
        return self.file.read_bytes()

    @property
    def writes(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def cron(tmp_path: Path, monkeypatch) -> Cron:
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "crontab"
    program.write_text(CRONTAB.format(folder=folder))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return Cron(folder)


OTHERS = b"MAILTO=me\n# my own\n\t5 4 * * * echo 100\\% \xff  \n\n@reboot true # lstm schedule\n"


def test_the_line_is_installed_once_and_removed(data, cron: Cron, lstm: Lstm):
    cron.file.write_bytes(OTHERS)
    first = lstm("schedule", "--install")
    assert (first.code, first.err) == (0, "installed\n")
    line = first.out.encode()
    assert cron.text == OTHERS + line
    assert line.count(b"\n") == 1
    assert f"daily -q --workspace {data.resolve()} 2>> ".encode() in line
    again = lstm("schedule", "--install")
    assert (again.code, again.out) == (0, first.out)
    assert "already" in again.err
    assert (cron.text, cron.writes) == (OTHERS + line, 1)

    removed = lstm("schedule", "--remove")
    assert (removed.code, removed.out) == (0, first.out)
    assert (cron.text, cron.writes) == (OTHERS, 2)
    nothing = lstm("schedule", "--remove")
    assert (nothing.code, nothing.out, cron.writes) == (0, "", 2)
    assert "no such line" in nothing.err


def test_a_line_of_another_time_is_replaced_where_it_stands(data, cron: Cron, lstm: Lstm):
    assert lstm("schedule", "--install", "-q").err == ""
    ours = cron.text
    after = b"1 2 * * * true\n"
    cron.file.write_bytes(OTHERS + b"0 0" + ours[ours.index(b" * *") :] + after + ours)
    assert lstm("schedule", "--install", "-q").code == 0
    assert cron.text == OTHERS + ours + after


def test_each_workspace_and_each_list_has_a_line_of_its_own(data, cron: Cron, lstm: Lstm):
    other = shutil.copytree(data, data.parent / "100% ours, it's")
    Path("us.txt").write_text("MRK\n")
    lines = [
        lstm("schedule", "--install", "-q", *words).out
        for words in ((), ("--universe", "us.txt"), ("--workspace", str(other)))
    ]
    assert cron.text.decode() == "".join(lines)
    assert lstm("schedule", "--install", "-q", "--workspace", str(other)).out == lines[2]
    assert cron.text.decode() == "".join(lines)
    shutil.rmtree(other)  # the line of a workspace that is gone can go, too
    assert lstm("schedule", "--remove", "-q", "--workspace", str(other)).out == lines[2]
    assert lstm("schedule", "--remove", "-q", "--universe", "us.txt").out == lines[1]
    assert cron.text.decode() == lines[0]
    lstm("schedule", "--install", "-q", "--universe", "us.txt")
    assert lstm("schedule", "--remove", "-q").out == lines[0] + lines[1]
    assert cron.text == b""


def test_the_installed_line_runs_in_a_shell(data, yahoo, cron: Cron, lstm: Lstm):
    odd = shutil.move(data, data.parent / "100% ours, it's")
    line = lstm("schedule", "--install", "-q", "--workspace", str(odd)).out
    # cron cuts five fields off, reads \% as %, and gives the rest to sh.
    command = line.split(maxsplit=5)[5].replace("\\%", "%")
    done = subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, "LSTM_WORKSPACE": "nowhere"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (odd / "cron.log").read_text() == ""
    assert len(issued(odd)) == len(TICKERS)


def test_a_line_that_was_put_in_by_hand_is_named_and_left(data, cron: Cron, lstm: Lstm):
    by_hand = f"45 22 * * 1-5 /opt/lstm daily -q --workspace {data.resolve()}\n"
    cron.file.write_text(by_hand)
    answer = lstm("schedule", "--install", "-q")
    assert f"another line of your crontab runs the same: {by_hand}" in answer.err
    assert cron.text.decode() == by_hand + answer.out


def test_a_crontab_that_refuses_or_is_missing_is_an_error(
    data, cron: Cron, lstm: Lstm, monkeypatch
):
    program = cron.file.parent / "crontab"
    program.write_text(
        "#!/bin/sh\necho 'You (root) are not allowed to use this program' >&2\nexit 1"
    )
    for option in ("--install", "--remove"):
        answer = lstm("schedule", option)
        assert (answer.code, answer.out) == (8, "")
        assert "not allowed" in answer.err
        assert hinted(answer)
    monkeypatch.setenv("PATH", "/nowhere")
    for option in ("--install", "--remove"):
        answer = lstm("schedule", option)
        assert (answer.code, answer.out) == (2, "")
        assert hinted(answer) == ["lstm schedule systemd --output ~/.config/systemd/user"]


@pytest.mark.parametrize(
    "words",
    [
        ("systemd", "--install"),
        ("systemd", "--remove"),
        ("--install", "--remove"),
        ("--remove", "--calendar", "XNYS"),
        ("--output", "units"),
        ("--install", "--output", "units"),
    ],
)
def test_options_that_cannot_apply_together_are_refused(data, cron: Cron, lstm: Lstm, words):
    answer = lstm("schedule", *words)
    assert (answer.code, answer.out, cron.writes) == (2, "", 0)
    assert hinted(answer)
    assert not Path("units").exists()
