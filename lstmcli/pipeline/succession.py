"""Succession: when new bars may come in place of stored ones, and what is said of it."""

from __future__ import annotations

from datetime import date

import pandas as pd

from lstmcli.errors import DataError, shell_word
from lstmcli.sources import Delivery, why_not_joined
from lstmcli.store.bars import BarsMeta

MAX_LOST = 10
"""Sessions before the first or after the last new one that a restated history may lose."""


def why_no_succession(
    stored: pd.DataFrame, meta: BarsMeta, delivery: Delivery, fresh: pd.DataFrame
) -> str | None:
    """Return why bars may not come in place of the stored ones, or None if they may.

    Args:
        fresh: the bars of the delivery that are compared.
    """
    if fresh.empty:
        return "nothing was delivered"
    return why_not_joined(
        stored,
        fresh,
        doubts=doubts_of(stored, meta, delivery),
        new_currency=_has_changed(meta.currency, delivery.currency),
    )


def doubts_of(stored: pd.DataFrame, meta: BarsMeta, delivery: Delivery) -> tuple[str, ...]:
    """Return what else than the bars may tell of another security under the symbol."""
    doubts = [
        f"{name} {old}, now {new}"
        for name, old, new in (
            ("currency", meta.currency, delivery.currency),
            ("exchange", meta.exchange, delivery.exchange),
        )
        if _has_changed(old, new)
    ]
    first = delivery.first_trade
    if first is not None and first > stored.index[-1].date():
        doubts.append(f"first traded on {first}, after the last stored session")
    return tuple(doubts)


def too_short(stored: pd.DataFrame, bars: pd.DataFrame, start: date | None) -> str | None:
    """Return what would be lost if bars on another scale came in place of the stored ones.

    Args:
        start: what lies before is not wanted.
    """
    known = stored if start is None else stored.loc[pd.Timestamp(start) :]
    before, after = (known.index < bars.index[0]).sum(), (known.index > bars.index[-1]).sum()
    if max(before, after) <= MAX_LOST and len(bars) >= len(known) // 2:
        return None
    return (
        f"the closes are on another scale now, and of {len(known):,} stored sessions "
        f"{len(known.index.difference(bars.index)):,} are no longer there"
    )


def lost(stored: pd.DataFrame, bars: pd.DataFrame, fate: str) -> tuple[str, ...]:
    """Return a note on the stored sessions that new bars lack; none if they have all."""
    count = len(stored.index.difference(bars.index))
    return (f"stored sessions that the new bars lack: {count:,}; they {fate}",) if count else ()


def refusal(ticker: str, source: str, reason: str) -> DataError:
    """Return the error that keeps the stored bars."""
    return DataError(
        f"{ticker}: the bars of {source} do not join the stored ones: {reason}. "
        "What is stored stays.",
        hint="if the symbol means another security now, or the new bars are the right ones: "
        f"lstm fetch {shell_word(ticker)} --replace",
    )


def _has_changed(old: str | None, new: str | None) -> bool:
    return bool(old and new and old != new)
