"""Results as the SEC has them: the 8-K filings of US companies with item 2.02.

The SEC asks who asks: without a contact in the user agent it is not asked at all.

Source: https://www.sec.gov/search-filings/edgar-application-programming-interfaces
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from lstmcli import clock
from lstmcli.errors import NoDataError, SourceError
from lstmcli.sources.announcements.days import Stated
from lstmcli.sources.yahoo_failures import is_of_network
from lstmcli.version import __version__

log = logging.getLogger(__name__)

CONTACT = "LSTM_SEC_CONTACT"
"""The variable of the environment with a name or a mail address for the SEC."""

PAUSE = 0.2
"""Seconds between requests: the SEC allows ten a second."""

TIMEOUT = 10.0
TICKERS_KEPT = timedelta(days=30)
"""How long the list of all companies is kept."""

OLDER_FILES = 5
"""Files of older filings that are asked for; a bank has a hundred, of its notes."""

NEW_YORK = ZoneInfo("America/New_York")
ACCEPTS = clock_time(6, 0), clock_time(22, 0)
"""When the SEC accepts filings, New York."""


class SecResults:
    """Asks the SEC for the results of companies."""

    def __init__(self, contact: str, cache: Path) -> None:
        self.contact = contact
        self._file = cache / "sec-companies.json"
        self._companies: dict[str, int] | None = None

    @classmethod
    def where_allowed(cls, cache: Path) -> SecResults | None:
        """Return a client if a contact is set; else None."""
        contact = os.environ.get(CONTACT, "").strip()
        return cls(contact, cache) if contact else None

    def ask(self, ticker: str, *, older: bool) -> list[Stated]:
        """Return the days on which results were filed, oldest first.

        Args:
            older: ask for the years before the last thousand filings, too.

        Raises:
            NoDataError: the SEC does not know the ticker.
            SourceError: it did not answer, refused, or the answer cannot be read.
        """
        try:
            number = self._numbers().get(ticker.upper())
            if number is None:
                raise NoDataError(f"{ticker}: the SEC does not know it.")
            filings = self._get(f"https://data.sec.gov/submissions/CIK{number:010d}.json")[
                "filings"
            ]
            parts = [filings["recent"]]
            for file in filings.get("files", [])[: OLDER_FILES if older else 0]:
                parts.append(self._get(f"https://data.sec.gov/submissions/{file['name']}"))
            return _results(parts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.info("%s: %s: %s", ticker, type(error).__name__, error)
            raise SourceError(f"{ticker}: the SEC's answer cannot be read.") from error

    def _numbers(self) -> dict[str, int]:
        """Return the SEC's number of each company, by ticker."""
        if self._companies is None:
            self._companies = self._kept() or self._fetched()
        return self._companies

    def _kept(self) -> dict[str, int] | None:
        try:
            kept = json.loads(self._file.read_bytes())
            age = clock.now() - datetime.fromisoformat(kept["at"])
            return dict(kept["companies"]) if timedelta() <= age < TICKERS_KEPT else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _fetched(self) -> dict[str, int]:
        listed = self._get("https://www.sec.gov/files/company_tickers.json")
        companies = {str(each["ticker"]): int(each["cik_str"]) for each in listed.values()}
        kept = {"at": clock.now().isoformat(), "companies": companies}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(kept))
        except OSError as error:
            log.info("the SEC's companies are not kept: %s", error)
        return companies

    def _get(self, address: str) -> Any:
        import curl_cffi.requests

        time.sleep(PAUSE)
        agent = f"lstmcli/{__version__} {self.contact}"
        try:
            answer = curl_cffi.requests.get(address, headers={"User-Agent": agent}, timeout=TIMEOUT)
        except Exception as error:  # OSErrors of curl, and others
            log.info("%s: %s: %s", address, type(error).__name__, error)
            if not is_of_network(error):
                raise
            raise SourceError("the SEC did not answer.") from error
        if answer.status_code >= 400:
            said = f"the SEC refused to answer (HTTP {answer.status_code})"
            if answer.status_code >= 500:
                said = f"the SEC is down (it answered HTTP {answer.status_code})"
            raise SourceError(f"{said}.")
        return answer.json()


def _results(parts: list[Mapping[str, list[Any]]]) -> list[Stated]:
    """Return the results among filings, oldest first."""
    accepted = [moment for part in parts for moment in part["acceptanceDateTime"]]
    zone = _zone_of([datetime.fromisoformat(moment) for moment in accepted])
    found = []
    for part in parts:
        columns = part["form"], part["items"], part["filingDate"], part["acceptanceDateTime"]
        for form, items, filed_on, moment in zip(*columns, strict=True):
            if form != "8-K" or "2.02" not in items.split(","):
                continue
            day, at = date.fromisoformat(filed_on), None
            if zone is not None:
                at = datetime.fromisoformat(moment).replace(tzinfo=zone).astimezone(UTC)
                day = at.astimezone(NEW_YORK).date()
            found.append(Stated(day, at, "reported"))
    return sorted(found, key=lambda each: each.day)


def _zone_of(accepted: list[datetime]) -> ZoneInfo | None:
    """Return the zone of a company's acceptance times; None where they do not tell it.

    All are written as UTC. For one company in five they are New York's, all of its filings
    alike. As the SEC accepts filings from 6 to 22 only, one of the two readings is impossible.
    """
    wrong = {}
    for zone in (ZoneInfo("UTC"), NEW_YORK):
        clocks = [each.replace(tzinfo=zone).astimezone(NEW_YORK).time() for each in accepted]
        wrong[zone] = sum(not ACCEPTS[0] <= each <= ACCEPTS[1] for each in clocks)
    utc, new_york = wrong.values()
    if utc == new_york:
        return None
    return min(wrong, key=lambda zone: wrong[zone])
