"""Evening: what one run of `lstm daily` works on, and what its steps note."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from lstmcli import clock
from lstmcli.errors import LstmError
from lstmcli.executors import Workers
from lstmcli.pipeline.day import (
    LEFT_OUT,
    NOT_TRAINED,
    Day,
    Outcome,
    TickerDay,
    last_day,
)
from lstmcli.pipeline.session import Session

OnStep = Callable[[str], None]


class Evening:
    """The state that the steps of `daily` share.

    Attributes:
        day: what has been done so far.
        last: what the run before wrote about itself, as `Day.as_dict`; empty where there was none.
        workers: where a universe is forecast.
        news: whether there is something that the page does not show yet: bars, a forecast.
    """

    def __init__(
        self, session: Session, tickers: Sequence[str], on_step: OnStep, workers: Workers
    ) -> None:
        self.session = session
        self.workspace = session.workspace
        self.on_step, self.workers = on_step, workers
        self.day = Day(clock.now(), [TickerDay(ticker) for ticker in tickers])
        self.last = last_day(self.workspace) or {}
        self.news = False
        self._entries = {entry.get("ticker"): entry for entry in self.last.get("tickers") or []}
        self._issued: dict[tuple[str, pd.Timestamp, str], bool] = {}

    def ready(self) -> list[TickerDay]:
        """Return the tickers that nothing has stopped yet."""
        return [day for day in self.day.tickers if day.error is None and day.note is None]

    def entry_of(self, ticker: str) -> Mapping[str, Any]:
        """Return what the run before wrote about a ticker; nothing where it wrote nothing."""
        return self._entries.get(ticker, {})

    def log(
        self, step: str, status: str, ticker_day: TickerDay | None = None, **details: Any
    ) -> None:
        """Add a line to the log; where that fails, it is an error of the day."""
        session = ticker_day.session if ticker_day else None
        try:
            self.workspace.log.append(
                clock.now(),
                step,
                status,
                ticker=ticker_day.ticker if ticker_day else None,
                session=f"{session:%Y-%m-%d}" if session is not None else None,
                **details,
            )
        except LstmError as error:
            self.day.add_error(error)

    def fail(self, ticker_day: TickerDay, step: str, error: LstmError) -> None:
        """Stop a ticker for this evening."""
        ticker_day.outcome, ticker_day.error = "failed", error
        self.log(step, "failed", ticker_day, message=str(error))

    def fail_step(self, step: str, error: LstmError, **details: Any) -> None:
        """Note an error that concerns no single ticker."""
        self.day.add_error(error)
        self.log(step, "failed", message=str(error), **details)

    def wait(
        self, ticker_day: TickerDay, note: str, hint: str, *, outcome: Outcome = NOT_TRAINED
    ) -> None:
        """Leave a ticker out because no run can forecast it yet, which is no failure.

        The log gets its reason once for each session.
        """
        ticker_day.outcome, ticker_day.note, ticker_day.hint = outcome, note, hint
        known = self.entry_of(ticker_day.ticker)
        stamp = ticker_day.session and f"{ticker_day.session:%Y-%m-%d}"
        if (known.get("note"), known.get("session")) != (note, stamp):
            self.log("run", "waiting", ticker_day, message=f"{note} Next: {hint}.")

    def leave_out(self, ticker_day: TickerDay, note: str, hint: str) -> None:
        """Leave a ticker out of which no evening has news, which is no failure."""
        ticker_day.outcome, ticker_day.note, ticker_day.hint = LEFT_OUT, note, hint

    def left_out(self) -> set[str]:
        """Return the tickers that were left out."""
        return {day.ticker for day in self.day.tickers if day.outcome == LEFT_OUT}

    def is_issued(self, ticker_day: TickerDay) -> bool:
        """Return whether the ledger has the forecast of a ticker's session by its run.

        Raises:
            DataError: the ledger is damaged.
        """
        forecast = _forecast_of(ticker_day)
        if forecast is None:
            return False
        if forecast not in self._issued:
            # Of all tickers at once: to open the ledger takes as long as to ask it.
            asked = {*filter(None, map(_forecast_of, self.day.tickers))} - self._issued.keys()
            found = self.workspace.ledger.has_each(asked)
            self._issued |= {each: each in found for each in asked}
        return self._issued[forecast]


def _forecast_of(ticker_day: TickerDay) -> tuple[str, pd.Timestamp, str] | None:
    if ticker_day.session is None or ticker_day.run is None:
        return None
    return ticker_day.ticker, ticker_day.session, ticker_day.run
