"""How issued forecasts turned out: scores and evidence that may be looked at every day.

A p-value is for one look. Here the same question is asked each evening, so the
answers are an e-process and a confidence sequence: valid at all times at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from lstmcli.evaluation.metrics import covered, crps, direction, realise
from lstmcli.forecasters.calibrated import SUFFIX
from lstmcli.frames import COVERAGES
from lstmcli.panel import Panel
from lstmcli.sessions import WEEKDAYS, opening_times, settled_session

LEAST_OUTCOMES = 60
"""Dates with an outcome without which there is no verdict."""

ALARM = 20.0
"""Evidence against a coverage that true coverage reaches once in twenty lives."""

TIGHTEST = 250
"""Outcomes at which the confidence sequence is tightest: a year."""

SCORED, OPEN, WAITING, LATE, REPEATED = "scored", "open", "waiting", "late", "repeated"

_BETS = (-0.5, -0.25, -0.1, -0.04, 0.04, 0.1, 0.25, 0.5)
"""Shares of the largest bet that cannot lose everything."""


def follow_up(issued: pd.DataFrame, panel: Panel, now: datetime) -> pd.DataFrame:
    """Return issued forecasts with `status` and, where it is known, `realised`.

    Every outcome is read off the bars as they are now, between two sessions: a split
    or a dividend after the forecast changes nothing. Status:

        scored    the outcome is known
        open      the target session has not settled
        waiting   it has, but the bars have a hole up to it, or end before it
        late      issued when the target session had opened: kept, never scored
        repeated  the ticker had a forecast from that origin before; the first counts
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
        came = pd.Series(np.nan, index=rows["id"])
        if bars is not None and len(bars):
            known = rows[rows["made_on"].isin(bars.index)]
            if len(known):
                outcome = realise(known, Panel({str(ticker): bars}, panel.calendars))
                came.loc[outcome["id"]] = outcome["realised"].to_numpy()
        status = np.where(np.isfinite(came.to_numpy()), SCORED, np.where(settled, WAITING, OPEN))
        status = np.where(late, LATE, status)
        parts.append(rows.assign(status=status, realised=came.to_numpy()))
    found = pd.concat(parts).sort_values("id").reset_index(drop=True)
    again = found.duplicated(["ticker", "made_on", "step", "recipe"])
    found["status"] = found["status"].where(~again, REPEATED)
    return found


def is_published(rows: pd.DataFrame) -> pd.Series:
    """Return which rows are of a network whose cones are shown."""
    return rows["recipe"].str.endswith(SUFFIX)


@dataclass(frozen=True)
class Evidence:
    """Evidence that an interval does not cover what it says.

    Attributes:
        value: of the e-process after the last date; 1 says nothing, below 1 is for it.
        highest: that it ever had.
        alarmed_on: origin at which it first reached `ALARM`.
    """

    value: float
    highest: float
    alarmed_on: pd.Timestamp | None


