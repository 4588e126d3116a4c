"""The plan of a backtest: its folds, and every recipe on every fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lstmcli.config import RunConfig
from lstmcli.errors import ConfigError, NoDataError
from lstmcli.evaluation.backtest import (
    MIN_HISTORY,
    Fold,
    check_span,
    cut_folds,
    judged_steps,
    taking_part,
)
from lstmcli.evaluation.tasks import FoldTask
from lstmcli.executors.versions import versions
from lstmcli.forecasters.base import Recipe
from lstmcli.forecasters.baselines import BASELINES, READ_DATES
from lstmcli.forecasters.run_recipe import UNTRAINED
from lstmcli.frames import EARNINGS
from lstmcli.pipeline.session import Loaded, Session
from lstmcli.pipeline.start import check_unseen_folds, recipe_of, start_name
from lstmcli.pipeline.training_plan import sessions_needed
from lstmcli.store.backtests import BacktestRecord


@dataclass(frozen=True)
class BacktestPlan:
    """A backtest before its first fit.

    Attributes:
        configs: by label, which is also the name of the config's recipe.
        tasks: every recipe on every fold.
        left_out: by fold, the tickers that it does without.
        steps: the steps that are judged.
    """

    configs: Mapping[str, RunConfig]
    loaded: Loaded
    folds: tuple[Fold, ...]
    tasks: tuple[FoldTask, ...]
    record: BacktestRecord
    left_out: dict[str, tuple[str, ...]]
    steps: tuple[int, ...]


def plan_backtest(
    session: Session, configs: Mapping[str, RunConfig], tickers: Sequence[str]
) -> BacktestPlan:
    """Return the folds and their tasks; fits nothing.

    Args:
        configs: by label; all with the same horizon and the same `backtest` section.
        tickers: if none, those of the first config; if it has none, every stored one.

    Raises:
        NoDataError: too few sessions for the folds; the hint says how many they allow.
        ConfigError: the configs cannot be compared.
    """
    check_span({label: config.backtest for label, config in configs.items()})
    horizons = {config.window.horizon for config in configs.values()}
    if len(horizons) > 1:
        raise ConfigError(
            f"Expected one horizon in all configs. Received: {sorted(horizons)}.",
            hint="--set window.horizon=20 sets it for all",
        )
    first = next(iter(configs.values()))
    taken = {*BASELINES, *(f"{label}{UNTRAINED}" for label in configs)}
    clash = [label for label in configs if label in taken]
    if clash:
        raise ConfigError(f"Expected a config with a name of its own. Received: {clash[0]}.")
    loaded = session.panel_to_learn_from(tickers or first.tickers, tuple(configs.values()))
    panel, horizon = loaded.panel, first.window.horizon
    sessions = panel.sessions()
    least = max(sessions_needed(config) for config in configs.values())
    folds = cut_folds(sessions, first.backtest, horizon=horizon, least=least)
    for config in configs.values():
        check_unseen_folds(session, config, folds)
    left_out = {
        str(fold.number): tuple(sorted(set(panel) - set(taking_part(panel, fold))))
        for fold in folds
    }
    for fold in folds:
        if len(left_out[str(fold.number)]) == len(panel):
            raise NoDataError(
                f"Expected a ticker with {MIN_HISTORY} sessions before "
                f"{fold.origins[0]:%Y-%m-%d}. Received: none.",
                hint="--set backtest.folds=1, or lstm fetch --start 2000-01-01",
            )
    settled = {
        # With one thread per network, the digits do not depend on the number of workers.
        label: config.model_copy(
            update={
                "start": start_name(session, config),
                "tickers": tuple(panel),
                "training": config.training.model_copy(
                    update={"threads": config.training.threads or 1}
                ),
            }
        )
        for label, config in configs.items()
    }
    dated = bool((panel.events["kind"] == EARNINGS).any())
    recipes: list[Recipe] = [
        # The label is the name in every table, also where the config has a name of its own.
        *(recipe_of(session, c.model_copy(update={"name": label})) for label, c in settled.items()),
        *(BASELINES[name](horizon) for name in BASELINES if dated or name not in READ_DATES),
    ]
    steps = judged_steps(horizon)
    return BacktestPlan(
        configs=settled,
        loaded=loaded,
        folds=folds,
        tasks=tuple(
            FoldTask(recipe, panel.sha256, fold, steps) for recipe in recipes for fold in folds
        ),
        record=BacktestRecord(
            configs={label: config.to_yaml() for label, config in settled.items()},
            bars=loaded.hashes,
            folds=tuple(
                (str(fold.origins[0].date()), str(fold.origins[-1].date())) for fold in folds
            ),
            last=str(sessions[-1].date()),
            versions=versions(),
        ),
        left_out={number: names for number, names in left_out.items() if names},
        steps=steps,
    )
