"""A zip archive in one exact layout: any archiver opens it, and no two readings differ.

Zip has many ways to say the same, and readers that disagree about them. Here every byte
outside the compressed members follows from their names, sizes and checksums: nothing before,
between or behind them, no folders, no comments, no encryption. Each member has a local header
and its content; then come the central directory and its end record.

Source: PKWARE (2012), APPNOTE.TXT 6.3.3, sections 4.3.7, 4.3.12 and 4.3.16.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping

MAX_BYTES = 256 * 2**20
"""Of an archive, and of all of its members inflated."""

MAX_MEMBERS = 10_000

LEVEL = 6
"""Of zlib: more saves little on numbers."""

_STORED, _DEFLATED = 0, 8
_VERSION = 20
"""Of zip, the least that knows deflate."""
_MIDNIGHT, _DAY = 0, 1 << 5 | 1
"""1980-01-01, the first date that zip knows: the same content gives the same bytes."""
_MODE = 0o644 << 16
"""Permissions of a member that an archiver extracts."""

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_NAME = re.compile(r"(?:[a-z][a-z0-9_-]{0,63}/)?[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.[a-z]{1,8}")


class ArchiveError(ValueError):
    """The bytes are no archive of this layout; the message is a clause that says why."""


def pack(members: Mapping[str, bytes]) -> bytes:
    """Return the archive of members, in their order.

    Raises:
        ValueError: a name is not allowed, or there is too much.
    """
    check_size(sum(map(len, members.values())))
    if len(members) > MAX_MEMBERS:
        raise ValueError(f"Expected at most {MAX_MEMBERS:,} members. Received: {len(members):,}.")
    content, directory = bytearray(), bytearray()
    for name, inflated in members.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"Expected a name of letters, digits, - and _. Received: {name!r}.")
        deflated = zlib.compress(inflated, LEVEL, -zlib.MAX_WBITS)
        method, data = (
            (_DEFLATED, deflated) if len(deflated) < len(inflated) else (_STORED, inflated)
        )
        facts = _facts(method, zlib.crc32(inflated), len(data), len(inflated), name)
        directory += _central(facts, name, len(content))
        content += _local(facts, name) + data
    return bytes(content + directory + _end(len(members), len(directory), len(content)))


def unpack(content: bytes) -> dict[str, bytes]:
    """Return the members of an archive, in their order.

    No more is inflated than a header says, and no more than `MAX_BYTES` in all.

    Raises:
        ArchiveError: a byte is not what the layout has there.
    """
    members: dict[str, bytes] = {}
    directory, at, left = bytearray(), 0, MAX_BYTES
    while content[at : at + 4] == b"PK\3\4":
        if len(members) == MAX_MEMBERS:
            raise ArchiveError(f"it has more than {MAX_MEMBERS:,} members")
        name, inflated, facts, end = _member(content, at, left)
        if name in members:
            raise ArchiveError(f"it has {name} twice")
        directory += _central(facts, name, at)
        members[name], at, left = inflated, end, left - len(inflated)
    if not members:
        raise ArchiveError("it does not begin as one")
    if content[at:] != directory + _end(len(members), len(directory), at):
        raise ArchiveError("its list of members is not what it should be, or it is cut short")
    return members


def first_member(content: bytes) -> tuple[str, bytes]:
    """Return the name and the content of the first member alone.

    Raises:
        ArchiveError: there is none.
    """
    name, inflated, *_ = _member(content, 0, MAX_BYTES)
    return name, inflated


def check_size(size: int) -> None:
    """Check that an archive may hold so many bytes.

    Raises:
        ValueError: it may not.
    """
    if size > MAX_BYTES:
        raise ValueError(
            f"Expected at most {MAX_BYTES // 2**20} MB in one file. "
            f"Received: {size / 2**20:,.0f} MB."
        )


_Facts = tuple[int, ...]


def _facts(method: int, crc: int, deflated: int, size: int, name: str) -> _Facts:
    """Return what the header and the directory both say of a member."""
    return (_VERSION, 0, method, _MIDNIGHT, _DAY, crc, deflated, size, len(name), 0)


def _local(facts: _Facts, name: str) -> bytes:
    return _LOCAL.pack(b"PK\3\4", *facts) + name.encode("ascii")


def _central(facts: _Facts, name: str, offset: int) -> bytes:
    system = 3 << 8 | _VERSION  # Unix, which knows permissions
    fields = _CENTRAL.pack(b"PK\1\2", system, *facts, 0, 0, 0, _MODE, offset)
    return fields + name.encode("ascii")


def _end(count: int, size: int, offset: int) -> bytes:
    return _END.pack(b"PK\5\6", 0, 0, count, count, size, offset, 0)


def _member(content: bytes, at: int, left: int) -> tuple[str, bytes, _Facts, int]:
    """Return name and content of the member at an offset, its facts, and where it ends.

    Args:
        left: bytes that may still be inflated.
    """
    header = content[at : at + _LOCAL.size]
    if len(header) < _LOCAL.size:
        raise ArchiveError("it is cut short")
    *_, method, _, _, crc, deflated, size, length, _ = _LOCAL.unpack(header)
    start = at + _LOCAL.size + length
    name = content[at + _LOCAL.size : start].decode("latin-1")
    if not _NAME.fullmatch(name):
        raise ArchiveError("the name of a member is not allowed")
    facts = _facts(method, crc, deflated, size, name)
    if content[at:start] != _local(facts, name) or method not in (_STORED, _DEFLATED):
        raise ArchiveError(f"the header of {name} is not what it should be")
    if size > left:
        raise ArchiveError(f"it would take more than {MAX_BYTES // 2**20} MB")
    data = content[start : start + deflated]
    inflated = _inflated(data, size) if method == _DEFLATED else data
    if inflated is None or len(inflated) != size or zlib.crc32(inflated) != crc:
        raise ArchiveError(f"{name} is damaged or cut short")
    return name, inflated, facts, start + deflated


def _inflated(data: bytes, size: int) -> bytes | None:
    """Return what was deflated; None where it is not exactly so many bytes."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # One byte more than was declared tells that there is more.
        inflated = stream.decompress(data, size + 1)
    except zlib.error:
        return None
    return inflated if stream.eof and not stream.unused_data else None
