"""Joining stored bars with the last sessions, delivered again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd

from lstmcli.digits import in_words, told_apart
from lstmcli.frames import BAR_COLUMNS, values_of
from lstmcli.sessions import settled_session
from lstmcli.sources.base import Delivery

OVERLAP = 10
"""Sessions before the last stored one that an update asks for again."""

REVISED = 5
"""Last sessions whose values may still be corrected. Yahoo corrects volume for days."""

MAX_ROUNDING = 1e-6
"""Relative difference that comes from rounding."""

MAX_CORRECTION = 0.01
"""Relative change of a price among the last sessions that is taken over."""


def update_start(stored: pd.DataFrame) -> pd.Timestamp:
    """Return the session from which an update asks again."""
    return stored.index[max(0, len(stored) - 1 - OVERLAP)]


def restatement(stored: pd.DataFrame, fresh: pd.DataFrame) -> str | None:
    """Return why the stored history is no longer valid, or None if it is.

    `fresh` starts inside the stored bars. A split or a changed dividend rewrites all
    earlier prices: bars appended to the old ones would be on another scale.
    """
    new_splits = fresh["split"][fresh["split"] != 0]
    known = stored["split"].reindex(new_splits.index).fillna(0.0)
    changed = new_splits[new_splits != known]
    if len(changed):
        return f"split {in_words(changed.iloc[0])} : 1 on {changed.index[0]:%Y-%m-%d}"
    both = stored.index.intersection(fresh.index)
    if both.empty:
        return "no session in common with what was stored"
    old, new = stored.loc[both], fresh.loc[both]
    change = _relative(old, new)  # (T, 7), columns as in `BAR_COLUMNS`
    columns = dict(zip(BAR_COLUMNS, change.T, strict=True))
    if (columns["close"] > MAX_ROUNDING).all():
        ratios = (new["close"] / old["close"]).to_numpy()
        if np.ptp(ratios) <= 1e-3 * ratios[0]:
            return f"every close is {in_words(ratios.mean())} times the stored one"
    for name in ("dividend", "split"):
        moved = columns[name] > MAX_ROUNDING
        if moved.any():
            return _changed(name, both[moved][0], old, new)
    settled = np.asarray(both < stored.index[-REVISED:][0])
    for name in BAR_COLUMNS:
        last = np.inf if name == "volume" else MAX_CORRECTION
        moved = columns[name] > np.where(settled, MAX_ROUNDING, last)
        if moved.any():
            return _changed(name, both[moved][0], old, new)
    return None


def _changed(name: str, session: pd.Timestamp, old: pd.DataFrame, new: pd.DataFrame) -> str:
    before, after = told_apart(old.at[session, name], new.at[session, name])
    return f"{name} of {session:%Y-%m-%d} changed from {before} to {after}"


def joined(stored: pd.DataFrame, fresh: pd.DataFrame) -> pd.DataFrame:
    """Return both, with the fresh values where both have a session.

    A stored session stays even if the source no longer has it.
    """
    first = stored.index.searchsorted(fresh.index[0])  # what lies before it stays as it is
    later = stored.iloc[first:]
    kept = later[~later.index.isin(fresh.index)]
    bars = pd.concat([stored.iloc[:first], kept, fresh]).rename_axis("session")
    return bars.sort_index() if len(kept) else bars


def same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Return whether two sets of bars agree but for rounding."""
    return one.index.equals(other.index) and bool((_relative(one, other) <= MAX_ROUNDING).all())


def _relative(old: pd.DataFrame, new: pd.DataFrame) -> np.ndarray:
    """Return by what share of the larger one the values of bars differ, (T, 7); 0 for NaN."""
    one, other = (values_of(bars, BAR_COLUMNS) for bars in (old, new))
    scale = np.maximum(np.abs(one), np.abs(other))
    change = np.abs(other - one) / np.where(scale > 0, scale, 1.0)
    return np.where(np.isnan(change), 0.0, change)


def without_open_sessions(delivery: Delivery, calendar: str, moment: datetime) -> Delivery:
    """Return a delivery without sessions that have not settled, and a note on these."""
    index = pd.DatetimeIndex(delivery.bars.index)
    if index.empty:
        return delivery
    settled = index <= settled_session(calendar, moment, observed=index)
    if settled.all():
        return delivery
    open_ = index[~settled]
    note = f"without {open_[0]:%Y-%m-%d}, which has not closed"
    if len(open_) > 1:
        note = f"without {len(open_)} sessions from {open_[0]:%Y-%m-%d} on, which have not closed"
    return replace(delivery, bars=delivery.bars[settled], notes=(*delivery.notes, note))
