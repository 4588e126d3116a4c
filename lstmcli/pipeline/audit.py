"""The leak checks on the user's own config and bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lstmcli.config import RunConfig
from lstmcli.evaluation import leaks, simulated_checks
from lstmcli.evaluation.leaks import Check
from lstmcli.evaluation.metrics import realise
from lstmcli.evaluation.tasks import WalkTask
from lstmcli.executors import Failure, Workers, open_executor, run_tasks, task_error
from lstmcli.forecasters.calibrated import Calibrated, FittedCalibrated
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.start import recipe_for_simulations
from lstmcli.pipeline.training_plan import plan_training

SIMULATIONS, THOROUGH = 20, 200
"""Random walks by default, and with --thorough."""

MAX_EPOCHS = 10
"""A leak shows within a few epochs."""

PLANTED_EPOCHS = 20
"""Epochs within which the planted signal has to be found."""


def audit(
    session: Session,
    config: RunConfig,
    tickers: Sequence[str],
    *,
    simulations: int,
    workers: Workers,
    on_stage: Callable[[str], None],
    on_walk: Callable[[int], None],
) -> Iterator[Check]:
    """Yield each check as it is done.

    Each network has one member and is trained briefly: a leak is in the data, and shows
    however short the training is.

    Args:
        simulations: how many random walks are simulated.
        workers: where they are simulated.
        on_stage: called with what is done next, for the terminal.
        on_walk: called with how many random walks are done, from 0 on.

    Raises:
        NoDataError: no bars, or too few for the blocks.
    """
    asked, config = config, light(config)
    plan = plan_training(session, config, tickers)
    panel, recipe = plan.panel, plan.recipe
    horizon = recipe.horizon

    on_stage("features and targets")
    others = recipe.reads_others
    yield leaks.check_features(recipe.columns, panel, seed=config.seed, beside=others)
    yield leaks.check_targets(plan.prepared, panel)

    on_stage("fitting on the bars given")
    yield leaks.check_fit(recipe, panel, plan.until, seed=config.seed)
    fitted = FittedCalibrated(recipe.fit(panel, plan.until), alone=recipe.alone)
    test = plan.scored["test"].origins
    some = [test[0], test[len(test) // 2], test[-1]]
    yield leaks.check_forecast(fitted, panel, some, seed=config.seed)
    rows = realise(fitted.forecast(panel, test), panel)
    yield leaks.check_plausible(rows)
    yield leaks.describe_copying(rows)

    # The config's own split, in shares: these bars have another number of sessions.
    simulated, market = recipe_for_simulations(session, config), tuple(config.market)
    published = Calibrated(simulated)
    on_stage("fitting on shuffled sessions")
    yield simulated_checks.check_permuted(simulated, panel, seed=config.seed)
    if not recipe.alone:  # what starts from another run learns little on purpose
        on_stage("fitting on a planted signal")
        patient = recipe_for_simulations(session, light(asked, epochs=PLANTED_EPOCHS))
        check = simulated_checks.check_planted
        if recipe.volatility_alone:
            check = simulated_checks.check_planted_volatility
        yield check(Calibrated(patient), horizon, seed=config.seed, market=market)
    on_stage("fitting on simulated GARCH")
    yield simulated_checks.check_oracle(published, horizon, seed=config.seed, market=market)

    tasks = [
        WalkTask(published, horizon, seed, market)
        for seed in range(config.seed + 1, config.seed + 1 + simulations)
    ]
    beaten, failures = [], []
    on_walk(0)
    with open_executor(workers, panels={}, tasks=simulations) as executor:
        for outcome in run_tasks(executor, tasks):
            if isinstance(outcome, Failure):
                failures.append(outcome)
                continue
            beaten.append(outcome.value)
            on_walk(len(beaten))
    if failures:
        raise task_error(failures, of=simulations)
    yield simulated_checks.check_random_walks(beaten)


def light(config: RunConfig, *, epochs: int = MAX_EPOCHS) -> RunConfig:
    """Return a config that trains one network, briefly, on one thread."""
    training = config.training.model_copy(
        update={
            "members": 1,
            "refit": False,
            "epochs": min(config.training.epochs, epochs),
            "threads": 1,
        }
    )
    return config.model_copy(update={"training": training, "model": config.model.brief(epochs)})
