"""Feature columns → windows by index; blocks of origins by date.

Nothing is materialised: a `Windows` keeps each ticker's rows once, one ticker
after the other, and a window is the row of its origin. Memory grows with the
rows, not with rows x lookback.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from lstmcli.errors import NoDataError
from lstmcli.frames import Section, log_returns
from lstmcli.panel import Panel
from lstmcli.sessions import WEEKDAYS, next_sessions, sessions_after, sessions_between

MIN_TRAIN = 100
"""Origins that the training block needs; fewer teach nothing."""

MIN_BLOCK = 10
"""Origins that each of the other blocks needs to say anything."""


class WindowConfig(Section):
    """How many sessions a window reads, and how many it forecasts."""

    lookback: int = Field(60, ge=2, le=1000)
    horizon: int = Field(20, ge=1, le=250)


Share = (
    Annotated[int, Field(strict=True, ge=MIN_BLOCK)]
    | Annotated[float, Field(strict=True, gt=0, lt=1)]
)


class SplitConfig(Section):
    """The sizes of the blocks behind the training block.

    A share of all origins, or a whole number of sessions (scikit-learn's
    convention for `test_size`).
    """

    validation: Share = 0.1
    calibration: Share = 0.15
    test: Share = 0.1

    @model_validator(mode="after")
    def _leave_something_to_train_on(self) -> Self:
        total = sum(size for size in self._sizes() if isinstance(size, float))
        if total >= 0.9:
            raise ValueError(f"the shares leave {1 - total:.0%} to train on; expected over 10 %")
        return self

    def _sizes(self) -> tuple[int | float, int | float, int | float]:
        return self.validation, self.calibration, self.test

    def resolve(self, origins: int) -> SplitConfig:
        """Return the split with every share as a whole number of sessions."""
        sizes = [
            size if isinstance(size, int) else max(MIN_BLOCK, round(size * origins))
            for size in self._sizes()
        ]
        return SplitConfig(validation=sizes[0], calibration=sizes[1], test=sizes[2])

    def origins_needed(self, horizon: int) -> int:
        """Return the fewest origins that leave `MIN_TRAIN` to train on."""
        each = [size for size in self._sizes() if isinstance(size, float)]
        shares = sum(each)
        fixed = sum(size for size in self._sizes() if isinstance(size, int))
        # Three boundaries, each with `horizon` purged origins before it.
        least = MIN_TRAIN + fixed + 3 * horizon
        origins = int(least / (1 - shares))
        # A share is rounded, by a half at most, and a small one counts as the least block.
        while origins - sum(max(MIN_BLOCK, s * origins + 0.5) for s in each) < least:
            origins += 1
        return origins


@dataclass(frozen=True)
class Block:
    """A run of origins: sessions, ascending. Its targets reach `horizon` further."""

    name: str
    origins: pd.DatetimeIndex

    @property
    def first(self) -> pd.Timestamp:
        return self.origins[0]

    @property
    def last(self) -> pd.Timestamp:
        return self.origins[-1]


@dataclass(frozen=True)
class Windows:
    """Rows of every ticker, and the rows from which a window can be cut.

    Attributes:
        tickers: names, in the order of their rows.
        ticker: (R,) position in `tickers` of each row.
        session: (R,) datetime64.
        values: (R, F) float32 features; NaN while an indicator warms up.
        level: (R,) cumulative log return of the ticker, a fraction.
        sigma: (R, 1) or (R, H) ex-ante volatility of one session, a fraction: the same for
            every step, or that of the sessions up to each; NaN at first.
        close: (R,) unadjusted close.
        targets: (R, H) int8 weekday of the h-th session after each row, by the
            calendar alone, so that it is known at the origin.
        forecastable: (R,) a whole lookback of finite features ends here.
        trainable: (R,) also the next H sessions exist, and no hole lies between.
        lookback: L.
    """

    tickers: tuple[str, ...]
    ticker: np.ndarray
    session: np.ndarray
    values: np.ndarray
    level: np.ndarray
    sigma: np.ndarray
    close: np.ndarray
    targets: np.ndarray
    forecastable: np.ndarray
    trainable: np.ndarray
    lookback: int

    @property
    def horizon(self) -> int:
        return self.targets.shape[1]

    def rows(self, origins: pd.DatetimeIndex, *, labelled: bool) -> np.ndarray:
        """Return the (N,) rows whose session is one of `origins`."""
        usable = self.trainable if labelled else self.forecastable
        return np.flatnonzero(usable & np.isin(self.session, origins.to_numpy()))

    def x(self, rows: np.ndarray) -> np.ndarray:
        """Return windows as an array (N, L, F); the oldest session first."""
        return self.values[rows[:, None] + np.arange(1 - self.lookback, 1)]

    def y(self, rows: np.ndarray, step: int) -> np.ndarray:
        """Return the log return (N,) that came over `step` sessions, a fraction."""
        return self.level[rows + step] - self.level[rows]

    def scale(self, rows: np.ndarray) -> np.ndarray:
        """Return the ex-ante volatility (N, H) of each cumulative return: `sigma * sqrt(h)`."""
        return self.sigma[rows] * np.sqrt(np.arange(1, self.horizon + 1))


def cut_windows(
    panel: Panel,
    features: Callable[[pd.DataFrame], pd.DataFrame],
    sigma: Mapping[str, np.ndarray],
    window: WindowConfig,
) -> Windows:
    """Cut windows from each ticker by index; none crosses two tickers.

    Args:
        features: from bars to columns (T, F), NaN in rows that warm up.
        sigma: of each ticker the volatility of one session, (T, 1) or (T, H).
    """
    # Ticker by ticker: the wide float64 columns of a universe never stand side by side.
    parts = [
        _ticker_rows(panel, ticker, features(panel[ticker]), sigma[ticker], window)
        for ticker in panel
    ]
    lengths = [len(part["session"]) for part in parts]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return Windows(
        tickers=tuple(panel),
        ticker=np.repeat(np.arange(len(parts), dtype=np.int32), lengths),
        lookback=window.lookback,
        **joined,
    )


def _ticker_rows(
    panel: Panel, ticker: str, features: pd.DataFrame, sigma: np.ndarray, window: WindowConfig
) -> dict[str, np.ndarray]:
    bars = panel[ticker]
    sessions = pd.DatetimeIndex(bars.index)
    position, targets = _calendar_positions(panel, ticker, window.horizon)
    values = features.to_numpy(np.float32)
    usable = np.isfinite(values).all(axis=1) & np.isfinite(sigma).all(axis=1)
    hole = np.diff(position, prepend=position[:1]) > 1

    rows = np.arange(len(bars))
    first, last = rows - window.lookback + 1, rows + window.horizon
    # Row sums over a span, by differences of a running total.
    unusable_before = np.concatenate([[0], np.cumsum(~usable)])
    holes_up_to = np.cumsum(hole)
    whole = first >= 0
    forecastable = whole & (unusable_before[rows + 1] == unusable_before[np.maximum(first, 0)])
    labelled = last < len(bars)
    crossed: np.ndarray = (
        holes_up_to[np.minimum(last, len(bars) - 1)] - holes_up_to[np.maximum(first, 0)]
    )
    return {
        "session": sessions.to_numpy(),
        "values": values,
        "level": log_returns(bars).fillna(0.0).cumsum().to_numpy(),
        "sigma": sigma,
        "close": bars["close"].to_numpy(float),
        "targets": targets,
        "forecastable": forecastable,
        "trainable": forecastable & labelled & (crossed == 0),
    }


def _calendar_positions(panel: Panel, ticker: str, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each session's position in its calendar, and the weekdays that follow."""
    calendar = panel.calendars.get(ticker, WEEKDAYS)
    observed = pd.DatetimeIndex(panel[ticker].index)
    if not len(observed):
        return np.zeros(0, int), np.zeros((0, horizon), np.int8)
    first, last = observed[0], observed[-1]
    position = sessions_between(calendar, first, last, observed=observed).searchsorted(observed)
    # Where no exchange lists its holidays, the first sessions alone show which weekdays
    # trade: what follows an origin must not depend on bars that came later.
    early = observed[:60]
    days = sessions_between(calendar, first, last, observed=early).append(
        next_sessions(calendar, last, horizon, observed=early)
    )
    after = days.searchsorted(observed, side="right")
    return position, days.day_of_week.to_numpy(np.int8)[after[:, None] + np.arange(horizon)]


