"""Feature columns → windows by index.

Nothing is materialised: a `Windows` keeps each ticker's rows once, one ticker
after the other, and a window is the row of its origin. Memory grows with the
rows, not with rows x lookback.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pydantic import Field

from lstmcli.frames import Section, log_returns
from lstmcli.panel import Panel, View
from lstmcli.sessions import HABIT, next_sessions, sessions_after, sessions_between
from lstmcli.trading import missing_before

MAX_FILLED = 5
"""Sessions in a row that a market series may lack inside a window: the last value stands
for them there. An origin itself needs its own."""


class WindowConfig(Section):
    """How many sessions a window reads, and how many it forecasts."""

    lookback: int = Field(60, ge=2, le=1000)
    """Sessions that the network reads."""
    horizon: int = Field(20, ge=1, le=250)
    """Sessions that are forecast."""


@dataclass(frozen=True)
class Future:
    """What is known ahead, by calendar session, and where each row's coming sessions stand.

    Attributes:
        first: (R,) position of the session after each row; those that follow stand behind it.
        day: (R,) days since 1970 of each row's session.
        calendar: (S, C) what the date of a session says, known at every origin.
        spans: (S, E, D, 2) days between which an event of each kind was known; see
            `features.events.known_ahead`.
    """

    first: np.ndarray
    day: np.ndarray
    calendar: np.ndarray
    spans: np.ndarray

    @property
    def channels(self) -> int:
        """K, how many numbers each session has."""
        return self.calendar.shape[1] + self.spans.shape[1]

    def of(self, rows: np.ndarray, horizon: int) -> np.ndarray:
        """Return what origins (N,) know of their next sessions, (N, H, K) float32."""
        at = self.first[rows, None] + np.arange(horizon)  # (N, H)
        begin, end = self.spans[at, ..., 0], self.spans[at, ..., 1]  # (N, H, E, D)
        day = self.day[rows, None, None, None]
        known = ((begin <= day) & (day < end)).any(axis=-1)
        return np.concatenate([self.calendar[at], known.astype(np.float32)], axis=-1)

    def rows(self, kept: np.ndarray) -> Future:
        """Return the same for some of the rows."""
        return replace(self, first=self.first[kept], day=self.day[kept])


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
        forecastable: (R,) a whole lookback of finite features ends here.
        trainable: (R,) also the next H sessions exist, and no hole lies between.
        future: what is known ahead; None where a network reads nothing of the kind.
        lookback: L.
        horizon: H.
    """

    tickers: tuple[str, ...]
    ticker: np.ndarray
    session: np.ndarray
    values: np.ndarray
    level: np.ndarray
    sigma: np.ndarray
    close: np.ndarray
    forecastable: np.ndarray
    trainable: np.ndarray
    future: Future | None
    lookback: int
    horizon: int

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

    def origins(self) -> pd.DatetimeIndex:
        """Return the sessions from which at least one ticker has a labelled window."""
        return pd.DatetimeIndex(np.unique(self.session[self.trainable]))

    def labels(self, ticker: str, step: int) -> pd.Series:
        """Return the log return that came over `step` sessions, of each labelled origin."""
        rows = np.flatnonzero(self.trainable & (self.ticker == self.tickers.index(ticker)))
        return pd.Series(self.y(rows, step), index=pd.DatetimeIndex(self.session[rows]))

    def scale(self, rows: np.ndarray) -> np.ndarray:
        """Return the ex-ante volatility (N, H) of each cumulative return: `sigma * sqrt(h)`."""
        return self.sigma[rows] * np.sqrt(np.arange(1, self.horizon + 1))

    def until(self, session: pd.Timestamp) -> Windows:
        """Return the windows that `cut_windows` would cut of the panel until `session`.

        Features look back only, so that no row changes; those whose labels come later
        can no longer be trained on.
        """
        cut = session.to_datetime64()
        if not len(self.session) or self.session.max() <= cut:
            return self
        # The last label of a row that can be trained on stands H rows further, in its ticker.
        last = np.minimum(np.arange(len(self.session)) + self.horizon, len(self.session) - 1)
        trainable = self.trainable & (self.session[last] <= cut)
        return replace(self, trainable=trainable)._only(self.session <= cut)

    def only(self, tickers: Sequence[str]) -> Windows:
        """Return the windows of some tickers, in their order here."""
        wanted = np.isin(np.array(self.tickers), list(tickers))
        kept = self._only(wanted[self.ticker])
        place = np.cumsum(wanted) - 1
        return replace(
            kept,
            tickers=tuple(name for name, want in zip(self.tickers, wanted, strict=True) if want),
            ticker=place[kept.ticker].astype(np.int32),
        )

    def _only(self, kept: np.ndarray) -> Windows:
        names = ("ticker", "session", "values", "level", "sigma", "close")
        arrays = {name: getattr(self, name)[kept] for name in (*names, "forecastable", "trainable")}
        future = None if self.future is None else self.future.rows(kept)
        return replace(self, **arrays, future=future)

    def with_sigma(self, sigma: Mapping[str, np.ndarray]) -> Windows:
        """Return the windows with another volatility, NaN in the same rows.

        Args:
            sigma: by ticker, (T, 1) or (T, H); see `cut_windows`.
        """
        return replace(self, sigma=np.concatenate([sigma[ticker] for ticker in self.tickers]))


