"""Backtest every shipped config beside every baseline on a file of many tickers.

    python benchmarks/market30.py market30.csv.gz

Writes results/market30.csv: all configs with one member and few epochs, `best.yaml` as it
is shipped, all baselines and `har_ridge` as version 0.1 had it, over eight yearly folds,
2016 to 2023. Interrupted, it goes on after the last piece that is finished; so it does
after a change to this file.
"""

from __future__ import annotations

import os
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from har_ridge_01 import HarRidge01
from market_file import lstm, parsed

from lstmcli.config import load_config, shipped_configs
from lstmcli.evaluation.backtest import calibrate_folds
from lstmcli.evaluation.comparison import KEYS, Comparison, numbered, overlaps_of
from lstmcli.evaluation.metrics import qlike, tails, winkler
from lstmcli.evaluation.significance import SIGNIFICANCE
from lstmcli.evaluation.tasks import FoldTask
from lstmcli.evaluation.verdict import outcomes
from lstmcli.frames import COVERAGES, IDENTITY, of_recipe
from lstmcli.pipeline.backtest_plan import plan_backtest
from lstmcli.pipeline.session import Session
from lstmcli.report.wording import recipe_name
from lstmcli.store import Workspace
from lstmcli.store.backtests import BacktestManifest

OUTPUT = Path(__file__).parent.parent / "results" / "market30.csv"

AS_SHIPPED = ("best",)

ELSEWHERE = ("smoke", "panel")
"""Configs without a row here: a trial in seconds, and one that results/panel.csv judges."""

SHORT = ("training.members=1", "training.epochs=6", "training.batch_size=256")
"""What lets ten networks finish in an hour and a half; `best` keeps its own settings."""

FOLDS = ("backtest.start=2016-01-01", "backtest.end=2023-12-31", "backtest.folds=8")

SPANS = {
    "2016-2023": ("2016-01-01", "2023-12-31", "in part"),
    "2016-2019": ("2016-01-01", "2019-12-31", "yes"),
    "2020-2023": ("2020-01-01", "2023-12-31", "no"),
}
"""First and last origin, and whether settings of the program were chosen on the span."""

ALL = "all"
"""In place of a step: the mean over all steps, which is what a verdict is about."""

AGAINST = ("random_walk", "garch", "har_ridge", "har_ridge_01")


def main() -> None:
    workspace, output = parsed(__doc__, OUTPUT)
    manifest = backtest_of(workspace)
    losses = losses_of(workspace, manifest)
    table = pd.concat(
        [table_of(losses, manifest, span) for span in SPANS], ignore_index=True
    ).assign(cores=os.cpu_count(), date=date.today().isoformat(), lstmcli=version("lstmcli"))
    table.to_csv(output, index=False, lineterminator="\n")
    print(table.to_string(index=False))


def config_files(workspace: Workspace) -> dict[str, Path]:
    """Write the configs that are compared, and return their files by name."""
    files = {}
    for name in shipped_configs():
        if name in ELSEWHERE:
            continue
        settings = list(FOLDS) + ([] if name in AS_SHIPPED else list(SHORT))
        files[name] = workspace.root / "configs" / f"{name}.yaml"
        files[name].parent.mkdir(parents=True, exist_ok=True)
        files[name].write_text(load_config(name, overrides=settings).to_yaml(), "utf-8")
    return files


def backtest_of(workspace: Workspace) -> BacktestManifest:
    """Return the finished backtest of all configs, running it where there is none."""
    files = config_files(workspace)

    def finished() -> BacktestManifest | None:
        for name in reversed(workspace.backtests.names()):
            manifest = workspace.backtests.manifest(name)
            if manifest.record.configs.keys() == files.keys():
                return manifest
        return None

    if finished() is None:
        words = [word for file in files.values() for word in ("--config", str(file))]
        lstm("backtest", *words, to=workspace)
    manifest = finished()
    assert manifest is not None, "the backtest has left no result"
    return manifest


def losses_of(workspace: Workspace, manifest: BacktestManifest) -> pd.DataFrame:
    """Return the losses of every forecast of every recipe, `har_ridge_01` among them."""
    store = workspace.backtests
    names = sorted(store.scores(manifest.backtest)["recipe"].unique())
    parts = [_losses(store.forecasts(manifest.backtest, recipes=[name])) for name in names]
    shared = parts[0].set_index(KEYS).index.unique()
    old = _losses(har_ridge_01(workspace))
    parts.append(old[pd.MultiIndex.from_frame(old[KEYS]).isin(shared)])
    every = pd.concat(parts, ignore_index=True)
    return numbered(every.astype({"recipe": "category", "ticker": "category"}))


