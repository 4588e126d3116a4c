"""Every hash of the ledger computed again; what was changed is named."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstmcli.errors import DataError
from lstmcli.store.ledger_archive import archived_payloads, archives, last_archived
from lstmcli.store.ledger_chain import hash_block, hash_leaf, merkle_root
from lstmcli.store.ledger_database import damaged
from lstmcli.store.ledger_rows import Rows, hash_break, read_chain
from lstmcli.store.ledger_schema import BLOCK, GENESIS, PLAIN, has_blocks

_AT_ONCE = 5_000
"""Archived forecasts that are read together."""


@dataclass(frozen=True)
class Verified:
    """A chain that holds.

    Attributes:
        rows: how many rows were issued, in either form.
        head: the hash of the last block.
        blocks: how many blocks there are.
        archived: how many forecasts have their numbers in archive files.
        absent: archive files that are not there; with one of them, no archive is compared.
    """

    rows: int
    head: str
    blocks: int = 0
    archived: int = 0
    absent: tuple[str, ...] = ()


def verify(connection: sqlite3.Connection, path: Path, holds: str | None) -> Verified:
    """Verify a ledger that is open; see `Ledger.verify`."""
    broken = connection.execute("PRAGMA integrity_check").fetchone()[0]
    if broken != "ok":
        raise damaged(path, broken)

    def tampered(what: str) -> DataError:
        return DataError(
            f"{path}: {what}.",
            hint="a backup shows what it was; lstm daily goes on, and verify names this each time",
        )

    # One view of the file: another process may append meanwhile.
    connection.execute("BEGIN")
    rows = read_chain(connection, holds)
    walk = _Blocks(connection, rows, holds, tampered)
    noted = has_blocks(connection) and connection.execute("SELECT 1 FROM breaks").fetchone()
    if rows.found and not noted:
        raise tampered(rows.found[0])
    if has_blocks(connection):
        walk.run()
    if not (rows.held or walk.held or holds in (None, GENESIS)):
        raise tampered(f"nothing has the hash {holds}: the end is missing")
    if walk.noted:
        after = _counted(walk.number - walk.noted[0], "block")
        raise DataError(
            f"{path}: {rows.text}. This was so when block {walk.noted[0]} noted it, "
            f"{walk.noted[1][:10]}. All that followed holds: {after}, head {walk.head}.",
            hint="what is broken stays so; score counts these rows as they are",
        )
    absent = tuple(name for name, file in archives(connection, path) if file is None)
    for start in range(0, 0 if absent else len(walk.missing), _AT_ONCE):
        # It compares each with its hash.
        archived_payloads(connection, path, walk.missing[start : start + _AT_ONCE])
    return Verified(walk.rows, walk.head, walk.number, len(walk.missing), absent)


class _Blocks:
    """A walk over all blocks, with what was found on the way."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        rows: Rows,
        holds: str | None,
        tampered: Callable[[str], DataError],
    ) -> None:
        self.connection, self.old, self.tampered = connection, rows, tampered
        self.holds, self.held = holds, False
        self.rows, self.head, self.number = rows.count, rows.head, 0
        self.archived_until = last_archived(connection) if has_blocks(connection) else 0
        self.missing: list[int] = []
        self.noted: tuple[int, str] | None = None

    def run(self) -> None:
        last = self.connection.execute("SELECT MAX(id) FROM forecasts").fetchone()[0] or 0
        next_row, leaves = last + 1, self._leaves()
        following = next(leaves, None)
        names = ", ".join((*BLOCK, "hash"))
        for *values, digest in self.connection.execute(
            f"SELECT {names} FROM blocks ORDER BY number"
        ):
            block = dict(zip(BLOCK, values, strict=True))
            number = block["number"]
            if number != self.number + 1 or block["previous"] != self.head:
                before = f"block {self.number}" if self.number else f"row {self.old.count}"
                raise self.tampered(f"block {number} does not follow {before}")
            if hash_block(values) != digest:
                raise self.tampered(f"block {number} was changed")
            if block["first_row"] != next_row:
                raise self.tampered(f"block {number} does not begin with row {next_row}")
            found = self._noted(number, block["issued_at"])
            while following is not None and following[0] == number:
                _, row, count, where, leaf = following
                if row != next_row:
                    raise self.tampered(f"{where} does not begin with row {next_row}")
                found.append(leaf)
                next_row += count
                following = next(leaves, None)
            if len(found) != block["count"] or merkle_root(found) != block["root"]:
                raise self.tampered(
                    f"the forecasts of block {number} are not those that were issued: "
                    f"{len(found):,} of {block['count']:,} are there"
                )
            self.number, self.head = number, digest
            self.held = self.held or digest == self.holds
        if following is not None:
            raise self.tampered(f"{following[3]} belongs to no block")
        noted = self.connection.execute("SELECT COUNT(*) FROM breaks").fetchone()[0]
        if noted != (self.noted is not None):
            raise self.tampered("a break is noted that no block noted")
        self.rows += next_row - last - 1

    def _leaves(self) -> Iterator[tuple[int, int, int, str, bytes]]:
        """Yield block, first row, rows, name and leaf of every evening, compared with its values.

        A leaf that was changed together with its values is found by the block's root.
        """
        layouts = dict(self.connection.execute("SELECT layout, text FROM layouts"))
        names = ", ".join(f"evenings.{name}" for name in PLAIN)
        for block, layout, digest, leaf, payload, *values in self.connection.execute(
            f"SELECT block, layout, payload_sha, leaf, payload, {names} FROM evenings "
            "LEFT JOIN payloads ON payloads.first_row = evenings.first_row "
            "ORDER BY evenings.first_row"
        ):
            row, ticker, made_on, run = values[:4]
            where = f"the forecast of {ticker} from {made_on} by {run} (block {block})"
            if payload is None and block > self.archived_until:
                raise self.tampered(f"{where} has lost its numbers")
            if payload is None:
                self.missing.append(row)
            elif hashlib.sha256(payload).digest() != digest:
                raise self.tampered(f"the numbers of {where} were changed")
            if hash_leaf([*values, layouts.get(layout), _hex(digest)]) != leaf:
                raise self.tampered(f"{where} was changed")
            yield block, row, values[-1], where, leaf

    def _noted(self, number: int, issued_at: str) -> list[bytes]:
        """Return the leaf of what the block notes of older rows, where it notes something."""
        found = self.connection.execute(
            "SELECT row_count, text, content, leaf FROM breaks WHERE block = ?", (number,)
        ).fetchone()
        if not found:
            return []
        old = self.old
        if tuple(found) != (old.count, old.text, old.content, hash_break(number, old)):
            raise self.tampered(
                f"rows of older versions were changed after block {number} noted: {found[1]}"
            )
        self.noted = number, issued_at
        return [found[3]]


def _hex(digest: Any) -> str:
    return digest.hex() if isinstance(digest, bytes) else str(digest)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
