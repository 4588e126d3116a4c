"""Hashes of the ledger: of rows as 0.1 wrote them, of leaves, Merkle roots and blocks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from lstmcli.store.ledger_schema import COLUMNS


def hash_row(previous: str, row: Sequence[Any]) -> str:
    """Return the SHA-256 of a row of `forecasts`: a JSON list of the hash before, then its values.

    A row that says nothing of a report is hashed without `REPORT`, as all rows once were.
    """
    said = row if any(value is not None for value in row[len(COLUMNS) :]) else row[: len(COLUMNS)]
    return hashlib.sha256(_canonical([previous, *said])).hexdigest()


def hash_leaf(values: Sequence[Any]) -> bytes:
    """Return the hash of a leaf: SHA-256 over a zero byte and the values as a JSON list.

    Source: RFC 6962, section 2.1: leaves and nodes begin with different bytes, so that no
    node can pass for a leaf.
    """
    return hashlib.sha256(b"\0" + _canonical(list(values))).digest()


def merkle_root(leaves: Sequence[bytes]) -> str:
    """Return the root of a tree over leaves, of which there is at least one.

    Two neighbours make a node, SHA-256 over a one byte and both; the last of an odd number
    goes up as it is.

    Source: RFC 6962, section 2.1.
    """
    level = list(leaves)
    while len(level) > 1:
        pairs = [
            hashlib.sha256(b"\1" + level[i] + level[i + 1]).digest()
            for i in range(0, len(level) - 1, 2)
        ]
        level = pairs + level[2 * len(pairs) :]
    return level[0].hex()


def hash_block(values: Sequence[Any]) -> str:
    """Return the SHA-256 of a block: of the values of `BLOCK` as a JSON list."""
    return hashlib.sha256(_canonical(list(values))).hexdigest()


def _canonical(values: list[Any]) -> bytes:
    """Return a JSON list without spaces; a number has the fewest digits that give it back."""
    # What somebody put there may be no JSON; it must give a hash that differs, not an error.
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False, default=repr)
    return text.encode()
