"""Report: the page of the day, from the ledger, the bars and the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lstmcli import charts, clock
from lstmcli.errors import LstmError, NoDataError
from lstmcli.pipeline.day import LEFT_OUT, NOT_TRAINED, TOO_YOUNG, last_day
from lstmcli.pipeline.plot import check_folder
from lstmcli.pipeline.predict import Failure, Prediction, predict
from lstmcli.pipeline.report_record import record_of
from lstmcli.pipeline.report_sections import error_sentence, section_of
from lstmcli.pipeline.score import Live, score
from lstmcli.pipeline.session import Session
from lstmcli.report.page import Page, Section, render
from lstmcli.store import Workspace
from lstmcli.store.files import file_name
from lstmcli.version import __version__

MAX_IN_ONE_PAGE = 30
"""Tickers with their charts in one page, about 3 MB; more get a page each beside an index."""


_NEXT_REPORT = 4
"""Where the next report stands in a row of the overview; left out where none is known."""


def report_now(session: Session, *, output: Path | None = None) -> tuple[Path, list[Failure]]:
    """Write the page with what is known now, a ledger or not.

    Tickers that were never issued show what the newest run that knows them forecasts, or the
    run that ships.

    Returns:
        The page, and the tickers that could not be forecast, of which no evening has told.

    Raises:
        ConfigError: the folder of `output` does not exist.
        NoDataError: nothing was issued, and there are no bars.
        DataError: the ledger is damaged.
        DiskError: no space, or not writable; the page that was there remains.
    """
    if output is not None:
        check_folder(output)
    workspace = session.workspace
    day = last_day(workspace)
    live = _record(session)
    issued = live.tickers if live else ()
    left = [ticker for ticker in workspace.bars.tickers() if ticker not in issued]
    predictions, failures = predict(session, left) if left or not issued else ([], [])
    # What the last evening said of a ticker stands on the page already.
    told = {outcome["ticker"] for outcome in (day or {}).get("tickers", [])}
    failures = [failure for failure in failures if failure.ticker not in told]
    made = {prediction.ticker: prediction for prediction in predictions}
    failed = {failure.ticker: str(failure.error) for failure in failures}
    path = write_report(session, day, live, output=output, unissued=made, failed=failed)
    return path, failures


def _record(session: Session) -> Live | None:
    """Return the record of what was issued; None where nothing was."""
    if not session.workspace.ledger.exists():
        return None
    try:
        return score(session)
    except NoDataError:
        return None


def write_report(
    session: Session,
    day: Mapping[str, Any] | None,
    live: Live | None,
    *,
    output: Path | None = None,
    unissued: Mapping[str, Prediction] | None = None,
    failed: Mapping[str, str] | None = None,
) -> Path:
    """Write the page, and with many tickers a page for each beside it; return the first.

    Args:
        day: what `lstm daily` wrote about itself; None: the page shows no failures.
        unissued: forecasts of tickers that the ledger does not have.
        failed: why tickers have none.

    Raises:
        DiskError: no space, or not writable; the page that was there remains.
    """
    workspace = session.workspace
    path = output or workspace.report
    folder = workspace.pages if output is None else output.with_suffix("")
    outcomes = {outcome["ticker"]: outcome for outcome in (day or {}).get("tickers", [])}
    outcomes |= {
        ticker: {"outcome": "failed", "error": error} for ticker, error in (failed or {}).items()
    }
    known = live.tickers if live else ()
    made = unissued or {}
    sections = []
    for ticker in dict.fromkeys([*outcomes, *known, *made]):
        own = live.only(ticker) if live and ticker in known else None
        sections.append(section_of(session, ticker, own, outcomes.get(ticker), made.get(ticker)))
    if not any(section.line[_NEXT_REPORT] for section in sections):
        for section in sections:
            section.line = section.line[:_NEXT_REPORT] + section.line[_NEXT_REPORT + 1 :]
    # What needs a look comes first.
    sections.sort(key=lambda of: (not of.failed, not of.stale, of.ticker))
    page = _page(workspace, day, live, sections)
    if len(sections) > MAX_IN_ONE_PAGE:
        for section in sections:
            name = f"{file_name(section.ticker)}.html"
            single = _page(workspace, day, None, [section], back=f"../{path.name}")
            workspace.write(folder / name, render(single).encode())
            section.link = f"{folder.name}/{name.replace('%', '%25')}"
    workspace.write(path, render(page).encode())
    return path


def _page(
    workspace: Workspace,
    day: Mapping[str, Any] | None,
    live: Live | None,
    sections: list[Section],
    *,
    back: str | None = None,
) -> Page:
    made = clock.now()
    failures = [] if back else [error_sentence(error) for error in (day or {}).get("errors", [])]
    facts = [("made by", f"lstm {__version__}, {made:%Y-%m-%d %H:%M} UTC")]
    try:
        if workspace.ledger.exists():
            facts.append(("ledger head", workspace.ledger.head()))
    except LstmError as error:
        facts.append(("ledger", str(error)))
    remarks, tables = ([], []) if live is None else record_of(live)
    names = [section.ticker for section in sections]
    title = f"Forecast of {names[0]}" if len(names) == 1 else f"Forecasts of {len(names)} tickers"
    return Page(
        title=title,
        made=f"Made {made:%A %d %B %Y, %H:%M} UTC",
        sentence=_sentence(sections, failures),
        overview_head=_overview_head(sections),
        sections=sections,
        colours=charts.SCHEMES,
        failures=failures,
        tables=tables if len(names) > 1 else [],
        remarks=remarks if len(names) > 1 else [],
        facts=facts,
        back=back,
    )


def _overview_head(sections: Sequence[Section]) -> tuple[str, ...]:
    """Return the heads of the overview after the name and the small cone of a ticker."""
    horizons = {section.horizon for section in sections if section.horizon}
    end = f"in {max(horizons)} sessions" if len(horizons) == 1 else "at the last step"
    # A share and its sign stay on one line.
    share = "80\N{NO-BREAK SPACE}%"
    head = (
        f"next close, {share}",
        f"{end}, {share}",
        "last close",
        "made on",
        "next report",
        "held so far",
        "today",
    )
    dated = all(len(section.line) == len(head) for section in sections)
    return head if dated else head[:_NEXT_REPORT] + head[_NEXT_REPORT + 1 :]


def _sentence_of_one(section: Section) -> str:
    if section.failed:
        return "Today's forecast failed."
    if section.stale:
        return "The forecast is stale."
    if section.line[-1] == NOT_TRAINED:
        return "No run knows it yet."
    if section.line[-1] == TOO_YOUNG:
        return "It has too few sessions yet."
    if section.line[-1] == LEFT_OUT:
        return "Its sample data has ended."
    return "The forecast is up to date."


def _sentence(sections: list[Section], failures: list[str]) -> str:
    """Return the first sentence of the page: how many forecasts are up to date."""
    failed = [section.ticker for section in sections if section.failed]
    stale = [section.ticker for section in sections if section.stale and not section.failed]
    waiting = [section.ticker for section in sections if section.line[-1] == NOT_TRAINED]
    young = [section.ticker for section in sections if section.line[-1] == TOO_YOUNG]
    ended = [section.ticker for section in sections if section.line[-1] == LEFT_OUT]
    fresh = len(sections) - len(failed) - len(stale) - len(waiting) - len(young) - len(ended)
    if len(sections) == 1 and not failures:
        return _sentence_of_one(sections[0])
    parts = [f"{fresh} of {len(sections) - len(ended)} forecasts are up to date"]
    for what, tickers in (
        ("failed today", failed),
        ("stale", stale),
        ("not trained yet", waiting),
        ("too young", young),
        ("left out", ended),
    ):
        if tickers:
            more = f" and {len(tickers) - 5} more" if len(tickers) > 5 else ""
            parts.append(f"{what}: {', '.join(tickers[:5])}{more}")
    if failures:
        parts.append(f"{len(failures)} step{'s' * (len(failures) > 1)} failed")
    return "; ".join(parts) + "."
