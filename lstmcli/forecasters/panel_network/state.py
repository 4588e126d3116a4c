"""What a fitted panel network has learnt: numbers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lstmcli.forecasters.panel_network.inputs import Standardisation
from lstmcli.forecasters.panel_network.modes import MODES, Mode
from lstmcli.forecasters.panel_network.network import Weights
from lstmcli.forecasters.ridge import Ridge
from lstmcli.forecasters.volatility.announcements import Reaction
from lstmcli.forecasters.volatility.clock import FittedClock


@dataclass(frozen=True)
class Stretch:
    """What forecasts the sessions of one stretch, none of which it was fitted on.

    Attributes:
        wide, har: ridges by mode; a mode without training rows has none.
        networks: several whose corrections are averaged.
        plain: those that read no dates. They alone serve sessions whose dates are not known, where
            there are any, and all together the others.
    """

    wide: Mapping[Mode, Ridge]
    har: Mapping[Mode, Ridge]
    networks: tuple[Weights, ...]
    plain: tuple[Weights, ...] = ()

    def served(self, mode: Mode) -> Mode:
        """Return the richest mode that was trained and reads no more than `mode` does."""
        return next(
            other
            for other in MODES
            if other in self.wide
            and (mode.panel or not other.panel)
            and (mode.market or not other.market)
            # That no report comes soon is not known where all dates are.
            and other.dates in (mode.dates, 0)
        )


@dataclass(frozen=True)
class PanelState:
    """What a fit has learnt.

    Attributes:
        steps: (A,) that ridges are fitted at.
        clocks: by what their shocks are counted from.
        reaction: of sessions that hear of a report.
        stretches: B blocks of training dates, each forecast by what was fitted on the others,
            and the last, fitted on all, for later sessions. Of a tuning the start, and what was
            tuned from it.
        ends: (B,) datetime64, the last session of each block.
        smearing: by mode, (A,) logarithms of the mean of exp(error) of log variance, out of
            sample.
        shapes: by mode, (A, Q) quantiles of y/σ̂ out of sample, for tickers whose panel is too
            small to have some of its own.
    """

    steps: tuple[int, ...]
    clocks: Mapping[str, FittedClock]
    reaction: Reaction
    standardisation: Standardisation
    stretches: tuple[Stretch, ...]
    ends: np.ndarray
    smearing: Mapping[Mode, np.ndarray]
    shapes: Mapping[Mode, np.ndarray]

    def alone(self) -> PanelState:
        """Return what forecasts each ticker alone, by the last fit: what ships with the program.

        Weights are rounded to eleven significant bits, as float16 has them: no score tells the
        difference, and a file of them compresses to half of its size.
        """
        last = self.stretches[-1]
        return replace(
            self,
            stretches=(
                replace(
                    last,
                    wide=_alone(last.wide),
                    har=_alone(last.har),
                    networks=tuple(map(_rounded, last.networks)),
                    plain=tuple(map(_rounded, last.plain)),
                ),
            ),
            ends=self.ends[:0],
            smearing=_alone(self.smearing),
            shapes=_alone(self.shapes),
        )

    def bare(self) -> PanelState:
        """Return the ridges without networks."""
        bare = tuple(replace(each, networks=(), plain=()) for each in self.stretches)
        return replace(self, stretches=bare)

    def untuned(self) -> PanelState:
        """Return what forecasts all sessions as the first stretch does."""
        return replace(self, stretches=self.stretches[:1], ends=self.ends[:0])


def _rounded(network: Weights) -> Weights:
    return Weights.of([part.astype(np.float16) for part in network.arrays()])


def _alone(by_mode: Mapping[Mode, Any]) -> dict[Mode, Any]:
    return {mode: value for mode, value in by_mode.items() if not mode.panel}
