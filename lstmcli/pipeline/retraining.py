"""When a run is trained again by its schedule, and how."""

from __future__ import annotations

from datetime import datetime

from lstmcli.config import Retrain, RunConfig
from lstmcli.errors import DataError
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.train import start_run, train
from lstmcli.pipeline.training_plan import plan_training
from lstmcli.store.runs import Manifest, Plan


def is_due(schedule: Retrain, trained: datetime, now: datetime) -> bool:
    """Return whether a new period of the schedule has begun since a run was trained."""
    return schedule != "never" and _period(schedule, trained) < _period(schedule, now)


def _period(schedule: Retrain, moment: datetime) -> tuple[int, int]:
    year, week, _ = moment.isocalendar()
    return {
        "never": (0, 0),
        "weekly": (year, week),
        "monthly": (moment.year, moment.month),
        "quarterly": (moment.year, (moment.month - 1) // 3),
        "yearly": (moment.year, 0),
    }[schedule]


def train_again(session: Session, config: RunConfig) -> Manifest:
    """Train a new run with the config of an older one.

    If a crash interrupted the same training before, this goes on with it.

    Raises:
        NoDataError: no bars, or too few.
        DiskError: the run could not be written; its checkpoints remain.
    """
    plan = plan_training(session, config, ())
    run = _interrupted(session, plan.record) or start_run(session, plan)
    result = train(session, plan, run, on_epoch=lambda epoch: None, on_stage=lambda stage: None)
    return result.manifest


def _interrupted(session: Session, record: Plan) -> str | None:
    """Return the newest interrupted run with the same config and bars."""
    runs = session.workspace.runs
    for run in reversed(runs.interrupted()):
        try:
            if runs.plan(run)[1] == record:
                return run
        except DataError:
            continue
    return None
