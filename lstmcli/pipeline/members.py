"""Members of a network as tasks: each is trained by a worker, which sends its state home."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from lstmcli.errors import ConfigError
from lstmcli.evaluation.tasks import MemberTask
from lstmcli.executors import Failure, Workers, open_executor, run_tasks, task_error
from lstmcli.forecasters.run_recipe import RunRecipe, TrainsMembers
from lstmcli.models.runtime import usable_cores
from lstmcli.panel import Panel
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.start import recipe_of
from lstmcli.pipeline.training_plan import TrainPlan

log = logging.getLogger(__name__)

WHOLE = "whole"
"""The array that marks the state of a member whose training has ended."""


@dataclass(frozen=True)
class MemberDone:
    """A member that a worker has trained.

    Attributes:
        fit: `scored` or `final`.
        done, of: members that are trained, and how many there are.
    """

    fit: str
    member: int
    epochs: int
    seconds: float
    done: int
    of: int


def check_members(recipe: RunRecipe, panel: Panel) -> TrainsMembers:
    """Return a recipe whose members can be trained as tasks.

    Raises:
        ConfigError: it trains them in one go.
    """
    if not isinstance(recipe, TrainsMembers) or not recipe.count_members(panel):
        raise ConfigError(
            f"Expected a network whose members are trained apart. Received: {recipe.name}, which "
            "goes on from another run in one go.",
            hint="leave --workers, --executor and --scheduler out, or train from nothing: "
            "--config best.yaml",
        )
    return recipe


def train_members(
    session: Session,
    plan: TrainPlan,
    run: str,
    workers: Workers,
    on_member: Callable[[MemberDone], None],
) -> None:
    """Train what members are left, and store their states as checkpoints of the run.

    A fit that follows goes on from them, and has nothing left to train. A worker has one
    thread, and cuts a batch into as many shards as this process would: so the digits are the same.

    Raises:
        LstmError: tasks failed; it has the highest of their exit codes.
        ConfigError: the network has no members that are trained apart.
    """
    training = plan.config.training
    threads = training.threads or usable_cores()
    settled = training.model_copy(update={"threads": 1, "shards": training.shards or threads})
    config = plan.config.model_copy(update={"training": settled})
    panel = plan.panel
    recipe = check_members(recipe_of(session, config), panel)
    fits = {"scored": plan.until}
    if training.refit:
        fits["final"] = panel.sessions()[-1]
    checkpoints = session.workspace.runs.checkpoints(run)
    tasks = []
    for fit, until in fits.items():
        for member in range(1, recipe.count_members(panel) + 1):
            saved = checkpoints.load(f"{fit}-{member}")
            if saved is None or WHOLE not in saved:
                tasks.append(MemberTask(recipe, panel.sha256, until, fit, member, saved))
    if not tasks:
        return
    of, failures = recipe.count_members(panel) * len(fits), []
    done = of - len(tasks)
    left: Mapping[str, MemberTask] = {task.key: task for task in tasks}
    with open_executor(workers, panels={panel.sha256: panel}, tasks=len(tasks)) as executor:
        for outcome in run_tasks(executor, tasks):
            if isinstance(outcome, Failure):
                failures.append(outcome)
                log.warning("%s failed: %s", outcome.key, outcome.line)
                continue
            done += 1
            if outcome.value is None:
                continue
            checkpoints.save(outcome.key, {**outcome.value, WHOLE: np.array(True)})
            task, epochs = left[outcome.key], len(outcome.value["rows"]) - 1
            on_member(MemberDone(task.fit, task.member, epochs, outcome.seconds, done, of))
    if failures:
        raise task_error(failures, of=of, hint="lstm train --resume runs what failed again")
