"""Scores of issued forecasts, and evidence that may be looked at every day.

A p-value is valid for one look. Here the same question is asked each evening. So the
answers are an e-process and a confidence sequence, which are valid at every look.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from lstmcli.evaluation.metrics import covered, crps, direction, realise
from lstmcli.evaluation.verdict import NO_VERDICT
from lstmcli.frames import COVERAGES, IDENTITY
from lstmcli.panel import Panel
from lstmcli.sessions import WEEKDAYS, opening_times, settled_session

MIN_OUTCOMES = 60
"""Dates with an outcome below which there is no verdict."""

ALARM = 20.0
"""Evidence that intervals with the right coverage ever reach with a probability of 5 %."""

TIGHTEST = 250
"""Number of outcomes, a year, for which the confidence sequence is made tightest."""

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

_BETS = (-0.5, -0.25, -0.1, -0.04, 0.04, 0.1, 0.25, 0.5)
"""Shares of the largest bet that cannot lose everything."""


def follow_up(issued: pd.DataFrame, panel: Panel, now: datetime) -> pd.DataFrame:
    """Return issued forecasts with `status` and, where it is known, `realised`.

    An outcome is the return between two sessions in the bars as they are now, so a split
    or a dividend after the forecast does not change it. Status:

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
        return issued.assign(status=pd.Series(dtype=str), realised=np.nan)
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
        outcome = pd.Series(np.nan, index=rows["id"])
        foreign = np.zeros(len(rows), bool)
        if bars is not None and len(bars):
            foreign = rows["made_on"].isin(_unmatched_origins(rows, bars)).to_numpy()
            known = rows[rows["made_on"].isin(bars.index)]
            if len(known):
                found = realise(known, panel)
                outcome.loc[found["id"]] = found["realised"].to_numpy()
        status = np.where(np.isfinite(outcome.to_numpy()), SCORED, np.where(settled, WAITING, OPEN))
        status = np.where(late, LATE, status)
        status = np.where(foreign, UNMATCHED, status)
        realised = outcome.to_numpy()
        parts.append(rows.assign(status=status, realised=np.where(foreign, np.nan, realised)))
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


@dataclass(frozen=True)
class Evidence:
    """Evidence that intervals do not cover what they promise.

    Attributes:
        value: of the e-process after the last date. Above 1 speaks against the coverage,
            below 1 for it.
        highest: the highest value so far.
        alarmed_on: the origin at which the value first reached `ALARM`; None if never.
    """

    value: float
    highest: float
    alarmed_on: pd.Timestamp | None


def coverage_evidence(scored: pd.DataFrame) -> Evidence:
    """Return the evidence against the 50, 80 and 95 % intervals of step-1 forecasts.

    The value is the wealth of a gambler who starts with 1 and bets each day on how many
    outcomes miss the next intervals. If the intervals cover what they promise, no strategy
    wins on average, and the wealth ever reaches 20 with a probability of at most 5 %.

    Equation: E_t = mean over c and λ of Π (1 + λ·(m_s − (1 − c))), m_s the share of
        tickers whose outcome misses the interval of coverage c on date s.
    Source: Waudby-Smith, Ramdas (2024), Estimating means of bounded random variables by
        betting; Ville (1939) for the bound.
    """
    by_date = scored["made_on"]
    if not len(scored):
        return Evidence(1.0, 1.0, None)
    wealth = []
    for share in COVERAGES:
        outside = pd.Series(~covered(scored, share), index=by_date.to_numpy(), dtype=float)
        excess = outside.groupby(level=0).mean() - (1 - share)
        for bet in _BETS:
            largest = 1 / (1 - share) if bet > 0 else 1 / share
            wealth.append(np.log1p(bet * largest * excess.to_numpy()).cumsum())
    dates = np.unique(by_date.to_numpy())
    value = np.exp(np.clip(np.array(wealth), -700, 700)).mean(axis=0)
    above = np.flatnonzero(value >= ALARM)
    alarmed = pd.Timestamp(dates[above[0]]) if len(above) else None
    return Evidence(float(value[-1]), float(value.max()), alarmed)


