"""What a training is settled on before its first epoch: bars, what is prepared, and blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.config import RunConfig, config_sha
from lstmcli.errors import NoDataError, shell_word
from lstmcli.evaluation.simulation import simulated
from lstmcli.forecasters.run_recipe import FittedRun, Prepared, RunRecipe
from lstmcli.panel import Panel
from lstmcli.pipeline.session import Loaded, Session
from lstmcli.pipeline.start import start_name, start_of, unseen_block
from lstmcli.splits import Block, split_origins
from lstmcli.store.runs import Plan
from lstmcli.trading import missing_before

WARM_UP = 1000
"""Sessions within which every feature has warmed up."""

SHORT_LOOKBACK = 20
"""A lookback that a hint may offer."""


@dataclass(frozen=True)
class TrainPlan:
    """Everything that is settled before the first epoch.

    Attributes:
        config: resolved; its tickers are those of the panel, its split in sessions.
        prepared: of the whole panel, once for both fits and their scores.
        scored, final: blocks of origins of the two fits.
        until: the last session that the scored fit may use.
    """

    config: RunConfig
    loaded: Loaded
    recipe: RunRecipe
    prepared: Prepared
    scored: Mapping[str, Block]
    final: Mapping[str, Block]
    until: pd.Timestamp

    @property
    def panel(self) -> Panel:
        return self.loaded.panel

    def blocks(self) -> list[tuple[str, str, pd.DatetimeIndex]]:
        """Return what each fit uses: its name, that of a block, and the block's origins.

        A recipe that keeps no best epoch learns from all origins before its test block.
        """
        if self.recipe.work.keeps_best:
            each = {"scored": self.scored, "final": self.final}
            return [
                (fit, name, block.origins)
                for fit, blocks in each.items()
                for name, block in blocks.items()
            ]
        before = self.recipe.prepare(self.panel.until(self.until)).origins()
        return [
            ("scored", "train", before),
            *(
                ("scored", name, self.scored[name].origins)
                for name in ("validation", "test")
                if name in self.scored
            ),
            ("final", "train", self.prepared.origins()),
        ]

    @property
    def record(self) -> Plan:
        return Plan(config_sha=config_sha(self.config), bars=self.loaded.hashes)


def plan_training(session: Session, config: RunConfig, tickers: Sequence[str]) -> TrainPlan:
    """Return the blocks and their dates; fits nothing.

    Args:
        tickers: else the config's, else every stored one.

    Raises:
        NoDataError: no bars, or too few for the lookback, the horizon and the blocks.
    """
    loaded = session.panel_to_learn_from(tickers or config.tickers, [config])
    config = config.model_copy(update={"tickers": tuple(loaded.panel)})
    start = start_of(session, config)
    if start is not None:
        return _plan_from(
            start, config.model_copy(update={"start": start_name(session, config)}), loaded
        )
    recipe = config.recipe()
    horizon = recipe.horizon
    prepared = recipe.prepare(loaded.panel)
    origins = prepared.origins()
    needed = config.split.origins_needed(horizon)
    if len(origins) < needed:
        raise _too_few(loaded.panel, config, len(origins))
    config = config.model_copy(update={"split": config.split.resolve(len(origins))})
    scored = split_origins(origins, config.split, horizon, test=True)
    recipe.check_training(prepared, scored["train"].origins)
    sessions = loaded.panel.sessions()
    return TrainPlan(
        config=config,
        loaded=loaded,
        recipe=config.recipe(),
        prepared=prepared,
        scored=scored,
        final=split_origins(origins, config.split, horizon, test=False),
        until=sessions[sessions.get_loc(scored["test"].first) - 1],
    )


def _plan_from(start: FittedRun, config: RunConfig, loaded: Loaded) -> TrainPlan:
    """Return the plan of a training that starts from another run.

    Only sessions that the start has not seen judge, or teach calibration.
    """
    recipe = config.recipe().starting_from(start)
    prepared = recipe.prepare(loaded.panel)
    origins, sessions = prepared.origins(), loaded.panel.sessions()
    config = config.model_copy(update={"split": config.split.resolve(len(origins))})
    test = unseen_block(origins, config.split, start)
    scored, final = {"test": test}, {}
    if recipe.work.keeps_best:
        scored = split_origins(origins, config.split, recipe.horizon, test=True)
        final = split_origins(origins, config.split, recipe.horizon, test=False)
        for block in (scored["calibration"], final["calibration"]):
            unseen_block(block.origins, config.split, start)
        recipe.check_training(prepared, scored["train"].origins)
    return TrainPlan(
        config=config,
        loaded=loaded,
        recipe=recipe,
        prepared=prepared,
        scored=scored,
        final=final,
        until=sessions[sessions.get_loc(scored["test"].first) - 1],
    )


def sessions_needed(config: RunConfig) -> int:
    """Return the fewest sessions without a hole on which a config can be trained."""
    if config.start:
        return config.recipe().lookback
    return config.split.origins_needed(config.recipe().horizon) + _unlabelled(config)


def _unlabelled(config: RunConfig) -> int:
    """Return how many sessions of whole bars cannot be learnt from.

    Features warm up, then the first lookback, and the last horizon. How long features take
    is seen on simulated bars.
    """
    recipe = config.recipe()
    sessions = recipe.lookback + recipe.horizon + WARM_UP
    walk = 0.01 * np.random.default_rng(0).standard_normal(sessions)
    panel = simulated({"WALK": walk}, seed=0, market=tuple(config.market))
    return sessions - len(recipe.prepare(panel).origins())


def _too_few(panel: Panel, config: RunConfig, origins: int) -> NoDataError:
    sessions, recipe = len(panel.sessions()), config.recipe()
    lookback, horizon = recipe.lookback, recipe.horizon
    needed = config.split.origins_needed(horizon, train=recipe.least_train(len(panel)))
    # Every later session adds a window, once there are sessions enough behind the last hole.
    waits = max(_unlabelled(config) - _behind_holes(panel), 0)
    tickers = " ".join(map(shell_word, panel))
    shorter = config.model_copy(
        update={"window": config.window.model_copy(update={"lookback": SHORT_LOOKBACK})}
    )
    hint = f"lstm fetch {tickers} --start 2000-01-01, or train it with tickers of a longer history"
    shortens = shorter.recipe().lookback < lookback
    if shortens and _behind_holes(panel) >= sessions_needed(shorter):
        hint = f"--set window.lookback={SHORT_LOOKBACK}, or {hint}"
    return NoDataError(
        f"{tickers}: Expected at least {sessions + needed - origins + waits:,} sessions for a "
        f"lookback of {lookback}, a horizon of {horizon} and four blocks. "
        f"Received: {sessions:,}, which leave {origins:,} of {needed:,} windows.",
        hint=hint,
    )


def _behind_holes(panel: Panel) -> int:
    """Return the sessions behind the last hole of a ticker, of the one with most of them."""
    behind = [0]
    for view in map(panel.view, panel):
        holes = np.flatnonzero(missing_before(view.calendar, view.sessions))
        behind.append(len(view.sessions) - (int(holes[-1]) if len(holes) else 0))
    return max(behind)
