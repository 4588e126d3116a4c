"""Prices: forecasts in a ticker's currency instead of log returns.

Returns include dividends. So a price that somebody can look up afterwards is
`last_close * exp(q)` less the dividends that go ex meanwhile, where they were declared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lstmcli.digits import in_words
from lstmcli.features.events import WITHDRAWN
from lstmcli.frames import (
    COVERAGES,
    EX_DIVIDEND,
    INTERVAL_COLUMNS,
    QUANTILE_COLUMNS,
    QUANTILES,
    endpoints,
    shares_since,
    values_of,
)
from lstmcli.panel import View
from lstmcli.report import prices as words
from lstmcli.report.announcements import Reports
from lstmcli.report.prices import Dividend, PriceBasis

PAYS = pd.DateOffset(months=15)
"""A ticker without a dividend for so long pays none: the yearly ones come within a year and
some weeks."""

SAME_DIVIDEND = np.timedelta64(10, "D")
"""Two ex-dates of a ticker so close are one, of which sources differ by some days."""


def price_basis(
    view: View, until: pd.Timestamp, *, splits: pd.Series, currency: str | None = None
) -> PriceBasis:
    """Return what the prices of a forecast from the last session of a view are.

    Args:
        view: bars and events as they were known at the origin.
        until: the last session that is forecast.
        splits: by session, of the bars that prices are in the shares of; 0 where none.
    """
    bars, made_on = view.bars, view.sessions[-1]
    recent = bars["dividend"].loc[made_on - PAYS :]
    otherwise = words.TOTAL_RETURN if (recent > 0).any() else words.CLOSE
    events = view.events(EX_DIVIDEND)
    due = _declared(events) if len(events) else events
    due = due[(due["session"] > made_on) & (due["session"] <= until)] if len(due) else due
    if not len(due):
        return PriceBasis(otherwise, currency=currency)
    if due["amount"].isna().any():
        return PriceBasis(words.TOTAL_RETURN, currency=currency)
    declared = tuple(
        Dividend(row.session, row.amount / shares_since(splits, row.known_on))
        for row in due.itertuples()
    )
    amounts = [amount for _, amount in declared]
    close = float(bars["close"].iloc[-1])
    if min(amounts) <= 0 or sum(amounts) >= close:
        return PriceBasis(
            words.TOTAL_RETURN,
            currency=currency,
            warning=f"declared dividends of {', '.join(map(in_words, amounts))} are not "
            f"subtracted: expected above 0 and below the last close, {in_words(close)}; "
            f"lstm events import FILE --kind {EX_DIVIDEND} corrects them",
        )
    return PriceBasis(words.EX_DIVIDEND, declared, currency)


def _declared(events: pd.DataFrame) -> pd.DataFrame:
    """Return the statements about dividends that hold, one per ex-date, by ex-date.

    Of each source the newest statement holds. Several sources mean the same dividend: the
    newest that has an amount counts. An ex-date without an amount within `SAME_DIVIDEND` of one
    with an amount is the same dividend.
    """
    newest = events.sort_values("known_on", kind="stable")
    held = newest.drop_duplicates(["source", "session"], keep="last")
    held = held[held["status"] != WITHDRAWN]
    held = held.sort_values("amount", key=lambda amount: amount.notna(), kind="stable")
    held = held.drop_duplicates("session", keep="last").sort_values("session")
    stated = held.loc[held["amount"].notna(), "session"].to_numpy()
    apart = np.abs(held["session"].to_numpy()[:, None] - stated)
    return held[held["amount"].notna() | ~(apart <= SAME_DIVIDEND).any(axis=1)]


def in_prices(forecast: pd.DataFrame, bases: Mapping[str, PriceBasis]) -> pd.DataFrame:
    """Return a Forecast with quantiles and intervals as prices, none below zero.

    Equation: price = max(last_close·exp(q) − declared, 0)

    Adds the columns `prices`, the kind of the ticker's basis, `declared`, what was
    subtracted, and `p_up`, see `chance_of_rise`. The quantiles of a recipe stand for its
    intervals where it has none.

    Args:
        bases: of each ticker.
    """
    ends = [column for share in COVERAGES for column in endpoints(forecast, share)]
    basis_of_row = [bases[str(ticker)] for ticker in forecast["ticker"]]
    declared = np.zeros(len(forecast))
    for row in [row for row, basis in enumerate(basis_of_row) if basis.declared]:
        declared[row] = basis_of_row[row].subtracted(forecast["target_on"].iloc[row])
    levels = [*QUANTILE_COLUMNS, *INTERVAL_COLUMNS]
    close = forecast["last_close"].to_numpy(float)
    quantiles = values_of(forecast, QUANTILE_COLUMNS)
    returns = np.column_stack([quantiles, *ends])
    prices = np.maximum(np.exp(returns) * close[:, None] - declared[:, None], 0.0)
    # One frame of columns: `assign` would copy it for each of forty.
    columns: dict[str, Any] = {str(name): column.array for name, column in forecast.items()}
    columns |= dict(zip(levels, prices.T, strict=True))
    columns["prices"] = [basis.kind for basis in basis_of_row]
    columns |= {"declared": declared, "p_up": chance_of_rise(quantiles)}
    return pd.DataFrame(columns, index=forecast.index)


def chance_of_rise(quantiles: np.ndarray) -> np.ndarray:
    """Return the probability that the total return is above zero, (N,), as fractions.

    It is one minus the level at which the quantile function crosses zero, a straight line
    between two neighbouring quantiles. Nothing is known beyond the outermost ones: where all
    lie above zero it is 0.975, which means at least so much, and 0.025 where all lie below.

    Args:
        quantiles: of a Forecast, log returns, (N, Q).
    """
    levels = np.array(QUANTILES)
    falls = (quantiles <= 0).sum(axis=1)  # how many do not lie above zero
    above = np.clip(falls, 1, len(levels) - 1)
    rows = np.arange(len(quantiles))
    low, high = quantiles[rows, above - 1], quantiles[rows, above]
    with np.errstate(divide="ignore", invalid="ignore"):
        way = np.clip(np.nan_to_num(-low / (high - low)), 0.0, 1.0)
    crossing = levels[above - 1] + way * (levels[above] - levels[above - 1])
    crossing = np.where(falls == 0, levels[0], np.where(falls == len(levels), levels[-1], crossing))
    return 1 - crossing


class Written(NamedTuple):
    """What is written of a forecast.

    Attributes:
        prices: as `in_prices` returns them.
        baseline: the same of a baseline; None where there is none.
    """

    prices: pd.DataFrame
    baseline: pd.DataFrame | None
    reports: Reports


def as_written(forecasts: Sequence[Written]) -> pd.DataFrame:
    """Return the prices of forecasts, after those of each one those of its baseline.

    The column `next_report` has the session that reacts to the next one; missing if not known.
    """
    parts = [
        part for each in forecasts for part in (each.prices, each.baseline) if part is not None
    ]
    coming = [each.reports.coming for each in forecasts]
    sessions = [pd.Timestamp(one.session) if one else pd.NaT for one in coming]
    lengths = [
        len(each.prices) + (0 if each.baseline is None else len(each.baseline))
        for each in forecasts
    ]
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(next_report=np.repeat(pd.DatetimeIndex(sessions).as_unit("ns"), lengths))
