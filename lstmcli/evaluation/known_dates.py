"""How many dates of announcements were really known before they came."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from lstmcli.features.announcements import known_spans
from lstmcli.frames import ASSUMED, EARNINGS
from lstmcli.panel import Panel


class KnownDates(NamedTuple):
    """Announcements in the sessions of a test whose dates were known before they came.

    Attributes:
        stored: those whose dates a source, or the user, had stated by then.
        assumed: past dates that are taken as known five sessions ahead.
    """

    stored: int
    assumed: int


def known_dates(
    panel: Panel, first: pd.Timestamp, last: pd.Timestamp, *, horizon: int
) -> KnownDates | None:
    """Return how many dates in the sessions of a test were known; None of a panel without events.

    What counts of an announcement is what held on the day before its session.

    Args:
        first, last: origins; missing where there were none.
    """
    if not (panel.events["kind"] == EARNINGS).any():
        return None
    sessions = panel.sessions()
    if pd.isna(first) or not len(sessions):
        return KnownDates(0, 0)
    end = min(int(sessions.searchsorted(last, side="right")) - 1 + horizon, len(sessions) - 1)
    days = np.array([first, sessions[end]], "datetime64[D]")
    stored = assumed = 0
    for ticker in panel:
        spans = known_spans(panel.view(ticker).events(EARNINGS))
        session, since, until = (
            spans[name].to_numpy("datetime64[D]") for name in ("session", "since", "until")
        )
        held = (session > days[0]) & (session <= days[1]) & (since < session) & (session <= until)
        own = spans[held]
        real = ~own["source"].str.endswith(ASSUMED)
        stored += own.loc[real, "session"].nunique()
        assumed += own.loc[~real, "session"].nunique()  # hidden where one was stored, too
    return KnownDates(stored, assumed)
