"""Issued forecasts with a report of the company ahead, and those without."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lstmcli.evaluation.metrics import covered, crps
from lstmcli.frames import COVERAGES, of_recipe

MIN_FORECASTS = 20
"""Outcomes below which nothing is said of forecasts with a report ahead, or without."""

REFERENCES = ("har_ridge", "ewma", "random_walk")
"""Baselines that the skill is against: the first that was issued beside."""

_SHARES = [f"coverage{share * 100:.0f}" for share in COVERAGES]

_TABLE = ["published", "step", "ahead", "forecasts", "reference", "crps", "skill", *_SHARES]


def report_ahead(rows: pd.DataFrame) -> np.ndarray:
    """Return whether a report within each forecast was known when it was issued, (N,) float.

    It is one where the session that reacts lies after the origin and not after the target.
    It is NaN where the ledger does not keep what was known.
    """
    session = rows["report_session"]
    ahead = (session > rows["made_on"]) & (session <= rows["target_on"])
    return np.where(rows["report_status"].isna(), np.nan, ahead.to_numpy(float))


def reports_table(scored: pd.DataFrame) -> pd.DataFrame:
    """Return scores of published recipes, apart for forecasts with a report ahead.

    There are two rows per published recipe and step, `ahead` and not, at the steps of the
    reference; none where no scored
    forecast has had one ahead.

    Columns: `published step ahead forecasts reference`; `crps` (log return) and `skill`, of
    CRPS in units of volatility against the reference on the forecasts that both have, as means
    over dates; `coverage50 coverage80 coverage95`. Figures of fewer than `MIN_FORECASTS` are
    NaN, and so is the skill without a reference.

    Args:
        scored: issued forecasts with an outcome, of all recipes; see `follow_up`.
    """
    ahead = report_ahead(scored) if len(scored) else np.empty(0)
    if not (ahead == 1).any():
        return pd.DataFrame(columns=_TABLE)
    known = scored.assign(ahead=ahead, loss=crps(scored))[~np.isnan(ahead)]
    issued = set(known.loc[~known["calibrated"], "recipe"])
    reference = next((name for name in REFERENCES if name in issued), "")
    rows = []
    for published in sorted(known.loc[known["calibrated"], "recipe"].unique()):
        own = of_recipe(known, str(published), calibrated=True)
        beside = of_recipe(known, reference, calibrated=False)
        for step in sorted(beside["step"].unique() if len(beside) else own["step"].unique()):
            of_step = own[own["step"] == step]
            others = beside[beside["step"] == step]
            for flag in (1.0, 0.0):
                group = of_step[of_step["ahead"] == flag]
                scores = _scores(group, others) if len(group) >= MIN_FORECASTS else {}
                about = {"published": published, "step": int(step), "ahead": bool(flag)}
                rows.append({**about, "forecasts": len(group), "reference": reference, **scores})
    return pd.DataFrame(rows, columns=_TABLE)


def _scores(own: pd.DataFrame, beside: pd.DataFrame) -> dict[str, float]:
    keys: Sequence[str] = ["ticker", "made_on"]
    both = own.merge(beside[[*keys, "loss"]], on=keys, how="inner", suffixes=("", "_beside"))
    skill = np.nan
    if len(both) >= MIN_FORECASTS:
        units = both[["loss", "loss_beside"]].div(both["unit"], axis=0)
        by_date = units.groupby(both["made_on"]).mean().mean()
        skill = float(1 - by_date["loss"] / by_date["loss_beside"])
    shares = [float(covered(own, share).mean()) for share in COVERAGES]
    crps_mean = float(own.groupby("made_on")["loss"].mean().mean())
    return {"crps": crps_mean, "skill": skill, **dict(zip(_SHARES, shares, strict=True))}
