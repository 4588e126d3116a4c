"""A first look at a forecast: what it says in a sentence, and what came of the one before."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from lstmcli import clock
from lstmcli.errors import LstmError
from lstmcli.frames import endpoints, shares_since, values_of
from lstmcli.pipeline.prediction import Prediction
from lstmcli.pipeline.session import Session
from lstmcli.report.outlook import Previous, Range, outlook, shown_steps
from lstmcli.report.verdict_record import has_edge
from lstmcli.sessions import time_zone

log = logging.getLogger(__name__)

RECENT = 20
"""Sessions of the line of recent closes."""

SAME = 0.001
"""How far the logarithm of a close may lie off the one that a forecast was made from: more is
another price, of corrected bars."""


@dataclass(frozen=True)
class Look:
    """What somebody sees first of a forecast.

    Attributes:
        outlook: the sentences that answer.
        ranges: 80 % ranges of the steps that are shown, as changes since the last close.
        previous: the last forecast that has an outcome; None where none is known.
        closes: the last ones, oldest first.
        today: the date at the exchange.
    """

    outlook: str
    ranges: tuple[Range, ...]
    previous: Previous | None
    closes: tuple[float, ...]
    today: date


def look_at(session: Session, predictions: Sequence[Prediction]) -> list[Look]:
    """Return the first look at each of some forecasts."""
    origins = {prediction.ticker: prediction.made_on for prediction in predictions}
    try:
        issued = session.workspace.ledger.last_before_each(origins)
    except LstmError as error:  # no reason to withhold the next forecast
        for ticker in origins:
            log.warning("%s: the last forecast is not shown: %s", ticker, error)
        return [_look(prediction, None) for prediction in predictions]
    return [
        _look(prediction, _previous(prediction, issued.get(prediction.ticker)))
        for prediction in predictions
    ]


def _look(prediction: Prediction, previous: Previous | None) -> Look:
    prices, close = prediction.prices, prediction.last_close
    calendar = prediction.panel.calendars[prediction.ticker]
    today = clock.now().astimezone(ZoneInfo(time_zone(calendar))).date()
    target_on = prices["target_on"].dt.date.tolist()
    ends = values_of(prices, ["lo80", "hi80"]) / close - 1
    ranges = tuple(
        Range(
            step=step,
            target_on=target_on[step - 1],
            low=float(ends[step - 1, 0]),
            high=float(ends[step - 1, 1]),
        )
        for step in shown_steps(len(prices))
    )
    return Look(
        outlook=outlook(
            has_edge(prediction.manifest.verdict),
            ranges,
            made_on=prediction.made_on.date(),
            today=today,
        ),
        today=today,
        ranges=ranges,
        previous=previous,
        closes=tuple(prediction.bars["close"].tail(RECENT)),
    )


def _previous(prediction: Prediction, issued: pd.DataFrame | None) -> Previous | None:
    """Return the last forecast with an outcome: the one issued, else that of the run."""
    published = None if issued is None else issued[issued["calibrated"]]
    if published is not None and len(published):
        return what_came(published.tail(1), prediction.bars, issued=True)
    if prediction.earlier is not None:
        return what_came(prediction.earlier.iloc[:1], prediction.bars, issued=False)
    return None


def what_came(first: pd.DataFrame, bars: pd.DataFrame, *, issued: bool) -> Previous | None:
    """Return a forecast of one session beside what came; None where the bars are others now.

    Prices are those of the bars: divided by splits, after dividends, as returns are counted.
    """
    made_on, target_on = (pd.Timestamp(first[name].iloc[0]) for name in ("made_on", "target_on"))
    start, came = bars.index.get_indexer([made_on, target_on]).tolist()
    if min(start, came) < 0:
        return None
    since = bars.iloc[start:]
    closes = since["close"].to_numpy(float)
    close = float(first["last_close"].iloc[0]) / shares_since(since["split"], made_on)
    if abs(np.log(close / closes[0])) > SAME:
        return None
    came -= start
    (low,), (high,) = endpoints(first, 0.80)
    paid = float(since["dividend"].to_numpy(float)[1 : came + 1].sum())
    return Previous(
        made_on=made_on.date(),
        target_on=target_on.date(),
        low=float((close - paid) * np.exp(low)),
        high=float((close - paid) * np.exp(high)),
        close=float(closes[came]),
        issued=issued,
    )
