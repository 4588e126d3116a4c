"""What every feature is: a causal column of one ticker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from lstmcli.panel import View


@dataclass(frozen=True)
class Feature:
    """One causal column: what it is, and how it is computed.

    Attributes:
        column: from a view to one value for each session of the ticker, (T,). Row t
            uses what was known at the close of session t.
        series: the market series that it reads; None of a ticker's own bars.
    """

    name: str
    description: str
    unit: str
    source: str
    column: Callable[[View], pd.Series]
    series: str | None = None
