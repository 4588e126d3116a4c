"""Fits of baselines that are kept from one evening to the next.

A fit follows from the bars that it reads, and from nothing else. It is kept with a hash of
them: other bars, and it is made anew. So the numbers are the same with a kept fit and without.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.forecasters.volatility.garch import NUMBA_SWITCH
from lstmcli.version import __version__

log = logging.getLogger(__name__)

LIBRARIES = ("arch", "scipy", "numpy", "pandas")
"""What the last digits of a fit depend on, beside the machine."""

Numbers = Mapping[str, np.ndarray]
"""What a fit has learnt: arrays of float64 by name."""


@dataclass(frozen=True)
class KeptFit:
    """One fit of one ticker, and what it read.

    Attributes:
        first, last: the sessions of the first and the last bar.
        read: SHA-256 of what it read of them.
    """

    first: pd.Timestamp
    last: pd.Timestamp
    read: str
    numbers: Numbers

    def equals(self, other: KeptFit) -> bool:
        """Return whether another fit has the same numbers, each with all of its digits."""
        return _packed(self.numbers) == _packed(other.numbers)


def _nothing(ticker: str) -> None:
    """Nothing is kept of any ticker."""


@dataclass
class KeptFits:
    """Fits by ticker and kind: what is known is looked up, the rest is made.

    Attributes:
        load: returns what `contents` gave of a ticker; None: nothing is kept.
        changed: tickers that have other fits than those which were loaded.
    """

    load: Callable[[str], bytes | None] = _nothing
    changed: set[str] = field(default_factory=set)
    _known: dict[str, dict[str, KeptFit]] = field(default_factory=dict)

    def of(self, ticker: str) -> dict[str, KeptFit]:
        """Return the newest fit of each kind of a ticker."""
        if ticker not in self._known:
            content = self.load(ticker)
            self._known[ticker] = {} if content is None else _read(ticker, content)
        return self._known[ticker]

    def find(self, ticker: str, kind: str, read: str) -> KeptFit | None:
        """Return the fit of a kind; None where there is none that read the same.

        Args:
            read: as `hash_of` returns it.
        """
        kept = self.of(ticker).get(kind)
        return kept if kept is not None and kept.read == read else None

    def add(
        self, ticker: str, kind: str, bars: pd.DataFrame, read: str, numbers: Numbers
    ) -> KeptFit:
        """Keep a fit instead of the one of its kind that was known.

        Args:
            bars: those that it read.
            read: as `hash_of` returns it.
        """
        # Contiguous, as they come back from a file: the memory layout decides the last digit of
        # a product.
        contiguous = {name: np.ascontiguousarray(array, float) for name, array in numbers.items()}
        fit = KeptFit(bars.index[0], bars.index[-1], read, contiguous)
        self.of(ticker)[kind] = fit
        self.changed.add(ticker)
        return fit

    def only(self, tickers: Iterable[str]) -> KeptFits:
        """Return what is known of some tickers, as a value that can be pickled."""
        return KeptFits({ticker: self.load(ticker) for ticker in tickers}.get)

    def contents(self) -> dict[str, bytes]:
        """Return what is to be kept of each ticker that has changed."""
        return {ticker: _content(self._known[ticker]) for ticker in sorted(self.changed)}


def hash_of(read: bytes) -> str:
    """Return the SHA-256 of what a fit reads, as hexadecimal digits."""
    return hashlib.sha256(read).hexdigest()


def made_by(libraries: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Return what the digits of a fit depend on, beside what it reads."""
    versions = {name: _version_of(name) for name in libraries}
    switch = os.environ.get(NUMBA_SWITCH, "")
    return {"lstm": __version__, **versions, "machine": platform.machine(), NUMBA_SWITCH: switch}


_version_of = functools.cache(importlib.metadata.version)


def _content(fits: Mapping[str, KeptFit]) -> bytes:
    rows = {
        kind: {
            "first": f"{kept.first:%Y-%m-%d}",
            "last": f"{kept.last:%Y-%m-%d}",
            "read": kept.read,
            "numbers": _packed(kept.numbers),
        }
        for kind, kept in sorted(fits.items())
    }
    content = json.dumps({"made_by": made_by(), "fits": rows}).encode()
    return _sealed(content) + content


def _read(ticker: str, content: bytes) -> dict[str, KeptFit]:
    """Return what `_content` wrote; nothing where it is damaged or of other versions."""
    seal = len(_sealed(b""))
    if _sealed(content[seal:]) != content[:seal]:
        log.info("what is kept of baselines of %s is damaged; they are fitted anew", ticker)
        return {}
    found: dict[str, Any] = json.loads(content[seal:])
    if found["made_by"] != made_by():
        log.info("what is kept of baselines of %s is of other versions", ticker)
        return {}
    return {
        kind: KeptFit(
            pd.Timestamp(row["first"]),
            pd.Timestamp(row["last"]),
            row["read"],
            {name: _unpacked(packed) for name, packed in row["numbers"].items()},
        )
        for kind, row in found["fits"].items()
    }


def _sealed(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode() + b"\n"


def _packed(numbers: Numbers) -> dict[str, list[Any]]:
    return {
        name: [*array.shape, base64.b64encode(array.astype("<f8").tobytes()).decode()]
        for name, array in sorted(numbers.items())
    }


def _unpacked(packed: list[Any]) -> np.ndarray:
    *shape, content = packed
    return np.frombuffer(base64.b64decode(content), "<f8").reshape(shape)
