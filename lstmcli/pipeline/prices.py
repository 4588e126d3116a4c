"""Prices: forecasts in a ticker's currency instead of log returns."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lstmcli.frames import COVERAGES, INTERVAL_COLUMNS, QUANTILE_COLUMNS, endpoints


def in_prices(forecast: pd.DataFrame) -> pd.DataFrame:
    """Return a Forecast with quantiles and intervals as prices: `last_close * exp(q)`.

    The quantiles of a recipe stand for its intervals where it has none. Returns
    include dividends, so these prices assume that dividends are reinvested.
    """
    ends = [column for share in COVERAGES for column in endpoints(forecast, share)]
    forecast = forecast.assign(**dict(zip(INTERVAL_COLUMNS, ends, strict=True)))
    levels = [*QUANTILE_COLUMNS, *INTERVAL_COLUMNS]
    prices = np.exp(forecast[levels]).mul(forecast["last_close"], axis=0)
    return forecast.assign(**{name: prices[name] for name in levels})


def with_baseline(prices: pd.DataFrame, baseline: pd.DataFrame | None) -> pd.DataFrame:
    """Return the prices of a forecast and, after them, those of a baseline."""
    return prices if baseline is None else pd.concat([prices, baseline], ignore_index=True)
