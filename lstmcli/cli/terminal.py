"""What every command shares: options, streams, errors and exit codes."""

from __future__ import annotations

import difflib
import errno
import json
import logging
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lstmcli.cli.screen import painted, screen_width, table_lines
from lstmcli.cli.universe import read_universe
from lstmcli.errors import ConfigError, DiskError, LstmError

BUG = LstmError.exit_code
INTERRUPTED = 130

SCHEMA = 2
"""Version of every `--json` answer; it changes when a key changes its meaning."""

DISCLAIMER = "Scores are of returns with dividends. Not investment advice."

Tickers = Annotated[
    list[str] | None, typer.Argument(metavar="TICKER", help="Such as MRK, BRK-B, BTC-USD.")
]
Universe = Annotated[
    Path | None,
    typer.Option("--universe", metavar="FILE", help="Tickers from a file: one a line, # comments."),
]
WorkspaceFolder = Annotated[
    Path,
    typer.Option("--workspace", envvar="LSTM_WORKSPACE", help="Where everything is kept."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors and results.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and errors as JSON too.")]
Config = Annotated[
    str, typer.Option("--config", "-c", metavar="FILE", help="A path, or a name: lstm models.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting: --set model.units=64."),
]


def check_name_given(option: typer.CallbackParam, name: str | None) -> str | None:
    """Return the name that an option was given; refuse an empty one, or the next option.

    An empty variable of a script must not mean the newest.
    """
    if name is not None and (not name.strip() or name.startswith("-")):
        received = name.strip() or "none"
        listing = "lstm runs" if option.name == "run" else "lstm backtest --list"
        raise ConfigError(
            f"Expected {option.opts[0]} with a name. Received: {received}.",
            hint=f"{listing} lists all",
        )
    return name


Run = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="RUN",
        callback=check_name_given,
        help="Instead of the newest: a name of lstm runs, its beginning, or pretrained.",
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="DATE", help="Forecast from the last session up to a date."),
]

DEFAULT_WORKSPACE = Path("data")

INDENTED = 50
"""Items of a list of JSON that are indented; nobody reads more."""

_COLOURS = {"error": "red", "warning": "yellow"}


show_traceback: ContextVar[bool] = ContextVar("show_traceback", default=False)
"""Whether `--debug` was given. An error may come before any command runs."""


def say(text: str, *, quiet: bool = False) -> None:
    """Print a line about progress to stderr; `error:` is red and `warning:` yellow there."""
    if not quiet:
        kind, colon, rest = text.partition(":")
        if colon and kind in _COLOURS:
            text = painted(f"{kind}:", _COLOURS[kind], sys.stderr) + rest
        print(text, file=sys.stderr, flush=True)


def say_next(command: str, *, quiet: bool) -> None:
    """Print the next step, to a person at a terminal only."""
    if sys.stderr.isatty():
        say(f"next: {command}", quiet=quiet)


def print_json(answer: dict[str, Any]) -> None:
    """Print an answer with its schema version to stdout; its texts hold no line breaks.

    It is indented, but of a list of more than `INDENTED` items each stands on one line.
    """
    content = {"schema": SCHEMA, **answer}
    text = _json(content)
    if r"\n" in text:
        text = _json(_on_one_line(content))
    print(text)


def _json(content: dict[str, Any]) -> str:
    if not any(_is_long(value) for value in content.values()):
        return _dumps(content, indent=2)
    members = [
        f"{_dumps(key)}: {_lines(value) if _is_long(value) else _dumps(value)}"
        for key, value in content.items()
    ]
    return "{\n" + ",\n".join(members) + "\n}"


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and len(value) > INDENTED


def _lines(items: Sequence[Any]) -> str:
    """Return a list with an item a line: indented it takes ten times as long to write."""
    return "[\n" + ",\n".join(map(_dumps, items)) + "\n]"


def _dumps(value: Any, *, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, default=str, allow_nan=False)


def _on_one_line(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(value.split()) if "\n" in value else value
    if isinstance(value, Mapping):
        return {key: _on_one_line(of) for key, of in value.items()}
    if isinstance(value, list | tuple):
        return [_on_one_line(of) for of in value]
    return value


def print_table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: int = 1,
    may_cut: Collection[int] = (),
) -> None:
    """Print a table that fits the terminal; see `table_lines`.

    Elsewhere than on a terminal a row is one line, whatever its width.
    """
    fits = sys.stdout.isatty() or "COLUMNS" in os.environ
    width = screen_width() if fits else None
    for line in table_lines(head, rows, left=left, may_cut=may_cut, width=width):
        print(line)