def _losses(rows: pd.DataFrame) -> pd.DataFrame:
    return outcomes(rows).assign(
        winkler80=winkler(rows, 0.80), qlike=qlike(rows), tails=tails(rows)
    )


def har_ridge_01(workspace: Workspace) -> pd.DataFrame:
    """Return the realised forecasts of version 0.1's `har_ridge` on the folds of the backtest."""
    kept = workspace.root / "har_ridge_01.parquet"
    if not kept.exists():
        configs = {name: load_config(str(file)) for name, file in config_files(workspace).items()}
        plan = plan_backtest(Session(workspace), configs, ())
        panel, recipe = plan.loaded.panel, HarRidge01(20)
        rows = [
            FoldTask(recipe, panel.sha256, fold, plan.steps).run(panel)[0] for fold in plan.folds
        ]
        calibrate_folds(pd.concat(rows, ignore_index=True), panel, plan.folds).to_parquet(kept)
    return pd.read_parquet(kept)


def table_of(losses: pd.DataFrame, manifest: BacktestManifest, span: str) -> pd.DataFrame:
    """Return one row per recipe and step, and one for all; see results/README.md.

    CRPS, tails and Winkler are in % of the price, `low` to `high` is the 95 % interval of the
    skill in units of volatility, which `scaled` is; `shows` is the skill that would show.
    """
    first, last, chosen = SPANS[span]
    of = losses[losses["made_on"].between(first, last)]
    words = {
        (verdict["recipe"], verdict["calibrated"], baseline): word
        for verdict in manifest.verdicts.values()
        for baseline, word in verdict["verdict"].items()
    }
    seconds = pd.Series(manifest.seconds)
    seconds = seconds.groupby(seconds.index.str.rsplit("-", n=1).str[0]).sum()
    overlaps = overlaps_of(of)
    found = []
    for step in (*overlaps, ALL):
        steps = overlaps if step == ALL else {step: overlaps[step]}
        of_step = of[of["step"].isin(steps)]
        bases = {name: of_recipe(of_step, name, calibrated=False) for name in AGAINST}
        for (recipe, calibrated), own in of_step.groupby(list(IDENTITY), observed=True):
            line: dict[str, object] = {
                "span": span,
                "first": own["made_on"].min().date(),
                "last": own["made_on"].max().date(),
                "chosen_on": chosen,
                "refits": sum(first <= end <= last for _, end in manifest.record.folds),
                "recipe": recipe_name(recipe, calibrated=calibrated),
                "step": step,
                "forecasts": len(own),
                "dates": own["made_on"].nunique(),
                **_means(own),
            }
            for against, base in bases.items():
                if (recipe, calibrated) == (against, False):
                    continue
                numbers, test = Comparison(own, base).numbers(steps, alpha=SIGNIFICANCE / 2)
                line[f"skill_{against}"] = 100 * numbers["crps_skill"]
                line[f"scaled_{against}"] = 100 * numbers["skill"]
                line[f"low_{against}"] = 100 * numbers["low"]
                line[f"high_{against}"] = 100 * numbers["high"]
                line[f"shows_{against}"] = 100 * numbers["detectable"]
                line[f"t_{against}"] = np.nan if test is None else test.statistic
                line["cosines"] = numbers["freedom"]
                # One word for all steps and years: the ladder's.
                line[f"verdict_{against}"] = words.get((recipe, calibrated, against), "")
            line["seconds"] = seconds.get(recipe, np.nan)
            found.append(line)
    return pd.DataFrame(found).sort_values("recipe", kind="stable").round(6)


def _means(own: pd.DataFrame) -> dict[str, float]:
    """Return means over tickers, and how far the worst ticker's coverage is off, in points."""
    per_ticker = own.groupby("ticker", observed=True)
    inside = {f"{share * 100:.0f}": share for share in COVERAGES}
    means = per_ticker[["crps", "tails", "winkler80", "qlike", *(f"in{c}" for c in inside)]].mean()
    return {
        **{name: 100 * means[name].mean() for name in ("crps", "tails", "winkler80")},
        "qlike": means["qlike"].mean(),
        **{f"coverage{c}": means[f"in{c}"].mean() for c in inside},
        **{f"worst{c}": 100 * (means[f"in{c}"] - share).abs().max() for c, share in inside.items()},
    }


if __name__ == "__main__":
    main()
