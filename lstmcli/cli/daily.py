"""`lstm daily` and `lstm schedule`."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.failures import disk_once
from lstmcli.cli.screen import screen_height, wrapped
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
    say,
    say_next,
)
from lstmcli.cli.workers import Count, Executor, Scheduler, workers_of
from lstmcli.errors import ConfigError, LstmError, cause_of, shell_word

if TYPE_CHECKING:
    from lstmcli.pipeline.day import Day, TickerDay

WATCH_LIST = 30
"""Up to so many tickers every one is shown."""

ROOM = 12
"""Lines of a screen that are kept for what stands around the table."""


def daily(
    tickers: Tickers = None,
    universe: Universe = None,
    summary: Annotated[
        Path | None,
        typer.Option(
            "--summary",
            metavar="FILE",
            help="Tonight's numbers, as .json or else text. {date}: one a day.",
        ),
    ] = None,
    workers: Count = None,
    executor: Executor = None,
    scheduler: Scheduler = None,
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
    lstm daily -q --summary summaries/{date}.json
    """
    prepare(quiet=quiet)
    from lstmcli.pipeline import daily as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.report.summary import summary_table, summary_text
    from lstmcli.store import Workspace

    session = Session(Workspace(workspace))
    if summary is not None and not summary.parent.is_dir():
        raise ConfigError(
            f"Expected --summary in a folder that exists. Received: {summary}.",
            hint=f"mkdir -p {shell_word(str(summary.parent))}",
        )
    day = pipeline.daily(
        session,
        named_tickers(tickers, None),
        universe=named_tickers(None, universe),
        on_step=lambda line: say(line, quiet=quiet),
        workers=workers_of(workers, executor, scheduler),
    )
    if summary is not None:
        path = Path(str(summary).replace("{date}", day.date()))
        answer = json.dumps(day.as_dict(), indent=2, default=str, ensure_ascii=False)
        text = answer + "\n" if path.suffix == ".json" else summary_text(day.as_dict())
        session.workspace.write(path, text.encode())
    if as_json:
        print_json({"day": day.as_dict()})
    elif not quiet:
        print(summary_table(day.as_dict(), lines=_lines_of_table(len(day.tickers))), end="")
    say(f"daily {day.sentence()}", quiet=quiet)
    for note, hint in _notes(day):
        say(f"{wrapped(note)}\n  {hint}", quiet=quiet)
    for note in day.notes:
        say(wrapped(note), quiet=quiet)
    if day.report:
        say(f"report {day.report}", quiet=quiet)
    return highest(_together(day), as_json=as_json)


def _lines_of_table(tickers: int) -> int | None:
    """Return how many lines the table of an evening may have; None: as many as it needs.

    What is not read on a terminal is kept whole, and so is a watch list.
    """
    if tickers <= WATCH_LIST or not sys.stdout.isatty():
        return None
    return max(screen_height() - ROOM, 10)


def _notes(day: Day) -> list[tuple[str, str]]:
    """Return why tickers have no forecast, and what to do; what is the same comes once."""
    from lstmcli.report.wording import some

    groups: dict[str, list[TickerDay]] = {}
    for ticker in day.tickers:
        if ticker.note:
            groups.setdefault(ticker.note.replace(ticker.ticker, "…"), []).append(ticker)
    found = []
    for same in groups.values():
        first = same[0]
        names = [ticker.ticker for ticker in same]
        note = str(first.note)
        if len(same) > 1:
            note = f"{some(names)}: {note.removeprefix(f'{first.ticker}: ')}"
        found.append((note, str(first.hint)))
    return found


def _together(day: Day) -> list:
    """Return the day's errors; one that concerns many tickers comes once, with their names."""

    from lstmcli.report.wording import some

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
            cause = str(first).removeprefix(f"{ticker}: ") if len(failed) > 1 else str(first)
            first = type(first)(f"{cause} Concerns: {some(names, ' ')}.", hint=first.hint)
        errors.append(first)
    return disk_once([*errors, *day.errors])


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
    install: Annotated[
        bool, typer.Option("--install", help="Put the line into your crontab, once.")
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the line out of your crontab.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write systemd's units there."),
    ] = None,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Print what makes cron or systemd run `lstm daily`.

    After the close of the exchange, and twice more the same evening: what
    succeeded is not done again. With --install the line goes into your crontab,
    in place of the one that was there; other lines stay as they are.

    \b
    lstm schedule
    lstm schedule --install
    lstm schedule systemd --output ~/.config/systemd/user
    """
    prepare(quiet=quiet)
    _check_apart(form, calendar, install=install, remove=remove, output=output)
    from lstmcli.pipeline import crontab
    from lstmcli.pipeline import schedule as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    if remove:
        lines = crontab.remove(workspace.resolve(), universe and universe.resolve())
        print(*lines, sep="\n", end="\n" if lines else "")
        say("removed from your crontab" if lines else "your crontab has no such line", quiet=quiet)
        return 0
    session = Session(Workspace(workspace))
    plan = pipeline.plan_schedule(session, calendar=calendar, universe=universe)
    if install:
        done = crontab.install(plan)
        print(done.line)
        say("installed" if done.changed else "your crontab has this line already", quiet=quiet)
        for line in done.others:
            say(f"warning: another line of your crontab runs the same: {line}")
        return 0
    if form is Form.cron:
        print(crontab.crontab(plan), end="")
        say_next("lstm schedule --install", quiet=quiet)
        return 0
    units = pipeline.systemd_units(plan)
    for name, text in units.items():
        if output is None:
            print(f"# {name}\n{text}")
        else:
            session.workspace.write(output / name, text.encode())
            print(output / name)
    if output is not None:
        say_next("systemctl --user enable --now lstm-daily.timer", quiet=quiet)
    return 0


def _check_apart(
    form: Form, calendar: str | None, *, install: bool, remove: bool, output: Path | None
) -> None:
    """Refuse options of `lstm schedule` that cannot apply together.

    Raises:
        ConfigError: they cannot.
    """
    if form is Form.systemd and (install or remove):
        option = "--install" if install else "--remove"
        raise ConfigError(
            f"Expected {option} with cron. Received: systemd.",
            hint="lstm schedule systemd --output ~/.config/systemd/user, then systemctl",
        )
    if form is Form.cron and output is not None:
        raise ConfigError(
            "Expected --output with systemd. Received: cron.",
            hint="lstm schedule --install, or lstm schedule systemd --output FOLDER",
        )
    if remove and (install or calendar is not None):
        other = "--install" if install else "--calendar"
        raise ConfigError(
            f"Expected --remove alone. Received: {other} too.", hint="lstm schedule --remove"
        )
