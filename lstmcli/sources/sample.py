"""Real bars that ship with libraries, so that a first run needs no network."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from lstmcli.errors import NoDataError, shell_word
from lstmcli.frames import BAR_COLUMNS
from lstmcli.sources.base import PRICES, Delivery, SourceConfig


@dataclass(frozen=True)
class Sample:
    """One ticker of the sample: what it is, and how its bars are read."""

    read: Callable[[], pd.DataFrame]
    exchange: str  # as Yahoo calls it
    label: str


def _sp500() -> pd.DataFrame:
    """Return the S&P 500 index, 5,031 sessions: `open` … `volume`."""
    from arch.data import sp500

    bars: pd.DataFrame = sp500.load()
    return bars.rename(columns=str.lower)


def _google() -> pd.DataFrame:
    """Return Google from its first session on, 1,047 sessions: `open` … `volume`."""
    from matplotlib.cbook import get_sample_data

    rows: np.ndarray = get_sample_data("goog.npz")["price_data"]  # type: ignore[index]
    bars = pd.DataFrame({name: rows[name] for name in [*PRICES, "volume"]})
    return bars.set_axis(rows["date"])


# In both `adj_close` equals `close` throughout: an index pays no dividend, and Google paid none.
SAMPLES = {
    "^GSPC": Sample(
        _sp500,
        exchange="SNP",
        label="sample data: S&P 500 1999-01-04 to 2018-12-31, ships with arch",
    ),
    "GOOG": Sample(
        _google,
        exchange="NMS",
        label="sample data: GOOG 2004-08-19 to 2008-10-14, ships with matplotlib",
    ),
}


class SampleSource(SourceConfig):
    """Two tickers of past years: a long one, and one that a test reads quickly."""

    name: Literal["sample"] = "sample"

    def tickers(self) -> list[str]:
        return list(SAMPLES)

    def bars(
        self,
        ticker: str,
        start: date | None = None,
        *,
        cache: Path,
        allowed: Collection[pd.Timestamp] = (),
    ) -> Delivery:
        if ticker not in SAMPLES:
            raise NoDataError(
                f"Expected a ticker of the sample: {', '.join(SAMPLES)}. Received: {ticker}.",
                hint=f"lstm fetch {shell_word(ticker)} --source yahoo",
            )
        sample = SAMPLES[ticker]
        bars = sample.read()
        bars.index = pd.DatetimeIndex(bars.index.astype("datetime64[ns]"), name="session")
        bars = bars.assign(dividend=0.0, split=0.0)[list(BAR_COLUMNS)].astype(float)
        if start is not None:
            bars = bars.loc[np.datetime64(start) :]
        return Delivery(
            bars,
            exchange=sample.exchange,
            timezone="America/New_York",
            currency="USD",
            label=sample.label,
        )
