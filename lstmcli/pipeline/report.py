"""Report: the page of the day, from the ledger, the bars and the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lstmcli import charts, clock
from lstmcli.errors import ConfigError, LstmError, NoDataError
from lstmcli.frames import small_tables
from lstmcli.pipeline.day import LEFT_OUT, NOT_TRAINED, TOO_YOUNG, last_day
from lstmcli.pipeline.plot import check_folder
from lstmcli.pipeline.predict import predict
from lstmcli.pipeline.prediction import Failure, Prediction
from lstmcli.pipeline.report_record import record_of
from lstmcli.pipeline.report_sections import error_sentence, section_of, sentence_of_one
from lstmcli.pipeline.report_universe import lines_of, write_pages
from lstmcli.pipeline.score import Live, score, score_all
from lstmcli.pipeline.session import Session
from lstmcli.report.page import Page, Section, render
from lstmcli.report.universe import Line, Universe, render_universe
from lstmcli.store import Workspace
from lstmcli.store.files import check_ticker
from lstmcli.version import __version__

WITH_CHARTS = 10
"""Tickers whose charts are drawn unasked, in one page; more get a page each beside an index.
The charts of one take a second and more."""

MAX_IN_ONE_PAGE = 30
"""Tickers that may be named for a page with their charts, about 3 MB."""

_MADE_ON, _NEXT_REPORT = 3, 4
"""Where these stand in a row of the overview. The report is left out where none is known."""


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


def report_on(
    session: Session, tickers: Sequence[str], *, output: Path | None = None
) -> tuple[Path, list[Failure]]:
    """Write a page of some tickers with their charts; the page of all of them stays.

    Returns:
        The page, and the tickers that could not be forecast.

    Raises:
        ConfigError: the folder of `output` does not exist, or there are too many tickers.
        DataError: the ledger is damaged.
        DiskError: no space, or not writable; the page that was there remains.
    """
    if output is not None:
        check_folder(output)
    tickers = list(dict.fromkeys(map(check_ticker, tickers)))
    if len(tickers) > MAX_IN_ONE_PAGE:
        raise ConfigError(
            f"Expected at most {MAX_IN_ONE_PAGE} tickers in a page. Received: {len(tickers)}.",
            hint="lstm report, which has a page for each",
        )
    ledger, day = session.workspace.ledger, last_day(session.workspace) or {}
    issued = [ticker for ticker in tickers if ledger.knows(ticker)]
    left = [ticker for ticker in tickers if ticker not in issued]
    live = score(session, issued) if issued else None
    predictions, failures = predict(session, left) if left else ([], [])
    outcomes = {of["ticker"]: of for of in day.get("tickers", []) if of["ticker"] in tickers}
    for failure in failures:
        outcomes[failure.ticker] = {"outcome": "failed", "error": str(failure.error)}
    made = {prediction.ticker: prediction for prediction in predictions}
    content = _watch_list(session, None, live, tickers, outcomes, made)
    path = output or session.workspace.named_report
    session.workspace.write(path, content.encode())
    return path, failures


def _record(session: Session) -> Live | None:
    """Return the record of what was issued; None where nothing was."""
    if not session.workspace.ledger.exists():
        return None
    try:
        return score_all(session)
    except NoDataError:
        return None


@small_tables
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
    path = output or session.workspace.report
    folder = session.workspace.pages if output is None else output.with_suffix("")
    outcomes = {outcome["ticker"]: outcome for outcome in (day or {}).get("tickers", [])}
    outcomes |= {
        ticker: {"outcome": "failed", "error": error} for ticker, error in (failed or {}).items()
    }
    made = unissued or {}
    tickers = list(dict.fromkeys([*outcomes, *(live.tickers if live else ()), *made]))
    if len(tickers) > WITH_CHARTS:
        lines = lines_of(session, tickers, live, outcomes, made)
        content = _universe(session.workspace, day, live, lines, folder, back=f"../{path.name}")
    else:
        # Charts of a few tickers show their forecasts one by one.
        rows = score(session) if live else None
        content = _watch_list(session, day, rows, tickers, outcomes, made)
    session.workspace.write(path, content.encode())
    return path


def _watch_list(
    session: Session,
    day: Mapping[str, Any] | None,
    live: Live | None,
    tickers: Sequence[str],
    outcomes: Mapping[str, Mapping[str, Any]],
    made: Mapping[str, Prediction],
) -> str:
    """Return one page with the charts of every ticker."""
    known = live.tickers if live else ()
    sections = []
    for ticker in tickers:
        own = live.only(ticker) if live and ticker in known else None
        sections.append(section_of(session, ticker, own, outcomes.get(ticker), made.get(ticker)))
    _leave_out_reports(sections)
    # What needs a look comes first.
    sections.sort(key=lambda of: (not of.failed, not of.stale, of.ticker))
    several = len(sections) > 1
    remarks, tables = record_of(live) if live and several else ([], [])
    names = [section.ticker for section in sections]
    failures = _failures(day)
    return render(
        Page(
            title=_title(names),
            made=_made(),
            sentence=_sentence(sections, failures),
            overview_head=_overview_head(sections),
            sections=sections,
            colours=charts.SCHEMES,
            failures=failures,
            tables=tables,
            remarks=remarks,
            facts=_facts(session.workspace),
        )
    )


def _universe(
    workspace: Workspace,
    day: Mapping[str, Any] | None,
    live: Live | None,
    lines: Sequence[Line],
    folder: Path,
    *,
    back: str,
) -> str:
    """Write a page for each ticker, and return the index of them."""
    sections = [line.section for line in lines]
    _leave_out_reports(sections)
    head = _overview_head(sections)
    dates = [section.line[_MADE_ON] for section in sections if section.line[_MADE_ON]]
    usual = max(set(dates), key=dates.count) if dates else ""
    write_pages(lines, folder, back=back, made_by=f"lstm {__version__}")
    for section in sections:
        _tell_made_on(section, usual)
    failures = _failures(day)
    remarks, tables = record_of(live) if live else ([], [])
    return render_universe(
        Universe(
            title=_title([section.ticker for section in sections]),
            made=_made() + (f", from the closes of {usual}" if usual else ""),
            sentence=_sentence(sections, failures),
            overview_head=head[:_MADE_ON] + head[_MADE_ON + 1 :],
            lines=lines,
            colours=charts.SCHEMES,
            failures=failures,
            tables=tables,
            remarks=remarks,
            facts=_facts(workspace),
        )
    )


def _tell_made_on(section: Section, usual: str) -> None:
    """Leave out the day of a forecast where it is that of the others, else tell it with today."""
    *before, today = section.line
    made_on = before.pop(_MADE_ON)
    apart = bool(made_on) and made_on != usual
    section.line = (*before, f"{today}, made on {made_on}" if apart else today)


def _leave_out_reports(sections: Sequence[Section]) -> None:
    """Leave the next report out of the overview where none is known."""
    if not any(section.line[_NEXT_REPORT] for section in sections):
        for section in sections:
            section.line = section.line[:_NEXT_REPORT] + section.line[_NEXT_REPORT + 1 :]


def _failures(day: Mapping[str, Any] | None) -> list[str]:
    return [error_sentence(error) for error in (day or {}).get("errors", [])]


def _title(names: Sequence[str]) -> str:
    return f"Forecast of {names[0]}" if len(names) == 1 else f"Forecasts of {len(names)} tickers"


def _made() -> str:
    return f"Made {clock.now():%A %d %B %Y, %H:%M} UTC"


def _facts(workspace: Workspace) -> list[tuple[str, str]]:
    facts = [("made by", f"lstm {__version__}, {clock.now():%Y-%m-%d %H:%M} UTC")]
    try:
        if workspace.ledger.exists():
            facts.append(("ledger head", workspace.ledger.head()))
    except LstmError as error:
        facts.append(("ledger", str(error)))
    return facts


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


def _sentence(sections: list[Section], failures: list[str]) -> str:
    """Return the first sentence of the page: how many forecasts are up to date."""
    failed = [section.ticker for section in sections if section.failed]
    stale = [section.ticker for section in sections if section.stale and not section.failed]
    waiting = [section.ticker for section in sections if section.line[-1] == NOT_TRAINED]
    young = [section.ticker for section in sections if section.line[-1] == TOO_YOUNG]
    ended = [section.ticker for section in sections if section.line[-1] == LEFT_OUT]
    fresh = len(sections) - len(failed) - len(stale) - len(waiting) - len(young) - len(ended)
    if len(sections) == 1 and not failures:
        return sentence_of_one(sections[0])
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
