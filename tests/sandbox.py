"""The sandbox of a systemd service, imitated from the text of its unit.

A mount namespace of its own, everything read-only but what the unit names, a private /tmp
where it says so, and none of the variables of a login. What capabilities and system calls
the unit forbids is not imitated.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

SHOWN = Path("/srv")
"""Where a folder is shown inside: one outside /tmp, as of a user."""

# The mounts of the kernel stay, as ProtectSystem=strict leaves them.
_SCRIPT = """
set -e
folder=$1 private=$2 writable=$3
shift 3
mount --bind "$folder" {shown}
if [ "$private" = yes ]; then
  mount -t tmpfs tmpfs /tmp
  mount -t tmpfs tmpfs /var/tmp
fi
kept="$writable"
if [ "$private" = yes ]; then kept="$kept /tmp /var/tmp"; fi
for path in $writable; do mount --bind "$path" "$path"; done
while read -r _ _ _ _ mounted _; do
  case " $kept " in *" $mounted "*) continue ;; esac
  case "$mounted" in /dev | /dev/* | /proc | /proc/* | /sys | /sys/*) continue ;; esac
  mount -o remount,bind,ro "$mounted"
done < /proc/self/mountinfo
cd /
exec "$@"
"""


def may_unshare() -> bool:
    """Return whether this process may have a mount namespace of its own."""
    if os.geteuid() or not shutil.which("unshare") or not SHOWN.is_dir():
        return False
    line = ["unshare", "-m", "mount", "--bind", "/usr", str(SHOWN)]
    return subprocess.run(line, capture_output=True).returncode == 0


def settings_of(unit: str) -> dict[str, list[str]]:
    """Return the words of each setting of a unit, by name; a unit sets each once here."""
    lines = [line.partition("=") for line in unit.splitlines() if "=" in line]
    return {name: shlex.split(words.replace("%%", "%")) for name, _, words in lines}


def run_service(
    unit: str, *, folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run what a service runs, `folder` at `SHOWN`, as systemd would let it run.

    Args:
        environment: variables that the test needs beside those of the unit.
    """
    settings = settings_of(unit)
    stated = [*settings.get("Environment", []), "HOME=/root", f"PATH={os.defpath}"]
    line = ["env", "-i", *stated, *(f"{name}={value}" for name, value in environment.items())]
    return run_inside(
        [*line, *(word.replace("$$", "$") for word in settings["ExecStart"])],
        folder=folder,
        private=settings.get("PrivateTmp", ["no"])[0],
        writable=settings.get("ReadWritePaths", []),
    )


def run_inside(
    line: list[str], *, folder: Path, private: str, writable: list[str]
) -> subprocess.CompletedProcess[str]:
    """Run a command in a namespace where only some paths are writable."""
    script = _SCRIPT.format(shown=SHOWN)
    inside = ["bash", "-c", script, "bash", str(folder), private, " ".join(writable), *line]
    return subprocess.run(["unshare", "-m", *inside], capture_output=True, text=True, timeout=300)
