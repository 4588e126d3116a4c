"""Measure what calibration costs where nothing is wrong, and gains where something is.

    python benchmarks/calibration.py market30.csv.gz

Writes results/calibration.csv: baselines of eight yearly folds, 2016 to 2023, raw, calibrated
anew in each fold, and calibrated by errors carried from fold to fold; then `har_ridge` with a
volatility that was planted a fifth too small. Takes five minutes on two cores.
"""

from __future__ import annotations

import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from market_file import parsed

from lstmcli.evaluation.backtest import (
    STEPS,
    BacktestConfig,
    Fold,
    cut_folds,
    taking_part,
)
from lstmcli.evaluation.metrics import covered, crps, realise, winkler
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.forecasters.calibrated import learnt_from
from lstmcli.forecasters.calibration import calibrate
from lstmcli.frames import COVERAGES, QUANTILE_COLUMNS
from lstmcli.panel import Panel
from lstmcli.pipeline.session import Session

OUTPUT = Path(__file__).parent.parent / "results" / "calibration.csv"
RECIPES = ("har_ridge", "har", "gjr", "garch", "ewma")
PLANTED = 0.8
"""How wide the quantiles of a recipe are whose volatility is a fifth too small."""

CONFIG = BacktestConfig(folds=8, start=date(2016, 1, 1), end=date(2023, 12, 31))
SPANS = {"2016-2019": (2016, 2019), "2020-2023": (2020, 2023), "2016-2023": (2016, 2023)}


def main() -> None:
    workspace, output = parsed(__doc__, OUTPUT)
    panel = Session(workspace).panel(()).panel
    folds = cut_folds(panel.sessions(), CONFIG, horizon=max(STEPS), least=1000)
    parts = []
    for recipe in RECIPES:
        print(recipe, file=sys.stderr)
        raw = forecasts_of(recipe, panel, folds)
        parts.append(table_of(recipe, raw, panel, folds))
        if recipe == RECIPES[0]:
            narrow = [narrowed(rows) for rows in raw]
            planted = table_of(f"{recipe}, a fifth too narrow", narrow, panel, folds)
    table = pd.concat([*parts, planted], ignore_index=True).round(5)
    table["date"] = date.today().isoformat()
    table["lstmcli"] = version("lstmcli")
    table.to_csv(output, index=False, lineterminator="\n")
    print(table.drop(columns=["date", "lstmcli"]).to_string(index=False))


def forecasts_of(recipe: str, panel: Panel, folds: tuple[Fold, ...]) -> list[pd.DataFrame]:
    """Return by fold what its fit forecast out of sample: the history before it, and it."""
    parts = []
    for fold in folds:
        known = taking_part(panel, fold)
        fitted = BASELINES[recipe](max(STEPS)).fit(known, fold.until)
        origins = learnt_from(fitted, known.until(fold.until)).union(fold.origins)
        rows = fitted.forecast(known, origins)
        parts.append(rows[rows["step"].isin(STEPS)].reset_index(drop=True))
    return parts


def narrowed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return forecasts whose quantiles are a fifth nearer to the median."""
    median = rows["q50"]
    levels = {name: median + PLANTED * (rows[name] - median) for name in QUANTILE_COLUMNS}
    return rows.assign(sigma=PLANTED * rows["sigma"], **levels)


def table_of(
    title: str, raw: list[pd.DataFrame], panel: Panel, folds: tuple[Fold, ...]
) -> pd.DataFrame:
    """Return one row per way of calibration, span and step; losses in % of the price."""
    own = [rows[rows["made_on"].isin(fold.origins)] for rows, fold in zip(raw, folds, strict=True)]
    origins = pd.DatetimeIndex(np.concatenate([fold.origins for fold in folds]))
    kinds = {
        "raw": pd.concat(own),
        "anew in each fold": pd.concat(
            [calibrate(rows, panel, fold.origins) for rows, fold in zip(raw, folds, strict=True)]
        ),
        "carried": calibrate(pd.concat([raw[0], *own[1:]], ignore_index=True), panel, origins),
    }
    found: list[dict[str, object]] = []
    losses: dict[tuple[str, int], float] = {}
    for kind, forecasts in kinds.items():
        rows = realise(forecasts, panel)
        rows["crps"] = 100 * crps(rows)
        for span, (first, last) in SPANS.items():
            year = rows["made_on"].dt.year
            for step in STEPS:
                some = rows[(rows["step"] == step) & year.between(first, last)]
                loss = float(some["crps"].mean())
                losses.setdefault((span, step), loss)  # of what comes first, raw
                line = {"recipe": title, "calibration": kind, "span": span, "step": step}
                line |= {"n": len(some), "crps": loss}
                line["gain"] = 100 * (1 - loss / losses[span, step])
                for share in COVERAGES:
                    hit = pd.Series(100.0 * covered(some, share))
                    by_ticker = hit.groupby(some["ticker"].to_numpy()).mean()
                    level = f"{100 * share:.0f}"
                    line[f"coverage{level}"] = hit.mean()
                    line[f"worst{level}"] = (by_ticker - 100 * share).abs().max()
                    line[f"winkler{level}"] = 100 * winkler(some, share).mean()
                found.append(line)
    return pd.DataFrame(found)


if __name__ == "__main__":
    main()
