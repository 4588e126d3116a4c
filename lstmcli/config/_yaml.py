"""YAML text ↔ plain data; on reading, with the place of every part of it.

YAML 1.2: ON, NO and YES are text, and 1e-3 is a number. What a config never
needs is refused by name: anchors (a YAML bomb is made of them), tags, several
documents, numbers with leading zeros (012 is 12 to some readers, 10 to others).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

MAX_BYTES = 64 * 1024
"""Many times the length of a long config."""

TOO_LONG = f"Expected at most {MAX_BYTES // 1024} KiB of YAML."

MAX_DEPTH = 8
"""Configs are three deep."""

MAX_DIGITS = 30
"""Python refuses numbers of thousands of digits with an error of its own."""

Path = tuple[str | int, ...]
"""Where a value sits: ("model", "units", 0)."""

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.^=-]*")
_NOT_PLAIN = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
"""Words that some reader, old or new, takes for something else than text."""

_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True, order=True)
class Place:
    """Where something was written; sorts in reading order."""

    order: int
    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where."""

    place: Place
    path: Path
    text: str

    def __str__(self) -> str:
        subject = show_path(self.path)
        return f"{self.place}: {subject}: {self.text}" if subject else f"{self.place}: {self.text}"


@dataclass
class Document:
    """Plain data, where each part of it was written, and what was wrong with it."""

    data: Any = None
    places: dict[Path, Place] = field(default_factory=dict)
    """Of a setting the place of its name, of a list's item its own."""

    problems: list[Problem] = field(default_factory=list)
    unread: set[Path] = field(default_factory=set)
    """What has a problem already, so that its data says nothing."""


def show_path(path: Path) -> str:
    """Return a path as users write it: `model.units[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if part.isprintable() and len(part) <= 60 else repr(part[:60])
            text += f".{shown}" if text else shown
    return text


def show_value(value: object) -> str:
    """Return a value as an error message shows it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:59] + "…")
    return f"{value}"


