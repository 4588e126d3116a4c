"""The baseline `har_ridge` as it was in version 0.1, from which later figures are counted.

Its quantiles are shaped by the last 1,000 errors. Baselines become stronger; what a new
one gains is told against this one, which stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from lstmcli.forecasters.baselines.learned import FittedLearned, HarRidge
from lstmcli.forecasters.filtered_simulation import filtered_simulation
from lstmcli.panel import Panel

MEMORY = 1000
"""Realised origins whose errors shaped the quantiles in version 0.1."""


@dataclass(frozen=True)
class HarRidge01:
    """The regression of `har_ridge`, with the memory of version 0.1."""

    horizon: int
    name: ClassVar[str] = "har_ridge_01"

    def fit(self, panel: Panel, until: pd.Timestamp) -> FittedHarRidge01:
        return FittedHarRidge01(HarRidge(self.horizon).fit(panel, until))


@dataclass(frozen=True)
class FittedHarRidge01:
    """`har_ridge_01` with its coefficients."""

    ridge: FittedLearned
    name: ClassVar[str] = HarRidge01.name

    @property
    def fit_end(self) -> pd.Timestamp:
        return self.ridge.fit_end

    @property
    def learns_from(self) -> pd.Timestamp:
        return self.ridge.learns_from

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        scales = self.ridge.sigma(panel)
        return filtered_simulation(self.name, panel, origins, scales, memory=MEMORY)
