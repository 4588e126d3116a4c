"""The config of a run and what it has fitted, from its files."""

from __future__ import annotations

from pydantic import ValidationError

from lstmcli.config import RunConfig, parse_config
from lstmcli.errors import ConfigError, DataError
from lstmcli.forecasters.run_recipe import FittedRun, RunRecipe, UnexpectedContent
from lstmcli.store.records import wrong_fields
from lstmcli.store.runs import RunFiles, RunStore


def stored_config(store: RunStore, run: str, text: str) -> RunConfig:
    """Return the config that a run keeps.

    Raises:
        DataError: this version of the program cannot read it.
    """
    try:
        return parse_config(text, str(store.path(run) / "config.yaml"))
    except ConfigError as error:
        raise DataError(
            f"{run} keeps a config that this version cannot read:\n{error}",
            hint="lstm train starts a new run; --run names an older one (lstm runs)",
        ) from error


def fitted_from(
    files: RunFiles, recipe: RunRecipe, *, store: RunStore, run: str, with_keras: bool = False
) -> FittedRun:
    """Return what a run has fitted; see `RunRecipe.restore`.

    Raises:
        DataError: a file does not load, or the run was made by another recipe.
    """
    folder = store.path(run)
    try:
        return recipe.restore(
            files.state, files.fitted, history=files.history, with_keras=with_keras
        )
    except ValidationError as error:
        raise store.damaged(folder, f"its state: {wrong_fields(error)}") from error
    except UnexpectedContent as error:
        raise DataError(f"{folder}: {error}", hint=store.train_again(run)) from error
    except ValueError as error:
        raise store.damaged(folder, str(error)) from error
