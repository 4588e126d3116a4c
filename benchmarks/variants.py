"""Train, forecast and draw with every shipped config, and tabulate how each did.

    python benchmarks/variants.py MRK --file MRK.csv

Writes results/variants.csv. A config that an existing workspace has trained
already is not trained again, so an interrupted table goes on where it stopped.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pandas as pd

from lstmcli.config import config_sha, load_config, parse_config, shipped_configs
from lstmcli.evaluation.metrics import summary
from lstmcli.pipeline.train import usable_cores
from lstmcli.store import Workspace
from lstmcli.store.runs import Manifest

OUTPUT = Path(__file__).parent.parent / "results" / "variants.csv"
LEFT_OUT = {
    "smoke",  # It shows that everything works, and forecasts nothing of use.
    "best",  # It learns from many tickers; see market30.py.
    "panel",  # It learns from many more; see panel.py.
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ticker")
    parser.add_argument("--file", required=True, help="a CSV with the ticker's bars")
    parser.add_argument("--workspace", type=Path, default=Path("data/variants"))
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    workspace = Workspace(arguments.workspace)
    lstm("fetch", arguments.ticker, "--source", "csv", "--file", arguments.file, to=workspace)
    rows = []
    for name in shipped_configs():
        if name in LEFT_OUT:
            continue
        manifest = run_of(workspace, name)
        if manifest is None:
            lstm("train", arguments.ticker, "--config", name, to=workspace)
            manifest = run_of(workspace, name)
        assert manifest is not None, f"no run of {name}"
        lstm("predict", arguments.ticker, "--run", manifest.run, to=workspace)
        lstm("plot", arguments.ticker, "--run", manifest.run, to=workspace)
        rows.append(row_of(workspace, name, manifest))
        pd.DataFrame(rows).to_csv(arguments.output, index=False, lineterminator="\n")
    print(pd.DataFrame(rows).drop(columns=["config_sha"]).to_string(index=False))


def lstm(*words: str, to: Workspace) -> None:
    """Run one command of the tool as its user would."""
    print("lstm", *words, file=sys.stderr)
    command = [sys.executable, "-m", "lstmcli", *words, "--workspace", str(to.root)]
    subprocess.run(command, check=True)


def run_of(workspace: Workspace, name: str) -> Manifest | None:
    """Return the newest run that was made with a config as it stands now."""
    wanted = load_config(name)
    for manifest in reversed(workspace.runs.manifests()):
        made = parse_config(workspace.runs.read(manifest).config, manifest.run)
        # A run keeps its tickers, and its split in sessions.
        if made.model_copy(update={"tickers": wanted.tickers, "split": wanted.split}) == wanted:
            return manifest
    return None


def row_of(workspace: Workspace, name: str, manifest: Manifest) -> dict[str, object]:
    """Return one line of the table; CRPS in % of the price, mean over the steps."""
    scores = workspace.runs.scores(manifest)
    history = workspace.runs.read(manifest).history
    best = history.loc[history.groupby(["fit", "member"])["validation_loss"].idxmin()]
    row: dict[str, object] = {
        "config": name,
        "config_sha": config_sha(load_config(name))[:12],
        "tickers": " ".join(manifest.tickers),
        "parameters": manifest.parameters,
        "epochs": int((history["epoch"] > 0).sum()),
        "best_epochs": " ".join(str(epoch) for epoch in best["epoch"]),
        "seconds": manifest.seconds,
        "cores": usable_cores(),
    }
    for block in ("validation", "test"):
        means = summary(scores[scores["block"] == block])
        for recipe, title in ((name, "crps"), ("random_walk",) * 2, ("ewma",) * 2):
            row[f"{block}_{title}"] = round(100 * means.loc[(recipe, False), "crps"], 4)
    for level in (50, 80, 95):
        row[f"test_in_{level}"] = round(100 * means.loc[(name, False), f"coverage{level}"], 1)
    return row


if __name__ == "__main__":
    main()
