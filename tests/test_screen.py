"""The screen: widths, tables, colours, JSON without line breaks, stages."""

from __future__ import annotations

import io
import json

import pytest

from lstmcli.cli.screen import cut, painted, screen_width, spinner, table_lines, wrapped
from lstmcli.cli.terminal import SCHEMA, print_json, print_table

HEAD = ["name", "a", "b", "c"]
ROWS = [["first one", "1.00", "2", "three"], ["x", "10.00", "22", "4"]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_table_that_fits_is_one():
    assert table_lines(HEAD, ROWS, width=80) == [
        "name           a   b      c",
        "first one   1.00   2  three",
        "x          10.00  22      4",
    ]


def test_a_table_that_is_too_wide_goes_on_below():
    assert table_lines(HEAD, ROWS, width=20) == [
        *("name           a   b", "first one   1.00   2", "x          10.00  22"),
        *("", "name           c", "first one  three", "x              4"),
    ]
    assert table_lines(HEAD, ROWS, width=5)[:3] == table_lines(HEAD[:2], [r[:2] for r in ROWS])


def test_a_column_that_may_be_cut_ends_in_an_ellipsis():
    head, rows = ["run", "tickers"], [["1", "AAPL MSFT GOOG AMZN"], ["2", "MRK"]]
    lines = table_lines(head, rows, left=2, may_cut=[1], width=15)
    assert lines == ["run  tickers", "1    AAPL MSFT…", "2    MRK"]
    assert cut("abcd", 4) == "abcd"
    assert cut("abcde", 4) == "abc…"


def test_off_a_terminal_a_row_is_one_line(capsys, monkeypatch):
    wide = ["x", "y" * 40, "z" * 45]
    monkeypatch.delenv("COLUMNS", raising=False)
    print_table(["", "", ""], [wide])
    assert "  ".join(wide) in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "70")
    print_table(["", "", ""], [wide])
    assert max(map(len, capsys.readouterr().out.splitlines())) == 48


def test_text_follows_the_terminal(monkeypatch):
    text = "a word and " * 20 + "80 % of the rest"
    for columns, width in (("20", 60), ("72", 72), ("300", 100)):
        monkeypatch.setenv("COLUMNS", columns)
        lines = wrapped(text).splitlines()
        assert max(map(len, lines)) < width
        assert max(map(len, lines)) > width - 12
    monkeypatch.setenv("COLUMNS", "300")
    assert screen_width() == 300
    monkeypatch.setenv("COLUMNS", "60")
    broken = wrapped("x" * 55 + " 80 % of them")
    assert broken.splitlines()[1] == "80 % of them"  # a number stays with its %


def test_words_have_their_colours_on_a_terminal_alone(terminal, monkeypatch):
    assert painted("BEATS", "green", Terminal()) == "\x1b[32mBEATS\x1b[0m"
    assert painted("BEATS", "green", io.StringIO()) == "BEATS"
    monkeypatch.setattr("sys.stdout", Terminal())
    lines = table_lines(["verdict"], [["BEATS"], ["LOSES"], ["cannot tell"], ["shown"]], left=0)
    assert lines[1:] == [
        *("\x1b[32m      BEATS\x1b[0m", "\x1b[31m      LOSES\x1b[0m"),
        *("\x1b[2mcannot tell\x1b[0m", "      shown"),
    ]
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
        assert painted("BEATS", "green", Terminal()) == "BEATS"
        monkeypatch.setenv("TERM", "xterm")


def test_json_has_no_text_with_a_line_break(capsys):
    print_json({"a": {"b": ["one\n  two", 3]}, "c": ("x\n\ny",), "d": "z  z"})
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"schema": 2, "a": {"b": ["one two", 3]}, "c": ["x y"], "d": "z  z"}


def test_a_stage_is_a_spinner_with_its_name_on_a_terminal(terminal, monkeypatch):
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with spinner("scoring"):
        pass
    assert "scoring …" in stream.getvalue()
    assert "\x1b[?25l" in stream.getvalue()  # the cursor is hidden while it spins
    assert stream.getvalue().rstrip().endswith("\x1b[2K")  # and the line is removed


def test_a_stage_is_a_line_elsewhere_and_nothing_when_quiet(capsys):
    with spinner("scoring"):
        pass
    assert capsys.readouterr().err == "scoring …\n"
    with spinner("scoring", quiet=True):
        pass
    assert capsys.readouterr().err == ""


def test_of_a_long_list_of_json_each_item_stands_on_a_line(capsys):
    few = {"forecasts": [{"ticker": "A", "steps": [1, 2]}] * 50, "note": "one\nline"}
    many = {**few, "forecasts": [{"ticker": "A", "steps": [1, 2]}] * 51}
    print_json(few)
    print_json(many)
    out = capsys.readouterr().out
    indented, lines = out[: out.index("\n}\n") + 3], out[out.index("\n}\n") + 3 :]
    assert '\n      "ticker": "A",\n' in indented
    assert lines.count('\n{"ticker": "A", "steps": [1, 2]}') == 51
    assert len(lines.splitlines()) == 51 + 6
    for text, answer in ((indented, few), (lines, many)):
        assert json.loads(text) == {"schema": SCHEMA, **answer, "note": "one line"}
