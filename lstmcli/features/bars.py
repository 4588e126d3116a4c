"""Features from a ticker's own bars.

Row t of every feature is computed from sessions up to t, so that a later bar never
changes it. All prices are those of `total_return_prices`, so that a dividend is no
jump. All features are free of scale: prices ×10 leave them as they are, so that
tickers can be pooled.

To add a feature, write a function from bars to a Series and add an entry to the table.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from lstmcli.features.base import Feature
from lstmcli.features.stacked import StackedBars
from lstmcli.frames import log_returns, total_return_prices
from lstmcli.panel import View
from lstmcli.trading import SIGMA_FLOOR

VOLUME_FLOOR = 0.01
"""Least volume, as a share of its mean: ln(0) would be no number."""

VOLUME_SESSIONS = 60
YEAR_SESSIONS = 252


def ewma_volatility(bars: pd.DataFrame) -> pd.Series:
    """Return the volatility σ̂ of the next session, as a log return.

    The exponentially weighted root mean square of log returns, with no mean
    taken off: the mean of a daily return is noise beside its volatility. Never below
    `least_volatility`, half a tick.

    Source: J.P. Morgan/Reuters (1996), RiskMetrics Technical Document, 4th ed.
    """
    return pd.Series(StackedBars.of([bars]).sigma[:, 0], bars.index, name="ewma_volatility")


def garman_klass_variance(bars: pd.DataFrame) -> pd.Series:
    """Return the variance of each session from its open, high, low and close.

    The overnight gap, from the previous close to the open, is part of it; the
    first session has none and is NaN. Unit: squared log return. A session in which nothing
    moved has the square of `least_volatility`: prices moved by less than half a tick.

    Source: Garman and Klass (1980), On the Estimation of Security Price
    Volatilities from Historical Data, Journal of Business 53.
    """
    variance = StackedBars.of([bars]).variance[:, 0]
    return pd.Series(variance, bars.index, name="garman_klass_variance")


def _garman_klass(bars: pd.DataFrame) -> pd.Series:
    return np.sqrt(garman_klass_variance(bars))


def _range(bars: pd.DataFrame) -> pd.Series:
    # A dividend scales high and low alike, so that raw bars serve.
    return np.log(bars["high"] / bars["low"])


def _standardised_return(bars: pd.DataFrame) -> pd.Series:
    # By the volatility that was expected the evening before.
    return log_returns(bars) / ewma_volatility(bars).shift(1)


def _relative_volatility(bars: pd.DataFrame) -> pd.Series:
    return np.log(_garman_klass(bars) / ewma_volatility(bars))


def _volume(bars: pd.DataFrame) -> pd.Series:
    volume = bars["volume"].astype(float)
    mean = volume.rolling(VOLUME_SESSIONS).mean()
    # Indices and currencies have no volume at all: that is "as usual", not a fault.
    share = (volume / mean).where(mean != 0, 1.0)
    return np.log(share.clip(lower=VOLUME_FLOOR))


def _momentum(bars: pd.DataFrame, sessions: int) -> pd.Series:
    close = total_return_prices(bars)["close"]
    return np.log(close / close.shift(sessions))


def _rsi(bars: pd.DataFrame) -> pd.Series:
    import talib

    close = _array(total_return_prices(bars)["close"])
    # RSI(-x) is 100 - RSI(x), except where nothing moved: there TA-Lib answers 0
    # to both, "never so weak". Taking half the difference makes that a neutral 50.
    return pd.Series(50 + (talib.RSI(close) - talib.RSI(-close)) / 2, index=bars.index)


def _macd(bars: pd.DataFrame) -> pd.Series:
    import talib

    close = _array(total_return_prices(bars)["close"])
    line, _signal, _histogram = talib.MACD(close)
    return pd.Series(line / close, index=bars.index)


def _atr(bars: pd.DataFrame) -> pd.Series:
    import talib

    prices = total_return_prices(bars)
    percent = talib.NATR(_array(prices["high"]), _array(prices["low"]), _array(prices["close"]))
    return pd.Series(percent / 100, index=bars.index)


def _bollinger(bars: pd.DataFrame) -> pd.Series:
    import talib

    # Logs, because TA-Lib takes a variance below 1e-14 for zero: prices far below 1
    # would have flat bands. Relative to the first close, they are free of scale.
    level = _array(log_returns(bars).fillna(0.0).cumsum())
    upper, middle, _lower = talib.BBANDS(level, timeperiod=20)
    return pd.Series((level - middle) / np.maximum(upper - middle, SIGMA_FLOOR), index=bars.index)


def _weekday(bars: pd.DataFrame) -> pd.Series:
    return pd.Series(pd.DatetimeIndex(bars.index).day_of_week, index=bars.index, dtype=float)


def _high_52w(bars: pd.DataFrame) -> pd.Series:
    prices = total_return_prices(bars)
    return np.log(prices["close"] / prices["high"].rolling(YEAR_SESSIONS).max())


def _array(column: pd.Series) -> np.ndarray:
    """Return a contiguous float64 copy, which is what TA-Lib takes."""
    return np.array(column, dtype=np.float64)


def _of_bars(column: Callable[[pd.DataFrame], pd.Series]) -> Callable[[View], pd.Series]:
    return lambda view: column(view.bars)


_MOMENTUM_SOURCE = "Jegadeesh and Titman (1993), Returns to Buying Winners and Selling Losers"

OWN_FEATURES: dict[str, Feature] = {
    feature.name: feature
    for feature in (
        Feature(
            name="log_return",
            description="return since the previous close, dividends included",
            unit="log return",
            source="Campbell, Lo and MacKinlay (1997), The Econometrics of Financial Markets, 1.4",
            column=_of_bars(log_returns),
        ),
        Feature(
            name="range",
            description="high–low range of the session, ln(high / low)",
            unit="log return",
            source="Parkinson (1980), The Extreme Value Method for Estimating the Variance",
            column=_of_bars(_range),
        ),
        Feature(
            name="garman_klass",
            description="volatility of the session from open, high, low, close and overnight gap",
            unit="log return per √session",
            source="Garman and Klass (1980), On the Estimation of Security Price Volatilities",
            column=_of_bars(_garman_klass),
        ),
        Feature(
            name="ewma_volatility",
            description="volatility from past returns, recent ones weighing more (λ = 0.94)",
            unit="log return per √session",
            source="J.P. Morgan/Reuters (1996), RiskMetrics Technical Document",
            column=_of_bars(ewma_volatility),
        ),
        Feature(
            name="standardised_return",
            description="return over the ewma_volatility of the session before",
            unit="standard deviations",
            source="J.P. Morgan/Reuters (1996), RiskMetrics Technical Document",
            column=_of_bars(_standardised_return),
        ),
        Feature(
            name="relative_volatility",
            description="garman_klass against ewma_volatility, logarithm",
            unit="log ratio",
            source="Garman and Klass (1980), On the Estimation of Security Price Volatilities",
            column=_of_bars(_relative_volatility),
        ),
        Feature(
            name="volume",
            description=f"volume against its mean over {VOLUME_SESSIONS} sessions, logarithm",
            unit="log ratio",
            source="Gervais, Kaniel and Mingelgrin (2001), The High-Volume Return Premium",
            column=_of_bars(_volume),
        ),
        *(
            Feature(
                name=f"momentum_{sessions}",
                description=f"return over {sessions} sessions, dividends included",
                unit="log return",
                source=_MOMENTUM_SOURCE,
                column=_of_bars(partial(_momentum, sessions=sessions)),
            )
            for sessions in (5, 20, 60)
        ),
        Feature(
            name="rsi",
            description="relative strength index over 14 sessions; 50 where nothing moved",
            unit="0 to 100",
            source="TA-Lib RSI; Wilder (1978), New Concepts in Technical Trading Systems",
            column=_of_bars(_rsi),
        ),
        Feature(
            name="macd",
            description="12- less 26-session exponential mean of the close, over the close",
            unit="fraction of the price",
            source="TA-Lib MACD; Appel (2005), Technical Analysis",
            column=_of_bars(_macd),
        ),
        Feature(
            name="atr",
            description="average true range over 14 sessions, over the close",
            unit="fraction of the price",
            source="TA-Lib NATR; Wilder (1978), New Concepts in Technical Trading Systems",
            column=_of_bars(_atr),
        ),
        Feature(
            name="bollinger",
            description="place of the log close between its 20-session bands (mean 0, bands ±1)",
            unit="half band widths",
            source="TA-Lib BBANDS; Bollinger (2001), Bollinger on Bollinger Bands",
            column=_of_bars(_bollinger),
        ),
        Feature(
            name="weekday",
            description="day of the week of the session, 0 for Monday",
            unit="0 to 6",
            source="French (1980), Stock Returns and the Weekend Effect",
            column=_of_bars(_weekday),
        ),
        Feature(
            name="high_52w",
            description=f"close against the highest high of {YEAR_SESSIONS} sessions, at most 0",
            unit="log return",
            source="George and Hwang (2004), The 52-Week High and Momentum Investing",
            column=_of_bars(_high_52w),
        ),
    )
}
"""Features of a ticker's own bars by name, in the order in which they are listed."""
