"""How issued forecasts turned out: which outcomes count."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd

from lstmcli.evaluation.metrics import outcomes_of
from lstmcli.frames import IDENTITY
from lstmcli.panel import Panel
from lstmcli.sessions import WEEKDAYS, opening_times, settled_session

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


def follow_up(
    issued: pd.DataFrame, panel: Panel, now: datetime, *, repeats: bool = True
) -> pd.DataFrame:
    """Return issued forecasts with `status` and, where they are known, `realised` and `unit`.

    `unit` is the volatility that losses are divided by; see `outcomes_of`. An outcome is the
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
        repeats: mark those that repeat another one; else a caller does so who has all rows.
    """
    if not len(issued):
        return issued.assign(status=pd.Series(dtype=str), realised=np.nan, unit=np.nan)
    opens = _opening_times(issued, panel)
    issued_at = issued["issued_at"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    late = issued_at >= opens
    status = np.full(len(issued), OPEN, dtype=object)
    realised, unit = np.full((2, len(issued)), np.nan)
    for ticker, at in issued.groupby("ticker", sort=False).indices.items():
        rows = issued.iloc[at]
        bars = panel[str(ticker)] if ticker in panel else None
        calendar = panel.calendars.get(str(ticker), WEEKDAYS)
        observed = pd.DatetimeIndex([]) if bars is None else pd.DatetimeIndex(bars.index)
        settled = settled_session(calendar, now, observed=observed)
        status[at[(rows["target_on"] <= settled).to_numpy()]] = WAITING
        if bars is None or not len(bars):
            continue
        realised[at], unit[at] = outcomes_of(rows, bars)
        status[at[~np.isnan(realised[at])]] = SCORED
        if unmatched := _unmatched_origins(rows, bars):
            foreign = at[rows["made_on"].isin(unmatched).to_numpy()]
            status[foreign], realised[foreign], unit[foreign] = UNMATCHED, np.nan, np.nan
    status[late & (status != UNMATCHED)] = LATE
    followed = issued.assign(
        status=pd.Series(status, issued.index, dtype=str), realised=realised, unit=unit
    )
    followed = followed.sort_values("id").reset_index(drop=True)
    if not repeats:
        return followed
    again = followed.duplicated(["ticker", "made_on", "step", *IDENTITY])
    followed["status"] = followed["status"].where(~again, REPEATED)
    return followed


def _opening_times(issued: pd.DataFrame, panel: Panel) -> np.ndarray:
    """Return when the target session of each row opens, UTC without a zone."""
    opens = np.empty(len(issued), "datetime64[ns]")
    calendars = issued["ticker"].map(lambda ticker: panel.calendars.get(ticker, WEEKDAYS))
    for calendar, at in calendars.groupby(calendars).indices.items():
        targets = pd.DatetimeIndex(issued["target_on"].iloc[at])
        distinct = targets.unique().sort_values()
        times = opening_times(str(calendar), distinct).tz_localize(None).to_numpy()
        opens[at] = times[distinct.get_indexer(targets)]
    return opens


def _unmatched_origins(rows: pd.DataFrame, bars: pd.DataFrame) -> list[pd.Timestamp]:
    """Return the origins of a ticker whose close the bars do not hold.

    Splits after an origin divide its close. A source that does not state them shows one
    ratio at neighbouring origins, or the ratio of a usual split; another company neither.
    """
    made_on, first = np.unique(rows["made_on"].to_numpy(), return_index=True)
    origins = pd.DatetimeIndex(made_on)
    missing = list(origins[origins < bars.index[0]])
    at = bars.index.get_indexer(origins)
    there = at >= 0
    if not there.any():
        return missing
    close, at = rows["last_close"].to_numpy(float)[first][there], at[there]
    splits = np.where(bars["split"] > 0, bars["split"], 1.0)
    later = np.append(splits[::-1].cumprod()[::-1][1:], 1.0)  # product of those after it
    ratio = pd.Series(np.log(close / (bars["close"].to_numpy(float) * later)[at]), origins[there])
    if (ratio.abs() <= MAX_CORRECTION).all():
        return missing
    explained = (ratio.abs() <= MAX_CORRECTION) | (_off_a_split(ratio) <= MAX_DRIFT)
    steps = ratio.diff().abs() <= MAX_DRIFT
    if len(ratio) >= MIN_NEIGHBOURS and steps[1:].mean() >= 0.5:
        explained |= steps | steps.shift(-1, fill_value=False)
    return [*missing, *explained.index[~explained]]


def _off_a_split(ratio: pd.Series) -> pd.Series:
    """Return how far log ratios are from those of a split of a whole number to 1, or back."""
    size = ratio.abs()
    return (size - np.log(np.exp(size).round().clip(lower=2, upper=MAX_SPLIT))).abs()
