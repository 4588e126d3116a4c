"""The bars that ship with matplotlib, so that a first run needs no network."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from lstmcli.errors import NoDataError, shell_word
from lstmcli.frames import BAR_COLUMNS
from lstmcli.sources.base import Delivery, SourceConfig

TICKER = "GOOG"
LABEL = "sample data: GOOG 2004-08-19 to 2008-10-14, ships with matplotlib"


class SampleSource(SourceConfig):
    """Google from its first session on: 1,047 sessions, split-adjusted as of 2008."""

    name: Literal["sample"] = "sample"

    def tickers(self) -> list[str]:
        return [TICKER]

    def bars(
        self,
        ticker: str,
        start: date | None = None,
        *,
        cache: Path,
        allowed: Collection[pd.Timestamp] = (),
    ) -> Delivery:
        from matplotlib.cbook import get_sample_data

        if ticker != TICKER:
            raise NoDataError(
                f"Expected {TICKER}, the one ticker of the sample. Received: {ticker}.",
                hint=f"lstm fetch {shell_word(ticker)} --source yahoo",
            )
        rows: np.ndarray = get_sample_data("goog.npz")["price_data"]  # type: ignore[index]
        bars = pd.DataFrame(
            {name: rows[name].astype(float) for name in ("open", "high", "low", "close", "volume")},
            index=pd.DatetimeIndex(rows["date"].astype("datetime64[ns]"), name="session"),
        )
        # `adj_close` equals `close` throughout: no dividend and no split in those years.
        bars = bars.assign(dividend=0.0, split=0.0)[list(BAR_COLUMNS)]
        if start is not None:
            bars = bars.loc[np.datetime64(start) :]
        return Delivery(
            bars, exchange="NMS", timezone="America/New_York", currency="USD", label=LABEL
        )
