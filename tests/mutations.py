"""Ways to damage the file of a run, for the tests and for `benchmarks/fuzz_run_files.py`."""

from __future__ import annotations

import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from lstmcli.store.run_file import RunFile
from lstmcli.store.runs import Manifest

Mutation = Callable[[bytes, random.Random], bytes]


def small_run_file() -> RunFile:
    """Return a run of a few arrays of every kind."""
    manifest = Manifest(
        format=1,
        run="20240308T220000Z-panel-0123abcd",
        created_at=datetime(2024, 3, 8, 22, tzinfo=UTC),
        variant="panel",
        tickers=("MRK", "MDT"),
        features=("log_return",),
        config_sha="0123abcd" * 8,
        bars={"MRK": "ab" * 32},
        labels={"MRK": "sample data"},
        test=("2022-01-03", "2023-01-03", 1),
        parameters=12,
        seconds=1.5,
        threads={"intra_op": 1},
        versions={"lstmcli": "0.3.0"},
        crps=0.0123,
    )
    numbers = np.random.default_rng(0).normal(size=(3, 4))
    arrays = {
        "panel": {
            "slopes": numbers,
            "turned": np.asfortranarray(numbers.astype("f4")),
            "none": np.zeros((0, 3)),
            "one": np.array(7, "i8"),
        },
        "outcomes": {
            "ticker": np.array(["MRK", "MDT"]),
            "made_on": np.array(["2022-01-03", "2022-01-04"], "M8[D]"),
            "in80": np.array([True, False]),
            "errors": np.array([0.5, np.nan], "f2"),
        },
    }
    texts = {"config.yaml": "seed: 7  # Zürich\n", "state.json": "{}\n"}
    return RunFile(manifest, {"tickers": ["MRK", "MDT"], "seeds": {"seed": 7}}, texts, arrays)


def members_of(content: bytes) -> dict[str, bytes]:
    """Return the members of a file, as another program reads it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def flipped_bits(content: bytes, chance: random.Random) -> bytes:
    found = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
    return bytes(found)


def inserted_bytes(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    return content[:at] + chance.randbytes(chance.randint(1, 64)) + content[at:]


def deleted_bytes(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    return content[:at] + content[at + chance.randint(1, 64) :]


def swapped_chunks(content: bytes, chance: random.Random) -> bytes:
    a, b, c, d = sorted(chance.randrange(len(content) + 1) for _ in range(4))
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def truncated(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def edited_headers(content: bytes, chance: random.Random) -> bytes:
    """Put another number into a field of a zip record."""
    found = bytearray(content)
    marks = [b"PK\3\4", b"PK\1\2", b"PK\5\6"]
    places = [at for mark in marks for at in _places(content, mark)]
    at = min(chance.choice(places) + chance.randrange(4, 46), len(found) - 1)
    size = chance.choice((1, 2, 4))
    value = chance.choice((0, 1, 0xFF, 0xFFFF, 0xFFFFFFFF, chance.getrandbits(32)))
    found[at : at + size] = (value % 256**size).to_bytes(size, "little")
    return bytes(found)


def changed_json(content: bytes, chance: random.Random) -> bytes:
    """Change a value of `run.json`; zip's own checksums are right, the hash is not."""
    members = members_of(content)
    head = json.loads(members["run.json"])
    change_one_value(head, chance)
    members["run.json"] = (json.dumps(head, indent=2, ensure_ascii=False) + "\n").encode()
    return repacked(members)


def changed_member(content: bytes, chance: random.Random) -> bytes:
    """Change a member other than `run.json`; zip's own checksums are right, the hash is not."""
    members = members_of(content)
    name = chance.choice([name for name in members if name != "run.json" and members[name]])
    members[name] = flipped_bits(members[name], chance)
    return repacked(members)


def moved_members(content: bytes, chance: random.Random) -> bytes:
    """Leave a member out, rename it, or change the order."""
    members = members_of(content)
    name = chance.choice(list(members))
    match chance.randrange(3):
        case 0:
            del members[name]
        case 1:
            members[name + "x"] = members.pop(name)
        case _:
            members[name] = members.pop(name)
    return repacked(members)


MUTATIONS: dict[str, Mutation] = {
    mutation.__name__.replace("_", " "): mutation
    for mutation in (
        flipped_bits,
        inserted_bytes,
        deleted_bytes,
        swapped_chunks,
        truncated,
        edited_headers,
        changed_json,
        changed_member,
        moved_members,
    )
}


def repacked(members: dict[str, bytes]) -> bytes:
    """Return an archive of any members in the layout of `exact_zip`, whatever their names."""
    from lstmcli.store import exact_zip as layout

    content, directory = bytearray(), bytearray()
    for name, inflated in members.items():
        deflated = zlib.compress(inflated, 6, -15)
        facts = layout._facts(8, zlib.crc32(inflated), len(deflated), len(inflated), name)
        directory += layout._central(facts, name, len(content))
        content += layout._local(facts, name) + deflated
    end = layout._end(len(members), len(directory), len(content))
    return bytes(content + directory + end)


def change_one_value(value: dict | list, chance: random.Random) -> None:
    """Change one value somewhere below."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = chance.choice(keys)
    below = value[key]
    if isinstance(below, dict | list) and below:
        change_one_value(below, chance)
        return
    others = [None, True, -1, 2, 1e300, "", "x", "\u202e", [], {}, [[]], "2024-03-08", 10**30]
    value[key] = chance.choice([other for other in others if other != below])


def _places(content: bytes, mark: bytes) -> list[int]:
    found, at = [], content.find(mark)
    while at >= 0:
        found.append(at)
        at = content.find(mark, at + 1)
    return found
