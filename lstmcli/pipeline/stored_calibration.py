"""What a run keeps of its calibration, as far as it holds for the bars of today."""

from __future__ import annotations

import logging

from lstmcli.forecasters.calibration_state import CalibrationState
from lstmcli.panel import Panel
from lstmcli.pipeline.session import Session

log = logging.getLogger(__name__)

KNOWN = 0.5
"""Share of the tickers that a state must know: what it lacks starts without any history."""


def calibration_of(session: Session, run: str, panel: Panel) -> CalibrationState | None:
    """Return what a run keeps of its calibration, or None: then it is learnt anew.

    A ticker whose bars have changed since is left out, and said: its errors were those of
    other bars. It starts with the errors of the other tickers.

    Raises:
        DataError: the run is damaged.
    """
    state = session.calibration(run)
    if state is None:
        return None
    sessions = panel.sessions()
    if len(sessions) and sessions[-1] < state.before:
        return None  # of a past origin: its state has seen what came after
    changed = state.changed(panel)
    known = state.only(set(state.tickers) - set(changed))
    anew = len(set(known.tickers) & set(panel)) < KNOWN * len(panel)
    if changed:
        what = "calibration is learnt anew" if anew else "their calibration starts anew"
        log.warning(
            "bars before %s have changed since %s: %s; %s",
            f"{state.before:%Y-%m-%d}",
            run,
            " ".join(changed),
            what,
        )
    return None if anew else known
