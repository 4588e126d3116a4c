"""The tables that travel between rooms: columns, dtypes, units, checks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from lstmcli.digits import in_words
from lstmcli.errors import DataError

QUANTILES: tuple[float, ...] = (0.025, *(round(0.05 * k, 2) for k in range(1, 20)), 0.975)
"""The Q = 21 levels of every forecast, ascending."""

MEDIAN = QUANTILES.index(0.5)

COVERAGES: tuple[float, ...] = (0.50, 0.80, 0.95)
"""Nominal coverage of the cones that are shown."""

BAR_COLUMNS = ("open", "high", "low", "close", "volume", "dividend", "split")


EVENT_COLUMNS = ("ticker", "kind", "session", "timing", "status", "amount", "known_on", "source")
"""Of the Events table. A row is a statement: on `known_on` it became known that the ticker has
an event on `session`, or with the status `withdrawn` that it has not. The newest statement
about a (ticker, kind, session, source) holds; of two with the same `known_on` the later row."""

EVENT_TIMINGS = ("before", "during", "after", "unknown")
"""`session` is the one whose prices react. The news comes before its open, while it trades, or
after the close of the session before it. Of `unknown` it comes on the day of the session, and
the one after it may react, too."""

EVENT_STATUSES = ("expected", "confirmed", "reported", "withdrawn")

EX_DIVIDEND = "ex_dividend"
"""The kind of declared dividends: `session` is the ex-date, `amount` is per share in the
ticker's currency, counted in the shares of `known_on`."""

EARNINGS = "earnings"
"""The kind of announcements of results."""

ASSUMED = "_past"
"""What the source of a past date ends with whose `known_on` is an assumption: nobody has stored
since when it was known. It is taken as known `ASSUMED_AHEAD` sessions ahead."""

ASSUMED_AHEAD = 5
"""Sessions before an announcement from which on it is taken as known, where nobody stored it."""

EARNINGS_SOURCES = ("user", "yahoo", "sec", f"yahoo{ASSUMED}", f"sec{ASSUMED}")
"""Sources of announcements; where several name one, the first of them counts."""

BUILT_IN_KINDS = (EX_DIVIDEND, EARNINGS)
"""Kinds that a user may state as well, with a meaning of their own."""

USER_KIND = "user:"
"""What the kind of a user's own events starts with, as in `user:launch`."""

EVENT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
"""A kind, or a user's kind without its `user:`."""


def empty_bars() -> pd.DataFrame:
    """Return Bars without rows."""
    index = pd.DatetimeIndex([], name="session")
    return pd.DataFrame(columns=list(BAR_COLUMNS), index=index, dtype=float)


def empty_events() -> pd.DataFrame:
    """Return an Events table without rows."""
    texts = pd.DataFrame(columns=list(EVENT_COLUMNS), dtype=object)
    types = {"session": "datetime64[ns]", "known_on": "datetime64[ns]", "amount": float}
    return texts.astype(types)


def full_kind(name: str) -> str:
    """Return the kind that a user calls by a name: `ex_dividend`, or launch → `user:launch`."""
    return name if name in BUILT_IN_KINDS or name.startswith(USER_KIND) else USER_KIND + name


def quantile_column(level: float) -> str:
    """Return the column of a quantile level: 0.025 → `q025`, 0.5 → `q50`."""
    return "q" + f"{level:.3f}"[2:].removesuffix("0")


QUANTILE_COLUMNS = tuple(quantile_column(level) for level in QUANTILES)

IDENTITY = ("recipe", "calibrated")
"""Tells recipes apart: the name of the config or the baseline, and whether it is calibrated."""

FORECAST_COLUMNS = (
    *IDENTITY,
    "ticker",
    "made_on",
    "step",
    "target_on",
    "last_close",
    "sigma",
    *QUANTILE_COLUMNS,
)

SCORE_COLUMNS = (*IDENTITY, "ticker", "step", "metric", "value", "n")


def cone_columns(coverage: float) -> tuple[str, str]:
    """Return the lower and upper quantile column of a central interval."""
    tail = (1 - coverage) / 2
    return quantile_column(tail), quantile_column(1 - tail)


