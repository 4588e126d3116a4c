"""Hints that repeat what was asked for: the source, the file and the other options."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import date

from lstmcli.errors import LstmError
from lstmcli.sources import AnySource
from lstmcli.store.bars import BarsStore


def fetch_options(
    store: BarsStore,
    source: AnySource | None,
    start: date | None = None,
    calendar: str | None = None,
    allow_jumps: Collection[date] = (),
) -> list[str]:
    """Return what was asked for beside the tickers, as options of `lstm fetch`."""
    options = ["--market"] if store.market else []
    options += [source.options()] if source is not None else []
    options += [f"--start {start}"] if start else []
    options += [f"--calendar {calendar}"] if calendar else []
    return options + [f"--allow-jumps {day}" for day in sorted(allow_jumps)]


def complete_hint(error: LstmError, options: Sequence[str]) -> None:
    """Add what was asked for to each command `lstm fetch` of a hint that lacks it.

    Sources and checks write hints for a ticker alone: they know neither the store nor
    the options. A dropped --file would send the user to Yahoo.
    """
    if not error.hint:
        return
    error.hint = _COMMAND.sub(lambda found: _completed(found, options), error.hint)


def point_to_daily(error: LstmError) -> None:
    """Let a hint to fetch later name `lstm daily`, which fetches and does the rest too."""
    if error.hint:
        error.hint = re.sub(r"^(try again later: )lstm fetch .*", r"\1lstm daily", error.hint)


_COMMAND = re.compile(
    r"lstm fetch(?P<ticker> (?!-)(?:'[^']*'|[^\s,]+))?(?P<rest>(?:(?!lstm fetch).)*)"
)


def _completed(found: re.Match[str], options: Sequence[str]) -> str:
    ticker, rest = found["ticker"] or "", found["rest"]
    market = " --market" if "--market" in options and "--market" not in rest else ""
    # An option of its own, such as --start, stands; of --allow-jumps there may be several.
    lacking = [
        option
        for option in options
        if option != "--market"
        and option not in rest
        and (option.split()[0] not in rest or option.startswith("--allow-jumps"))
    ]
    if not ticker and rest.strip().startswith("--"):
        lacking = []
    return f"lstm fetch{market}{ticker}{''.join(f' {option}' for option in lacking)}{rest}"
