"""What calibration has learnt of each ticker, kept from one evening to the next.

Where each ticker is calibrated alone, what is learnt of it follows from its bars, the market
series and the events that were known, and from nothing else. It is kept with a hash of them: of
other ones it is learnt anew. So the numbers are the same with what is kept and without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.features import alike
from lstmcli.forecasters.calibration_state import CalibrationState
from lstmcli.frames import COVERAGES, MEDIAN, QUANTILES, numbers_of
from lstmcli.panel import Panel

BEHIND = 5
"""Sessions by which what is kept stays behind the last one. A source may correct the bars of the
last days: not every correction has to cost years of forecasts."""

_HASH = hashlib.sha256().digest_size


def row_type(horizon: int) -> np.dtype[Any]:
    """Return the layout of what is kept of a ticker, for steps 1 … H.

    Its fields are those of `CalibrationState` that B needs: `before`, `theta` (H, 2, C), and of
    H origins, some of whose labels are to come, `made_on`, `target_on` (H,), `median` (H,) and
    `reach` (H, 2, C). Where there are fewer, `made_on` is NaT.
    """
    ends = (2, len(COVERAGES))
    return np.dtype(
        [
            ("before", "<M8[D]"),
            ("theta", "<f8", (horizon, *ends)),
            ("made_on", "<M8[D]", (horizon,)),
            ("target_on", "<M8[D]", (horizon, horizon)),
            ("median", "<f8", (horizon, horizon)),
            ("reach", "<f8", (horizon, horizon, *ends)),
        ]
    )


class Reading:
    """Hashes of what is read of each ticker before a session."""

    def __init__(self, panel: Panel, made_by: str, start: pd.Timestamp) -> None:
        """Take a panel.

        Args:
            made_by: what the digits depend on beside the panel.
            start: the first session that is learnt from.
        """
        self.panel, self.start = panel, start
        self._made_by = f"{made_by}|{start:%Y-%m-%d}"
        self._bars: dict[str, tuple[int, Any]] = {}
        self._market: dict[pd.Timestamp, bytes] = {}
        events = panel.events
        self._known_on = events["known_on"].to_numpy()
        self._events = pd.util.hash_pandas_object(events, index=False).to_numpy()
        self._event_rows = events.groupby("ticker", sort=False).indices

    def hash_of(self, ticker: str, before: pd.Timestamp) -> bytes:
        """Return the hash of what forecasts of a ticker read of sessions before one."""
        calendar = self.panel.calendars.get(ticker, "")
        digest = hashlib.sha256(f"{self._made_by}|{calendar}|{before:%Y-%m-%d}".encode())
        digest.update(self._bars_of(ticker, before))
        digest.update(self._market_of(before))
        rows = self._event_rows.get(ticker, np.empty(0, int))
        digest.update(self._events[rows[self._known_on[rows] < before.to_datetime64()]].tobytes())
        return digest.digest()

    def _bars_of(self, ticker: str, before: pd.Timestamp) -> bytes:
        bars = self.panel[ticker]
        end = int(bars.index.searchsorted(before))
        start, digest = self._bars.get(ticker, (0, hashlib.sha256()))
        if start > end:
            start, digest = 0, hashlib.sha256()
        digest.update(numbers_of(bars.iloc[start:end]))
        self._bars[ticker] = end, digest
        return bytes(digest.copy().digest())

    def _market_of(self, before: pd.Timestamp) -> bytes:
        if before not in self._market:
            digest = hashlib.sha256()
            for name, series in sorted(self.panel.market.items()):
                digest.update(f"{name}|{series.ticker}|{series.calendar}".encode())
                digest.update(numbers_of(series.bars[series.bars.index < before]))
            self._market[before] = digest.digest()
        return self._market[before]


@dataclass
class KeptCalibration:
    """What calibration has learnt by ticker: what is known is looked up, the rest is learnt.

    Attributes:
        horizon: H; forecasts are those of steps 1 … H.
        made_by: what the digits depend on beside what is read: the run, and versions.
        load: returns what an earlier evening has kept of a ticker; None: nothing.
        changed: by ticker, what is to be kept from now on.
    """

    horizon: int
    made_by: str
    load: Callable[[str], bytes | None]
    changed: dict[str, bytes] = field(default_factory=dict)

    def groups(
        self, reading: Reading, *, by: pd.Timestamp
    ) -> Iterator[tuple[list[str], CalibrationState | None]]:
        """Yield tickers with what is known of them; None: nothing that holds.

        Tickers of which nothing is known come a few at a time, because their history takes
        memory.

        Args:
            by: what is known has to end before this session.
        """
        known: dict[pd.Timestamp, dict[str, np.void]] = {}
        for ticker in reading.panel:
            row = self._row(ticker, reading)
            if row is not None and pd.Timestamp(row["before"]) <= by:
                known.setdefault(pd.Timestamp(row["before"]), {})[ticker] = row
        for before, rows in known.items():
            yield list(rows), _state_of(before, rows, self.horizon)
        found = {ticker for rows in known.values() for ticker in rows}
        for tickers in alike({t: bars for t, bars in reading.panel.items() if t not in found}):
            yield tickers, None

    def only(self, tickers: Iterable[str]) -> KeptCalibration:
        """Return what is known of some tickers, as a value that can be pickled."""
        known = {ticker: self.load(ticker) for ticker in tickers}
        return KeptCalibration(self.horizon, self.made_by, known.get)

    def keep(self, state: CalibrationState, reading: Reading) -> None:
        """Keep what is known of some tickers of a panel."""
        for ticker, row in _rows_of(state).items():
            self.changed[ticker] = _sealed(reading.hash_of(ticker, state.before), row)

    def _row(self, ticker: str, reading: Reading) -> np.void | None:
        content, layout = self.load(ticker), row_type(self.horizon)
        if content is None or len(content) != _HASH + layout.itemsize:
            return None
        row: np.void = np.frombuffer(content, layout, offset=_HASH)[0]
        before = pd.Timestamp(row["before"])
        if pd.isna(before) or before <= reading.start:
            return None
        same = _sealed(reading.hash_of(ticker, before), content[_HASH:]) == content
        return row if same else None


def _sealed(read: bytes, row: bytes) -> bytes:
    """Return a row after a hash of what was read for it and of itself."""
    return hashlib.sha256(read + row).digest() + row


def _state_of(before: pd.Timestamp, rows: Mapping[str, np.void], horizon: int) -> CalibrationState:
    """Return what is known of some tickers before a session."""
    every = np.stack([*rows.values()])
    ticker, place = np.nonzero(~np.isnat(every["made_on"]))
    made_on = every["made_on"][ticker, place]
    order = np.lexsort((ticker, made_on))
    ticker, place = ticker[order], place[order]
    quantiles = np.full((len(order), horizon, len(QUANTILES)), np.nan)
    quantiles[..., MEDIAN] = every["median"][ticker, place]
    return CalibrationState.of_waiting(
        before=before,
        tickers=tuple(rows),
        steps=np.arange(1, horizon + 1),
        theta=every["theta"].astype(float),
        ticker=ticker,
        made_on=made_on[order].astype("datetime64[ns]"),
        target_on=every["target_on"][ticker, place].astype("datetime64[ns]"),
        quantiles=quantiles,
        reach=every["reach"][ticker, place],
    )


def _rows_of(state: CalibrationState) -> dict[str, bytes]:
    """Return what is kept of each ticker of a state that knows those that wait alone."""
    layout = row_type(len(state.steps))
    rows = {}
    for number, ticker in enumerate(state.tickers):
        own = np.flatnonzero(state.ticker == number)
        row = np.zeros((), layout)
        row["before"] = state.before.to_datetime64().astype("datetime64[D]")
        row["theta"] = state.theta[number]
        row["made_on"] = row["target_on"] = np.datetime64("NaT")
        row["made_on"][: len(own)] = state.made_on[own]
        row["target_on"][: len(own)] = state.target_on[own]
        row["median"][: len(own)] = state.quantiles[own][..., MEDIAN]
        row["reach"][: len(own)] = state.reach[own]
        rows[ticker] = row.tobytes()
    return rows
