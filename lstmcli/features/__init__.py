"""Features: what a network reads of a ticker, column by column.

Three kinds, a file each: a ticker's own bars, market series, and what is known ahead.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from lstmcli.errors import ConfigError
from lstmcli.features.bars import OWN_FEATURES, ewma_volatility, garman_klass_variance
from lstmcli.features.base import Feature
from lstmcli.features.events import CALENDAR_INPUTS, channels_ahead, is_event, known_ahead
from lstmcli.features.market import MARKET_KINDS, market_feature
from lstmcli.features.stacked import EWMA_WARM_UP, VARIANCE_FLOOR, StackedBars, alike, stacks
from lstmcli.panel import View
from lstmcli.trading import SIGMA_FLOOR


def find_feature(name: str) -> Feature | None:
    """Return the feature of a name, of own bars or of a market series; None if there is none."""
    return OWN_FEATURES.get(name) or market_feature(name)


def series_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the market series that some features read, once each."""
    features = [find_feature(name) for name in names]
    return tuple(
        dict.fromkeys(feature.series for feature in features if feature and feature.series)
    )


def feature_matrix(view: View, names: Iterable[str]) -> pd.DataFrame:
    """Return the named features of one ticker, (T, F).

    NaN where an indicator warms up, and where a market series lacks its session.

    Raises:
        ConfigError: a name is unknown.
        NoDataError: the panel lacks a market series.
    """
    columns = {}
    for name in names:
        feature = find_feature(name)
        if feature is None:
            raise ConfigError(f"Expected a feature. Received: {name}.")
        columns[name] = feature.column(view).to_numpy(float)
    return pd.DataFrame(columns, index=view.bars.index)


__all__ = [
    "CALENDAR_INPUTS",
    "EWMA_WARM_UP",
    "MARKET_KINDS",
    "OWN_FEATURES",
    "SIGMA_FLOOR",
    "VARIANCE_FLOOR",
    "Feature",
    "StackedBars",
    "alike",
    "channels_ahead",
    "ewma_volatility",
    "feature_matrix",
    "find_feature",
    "garman_klass_variance",
    "is_event",
    "known_ahead",
    "series_of",
    "stacks",
]
