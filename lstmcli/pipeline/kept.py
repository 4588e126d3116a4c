"""Kept: what an evening writes down so that the next one is quick. Without it that takes longer."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping

from lstmcli.errors import LstmError
from lstmcli.forecasters.baselines.kept_fits import KeptFits, made_by
from lstmcli.forecasters.kept_calibration import KeptCalibration
from lstmcli.pipeline.session import Session

log = logging.getLogger(__name__)

LIBRARIES = ("numpy", "pandas", "exchange_calendars")
"""What the last digits of a forecast depend on, beside the run and the machine."""


def kept_fits(session: Session) -> KeptFits:
    """Return the fits of baselines that earlier evenings have made."""
    return KeptFits(session.workspace.fits.read)


def keep_fits(session: Session, fits: Mapping[str, bytes]) -> None:
    """Write the fits of baselines of some tickers."""
    try:
        session.workspace.fits.write(fits)
    except LstmError as error:
        session.warn_once(f"fits of baselines are not kept: {error}", about="fits")


def kept_calibration(session: Session, run: str) -> KeptCalibration:
    """Return what earlier evenings have learnt of the tickers of a run.

    Raises:
        DataError: the run is damaged.
    """
    files, store = session.files(run), session.workspace.calibrations.of(run)
    digest = hashlib.sha256(files.config.encode() + files.state)
    for name, content in sorted(files.fitted.items()):
        digest.update(name.encode() + content)
    versions = {**made_by(LIBRARIES), "run": digest.hexdigest()}
    return KeptCalibration(
        horizon=session.config(run).recipe().horizon,
        made_by=json.dumps(versions),
        load=store.read,
    )


def keep_calibration(session: Session, run: str, learnt: Mapping[str, bytes]) -> None:
    """Write what calibration has learnt of the tickers of a run."""
    try:
        session.workspace.calibrations.of(run).write(learnt)
    except LstmError as error:
        log.info("what calibration has learnt is not kept: %s", error)
