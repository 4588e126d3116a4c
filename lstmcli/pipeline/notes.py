"""What has to be said of a forecast beside its numbers."""

from __future__ import annotations

from lstmcli.forecasters.panel_network import NETWORK_READS
from lstmcli.pipeline.inputs import Inputs
from lstmcli.report.wording import note_on_short_history, note_on_untested
from lstmcli.trading import has_shares

US_SHARES = "XNYS"
"""The calendar of the shares that the shipped network was judged on."""

SHARE = "EQUITY"
"""What Yahoo calls a share; funds, indices and currencies are something else."""


def notes_on(inputs: Inputs) -> tuple[str, ...]:
    """Return what to know of a forecast by the run that ships; nothing of other runs."""
    if not inputs.manifest.any_ticker:
        return ()
    notes = []
    if len(inputs.bars) < NETWORK_READS:
        notes.append(note_on_short_history(inputs.ticker, len(inputs.bars), NETWORK_READS))
    meta = inputs.meta
    is_share = meta.kind in (None, SHARE) and has_shares(inputs.ticker)
    if not is_share or meta.calendar != US_SHARES:
        notes.append(note_on_untested(inputs.ticker))
    return tuple(notes)
