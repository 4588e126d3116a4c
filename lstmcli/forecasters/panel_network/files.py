"""The files of a fitted panel network: JSON of what a person may read, and arrays by name."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from zipfile import BadZipFile

import numpy as np

from lstmcli.forecasters.panel_network.inputs import Standardisation
from lstmcli.forecasters.panel_network.modes import (
    CLOCKS,
    COLUMNS,
    MODES,
    Mode,
    har_ridge_columns,
    own_columns,
    ridge_columns,
)
from lstmcli.forecasters.panel_network.network import Weights
from lstmcli.forecasters.panel_network.state import PanelState, Stretch
from lstmcli.forecasters.ridge import Ridge
from lstmcli.forecasters.run_recipe import FitSummary
from lstmcli.forecasters.volatility.announcements import Reaction
from lstmcli.forecasters.volatility.clock import CLOCK_COLUMNS, FittedClock
from lstmcli.frames import QUANTILES

ARRAYS = "panel.npz"


class StoredPanel(FitSummary, extra="forbid"):
    """What a run keeps of a panel network beside its arrays.

    Attributes:
        tickers: that it was fitted on.
        columns: that it reads, in their order.
        learns_from: the first session of the fit, as an ISO date.
        steps, clocks, reaction: see `PanelState`.
    """

    tickers: tuple[str, ...]
    columns: tuple[str, ...]
    learns_from: str
    steps: tuple[int, ...]
    clocks: dict[str, FittedClock]
    reaction: Reaction


def to_arrays(state: PanelState) -> bytes:
    """Return the arrays of a state: an .npz file without pickle, the same bytes every time."""
    arrays: dict[str, np.ndarray] = {
        "mean": state.standardisation.mean,
        "scale": state.standardisation.scale,
        "ends": state.ends.astype("datetime64[D]"),
    }
    for number, stretch in enumerate(state.stretches):
        for kind, ridges in (("wide", stretch.wide), ("har", stretch.har)):
            for mode, ridge in ridges.items():
                key = f"{kind}-{number}-{_key(mode)}"
                arrays |= {
                    f"{key}-mean": ridge.mean,
                    f"{key}-intercept": ridge.intercept,
                    f"{key}-slopes": ridge.slopes,
                }
                if len(ridge.own):
                    arrays[f"{key}-own_mean"] = ridge.own_mean
                    arrays[f"{key}-own_slope"] = ridge.own_slope
        for kind, networks in (("network", stretch.networks), ("plain", stretch.plain)):
            for member, network in enumerate(networks):
                for part, array in enumerate(network.arrays()):
                    arrays[f"{kind}-{number}-{member}-{part}"] = _narrow(array)
    for name, by_mode in (("smearing", state.smearing), ("shape", state.shapes)):
        arrays |= {f"{name}-{_key(mode)}": by_mode[mode] for mode in MODES if mode in by_mode}
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def _narrow(weights: np.ndarray) -> np.ndarray:
    """Return weights in sixteen bits where these hold them exactly; see `PanelState.alone`."""
    narrow = weights.astype(np.float16)
    return narrow if np.array_equal(narrow.astype(np.float32), weights) else weights


def from_arrays(
    stored: StoredPanel,
    content: bytes,
    *,
    network: Sequence[tuple[int, ...]],
    plain: Sequence[tuple[int, ...]],
) -> PanelState:
    """Return the state of a run.

    Args:
        network, plain: the shape of each part of a network of either kind; see `Weights.shapes`.

    Raises:
        ValueError: the arrays are damaged, or are not those of a panel network.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        state = _state(stored, arrays)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, TypeError) as error:
        raise ValueError(f"its arrays do not load: {type(error).__name__}") from error
    numbers = [array for name, array in arrays.items() if name != "ends"]
    if not all(array.dtype.kind == "f" and np.isfinite(array).all() for array in numbers):
        raise ValueError("its arrays hold values that are not finite")
    if not _fits(state, network, plain):
        raise ValueError("its arrays do not fit together")
    return state


