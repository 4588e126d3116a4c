"""The chain of the rows that versions before 0.3 issued, and what is noted where it is broken."""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass

from lstmcli.store.ledger_chain import hash_leaf, hash_row
from lstmcli.store.ledger_schema import GENESIS, KEYS, columns_of

_NAMED = 3
"""How many breaks are named; of the others there is the number."""


@dataclass(frozen=True)
class Rows:
    """The rows of `forecasts`, as they are.

    Attributes:
        head: the hash that the last row states.
        content: SHA-256 over what each row says of itself and what its values give.
        found: where the chain is broken, in words.
        held: whether a row has the hash that was looked for.
    """

    count: int
    head: str
    content: str
    found: tuple[str, ...]
    held: bool

    @property
    def text(self) -> str:
        """All breaks as one sentence without a full stop."""
        more = len(self.found) - _NAMED
        return "; ".join(self.found[:_NAMED]) + (f"; and {more:,} more" if more > 0 else "")


def read_chain(connection: sqlite3.Connection, holds: str | None = None) -> Rows:
    """Compute every hash of `forecasts` again, and go on after a break."""
    previous, count, found, held = GENESIS, 0, [], False
    content = hashlib.sha256()
    rows = connection.execute(
        f"SELECT id, previous, hash, {columns_of(connection)} FROM forecasts ORDER BY id"
    )
    last = 0
    for number, stated, digest, *row in rows:
        count += 1
        where = " ".join(str(value) for value in row[: len(KEYS)])
        again = hash_row(stated, row)
        if number != last + 1 or stated != previous:
            found.append(f"row {number} ({where}) does not follow row {last}")
        elif again != digest:
            found.append(f"row {number} ({where}) was changed")
        content.update(f"{number} {stated} {digest} {again}\n".encode())
        previous, last = digest, number
        held = held or digest == holds
    return Rows(count, previous, content.hexdigest(), tuple(found), held)


def hash_break(block: int, rows: Rows) -> bytes:
    """Return the leaf of a block that notes where the rows are broken."""
    return hash_leaf(["break", block, rows.count, rows.text, rows.content])
