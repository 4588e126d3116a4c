"""How issued forecasts turned out: which outcomes count, and scores side by side."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd

from lstmcli.evaluation.ladder import NO_VERDICT
from lstmcli.evaluation.metrics import covered, crps, direction, realise, tails
from lstmcli.evaluation.sequences import MIN_SKILL_OUTCOMES, coverage_sequence, skill_sequence
from lstmcli.frames import COVERAGES, IDENTITY
from lstmcli.panel import Panel
from lstmcli.sessions import WEEKDAYS, opening_times, settled_session

AHEAD, BEHIND, NOT_TOLD_APART = "ahead", "behind", "not told apart"

SCORED, OPEN, WAITING, LATE, REPEATED = "scored", "open", "waiting", "late", "repeated"

UNMATCHED = "unmatched"

MAX_CORRECTION = 0.02
"""Relative difference between the close of an origin then and now that is a correction."""

MAX_DRIFT = 1e-3
"""Relative difference between the ratios of two origins that are one ratio."""

MAX_SPLIT = 20
"""Up to this many shares for one a ratio alone is taken for a split that nobody stated."""

MIN_NEIGHBOURS = 5
"""Origins from which on their ratios tell whether there is one."""


def follow_up(issued: pd.DataFrame, panel: Panel, now: datetime) -> pd.DataFrame:
    """Return issued forecasts with `status` and, where they are known, `realised` and `unit`.

    `unit` is the volatility that losses are divided by; see `realise`. An outcome is the
    return between two sessions in the bars as they are now, so a split or a dividend after
    the forecast does not change it. Status:

        scored    the outcome is known
        open      the target session has not settled
        waiting   it has settled, but the bars miss a session or end before it
        late      issued after the target session had opened: kept, never scored
        repeated  the recipe had already forecast this ticker from this origin
        unmatched the bars do not hold the close that it was made from, because they are
                  another company's by now, or begin later: kept, never scored

    Args:
        issued: rows of the ledger.
        now: outcomes that settle later are open.
    """
    if not len(issued):
        return issued.assign(status=pd.Series(dtype=str), realised=np.nan, unit=np.nan)
    parts = []
    for ticker, rows in issued.groupby("ticker", sort=False):
        bars = panel[str(ticker)] if ticker in panel else None
        calendar = panel.calendars.get(str(ticker), WEEKDAYS)
        targets = pd.DatetimeIndex(rows["target_on"])
        distinct = targets.unique().sort_values()
        opens = pd.Series(opening_times(calendar, distinct), index=distinct)
        late = (rows["issued_at"].to_numpy() >= opens.reindex(targets).to_numpy()).astype(bool)
        observed = pd.DatetimeIndex([]) if bars is None else pd.DatetimeIndex(bars.index)
        settled = np.asarray(targets <= settled_session(calendar, now, observed=observed))
        known = pd.DataFrame(np.nan, index=rows["id"], columns=["realised", "unit"])
        foreign = np.zeros(len(rows), bool)
        if bars is not None and len(bars):
            foreign = rows["made_on"].isin(_unmatched_origins(rows, bars)).to_numpy()
            held = rows[rows["made_on"].isin(bars.index)]
            if len(held):
                found = realise(held, panel).set_index("id")
                known.loc[found.index] = found[["realised", "unit"]]
        came = known["realised"].notna().to_numpy()
        status = np.where(came, SCORED, np.where(settled, WAITING, OPEN))
        status = np.where(late, LATE, status)
        status = np.where(foreign, UNMATCHED, status)
        known[foreign] = np.nan
        parts.append(rows.assign(status=status, **{name: known[name].to_numpy() for name in known}))
    followed = pd.concat(parts).sort_values("id").reset_index(drop=True)
    again = followed.duplicated(["ticker", "made_on", "step", *IDENTITY])
    followed["status"] = followed["status"].where(~again, REPEATED)
    return followed


def _unmatched_origins(rows: pd.DataFrame, bars: pd.DataFrame) -> list[pd.Timestamp]:
    """Return the origins of a ticker whose close the bars do not hold.

    Splits after an origin divide its close. A source that does not state them shows one
    ratio at neighbouring origins, or the ratio of a usual split; another company neither.
    """
    close = rows.drop_duplicates("made_on").set_index("made_on")["last_close"].sort_index()
    missing = list(close.index[close.index < bars.index[0]])
    close = close[close.index.isin(bars.index)]
    if close.empty:
        return missing
    splits = bars["split"].where(bars["split"] > 0, 1.0)
    later = splits[::-1].cumprod()[::-1].shift(-1, fill_value=1.0)  # product of those after it
    ratio = np.log(close / (bars["close"] * later).loc[close.index])
    explained = (ratio.abs() <= MAX_CORRECTION) | (_off_a_split(ratio) <= MAX_DRIFT)
    steps = ratio.diff().abs() <= MAX_DRIFT
    if len(ratio) >= MIN_NEIGHBOURS and steps[1:].mean() >= 0.5:
        explained |= steps | steps.shift(-1, fill_value=False)
    return [*missing, *explained.index[~explained]]


def _off_a_split(ratio: pd.Series) -> pd.Series:
    """Return how far log ratios are from those of a split of a whole number to 1, or back."""
    size = ratio.abs()
    return (size - np.log(np.exp(size).round().clip(lower=2, upper=MAX_SPLIT))).abs()


_MEANS = ("crps", "scaled", "tails", "direction")
"""Columns of the live table that are means over forecasts."""


def live_table(scored: pd.DataFrame, *, brief: bool = False) -> pd.DataFrame:
    """Return how published recipes compare with the others, step by step.

    Published is what is calibrated; `published` is its name. There is one row per
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
        brief: leave out the confidence sequences of the coverage of recipes that are not
            published, which take half the time.
    """
    rows: list[dict[str, object]] = []
    if not len(scored):
        return pd.DataFrame(columns=_TABLE)
    inside = {_coverage(share): covered(scored, share).astype(float) for share in COVERAGES}
    losses = crps(scored)
    values = scored.assign(
        crps=losses,
        scaled=losses / scored["unit"],
        tails=tails(scored),
        direction=direction(scored),
        **inside,
    )
    for published in sorted(scored.loc[scored["calibrated"], "recipe"].unique()):
        for step, of_step in values.groupby("step"):
            rows += _compared(of_step, str(published), int(str(step)), brief=brief)
    return pd.DataFrame(rows, columns=_TABLE)


def _compared(
    of_step: pd.DataFrame, published: str, step: int, *, brief: bool
) -> list[dict[str, object]]:
    """Return the rows of a published recipe at one step; none if it is the only one."""
    keys = list(IDENTITY)
    recipes = list(of_step[keys].drop_duplicates().itertuples(index=False, name=None))
    judged = (published, True)
    if judged not in recipes or len(recipes) == 1:
        return []
    wide = of_step.set_index(["ticker", "made_on", *keys]).sort_index()
    wide = wide[[*_MEANS, *map(_coverage, COVERAGES)]].unstack(keys)
    found = []
    for key in (judged, *(key for key in recipes if key != judged)):
        both = wide[wide["crps", *judged].notna() & wide["crps", *key].notna()]
        if not len(both):
            continue
        own = both.xs(key, axis=1, level=keys)
        by_date = own.groupby(level="made_on").mean()
        row: dict[str, object] = {
            "published": published,
            "step": step,
            "recipe": key[0],
            "calibrated": bool(key[1]),
            "origins": len(by_date),
            "forecasts": len(own),
            **{name: own[name].mean() for name in _MEANS},
        }
        for name in map(_coverage, COVERAGES):
            row |= {name: own[name].mean(), f"{name}_low": np.nan, f"{name}_high": np.nan}
            if key == judged or not brief:
                last = coverage_sequence(by_date[name]).iloc[-1]
                row |= {f"{name}_low": last["low"], f"{name}_high": last["high"]}
        if key != judged:
            ours = both["scaled", *judged].groupby(level="made_on").mean()
            last = skill_sequence(ours, by_date["scaled"]).iloc[-1]
            row |= {name: float(last[name]) for name in ("skill", "low", "high")}
            row["word"] = live_word(len(by_date), float(last["low"]), float(last["high"]))
            row["evenings"] = max(MIN_SKILL_OUTCOMES - len(by_date), 0)
        found.append(row)
    return found


def _coverage(share: float) -> str:
    return f"coverage{share * 100:.0f}"


_TABLE = [
    *("published", "step", *IDENTITY, "origins", "forecasts", *_MEANS[:3]),
    *(f"{_coverage(share)}{end}" for share in COVERAGES for end in ("", "_low", "_high")),
    *("direction", "skill", "low", "high", "word", "evenings"),
]


def live_word(origins: int, low: float, high: float) -> str:
    """Return what the confidence sequence of a skill says: the word of `live_table`.

    Where nothing has varied the sequence has no ends, and nothing is told apart.
    """
    if origins < MIN_SKILL_OUTCOMES:
        return NO_VERDICT
    return AHEAD if low > 0 else BEHIND if high < 0 else NOT_TOLD_APART
