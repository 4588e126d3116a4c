"""The spine: a recipe is fitted, what is fitted forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from lstmcli.frames import QUANTILE_COLUMNS, QUANTILES, empty_forecast
from lstmcli.panel import Panel

NO_WIDTH = 0.1
"""Half ticks below which a 50 % cone has no width: a network's has a thousandth at least."""


class Fitted(Protocol):
    """A forecaster that has seen bars up to `fit_end`."""

    @property
    def name(self) -> str:
        """The recipe's name, as it stands in Forecast and Scores."""
        ...

    @property
    def fit_end(self) -> pd.Timestamp:
        """The last session that the fit has used; earlier origins are in sample."""
        ...

    @property
    def learns_from(self) -> pd.Timestamp:
        """The first session whose forecasts calibration may learn from.

        From it on, forecasts are out of sample, or as good as that: a recipe with few
        parameters may set it before `fit_end`.
        """
        ...

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """Return a Forecast from each origin, using only sessions up to and including it.

        A ticker without a bar on an origin, or with too short a history there,
        has no rows for it.
        """
        ...


class Recipe(Protocol):
    """How to forecast, before seeing data. Immutable."""

    @property
    def name(self) -> str: ...

    def fit(self, panel: Panel, until: pd.Timestamp) -> Fitted:
        """Return a forecaster that has used no row after `until`.

        Raises:
            NoDataError: the panel has too few sessions.
        """
        ...


def forecast_rows(
    recipe: str,
    ticker: str | np.ndarray,
    *,
    made_on: pd.DatetimeIndex | np.ndarray,
    target_on: np.ndarray,
    last_close: np.ndarray,
    sigma: np.ndarray,
    quantiles: np.ndarray,
    least: np.ndarray,
) -> pd.DataFrame:
    """Return the Forecast of one ticker from N origins, one row a step.

    Args:
        ticker: of all origins; or (N,) of each.
        made_on: (N,) origins.
        target_on: (N, H) sessions forecast.
        last_close: (N,) unadjusted closes, in the ticker's currency.
        sigma: (N, H) volatility of the cumulative log return, a fraction.
        quantiles: (N, H, Q) log returns from `made_on`, ascending in Q.
        least: (N,) least volatility of one session; see `with_width`.
    """
    origins, horizon, _ = quantiles.shape
    quantiles = with_width(quantiles, least[:, None])
    frame = pd.DataFrame(  # in the order of FORECAST_COLUMNS
        {
            "recipe": recipe,
            "calibrated": False,
            "ticker": ticker if isinstance(ticker, str) else np.repeat(ticker, horizon),
            "made_on": np.repeat(np.asarray(made_on), horizon),
            "step": np.tile(np.arange(1, horizon + 1), origins),
            "target_on": target_on.reshape(-1),
            "last_close": np.repeat(last_close, horizon),
            "sigma": sigma.reshape(-1),
        }
    )
    levels = pd.DataFrame(
        quantiles.reshape(-1, len(QUANTILE_COLUMNS)), columns=list(QUANTILE_COLUMNS)
    )
    return pd.concat([frame, levels], axis=1)


def with_width(quantiles: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Return quantiles (…, Q) of which none has a 50 % cone without width.

    Where a share mostly closes unchanged, quantiles of its errors are equal: that says that
    its value moves within a tick. There, and only there, a uniform distribution over one tick
    around the close is added: q_τ ← q_τ + (2τ − 1)·least, which leaves the median.

    Args:
        least: (…) half a tick as a log return, as `least_volatility` returns it.
    """
    low, high = (quantiles[..., QUANTILES.index(level)] for level in (0.25, 0.75))
    thin = high - low < NO_WIDTH * least
    if not thin.any():
        return quantiles
    return quantiles + (thin * least)[..., None] * (2 * np.asarray(QUANTILES) - 1)


def join_forecasts(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Return one Forecast of several; an empty one where there is none."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return empty_forecast()
    return pd.concat(filled, ignore_index=True)


def in_order(forecast: pd.DataFrame, tickers: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a Forecast in the order of some tickers; those of one stay in theirs."""
    place = pd.Index(tickers).get_indexer(forecast["ticker"])
    return forecast.iloc[np.argsort(place, kind="stable")].reset_index(drop=True)