def confidence_sequence(values: pd.Series, step: int) -> pd.DataFrame:
    """Return the mean of values up to each date with its 95 % confidence sequence.

    The sequence holds the true mean at all dates together with a probability of 95 %. It is
    asymptotic: it needs some dozens of dates. Outcomes h sessions ahead overlap, so n of
    them count as n/h.

    Equation: mean ± s·√(2(mρ² + 1)/(m²ρ²) · ln(√(mρ² + 1)/α)), m = n/h.
    Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (2024), Time-uniform central
        limit theory and asymptotic confidence sequences, theorem 2.2.

    Args:
        values: one per origin, ascending.

    Returns:
        By origin: `mean`, `low`, `high` and `n`.
    """
    alpha = 0.05
    x = values.to_numpy(float)
    n = np.arange(1, len(x) + 1)
    mean = x.cumsum() / n
    spread = np.sqrt(np.maximum((x**2).cumsum() / n - mean**2, 0.0))
    rho2 = (-2 * np.log(alpha) + np.log(1 - 2 * np.log(alpha))) * step / TIGHTEST
    m = n / step
    radius = np.sqrt(2 * (m * rho2 + 1) / (m**2 * rho2) * np.log(np.sqrt(m * rho2 + 1) / alpha))
    low, high = mean - spread * radius, mean + spread * radius
    return pd.DataFrame({"mean": mean, "low": low, "high": high, "n": n}, index=values.index)


def skill_sequence(losses: pd.Series, baseline: pd.Series, step: int) -> pd.DataFrame:
    """Return the skill up to each date with its 95 % confidence sequence.

    It is the sequence of the loss differences, divided by the baseline's mean loss so far.

    Args:
        losses, baseline: mean losses by origin, the same origins.

    Returns:
        By origin: `skill`, `low`, `high` (fractions) and `n`.
    """
    sequence = confidence_sequence(baseline - losses, step).rename(columns={"mean": "skill"})
    unit = baseline.cumsum() / sequence["n"]
    return sequence.assign(**{key: sequence[key] / unit for key in ("skill", "low", "high")})


def live_table(scored: pd.DataFrame) -> pd.DataFrame:
    """Return how published recipes compare with the others, step by step.

    Published is what is calibrated; `published` is its name. There is one row per
    published recipe, step and recipe; its own row comes first. Two
    recipes are compared on the origins that both have. Steps at which there is no other
    recipe are left out.

    Columns: `published step recipe calibrated origins forecasts crps direction`;
    `coverage50 coverage80 coverage95`, each with its confidence sequence in `…_low` and
    `…_high`; and `skill low high word`, the skill of the published recipe against this one
    with its confidence sequence and what that says (NaN in its own row).
    """
    rows: list[dict[str, object]] = []
    if not len(scored):
        return pd.DataFrame(columns=_TABLE)
    inside = {_coverage(share): covered(scored, share).astype(float) for share in COVERAGES}
    values = scored.assign(crps=crps(scored), direction=direction(scored), **inside)
    for published in sorted(scored.loc[scored["calibrated"], "recipe"].unique()):
        for step, of_step in values.groupby("step"):
            rows += _compared(of_step, str(published), int(str(step)))
    return pd.DataFrame(rows, columns=_TABLE)


def _compared(of_step: pd.DataFrame, published: str, step: int) -> list[dict[str, object]]:
    """Return the rows of a published recipe at one step; none if it is the only one."""
    keys = list(IDENTITY)
    recipes = list(of_step[keys].drop_duplicates().itertuples(index=False, name=None))
    judged = (published, True)
    if judged not in recipes or len(recipes) == 1:
        return []
    wide = of_step.set_index(["ticker", "made_on", *keys]).sort_index()
    wide = wide[["crps", "direction", *map(_coverage, COVERAGES)]].unstack(keys)
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
            "crps": own["crps"].mean(),
            "direction": own["direction"].mean(),
        }
        for name in map(_coverage, COVERAGES):
            last = confidence_sequence(by_date[name], step).iloc[-1]
            row |= {name: own[name].mean(), f"{name}_low": max(0.0, last["low"])}
            row[f"{name}_high"] = min(1.0, last["high"])
        if key != judged:
            ours = both["crps", *judged].groupby(level="made_on").mean()
            last = skill_sequence(ours, by_date["crps"], step).iloc[-1]
            row |= {name: float(last[name]) for name in ("skill", "low", "high")}
            row["word"] = live_word(len(by_date), float(last["low"]), float(last["high"]))
        found.append(row)
    return found


def _coverage(share: float) -> str:
    return f"coverage{share * 100:.0f}"


_TABLE = [
    *("published", "step", *IDENTITY, "origins", "forecasts", "crps"),
    *(f"{_coverage(share)}{end}" for share in COVERAGES for end in ("", "_low", "_high")),
    *("direction", "skill", "low", "high", "word"),
]


def live_word(origins: int, low: float, high: float) -> str:
    """Return what the confidence sequence of a skill says: the word of `live_table`."""
    if origins < MIN_OUTCOMES:
        return NO_VERDICT
    return AHEAD if low > 0 else BEHIND if high < 0 else NOT_TOLD_APART
