"""Score: every issued forecast against the bars that are stored now, as of the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pandas as pd

from lstmcli import clock
from lstmcli.errors import LstmError, NoDataError, shell_word
from lstmcli.evaluation.live import (
    LATE,
    OPEN,
    REPEATED,
    SCORED,
    UNMATCHED,
    WAITING,
    follow_up,
    live_table,
)
from lstmcli.evaluation.live_reports import reports_table
from lstmcli.evaluation.sequences import Evidence, coverage_evidence
from lstmcli.panel import Panel
from lstmcli.pipeline.session import Session
from lstmcli.sessions import next_sessions, opening_times, sessions_between, settled_session
from lstmcli.store import Workspace
from lstmcli.store.log import REASONS


@dataclass(frozen=True)
class Missing:
    """A session from which a ticker was not forecast, and why."""

    ticker: str
    session: pd.Timestamp
    reason: str


@dataclass(frozen=True)
class Live:
    """The record of some tickers.

    Attributes:
        rows: every issued forecast with `status`, `realised` and `unit`; see `follow_up`.
            The calibrated ones are what is published.
        table: scores of the published recipes and of what stands beside them.
        evidence: against the published step-1 intervals, by published recipe.
        reports: scores apart for forecasts with a report ahead; see `reports_table`.
        missing: sessions without a forecast since the first one; never filled in.
        failed: tickers whose bars cannot be read.
        removed: tickers without bars, which take part only where they are named.
    """

    tickers: tuple[str, ...]
    rows: pd.DataFrame
    table: pd.DataFrame
    evidence: dict[str, Evidence]
    missing: tuple[Missing, ...]
    failed: dict[str, LstmError]
    reports: pd.DataFrame
    removed: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """Return how many published forecasts have each status."""
        published = self.rows[self.rows["calibrated"]]
        counted = published["status"].value_counts()
        statuses = (SCORED, OPEN, WAITING, LATE, REPEATED, UNMATCHED)
        return {status: int(counted.get(status, 0)) for status in statuses}

    def only(self, ticker: str) -> Live:
        """Return the record of one of the tickers, its table as brief as a page shows it."""
        rows = self.rows[self.rows["ticker"] == ticker]
        missing = tuple(session for session in self.missing if session.ticker == ticker)
        failed = {ticker: self.failed[ticker]} if ticker in self.failed else {}
        return _live((ticker,), rows, missing, failed, brief=True)


def score(session: Session, tickers: Sequence[str] = ()) -> Live:
    """Return the record of the tickers in the ledger; writes nothing.

    Args:
        tickers: else those whose bars are stored: the ledger keeps the others, and without
            bars nobody knows what came of them.

    Raises:
        NoDataError: nothing, or nothing of a ticker, was issued; or no bars are stored.
        DataError: the ledger is damaged.
    """
    workspace = session.workspace
    issued = workspace.ledger.read()
    known = list(dict.fromkeys(issued["ticker"]))
    unknown = [ticker for ticker in tickers if ticker not in known]
    if not known or unknown:
        raise NoDataError(
            f"The ledger {workspace.ledger.path} holds no forecast"
            + (f" of {' '.join(unknown)}." if unknown else "."),
            hint="lstm daily issues forecasts, every evening",
        )
    stored = set(workspace.bars.tickers())
    removed = () if tickers else tuple(ticker for ticker in known if ticker not in stored)
    wanted = tuple(tickers) or tuple(ticker for ticker in known if ticker in stored)
    if not wanted:
        raise NoDataError(
            f"There are no bars in {workspace.bars.folder} of what was forecast: "
            f"{' '.join(known[:5])}{' …' * (len(known) > 5)}.",
            hint=f"lstm fetch {shell_word(known[0])}",
        )
    issued = issued[issued["ticker"].isin(wanted)]
    bars, calendars, failed = {}, {}, {}
    for ticker in wanted:
        try:
            # All that is stored: an outcome that was counted stays one, also where a
            # suspension or a relisting follows.
            settled, meta = session.settled(ticker)
        except LstmError as error:
            failed[ticker] = error
            continue
        bars[ticker], calendars[ticker] = settled, meta.calendar
    panel = Panel(bars, calendars)
    now = clock.now()
    rows = follow_up(issued, panel, now)
    live = _live(wanted, rows, tuple(_missing(workspace, rows, panel, now)), failed)
    return replace(live, removed=removed)


def _live(
    tickers: tuple[str, ...],
    rows: pd.DataFrame,
    missing: tuple[Missing, ...],
    failed: dict[str, LstmError],
    *,
    brief: bool = False,
) -> Live:
    scored = rows[rows["status"] == SCORED]
    first = scored[scored["calibrated"] & (scored["step"] == 1)]
    evidence = {
        str(recipe): coverage_evidence(own) for recipe, own in first.groupby("recipe", sort=False)
    }
    return Live(
        tickers,
        rows,
        live_table(scored, brief=brief),
        evidence,
        missing,
        failed,
        reports_table(scored),
    )


def _missing(
    workspace: Workspace, rows: pd.DataFrame, panel: Panel, now: datetime
) -> list[Missing]:
    reasons = {}
    for record in workspace.log.read():
        if record.get("status") in REASONS and record.get("ticker"):
            key = record["ticker"], str(record.get("session"))
            message = str(record.get("message", "failed"))
            reasons[key] = message.removeprefix(f"{record['ticker']}: ")
    found = []
    published = rows[rows["calibrated"]]
    for ticker, own in published.groupby("ticker", sort=False):
        if ticker not in panel:
            continue
        calendar = panel.calendars[str(ticker)]
        observed = pd.DatetimeIndex(panel[str(ticker)].index)
        last = settled_session(calendar, now, observed=observed)
        after = next_sessions(calendar, last, 1, observed=observed)
        if opening_times(calendar, after)[0] > pd.Timestamp(now):
            # Tonight's forecast would still be on time.
            last -= pd.Timedelta(1, "D")
        due = sessions_between(calendar, own["made_on"].min(), last, observed=observed)
        for session in due.difference(pd.DatetimeIndex(own["made_on"])):
            reason = reasons.get((str(ticker), f"{session:%Y-%m-%d}"), "lstm daily did not run")
            found.append(Missing(str(ticker), session, reason))
    return found