def named_tickers(tickers: Sequence[str] | None, universe: Path | None) -> list[str]:
    """Return the tickers of the command line and of the universe file, in capitals, once each.

    Raises:
        ConfigError: the file cannot be read, or names no ticker.
    """
    named = [*(tickers or []), *([] if universe is None else read_universe(universe))]
    return list(dict.fromkeys(ticker.upper() for ticker in named))


def check_one(given: Mapping[str, object]) -> None:
    """Check that at most one of some options was given, which cannot go together.

    Raises:
        ConfigError: several were.
    """
    chosen = [name for name, value in given.items() if value]
    if len(chosen) > 1:
        raise ConfigError(
            f"Expected one of {', '.join(given)}. Received: {' and '.join(chosen)}.",
            hint=f"leave out all but one, such as {chosen[0]}",
        )


def parse_day(text: str | None, option: str) -> Any:
    """Return a date of the command line as a `datetime.date`, or None.

    Raises:
        ConfigError: it is not an ISO date.
    """
    from datetime import date

    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"Expected {option} as YYYY-MM-DD. Received: {text!r}.", hint=f"{option} 2016-12-30"
        ) from error


def need_command(context: typer.Context) -> None:
    """Show the help and exit with 2 where a command is missing, as in `lstm` alone."""
    if context.invoked_subcommand is None:
        say(context.get_help())
        raise typer.Exit(ConfigError.exit_code)


def prepare(*, quiet: bool = False) -> None:
    """Send warnings of the package to stderr, as one line each."""
    root = logging.getLogger("lstmcli")
    root.handlers = [_Warnings()]
    root.setLevel(logging.ERROR if quiet else logging.WARNING)
    root.propagate = False


class ListsByDefault(TyperGroup):
    """Reads `lstm runs` and `lstm runs --json` as `lstm runs list …`."""

    def parse_args(self, context: Any, arguments: list[str]) -> list[str]:
        if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
            arguments = ["list", *arguments]
        return super().parse_args(context, arguments)


class ListsTickers(ListsByDefault):
    """Reads `lstm events MRK` as `lstm events list MRK`, too; `lstm events fetc` is a mistake."""

    def parse_args(self, context: Any, arguments: list[str]) -> list[str]:
        first = arguments[0] if arguments else "-"
        if first[:1] != "-" and not difflib.get_close_matches(first, self.commands, n=1):
            arguments = ["list", *arguments]
        return super().parse_args(context, arguments)


class _Warnings(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(f"{record.levelname.lower()}: {record.getMessage()}")


@contextmanager
def interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt for every error that Ctrl-C has caused.

    Ctrl-C inside a C function, such as a conversion to an array, comes out as a
    SystemError with the KeyboardInterrupt as its cause.
    """
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, KeyboardInterrupt):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        raise KeyboardInterrupt from error


def report(error: Exception, *, as_json: bool) -> int:
    """Print an error with its hint to stderr and return the exit code."""
    if show_traceback.get():
        import traceback

        traceback.print_exception(error)
    known = _known(error)
    message, hint, code = (
        (str(known), known.hint, known.exit_code)
        if known
        else (
            f"unexpected {type(error).__name__}: {error}",
            "this is a bug; --debug shows where",
            BUG,
        )
    )
    if as_json:
        answer = {"schema": SCHEMA, "error": message, "hint": hint, "exit_code": code}
        print(json.dumps(_on_one_line(answer)), file=sys.stderr)
        return code
    say(f"error: {message}")
    if hint:
        say(f"\nhint: {hint}")
    return code


def _known(error: Exception) -> LstmError | None:
    if isinstance(error, LstmError):
        return error
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
        return DiskError(f"{error.filename or 'a file'}: {os.strerror(error.errno)}.")
    if isinstance(error, typer.TyperException):
        message = error.format_message()
        # Of a usage error it is known in which command it was made.
        context = getattr(error, "ctx", None)
        command, lists = "lstm", "commands and options"
        if context is not None:
            command = context.command_path
            if not isinstance(context.command, TyperGroup):
                lists = "arguments and options"
        return ConfigError(message, hint=f"{command} --help lists {lists}")
    return None


def highest(errors: Iterable[LstmError], *, as_json: bool = False) -> int:
    """Print each ticker's error and return the highest exit code, 0 without errors.

    What fails for several tickers in the same words, such as a damaged run, is said once.
    """
    distinct = {(error.exit_code, str(error)): error for error in reversed([*errors])}
    return max(
        (report(error, as_json=as_json) for error in reversed(distinct.values())),
        default=0,
    )
