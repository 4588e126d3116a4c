"""What a forecast of a ticker could know of its reports."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from lstmcli.errors import LstmError
from lstmcli.features.announcements import SAME_REPORT, Announcement, day_of
from lstmcli.frames import EARNINGS
from lstmcli.pipeline.notes import is_share
from lstmcli.pipeline.session import Session
from lstmcli.report.announcements import NextReport, Reports
from lstmcli.store.bars import BarsMeta
from lstmcli.store.ledger_schema import NOT_KNOWN
from lstmcli.store.runs import Manifest

SHOWN = pd.Timedelta(days=180)
"""How far back reports are looked up: a chart shows half as many sessions at most."""


def reports_at(
    session: Session,
    ticker: str,
    meta: BarsMeta,
    bars: pd.DataFrame,
    *,
    known: pd.Timestamp,
    read: bool = False,
) -> Reports:
    """Return what was known of a ticker's reports when it was forecast from its last bar.

    Events that cannot be read withhold no forecast: a warning names them.

    Args:
        bars: that the forecast could read.
        known: the day by which it has to be known.
        read: whether the forecast reads announcements.
    """
    origin = pd.Timestamp(bars.index[-1])
    due = is_share(meta, ticker)
    try:
        events = session.announcements(ticker)
    except LstmError as error:
        session.warn_once(f"no report is shown: {error}", about=EARNINGS)
        return Reports(due=due, read=read)
    # Of bars that a user has stored nobody knows what they are of, unless events tell.
    due = due and (meta.kind is not None or len(events) > 0)
    since = origin - SHOWN - pd.Timedelta(days=SAME_REPORT)
    found = session.known_announcements(ticker, since, known)
    coming = next((each for each in found if each.session > origin), None)
    return Reports(
        coming=None if coming is None else _next_report(coming, meta.calendar, bars),
        past=tuple(each.session.date() for each in found if each.session <= origin),
        due=due,
        read=read,
    )


def reports_of_issued(
    session: Session, ticker: str, meta: BarsMeta, bars: pd.DataFrame, last: pd.DataFrame
) -> Reports:
    """Return what an issued forecast knew of its ticker's reports, as the ledger keeps it.

    Of a forecast whose version kept nothing of it: what was stored by then.

    Args:
        bars: that it could read.
        last: its published rows.
    """
    row = last.iloc[0]
    issued_on = row["issued_at"].tz_localize(None).normalize()
    read = _reads(session, str(row["run"]))
    found = reports_at(session, ticker, meta, bars, known=issued_on, read=read)
    if row["report_status"] is None:
        return found
    if row["report_status"] == NOT_KNOWN:
        return replace(found, coming=None)
    kept = Announcement(
        session=row["report_session"],
        timing=row["report_timing"],
        status=row["report_status"],
        source=row["report_source"],
        known_on=pd.NaT,
    )
    return replace(found, coming=_next_report(kept, meta.calendar, bars))


def _reads(session: Session, run: str) -> bool:
    try:
        return reads_announcements(session, session.manifest(run))
    except LstmError:
        return False  # an old run may be gone; its forecasts stay


def reads_announcements(session: Session, manifest: Manifest) -> bool:
    """Return whether a run has learnt from announcements, and so reads them.

    One that goes on from another reads what that has learnt to read.
    """
    try:
        config = session.config(manifest.run)
        if EARNINGS in config.known_ahead:
            return True
        if not config.reads_announcements:
            return False
        if EARNINGS in manifest.bars or not config.start:
            return EARNINGS in manifest.bars
        start = session.manifest(config.start)
        return start.run != manifest.run and reads_announcements(session, start)
    except LstmError:
        return False


def _next_report(found: Announcement, calendar: str, bars: pd.DataFrame) -> NextReport:
    observed = pd.DatetimeIndex(bars.index)
    return NextReport(
        day=day_of(found.session, found.timing, calendar, observed).date(),
        session=found.session.date(),
        timing=found.timing,
        status=found.status,
        source=found.source,
        known_on=None if pd.isna(found.known_on) else found.known_on.date(),
        assumed=found.assumed,
    )
