"""What calibration has learnt by a session, and a run keeps."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from lstmcli.forecasters.corrections import MEMORY, Errors
from lstmcli.frames import log_returns
from lstmcli.panel import Panel

ROWS = 40_000
"""Origins that are learnt from at most, all tickers together: 500 tickers of five years took
9 GB."""

MIN_HISTORY = 126
"""Sessions that are learnt from however many tickers there are: half a year. A large pool has
little need of years."""

SAME_RETURN = 5e-4
"""Log returns of a session that differ by less are the same: a later split or dividend rewrites
every price before it, and files round their prices."""


@dataclass(frozen=True)
class CalibrationState:
    """What calibration knows before a session: it goes on from there as if it had never stopped.

    It follows from the out-of-sample forecasts of successive fits, and from the bars. Rebuilt
    from them it is the same, number by number.

    Attributes:
        before: the first session of which nothing is known yet, neither label nor forecast.
        tickers: (K,)
        steps: (S,) ascending.
        theta: (K, S, 2, C) see `track_endpoints`.
        ticker: (N,) numbers of tickers; one for each origin that is remembered.
        made_on: (N,) datetime64, ascending.
        target_on: (N, S) datetime64.
        errors: (N, S, Q) float32 rounded to 16 bits, in widths; NaN where no label has come.
        waiting: (P,) the origins some of whose labels are to come.
        quantiles: (P, S, Q) log returns, as the recipe made them.
        reach: (P, S, 2, C) log returns from the median to the endpoints, as published.
        returns: by ticker, log returns of the sessions since its first origin here.
    """

    before: pd.Timestamp
    tickers: tuple[str, ...]
    steps: np.ndarray
    theta: np.ndarray
    ticker: np.ndarray
    made_on: np.ndarray
    target_on: np.ndarray
    errors: np.ndarray
    waiting: np.ndarray
    quantiles: np.ndarray
    reach: np.ndarray
    returns: Mapping[str, pd.Series]

    @classmethod
    def of_waiting(cls, *, quantiles: np.ndarray, **parts: Any) -> CalibrationState:
        """Return what B alone knows: all origins wait, and no error is remembered.

        Args:
            parts: the other fields but `errors`, `waiting` and `returns`.
        """
        errors = np.full(quantiles.shape, np.nan, np.float32)
        waiting = np.arange(len(quantiles))
        return cls(quantiles=quantiles, errors=errors, waiting=waiting, returns={}, **parts)

    @property
    def past(self) -> Errors:
        """The errors, for corrections of later origins."""
        return Errors(self.ticker, self.target_on, self.errors)

    def only(self, tickers: set[str]) -> CalibrationState:
        """Return what is known of some of the tickers."""
        kept = [number for number, ticker in enumerate(self.tickers) if ticker in tickers]
        if len(kept) == len(self.tickers):
            return self
        number = np.full(len(self.tickers), -1)
        number[kept] = np.arange(len(kept))
        state = self.with_origins(np.isin(self.ticker, kept))
        return replace(
            state,
            tickers=tuple(self.tickers[place] for place in kept),
            theta=self.theta[kept],
            ticker=number[state.ticker],
            returns={name: values for name, values in self.returns.items() if name in tickers},
        )

    def with_origins(self, kept: np.ndarray) -> CalibrationState:
        """Return the state with some (N,) of its origins."""
        number = np.cumsum(kept) - 1
        waits = kept[self.waiting]
        return replace(
            self,
            ticker=self.ticker[kept],
            made_on=self.made_on[kept],
            target_on=self.target_on[kept],
            errors=self.errors[kept],
            waiting=number[self.waiting[waits]],
            quantiles=self.quantiles[waits],
            reach=self.reach[waits],
        )

    def trimmed(self) -> CalibrationState:
        """Return the state without the oldest origins, where there are more than are kept.

        Ten years at most, and `ROWS` origins of all tickers together, but half a year at least.
        """
        dates, count = np.unique(self.made_on, return_counts=True)
        newest_first = np.cumsum(count[::-1])
        most = min(MEMORY, max(MIN_HISTORY, int((newest_first <= ROWS).sum())))
        if most >= len(dates):
            return self
        kept = self.made_on >= dates[-most]
        kept[self.waiting] = True
        return self.with_origins(kept)

    def changed(self, panel: Panel) -> tuple[str, ...]:
        """Return the tickers whose bars are no longer those that the state has seen."""
        return tuple(
            ticker
            for ticker, seen in self.returns.items()
            if ticker in panel and not self._same(seen, panel[ticker])
        )

    def _same(self, seen: pd.Series, bars: pd.DataFrame) -> bool:
        now = returns_between(bars, seen.index[0], self.before)
        return now.index.equals(seen.index) and np.allclose(now, seen, rtol=0, atol=SAME_RETURN)

    def to_bytes(self) -> bytes:
        """Return the content of the file that a run keeps."""
        arrays: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        del arrays["returns"]
        arrays |= {
            "errors": self.errors.astype(np.float16),
            "before": np.array(self.before.to_datetime64(), "datetime64[D]"),
            "tickers": np.array(self.tickers, str),
            "made_on": self.made_on.astype("datetime64[D]"),
            "target_on": self.target_on.astype("datetime64[D]"),
        }
        for number, ticker in enumerate(self.tickers):
            seen = self.returns.get(ticker, pd.Series(dtype=float))
            arrays[f"sessions_{number}"] = seen.index.to_numpy().astype("datetime64[D]")
            arrays[f"returns_{number}"] = seen.to_numpy(np.float32)
        stream = io.BytesIO()
        np.savez(stream, **arrays)  # errors are noise, which nothing compresses
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> CalibrationState:
        """Return the state that `to_bytes` wrote.

        Raises:
            ValueError: it is none.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            tickers = tuple(map(str, arrays["tickers"]))
            returns = {}
            for number, ticker in enumerate(tickers):
                sessions = pd.DatetimeIndex(arrays[f"sessions_{number}"].astype("datetime64[ns]"))
                returns[ticker] = pd.Series(arrays[f"returns_{number}"].astype(float), sessions)
            plain = ("steps", "theta", "ticker", "waiting", "quantiles", "reach")
            state = cls(
                before=pd.Timestamp(arrays["before"].item()),
                tickers=tickers,
                made_on=arrays["made_on"].astype("datetime64[ns]"),
                target_on=arrays["target_on"].astype("datetime64[ns]"),
                errors=arrays["errors"].astype(np.float32),
                returns={name: seen for name, seen in returns.items() if len(seen)},
                **{name: arrays[name] for name in plain},
            )
        except (KeyError, TypeError, OSError, EOFError, BadZipFile) as error:
            raise ValueError("this is no state of a calibration") from error
        if not state._fits():
            raise ValueError("the arrays of this calibration do not fit together")
        return state

    def _fits(self) -> bool:
        """Return whether all arrays are of the same tickers, steps and origins."""
        k, s, n, p = map(len, (self.tickers, self.steps, self.ticker, self.waiting))
        many = -1  # as many as there are
        shapes = (
            (self.theta, "f", (k, s, 2, many)),
            (self.ticker, "iu", (n,)),
            (self.made_on, "M", (n,)),
            (self.target_on, "M", (n, s)),
            (self.errors, "f", (n, s, many)),
            (self.waiting, "iu", (p,)),
            (self.quantiles, "f", (p, s, self.errors.shape[-1] if self.errors.ndim else 0)),
            (self.reach, "f", (p, s, 2, self.theta.shape[-1] if self.theta.ndim else 0)),
        )
        for array, kinds, shape in shapes:
            same = array.ndim == len(shape) and all(
                wanted in (many, found) for wanted, found in zip(shape, array.shape, strict=True)
            )
            if not same or array.dtype.kind not in kinds:
                return False
        numbers = ((self.ticker, k), (self.waiting, n))
        return all(
            not len(of) or bool((of >= 0).all() and (of < bound).all()) for of, bound in numbers
        )


def returns_between(bars: pd.DataFrame, first: pd.Timestamp, before: pd.Timestamp) -> pd.Series:
    """Return the log returns of the sessions from `first` on and before `before`."""
    returns = log_returns(bars).fillna(0.0)
    return returns[(returns.index >= first) & (returns.index < before)]
