"""What a training is settled on before its first epoch: bars, windows and blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from lstmcli.config import RunConfig, config_sha
from lstmcli.errors import ConfigError, NoDataError
from lstmcli.forecasters.blend import RunRecipe
from lstmcli.panel import Panel
from lstmcli.pipeline.session import Loaded, Session
from lstmcli.splits import Block, split_origins
from lstmcli.store.runs import Plan
from lstmcli.windows import Windows, labelled_origins


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
    loaded = session.panel(tickers or config.tickers, [config])
    config = config.model_copy(update={"tickers": tuple(loaded.panel)})
    horizon = config.window.horizon
    windows = config.recipe().network.windows(loaded.panel)
    origins = labelled_origins(windows)
    needed = config.split.origins_needed(horizon)
    if len(origins) < needed:
        _refuse(loaded.panel, config, len(origins), needed)
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


def _refuse(panel: Panel, config: RunConfig, origins: int, needed: int) -> None:
    sessions = len(panel.sessions())
    ticker = " ".join(panel)
    raise NoDataError(
        f"{ticker}: Expected at least {sessions + needed - origins:,} sessions for a lookback of "
        f"{config.window.lookback}, a horizon of {config.window.horizon} and four blocks. "
        f"Received: {sessions:,}, which leave {origins:,} of {needed:,} windows.",
        hint=f"lstm fetch {ticker} --start 2000-01-01, or --set window.lookback=20",
    )
