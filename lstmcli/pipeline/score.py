"""Score: every issued forecast against the bars that are stored now, as of the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
)
from lstmcli.evaluation.live_reports import reports_of, reports_table
from lstmcli.evaluation.live_table import evidence_of, live_table, table_of
from lstmcli.evaluation.sequences import Evidence, coverage_evidence
from lstmcli.panel import Panel
from lstmcli.pipeline.record import Record, rolled
from lstmcli.pipeline.session import Session
from lstmcli.sessions import (
    next_sessions,
    opening_times,
    sessions_between,
    settled_by_calendar,
    settled_session,
)
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
        table: scores of the published recipes and of what stands beside them.
        evidence: against the published step-1 intervals, by published recipe.
        reports: scores apart for forecasts with a report ahead; see `reports_of`.
        missing: sessions without a forecast since the first one; never filled in.
        failed: tickers whose bars cannot be read.
        issued: the first and the last origin.
        first_due: the first session of which an outcome comes.
        removed: tickers without bars, which take part only where they are named.
        statuses: how many published forecasts have each status.
        rows: every issued forecast with `status`, `realised` and `unit`; see `follow_up`.
            The calibrated ones are what is published. None where sums alone were read.
        record: the sums; None where the rows were read.
    """

    tickers: tuple[str, ...]
    table: pd.DataFrame
    evidence: dict[str, Evidence]
    missing: tuple[Missing, ...]
    failed: dict[str, LstmError]
    reports: pd.DataFrame
    issued: tuple[pd.Timestamp, pd.Timestamp]
    first_due: pd.Timestamp
    statuses: Mapping[str, int]
    removed: tuple[str, ...] = ()
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    record: Record | None = None

    def counts(self) -> dict[str, int]:
        """Return how many published forecasts have each status."""
        return {status: int(self.statuses.get(status, 0)) for status in _STATUSES}

    def only(self, ticker: str) -> Live:
        """Return the record of one of the tickers, its table as brief as a page shows it."""
        rows = self.rows[self.rows["ticker"] == ticker]
        missing = tuple(session for session in self.missing if session.ticker == ticker)
        failed = {ticker: self.failed[ticker]} if ticker in self.failed else {}
        return _of_rows((ticker,), rows, missing, failed, brief=True)


_STATUSES = (SCORED, OPEN, WAITING, LATE, REPEATED, UNMATCHED)


def score(session: Session, tickers: Sequence[str] = ()) -> Live:
    """Return the record of the tickers in the ledger, row by row; writes nothing.

    Args:
        tickers: else those whose bars are stored: the ledger keeps the others, and without
            bars nobody knows what came of them.

    Raises:
        NoDataError: nothing, or nothing of a ticker, was issued; or no bars are stored.
        DataError: the ledger is damaged.
    """
    workspace = session.workspace
    ledger = workspace.ledger
    wanted, removed = _wanted(workspace, ledger.tickers(), tickers)
    if tickers:  # of a universe all rows fill gigabytes
        issued = pd.concat(map(ledger.read, wanted)).sort_values("id", ignore_index=True)
    else:
        issued = ledger.read()
        issued = issued[issued["ticker"].isin(wanted)]
    panel, _, failed = _bars(session, wanted)
    now = clock.now()
    rows = follow_up(issued, panel, now)
    origins = rows.loc[rows["calibrated"], ["ticker", "made_on"]].drop_duplicates()
    missing = tuple(_missing(workspace, origins, panel, now))
    return replace(_of_rows(wanted, rows, missing, failed), removed=removed)


