"""What a training starts from: nothing, or the weights of another run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from lstmcli.config import RunConfig, load_config, parse_config
from lstmcli.errors import ConfigError, NoDataError
from lstmcli.evaluation.backtest import Fold
from lstmcli.forecasters.panel_network import FittedPanel
from lstmcli.forecasters.run_recipe import FittedRun, RunRecipe
from lstmcli.pipeline.session import Session
from lstmcli.splits import MIN_BLOCK, Block, SplitConfig
from lstmcli.store.records import label_of
from lstmcli.store.shipped import PRETRAINED

TUNED = "tuned"
"""The config of a training that starts from the run that ships."""

FROM_NOTHING = "best"
"""The config of a training that starts from nothing, where none is named."""

LONG_AGO = pd.Timestamp(1900, 1, 1)
"""A day before all bars."""


def start_of(session: Session, config: RunConfig) -> FittedRun | None:
    """Return the fit that a training starts from; None where it starts from nothing.

    Raises:
        NoDataError: there is no such run.
        DataError: it is damaged.
    """
    name = start_name(session, config)
    return session.fitted(name, with_keras=True) if name else None


def start_name(session: Session, config: RunConfig) -> str:
    """Return the name of the run that a training starts from; empty where there is none.

    The network of an earlier version of the program is succeeded by that of this one.

    Raises:
        NoDataError, ConfigError, DataError: see `Session.manifest`.
    """
    try:
        return config.start and session.manifest(config.start).run
    except NoDataError:
        if label_of(config.start).rpartition("-")[0] != PRETRAINED:
            raise
        return session.manifest(PRETRAINED).run


def config_from(
    session: Session, run: str, config: str | None, overrides: Sequence[str]
) -> RunConfig:
    """Return the config of a training that starts from a run.

    Args:
        run: its name, or a beginning that only it has.
        config: that of the training; None: of the run, or `tuned` from the run that ships.

    Raises:
        NoDataError: there is no such run.
        DataError: it is damaged.
        ConfigError: a setting is wrong.
    """
    manifest = session.manifest(run)
    if config is not None or manifest.any_ticker:
        found = load_config(config or TUNED, overrides=overrides)
    else:
        path = session.workspace.runs.config_path(manifest.run)
        found = parse_config(session.files(manifest.run).config, str(path), overrides)
    return found.model_copy(update={"start": manifest.run})


def default_config(
    session: Session, tickers: Sequence[str], overrides: Sequence[str]
) -> tuple[RunConfig, str | None]:
    """Return the config of a training for which none was named, and why it is not `tuned`.

    It goes on from the run that ships, where the bars have sessions that judge it.

    Args:
        tickers: else every stored one.

    Raises:
        NoDataError, DataError, ConfigError: see `config_from` and `Session.panel`.
    """
    start = session.fitted(PRETRAINED)
    sessions = session.panel(tickers).panel.sessions()
    unseen = int((sessions > start.fit_end).sum()) - start.recipe.horizon
    if unseen >= MIN_BLOCK:
        return config_from(session, PRETRAINED, None, overrides), None
    why = (
        f"the bars end on {sessions[-1]:%Y-%m-%d}, and {PRETRAINED} has seen those to "
        f"{start.fit_end:%Y-%m-%d}: {FROM_NOTHING} is trained from nothing"
    )
    return load_config(FROM_NOTHING, overrides=overrides), why


def recipe_of(session: Session, config: RunConfig) -> RunRecipe:
    """Return the recipe of a config, with the fit that it starts from.

    Raises:
        NoDataError, DataError: see `start_of`.
        ConfigError: the recipe cannot start from it.
    """
    start = start_of(session, config)
    return config.recipe() if start is None else config.recipe().starting_from(start)


def recipe_for_simulations(session: Session, config: RunConfig) -> RunRecipe:
    """Return the recipe of a config for bars that no fit has seen, whatever their dates."""
    start = start_of(session, config)
    if isinstance(start, FittedPanel):
        start = replace(start, fit_end=LONG_AGO, learns_from=LONG_AGO)
    return config.recipe() if start is None else config.recipe().starting_from(start)


def check_unseen_folds(session: Session, config: RunConfig, folds: Sequence[Fold]) -> None:
    """Check that a backtest forecasts no session that the start of a config has seen.

    Raises:
        ConfigError: it would; the message has the last one.
    """
    start = start_of(session, config)
    if start is None or folds[0].origins[0] > start.fit_end:
        return
    after = start.fit_end + pd.Timedelta(1, "D")
    raise ConfigError(
        f"Expected folds that begin after {start.fit_end:%Y-%m-%d}: {start.name} has seen the "
        f"sessions before. Received: a first origin of {folds[0].origins[0]:%Y-%m-%d}.",
        hint=f"--set backtest.start={after:%Y-%m-%d} --set backtest.folds=1",
    )


def unseen_block(origins: pd.DatetimeIndex, split: SplitConfig, start: FittedRun) -> Block:
    """Return the test block of a training: sessions that the start has not seen.

    Args:
        origins: sessions with a label, ascending.
        split: sizes in sessions; of the test block at most so many.

    Raises:
        ConfigError: there are too few.
    """
    after = start.fit_end
    unseen = origins[origins > after]
    if len(unseen) < MIN_BLOCK:
        last = f"{origins[-1]:%Y-%m-%d}" if len(origins) else "none"
        raise ConfigError(
            f"Expected {MIN_BLOCK} sessions or more after {after:%Y-%m-%d} to judge, with their "
            f"outcomes: {start.name}, from which the training starts, has seen the others. "
            f"Received: {len(unseen)}, the last {last}.",
            hint="--config best.yaml starts from nothing; lstm fetch brings new sessions",
        )
    return Block("test", unseen[-int(split.test) :])
