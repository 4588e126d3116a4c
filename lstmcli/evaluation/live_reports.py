"""Issued forecasts with a report of the company ahead, and those without."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lstmcli.evaluation.live_table import scores_of
from lstmcli.frames import COVERAGES

MIN_FORECASTS = 20
"""Outcomes below which nothing is said of forecasts with a report ahead, or without."""

REFERENCES = ("har_ridge", "ewma", "random_walk")
"""Baselines that the skill is against: the first that was issued beside."""

_SHARES = [f"coverage{share * 100:.0f}" for share in COVERAGES]

_KEYS = ("ticker", "made_on", "step")
_GROUPS = ("published", "step", "ahead", "made_on")
_SUMS = (
    *("forecasts", "crps", *_SHARES),
    *(f"{what}_{name}" for name in REFERENCES for what in ("both", "ours", "beside")),
)

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
    """Return `reports_of` of forecasts with an outcome, of all recipes; see `follow_up`."""
    if not len(scored):
        return _no_table()
    return reports_of(report_sums(scores_of(scored).assign(ahead=report_ahead(scored))))


def report_sums(scores: pd.DataFrame) -> pd.DataFrame:
    """Return sums over tickers of published forecasts, apart for those with a report ahead.

    Args:
        scores: of `scores_of`, with the column `ahead`; see `report_ahead`.

    Returns:
        A row per published recipe, step, `ahead` and origin: `published step ahead made_on`,
        and `_SUMS`. Those of a reference are of the forecasts that both have.
    """
    known = scores[scores["ahead"].notna()]
    calibrated = known["calibrated"].to_numpy(bool)
    own = known[calibrated].rename(columns={"recipe": "published", "scaled": "ours"})
    own = own[[*_KEYS, "published", "ahead", "crps", "ours", *_SHARES]].assign(forecasts=1.0)
    for name in REFERENCES:
        beside = known[~calibrated & (known["recipe"] == name).to_numpy()]
        beside = beside[[*_KEYS, "scaled"]].rename(columns={"scaled": f"beside_{name}"})
        own = own.merge(beside, on=list(_KEYS), how="left")
        both = own[f"beside_{name}"].notna()
        own[f"both_{name}"] = both.astype(float)
        own[f"ours_{name}"] = own["ours"].where(both, 0.0)
        own[f"beside_{name}"] = own[f"beside_{name}"].fillna(0.0)
    groups = own.groupby(list(_GROUPS), sort=False)
    return groups[list(_SUMS)].sum().reset_index()


def reports_of(sums: pd.DataFrame) -> pd.DataFrame:
    """Return scores of published recipes, apart for forecasts with a report ahead.

    There are two rows per published recipe and step, `ahead` and not, at the steps of the
    reference; none where no scored
    forecast has had one ahead.

    Columns: `published step ahead forecasts reference`; `crps` (log return) and `skill`, of
    CRPS in units of volatility against the reference on the forecasts that both have, as means
    over dates; `coverage50 coverage80 coverage95`. Figures of fewer than `MIN_FORECASTS` are
    NaN, and so is the skill without a reference.

    Args:
        sums: of `report_sums`, in any order of the dates.
    """
    if not (sums["ahead"] == 1).any():
        return _no_table()
    sums = sums.sort_values("made_on", kind="stable")
    reference = next((name for name in REFERENCES if sums[f"both_{name}"].sum() > 0), "")
    rows = []
    for (published, step), of_step in sums.groupby(["published", "step"], sort=True):
        if reference and not of_step[f"both_{reference}"].sum():
            continue
        for flag in (1.0, 0.0):
            group = of_step[of_step["ahead"] == flag]
            count = int(group["forecasts"].sum())
            scores = _scores(group, reference) if count >= MIN_FORECASTS else {}
            about = {"published": published, "step": int(step), "ahead": bool(flag)}
            rows.append({**about, "forecasts": count, "reference": reference, **scores})
    return pd.DataFrame(rows, columns=_TABLE)


def no_report_sums() -> pd.DataFrame:
    """Return sums of nothing."""
    return pd.DataFrame(columns=[*_GROUPS, *_SUMS])


def _no_table() -> pd.DataFrame:
    return pd.DataFrame(columns=_TABLE)


def _scores(sums: pd.DataFrame, reference: str) -> dict[str, float]:
    total = sums[["forecasts", *_SHARES]].sum()
    skill = np.nan
    if reference and sums[f"both_{reference}"].sum() >= MIN_FORECASTS:
        both = sums[sums[f"both_{reference}"] > 0]
        units = both[[f"ours_{reference}", f"beside_{reference}"]].div(
            both[f"both_{reference}"], axis=0
        )
        ours, beside = units.mean()
        skill = float(1 - ours / beside)
    crps_mean = float((sums["crps"] / sums["forecasts"]).mean())
    shares = {name: float(total[name] / total["forecasts"]) for name in _SHARES}
    return {"crps": crps_mean, "skill": skill, **shares}
