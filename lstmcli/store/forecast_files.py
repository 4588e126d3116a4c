"""Files of forecasts in prices: a CSV for each ticker, or one Parquet for a universe.

A universe of 500 tickers would be 125,000 CSV files a year, of 15 kB each. In one Parquet file
for all of them a ticker takes about 2 kB: numbers are in single precision, which is seven
digits, and baselines are at the steps that are judged.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from lstmcli.frames import INTERVAL_COLUMNS, QUANTILE_COLUMNS
from lstmcli.store.files import file_name, replaced_atomically, ticker_of, write_atomically

_SINGLE = ("sigma", *QUANTILE_COLUMNS, *INTERVAL_COLUMNS, "p_up")

_CSV = re.compile(r"(.+)-\d{8}T\d{6}Z-.+\.csv")
"""The name of a CSV file: the ticker and the run, which begins with a time."""


class ForecastFiles:
    """The folder `forecasts`, a folder in it for each origin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def csv_path(self, ticker: str, made_on: pd.Timestamp, run: str) -> Path:
        return self._day(made_on) / f"{file_name(ticker)}-{run}.csv"

    def parquet_path(self, made_on: pd.Timestamp, run: str) -> Path:
        return self._day(made_on) / f"{run}.parquet"

    def write(self, forecast: pd.DataFrame, *, ticker: str, run: str) -> Path:
        """Write the forecast of one ticker from one origin as CSV, prices in 8 digits.

        Raises:
            DiskError: it cannot be written.
        """
        path = self.csv_path(ticker, pd.Timestamp(forecast["made_on"].iloc[0]), run)
        text = forecast.to_csv(index=False, float_format="%.8g", lineterminator="\n")
        write_atomically(path, text.encode())
        return path

    def write_all(
        self,
        rows: pd.DataFrame,
        *,
        made_on: pd.Timestamp,
        run: str,
        judged: Collection[int],
    ) -> Path:
        """Write the forecasts of many tickers from one origin as one Parquet file.

        Those of other tickers that the file has already are kept.

        Args:
            judged: steps at which baselines are kept.

        Raises:
            DiskError: it cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.parquet_path(made_on, run)
        tickers = rows["ticker"].unique()
        rows = rows[rows["calibrated"] | rows["step"].isin(list(judged))]
        rows = rows.astype({name: "float32" for name in _SINGLE if name in rows})
        try:
            old = pd.read_parquet(path)
            kept = old[~old["ticker"].isin(tickers)]
            rows = pd.concat([kept, rows], ignore_index=True) if len(kept) else rows
        except (OSError, ValueError, KeyError):
            pass  # there is none, or it is of no use: it is replaced
        table = pa.Table.from_pandas(rows, preserve_index=False)
        single = [name for name in _SINGLE if name in rows]
        with replaced_atomically(path) as stream:
            pq.write_table(
                table,
                stream,
                compression="zstd",
                compression_level=9,
                use_dictionary=[name for name in rows if name not in single],
                use_byte_stream_split=single,
            )
        return path

    def read(self, ticker: str, made_on: pd.Timestamp, run: str) -> pd.DataFrame | None:
        """Return the forecast of a ticker, of its own file or of that of a universe.

        The newer one counts. None where there is none, or it is of no use.
        """
        paths = [self.csv_path(ticker, made_on, run), self.parquet_path(made_on, run)]
        for path in sorted(filter(Path.exists, paths), key=_changed, reverse=True):
            try:
                rows = _read_one(path, ticker)
            except (OSError, ValueError, KeyError):
                continue
            if len(rows):
                return rows
        return None

    def first_step(self, ticker: str, made_on: pd.Timestamp, run: str) -> dict[str, Any] | None:
        """Return the first row of a stored forecast; None where it is gone, or of no use."""
        rows = self.read(ticker, made_on, run)
        return None if rows is None else {str(key): each for key, each in rows.iloc[0].items()}

    def latest(self, tickers: Collection[str]) -> dict[str, str]:
        """Return the newest origin of each ticker, as an ISO date, where it has a forecast."""
        found: dict[str, str] = {}
        left = set(tickers)
        for day in sorted(self.folder.glob("*-*-*"), reverse=True):
            if not left:
                break
            here = left & _tickers_in(day)
            found |= dict.fromkeys(here, day.name)
            left -= here
        return found

    def _day(self, made_on: pd.Timestamp) -> Path:
        return self.folder / f"{made_on:%Y-%m-%d}"


def _read_one(path: Path, ticker: str) -> pd.DataFrame:
    if path.suffix == ".csv":
        return pd.read_csv(path)
    return pd.read_parquet(path, filters=[("ticker", "==", ticker)])


def _tickers_in(day: Path) -> set[str]:
    """Return the tickers that have a forecast in the folder of an origin."""
    import pyarrow.parquet as pq

    found = set()
    for path in day.iterdir():
        if match := _CSV.fullmatch(path.name):
            found.add(ticker_of(match[1]))
        elif path.suffix == ".parquet":
            try:
                found |= set(pq.read_table(path, columns=["ticker"])["ticker"].to_pylist())
            except (OSError, ValueError, KeyError):
                continue  # of no use
    return found


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns
