"""Report: the page of the day, from the ledger, the bars and the runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lstmcli import clock, report
from lstmcli.errors import LstmError
from lstmcli.pipeline.day import NOT_TRAINED
from lstmcli.pipeline.report_record import record_of
from lstmcli.pipeline.report_sections import error_sentence, section_of
from lstmcli.pipeline.score import Live
from lstmcli.pipeline.session import Session
from lstmcli.store import Workspace
from lstmcli.store.files import file_name
from lstmcli.version import __version__

MAX_IN_ONE_PAGE = 30
"""Tickers with their charts in one page, about 3 MB; more get a page each beside an index."""

_HEAD = ("ticker", "80 % cone", "last close", "median", "made on", "live in 80 %", "today")


def write_report(
    session: Session,
    day: Mapping[str, Any] | None,
    live: Live | None,
    *,
    output: Path | None = None,
) -> Path:
    """Write the page, and with many tickers a page for each beside it; return the first.

    Args:
        day: what `lstm daily` wrote about itself; None: the page shows no failures.

    Raises:
        DiskError: no space, or not writable; the page that was there remains.
    """
    workspace = session.workspace
    path = output or workspace.report
    folder = workspace.pages if output is None else output.with_suffix("")
    outcomes = {outcome["ticker"]: outcome for outcome in (day or {}).get("tickers", [])}
    known = live.tickers if live else ()
    tickers = list(dict.fromkeys([*outcomes, *known]))
    sections = []
    for ticker in tickers:
        own = live.only(ticker) if live and ticker in known else None
        sections.append(section_of(session, ticker, own, outcomes.get(ticker)))
    page = _page(workspace, day, live, sections)
    if len(sections) > MAX_IN_ONE_PAGE:
        for section in sections:
            name = f"{file_name(section.ticker)}.html"
            single = _page(workspace, day, None, [section], back=f"../{path.name}")
            workspace.write(folder / name, report.render(single).encode())
            section.link = f"{folder.name}/{name.replace('%', '%25')}"
    workspace.write(path, report.render(page).encode())
    return path


def _page(
    workspace: Workspace,
    day: Mapping[str, Any] | None,
    live: Live | None,
    sections: list[report.Section],
    *,
    back: str | None = None,
) -> report.Page:
    made = clock.now()
    failures = [] if back else [error_sentence(error) for error in (day or {}).get("errors", [])]
    facts = [("made by", f"lstm {__version__}, {made:%Y-%m-%d %H:%M} UTC")]
    try:
        facts.append(("ledger head", workspace.ledger.head()))
    except LstmError as error:
        facts.append(("ledger", str(error)))
    remarks, tables = ([], []) if live is None else record_of(live)
    names = [section.ticker for section in sections]
    title = f"Forecast of {names[0]}" if len(names) == 1 else f"Forecasts of {len(names)} tickers"
    return report.Page(
        title=title,
        made=f"Made {made:%A %d %B %Y, %H:%M} UTC",
        sentence=_sentence(sections, failures),
        overview_head=_HEAD,
        sections=sections,
        failures=failures,
        tables=tables if len(names) > 1 else [],
        remarks=remarks if len(names) > 1 else [],
        facts=facts,
        back=back,
    )


def _sentence(sections: list[report.Section], failures: list[str]) -> str:
    """Return the first sentence of the page: how many forecasts are up to date."""
    failed = [section.ticker for section in sections if section.failed]
    stale = [section.ticker for section in sections if section.stale and not section.failed]
    waiting = [section.ticker for section in sections if section.line[-1] == NOT_TRAINED]
    fresh = len(sections) - len(failed) - len(stale) - len(waiting)
    parts = [f"{fresh} of {len(sections)} forecasts are up to date"]
    for what, tickers in (
        ("failed today", failed),
        ("stale", stale),
        ("not trained yet", waiting),
    ):
        if tickers:
            more = f" and {len(tickers) - 5} more" if len(tickers) > 5 else ""
            parts.append(f"{what}: {', '.join(tickers[:5])}{more}")
    if failures:
        parts.append(f"{len(failures)} step{'s' * (len(failures) > 1)} failed")
    return "; ".join(parts) + "."
