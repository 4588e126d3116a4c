"""What a network over windows can start from: members of its own shape, and their units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from lstmcli.errors import ConfigError
from lstmcli.forecasters.fitted_network import FittedNetwork

if TYPE_CHECKING:
    from lstmcli.forecasters.network import NetworkRecipe
    from lstmcli.forecasters.run_recipe import FittedRun


def network_of(start: FittedRun) -> FittedNetwork:
    """Return the network of a run, or of its blend.

    Raises:
        ConfigError: the run has none over windows.
    """
    network = getattr(start, "network", start)
    if not isinstance(network, FittedNetwork):
        raise ConfigError(
            f"Expected a network over windows to start from. Received: {start.name}, a panel "
            "network: it reads whole histories, and its weights fit no other model.",
            hint="without --config a panel network starts from it",
        )
    return network


def check_start(recipe: NetworkRecipe, start: FittedNetwork) -> None:
    """Check that the weights of a start fit a recipe, and mean there what they meant.

    Raises:
        ConfigError: a setting differs, named with both values.
        ValueError: the start was loaded without its members.
    """
    for name, wanted, received in _settings(recipe, start.recipe):
        if wanted != received:
            raise ConfigError(
                f"{name}: Expected {_shown(received)}, as {start.name} has, from which the "
                f"training starts. Received: {_shown(wanted)}.",
                hint="train it without a start, or give it the settings of the run",
            )
    if not start.networks:
        raise ValueError("Expected a start that is loaded with its members.")


def unseen(start: FittedNetwork, blocks: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    """Return the calibration block from the first session that the start has not seen.

    ISO dates; it may be empty, with its first after its last.
    """
    first, last = blocks["calibration"]
    return max(first, str((start.fit_end + pd.Timedelta(1, "D")).date())), last


def _settings(recipe: NetworkRecipe, start: NetworkRecipe) -> Iterator[tuple[str, object, object]]:
    yield "model.name", recipe.model.name, start.model.name
    for name in type(recipe.model).model_fields:
        if name != "dropout":  # has no weights
            yield f"model.{name}", getattr(recipe.model, name), getattr(start.model, name)
    yield "features", recipe.features, start.features
    yield "future", recipe.future, start.future
    yield "scale", recipe.scale, start.scale
    yield "window.lookback", recipe.window.lookback, start.window.lookback
    yield "window.horizon", recipe.window.horizon, start.window.horizon
    yield "training.members", recipe.training.members, start.training.members


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value)
