"""The files of the networks of a run: one for each member, and their mean for LiteRT."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lstmcli.forecasters.run_recipe import Stage
from lstmcli.models.files import load_network, network_bytes
from lstmcli.models.litert import MAX_STEPS, LiteNetwork, export, unrolled_steps

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

KERAS = ".keras"
"""Ends the file of a member."""

LITE = "forecast.tflite"
"""The file of the export."""


def export_members(networks: Sequence[keras.Model], on_stage: Stage) -> LiteNetwork | None:
    """Return the members for LiteRT, or None, said once, where that is out of reach."""
    steps = unrolled_steps(networks)
    if steps > MAX_STEPS:
        log.warning(
            "no fast export: %s unrolled steps are more than %s; forecasts will load TensorFlow",
            f"{steps:,}",
            f"{MAX_STEPS:,}",
        )
        return None
    on_stage("exporting for fast forecasts")
    return LiteNetwork(export(networks))


def network_files(networks: Sequence[keras.Model], lite: LiteNetwork | None) -> dict[str, bytes]:
    """Return the files of members and of their export, by name."""
    files = {
        f"network-{member:02d}{KERAS}": network_bytes(network)
        for member, network in enumerate(networks, start=1)
    }
    return files if lite is None else {**files, LITE: lite.content}


def load_export(files: Mapping[str, bytes]) -> LiteNetwork | None:
    """Return the export among the files of a run; None where there is none.

    Raises:
        ValueError: it does not load.
    """
    if LITE not in files:
        return None
    try:
        return LiteNetwork(files[LITE])
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"its export does not load: {type(error).__name__}") from error


def load_members(files: Mapping[str, bytes]) -> tuple[keras.Model, ...]:
    """Return the networks among the files of a run, in their order.

    Raises:
        ValueError: one does not load.
    """
    names = sorted(name for name in files if name.endswith(KERAS))
    try:
        return tuple(load_network(files[name]) for name in names)
    except ValueError as error:
        raise ValueError(f"a network does not load: {type(error).__name__}") from error
