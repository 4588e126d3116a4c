"""Score filtered simulations as version 0.2 shaped them and as they are now.

    python benchmarks/baselines.py market30.csv.gz --output results/baselines.csv

Eight yearly folds of 2016–2023, each fitted on the ten years before it; two minutes on an idle
core. Before: the last 1,000 errors, of `ewma`, `garch` and `gjr` those of the ticker alone, and
`har_ridge_01` in the place of `har_ridge`.
"""

from __future__ import annotations

from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from har_ridge_01 import MEMORY as MEMORY_01
from har_ridge_01 import HarRidge01
from market_file import parsed

from lstmcli.config import load_config
from lstmcli.evaluation.backtest import (
    MIN_HISTORY,
    BacktestConfig,
    Fold,
    cut_folds,
    judged_steps,
    taking_part,
)
from lstmcli.evaluation.comparison import KEYS
from lstmcli.evaluation.metrics import covered, crps, realise
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.forecasters.filtered_simulation import filtered_simulation
from lstmcli.frames import COVERAGES
from lstmcli.panel import Panel
from lstmcli.pipeline.session import Session

OUTPUT = Path(__file__).parent.parent / "results" / "baselines.csv"
HORIZON = 20
SPAN = BacktestConfig(start=date(2016, 1, 1), end=date(2023, 12, 31), folds=8, train_years=10)
NAMES = ("ewma", "garch", "gjr", "har", "har_ridge")
ALONE = ("ewma", "garch", "gjr")
"""Whose errors version 0.2 did not pool, or would not have."""


def main() -> None:
    workspace, output = parsed(__doc__, OUTPUT)
    panel = Session(workspace).panel_to_learn_from((), (load_config("lstm.yaml"),)).panel
    sessions = panel.sessions()
    folds = cut_folds(sessions, SPAN, horizon=HORIZON, least=MIN_HISTORY)
    table = table_of(pd.concat([losses_of(panel, fold) for fold in folds], ignore_index=True))
    table["date"] = date.today().isoformat()
    table["lstmcli"] = version("lstmcli")
    table.to_csv(output, index=False, lineterminator="\n")
    print(table.to_string(index=False))


def losses_of(panel: Panel, fold: Fold) -> pd.DataFrame:
    """Return the losses of a fold, a row for each recipe, state, ticker, origin and step."""
    panel = taking_part(panel, fold)
    parts = []
    for name in NAMES:
        fitted = BASELINES[name](HORIZON).fit(panel, fold.until)
        scales = fitted.sigma(panel)
        after = filtered_simulation(name, panel, fold.origins, scales)
        if name == "har_ridge":
            before = HarRidge01(HORIZON).fit(panel, fold.until).forecast(panel, fold.origins)
        else:
            before = forecast_before(name, panel, fold, scales)
        for state, rows in (("before", before), ("after", after)):
            parts.append(losses(rows, panel).assign(recipe=name, state=state))
    print(f"fold {fold.number}: {len(parts[-1]):,} forecasts", flush=True)
    found = pd.concat(parts, ignore_index=True)
    unit = found[(found["recipe"] == "ewma") & (found["state"] == "after")]
    found = found.merge(unit[[*KEYS, "sigma"]].rename(columns={"sigma": "unit"}), on=KEYS)
    return found.assign(scaled=found["crps"] / found["unit"]).drop(columns=["sigma", "unit"])


def forecast_before(
    name: str, panel: Panel, fold: Fold, scales: dict[str, np.ndarray]
) -> pd.DataFrame:
    """Return the Forecast as version 0.2 shaped it: a panel of one ticker has no pool."""
    pools = [[ticker] for ticker in panel] if name in ALONE else [list(panel)]
    parts = []
    for pool in pools:
        some = {ticker: scales[ticker] for ticker in pool}
        parts.append(
            filtered_simulation(name, panel.only(pool), fold.origins, some, memory=MEMORY_01)
        )
    return pd.concat(parts, ignore_index=True)


def losses(rows: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Return what scores are made of, at the steps that are judged."""
    rows = realise(rows[np.isin(rows["step"], judged_steps(HORIZON))], panel)
    inside = {f"coverage{100 * share:.0f}": covered(rows, share) for share in COVERAGES}
    return rows[[*KEYS, "sigma"]].assign(crps=crps(rows), **inside)


def table_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each recipe and step: CRPS, skills and coverages, in %.

    `skill` is after against before, `skill_garch` against `garch` as it was, `skill_01` against
    `har_ridge_01`; `…_scaled` are those of CRPS in units of EWMA volatility.
    """
    assert rows.groupby(["recipe", "state"]).size().nunique() == 1, "other origins"
    measures = ["crps", "scaled", *(f"coverage{100 * share:.0f}" for share in COVERAGES)]
    means = rows.groupby(["recipe", "state", "step"])[measures].mean()
    lines = []
    for name in NAMES:
        for step in judged_steps(HORIZON):
            before, after = (means.loc[name, state, step] for state in ("before", "after"))
            first = means.loc["har_ridge", "before", step]
            garch = means.loc["garch", "before", step]
            line: dict[str, object] = {"recipe": name, "step": step}
            line |= {"crps_before": 100 * before["crps"], "crps_after": 100 * after["crps"]}
            for kind, suffix in (("crps", ""), ("scaled", "_scaled")):
                line |= {
                    f"skill{suffix}": 100 * (1 - after[kind] / before[kind]),
                    f"skill_garch{suffix}": 100 * (1 - after[kind] / garch[kind]),
                    f"skill_01{suffix}": 100 * (1 - after[kind] / first[kind]),
                }
            for measure in measures[2:]:
                line |= {f"{measure}_before": 100 * before[measure]}
                line |= {f"{measure}_after": 100 * after[measure]}
            lines.append(line)
    table = pd.DataFrame(lines)
    table["forecasts"] = len(rows) // len(means)
    return table.round(4)


if __name__ == "__main__":
    main()
