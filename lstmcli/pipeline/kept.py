"""Kept: what an evening writes down so that the next one is quick. Without it that takes longer."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping

from lstmcli.errors import LstmError
from lstmcli.forecasters.baselines.kept_fits import made_by
from lstmcli.forecasters.kept_calibration import KeptCalibration
from lstmcli.pipeline.session import Session

log = logging.getLogger(__name__)

LIBRARIES = ("numpy", "pandas", "exchange_calendars")
"""What the last digits of a forecast depend on, beside the run and the machine."""


def keep_fits(session: Session) -> None:
    """Write the fits of baselines of this evening."""
    if not session.fits.changed:
        return
    try:
        session.workspace.fits.write(session.fits.as_rows(), made_by())
        session.fits.changed = False
    except LstmError as error:
        log.warning("fits of baselines are not kept: %s", error)


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


def keep_calibration(session: Session, run: str, learnt: Mapping[str, bytes]) -> None:
    """Write what calibration has learnt of the tickers of a run."""
    try:
        session.workspace.calibrations.write(run, learnt)
    except LstmError as error:
        log.info("what calibration has learnt is not kept: %s", error)
