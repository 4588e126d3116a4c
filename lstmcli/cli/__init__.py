"""The command line: parse, hand over to `pipeline`, print. The only prints, the only exit codes."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
from itertools import zip_longest
from typing import Annotated

import typer

from lstmcli.cli import (
    archive,
    audit,
    backtest,
    backup,
    configs,
    daily,
    events,
    explain,
    fetch,
    ledger,
    log,
    plot,
    predict,
    prune,
    remove,
    runs,
    status,
    train,
)
from lstmcli.cli import report as report_page
from lstmcli.cli.describe import ENVIRONMENT, describe
from lstmcli.cli.terminal import (
    INTERRUPTED,
    interrupts,
    need_command,
    print_json,
    report,
    say,
    show_traceback,
)
from lstmcli.errors import EXIT_CODES
from lstmcli.version import __version__

EPILOG = """
Forecast stocks with LSTM networks, and say how sure the forecast is.

\b
  lstm predict MRK      bars from Yahoo into ./data, then the next sessions
  lstm plot MRK         the same as a picture
  lstm fetch MRK        new bars
  lstm train MRK        a network of your own, scored beside baselines
  lstm backtest MRK     is it better than a random walk?
  lstm daily            all that, every evening, by cron

Results go to stdout, everything else to stderr. Every command takes --debug,
which shows the traceback of what failed. lstm --describe prints every command
as JSON. Not investment advice.

\b
Exit codes:
{exit_codes}
Several tickers: the highest code, and the others' work is kept.

\b
Environment:
{environment}
"""


def _exit_codes() -> str:
    """Return the exit codes in two columns."""
    cells = [f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items()]
    half = (len(cells) + 1) // 2
    pairs = zip_longest(cells[:half], cells[half:], fillvalue="")
    return "\n".join(f"{left:<39}{right}".rstrip() for left, right in pairs)


def _environment() -> str:
    return "\n".join(f"    {name:<16}  {meaning}" for name, meaning in ENVIRONMENT.items())


app = typer.Typer(
    name="lstm",
    help=EPILOG.format(exit_codes=_exit_codes(), environment=_environment()),
    add_completion=False,
    invoke_without_command=True,
    # Rich would take as long to import as everything else together.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def _describe(context: typer.Context, wanted: bool) -> None:
    if wanted:
        print_json(describe(context.command))
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    describe: Annotated[
        bool,
        typer.Option(
            "--describe", callback=_describe, is_eager=True, help="Print every command as JSON."
        ),
    ] = False,
) -> None:
    del version, describe
    need_command(context)


app.command("fetch")(fetch.fetch)
app.command("train")(train.train)
app.command("predict")(predict.predict)
app.command("plot")(plot.plot)
app.command("backtest")(backtest.backtest)
app.command("audit")(audit.audit)
app.command("daily")(daily.daily)
app.command("score")(ledger.score)
app.command("report")(report_page.report)
app.command("schedule")(daily.schedule)
ledger.ledger.command("archive")(archive.archive)
app.add_typer(ledger.ledger, name="ledger")
app.add_typer(events.events, name="events")
app.command("remove")(remove.remove)
app.command("prune")(prune.prune)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("status")(status.status)
app.command("log")(log.log)
app.add_typer(runs.runs, name="runs")
app.command("models")(configs.models)
app.command("explain")(explain.explain)
app.command("doctor")(status.doctor)
app.command("init")(configs.init)
app.add_typer(configs.config, name="config")


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    as_json = "--json" in arguments
    # Every command takes --debug, and none has a use for it.
    debug = show_traceback.set("--debug" in arguments)
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        with interrupts():
            code = app(args=arguments, prog_name="lstm", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except KeyboardInterrupt:
        say("stopped")
        return INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # The reader has seen enough, as in `lstm runs | head -1`: Typer exits where it
        # notices first.
        sys.stdout = None
        return 0
    except Exception as error:
        return report(error, as_json=as_json)
    finally:
        show_traceback.reset(debug)


def main() -> None:
    """Run `lstm` and exit.

    What Python has registered for its exit is run; destructors of C++ libraries are not. Arrow's
    have aborted a process that had done its work, whose exit code was then -6.

    Garbage is collected rarely: a tenth of a short command was spent on looking for it.
    """
    gc.set_threshold(50_000, 20, 100)
    code = run(sys.argv[1:])
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # none, or closed
            stream.flush()
    os._exit(code)
