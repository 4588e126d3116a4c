"""Backtest every shipped config beside every baseline on a file of many tickers.

    python benchmarks/market30.py market30.csv.gz

Writes results/market30.csv: all configs with one member and few epochs over four
yearly folds, then `best.yaml` as it is shipped over nine. Interrupted, it goes on
after the last piece that is finished; so it does after a change to this file.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from lstmcli.config import load_config, shipped_configs
from lstmcli.evaluation.comparison import Comparison, numbered, overlaps_of
from lstmcli.evaluation.metrics import skill
from lstmcli.evaluation.significance import SIGNIFICANCE
from lstmcli.evaluation.verdict import outcomes
from lstmcli.frames import IDENTITY, of_recipe
from lstmcli.report.wording import recipe_name
from lstmcli.store import Workspace
from lstmcli.store.backtests import BacktestManifest

OUTPUT = Path(__file__).parent.parent / "results" / "market30.csv"

SHORT = ("training.members=1", "training.epochs=6", "training.batch_size=256")
"""What lets ten networks finish in an hour; `best` has its own settings in the second table."""

TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "2020-2023": (
        tuple(name for name in shipped_configs() if name != "smoke"),
        ("backtest.start=2020-01-01", "backtest.end=2023-12-31", "backtest.folds=4", *SHORT),
    ),
    "2015-2023": (
        ("best",),
        ("backtest.start=2015-01-01", "backtest.end=2023-12-31", "backtest.folds=9"),
    ),
}
AGAINST = ("random_walk", "garch", "har_ridge")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="a CSV with a Ticker column")
    parser.add_argument("--workspace", type=Path, default=Path("data/market30"))
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    workspace = Workspace(arguments.workspace)
    if not workspace.bars.tickers():
        lstm("fetch", "--source", "csv", "--file", arguments.file, to=workspace)
    parts = []
    for span, (configs, settings) in TABLES.items():
        manifest = backtest_of(workspace, configs, settings)
        parts.append(table_of(workspace, manifest).assign(span=span))
        table = pd.concat(parts, ignore_index=True)
        table.insert(0, "span", table.pop("span"))
        table["cores"] = os.cpu_count()
        table["date"] = date.today().isoformat()
        table["lstmcli"] = version("lstmcli")
        table.to_csv(arguments.output, index=False, lineterminator="\n")
    print(table.to_string(index=False))


def lstm(*words: str, to: Workspace) -> None:
    """Run one command of the tool as its user would."""
    print("lstm", *words, file=sys.stderr)
    command = [sys.executable, "-m", "lstmcli", *words, "--workspace", str(to.root)]
    subprocess.run(command, check=True)


def backtest_of(
    workspace: Workspace, configs: tuple[str, ...], settings: tuple[str, ...]
) -> BacktestManifest:
    """Return the finished backtest of these configs, running it where there is none."""
    wanted = {name: load_config(name, overrides=list(settings)) for name in configs}

    def finished() -> BacktestManifest | None:
        for name in reversed(workspace.backtests.names()):
            manifest = workspace.backtests.manifest(name)
            same = manifest.record.configs.keys() == wanted.keys()
            first, last = manifest.record.folds[0][0], manifest.record.folds[-1][1]
            section = next(iter(wanted.values())).backtest
            spans = first >= str(section.start) and last <= str(section.end)
            if same and spans and len(manifest.record.folds) == section.folds:
                return manifest
        return None

    if finished() is None:
        words = [word for name in configs for word in ("--config", name)]
        words += [word for setting in settings for word in ("--set", setting)]
        lstm("backtest", *words, to=workspace)
    manifest = finished()
    assert manifest is not None, "the backtest has left no result"
    return manifest


def table_of(workspace: Workspace, manifest: BacktestManifest) -> pd.DataFrame:
    """Return one row per recipe and step; CRPS, widths and Winkler in % of the price."""
    scores = workspace.backtests.scores(manifest.backtest)
    rows = workspace.backtests.forecasts(manifest.backtest)
    of = numbered(outcomes(rows))
    overlaps = overlaps_of(of)
    table = (
        scores[scores["ticker"] != "*"]
        .groupby([*IDENTITY, "step", "metric"])["value"]
        .mean()
        .unstack()
        .reset_index()
    )
    kept = [
        *IDENTITY,
        "step",
        "crps",
        "coverage50",
        "coverage80",
        "coverage95",
        "winkler80",
        "qlike",
    ]
    table = table[kept].assign(crps=100 * table["crps"], winkler80=100 * table["winkler80"])
    words = {
        (verdict["recipe"], verdict["calibrated"], baseline): word
        for verdict in manifest.verdicts.values()
        for baseline, word in verdict["verdict"].items()
    }
    seconds = pd.Series(manifest.seconds)
    for against in AGAINST:
        relative = skill(scores, against).set_index([*IDENTITY, "step"])["value"]
        table[f"skill_{against}"] = [
            100 * relative[key] for key in table[[*IDENTITY, "step"]].itertuples(index=False)
        ]
    found = []
    for recipe, calibrated, step in table[[*IDENTITY, "step"]].itertuples(index=False):
        of_step = of[of["step"] == step]
        own = of_recipe(of_step, recipe, calibrated=calibrated)
        line: dict[str, object] = {"forecasts": len(own)}
        for against in AGAINST:
            beside = Comparison(own, of_recipe(of_step, against, calibrated=False))
            numbers, test = beside.numbers({step: overlaps[step]}, alpha=SIGNIFICANCE / 2)
            same = (recipe, calibrated) == (against, False)
            line[f"scaled_{against}"] = np.nan if same else 100 * numbers["skill"]
            line[f"t_{against}"] = np.nan if test is None or same else test.statistic
            # One word for all steps: the ladder's.
            line[f"verdict_{against}"] = words.get((recipe, calibrated, against), "")
        found.append(line)
    table = table.join(pd.DataFrame(found))
    table["seconds"] = [
        seconds[seconds.index.str.rsplit("-", n=1).str[0] == name].sum() for name in table["recipe"]
    ]
    # The tables in README name a recipe by one text.
    table["recipe"] = [
        recipe_name(recipe, calibrated=calibrated)
        for recipe, calibrated in zip(table["recipe"], table.pop("calibrated"), strict=True)
    ]
    return table.round(6)


if __name__ == "__main__":
    main()
