"""What a training is settled on before its first epoch: bars, windows and blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.config import RunConfig, config_sha
from lstmcli.errors import ConfigError, NoDataError, shell_word
from lstmcli.evaluation.simulation import simulated
from lstmcli.forecasters.blend import RunRecipe
from lstmcli.panel import Panel
from lstmcli.pipeline.session import Loaded, Session
from lstmcli.splits import MIN_TRAIN, Block, split_origins
from lstmcli.store.runs import Plan
from lstmcli.trading import missing_before
from lstmcli.windows import Windows, labelled_origins

WARM_UP = 1000
"""Sessions within which every feature has warmed up."""

SHORT_LOOKBACK = 20
"""A lookback that a hint may offer."""


@dataclass(frozen=True)
class TrainPlan:
    """Everything that is settled before the first epoch.

    Attributes:
        config: resolved; its tickers are those of the panel, its split in sessions.
        windows: of the whole panel, cut once for both fits and their scores.
        scored, final: blocks of origins of the two fits.
        until: the last session that the scored fit may use.
    """

    config: RunConfig
    loaded: Loaded
    recipe: RunRecipe
    windows: Windows
    scored: Mapping[str, Block]
    final: Mapping[str, Block]
    until: pd.Timestamp

    @property
    def panel(self) -> Panel:
        return self.loaded.panel

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
    horizon = config.window.horizon
    windows = config.recipe().network.windows(loaded.panel)
    origins = labelled_origins(windows)
    needed = config.split.origins_needed(horizon)
    if len(origins) < needed:
        raise _too_few(loaded.panel, config, len(origins))
    config = config.model_copy(update={"split": config.split.resolve(len(origins))})
    train = split_origins(origins, config.split, horizon, test=True)["train"]
    trained = len(windows.rows(train.origins, labelled=True))
    if config.training.batch_size > trained:
        raise ConfigError(
            f"training.batch_size: Expected 1 to {trained:,}, the windows to train on. "
            f"Received: {config.training.batch_size:,}.",
            hint=f"--set training.batch_size={min(64, trained)}",
        )
    scored = split_origins(origins, config.split, horizon, test=True)
    sessions = loaded.panel.sessions()
    return TrainPlan(
        config=config,
        loaded=loaded,
        recipe=config.recipe(),
        windows=windows,
        scored=scored,
        final=split_origins(origins, config.split, horizon, test=False),
        until=sessions[sessions.get_loc(scored["test"].first) - 1],
    )


def sessions_needed(config: RunConfig) -> int:
    """Return the fewest sessions without a hole on which a config can be trained."""
    return config.split.origins_needed(config.window.horizon) + _unlabelled(config)


def _unlabelled(config: RunConfig) -> int:
    """Return how many sessions of whole bars have no window with labels.

    Features warm up, then the first lookback, and the last horizon. How long features take
    is seen on simulated bars.
    """
    sessions = config.window.lookback + config.window.horizon + WARM_UP
    walk = 0.01 * np.random.default_rng(0).standard_normal(sessions)
    panel = simulated({"WALK": walk}, seed=0, market=tuple(config.market))
    return sessions - len(labelled_origins(config.recipe().network.windows(panel)))


def _too_few(panel: Panel, config: RunConfig, origins: int) -> NoDataError:
    sessions = len(panel.sessions())
    # So many that a batch can be filled, too.
    train = max(MIN_TRAIN, -(-config.training.batch_size // len(panel)))
    needed = config.split.origins_needed(config.window.horizon, train=train)
    # Every later session adds a window, once there are sessions enough behind the last hole.
    waits = max(_unlabelled(config) - _behind_holes(panel), 0)
    tickers = " ".join(map(shell_word, panel))
    shorter = config.model_copy(
        update={"window": config.window.model_copy(update={"lookback": SHORT_LOOKBACK})}
    )
    hint = f"lstm fetch {tickers} --start 2000-01-01, or train it with tickers of a longer history"
    if config.window.lookback > SHORT_LOOKBACK and _behind_holes(panel) >= sessions_needed(shorter):
        hint = f"--set window.lookback={SHORT_LOOKBACK}, or {hint}"
    return NoDataError(
        f"{tickers}: Expected at least {sessions + needed - origins + waits:,} sessions for a "
        f"lookback of {config.window.lookback}, a horizon of {config.window.horizon} and four "
        f"blocks. Received: {sessions:,}, which leave {origins:,} of {needed:,} windows.",
        hint=hint,
    )


def _behind_holes(panel: Panel) -> int:
    """Return the sessions behind the last hole of a ticker, of the one with most of them."""
    behind = [0]
    for view in map(panel.view, panel):
        holes = np.flatnonzero(missing_before(view.calendar, view.sessions))
        behind.append(len(view.sessions) - (int(holes[-1]) if len(holes) else 0))
    return max(behind)
