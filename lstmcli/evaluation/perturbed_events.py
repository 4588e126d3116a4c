"""Events that differ in all that was not known on a day: moved, taken back and invented."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lstmcli.features.events import WITHDRAWN
from lstmcli.frames import EARNINGS, EARNINGS_SOURCES, EVENT_COLUMNS, EVENT_TIMINGS
from lstmcli.panel import Panel

NEAR = 20
"""Sessions before and after a day in which events are invented."""


def perturbed_events(
    panel: Panel, after: pd.Timestamp, generator: np.random.Generator
) -> pd.DataFrame:
    """Return events of which those that became known after `after` differ.

    Half of them are dropped. The others name another session, one that may also lie before
    `after`, and another amount. What was known to be ahead is taken back on the day after.
    See `_invented` for what is added.
    """
    events = panel.events
    later = (events["known_on"] > after).to_numpy()
    kept = events[~later | (generator.random(len(events)) < 0.5)]
    later = (kept["known_on"] > after).to_numpy()
    days = generator.choice([-1, 1], len(kept)) * generator.integers(1, 30, len(kept))
    moved = kept["session"] + pd.to_timedelta(days, "D")
    kept = kept.assign(
        session=kept["session"].where(~later, moved),
        amount=kept["amount"].where(~later, kept["amount"] * generator.uniform(1.1, 2, len(kept))),
    )
    ahead = events[(events["known_on"] <= after) & (events["session"] > after)]
    taken_back = ahead.assign(status=WITHDRAWN, known_on=_next_day(after))
    parts = [kept, *filter(len, (taken_back, _invented(panel, after, generator)))]
    return pd.concat([part.astype(events.dtypes) for part in parts]) if len(parts) > 1 else kept


def _invented(panel: Panel, after: pd.Timestamp, generator: np.random.Generator) -> pd.DataFrame:
    """Return events that nobody has stated, which become known on the day after `after`.

    Of each ticker, kind and source there is one on its next session, so that a feature that
    peeks one session ahead is found, however rare events are; one on a session that follows
    within weeks; and one on a session that had closed, as if it were found out afterwards.
    Announcements of results are invented also where a panel has none.
    """
    stated = panel.events[["kind", "source"]].drop_duplicates()
    pairs = {*stated.itertuples(index=False, name=None)}
    pairs |= {(EARNINGS, source) for source in EARNINGS_SOURCES}
    rows = []
    for ticker, bars in {**panel.bars, **panel.beside}.items():
        sessions = pd.DatetimeIndex(bars.index)
        known = int(sessions.searchsorted(after, side="right"))
        if known == len(sessions):
            continue
        first, last = max(0, known - NEAR), min(len(sessions), known + NEAR)
        for kind, source in sorted(pairs):
            places = (
                known,
                generator.integers(known, last),
                *(generator.integers(first, known, 1) if known else ()),
            )
            for place in dict.fromkeys(map(int, places)):
                timing = EVENT_TIMINGS[generator.integers(len(EVENT_TIMINGS))]
                amount = generator.uniform(0.5, 2)
                rows.append((ticker, kind, sessions[place], timing, "confirmed", amount, source))
    names = [name for name in EVENT_COLUMNS if name != "known_on"]
    found = pd.DataFrame(rows, columns=names).assign(known_on=_next_day(after))
    return found[list(EVENT_COLUMNS)]


def _next_day(day: pd.Timestamp) -> pd.Timestamp:
    return day.normalize() + pd.Timedelta(days=1)
