"""The config and the fitted networks of a run, from its files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from lstmcli.config import RunConfig, parse_config
from lstmcli.errors import ConfigError, DataError
from lstmcli.features import find_feature
from lstmcli.forecasters.blend import FittedRun, RunRecipe, restored
from lstmcli.forecasters.network import FittedNetwork
from lstmcli.forecasters.network_state import NetworkState
from lstmcli.models.files import load_network
from lstmcli.models.litert import LiteNetwork
from lstmcli.store.records import wrong_fields
from lstmcli.store.runs import RunFiles, RunStore

if TYPE_CHECKING:
    import keras


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
    """Return the fitted networks of a run, for LiteRT where they were exported.

    Args:
        with_keras: load the Keras networks too, which imports TensorFlow.

    Raises:
        DataError: a file does not load, or the run was made with other feature columns.
    """
    folder = store.path(run)
    try:
        state = NetworkState.model_validate_json(files.state)
    except ValidationError as error:
        raise store.damaged(folder, f"its state: {wrong_fields(error)}") from error
    unknown = [name for name in state.features if find_feature(name) is None]
    if unknown or state.features != recipe.network.features:
        raise DataError(
            f"{folder}: Expected the feature columns {', '.join(recipe.network.features)}. "
            f"Received: {', '.join(state.features)}.",
            hint=store.train_again(run),
        )
    lite = _export(files, store, folder)
    networks: tuple[keras.Model, ...] = ()
    if lite is None or with_keras:
        networks = _networks(files, store, folder)
        width = networks[0].inputs[0].shape[-1] if networks else 0
        if width != len(state.features):
            raise DataError(
                f"{folder}: Expected networks with {len(state.features)} feature columns. "
                f"Received: {width}.",
                hint=store.train_again(run),
            )
    network = FittedNetwork(recipe.network, networks, state, files.history, lite)
    try:
        return restored(recipe, network)
    except ValueError as error:
        raise store.damaged(folder, "its state lacks the HAR of its blend") from error


def _export(files: RunFiles, store: RunStore, folder: Path) -> LiteNetwork | None:
    if files.lite is None:
        return None
    try:
        return LiteNetwork(files.lite)
    except (ValueError, RuntimeError) as error:
        reason = f"its export does not load: {type(error).__name__}"
        raise store.damaged(folder, reason) from error


def _networks(files: RunFiles, store: RunStore, folder: Path) -> tuple[keras.Model, ...]:
    try:
        return tuple(load_network(content) for content in files.networks)
    except ValueError as error:
        raise store.damaged(folder, f"a network does not load: {type(error).__name__}") from error
