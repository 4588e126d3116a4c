"""What benchmarks on a file of many tickers share: arguments, and a workspace with its bars."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from lstmcli.store import Workspace


def parsed(description: str, output: Path) -> tuple[Workspace, Path]:
    """Return the workspace with the bars of the file, and where the table goes."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("file", help="a CSV with a Ticker column")
    parser.add_argument("--workspace", type=Path, default=Path("data/market30"))
    parser.add_argument("--output", type=Path, default=output)
    arguments = parser.parse_args()
    workspace = Workspace(arguments.workspace)
    if not workspace.bars.tickers():
        lstm("fetch", "--source", "csv", "--file", arguments.file, to=workspace)
    return workspace, arguments.output


def lstm(*words: str, to: Workspace) -> None:
    """Run one command of the tool as its user would."""
    print("lstm", *words, file=sys.stderr)
    command = [sys.executable, "-m", "lstmcli", *words, "--workspace", str(to.root)]
    subprocess.run(command, check=True)
