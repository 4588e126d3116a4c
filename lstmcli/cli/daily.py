"""`lstm daily`, `lstm report` and `lstm schedule`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    AsJson,
    Quiet,
    Tickers,
    Universe,
    WorkspaceFolder,
    highest,
    named_tickers,
    prepare,
    print_json,
    print_table,
    say,
    say_next,
)
from lstmcli.digits import five_digits, in_words
from lstmcli.errors import LstmError

if TYPE_CHECKING:
    from lstmcli.pipeline.day import Day

SHOWN_ERRORS = 5


def daily(
    tickers: Tickers = None,
    universe: Universe = None,
    summary: Annotated[
        Path | None,
        typer.Option("--summary", metavar="FILE", help="Also as .json, or else as plain text."),
    ] = None,
    as_json: AsJson = False,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Do what every evening needs; made for cron.

    Fetch, score, forecast, write into the ledger, draw the report. No ticker:
    every stored one. A second run the same evening does what was left.

    \b
    lstm daily
    lstm daily --universe watchlist.txt -q --summary today.txt
    """
    prepare(quiet=quiet)
    from lstmcli.pipeline import daily as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    session = Session(Workspace(workspace))
    day = pipeline.daily(
        session,
        named_tickers(tickers, None),
        universe=named_tickers(None, universe),
        on_step=lambda line: say(line, quiet=quiet),
    )
    if summary is not None:
        answer = json.dumps(day.as_dict(), indent=2, default=str, ensure_ascii=False)
        text = answer if summary.suffix == ".json" else _text(day)
        session.workspace.write(summary, (text + "\n").encode())
    if as_json:
        print_json({"day": day.as_dict()})
    elif not quiet:
        _print_day(day)
    say(f"daily {day.sentence()}", quiet=quiet)
    if day.report:
        say(f"report {day.report}", quiet=quiet)
    return highest(_together(day), as_json=as_json)


def _print_day(day: Day) -> None:
    rows = []
    for ticker in day.tickers:
        session = f"{ticker.session:%Y-%m-%d}" if ticker.session is not None else ""
        median = five_digits(ticker.median) if ticker.median is not None else ""
        cone = " - ".join(map(five_digits, ticker.cone80)) if ticker.cone80 else ""
        what = f"less {in_words(ticker.declared)}" if ticker.declared else ticker.prices or ""
        rows.append([ticker.ticker, session, ticker.outcome, median, cone, what])
    print_table(["ticker", "session", "", "next median", "80 % cone", "prices"], rows, left=3)


def _text(day: Day) -> str:
    lines = [f"lstm daily {day.sentence()}"]
    lines += [f"{ticker.ticker}: {ticker.error}" for ticker in day.tickers if ticker.error]
    lines += [str(error) for error in day.errors]
    lines += [f"report: {day.report}"] if day.report else []
    return "\n".join(lines)


def _together(day: Day) -> list:
    """Return the day's errors; one that concerns many tickers comes once, with their names."""
    from lstmcli.pipeline.fetch import cause_of

    groups: dict[tuple[int, str], list[tuple[str, LstmError]]] = {}
    for ticker, error in ((ticker.ticker, ticker.error) for ticker in day.tickers):
        if error is not None:
            words = cause_of(ticker, error).replace(ticker, "…")
            # A source's answers and addresses differ from one ticker to the next.
            key = error.exit_code, words[:60] if error.exit_code in (4, 5) else words
            groups.setdefault(key, []).append((ticker, error))
    errors = []
    for failed in groups.values():
        ticker, first = failed[0]
        if len(failed) > 1 or ticker not in str(first):
            names = [ticker for ticker, _ in failed]
            shown = " ".join(names[:SHOWN_ERRORS])
            more = f" and {len(names) - SHOWN_ERRORS} more" if len(names) > SHOWN_ERRORS else ""
            first = type(first)(f"{first} Concerns: {shown}{more}.", hint=first.hint)
        errors.append(first)
    return [*errors, *day.errors]


def report(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Instead of report.html.")
    ] = None,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Draw the page of the last forecasts and their record.

    One HTML file that needs no network; more than 30 tickers get a page each.

    \b
    lstm report
    lstm report --output ~/forecasts.html
    """
    prepare(quiet=quiet)
    say("drawing …", quiet=quiet)
    from lstmcli.pipeline.day import last_day
    from lstmcli.pipeline.report import write_report
    from lstmcli.pipeline.score import score
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    session = Session(Workspace(workspace))
    day = last_day(session.workspace)
    print(write_report(session, day, score(session), output=output))
    return 0


class Form(StrEnum):
    cron = "cron"
    systemd = "systemd"


def schedule(
    form: Annotated[Form, typer.Argument(metavar="[cron|systemd]", help="Whose words.")] = (
        Form.cron
    ),
    calendar: Annotated[
        str | None,
        typer.Option("--calendar", metavar="NAME", help="Else that of the stored tickers."),
    ] = None,
    universe: Universe = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write systemd's units there."),
    ] = None,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Print what makes cron or systemd run `lstm daily`.

    It changes no crontab and starts nothing. After the close of the exchange,
    and twice more the same evening: what succeeded is not done again.

    \b
    lstm schedule
    (crontab -l; lstm schedule -q) | crontab -
    lstm schedule systemd --output ~/.config/systemd/user
    """
    prepare(quiet=quiet)
    from lstmcli.pipeline import schedule as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    session = Session(Workspace(workspace))
    plan = pipeline.plan_schedule(session, calendar=calendar, universe=universe)
    if form is Form.cron:
        print(pipeline.crontab(plan), end="")
        say_next("(crontab -l; lstm schedule -q) | crontab -", quiet=quiet)
        return 0
    units = pipeline.systemd_units(plan)
    for name, text in units.items():
        if output is None:
            print(f"# {name}\n{text}")
        else:
            session.workspace.write(output / name, text.encode())
            print(output / name)
    say_next("systemctl --user enable --now lstm-daily.timer", quiet=quiet)
    return 0
