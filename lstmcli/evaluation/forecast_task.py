"""The task of forecasting some tickers of a run; see `tasks`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from lstmcli.forecasters.baselines.kept_fits import KeptFits
from lstmcli.forecasters.beside import forecast_beside
from lstmcli.forecasters.calibrated import FittedCalibrated
from lstmcli.forecasters.calibration_state import CalibrationState
from lstmcli.forecasters.kept_calibration import KeptCalibration
from lstmcli.forecasters.run_recipe import FittedRun
from lstmcli.frames import small_tables
from lstmcli.panel import Panel


@dataclass(frozen=True)
class Forecasts:
    """What a run and baselines forecast of some tickers, in log returns.

    Attributes:
        raw: before calibration, from the origins that were asked for.
        published: calibrated, from the same.
        beside: Forecasts of baselines by name, from the last origin.
        learnt: what `KeptCalibration` has to keep of each ticker.
        fits: what `KeptFits` has to keep of each ticker.
    """

    raw: pd.DataFrame
    published: pd.DataFrame
    beside: Mapping[str, pd.DataFrame]
    learnt: Mapping[str, bytes]
    fits: Mapping[str, bytes]


@dataclass(frozen=True)
class ForecastTask:
    """Forecasts of some tickers of a run, and of baselines beside them.

    It carries its panel: no other task reads the same.

    Attributes:
        origins: of the run; the last of them is that of the baselines.
        beside: names of baselines.
        state, enough: see `FittedCalibrated`.
        kept: what is known of each ticker; None: nothing, and nothing is kept.
        fits: those that need not be made once more.
    """

    fitted: FittedRun
    panel: Panel
    origins: pd.DatetimeIndex
    beside: tuple[str, ...]
    state: CalibrationState | None = None
    enough: Sequence[str] | None = None
    kept: KeptCalibration | None = None
    fits: KeptFits = field(default_factory=KeptFits)

    @property
    def key(self) -> str:
        first, *others = self.panel
        return f"{first} and {len(others):,} more" if others else first

    @property
    def panel_sha(self) -> None:
        """It reads no panel of another one."""
        return None

    @small_tables
    def run(self, panel: None = None) -> Forecasts:
        """Return the forecasts.

        Raises:
            NoDataError: the panel lacks a series.
        """
        calibrated = FittedCalibrated(self.fitted, self.state, alone=self.fitted.recipe.alone)
        raw, published = calibrated.with_inner(
            self.panel, self.origins, enough=self.enough, kept=self.kept
        )
        beside = forecast_beside(
            self.beside, self.fitted, self.panel, self.origins[-1], kept=self.fits
        )
        learnt = {} if self.kept is None else self.kept.changed
        return Forecasts(raw, published, beside, learnt, self.fits.contents())


def loaded() -> None:
    """Do nothing: a worker that is given this function has imported what a task needs."""