def coverage_evidence(scored: pd.DataFrame) -> Evidence:
    """Return the evidence against the 50, 80 and 95 % intervals of step-1 forecasts.

    A gambler bets each day on the misses of the next: if intervals cover what they
    say, whatever was before, no strategy is expected to win, and the wealth of this
    one reaches 20 with a probability of at most 5 %, ever.

    Equation: E_t = mean over c and λ of Π (1 + λ·(m_s − (1 − c))), m_s the share of
        tickers outside the interval of coverage c on date s.
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
    over = np.flatnonzero(value >= ALARM)
    alarmed = pd.Timestamp(dates[over[0]]) if len(over) else None
    return Evidence(float(value[-1]), float(value.max()), alarmed)


def confidence_sequence(values: pd.Series, step: int) -> pd.DataFrame:
    """Return the mean of values up to each date with its 95 % confidence sequence.

    Asymptotic: right at all dates together once there are some dozens. Outcomes of h
    steps overlap, so n of them count as n/h.

    Equation: mean ± s·√(2(mρ² + 1)/(m²ρ²) · ln(√(mρ² + 1)/α)), m = n/h.
    Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (2024), Time-uniform central
        limit theory and asymptotic confidence sequences, theorem 2.2.

    Args:
        values: one per origin, ascending.

    Returns:
        By origin: `mean`, `low`, `high` and `n`.
    """
    alpha = 0.05
    each = values.to_numpy(float)
    n = np.arange(1, len(each) + 1)
    mean = each.cumsum() / n
    spread = np.sqrt(np.maximum((each**2).cumsum() / n - mean**2, 0.0))
    rho2 = (-2 * np.log(alpha) + np.log(1 - 2 * np.log(alpha))) * step / TIGHTEST
    m = n / step
    radius = np.sqrt(2 * (m * rho2 + 1) / (m**2 * rho2) * np.log(np.sqrt(m * rho2 + 1) / alpha))
    low, high = mean - spread * radius, mean + spread * radius
    return pd.DataFrame({"mean": mean, "low": low, "high": high, "n": n}, index=values.index)


def skill_sequence(losses: pd.Series, baseline: pd.Series, step: int) -> pd.DataFrame:
    """Return the skill up to each date with its 95 % confidence sequence.

    The loss differences' sequence, divided by the baseline's mean loss so far.

    Args:
        losses, baseline: mean losses by origin, the same origins.

    Returns:
        By origin: `skill`, `low`, `high` (fractions) and `n`.
    """
    sequence = confidence_sequence(baseline - losses, step).rename(columns={"mean": "skill"})
    unit = baseline.cumsum() / sequence["n"]
    return sequence.assign(**{key: sequence[key] / unit for key in ("skill", "low", "high")})


def live_table(scored: pd.DataFrame) -> pd.DataFrame:
    """Return one row per published recipe, step and recipe beside it.

    Of the steps at which anything stands beside it.

    Columns: `published step recipe origins forecasts crps direction`, per coverage c
    `coverage…` with its confidence sequence `coverage…_low`, `coverage…_high`, and of the
    published recipe's skill against this one `skill low high` (NaN in its own row) with
    `word`. Both are taken on the origins that both have.
    """
    rows: list[dict[str, object]] = []
    if not len(scored):
        return pd.DataFrame(columns=_TABLE)
    inside = {_coverage(share): covered(scored, share).astype(float) for share in COVERAGES}
    values = scored.assign(crps=crps(scored), direction=direction(scored), **inside)
    for published in sorted(scored.loc[is_published(scored), "recipe"].unique()):
        for step, of_step in values.groupby("step"):
            rows += _compared(of_step, str(published), int(str(step)))
    return pd.DataFrame(rows, columns=_TABLE)


def _compared(of_step: pd.DataFrame, published: str, step: int) -> list[dict[str, object]]:
    """Return the rows of a published recipe at one step; none where it stands alone."""
    names = list(of_step["recipe"].unique())
    if published not in names or len(names) == 1:
        return []
    wide = of_step.set_index(["ticker", "made_on", "recipe"]).sort_index()
    wide = wide[["crps", "direction", *map(_coverage, COVERAGES)]].unstack("recipe")
    found = []
    for name in (published, *(name for name in names if name != published)):
        both = wide[wide["crps", published].notna() & wide["crps", name].notna()]
        if not len(both):
            continue
        own = both.xs(name, axis=1, level="recipe")
        by_date = own.groupby(level="made_on").mean()
        row: dict[str, object] = {
            "published": published,
            "step": step,
            "recipe": name,
            "origins": len(by_date),
            "forecasts": len(own),
            "crps": own["crps"].mean(),
            "direction": own["direction"].mean(),
        }
        for key in map(_coverage, COVERAGES):
            last = confidence_sequence(by_date[key], step).iloc[-1]
            row |= {key: own[key].mean(), f"{key}_low": max(0.0, last["low"])}
            row[f"{key}_high"] = min(1.0, last["high"])
        if name != published:
            ours = both["crps", published].groupby(level="made_on").mean()
            last = skill_sequence(ours, by_date["crps"], step).iloc[-1]
            row |= {key: float(last[key]) for key in ("skill", "low", "high")}
            row["word"] = live_word(len(by_date), float(last["low"]), float(last["high"]))
        found.append(row)
    return found


def _coverage(share: float) -> str:
    return f"coverage{share * 100:.0f}"


_TABLE = [
    *("published", "step", "recipe", "origins", "forecasts", "crps"),
    *(f"{_coverage(share)}{end}" for share in COVERAGES for end in ("", "_low", "_high")),
    *("direction", "skill", "low", "high", "word"),
]


def live_word(origins: int, low: float, high: float) -> str:
    """Return what a confidence sequence says in a word or two."""
    if origins < LEAST_OUTCOMES:
        return f"no verdict before {LEAST_OUTCOMES}"
    return "ahead" if low > 0 else "behind" if high < 0 else "not told apart"
