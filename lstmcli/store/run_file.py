"""A run in one file: JSON, text and arrays, all of them hashed; no code and no pickle.

It is a zip archive (`exact_zip`). `run.json` comes first: the format, the manifest, where
the run comes from, and size and SHA-256 of every other member, with a hash of all of this.
Texts follow by name, and arrays as `STEM/NAME.npy` (`plain_arrays`). The same content gives
the same bytes.

Every later format keeps `run.json` first, with `format`, `kind` and `sha256`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from lstmcli.store.exact_zip import ArchiveError, first_member, pack, unpack
from lstmcli.store.plain_arrays import array_bytes, array_of
from lstmcli.store.records import wrong_fields
from lstmcli.store.runs import Manifest

FORMAT = 1
KIND = "lstm run"

_HEAD = "run.json"
_TEXT = re.compile(r"[a-z][a-z0-9_-]*\.(?:yaml|json|csv)")
_ARRAY = re.compile(r"(?P<stem>[a-z][a-z0-9_-]*)/(?P<name>[A-Za-z0-9][A-Za-z0-9_-]*)\.npy")


class RunFileError(ValueError):
    """The bytes are no run; the message is a clause that says why."""


class NewerRunFileError(RunFileError):
    """The file is whole, and of a format that this version does not know."""


@dataclass(frozen=True, eq=False)
class RunFile:
    """What a file of a run holds.

    Attributes:
        manifest: its `files` are not kept: each workspace writes its own.
        provenance: where the run comes from, as JSON; for people, and checked by nobody.
        texts: by file name, such as `config.yaml`.
        arrays: by stem, such as `panel` or `network-01`, then by name; read-only once read.
    """

    manifest: Manifest
    provenance: Mapping[str, Any]
    texts: Mapping[str, str]
    arrays: Mapping[str, Mapping[str, np.ndarray]]


def to_bytes(run_file: RunFile) -> bytes:
    """Return the file of a run; equal runs have equal files.

    Raises:
        ValueError: a name or an array cannot be kept, or there is too much.
    """
    members = _members(run_file)
    head = {
        "format": FORMAT,
        "kind": KIND,
        "manifest": _manifest_json(run_file.manifest),
        "provenance": run_file.provenance,
        "members": {name: _proof(content) for name, content in members.items()},
    }
    whole = {**head, "sha256": _sha256(_canonical(head))}
    return pack({_HEAD: _readable(whole), **members})


def from_bytes(content: bytes) -> RunFile:
    """Return the run of a file.

    Raises:
        NewerRunFileError: a newer version of the program wrote it.
        RunFileError: it is damaged, or none.
    """
    try:
        return _from_bytes(content)
    except ArchiveError as error:
        raise RunFileError(str(error)) from error


def same_run(one: RunFile, other: RunFile) -> bool:
    """Return whether two files hold the same run, wherever each of them comes from."""
    same = _manifest_json(one.manifest) == _manifest_json(other.manifest)
    return same and _members(one) == _members(other)


def _from_bytes(content: bytes) -> RunFile:
    name, first = first_member(content)
    if name != _HEAD:
        raise RunFileError(f"it does not begin with {_HEAD}")
    head = _checked_head(first)
    members = unpack(content)
    del members[_HEAD]
    stated = head.get("members")
    if stated != {name: _proof(each) for name, each in members.items()}:
        raise RunFileError(_wrong_member(stated, members))
    if list(members) != sorted(members):
        raise RunFileError("its members are not in their order")
    texts: dict[str, str] = {}
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for name, each in members.items():
        found = _ARRAY.fullmatch(name)
        try:
            if found:
                arrays.setdefault(found["stem"], {})[found["name"]] = array_of(each)
            elif _TEXT.fullmatch(name):
                texts[name] = each.decode("utf-8")
            else:
                raise ValueError("no such member is known")
        except ValueError as error:
            reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
            raise RunFileError(f"{name} is not what it should be ({reason})") from error
    return RunFile(_manifest(head.get("manifest")), _provenance(head), texts, arrays)


def _checked_head(content: bytes) -> dict[str, Any]:
    """Return what `run.json` says, which is what was written, in a format that is known."""
    try:
        head = json.loads(content.decode("utf-8"))
        if not isinstance(head, dict) or _readable(head) != content:
            raise RunFileError(f"{_HEAD} is not what it should be")
        rest = {key: value for key, value in head.items() if key != "sha256"}
        proven = head.get("sha256") == _sha256(_canonical(rest))
    except RunFileError:
        raise
    except (ValueError, RecursionError) as error:
        raise RunFileError(f"{_HEAD} is not JSON") from error
    if head.get("kind") != KIND:
        raise RunFileError("it is not of a run")
    if not proven:
        raise RunFileError(f"{_HEAD} does not match its hash")
    number = head.get("format")
    if type(number) is not int or number < 1:
        raise RunFileError("it has no number of a format")
    if number > FORMAT:
        raise NewerRunFileError(f"it has format {number}, and {FORMAT} is the newest known here")
    return head


def _manifest(stated: Any) -> Manifest:
    try:
        if not isinstance(stated, dict) or "files" in stated:
            raise RunFileError("its manifest is not what it should be")
        return Manifest.model_validate(stated)
    except ValidationError as error:
        raise RunFileError(f"its manifest is not valid: {wrong_fields(error)}") from error


def _provenance(head: Mapping[str, Any]) -> dict[str, Any]:
    provenance = head.get("provenance")
    if not isinstance(provenance, dict):
        raise RunFileError("it does not say where it comes from")
    return provenance


def _wrong_member(stated: Any, members: Mapping[str, bytes]) -> str:
    """Return a clause about the first member that is not what `run.json` says."""
    listed = stated if isinstance(stated, dict) else {}
    for name in sorted({*listed, *members}):
        if name not in members:
            return "it lacks a member that it lists"
        if name not in listed:
            return f"it does not list {name}"
        if listed[name] != _proof(members[name]):
            return f"{name} does not match its hash"
    return "its list of members is not what it should be"


def _members(run_file: RunFile) -> dict[str, bytes]:
    """Return every member but the first, by name, in their order."""
    members = {name: text.encode("utf-8") for name, text in run_file.texts.items()}
    unknown = [name for name in members if name == _HEAD or not _TEXT.fullmatch(name)]
    for stem, arrays in run_file.arrays.items():
        for name, array in arrays.items():
            member = f"{stem}/{name}.npy"
            unknown += [] if _ARRAY.fullmatch(member) else [member]
            members[member] = array_bytes(array)
    if unknown:
        raise ValueError(f"Expected names of texts and arrays. Received: {unknown[0]!r}.")
    return dict(sorted(members.items()))


def _manifest_json(manifest: Manifest) -> dict[str, Any]:
    return manifest.model_dump(mode="json", exclude={"files"})


def _proof(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "sha256": _sha256(content)}


def _readable(head: Mapping[str, Any]) -> bytes:
    text = json.dumps(head, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def _canonical(head: Mapping[str, Any]) -> bytes:
    options: dict[str, Any] = {"separators": (",", ":"), "allow_nan": False}
    return json.dumps(head, ensure_ascii=False, **options).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
