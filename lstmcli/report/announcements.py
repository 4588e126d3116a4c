"""When a company reports, in words: the date, what of it is known, what a forecast does with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from lstmcli.evaluation.known_dates import KnownDates
from lstmcli.report.wording import NAMED

EXPECTED, REPORTED = "expected", "reported"
"""Statuses that are said otherwise than by their name."""

TAKEN_AS_KNOWN = "taken as known"
"""What is said of a past date of which nobody has stored since when it was known."""

NOT_KNOWN = "not known"

_TIMES = {
    "before": " before the open",
    "during": " during trading",
    "after": " after the close",
}
_SHORT_TIMES = {"before": " before open", "during": " in trading", "after": " after close"}

UNCONFIRMED = "?"
"""What a short form ends in where the date is not confirmed."""


@dataclass(frozen=True)
class NextReport:
    """The next announcement of results after an origin, as it was known then.

    Attributes:
        day: on which the results come.
        session: the one whose prices react first.
        timing, status, source: as in an Events table.
        known_on: since when the source has said so; None where only the rest is kept.
        assumed: whether it is a past date that is taken as known five sessions ahead.
    """

    day: date
    session: date
    timing: str
    status: str
    source: str
    known_on: date | None
    assumed: bool

    def phrase(self, today: date) -> str:
        """Return it for a sentence: `reports Thu 29 Oct after the close (confirmed)`.

        Args:
            today: the year is said of a day in another one.
        """
        when = f"{self.day:%a} {_date(self.day, today)}{_TIMES.get(self.timing, '')}"
        if self.status == REPORTED and not self.assumed:
            return f"reported {when}"
        return f"reports {when} ({TAKEN_AS_KNOWN if self.assumed else self.status})"

    def cell(self, today: date) -> str:
        """Return it for a table: `29 Oct after close`, or `29 Oct?` where it is not confirmed."""
        mark = UNCONFIRMED if self.status == EXPECTED else ""
        return f"{_date(self.day, today)}{_SHORT_TIMES.get(self.timing, '')}{mark}"


@dataclass(frozen=True)
class Reports:
    """What a forecast of one ticker could know of its reports.

    Attributes:
        coming: the next one; None where none is known.
        past: sessions that reacted to those of the last months, ascending.
        due: whether the ticker is one that reports: a share, no fund and no index.
        read: whether the forecast reads announcements.
    """

    coming: NextReport | None = None
    past: tuple[date, ...] = ()
    due: bool = False
    read: bool = False

    @property
    def sessions(self) -> tuple[date, ...]:
        """Return the sessions that react to a report, past ones and the next."""
        return (*self.past, *([self.coming.session] if self.coming else []))

    def sentence(self, targets: Sequence[date], today: date) -> str:
        """Return when the next report comes, and what that does to the forecast.

        Nothing of a ticker that does not report.

        Args:
            targets: the sessions that are forecast, ascending.
        """
        if self.coming is None:
            return "Next report not known." if self.due else ""
        said = f"{_capital(self.coming.phrase(today))}."
        if not len(targets) or not targets[0] <= self.coming.session <= targets[-1]:
            return said
        since = f"{self.coming.session:%a} {_date(self.coming.session, today)}"
        if self.read:
            return f"{said} The ranges from {since} on allow for it."
        return (
            f"{said} The forecast does not read it: from {since} on its ranges may be too narrow."
        )

    def reacts_by(self, last: date) -> bool:
        """Return whether the next report is known and moves a session up to a day."""
        return self.coming is not None and self.coming.session <= last

    def cell(self, today: date) -> str:
        """Return the next report for a table; empty of a ticker that does not report."""
        if self.coming is None:
            return NOT_KNOWN if self.due else ""
        return self.coming.cell(today)

    def as_issued(self) -> tuple[str, ...]:
        """Return the next report as the ledger keeps it; empty where none is known."""
        of = self.coming
        return (of.session.isoformat(), of.timing, of.status, of.source) if of else ()

    def as_json(self) -> dict[str, Any] | None:
        """Return the next report as JSON takes it; null where none is known."""
        if self.coming is None:
            return None
        return {
            name: value.isoformat() if isinstance(value, date) else value
            for name, value in vars(self.coming).items()
        }


def reports_ahead(shown: Mapping[str, Reports], last: date, *, today: date) -> str:
    """Return which tickers report soon, the first one first; empty where none does.

    Args:
        shown: by ticker.
        last: the last session that counts.
    """
    soon = [(of.coming, ticker) for ticker, of in shown.items() if of.coming and of.reacts_by(last)]
    soon.sort(key=lambda pair: (pair[0].session, pair[0].day, pair[1]))
    parts = [f"{ticker} {coming.cell(today)}" for coming, ticker in soon]
    more = f" and {len(parts) - NAMED} more" if len(parts) > NAMED else ""
    return f"Reports ahead: {', '.join(parts[:NAMED])}{more}." if parts else ""


def legend(shown: Mapping[str, Reports], last: date) -> list[str]:
    """Return what dates of next reports in a table need said, a sentence each.

    Args:
        shown: by ticker.
        last: the last session that is forecast.
    """
    said = []
    if any(of.coming and of.coming.status == EXPECTED for of in shown.values()):
        said.append(f"A report with {UNCONFIRMED} is expected on that day, not confirmed.")
    unread = [ticker for ticker, of in shown.items() if of.reacts_by(last) and not of.read]
    if unread:
        more = f" and {len(unread) - NAMED} more" if len(unread) > NAMED else ""
        said.append(f"The ranges of {', '.join(unread[:NAMED])}{more} do not allow for a report.")
    return said


def dates_sentence(dates: KnownDates) -> str:
    """Return what was assumed of the announcements that a judged forecast could read."""
    stored, assumed = dates
    count = stored + assumed
    if not count:
        return "It reads announcements of results; no date was known in these sessions."
    these = "1 announcement" if count == 1 else f"{count:,} announcements"
    if not assumed:
        return f"It reads the dates of {these}, each stored before it came."
    if not stored:
        return (
            f"It reads the dates of {these}. Nobody had stored when they became known: they are "
            f"{TAKEN_AS_KNOWN} five sessions ahead."
        )
    return (
        f"It reads the dates of {these}: {stored:,} had been stored before they came, and "
        f"{assumed:,} are past dates that are {TAKEN_AS_KNOWN} five sessions ahead."
    )


def report_from_json(stored: Mapping[str, Any] | None) -> NextReport | None:
    """Return what `Reports.as_json` returned as it was."""
    if not stored:
        return None
    dates = {
        name: date.fromisoformat(stored[name]) if stored[name] else None
        for name in ("day", "session", "known_on")
    }
    return NextReport(**{**stored, **dates})


def _date(day: date, today: date) -> str:
    return f"{day.day} {day:%b}" if day.year == today.year else f"{day.day} {day:%b %Y}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
