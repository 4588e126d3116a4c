"""Walk-forward folds: fit on the past, forecast the sessions after it, move on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from lstmcli.errors import ConfigError, NoDataError
from lstmcli.evaluation.metrics import realise
from lstmcli.forecasters.base import Fitted
from lstmcli.forecasters.calibrated import learnt_from
from lstmcli.forecasters.calibration import calibrate
from lstmcli.frames import Section
from lstmcli.panel import Panel

STEPS = (1, 5, 10, 20)
"""Steps that are judged, beside the last; the ones between them would say the same."""

MIN_FOLD = 20
"""Origins that a fold needs at least."""

MIN_HISTORY = 504
"""Sessions, two years, that a ticker needs before a fold to take part in it."""


def judged_steps(horizon: int) -> tuple[int, ...]:
    """Return the steps of a horizon that are judged and shown; the last is one of them."""
    return (*(step for step in STEPS if step < horizon), horizon)


class BacktestConfig(Section):
    """How the past is replayed.

    The span from `start` to `end` is cut into `folds` of equal length. Each fold is
    forecast by a recipe fitted on the `train_years` before it, or on everything
    before it if `expanding`. Scores never change this schedule.
    """

    folds: int = Field(4, ge=1, le=100)
    """Fits, each with a span of its own to forecast."""
    start: date | None = None
    """First origin; else as many years before `end` as there are folds."""
    end: date | None = None
    """Last origin; else the last one whose outcomes have all arrived."""
    train_years: float = Field(10.0, ge=1, le=100)
    """Years before each fold that its fit learns from."""
    expanding: bool = False
    """Learn from everything before the fold instead."""

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.start and self.end and self.start >= self.end:
            raise ValueError(f"start {self.start} does not lie before end {self.end}")
        return self


@dataclass(frozen=True)
class Fold:
    """One refit and the origins that it forecasts.

    Attributes:
        number: 1 … folds.
        since: the first session that the fit may use.
        until: the last one. The fit uses no label that arrives later, so no target
            crosses the boundary.
        origins: sessions forecast, ascending.
    """

    number: int
    since: pd.Timestamp
    until: pd.Timestamp
    origins: pd.DatetimeIndex


def cut_folds(
    sessions: pd.DatetimeIndex, config: BacktestConfig, *, horizon: int, least: int
) -> tuple[Fold, ...]:
    """Return the folds of a backtest, oldest first.

    Args:
        sessions: every session of the panel, ascending.
        least: sessions that a fit needs.

    Raises:
        NoDataError: there are too few sessions; the hint says how many folds they allow.
    """
    labelled = sessions[: max(len(sessions) - horizon, 0)]
    if config.end is not None:
        labelled = labelled[labelled <= pd.Timestamp(config.end)]
    folds = _cut(sessions, labelled, config, least)
    if folds is not None:
        return folds
    for fewer in range(config.folds - 1, 0, -1):
        shorter = config.model_copy(update={"folds": fewer, "start": None})
        if _cut(sessions, labelled, shorter, least) is not None:
            hint = f"--set backtest.folds={fewer}"
            break
    else:
        hint = "lstm fetch --start 2000-01-01, for more sessions"
    first = config.start or "the first fold"
    raise NoDataError(
        f"Expected {least:,} sessions to fit on before {first}, and {MIN_FOLD} origins in each "
        f"of {config.folds} folds. Received: {len(sessions):,} sessions from "
        f"{sessions[0]:%Y-%m-%d} to {sessions[-1]:%Y-%m-%d}.",
        hint=hint,
    )


def _cut(
    sessions: pd.DatetimeIndex, labelled: pd.DatetimeIndex, config: BacktestConfig, least: int
) -> tuple[Fold, ...] | None:
    """Return the folds, or None where a fit or a fold has too few sessions."""
    if not len(labelled):
        return None
    stop = labelled[-1] + pd.Timedelta(days=1)
    start = pd.Timestamp(config.start) if config.start else stop - pd.DateOffset(years=config.folds)
    edges = pd.date_range(start, stop, periods=config.folds + 1)
    folds = []
    for number, (first, last) in enumerate(pairwise(edges), start=1):
        origins = labelled[(labelled >= first) & (labelled < last)]
        if len(origins) < MIN_FOLD:
            return None
        before = sessions[sessions < origins[0]]
        years = pd.Timedelta(days=round(365.25 * config.train_years))
        known = before if config.expanding else before[before > origins[0] - years]
        if len(known) < least:
            return None
        folds.append(Fold(number, known[0], known[-1], origins))
    return tuple(folds)


def taking_part(panel: Panel, fold: Fold) -> Panel:
    """Return the panel that a fold's fit and forecasts may read.

    Tickers with less than two years before the fold, or without a bar in it, are left
    out. So are bars before `fold.since`.
    """
    some = []
    for ticker, bars in panel.items():
        known = bars.loc[fold.since : fold.until]
        if len(known) >= MIN_HISTORY and bars.index[-1] > fold.until:
            some.append(ticker)
    return panel.only(some).since(fold.since)


def forecast_fold(fitted: Fitted, panel: Panel, fold: Fold, steps: tuple[int, ...]) -> pd.DataFrame:
    """Return the forecasts of a fold at some steps, not calibrated and not yet realised.

    The first fold also has those that its fit made out of sample before it, from which
    calibration learns; those of a later fold are preceded by the fold before.
    """
    origins = fold.origins
    if fold.number == 1:
        origins = origins.union(learnt_from(fitted, panel.until(fold.until)))
    rows = fitted.forecast(panel, origins)
    return rows[np.isin(rows["step"], steps)].reset_index(drop=True)


def calibrate_folds(
    rows: pd.DataFrame, panel: Panel, folds: Sequence[Fold], *, alone: Collection[str] = ()
) -> pd.DataFrame:
    """Return the realised forecasts on the origins of all folds, raw and calibrated.

    Each recipe is calibrated by itself. Calibration goes through the dates in their order,
    and what it has learnt outlasts a fold; see `calibrate`. Adds the column `fold`, the number
    of the fold that a row belongs to.

    Args:
        rows: of every fold, as `forecast_fold` returns them.
        panel: the whole panel.
        alone: recipes that are calibrated ticker by ticker; see `FittedCalibrated`.
    """
    origins = pd.DatetimeIndex(np.concatenate([fold.origins for fold in folds]))
    known = [taking_part(panel, fold) for fold in folds]
    parts = []
    for recipe, raw in rows.groupby("recipe", sort=False):
        by_itself = recipe in alone
        pools = [own for _, own in raw.groupby("ticker", sort=False)] if by_itself else [raw]
        moved = [calibrate(pool, panel, origins, moves=not by_itself) for pool in pools]
        both = pd.concat([raw, *moved], ignore_index=True)
        parts += [
            realise(both[both["made_on"].isin(fold.origins)], bars).assign(fold=fold.number)
            for fold, bars in zip(folds, known, strict=True)
        ]
    return pd.concat(parts, ignore_index=True)


def check_span(configs: dict[str, BacktestConfig]) -> None:
    """Check that configs that are compared replay the same span.

    Raises:
        ConfigError: the configs would be judged on different origins.
    """
    if len(set(configs.values())) > 1:
        # What begins last is the shortest span, which any of them can be judged on.
        shortest = max(configs.values(), key=lambda each: each.start or date.min)
        settings = shortest.model_dump(mode="json")
        others = [each.model_dump(mode="json") for each in configs.values()]
        differ = [name for name in settings if len({str(each[name]) for each in others}) > 1]
        sets = " ".join(f"--set backtest.{name}={settings[name]}" for name in differ)
        raise ConfigError(
            "Expected the same `backtest:` section in every config that is compared. "
            f"Received: {', '.join(configs)} differ, and would be judged on other days.",
            hint=f"{sets.replace('=None', '=null')} sets it for all",
        )