def target_sessions(
    panel: Panel, ticker: str, origins: pd.DatetimeIndex, horizon: int
) -> np.ndarray:
    """Return the sessions after each origin, (N, H) datetime64, from the calendar alone."""
    return sessions_after(
        panel.calendars.get(ticker, WEEKDAYS),
        origins,
        horizon,
        observed=pd.DatetimeIndex(panel[ticker].index),
    )


def labelled_origins(windows: Windows) -> pd.DatetimeIndex:
    """Return the sessions from which at least one ticker has a labelled window."""
    return pd.DatetimeIndex(np.unique(windows.session[windows.trainable]))


def split_origins(
    origins: pd.DatetimeIndex, split: SplitConfig, horizon: int, *, test: bool
) -> dict[str, Block]:
    """Cut origins into train, validation, calibration and, if asked, test blocks.

    By date, over all tickers at once, from the last origin backwards. The
    `horizon` origins before each boundary are dropped, so that no target
    straddles two blocks (a purge).
    Source: López de Prado (2018), Advances in Financial Machine Learning, ch. 7.

    Args:
        origins: sessions with a labelled window, ascending.
        split: sizes in sessions, from `SplitConfig.resolve`.

    Raises:
        NoDataError: fewer than `MIN_TRAIN` origins are left to train on.
    """
    sizes = {"validation": split.validation, "calibration": split.calibration}
    if test:
        sizes["test"] = split.test
    end = len(origins)
    blocks = {}
    for name, size in reversed(sizes.items()):
        start = end - int(size)
        blocks[name] = Block(name, origins[max(start, 0) : max(end, 0)])
        end = start - horizon
    if end < MIN_TRAIN:
        raise NoDataError(
            f"Expected at least {MIN_TRAIN} sessions to train on. Received: {max(end, 0)}."
        )
    blocks["train"] = Block("train", origins[:end])
    return {name: blocks[name] for name in ("train", *sizes)}
