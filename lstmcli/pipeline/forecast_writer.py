"""Which file the prices of a forecast go to: a CSV of their own, or one Parquet for all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from lstmcli.evaluation.backtest import judged_steps
from lstmcli.pipeline.prices import Written, as_written
from lstmcli.store.forecast_files import ForecastFiles

MANY = 20
"""Tickers of one command up to which each has a CSV file."""


class ForecastWriter:
    """Where the forecasts of one run and origin are written: at once, or together at the end.

    Attributes:
        waiting: what is written together, by ticker.
    """

    def __init__(
        self, files: ForecastFiles, run: str, made_on: pd.Timestamp, *, many: bool
    ) -> None:
        self.files, self.run, self.made_on, self.many = files, run, made_on, many
        self.waiting: dict[str, Written] = {}

    def write(self, forecast: Written, ticker: str) -> Path:
        """Take the forecast of a ticker; return the file that holds it in the end.

        Raises:
            DiskError: they cannot be written.
        """
        if not self.many:
            return self.files.write(as_written([forecast]), ticker=ticker, run=self.run)
        self.waiting[ticker] = forecast
        return self.files.parquet_path(self.made_on, self.run)

    def close(self, order: Iterable[str]) -> None:
        """Write what waits for the others.

        Args:
            order: of the tickers in the file.

        Raises:
            DiskError: it cannot be written.
        """
        if self.waiting:
            rows = as_written([self.waiting[name] for name in order if name in self.waiting])
            self.files.write_all(
                rows,
                made_on=self.made_on,
                run=self.run,
                judged=judged_steps(int(rows["step"].max())),
            )
