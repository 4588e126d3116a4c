"""What has to be said of a forecast beside its numbers."""

from __future__ import annotations

import pandas as pd

from lstmcli.forecasters.panel_network import NETWORK_READS
from lstmcli.report.wording import NOTE_ON_UNTESTED, note_on_short_history
from lstmcli.store.bars import BarsMeta
from lstmcli.store.runs import Manifest
from lstmcli.trading import has_shares

US_SHARES = "XNYS"
"""The calendar of the shares that the shipped network was judged on."""

SHARE = "EQUITY"
"""What Yahoo calls a share; funds, indices and currencies are something else."""


def is_share(meta: BarsMeta, ticker: str) -> bool:
    """Return whether bars may be of a share; nobody knows what a user's own bars are of."""
    return meta.kind in (None, SHARE) and has_shares(ticker)


def notes_on(
    manifest: Manifest, ticker: str, bars: pd.DataFrame, meta: BarsMeta
) -> tuple[str, ...]:
    """Return what to know of a forecast by the run that ships; nothing of other runs.

    Args:
        bars: that the forecast could read.
    """
    if not manifest.any_ticker:
        return ()
    notes = []
    if len(bars) < NETWORK_READS:
        notes.append(note_on_short_history(len(bars), NETWORK_READS))
    if not is_share(meta, ticker) or meta.calendar != US_SHARES:
        notes.append(NOTE_ON_UNTESTED)
    return tuple(notes)