def interval_columns(coverage: float) -> tuple[str, str]:
    """Return the columns of a published interval: 0.8 → `lo80`, `hi80`."""
    return f"lo{coverage:.0%}".rstrip("%"), f"hi{coverage:.0%}".rstrip("%")


INTERVAL_COLUMNS = tuple(name for share in COVERAGES for name in interval_columns(share))
"""What a calibrated Forecast has beside its quantiles, as log returns."""


def endpoints(rows: pd.DataFrame, coverage: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of a central interval: as published, else the quantiles."""
    low, high = (rows[column].to_numpy(float) for column in cone_columns(coverage))
    published = interval_columns(coverage)
    if published[0] in rows:
        lo, hi = (rows[column].to_numpy(float) for column in published)
        low, high = np.where(np.isfinite(lo), lo, low), np.where(np.isfinite(hi), hi, high)
    return low, high


class Section(BaseModel):
    """The base of every config section: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the section's docstring."""
        return (cls.__doc__ or "").strip().splitlines()[0]


def check_bars(bars: pd.DataFrame, ticker: str) -> None:
    """Check the shape and the values that every reader of bars relies on.

    Raises:
        DataError: with the first row that breaks a rule.
    """
    if tuple(bars.columns) != BAR_COLUMNS:
        raise DataError(
            f"{ticker}: Expected the columns {', '.join(BAR_COLUMNS)}. "
            f"Received: {', '.join(map(str, bars.columns))}."
        )
    index = bars.index
    if not isinstance(index, pd.DatetimeIndex) or index.tz is not None:
        raise DataError(f"{ticker}: Expected timezone-naive session dates as the index.")
    if not index.is_monotonic_increasing or not index.is_unique:
        late = index[np.flatnonzero(np.diff(index.asi8) <= 0)[0] + 1]
        raise DataError(f"{ticker}: session {late:%Y-%m-%d} is repeated or out of order.")
    for rule, broken in broken_rules(bars):
        if broken.any():
            row = bars[broken].iloc[0]
            values = ", ".join(f"{name} {in_words(row[name])}" for name in BAR_COLUMNS)
            raise DataError(f"{ticker}: {index[broken][0]:%Y-%m-%d}: {rule}: {values}.")


small_tables = pd.option_context("mode.string_storage", "python")
"""Decorates what works with many small tables: their strings, most of all the names of their
columns, are Python's. Arrow's, which pandas takes otherwise, save memory in large tables, and
take a tenth of the time of an evening."""


def values_of(table: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Return some columns of a table as float64, (T, n).

    `table[names].to_numpy(float)`, which of a small table takes several times as long.

    Example:
        >>> values_of(bars, ["open", "close"]).shape
        (5000, 2)
    """
    values: np.ndarray = np.stack([table[name].to_numpy(float) for name in names]).T
    return values


def by_ticker(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each ticker, of a table in which these follow each other.

    `groupby` takes several times as long for many tickers with a few rows each.
    """
    names = rows["ticker"].to_numpy(object)
    starts = [0, *np.flatnonzero(names[1:] != names[:-1]) + 1] if len(names) else []
    return {
        str(names[start]): rows.iloc[start:end].reset_index(drop=True)
        for start, end in zip(starts, [*starts[1:], len(names)], strict=False)
    }


def numbers_of(bars: pd.DataFrame) -> bytes:
    """Return the numbers of bars session by session, for a hash of them."""
    numbers = values_of(bars, BAR_COLUMNS).astype("<f8", copy=False)
    sessions = bars.index.to_numpy("datetime64[D]").astype("<i8").view("<f8")
    return np.column_stack([sessions, numbers]).tobytes()


def broken_rules(bars: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each rule about the values of bars, and which rows (T,) break it."""
    prices = values_of(bars, ["open", "high", "low", "close"])
    yield "a value is not a finite number", ~np.isfinite(bars.to_numpy(float)).all(axis=1)
    yield "a price is zero or negative", np.any(prices <= 0, axis=1)
    # Sources round each column on its own; a relative 1e-6 is rounding, not a fault.
    slack = 1e-6 * prices[:, 1]
    yield "high is below another price", prices[:, 1] + slack < prices.max(axis=1)
    yield "low is above another price", prices[:, 2] - slack > prices.min(axis=1)
    extras = values_of(bars, ["volume", "dividend", "split"])
    yield "volume, dividend or split is negative", np.any(extras < 0, axis=1)


def without_rows(table: pd.DataFrame, gone: np.ndarray) -> pd.DataFrame:
    """Return bars without some of their rows (T,); what these pay or split moves on.

    The return of the next row includes it. Of several splits their product counts. What
    no row follows is left out.
    """
    kept = table[~gone]
    names = [name for name in ("dividend", "gains", "split") if name in table]
    if not table.loc[gone, names].to_numpy().any():
        return kept
    kept = kept.copy()
    follows = np.cumsum(~gone)[gone]  # the row of `kept` behind each one that is gone
    for name in names:
        moved = table[name].to_numpy(float)[gone]
        some = (moved != 0) & (follows < len(kept))
        column, rows = kept[name].to_numpy(float).copy(), follows[some]
        if name == "split":
            column[rows] = np.where(column[rows] == 0, 1.0, column[rows])
            np.multiply.at(column, rows, moved[some])
        else:
            np.add.at(column, rows, moved[some])
        kept[name] = column
    return kept


def shares_since(splits: pd.Series, day: pd.Timestamp) -> float:
    """Return how many shares one share of a day has become; `splits` by session, 0 where none."""
    later = splits.to_numpy(float)[splits.index > day]
    return float(later[later > 0].prod())


def log_returns(bars: pd.DataFrame) -> pd.Series:
    """Return daily log returns with dividends, as fractions; the first is NaN.

    `ln(C[t] / (C[t-1] - D[t]))` is what a split- and dividend-adjusted close
    gives, computed from sessions up to t alone: a later dividend rewrites every
    adjusted *level*, and no return.
    """
    close, dividend = bars["close"].to_numpy(float), bars["dividend"].to_numpy(float)
    return pd.Series(returns_of(close, dividend), index=bars.index, name="log_return")


def returns_of(close: np.ndarray, dividend: np.ndarray) -> np.ndarray:
    """Return `log_returns` of one ticker (T,), or of several (T, N)."""
    returns = np.full(close.shape, np.nan)
    np.log(close[1:] / (close[:-1] - dividend[1:]), out=returns[1:])
    return returns


def growth_of(returns: np.ndarray) -> np.ndarray:
    """Return what one unit of currency has become since the first session, of log returns."""
    return np.asarray(np.exp(np.cumsum(np.where(np.isnan(returns), 0.0, returns), axis=0)))


def cumulative_returns(bars: pd.DataFrame, horizon: int) -> np.ndarray:
    """Return log returns over the next 1…H sessions, (T, H), NaN where not realised."""
    return moved_of(log_returns(bars).to_numpy()[:, None], horizon)[0]


def moved_of(returns: np.ndarray, horizon: int) -> np.ndarray:
    """Return `cumulative_returns` of several tickers, (N, T, H), from log returns (T, N)."""
    level = np.cumsum(np.where(np.isnan(returns), 0.0, returns), axis=0)
    ahead = np.full((level.shape[1], len(level), horizon), np.nan)
    for h in range(1, min(horizon, len(level) - 1) + 1):
        ahead[:, :-h, h - 1] = (level[h:] - level[:-h]).T
    return ahead


def total_return_prices(bars: pd.DataFrame) -> pd.DataFrame:
    """Return open, high, low and close with dividends reinvested from the first bar on.

    The index runs forward, so that a row never changes when later bars arrive.
    """
    names = ["open", "high", "low", "close"]
    prices = values_of(bars, names)
    factor = prices[:1, 3] * growth_of(log_returns(bars).to_numpy()) / prices[:, 3]
    return pd.DataFrame(prices * factor[:, None], index=bars.index, columns=names)


def empty_forecast(columns: Iterable[str] = FORECAST_COLUMNS) -> pd.DataFrame:
    """Return a Forecast without rows."""
    return pd.DataFrame(columns=list(columns)).astype({"calibrated": bool})


def of_recipe(rows: pd.DataFrame, recipe: str, *, calibrated: bool) -> pd.DataFrame:
    """Return the rows of one recipe, as it is or calibrated, of any table with both columns."""
    return rows[(rows["recipe"] == recipe) & (rows["calibrated"] == calibrated)]


def check_forecast(forecast: pd.DataFrame) -> None:
    """Check the columns of a Forecast, that quantiles ascend and that intervals nest.

    Raises:
        ValueError: a bug in a recipe, never a user's mistake.
    """
    missing = set(FORECAST_COLUMNS) - set(forecast.columns)
    if missing:
        raise ValueError(f"Expected the forecast columns {sorted(missing)}.")
    levels = values_of(forecast, QUANTILE_COLUMNS)
    if not np.isfinite(levels).all() or (np.diff(levels, axis=1) < 0).any():
        raise ValueError("Expected finite quantiles that ascend with their level.")
    if "lo50" in forecast:
        # From the widest lower endpoint to the widest upper one.
        lower, upper = INTERVAL_COLUMNS[::2], INTERVAL_COLUMNS[1::2]
        ends = values_of(forecast, [*reversed(lower), *upper])
        if not np.isfinite(ends).all() or (np.diff(ends, axis=1) < 0).any():
            raise ValueError("Expected finite intervals that nest.")


def check_log_returns(forecast: pd.DataFrame) -> None:
    """Check that a table from outside is a Forecast, with dates as dates and no prices.

    Raises:
        DataError: it is not.
    """
    try:
        check_forecast(forecast)
    except ValueError as error:
        raise DataError(f"This is no Forecast: {error}") from error
    for name in ("made_on", "target_on"):
        if not pd.api.types.is_datetime64_dtype(forecast[name]):
            raise DataError(
                f"Expected {name} as datetime64, without a time zone. "
                f"Received: {forecast[name].dtype}."
            )
    # A price is positive; of a return, the lowest quantile is a loss.
    if len(forecast) and (forecast["q025"] > 0).all():
        raise DataError(
            "Expected quantiles as log returns. Received: positive ones only, such as prices.",
            hint="the CSV of lstm predict holds prices: ln(price / last_close) is the log return",
        )


def check_events(events: pd.DataFrame) -> None:
    """Check the columns, the types and the values of an Events table.

    Raises:
        DataError: with the first row that breaks a rule.
    """
    if tuple(events.columns) != EVENT_COLUMNS:
        raise DataError(
            f"Expected events with the columns {', '.join(EVENT_COLUMNS)}. "
            f"Received: {', '.join(map(str, events.columns))}."
        )
    for name in ("session", "known_on"):
        if events[name].dtype != "datetime64[ns]":
            raise DataError(
                f"Expected {name} of events as datetime64[ns], without a time zone. "
                f"Received: {events[name].dtype}."
            )
    if not pd.api.types.is_float_dtype(events["amount"]):
        raise DataError(f"Expected amount as float. Received: {events['amount'].dtype}.")
    for name, rule, sound in _event_rules(events):
        if not sound.all():
            row = int(np.flatnonzero(~sound)[0])
            raise DataError(
                f"Events, row {row}: Expected {name} {rule}. Received: {events[name].iloc[row]!r}."
            )


def _event_rules(events: pd.DataFrame) -> Iterator[tuple[str, str, np.ndarray]]:
    for name in ("ticker", "source"):
        yield name, "as text", np.array([bool(v) and isinstance(v, str) for v in events[name]])
    sound = [bool(EVENT_NAME.fullmatch(str(v).removeprefix(USER_KIND))) for v in events["kind"]]
    yield "kind", "such as earnings or user:launch", np.array(sound)
    for name in ("session", "known_on"):
        midnight = events[name] == events[name].dt.normalize()  # False where it is missing
        yield name, "as a date at midnight", midnight.to_numpy()
    for name, allowed in (("timing", EVENT_TIMINGS), ("status", EVENT_STATUSES)):
        yield name, f"to be one of {', '.join(allowed)}", events[name].isin(allowed).to_numpy()
    yield "amount", "to be finite, or NaN", ~np.isinf(events["amount"].to_numpy(float))
