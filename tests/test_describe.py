"""`lstm --describe` against the parsers, the help, and what commands really do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
import typer
from command import Lstm, check_parses, commands

from lstmcli import errors
from lstmcli.cli import app

pytestmark = pytest.mark.process


@pytest.fixture
def described(lstm: Lstm) -> dict[str, Any]:
    answer = lstm("--describe")
    assert (answer.code, answer.err) == (0, "")
    return json.loads(answer.out)


def parser_of(command: str) -> Any:
    """Return the parser of a command by its words."""
    parser = typer.main.get_command(app)
    for word in command.split():
        parser = parser.commands[word]
    return parser


def test_every_command_is_described_and_no_other(described):
    groups = {words[:-1] for words in commands() if words}
    leaves = [" ".join(words) for words in commands() if words and words not in groups]
    assert [each["command"] for each in described["commands"]] == leaves
    for each in described["commands"]:
        assert each["help"]
        for example in each["examples"]:
            check_parses(re.split(r"   +| \|\|? | > ", example)[0])


def test_every_option_is_what_the_help_shows(described, lstm: Lstm):
    everywhere = {flag for each in described["everywhere"] for flag in each["flags"]}
    for each in [*described["commands"], {"command": "", **described}]:
        shown = lstm(*each["command"].split(), "--help").out.partition("\nOptions:\n")[2]
        lines = re.findall(r"^  ((?:-\w, )?--[a-z-]+)", shown, re.MULTILINE)
        flags = {flag for line in lines for flag in line.split(", ")}
        told = {flag for option in each["options"] for flag in option["flags"]}
        assert told == flags - everywhere, each["command"]


def line_of(each: dict[str, Any]) -> list[str]:
    """Return what a command cannot do without."""
    needed = [argument["name"] for argument in each["arguments"] if argument["required"]]
    for option in each["options"]:
        needed += [option["flags"][0], *value_of(option)] if option["required"] else []
    return needed


def value_of(option: dict[str, Any]) -> list[str]:
    if not option["takes_value"]:
        return []
    if option["choices"]:
        return option["choices"][-1:]
    return ["1" if option["type"] == "int" else "x"]


def test_the_parsers_take_what_is_described_with_its_defaults(described):
    for each in described["commands"]:
        parser, needed = parser_of(each["command"]), line_of(each)
        values = parser.make_context("lstm", list(needed)).params
        names = {flag: p.name for p in parser.params for flag in p.opts}
        for argument, parameter in zip(
            each["arguments"],
            [p for p in parser.params if p.param_type_name == "argument"],
            strict=True,
        ):
            if not argument["required"]:
                check_default(argument["default"], values[parameter.name])
        for option in each["options"]:
            if not option["required"]:
                check_default(option["default"], values[names[option["flags"][0]]])
            for flag in option["flags"]:
                line = [*needed, flag, *value_of(option)]
                given = parser.make_context("lstm", line).params[names[flag]]
                assert given not in (None, option["default"]), (each["command"], flag)
                assert isinstance(given, list) == option["repeatable"]
            if option["min"] is not None:
                with pytest.raises(typer.BadParameter):
                    parser.make_context("lstm", [*needed, flag, str(option["min"] - 1)])


def check_default(told: Any, real: Any) -> None:
    real = getattr(real, "value", real) if real != () else None
    assert told == (real if isinstance(real, bool | int | float | None) else str(real))


def test_every_exit_code_is_that_of_an_error(described):
    def below(kind: type) -> set[int]:
        return {kind.exit_code}.union(*map(below, kind.__subclasses__()))

    codes = {int(code) for code in described["exit_codes"]}
    assert codes == below(errors.LstmError) | {0, 130}
    for code, meaning in described["exit_codes"].items():
        assert re.search(rf"\b{code}  {re.escape(meaning)}", app.info.help)


def test_a_description_loads_nothing_heavy():
    script = """
import sys
from lstmcli.cli import run
assert run(["--describe"]) == 0
assert not {"numpy", "pandas", "tensorflow", "rich"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
