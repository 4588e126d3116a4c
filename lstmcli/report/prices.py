"""What a price of a forecast is, in words: a close, or total return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from lstmcli.digits import in_words

CLOSE = "close"
"""The ticker pays no dividends, so that its close and its total return are one."""

EX_DIVIDEND = "ex-dividend"
"""Closes: dividends that were declared are subtracted from their ex-date on."""

TOTAL_RETURN = "total return"
"""The ticker pays dividends and none is declared: prices assume that any is reinvested."""


class Dividend(NamedTuple):
    """A declared dividend: its first session without it, and its amount per share."""

    ex_date: pd.Timestamp
    amount: float


@dataclass(frozen=True)
class PriceBasis:
    """What the prices of a ticker's forecast are.

    Attributes:
        kind: `close`, `ex-dividend` or `total return`.
        declared: the dividends that are subtracted, by ex-date.
        warning: why a declared dividend is not subtracted.
    """

    kind: str
    declared: tuple[Dividend, ...] = ()
    currency: str | None = None
    warning: str | None = None

    @property
    def unit(self) -> str:
        """Return what a price is, for a table or an axis: `total return, USD`."""
        name = TOTAL_RETURN if self.kind == TOTAL_RETURN else CLOSE
        return f"{name}, {self.currency}" if self.currency else name

    @property
    def axis(self) -> str:
        """Return what stands at an axis of recent closes and a forecast."""
        return f"close; cone: {self.unit}" if self.kind == TOTAL_RETURN else self.unit

    @property
    def sentence(self) -> str:
        """Return what a reader of prices must know; nothing of plain closes."""
        if self.kind == TOTAL_RETURN:
            return (
                "Total return: no declared amount is known, so prices assume that any dividend "
                "is reinvested."
            )
        if self.kind == CLOSE:
            return ""
        unit = f" {self.currency}" if self.currency else ""
        parts = [
            f"{in_words(amount)}{unit} from {ex_date:%Y-%m-%d} on"
            for ex_date, amount in self.declared
        ]
        return f"Closes less the declared dividend{'s' * (len(parts) > 1)}: {' and '.join(parts)}."

    def of_close(self, session: pd.Timestamp) -> str:
        """Return what is said behind "the close of" a session; mostly nothing."""
        if self.kind == TOTAL_RETURN:
            return ", with any dividend reinvested,"
        return ", without its dividend," if self.subtracted(session) else ""

    def subtracted(self, session: pd.Timestamp) -> float:
        """Return the dividends between the origin and a session, per share."""
        return sum(amount for ex_date, amount in self.declared if ex_date <= session)
