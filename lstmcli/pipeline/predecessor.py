"""What calibration has learnt: handed from a run to the next one with its config."""

from __future__ import annotations

import logging

from lstmcli.config import RunConfig, config_sha
from lstmcli.errors import DataError, LstmError
from lstmcli.forecasters.base import Fitted
from lstmcli.forecasters.calibrated import learnt_from
from lstmcli.forecasters.calibration import learn
from lstmcli.forecasters.calibration_state import CalibrationState
from lstmcli.pipeline.market import optional_series, series_key
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.stored_calibration import calibration_of
from lstmcli.pipeline.training_plan import TrainPlan
from lstmcli.splits import SplitConfig
from lstmcli.store.runs import Manifest

log = logging.getLogger(__name__)


def lineage(config: RunConfig) -> str:
    """Return what runs have in common that one may go on from another: a hash.

    It is the config, the seed included, without tickers and blocks: a new run has more
    sessions, and perhaps another ticker.
    """
    return config_sha(config.model_copy(update={"tickers": (), "split": SplitConfig()}))


def learnt_by(session: Session, plan: TrainPlan, fitted: Fitted) -> CalibrationState:
    """Return what calibration has learnt before the last session of a training.

    The newest earlier run of the same lineage hands over what it has learnt, and forecasts the
    sessions since: each date by the fit that was current on it, as in a backtest. Without such
    a run it is learnt from the calibration block of the new fit.
    """
    panel = plan.panel
    before = panel.sessions()[-1]
    inherited = _inherited(session, plan)
    if inherited is None:
        history = learnt_from(fitted, panel)
        past = panel.until(before)
        return learn(fitted.forecast(past, history[history < before]), past, before)
    predecessor, state = inherited
    sessions = panel.sessions()
    between = sessions[(sessions >= state.before) & (sessions < before)]
    known = panel.narrow([ticker for ticker in panel if ticker in state.tickers])
    return learn(predecessor.forecast(known, between), known, before, state=state)


def _inherited(session: Session, plan: TrainPlan) -> tuple[Fitted, CalibrationState] | None:
    """Return the newest earlier run that may hand over, and what it had learnt."""
    wanted, last = lineage(plan.config), plan.panel.sessions()[-1]
    for manifest in reversed(session.manifests()):
        same = manifest.variant == plan.config.model.name
        if not same or manifest.features != plan.config.features:
            continue
        try:
            if lineage(session.config(manifest.run)) != wanted:
                continue
            if not _reads_the_same(manifest, plan):
                continue
            state = calibration_of(session, manifest.run, plan.panel)
            if state is None or state.before > last:
                continue
            state = state.only(set(plan.panel))
            return session.fitted(manifest.run).with_prepared(plan.prepared), state
        except DataError as error:
            log.warning("calibration does not go on from %s: %s", manifest.run, error)
        except LstmError:
            continue  # of another version: it cannot be read
    return None


def _reads_the_same(manifest: Manifest, plan: TrainPlan) -> bool:
    """Return whether a run has learnt from the optional market series that a training has."""
    keys = map(series_key, optional_series(plan.config).values())
    return all((key in manifest.bars) == (key in plan.loaded.hashes) for key in keys)
