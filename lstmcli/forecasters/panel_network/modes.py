"""Names of the columns, and which of them ridges and network read, by mode.

A mode is what a forecast can read beside a ticker's own bars. What a mode lacks, such as the
means of a panel for a ticker alone, is masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lstmcli.forecasters.volatility.announcements import AHEAD, DATE_COLUMNS, DATES_BEHIND, SOON
from lstmcli.forecasters.volatility.clock import CLOCK_STEPS
from lstmcli.forecasters.volatility.regressors import LEVEL, SPANS

VIX, INDEX = "vix", "index"
"""Names of the market series, as in `market: {vix: ^VIX, index: ^GSPC}`."""


class Mode(NamedTuple):
    """What a forecast can read beside a ticker's own bars.

    Attributes:
        panel: means over the tickers that trade on the session, of `MIN_POOL` at least.
        market: the series `vix` and `index`.
        dates: for how many sessions ahead it is known which hear of a report; one of `KNOWN`.
    """

    panel: bool
    market: bool
    dates: int


KNOWN = (AHEAD, SOON, 0)
"""All that the dates of announcements can tell; that none comes within `SOON`; nothing."""

MODES = tuple(
    Mode(panel, market, dates)
    for dates in KNOWN
    for panel in (True, False)
    for market in (True, False)
)

SHAPE_SPANS = (5, 22)
MOMENTUM_SPANS = (5, 22, 66, 252)
HAR = (LEVEL, *(f"variance_{span}" for span in SPANS), "fall_1", "fall_5", "size_1")
VOLUME = tuple(f"volume_{span}" for span in SPANS[:-1])
REPORTS = tuple(f"report_{name}_{last}" for name in ("range", "volume") for last in (1, 5, 20))
SHAPE = (
    *(f"gap_{span}" for span in SHAPE_SPANS),
    *(f"downside_{span}" for span in SHAPE_SPANS),
    *(f"close_to_close_{span}" for span in SHAPE_SPANS),
    *(f"momentum_{span}" for span in MOMENTUM_SPANS),
    "since_large",
    "ewma",
    "max_variance_22",
    "median_variance_22",
)
LAGS = tuple(f"variance_lag_{k}" for k in range(1, 20)) + tuple(
    f"fall_lag_{k}" for k in range(1, 10)
)
MEANS = tuple(f"mean_{name}" for name in HAR[1:])
VIX_OWN = ("vix_less_level",)
VIX_COLUMNS = ("vix_less_mean", "vix_change_1", "vix_change_5", "vix_less_mean_22")
INDEX_COLUMNS = (
    *(f"index_variance_{span}" for span in SPANS[:-1]),
    *(f"index_return_{span}" for span in SPANS[:-1]),
)
CALENDAR = (
    "days_to_next",
    "friday",
    *(f"{wave}_{k}" for k in (1, 2, 3) for wave in ("sin", "cos")),
)
CLOCK = (
    "shock_range",
    "shock_volume",
    *(f"ahead_{h}" for h in range(1, 6)),
    "ahead_6_10",
    "ahead_11_20",
    "past_6",
    *(f"clock_{h}" for h in CLOCK_STEPS),
)
CLOCKS = ("panel", "index", "own")
"""What the shocks that a clock reads are counted from; `own`: from nothing."""

DATES_AHEAD = tuple(
    name
    for name in DATE_COLUMNS
    if name not in DATES_BEHIND and name not in {f"date_{h}" for h in range(1, AHEAD + 1)}
)
DATES = (*(f"date_{h}" for h in CLOCK_STEPS), *DATES_AHEAD, *DATES_BEHIND)
"""What the network reads of announcements; each ridge reads `date_h` of its own step."""

COLUMNS = (
    *(*HAR, *VOLUME, *REPORTS, *SHAPE, "return", *LAGS, *CALENDAR),
    *(*MEANS, *VIX_OWN, *VIX_COLUMNS, *INDEX_COLUMNS),
    *(f"{kind}_{name}" for kind in CLOCKS for name in CLOCK),
    *DATE_COLUMNS,
)
"""Every column; K of them."""

FLAGS = 4
"""Inputs of the network that say which groups are known: the panel's means, the market, that
no report comes within `SOON` sessions, and all dates."""


def places(names: Sequence[str]) -> list[int]:
    """Return where some columns stand among all."""
    return [COLUMNS.index(name) for name in names]


def clock_of(mode: Mode) -> str:
    """Return which clock a mode reads."""
    return "panel" if mode.panel else "index" if mode.market else "own"


def ridge_columns(mode: Mode) -> list[int]:
    """Return which columns the wide ridge of a mode reads at every step."""
    names = [*HAR, *LAGS, *VOLUME, *REPORTS, *SHAPE, *CALENDAR]
    names += [f"{clock_of(mode)}_clock_{h}" for h in CLOCK_STEPS]
    names += MEANS if mode.panel else ()
    names += (*VIX_OWN, *VIX_COLUMNS, *INDEX_COLUMNS) if mode.market else ()
    names += DATES_BEHIND if mode.dates else ()
    return places(names)


def own_columns(mode: Mode, steps: Sequence[int]) -> list[int]:
    """Return the column that both ridges read at each of some steps alone; empty: none."""
    return places([f"date_{min(h, AHEAD)}" for h in steps]) if mode.dates == AHEAD else []


def har_ridge_columns(mode: Mode) -> list[int]:
    """Return which columns the HAR ridge of the blend reads: those of `har_ridge`."""
    return places([*HAR, *(MEANS if mode.panel else ()), *LAGS, *VOLUME, *REPORTS])


def network_columns(mode: Mode) -> list[int]:
    """Return which columns (F,) the network reads in a mode; the flags follow them.

    The same place means the same thing in every mode; what the mode lacks is masked, see
    `masked_inputs`.
    """
    names = [*HAR, *VOLUME, *REPORTS, *SHAPE, "return", *CALENDAR]
    names += [*MEANS, *VIX_OWN, *VIX_COLUMNS, *INDEX_COLUMNS]
    names += [f"{clock_of(mode)}_{name}" for name in CLOCK]
    return places([*names, *DATES])


def masked_inputs(mode: Mode) -> np.ndarray:
    """Return which inputs (F,) of the network a mode lacks."""
    lacking = () if mode.panel else MEANS
    lacking += () if mode.market else (*VIX_OWN, *VIX_COLUMNS, *INDEX_COLUMNS)
    lacking += {AHEAD: (), SOON: DATES[: -len(DATES_BEHIND)], 0: DATES}[mode.dates]
    return np.isin(network_columns(mode), places(lacking))


def hidden(modes: np.ndarray, soon: np.ndarray, least: Mode) -> np.ndarray:
    """Return the modes of sessions from which all is hidden that a mode does not read.

    Args:
        modes: (…) numbers of `MODES`.
        soon: (…) the same if dates became known `SOON` sessions ahead.
    """
    if least.dates == SOON:
        modes = soon
    elif not least.dates:
        modes = modes % 4 + 4 * KNOWN.index(0)
    return modes | (0 if least.panel else 2) | (0 if least.market else 1)


INPUTS = len(network_columns(MODES[0])) + FLAGS
"""F: what the network reads of a session, the flags included."""

_BEFORE_DATES = INPUTS - FLAGS - len(DATES)

PLAIN = (*range(_BEFORE_DATES), INPUTS - FLAGS, INPUTS - FLAGS + 1)
"""Which inputs a network reads that knows no dates: the flags of the panel and the market last."""