def cut_windows(
    panel: Panel,
    features: Callable[[View], pd.DataFrame],
    sigma: Mapping[str, np.ndarray],
    window: WindowConfig,
    *,
    future: Callable[[View, pd.DatetimeIndex], tuple[np.ndarray, np.ndarray]] | None = None,
) -> Windows:
    """Cut windows from each ticker by index; none crosses two tickers.

    Args:
        features: from a view to columns (T, F), NaN in rows that warm up.
        sigma: of each ticker the volatility of one session, (T, 1) or (T, H).
        future: from a view and calendar sessions (S,) to what is known ahead of them;
            see `features.events.known_ahead`.
    """
    # Ticker by ticker: the wide float64 columns of a universe never stand side by side.
    parts = [
        _ticker_rows(panel.view(ticker), features(panel.view(ticker)), sigma[ticker], window)
        for ticker in panel
    ]
    lengths = [len(part["session"]) for part in parts]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return Windows(
        tickers=tuple(panel),
        ticker=np.repeat(np.arange(len(parts), dtype=np.int32), lengths),
        future=None if future is None else _future(panel, future, window.horizon),
        lookback=window.lookback,
        horizon=window.horizon,
        **joined,
    )


def _ticker_rows(
    view: View, features: pd.DataFrame, sigma: np.ndarray, window: WindowConfig
) -> dict[str, np.ndarray]:
    bars, sessions = view.bars, view.sessions
    values = features.to_numpy(np.float32)
    # An origin needs all of its own values; inside a window a short hole is filled.
    complete = np.isfinite(values).all(axis=1) & np.isfinite(sigma).all(axis=1)
    if len(complete) and not complete[complete.argmax() :].all():
        values = features.ffill(limit=MAX_FILLED).to_numpy(np.float32)
    usable = np.isfinite(values).all(axis=1) & np.isfinite(sigma).all(axis=1)
    hole = missing_before(view.calendar, sessions) > 0

    rows = np.arange(len(bars))
    first, last = rows - window.lookback + 1, rows + window.horizon
    # Row sums over a span, by differences of a running total.
    unusable_before = np.concatenate([[0], np.cumsum(~usable)])
    holes_up_to = np.cumsum(hole)
    whole = first >= 0
    forecastable = whole & (unusable_before[rows + 1] == unusable_before[np.maximum(first, 0)])
    forecastable &= complete
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
        "forecastable": forecastable,
        "trainable": forecastable & labelled & (crossed == 0),
    }


def _future(
    panel: Panel,
    known: Callable[[View, pd.DatetimeIndex], tuple[np.ndarray, np.ndarray]],
    horizon: int,
) -> Future:
    """Return what is known ahead of every session that any row may forecast."""
    first, day, calendars, spans = [], [], [], []
    before = 0
    for view in map(panel.view, panel):
        observed = view.sessions
        days = calendar_days(view, horizon)
        calendar, span = known(view, days)
        calendars.append(calendar)
        spans.append(span)
        first.append(before + days.searchsorted(observed, side="right"))
        day.append(observed.to_numpy("datetime64[D]").astype(np.int32))
        before += len(days)
    depth = max((span.shape[2] for span in spans), default=0)
    # A span from day 0 to day 0 holds no day.
    deep = [np.pad(span, ((0, 0), (0, 0), (0, depth - span.shape[2]), (0, 0))) for span in spans]
    return Future(
        first=np.concatenate(first).astype(np.int32),
        day=np.concatenate(day),
        calendar=np.concatenate(calendars),
        spans=np.concatenate(deep),
    )


def calendar_days(view: View, horizon: int) -> pd.DatetimeIndex:
    """Return the sessions of the ticker's calendar from its first bar to H after its last."""
    observed = view.sessions
    if not len(observed):
        return observed
    # Where no exchange lists its holidays, the first sessions alone show which weekdays
    # trade: what follows an origin must not depend on bars that came later.
    early = observed[:HABIT]
    inside = sessions_between(view.calendar, observed[0], observed[-1], observed=early)
    return inside.append(next_sessions(view.calendar, observed[-1], horizon, observed=early))


def target_sessions(
    panel: Panel, ticker: str, origins: pd.DatetimeIndex, horizon: int
) -> np.ndarray:
    """Return the sessions after each origin, (N, H) datetime64, from the calendar alone."""
    view = panel.view(ticker)
    return sessions_after(view.calendar, origins, horizon, observed=view.sessions)