def write_yaml(value: Any) -> str:
    """Return plain data on one line of YAML that any reader takes for the same."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {write_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(write_yaml(item) for item in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NOT_PLAIN:
        return value
    return json.dumps(value, ensure_ascii=False)  # which YAML reads as well


def read_yaml(text: str, source: str, *, order: int = 0, under: Path = ()) -> Document:
    """Return the data of one YAML document; never raises on bad text.

    Args:
        order: place of the source among several; 0 is the file, the rest are --set.
        under: the path that the text's top stands at.
    """
    reader = _Reader(source, order, under)
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        reader.problem(None, (), TOO_LONG)
        return reader.document
    try:
        reader.read(YAML(pure=True).parse(text))
    except _StopReading:
        pass
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reader.problem(mark, (), _syntax(error))
    except ReaderError as error:
        shown = f"U+{error.character:04X}" if isinstance(error.character, int) else "one"
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        reader.problem((line, column), (), f"a character that YAML does not allow: {shown}.")
    except (YAMLError, ValueError, OverflowError):
        # The reader's own slips, such as a "\\U99999999" that is no character.
        reader.problem(None, (), "Expected YAML. Received: what no YAML reader understands.")
    return reader.document


_OF_TICKERS = (("tickers",), ("market",))
"""Where plain text is the name of a ticker, whatever it looks like."""


class _StopReading(Exception):
    """What follows could not be understood."""


class _Reader:
    """Builds the data from the parser's events, which carry no meaning of their own."""

    def __init__(self, source: str, order: int, under: Path) -> None:
        self.source = source
        self.order = order
        self.under = under
        self.document = Document()

    def problem(self, mark: Any, path: Path, text: str) -> None:
        self.document.problems.append(Problem(self.place(mark), path, text))
        self.document.unread.add(path)

    def place(self, mark: Any) -> Place:
        # What stands in a --set has no line of its own.
        if mark is None or self.order:
            return Place(self.order, self.source)
        line, column = mark if isinstance(mark, tuple) else (mark.line + 1, mark.column + 1)
        return Place(self.order, self.source, line, column)

    def read(self, events: Iterator[Event]) -> None:
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.problem(event.start_mark, (), "Expected one document. Received: another.")
                    return
            elif isinstance(
                event, (MappingStartEvent, SequenceStartEvent, ScalarEvent, AliasEvent)
            ):
                self.document.data = self._value(event, events, self.under, 1)

    def _value(self, event: Any, events: Iterator[Event], path: Path, depth: int) -> Any:
        self.document.places.setdefault(path, self.place(event.start_mark))
        if depth > MAX_DEPTH:
            self.problem(event.start_mark, (), f"Expected at most {MAX_DEPTH} levels of nesting.")
            raise _StopReading
        if isinstance(event, AliasEvent) or event.anchor is not None:
            sign = "*" if isinstance(event, AliasEvent) else "&"
            self.problem(
                event.start_mark,
                path,
                f"anchors and aliases ({sign}{event.anchor}) are not allowed; write the value out",
            )
        elif event.tag is not None:
            self.problem(event.start_mark, path, f"tags ({event.tag}) are not allowed")
        if isinstance(event, MappingStartEvent):
            return self._map(events, path, depth)
        if isinstance(event, SequenceStartEvent):
            return self._list(events, path, depth)
        return self._scalar(event, path) if isinstance(event, ScalarEvent) else None

    def _list(self, events: Iterator[Event], path: Path, depth: int) -> list[Any]:
        items: list[Any] = []
        for event in events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self._value(event, events, (*path, len(items)), depth + 1))
        return items

    def _map(self, events: Iterator[Event], path: Path, depth: int) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        for event in events:
            if isinstance(event, MappingEndEvent):
                break
            if not isinstance(event, ScalarEvent):
                self.problem(event.start_mark, path, "Expected a name in front of the colon.")
                raise _StopReading
            key = event.value
            inner = (*path, key)
            if key in pairs:
                line = self.document.places[inner].line
                again = f"duplicate key{f'; first in line {line}' if line else ''}"
                self.document.problems.append(Problem(self.place(event.start_mark), inner, again))
                # The first one stands, so that its own mistakes are found as well.
                self._value(next(events), events, inner, depth + 1)
                continue
            self.document.places.setdefault(inner, self.place(event.start_mark))
            pairs[key] = self._value(next(events), events, inner, depth + 1)
        return pairs

    def _scalar(self, event: ScalarEvent, path: Path) -> Any:
        text = event.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            self.problem(event.start_mark, path, "Expected text. Received: half a character.")
            return None
        plain = event.style is None
        # Whatever stands among the tickers is a name: TRUE, NULL and 0700 too.
        if not plain or (path[:1] in _OF_TICKERS and text not in ("", "~")):
            return text
        if text in _NULL:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        wrong = _wrong_number(text)
        if wrong:
            self.problem(event.start_mark, path, wrong)
            return None
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        return text


def _wrong_number(text: str) -> str | None:
    """Return what is wrong with a number, or None for a good one or plain text."""
    if _NOT_FINITE.fullmatch(text):
        return f"Expected a finite number. Received: {text}."
    if not _FLOAT.fullmatch(text):
        return None
    if len(text) > MAX_DIGITS:
        return f"Expected a number of at most {MAX_DIGITS} digits. Received: {len(text)}."
    if re.match(r"[-+]?0[0-9]", text):
        return f"Expected a number without leading zeros, or text in quotes. Received: {text}."
    if not math.isfinite(float(text)):
        return f"Expected a finite number. Received: {text}."
    return None


def _syntax(error: MarkedYAMLError) -> str:
    problem = str(error.problem or error.context or "").strip()
    if r"'\t'" in problem:
        return "a tab; YAML wants spaces"
    return f"Expected YAML. Received: {problem}." if problem else "Expected YAML."
