"""Features from market series, such as `vix_level` of `market: {vix: ^VIX}`.

A feature is named after the series and one of the kinds below, so that a user's own
series has its features without a line of code. Each is computed on the sessions of the
series and read at the close of the ticker's session.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.features.bars import ewma_volatility
from lstmcli.features.base import Feature
from lstmcli.frames import log_returns
from lstmcli.panel import View

SESSIONS_A_YEAR = 252


@dataclass(frozen=True)
class MarketKind:
    """What can be read from any market series.

    Attributes:
        column: from the bars of the series to one value for each of its sessions.
    """

    description: str
    unit: str
    source: str
    column: Callable[[pd.DataFrame], pd.Series]


def _level(bars: pd.DataFrame) -> pd.Series:
    return np.log(bars["close"] / 100 / np.sqrt(SESSIONS_A_YEAR))


MARKET_KINDS: dict[str, MarketKind] = {
    "level": MarketKind(
        description="ln of a volatility index, which is quoted in % a year, per session",
        unit="log of a log return per √session",
        source="Whaley (2009), Understanding the VIX, Journal of Portfolio Management 35",
        column=_level,
    ),
    "return": MarketKind(
        description="return since the previous close of the series",
        unit="log return",
        source="Campbell, Lo and MacKinlay (1997), The Econometrics of Financial Markets, 1.4",
        column=log_returns,
    ),
    "volatility": MarketKind(
        description="ewma_volatility of the series",
        unit="log return per √session",
        source="J.P. Morgan/Reuters (1996), RiskMetrics Technical Document",
        column=ewma_volatility,
    ),
}


def market_feature(name: str) -> Feature | None:
    """Return the feature of a name such as `vix_level`; None where it ends in no kind."""
    series, _, word = name.rpartition("_")
    kind = MARKET_KINDS.get(word)
    if kind is None or not series:
        return None

    def column(view: View) -> pd.Series:
        return view.at_close(series, kind.column(view.market(series)))

    return Feature(name, f"{kind.description} ({series})", kind.unit, kind.source, column, series)