def score_all(session: Session, *, keep: bool = False) -> Live:
    """Return the record of all tickers with bars, from sums: what is new is added to them.

    Args:
        keep: write the sums for the next evening; else nothing is written.

    Raises:
        NoDataError: nothing was issued; or no bars are stored.
        DataError: the ledger is damaged.
        DiskError: the sums cannot be written.
    """
    workspace, now = session.workspace, clock.now()
    panel, hashes, failed = _bars(session, workspace.bars.tickers())
    record = rolled(workspace.ledger, workspace.record, panel, hashes, now, write=keep)
    if not record.months:
        _wanted(workspace, [], ())  # its error says so
    origins, counts = record.table("origins"), record.table("counts")
    wanted, removed = _wanted(workspace, list(dict.fromkeys(origins["ticker"])), ())
    counts = counts[counts["ticker"].isin(wanted)]
    origins = origins[origins["ticker"].isin(wanted)]
    sums, unsettled = record.table("sums"), record.table("unsettled")
    return Live(
        wanted,
        table_of(sums),
        evidence_of(sums),
        tuple(_missing(workspace, origins, panel, now)),
        {ticker: error for ticker, error in failed.items() if ticker in wanted},
        reports_of(record.table("reports")),
        (origins["made_on"].min(), origins["made_on"].max()),
        unsettled["target_on"].min(),
        counts.groupby("status")["forecasts"].sum().to_dict(),
        removed,
        record=record,
    )


def _wanted(
    workspace: Workspace, known: Sequence[str], tickers: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tickers that a record is of, and those that are left out."""
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
    return wanted, removed


def _bars(
    session: Session, tickers: Sequence[str]
) -> tuple[Panel, dict[str, str], dict[str, LstmError]]:
    """Return settled bars, their hashes, and why those of other tickers cannot be read.

    All that is stored: an outcome that was counted stays one, also where a suspension or a
    relisting follows.
    """
    bars, calendars, hashes, failed = {}, {}, {}, {}
    for ticker in tickers:
        try:
            settled, meta = session.settled(ticker)
        except LstmError as error:
            failed[ticker] = error
            continue
        bars[ticker], calendars[ticker], hashes[ticker] = settled, meta.calendar, meta.sha256
    return Panel(bars, calendars), hashes, failed


def _of_rows(
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
        live_table(scored, brief=brief),
        evidence,
        missing,
        failed,
        reports_table(scored),
        (rows["made_on"].min(), rows["made_on"].max()),
        rows["target_on"].min(),
        rows.loc[rows["calibrated"], "status"].value_counts().to_dict(),
        rows=rows,
    )


def _missing(
    workspace: Workspace, origins: pd.DataFrame, panel: Panel, now: datetime
) -> list[Missing]:
    """Return the sessions since its first forecast from which a ticker was not forecast.

    Args:
        origins: `ticker made_on` of the published forecasts.
    """
    found, last_of, due_of = [], {}, {}
    for ticker, own in origins.groupby("ticker", sort=False)["made_on"]:
        if ticker not in panel:
            continue
        calendar = panel.calendars[str(ticker)]
        observed = pd.DatetimeIndex(panel[str(ticker)].index)
        # Where the calendar alone tells, it tells of all its tickers at once.
        shared = settled_by_calendar(calendar, now) is not None
        key = calendar if shared else str(ticker)
        if key not in last_of:
            last_of[key] = _last_due(calendar, now, observed)
        span = key, own.min()
        if span not in due_of:
            due_of[span] = sessions_between(calendar, span[1], last_of[key], observed=observed)
        due = due_of[span]
        found += [(str(ticker), session) for session in due.difference(pd.DatetimeIndex(own))]
    if not found:
        return []
    reasons = _reasons(workspace)
    return [
        Missing(ticker, at, reasons.get((ticker, f"{at:%Y-%m-%d}"), "lstm daily did not run"))
        for ticker, at in found
    ]


def _last_due(calendar: str, now: datetime, observed: pd.DatetimeIndex) -> pd.Timestamp:
    """Return the last day up to which every session has to have a forecast."""
    last = settled_session(calendar, now, observed=observed)
    after = next_sessions(calendar, last, 1, observed=observed)
    # Until the next session opens, tonight's forecast would still be on time.
    open_yet = opening_times(calendar, after)[0] > pd.Timestamp(now)
    return last - pd.Timedelta(1, "D") if open_yet else last


def _reasons(workspace: Workspace) -> dict[tuple[str, str], str]:
    """Return why a ticker has no forecast from a session, as the log says."""
    reasons = {}
    for record in workspace.log.read():
        if record.get("status") in REASONS and record.get("ticker"):
            key = record["ticker"], str(record.get("session"))
            message = str(record.get("message", "failed"))
            reasons[key] = message.removeprefix(f"{record['ticker']}: ")
    return reasons
