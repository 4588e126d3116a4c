"""A run in one file: it comes back as it was, and whatever is wrong with it is one error."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from mutations import MUTATIONS, change_one_value, members_of, repacked, small_run_file

from lstmcli.store import exact_zip
from lstmcli.store.run_file import (
    FORMAT,
    NewerRunFileError,
    RunFileError,
    from_bytes,
    same_run,
    to_bytes,
)

WHOLE = to_bytes(small_run_file())


def proven(members: dict[str, bytes], **changes: object) -> dict[str, bytes]:
    """Return members with a `run.json` that lists and hashes them, as a forger would."""
    head = json.loads(members["run.json"]) | changes
    rest = {name: content for name, content in members.items() if name != "run.json"}
    head["members"] = {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in rest.items()
    }
    head.pop("sha256", None)
    text = json.dumps(head, separators=(",", ":"), ensure_ascii=False)
    head["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return {"run.json": (json.dumps(head, indent=2, ensure_ascii=False) + "\n").encode(), **rest}


def with_members(**changes: bytes) -> bytes:
    """Return the small file with other members, all of them listed and hashed."""
    members = members_of(WHOLE)
    first = members.pop("run.json")
    changed = {name.replace("__", "/").replace("_npy", ".npy"): of for name, of in changes.items()}
    return repacked(proven({"run.json": first, **dict(sorted({**members, **changed}.items()))}))


def npy(header: str, payload: bytes) -> bytes:
    padded = header + " " * (-(10 + len(header) + 1) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode() + payload


def refusal(content: bytes) -> str:
    """Return why a file is refused."""
    with pytest.raises(RunFileError) as caught:
        from_bytes(content)
    assert not isinstance(caught.value, NewerRunFileError)
    return str(caught.value)


def test_a_run_comes_back_as_it_was():
    written, read = small_run_file(), from_bytes(WHOLE)
    assert read.manifest == written.manifest
    assert read.provenance == written.provenance
    assert read.texts == written.texts
    assert {stem: set(of) for stem, of in read.arrays.items()} == {
        stem: set(of) for stem, of in written.arrays.items()
    }
    for stem, arrays in written.arrays.items():
        for name, array in arrays.items():
            found = read.arrays[stem][name]
            np.testing.assert_array_equal(found, array)
            assert (found.dtype, found.shape) == (array.dtype, array.shape)
            assert found.flags.f_contiguous == array.flags.f_contiguous


def test_the_same_run_gives_the_same_bytes():
    assert to_bytes(small_run_file()) == WHOLE
    assert to_bytes(from_bytes(WHOLE)) == WHOLE
    run_file = small_run_file()
    turned = {stem: dict(reversed(of.items())) for stem, of in reversed(run_file.arrays.items())}
    assert to_bytes(replace(run_file, arrays=turned)) == WHOLE
    files = run_file.manifest.model_copy(update={"files": {"a": "b"}})
    assert to_bytes(replace(run_file, manifest=files)) == WHOLE


def test_any_archiver_opens_it():
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "run.json"
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read("config.yaml").decode() == "seed: 7  # Zürich\n"
        slopes = np.load(io.BytesIO(archive.read("panel/slopes.npy")), allow_pickle=False)
    np.testing.assert_array_equal(slopes, small_run_file().arrays["panel"]["slopes"])


def test_the_same_run_is_told_from_another_wherever_it_comes_from():
    run_file = small_run_file()
    assert same_run(run_file, replace(run_file, provenance={"by": "others"}))
    assert not same_run(run_file, replace(run_file, texts={**run_file.texts, "a.csv": "1\n"}))
    other = run_file.manifest.model_copy(update={"crps": 0.02})
    assert not same_run(run_file, replace(run_file, manifest=other))


def test_a_file_cut_anywhere_is_refused():
    for length in range(len(WHOLE)):
        refusal(WHOLE[:length])


def test_bytes_behind_the_end_are_refused():
    assert "list of members" in refusal(WHOLE + b"\0")
    comment = bytearray(WHOLE + b"hello")
    comment[len(WHOLE) - 2 : len(WHOLE)] = struct.pack("<H", 5)
    assert "list of members" in refusal(bytes(comment))


def test_a_newer_format_is_told_from_damage():
    newer = repacked(proven(members_of(WHOLE), format=FORMAT + 1))
    with pytest.raises(NewerRunFileError, match=f"format {FORMAT + 1}"):
        from_bytes(newer)
    # One whose later members nobody here can read, too.
    with pytest.raises(NewerRunFileError):
        from_bytes(newer[: newer.index(b"PK\3\4", 4)] + b"another layout")
    members = members_of(WHOLE)
    members["run.json"] = members["run.json"].replace(b'"format": 1', b'"format": 2', 1)
    assert "does not match its hash" in refusal(repacked(members))


@pytest.mark.parametrize("number", [0, -1, True, 1.0, "1", None, [1]])
def test_a_format_that_is_no_number_is_refused(number):
    assert "format" in refusal(repacked(proven(members_of(WHOLE), format=number)))


def renamed(old: str, new: str) -> bytes:
    """Return the file with another name for a member, in its headers and in `run.json`."""
    members = members_of(WHOLE)
    first, members[new] = members.pop("run.json"), members.pop(old)
    return repacked(proven({"run.json": first, **dict(sorted(members.items()))}))


@pytest.mark.parametrize(
    "name",
    [
        *("../config.yaml", "/config.yaml", "a/../b.npy", "panel\\a.npy", "C:/a.npy", "panel/"),
        *("a/b/c.npy", "panel/.npy", ".hidden.csv", "confi\n.yaml", "con\0.yaml", "x" * 200),
    ],
)
def test_a_name_that_leaves_its_place_is_refused(name):
    assert "not allowed" in refusal(renamed("config.yaml", name))


@pytest.mark.parametrize("name", ["config.py", "panel/slopes.pkl", "slopes.npy", "run.toml"])
def test_a_member_of_another_kind_is_refused(name):
    assert "no such member is known" in refusal(renamed("state.json", name))


def test_a_member_too_many_too_few_or_twice_is_refused():
    members = members_of(WHOLE)
    assert "does not list extra.csv" in refusal(repacked({**members, "extra.csv": b"1\n"}))
    fewer = {name: of for name, of in members.items() if name != "state.json"}
    assert "lacks a member" in refusal(repacked(fewer))
    # The same local member twice, as two programs would read it in two ways.
    first = WHOLE.index(b"PK\3\4", 4)
    second = WHOLE.index(b"PK\3\4", first + 4)
    assert "twice" in refusal(WHOLE[:second] + WHOLE[first:second] + WHOLE[second:])
    backwards = {"run.json": members.pop("run.json"), **dict(reversed(members.items()))}
    assert "order" in refusal(repacked(proven(backwards)))


def test_content_that_does_not_match_its_hash_is_refused():
    members = members_of(WHOLE)
    members["config.yaml"] = members["config.yaml"].replace(b"7", b"8")
    assert refusal(repacked(members)) == "config.yaml does not match its hash"


def header_edited(offset: int, value: int, mark: bytes = b"PK\3\4", size: int = 2) -> bytes:
    content, at = bytearray(WHOLE), WHOLE.rindex(mark) + offset
    content[at : at + size] = value.to_bytes(size, "little")
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(header_edited(6, 1), id="encrypted"),
        pytest.param(header_edited(6, 8), id="sizes behind the content"),
        pytest.param(header_edited(8, 12), id="bzip2"),
        pytest.param(header_edited(8, 14), id="lzma"),
        pytest.param(header_edited(10, 7), id="a time"),
        pytest.param(header_edited(28, 4), id="an extra field"),
        pytest.param(header_edited(22, 2**31, size=4), id="a size"),
        pytest.param(header_edited(18, 1, size=4), id="a compressed size"),
        pytest.param(header_edited(8, 1, b"PK\1\2"), id="a flag in the directory"),
        pytest.param(header_edited(38, 0xFFFF, b"PK\1\2"), id="permissions in the directory"),
        pytest.param(header_edited(4, 1, b"PK\5\6"), id="several disks"),
    ],
)
def test_another_layout_is_refused(content):
    assert refusal(content)


def test_no_more_is_inflated_than_was_declared(monkeypatch):
    zeros = zlib.compress(bytes(64 * 2**20), 9, -15)
    facts = exact_zip._facts(8, 0, len(zeros), 100, "run.json")
    bomb = exact_zip._local(facts, "run.json") + zeros
    inflated = []
    real = zlib.decompressobj

    class Watched:
        def __init__(self, *arguments: int) -> None:
            self.real = real(*arguments)

        def decompress(self, data: bytes, most: int) -> bytes:
            inflated.append(most)
            return self.real.decompress(data, most)

        eof = property(lambda self: self.real.eof)
        unused_data = property(lambda self: self.real.unused_data)

    monkeypatch.setattr(exact_zip.zlib, "decompressobj", Watched)
    assert "damaged" in refusal(bomb)
    assert inflated == [101]
    honest = exact_zip._facts(8, zlib.crc32(bytes(2**20)), len(zeros), 2**30, "run.json")
    assert "more than 256 MB" in refusal(exact_zip._local(honest, "run.json") + zeros)
    assert inflated == [101]


def test_all_members_together_have_a_limit(monkeypatch):
    monkeypatch.setattr(exact_zip, "MAX_BYTES", 2800)
    assert "more than" in refusal(WHOLE)
    with pytest.raises(ValueError, match="Expected at most"):
        to_bytes(small_run_file())


FLOATS = "{'descr': '<f8', 'fortran_order': False, 'shape': %s, }"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (pickle.dumps([1, 2]), "does not begin"),
        (npy(FLOATS % "(2,)", bytes(8)), "not that of its content"),
        (npy(FLOATS % "(1000000000, 1000000000)", bytes(8)), "not that of its content"),
        (npy(FLOATS % "(0, 9999999999, 9999999999)", b""), "too large"),
        (npy(FLOATS % "(-1,)", bytes(8)), "no array"),
        (npy(FLOATS % "(True,)", bytes(8)), "no array"),
        (npy((FLOATS % "(1,)").replace("<f8", "|O"), pickle.dumps(1)), "no array"),
        (npy((FLOATS % "(1,)").replace("<f8", "|V8"), bytes(8)), "no array"),
        (npy((FLOATS % "(1,)").replace("<f8", "<c8"), bytes(8)), "no array"),
        (npy((FLOATS % "(1,)").replace("<f8", ">f8"), bytes(8)), "no array"),
        (npy((FLOATS % "(1,)").replace("'<f8'", "[('a', '<f8')]"), bytes(8)), "no array"),
        (npy((FLOATS % "(1,)").replace("False", "exit()"), bytes(8)), "no array"),
        (npy((FLOATS % "(1,)").replace("<f8", "|b1"), b"\x02"), "neither true nor false"),
        (npy((FLOATS % "(1,)").replace("<f8", "<U1"), b"\xff\xff\xff\xff"), "no character"),
        (npy((FLOATS % "(1,)").replace("<f8", "<U1"), b"\x00\xd8\x00\x00"), "no character"),
    ],
)
def test_an_array_that_is_not_plain_is_refused(content, why):
    assert why in refusal(with_members(panel__slopes_npy=content))


def test_what_is_no_plain_array_is_not_written():
    run_file = small_run_file()
    for array in (np.array([{}]), np.zeros(2, "c8"), np.zeros(2, [("a", "f8")])):
        with pytest.raises(ValueError):
            to_bytes(replace(run_file, arrays={"panel": {"a": array}}))
    for texts in ({"run.json": ""}, {"../a.csv": ""}, {"a.py": ""}):
        with pytest.raises(ValueError):
            to_bytes(replace(run_file, texts=texts))
    with pytest.raises(ValueError):
        to_bytes(replace(run_file, arrays={"../a": {"b": np.zeros(1)}}))


def test_numbers_of_the_other_byte_order_are_turned():
    run_file = replace(small_run_file(), arrays={"panel": {"a": np.arange(3, dtype=">f8")}})
    found = from_bytes(to_bytes(run_file)).arrays["panel"]["a"]
    np.testing.assert_array_equal(found, [0, 1, 2])


def first_replaced(text: bytes) -> bytes:
    return repacked({**members_of(WHOLE), "run.json": text})


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"\xff", b"[]", b"null", b"[" * 100_000, b'{"a": NaN}', b'{"a": 1e999}'),
        *(b'{"format": 1, "format": 1}', b'"\\ud800"', b"1" * 5000),
    ],
)
def test_a_first_member_that_is_not_what_it_should_be_is_refused(text):
    assert "run.json" in refusal(first_replaced(text))


@pytest.mark.parametrize(
    "changes",
    [
        *({"kind": "other"}, {"manifest": None}, {"manifest": {}}, {"provenance": []}),
        *({"manifest": {"verdict": {"recipe": 1}}},),
    ],
)
def test_a_head_that_holds_no_run_is_refused(changes):
    refusal(repacked(proven(members_of(WHOLE), **changes)))


def test_a_text_that_is_not_utf8_is_refused():
    content = members_of(WHOLE) | {"config.yaml": b"\xff"}
    assert "not UTF-8" in refusal(repacked(proven(content)))


@pytest.mark.parametrize("kind", MUTATIONS)
def test_no_damage_crashes_or_gives_other_content(kind):
    check_damage(MUTATIONS[kind], seeds=range(60))


def check_damage(mutation: Callable[[bytes, random.Random], bytes], seeds: range) -> None:
    for seed in seeds:
        damaged = mutation(WHOLE, random.Random(seed))
        try:
            found = from_bytes(damaged)
        except RunFileError:
            continue
        assert to_bytes(found) == WHOLE, seed


def test_a_forger_who_hashes_anew_gets_no_other_error():
    members, refused = members_of(WHOLE), 0
    verdict = {"recipe": "panel+calibrated", "verdict": {"har": "TIES"}, "steps": [{"step": 1}]}
    for seed in range(300):
        head = json.loads(members["run.json"])
        head["manifest"]["verdict"] = dict(verdict)
        change_one_value(head, random.Random(seed))
        forged = {**members, "run.json": json.dumps(head).encode()}
        try:
            from_bytes(repacked(proven(forged)))
        except RunFileError:
            refused += 1
    assert 100 < refused < 300


def test_reading_loads_no_library_that_a_list_of_runs_does_not():
    code = (
        "import sys, lstmcli.store.runs; before = set(sys.modules)\n"
        "import lstmcli.store.run_file\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - {'lstmcli'} - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
