"""What pydantic finds wrong, in plain words and with the path that the user wrote."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from lstmcli.config._yaml import Path, show_value
from lstmcli.config.models import MODELS

# What was expected, by pydantic's type of error; `{…}` are the fields of its context.
_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a map",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "literal_error": "{expected}",
    "model_attributes_type": "a map",
    "model_type": "a map",
    "string_type": "text",
    "tuple_type": "a list",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "a number below {lt}",
    "less_than_equal": "{le} or less",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "too_short": "a list of {min_length} or more",
    "too_long": "a list of at most {max_length}",
}


def plain_words(
    error: ValidationError, data: dict[str, Any], sections: Mapping[str, type[BaseModel]]
) -> list[tuple[Path, str]]:
    """Return each fault as its path and a message.

    Args:
        data: what was validated.
        sections: the class of each section of `data`.
    """
    details: dict[Path, list[dict[str, Any]]] = {}
    for detail in error.errors(include_url=False):
        path = _path(detail["loc"], detail["type"], data)
        if detail["type"].startswith("union_tag"):
            path = (*path, "name")
        details.setdefault(path, []).append(dict(detail))
    # A list with a bad item counts as too short as well, which would be said twice.
    inside = {path[:-1] for path in details}
    return [
        (path, _message(path, found, sections))
        for path, found in details.items()
        if not (path in inside and found[0]["type"] == "too_short")
    ]


def suggest(name: str, choices: Iterable[str]) -> str:
    """Return `; did you mean 'units'?`, or the choices when none is near."""
    names = list(choices)
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; choose from {', '.join(names)}"


def _path(loc: tuple[str | int, ...], kind: str, data: Any) -> Path:
    """Return `loc` without the tags that pydantic puts in where a union stands.

    `("model", "stacked", "units", 0)` is the user's `model.units[0]`, and
    `("split", "test", "float")` is `split.test`.
    """
    path: list[str | int] = []
    here = data
    for position, part in enumerate(loc):
        if position == 1 and loc[0] == "model":
            continue
        inside = (isinstance(here, dict) and part in here) or (
            isinstance(here, list) and isinstance(part, int)
        )
        if inside:
            here = here[part]
        elif not (kind == "missing" and position == len(loc) - 1):
            continue
        path.append(part)
    return tuple(path)


def _message(
    path: Path, details: list[dict[str, Any]], sections: Mapping[str, type[BaseModel]]
) -> str:
    detail = details[0]
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "missing":
        return "missing, as in `model: {name: stacked}`" if path == ("model",) else "missing"
    if kind == "extra_forbidden":
        return "unknown key" + _suggest_key(path, sections)
    if kind == "union_tag_not_found":
        return f"missing; choose from {', '.join(MODELS)}"
    if kind == "union_tag_invalid":
        name = value.get("name")
        return f"unknown variant {show_value(name)}" + suggest(str(name), MODELS)
    if kind == "value_error":
        return str(context["error"])
    expected = " or ".join(dict.fromkeys(_expected(each) for each in details))
    if expected == "a whole number or a number":  # what a share of the split may be
        expected = "a number"
    received = context.get("actual_length", show_value(value))
    return f"Expected {expected}. Received: {received}."


def _expected(detail: dict[str, Any]) -> str:
    if detail["type"] in _EXPECTED:
        return _EXPECTED[detail["type"]].format(**detail.get("ctx", {}))
    message = str(detail["msg"])
    return message.removeprefix("Input should be ").rstrip(".")


def _suggest_key(path: Path, sections: Mapping[str, type[BaseModel]]) -> str:
    *parents, last = path
    name = str(last)
    if parents:
        return suggest(name, sections[str(parents[0])].model_fields)
    near = difflib.get_close_matches(name, sections[""].model_fields, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    homes = [section for section, kind in sections.items() if section and name in kind.model_fields]
    if not homes and any(name in variant.model_fields for variant in MODELS.values()):
        homes = ["model"]
    if homes:
        # A body that is not indented under its section ends up here.
        return f"; did you mean '{homes[0]}.{name}'? Indent it under `{homes[0]}:`"
    return suggest(name, sections[""].model_fields)