def _fits(
    state: PanelState,
    network: Sequence[tuple[int, ...]],
    plain: Sequence[tuple[int, ...]],
) -> bool:
    """Return whether every array has the shape that the others and the columns ask for."""
    steps = len(state.steps)
    shapes: list[tuple[np.ndarray, tuple[int, ...]]]
    shapes = [(state.standardisation.mean, (len(COLUMNS),))]
    shapes += [(state.standardisation.scale, (len(COLUMNS),))]
    shapes += [(each, (steps,)) for each in state.smearing.values()]
    shapes += [(each, (steps, len(QUANTILES))) for each in state.shapes.values()]
    for stretch in state.stretches:
        for ridge in (*stretch.wide.values(), *stretch.har.values()):
            read = len(ridge.columns)
            shapes += [(ridge.mean, (read,)), (ridge.intercept, (steps,))]
            shapes += [(ridge.slopes, (read, steps))]
            if len(ridge.own):
                shapes += [(each, (steps,)) for each in (ridge.own_mean, ridge.own_slope)]
        for weights in stretch.networks:
            shapes += list(zip(weights.arrays(), network, strict=True))
        for weights in stretch.plain:
            shapes += list(zip(weights.arrays(), plain, strict=True))
        # The plainest mode serves what no other does.
        if MODES[-1] not in stretch.wide or {*stretch.wide} != {*stretch.har}:
            return False
    for clock in state.clocks.values():
        parts = (clock.mean, clock.scale, clock.coefficients)
        shapes += [(np.asarray(each), (CLOCK_COLUMNS,)) for each in parts]
        if not np.isfinite([*clock.mean, *clock.scale, *clock.coefficients]).all():
            return False
    if not np.isfinite([state.reaction.first, state.reaction.second]).all():
        return False
    known = {*state.clocks} == {*CLOCKS} and MODES[-1] in state.shapes
    ascending = steps > 0 and state.steps[0] == 1 and (np.diff(state.steps) > 0).all()
    return bool(known and ascending and all(each.shape == shape for each, shape in shapes))


def _state(stored: StoredPanel, arrays: Mapping[str, np.ndarray]) -> PanelState:
    stretches = []
    for number in range(len(arrays["ends"]) + 1):
        stretches.append(
            Stretch(
                wide=_ridges(arrays, f"wide-{number}", ridge_columns, stored.steps),
                har=_ridges(arrays, f"har-{number}", har_ridge_columns, stored.steps),
                networks=_networks(arrays, f"network-{number}"),
                plain=_networks(arrays, f"plain-{number}"),
            )
        )
    return PanelState(
        steps=stored.steps,
        clocks=stored.clocks,
        reaction=stored.reaction,
        standardisation=Standardisation(arrays["mean"], arrays["scale"]),
        stretches=tuple(stretches),
        ends=arrays["ends"].astype("datetime64[ns]"),
        smearing=_by_mode(arrays, "smearing"),
        shapes=_by_mode(arrays, "shape"),
    )


def _ridges(
    arrays: Mapping[str, np.ndarray],
    key: str,
    columns: Callable[[Mode], list[int]],
    steps: Sequence[int],
) -> dict[Mode, Ridge]:
    found = {}
    for mode in MODES:
        of_mode = f"{key}-{_key(mode)}"
        parts = [f"{of_mode}-{name}" for name in ("mean", "intercept", "slopes")]
        if parts[0] not in arrays:
            continue
        ridge = Ridge(np.asarray(columns(mode)), *(arrays[part] for part in parts))
        own = own_columns(mode, steps)
        if own:
            names = ("own_mean", "own_slope")
            ridge = replace(
                ridge,
                own=np.asarray(own),
                **{name: arrays[f"{of_mode}-{name}"] for name in names},
            )
        found[mode] = ridge
    return found


def _networks(arrays: Mapping[str, np.ndarray], key: str) -> tuple[Weights, ...]:
    found: list[Weights] = []
    while f"{key}-{len(found)}-0" in arrays:
        parts = [arrays[f"{key}-{len(found)}-{part}"] for part in range(9)]
        found.append(Weights.of(parts))
    return tuple(found)


def _by_mode(arrays: Mapping[str, np.ndarray], name: str) -> dict[Mode, np.ndarray]:
    return {
        mode: arrays[f"{name}-{_key(mode)}"] for mode in MODES if f"{name}-{_key(mode)}" in arrays
    }


def _key(mode: Mode) -> str:
    """Return the name of a mode in a file."""
    known = [name for name in ("panel", "market") if getattr(mode, name)]
    return "-".join([*known, *([f"dates{mode.dates}"] if mode.dates else [])]) or "alone"
