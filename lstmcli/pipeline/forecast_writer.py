"""Which file the prices of a forecast go to: a CSV of their own, or one Parquet for all."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lstmcli.evaluation.backtest import judged_steps
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
        self.waiting: dict[str, pd.DataFrame] = {}

    def write(self, rows: pd.DataFrame, ticker: str) -> Path:
        """Take the prices of a ticker; return the file that holds them in the end.

        Raises:
            DiskError: they cannot be written.
        """
        if not self.many:
            return self.files.write(rows, ticker=ticker, run=self.run)
        self.waiting[ticker] = rows
        return self.files.parquet_path(self.made_on, self.run)

    def close(self) -> None:
        """Write what waits for the others.

        Raises:
            DiskError: it cannot be written.
        """
        if self.waiting:
            horizon = max(rows["step"].max() for rows in self.waiting.values())
            self.files.write_all(
                self.waiting,
                made_on=self.made_on,
                run=self.run,
                judged=judged_steps(int(horizon)),
            )
