"""What the tickers of a calendar share: the usual session, and market series at their close."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.features import ewma_volatility, garman_klass_variance
from lstmcli.forecasters.filtered_simulation import MIN_POOL
from lstmcli.forecasters.panel_network.modes import (
    HAR,
    INDEX,
    INDEX_COLUMNS,
    MEANS,
    VIX,
    VIX_COLUMNS,
)
from lstmcli.forecasters.volatility.clock import (
    Days,
    median_unusual,
)
from lstmcli.forecasters.volatility.regressors import (
    LONG_SPAN,
    LONG_WARM_UP,
    SPANS,
    har_columns,
    unusual,
)
from lstmcli.frames import log_returns
from lstmcli.panel import Panel, View
from lstmcli.sessions import WEEKDAYS

YEAR = 252
"""Sessions of a year, to which a volatility index is scaled."""


def calendar_of(panel: Panel, ticker: str) -> str:
    """Return the name of a ticker's calendar."""
    return panel.calendars.get(ticker, WEEKDAYS)


@dataclass(frozen=True)
class Usual:
    """What describes the market on each session; NaN where fewer than `MIN_POOL` tickers do.

    Attributes:
        means: over the tickers, of the columns of HAR but the level.
        shock: see `median_unusual`.
    """

    means: pd.DataFrame
    shock: pd.DataFrame


def usual_of(panel: Panel) -> Usual:
    """Return the means and medians of tickers that close together, on each session."""
    sessions = panel.sessions()
    if len(panel) < MIN_POOL:
        return nothing_usual(sessions)
    width = len(HAR) - 1
    total, count = np.zeros((len(sessions), width)), np.zeros((len(sessions), width))
    for bars in panel.values():
        at = sessions.get_indexer(bars.index)
        own = har_columns(bars)[list(HAR[1:])].to_numpy(float)
        known = np.isfinite(own)
        total[at] += np.where(known, own, 0.0)
        count[at] += known
    means = np.where(count >= MIN_POOL, total / np.maximum(count, 1), np.nan)
    return Usual(
        means=pd.DataFrame(means, index=sessions, columns=list(MEANS)),
        shock=median_unusual(panel),
    )


def nothing_usual(sessions: pd.DatetimeIndex) -> Usual:
    """Return what a ticker knows of others that it does not read."""
    return Usual(
        means=pd.DataFrame(np.nan, index=sessions, columns=list(MEANS)),
        shock=pd.DataFrame(np.nan, index=sessions, columns=["range", "volume"]),
    )


@dataclass(frozen=True)
class Shared:
    """What the tickers of a calendar share.

    Attributes:
        market: what market series say at each close; see `market_columns`.
    """

    days: Days
    market: pd.DataFrame
    usual: Usual


def market_columns(view: View) -> pd.DataFrame:
    """Return what the market series say at each close of a calendar; NaN where not known.

    `vix`, `range` and `volume` of the index beside the columns that are named after them.
    """
    names = ["vix", "range", "volume", *VIX_COLUMNS, *INDEX_COLUMNS]
    if not {VIX, INDEX} <= set(view.panel.market):
        return pd.DataFrame(np.nan, index=view.sessions, columns=names)
    vix = np.log((view.market(VIX)["close"] / 100) ** 2 / YEAR)
    of_vix = {
        "vix": vix,
        "vix_less_mean": vix - vix.rolling(LONG_SPAN, min_periods=LONG_WARM_UP).mean(),
        "vix_change_1": vix.diff(),
        "vix_change_5": vix.diff(5),
        "vix_less_mean_22": vix - vix.rolling(22).mean(),
    }
    index = view.market(INDEX)
    variance, returns, sigma = (
        garman_klass_variance(index),
        log_returns(index),
        ewma_volatility(index),
    )
    usual = np.log(variance.rolling(LONG_SPAN, min_periods=LONG_WARM_UP).mean())
    of_index = dict(unusual(index))
    for span in SPANS[:-1]:
        of_index[f"index_variance_{span}"] = np.log(variance.rolling(span).mean()) - usual
        moved = returns.rolling(span).sum() / (sigma * np.sqrt(span))
        of_index[f"index_return_{span}"] = moved
    each = {VIX: pd.DataFrame(of_vix), INDEX: pd.DataFrame(of_index)}
    found = [view.at_close(name, columns) for name, columns in each.items()]
    return pd.concat(found, axis=1)[names]
