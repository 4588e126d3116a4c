"""What a config may name as its model: the networks over windows, and the panel network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from lstmcli.config._yaml import Path
from lstmcli.forecasters.panel_network.fit import MAX_HORIZON
from lstmcli.forecasters.panel_network.modes import INDEX, VIX
from lstmcli.forecasters.panel_network.settings import PanelNetworkConfig
from lstmcli.frames import Section
from lstmcli.models import VARIANTS, AnyVariant

if TYPE_CHECKING:
    from lstmcli.config import RunConfig

AnyModel = Annotated[AnyVariant | PanelNetworkConfig, Field(discriminator="name")]

PANEL = "panel"

MODELS: dict[str, type[Section]] = {**VARIANTS, PANEL: PanelNetworkConfig}
"""The section of each model, by name."""

UNREAD: dict[str, tuple[str, ...]] = {
    "": ("features", "future", "scale", "har_weight"),
    "window": ("lookback",),
    "training": ("epochs", "batch_size", "learning_rate", "patience", "max_minutes", "shards"),
}
"""Settings of networks over windows, by section, which a panel network does not read."""


def panel_faults(config: RunConfig) -> Iterator[tuple[Path, str]]:
    """Yield the settings that a panel network cannot have, each with its path and a message."""
    if not isinstance(config.model, PanelNetworkConfig):
        return
    for section, names in UNREAD.items():
        stated = (getattr(config, section) if section else config).model_fields_set
        for name in names:
            if name in stated:
                path = (section, name) if section else (name,)
                yield path, "leave it out: a panel network does not read it"
    if not (config.model.batches or config.start):
        yield (
            ("model", "batches"),
            "Expected 1 or more: there is no run to start from. Received: 0.",
        )
    for name in config.market:
        if name not in (VIX, INDEX):
            yield (
                ("market", name),
                f"Expected {VIX} or {INDEX}: a panel network reads no other market series.",
            )
    lacking = {VIX, INDEX} - set(config.market)
    if len(lacking) == 1:
        yield (
            ("market",),
            f"Expected {VIX} and {INDEX}, or neither: a panel network reads both or none. "
            f"Received: no {lacking.pop()}.",
        )
    if config.window.horizon > MAX_HORIZON:
        yield (
            ("window", "horizon"),
            f"Expected {MAX_HORIZON} or less for a panel network. "
            f"Received: {config.window.horizon}.",
        )
