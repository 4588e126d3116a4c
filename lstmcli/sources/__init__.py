"""Where bars come from: one source a file, its config and its requests together.

To add one: write the file and add it to `AnySource`. `lstm fetch --source` and the
contract tests read this union.
"""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from lstmcli.sources.base import Delivery, SourceConfig
from lstmcli.sources.checks.holes import likely_calendar
from lstmcli.sources.checks.validation import check_series
from lstmcli.sources.csv import CsvSource
from lstmcli.sources.exchanges import calendar_for, names_exchange
from lstmcli.sources.joining import has_one_scale, why_not_joined
from lstmcli.sources.sample import SampleSource
from lstmcli.sources.update import joined, restatement, same, update_start, without_open_sessions
from lstmcli.sources.yahoo import YahooSource

_Sources = CsvSource | SampleSource | YahooSource

AnySource = Annotated[_Sources, Field(discriminator="name")]

SOURCES: dict[str, type[SourceConfig]] = {
    source.model_fields["name"].default: source for source in get_args(_Sources)
}

__all__ = [
    "SOURCES",
    "AnySource",
    "CsvSource",
    "Delivery",
    "SampleSource",
    "SourceConfig",
    "YahooSource",
    "calendar_for",
    "check_series",
    "has_one_scale",
    "joined",
    "likely_calendar",
    "names_exchange",
    "restatement",
    "same",
    "update_start",
    "why_not_joined",
    "without_open_sessions",
]
