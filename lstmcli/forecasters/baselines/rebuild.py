"""Kept fits that are made anew, to see that the numbers are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from lstmcli.forecasters.baselines import BASELINES
from lstmcli.forecasters.baselines.garch import Gjr, kept_parameters
from lstmcli.forecasters.baselines.kept_fits import KeptFits, hash_of
from lstmcli.forecasters.baselines.monthly import MonthlyRecipe, make
from lstmcli.frames import numbers_of
from lstmcli.panel import Panel


@dataclass(frozen=True)
class Rebuilt:
    """Fits that were made anew.

    Attributes:
        different: tickers of which a fit has other numbers, from the same bars.
        moved: tickers whose bars have changed since.
    """

    fits: KeptFits
    different: tuple[str, ...]
    moved: tuple[str, ...]


def rebuild(kept: KeptFits, bars: Mapping[str, pd.DataFrame]) -> Rebuilt:
    """Make kept fits anew, over the same sessions, and say which have other numbers.

    Args:
        bars: of each ticker what forecasts may read.
    """
    made = KeptFits()
    different: set[str] = set()
    moved: set[str] = set()
    for ticker, own in bars.items():
        for kind, old in kept.of(ticker).items():
            read = own.loc[old.first : old.last]
            _fit(made, ticker, kind, read)
            new = made.of(ticker).get(kind)
            if new is None or new.read != old.read:
                moved.add(ticker)
            elif not new.equals(old):
                different.add(ticker)
    return Rebuilt(made, tuple(sorted(different)), tuple(sorted(moved)))


def _fit(made: KeptFits, ticker: str, kind: str, bars: pd.DataFrame) -> None:
    """Add a fit of a kind, where there are bars enough for one."""
    name, _, horizon = kind.partition(" ")
    if not len(bars):
        return
    if not horizon:  # parameters of GARCH alone
        kept_parameters(ticker, bars, name, name == Gjr.name, made)
        return
    recipe, panel = BASELINES[name](int(horizon)), Panel({ticker: bars}, {})
    assert isinstance(recipe, MonthlyRecipe)
    for numbers in make(recipe, panel).values():
        made.add(ticker, kind, bars, hash_of(numbers_of(bars)), numbers)
