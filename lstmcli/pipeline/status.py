"""Status: what is stored, and how old it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd

from lstmcli import clock
from lstmcli.digits import age_in_words
from lstmcli.errors import DataError, LstmError
from lstmcli.pipeline.day import last_day
from lstmcli.pipeline.session import Session
from lstmcli.sessions import sessions_behind
from lstmcli.store.bars import BarsStore
from lstmcli.trading import suspension


@dataclass(frozen=True)
class SeriesStatus:
    """How fresh one market series is, or the bars of a ticker.

    Attributes:
        sessions_behind: settled sessions without a bar; None where unreadable.
        no_trade_since: the last session with trades, where the bars end in a suspension.
        error: why its bars cannot be read.
    """

    ticker: str
    source: str | None = None
    label: str | None = None
    rows: int | None = None
    last_session: date | None = None
    sessions_behind: int | None = None
    no_trade_since: date | None = None
    error: LstmError | None = None


@dataclass(frozen=True)
class TickerStatus(SeriesStatus):
    """How fresh one ticker is.

    Attributes:
        run: the newest run that knows it.
        trained_at: when that was trained.
        forecast: the newest origin that was forecast.
    """

    run: str | None = None
    trained_at: datetime | None = None
    forecast: str | None = None


def status(session: Session) -> list[TickerStatus]:
    """Return every stored ticker with its age; damaged ones carry their error."""
    manifests = session.manifests()
    found = []
    stored = _series(session.disk.bars)
    forecasts = session.disk.forecast_files.latest([series.ticker for series in stored])
    for series in stored:
        runs = [manifest for manifest in manifests if series.ticker in manifest.tickers]
        found.append(
            TickerStatus(
                **vars(series),
                run=runs[-1].run if runs else None,
                trained_at=runs[-1].created_at if runs else None,
                forecast=forecasts.get(series.ticker),
            )
        )
    return found


def market_status(session: Session) -> list[SeriesStatus]:
    """Return every stored market series with its age; damaged ones carry their error."""
    return _series(session.disk.market)


def _series(store: BarsStore) -> list[SeriesStatus]:
    found = []
    for ticker in store.tickers():
        try:
            bars, meta = store.read(ticker)
        except LstmError as error:
            found.append(SeriesStatus(ticker, error=error))
            continue
        sessions = pd.DatetimeIndex(bars.index)
        resting = None if store.market else suspension(bars)
        found.append(
            SeriesStatus(
                ticker,
                source=str(meta.source.get("name")),
                label=meta.label,
                rows=meta.rows,
                last_session=meta.last_session,
                sessions_behind=sessions_behind(
                    meta.calendar, sessions[-1], clock.now(), observed=sessions
                ),
                no_trade_since=resting.since.date() if resting else None,
            )
        )
    return found


def check_age(session: Session, longest: timedelta) -> datetime:
    """Return when `lstm daily` last succeeded, for monitoring.

    Raises:
        DataError: never, or longer ago than `longest`.
    """
    workspace = session.workspace
    last = last_day(workspace) or {}
    stated = last.get("succeeded_at")
    hint = f"{last['sentence']}; lstm daily" if last.get("sentence") else "lstm daily"
    if not stated:
        raise DataError(f"lstm daily has not succeeded yet in {workspace.root}.", hint=hint)
    at = datetime.fromisoformat(stated)
    age = clock.now() - at
    if age > longest:
        raise DataError(
            f"lstm daily last succeeded {age_in_words(age)} ago, at {stated}. "
            f"Allowed: {age_in_words(longest)}.",
            hint=hint,
        )
    return at
