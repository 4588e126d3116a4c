"""Fits of GARCH that are kept from one evening to the next.

A fit follows from the returns that it reads, and from nothing else. It is kept with a hash of
them: other returns, and it is made anew. So the numbers are the same with a kept fit and without.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from lstmcli.forecasters.volatility import garch
from lstmcli.forecasters.volatility.garch import NUMBA_SWITCH, GarchParameters
from lstmcli.version import __version__

LIBRARIES = ("arch", "scipy", "numpy")
"""What the last digits of a fit depend on, beside the machine."""


@dataclass(frozen=True)
class KeptFit:
    """One fit of one ticker, and what it read.

    Attributes:
        first, last: the sessions of the first and the last return.
        read: SHA-256 of the returns.
        parameters: None where the fit did not converge.
    """

    first: pd.Timestamp
    last: pd.Timestamp
    read: str
    parameters: GarchParameters | None

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> KeptFit:
        """Return what `as_row` wrote down."""
        found = row["parameters"]
        return cls(
            first=pd.Timestamp(row["first"]),
            last=pd.Timestamp(row["last"]),
            read=row["read"],
            parameters=None if found is None else GarchParameters(**found),
        )

    def as_row(self) -> dict[str, Any]:
        """Return it as a plain row."""
        return {
            "first": f"{self.first:%Y-%m-%d}",
            "last": f"{self.last:%Y-%m-%d}",
            "read": self.read,
            "parameters": None if self.parameters is None else asdict(self.parameters),
        }


@dataclass
class KeptFits:
    """Fits by ticker and kind: what is known is looked up, the rest is made.

    Attributes:
        known: the newest fit of each kind; by ticker, and whether falls count more.
        changed: whether `known` is no longer what was read from the disk.
    """

    known: dict[tuple[str, bool], KeptFit] = field(default_factory=dict)
    changed: bool = False

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, Any]]) -> KeptFits:
        """Return the fits that `as_rows` wrote down."""
        return cls({(row["ticker"], row["falls"]): KeptFit.of_row(row) for row in rows})

    def as_rows(self) -> list[dict[str, Any]]:
        """Return the fits as plain rows, every number with all of its digits."""
        return [
            {"ticker": ticker, "falls": falls, **kept.as_row()}
            for (ticker, falls), kept in sorted(self.known.items())
        ]

    def fit(self, ticker: str, returns: pd.Series, *, falls: bool) -> GarchParameters | None:
        """Return the fit to a ticker's returns, as `fit_garch` makes it.

        Args:
            falls: see `fit_garch`.
        """
        read = hash_of(returns)
        kept = self.known.get((ticker, falls))
        if kept is None or kept.read != read:
            found = garch.fit_garch(returns, falls=falls)
            kept = KeptFit(returns.index[0], returns.index[-1], read, found)
            self.known[ticker, falls] = kept
            self.changed = True
        return kept.parameters

    def add(self, others: KeptFits) -> None:
        """Take over fits that were made elsewhere, as newer ones."""
        self.known |= others.known
        self.changed |= others.changed

    def forget(self, ticker: str) -> None:
        """Forget the fits of a ticker."""
        for key in [key for key in self.known if key[0] == ticker]:
            del self.known[key]
            self.changed = True


@dataclass(frozen=True)
class Rebuilt:
    """Fits that were made anew.

    Attributes:
        different: tickers of which a fit has other numbers, from the same returns.
        moved: tickers whose returns have changed since.
    """

    fits: KeptFits
    different: tuple[str, ...]
    moved: tuple[str, ...]


def rebuild(kept: KeptFits, returns: Mapping[str, pd.Series]) -> Rebuilt:
    """Make kept fits anew, over the same sessions, and say which have other numbers.

    Args:
        returns: of each ticker whose bars are there; fits of the others are forgotten.
    """
    made = KeptFits(changed=True)
    different: set[str] = set()
    moved: set[str] = set()
    for (ticker, falls), old in kept.known.items():
        now = returns.get(ticker, pd.Series(dtype=float)).loc[old.first : old.last]
        if len(now) < 2:
            continue
        made.fit(ticker, now, falls=falls)
        new = made.known[ticker, falls]
        if new.read != old.read:
            moved.add(ticker)
        elif new != old:
            different.add(ticker)
    return Rebuilt(made, tuple(sorted(different)), tuple(sorted(moved)))


def hash_of(returns: pd.Series) -> str:
    """Return the SHA-256 of what a fit reads, as hexadecimal digits."""
    return hashlib.sha256(returns.to_numpy("<f8").tobytes()).hexdigest()


def made_by(libraries: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Return what the digits of a fit depend on, beside what it reads."""
    versions = {name: importlib.metadata.version(name) for name in libraries}
    switch = os.environ.get(NUMBA_SWITCH, "")
    return {"lstm": __version__, **versions, "machine": platform.machine(), NUMBA_SWITCH: switch}
