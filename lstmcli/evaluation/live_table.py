"""Scores of issued forecasts side by side, from sums by date.

A score of a forecast never changes once its outcome is known. So what a table needs of an
evening are a few sums over its tickers, and a year of a universe is a small table of them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lstmcli.evaluation.ladder import NO_VERDICT
from lstmcli.evaluation.metrics import covered, crps, direction, tails
from lstmcli.evaluation.sequences import (
    MIN_SKILL_OUTCOMES,
    Evidence,
    coverage_sequence,
    evidence_against,
    skill_sequence,
)
from lstmcli.frames import COVERAGES, IDENTITY

AHEAD, BEHIND, NOT_TOLD_APART = "ahead", "behind", "not told apart"

_MEANS = ("crps", "scaled", "tails", "direction")
"""Columns of the live table that are means over forecasts."""


def _coverage(share: float) -> str:
    return f"coverage{share * 100:.0f}"


_INSIDE = tuple(map(_coverage, COVERAGES))

SCORES = (*_MEANS, *_INSIDE)
"""What is kept of a forecast with an outcome: losses are log returns, `scaled` is the CRPS in
units of volatility, and the others are 0 or 1; `direction` is NaN where a sign is zero."""

SUMS = ("forecasts", "signed", "ours", *SCORES)
"""What is kept of a date: how many forecasts, those with a sign, the published recipe's
`scaled` on the same forecasts, and sums."""

_KEYS = ("ticker", "made_on", "step")
_GROUPS = ("published", "step", *IDENTITY)

_TABLE = [
    *("published", "step", *IDENTITY, "origins", "forecasts", *_MEANS[:3]),
    *(f"{name}{end}" for name in _INSIDE for end in ("", "_low", "_high")),
    *("direction", "skill", "low", "high", "word", "evenings"),
]


def scores_of(scored: pd.DataFrame) -> pd.DataFrame:
    """Return `SCORES` of forecasts with an outcome, after what names each of them.

    Args:
        scored: see `follow_up`.
    """
    losses = crps(scored)
    return scored[[*_KEYS, *IDENTITY]].assign(
        crps=losses,
        scaled=losses / scored["unit"],
        tails=tails(scored),
        direction=direction(scored),
        **{_coverage(share): covered(scored, share).astype(float) for share in COVERAGES},
    )


def sums_by_date(scores: pd.DataFrame, *, of: str = "made_on") -> pd.DataFrame:
    """Return sums over tickers of what published recipes are compared with, and their own.

    Published is what is calibrated. Two recipes are compared on the forecasts that both have.

    Args:
        of: `made_on`; `ticker` gives sums over origins instead.

    Returns:
        A row per published recipe, step, recipe and origin: `published step recipe calibrated
        made_on` and `SUMS`. Recipes are in the order in which they were issued.
    """
    parts = []
    calibrated = scores["calibrated"].to_numpy(bool)
    for published in sorted(scores.loc[calibrated, "recipe"].unique()):
        own = scores[calibrated & (scores["recipe"] == published).to_numpy()]
        judged = own[[*_KEYS, "scaled"]].rename(columns={"scaled": "ours"})
        both = scores.merge(judged, on=list(_KEYS), how="inner")
        both = both.assign(
            published=published,
            forecasts=1.0,
            signed=both["direction"].notna().astype(float),
            direction=both["direction"].fillna(0.0),
        )
        groups = both.groupby([*_GROUPS, of], sort=False)
        parts.append(groups[list(SUMS)].sum().reset_index())
    return pd.concat(parts, ignore_index=True) if parts else no_sums(of)


def no_sums(of: str = "made_on") -> pd.DataFrame:
    """Return sums of nothing."""
    return pd.DataFrame(columns=[*_GROUPS, of, *SUMS]).astype({"calibrated": bool})


def live_table(scored: pd.DataFrame, *, brief: bool = False) -> pd.DataFrame:
    """Return `table_of` of forecasts with an outcome; see `follow_up`."""
    return table_of(sums_by_date(scores_of(scored)), brief=brief) if len(scored) else _no_table()


def table_of(sums: pd.DataFrame, *, brief: bool = False) -> pd.DataFrame:
    """Return how published recipes compare with the others, step by step.

    `published` is the name of what is calibrated. There is one row per
    published recipe, step and recipe; its own row comes first. Two
    recipes are compared on the tickers and origins that both have. Steps at which there is
    no other recipe are left out.

    Columns: `published step recipe calibrated origins forecasts`; `crps` (log return),
    `scaled`, the CRPS in units of volatility, and `tails`, the loss of the levels 2.5 and
    97.5 % (log return); `direction`; `coverage50 coverage80
    coverage95`, each with its confidence sequence in `…_low` and `…_high`; and `skill low
    high word evenings`, the skill of the published recipe against this one, from `scaled`,
    with its confidence sequence, what that says, and how many more sessions with an outcome
    it takes until it says something. These five are missing in its own row. Ends of a
    sequence that does not reach so far are NaN; see `sequences`.

    Args:
        sums: of `sums_by_date`, in any order of the dates.
        brief: leave out the confidence sequences of the coverage of recipes that are not
            published, which take half the time.
    """
    rows: list[dict[str, object]] = []
    for (published, _), of_step in sums.groupby(["published", "step"], sort=True):
        recipes = list(of_step[list(IDENTITY)].drop_duplicates().itertuples(index=False, name=None))
        if len(recipes) == 1:
            continue
        judged = (published, True)
        groups = {key: rows for key, rows in of_step.groupby(list(IDENTITY), sort=False)}
        for key in (judged, *(key for key in recipes if key != judged)):
            by_date = groups[key].sort_values("made_on", kind="stable")
            rows.append(_row(by_date, is_judged=key == judged, brief=brief))
    return pd.DataFrame(rows, columns=_TABLE)


def _no_table() -> pd.DataFrame:
    return pd.DataFrame(columns=_TABLE)


def _row(sums: pd.DataFrame, *, is_judged: bool, brief: bool) -> dict[str, object]:
    """Return the row of a recipe, from its sums by date, ascending."""
    total = sums[list(SUMS)].sum()
    count = total["forecasts"]
    by_date = sums[["ours", *SCORES]].div(sums["forecasts"], axis=0)
    signs = total["signed"]
    row: dict[str, object] = {
        **{name: sums[name].iloc[0] for name in ("published", "recipe")},
        "calibrated": bool(sums["calibrated"].iloc[0]),
        "step": int(sums["step"].iloc[0]),
        "origins": len(sums),
        "forecasts": int(count),
        **{name: total[name] / count for name in SCORES},
        "direction": total["direction"] / signs if signs else np.nan,
    }
    for name in _INSIDE:
        row |= {f"{name}_low": np.nan, f"{name}_high": np.nan}
        if is_judged or not brief:
            last = coverage_sequence(by_date[name]).iloc[-1]
            row |= {f"{name}_low": last["low"], f"{name}_high": last["high"]}
    if not is_judged:
        last = skill_sequence(by_date["ours"], by_date["scaled"]).iloc[-1]
        row |= {name: float(last[name]) for name in ("skill", "low", "high")}
        row["word"] = live_word(len(sums), float(last["low"]), float(last["high"]))
        row["evenings"] = max(MIN_SKILL_OUTCOMES - len(sums), 0)
    return row


def live_word(origins: int, low: float, high: float) -> str:
    """Return what the confidence sequence of a skill says: the word of `table_of`.

    Where nothing has varied the sequence has no ends, and nothing is told apart.
    """
    if origins < MIN_SKILL_OUTCOMES:
        return NO_VERDICT
    return AHEAD if low > 0 else BEHIND if high < 0 else NOT_TOLD_APART


def evidence_of(sums: pd.DataFrame) -> dict[str, Evidence]:
    """Return the evidence against the published step-1 intervals, by published recipe.

    Args:
        sums: of `sums_by_date`, in any order of the dates.
    """
    first = sums[(sums["step"] == 1) & sums["calibrated"].to_numpy(bool)]
    first = first[first["recipe"] == first["published"]].sort_values("made_on", kind="stable")
    found = {}
    for recipe, own in first.groupby("recipe", sort=False):
        outside = {
            share: 1 - (own[_coverage(share)] / own["forecasts"]).to_numpy(float)
            for share in COVERAGES
        }
        found[str(recipe)] = evidence_against(outside, own["made_on"].to_numpy())
    return found
