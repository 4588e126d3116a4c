"""What a run and its evenings keep of calibration, as far as it holds for the bars of today."""

from __future__ import annotations

import hashlib
import json
import logging

from lstmcli.errors import LstmError
from lstmcli.forecasters.baselines.kept_fits import made_by
from lstmcli.forecasters.calibration_state import CalibrationState
from lstmcli.forecasters.kept_calibration import KeptCalibration
from lstmcli.panel import Panel
from lstmcli.pipeline.session import Session

log = logging.getLogger(__name__)

LIBRARIES = ("numpy", "pandas", "exchange_calendars")
"""What the last digits of a forecast depend on, beside the run and the machine."""

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


def kept_calibration(session: Session, run: str) -> KeptCalibration:
    """Return what earlier evenings have learnt of the tickers of a run.

    Raises:
        DataError: the run is damaged.
    """
    files, store = session.files(run), session.workspace.calibrations
    digest = hashlib.sha256(files.config.encode() + files.state)
    for name, content in sorted(files.fitted.items()):
        digest.update(name.encode() + content)
    versions = {**made_by(LIBRARIES), "run": digest.hexdigest()}
    return KeptCalibration(
        horizon=session.config(run).recipe().horizon,
        made_by=json.dumps(versions),
        load=lambda ticker: store.read(run, ticker),
    )


def keep_calibration(session: Session, run: str, kept: KeptCalibration) -> None:
    """Write what was learnt for the next evening. Without it that takes longer, and no more."""
    try:
        session.workspace.calibrations.write(run, kept.changed)
        kept.changed.clear()
    except LstmError as error:
        log.info("what calibration has learnt is not kept: %s", error)
