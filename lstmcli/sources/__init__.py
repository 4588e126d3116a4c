"""Where bars come from: one source per file, one line per source below."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lstmcli.sources.base import Delivery, SourceConfig
from lstmcli.sources.csv import CsvSource
from lstmcli.sources.sample import SampleSource
from lstmcli.sources.update import joined, restatement, same, update_start
from lstmcli.sources.validation import check_series
from lstmcli.sources.yahoo import YahooSource

AnySource = Annotated[
    CsvSource
    | SampleSource
    | YahooSource,
    Field(discriminator="name"),
]  # fmt: skip

__all__ = [
    "AnySource",
    "CsvSource",
    "Delivery",
    "SampleSource",
    "SourceConfig",
    "YahooSource",
    "check_series",
    "joined",
    "restatement",
    "same",
    "update_start",
]
