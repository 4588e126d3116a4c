"""`lstm --describe`: every command, option, default and exit code as JSON, for scripts."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from lstmcli.errors import EXIT_CODES
from lstmcli.version import __version__

EVERYWHERE = [
    {"flags": ["--help", "-h"], "help": "Show the help of a command and exit."},
    {"flags": ["--debug"], "help": "Show the traceback of what failed."},
]
"""Options that every command takes, and that none of them lists."""

ENVIRONMENT = {
    "LSTM_WORKSPACE": "where everything is kept, unless --workspace says so",
    "LSTM_NOW": "the clock: ISO with zone, as 2024-03-08T18:00-05:00",
    "LSTM_SEC_CONTACT": "your mail address; without it the SEC is not asked",
    "NO_COLOR": "no colours",
}
"""Variables that commands read, with what they do."""


def describe(app: Any) -> dict[str, Any]:
    """Return the whole command line, read off the parsers themselves.

    Args:
        app: the command that Typer makes of the app.
    """
    return {
        "name": "lstm",
        "version": __version__,
        "options": [_option(parameter) for parameter in app.params],
        "everywhere": EVERYWHERE,
        "commands": [_command(words, command) for words, command in _below(app, ())],
        "exit_codes": {str(code): meaning for code, meaning in EXIT_CODES.items()},
        "environment": ENVIRONMENT,
    }


def _below(group: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield what can be run below a group, with the words that run it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _below(command, (*words, name))
        else:
            yield (*words, name), command


def _command(words: tuple[str, ...], command: Any) -> dict[str, Any]:
    text, _, examples = inspect.cleandoc(command.help or "").partition("\b\n")
    kinds: dict[str, list[Any]] = {"argument": [], "option": []}
    for parameter in command.params:
        kinds[parameter.param_type_name].append(parameter)
    return {
        "command": " ".join(words),
        "help": " ".join(text.split()),
        "examples": re.findall(r"^ *(lstm .*)$", examples, re.MULTILINE),
        "arguments": [_argument(parameter) for parameter in kinds["argument"]],
        "options": [_option(parameter) for parameter in kinds["option"]],
    }


def _argument(parameter: Any) -> dict[str, Any]:
    return {
        "name": parameter.metavar or parameter.name.upper(),
        **_type(parameter),
        "required": parameter.required,
        "repeatable": parameter.nargs == -1,
        "default": _default(parameter),
        "help": parameter.help,
    }


def _option(parameter: Any) -> dict[str, Any]:
    return {
        "flags": list(parameter.opts),
        "takes_value": not parameter.is_flag,
        "value": None if parameter.is_flag else parameter.metavar,
        **_type(parameter),
        "required": parameter.required,
        "repeatable": parameter.multiple,
        "default": _default(parameter),
        "environment": parameter.envvar,
        "help": parameter.help,
    }


def _type(parameter: Any) -> dict[str, Any]:
    """Return what a value has to be: its type, what there is to choose from, its bounds."""
    choices = parameter.type_descriptor.choices if parameter.type_descriptor.is_choice else None
    return {
        "type": "choice" if choices else parameter.bare_type().lower(),
        "choices": [getattr(choice, "value", choice) for choice in choices] if choices else None,
        "min": parameter.min,
        "max": parameter.max,
    }


def _default(parameter: Any) -> Any:
    """Return a default as JSON takes it; None is none, or that the command finds it out."""
    default = parameter.default
    return default if isinstance(default, bool | int | float | None) else str(default)
