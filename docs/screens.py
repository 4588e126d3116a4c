"""Write what the program prints into the pages: `make screens`, some two minutes.

A comment above a block of text names the command whose screen it is:
`<!-- screen: lstm predict ^GSPC -->`. The commands work on the sample, after `make demo`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent

_SCREEN = re.compile(r"(<!-- screen: (?P<line>[^\n]+) -->\n```text\n)(?P<text>.*?)(```)", re.DOTALL)


def pages() -> list[Path]:
    """Return README.md and the pages of these docs."""
    own = (ROOT / "docs").rglob("*.md")
    return [ROOT / "README.md", *sorted(page for page in own if "_build" not in page.parts)]


def screens(page: Path) -> dict[str, str]:
    """Return the screens of a page by their command."""
    return {found["line"]: found["text"] for found in _SCREEN.finditer(page.read_text("utf-8"))}


def demo() -> list[str]:
    """Return the command lines of `make demo`."""
    command = ["make", "--dry-run", "--no-print-directory", "demo", "-o", ".venv/.ready"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [f"lstm {line}" for line in re.findall(r"^\S+/bin/lstm (.*)$", lines, re.MULTILINE)]


def screen(line: str, folder: Path) -> str:
    """Return what a command prints in a folder, on a terminal of 80 columns."""
    # A clock or a workspace of whoever asks is not that of the screen.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LSTM_")}
    done = subprocess.run(
        [sys.executable, "-m", "lstmcli", *shlex.split(line)[1:]],
        cwd=folder,
        env={**plain, "PYTHONPATH": str(ROOT), "LSTM_WORKSPACE": "demo", "COLUMNS": "80"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{line} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def same(first: str, second: str) -> bool:
    """Return whether two screens say the same but for numbers, names of runs and line breaks."""
    return _words(first) == _words(second)


def _words(text: str) -> list[str]:
    text = re.sub(r"\d{8}T\d{6}Z-\S+", "RUN", text)
    return re.sub(r"[+−-]?\d[\d,.]*", "0", text).split()


def main() -> None:
    lines = dict.fromkeys(line for page in pages() for line in screens(page))
    with tempfile.TemporaryDirectory() as name:
        for line in demo():
            screen(line, Path(name))
        shown = {line: screen(line, Path(name)) for line in lines}
    for page in pages():
        text = page.read_text("utf-8")
        new = _SCREEN.sub(lambda found: found[1] + shown[found["line"]].rstrip() + "\n```", text)
        if new != text:
            page.write_text(new, "utf-8")


if __name__ == "__main__":
    main()
