"""From columns to volatility: ridges and networks, blended, for every session of a panel."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.features.stacked import TOGETHER
from lstmcli.forecasters.panel_network.columns import Columns
from lstmcli.forecasters.panel_network.inputs import inputs_of
from lstmcli.forecasters.panel_network.modes import MODES, PLAIN, Mode, hidden
from lstmcli.forecasters.panel_network.network import RUN_IN, STEPS, Weights, corrections
from lstmcli.forecasters.panel_network.state import PanelState, Stretch
from lstmcli.forecasters.panel_network.ticker_columns import TickerColumns
from lstmcli.forecasters.small_products import by_rows

COMMON_SHARE = 0.5
"""Of p, the share that is taken off of what the tickers of a session have in common."""

CRPS_SHARE = 0.75
"""Of δ, the share that is added."""

HAR_WEIGHT = 0.1
"""Share of the HAR ridge in the logarithm of variance."""

_READS_PANEL = np.array([mode.panel for mode in MODES])
_READS_DATES = np.array([mode.dates > 0 for mode in MODES])


@dataclass(frozen=True)
class TickerVolatility:
    """The volatility of one ticker as the parts of a fit see it.

    Attributes:
        modes: (T,) numbers of `MODES`, of what serves each session.
        log_variance: (T, A) of the mean variance over the next steps; NaN where not known.
    """

    sessions: pd.DatetimeIndex
    modes: np.ndarray
    log_variance: np.ndarray


@dataclass
class _Common:
    """What the tickers of a panel have in common on each session, in modes that read a panel.

    Attributes:
        total, count: (S, A) and (S, 1) the sum over tickers, and how many they are.
        rows: by ticker, those of its sessions that count.
    """

    sessions: pd.DatetimeIndex
    total: np.ndarray
    count: np.ndarray
    rows: dict[str, np.ndarray]

    @classmethod
    def nothing(cls, sessions: pd.DatetimeIndex, steps: int) -> _Common:
        return cls(sessions, np.zeros((len(sessions), steps)), np.zeros((len(sessions), 1)), {})

    def add(self, ticker: str, volatility: TickerVolatility, common: np.ndarray) -> None:
        """Add the part (T, A) of one ticker whose mean is taken off."""
        reads = _READS_PANEL[volatility.modes]
        rows = np.flatnonzero(reads & np.isfinite(common).all(axis=1))
        at = self.sessions.get_indexer(volatility.sessions[rows])
        self.total[at] += common[rows]
        self.count[at] += 1
        self.rows[ticker] = rows

    def take_off(self, found: Mapping[str, TickerVolatility]) -> None:
        """Take the mean off."""
        mean = self.total / np.maximum(self.count, 1)
        for ticker, each in found.items():
            rows = self.rows[ticker]
            each.log_variance[rows] -= mean[self.sessions.get_indexer(each.sessions[rows])]


def _each_volatility(
    state: PanelState,
    columns: Columns,
    tickers: Sequence[str],
    hide: Sequence[Mode | None],
    since: pd.Timestamp | None,
) -> Iterator[tuple[str, list[tuple[TickerVolatility, np.ndarray]]]]:
    """Yield the volatility of each ticker in each way, and the part (T, A) of which a panel
    takes the mean off.

    Equation: ln σ²_h = level + (1 − w)·(R + p + ¾δ) + w·H, w = 0.1, R the wide ridge and H the
    HAR ridge of log variance less the level; the part is (1 − w)·(½p + ¾δ).
    """
    for start in range(0, len(tickers), TOGETHER):
        group = tickers[start : start + TOGETHER]
        found = columns.each(group, state.clocks, state.reaction, since=since)
        ways = [_of_group(state, found, mode, since) for mode in hide]
        yield from zip(group, map(list, zip(*ways, strict=True)), strict=True)


def _of_group(
    state: PanelState,
    group: Sequence[TickerColumns],
    hide: Mode | None,
    since: pd.Timestamp | None,
) -> list[tuple[TickerVolatility, np.ndarray]]:
    steps = np.asarray(state.steps)
    result, commons = [], []
    for columns in group:
        empty = np.full((len(columns.sessions), len(steps)), np.nan)
        modes = columns.modes()
        if hide is not None:
            modes = hidden(modes, columns.modes(soon=True), hide)
        result.append(TickerVolatility(columns.sessions, modes, empty))
        commons.append(empty.copy())
    blocks = [np.searchsorted(state.ends, columns.sessions.to_numpy()) for columns in group]
    asked = [c.known if since is None else c.known & (c.sessions >= since) for c in group]
    for number, stretch in enumerate(state.stretches):
        served = np.array([MODES.index(stretch.served(mode)) for mode in MODES])
        here = [
            np.flatnonzero((block == number) & each)
            for block, each in zip(blocks, asked, strict=True)
        ]
        chosen = [n for n, rows in enumerate(here) if len(rows)]
        inputs, run_in, dated = [], [], []
        for n in chosen:
            first, end = max(here[n][0] - RUN_IN, 0), here[n][-1] + 1
            part = group[n]
            modes = served[result[n].modes[first:end]]
            x = inputs_of(part.values[first:end], modes, state.standardisation)
            x[~part.known[first:end]] = 0.0
            inputs.append(x)
            run_in.append(here[n][0] - first)
            dated.append(_READS_DATES[modes[run_in[-1] :]])
        heads = _corrections(stretch, inputs, run_in, dated)
        for n, both in zip(chosen, heads, strict=True):
            rows, into = here[n], result[n]
            into.modes[rows] = served[into.modes[rows]]
            p, delta = (at_steps(both[rows - rows[0], head], steps) for head in (0, 1))
            ridges = _ridges(stretch, group[n].values[rows], into.modes[rows], len(steps))
            level = group[n].level[rows, None].astype(np.float64)
            network = ridges[0] + p + CRPS_SHARE * delta
            into.log_variance[rows] = level + (1 - HAR_WEIGHT) * network + HAR_WEIGHT * ridges[1]
            commons[n][rows] = (1 - HAR_WEIGHT) * (COMMON_SHARE * p + CRPS_SHARE * delta)
    return list(zip(result, commons, strict=True))


def _corrections(
    stretch: Stretch,
    inputs: Sequence[np.ndarray],
    run_in: Sequence[int],
    dated: Sequence[np.ndarray],
) -> list[np.ndarray]:
    """Return p and δ (T − R, 2, A) of each history: the mean over what serves a session.

    Args:
        inputs: (T, F) of each history.
        run_in: R of each; see `corrections`.
        dated: (T − R,) whether dates of announcements are known at a session.
    """
    plain = _sum_of(stretch.plain, [x[:, PLAIN] for x in inputs], run_in)
    # Networks that read dates have nothing to say of a history that never knows one.
    asked = [n for n, each in enumerate(dated) if each.any() or not stretch.plain]
    some = [inputs[n] for n in asked], [run_in[n] for n in asked]
    found = dict(zip(asked, _sum_of(stretch.networks, *some), strict=True))
    members, count = len(stretch.networks) + len(stretch.plain), max(len(stretch.plain), 1)
    heads = []
    for number, every in enumerate(plain):
        mean = every / count
        if number in found:
            here = dated[number] if stretch.plain else slice(None)
            mean[here] = (every[here] + found[number][here]) / max(members, 1)
        heads.append(mean)
    return heads


def _sum_of(
    networks: Sequence[Weights], inputs: Sequence[np.ndarray], run_in: Sequence[int]
) -> list[np.ndarray]:
    """Return the sum of the corrections (T − R, 2, A) of some networks for each history."""
    total = [
        np.zeros((len(x) - first, 2, len(STEPS))) for x, first in zip(inputs, run_in, strict=True)
    ]
    for weights in networks:
        for into, each in zip(total, corrections(weights, inputs, run_in), strict=True):
            into += each
    return total


def at_steps(corrections: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return corrections (T, A) at some steps, from those at `STEPS`.

    They are interpolated in ln h. Beyond the last they fade as 1/h: what is known of twenty
    sessions is the smaller a part of more.
    """
    known = np.log(STEPS)
    each = np.array([np.interp(np.log(steps), known, unit) for unit in np.eye(len(STEPS))])
    return by_rows(corrections, each * np.minimum(1.0, STEPS[-1] / steps))


def _ridges(
    stretch: Stretch, values: np.ndarray, modes: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what both ridges predict (T, A) in each row's mode."""
    wide, har = np.empty((2, len(values), steps))
    for number in np.unique(modes):
        rows = modes == number
        wide[rows] = stretch.wide[MODES[number]].predict(values[rows])
        har[rows] = stretch.har[MODES[number]].predict(values[rows])
    return wide, har


def log_variances(
    state: PanelState, columns: Columns, *, since: pd.Timestamp | None = None
) -> dict[str, TickerVolatility]:
    """Return each ticker's volatility, of all that the columns have.

    In the modes that read a panel, what its tickers have in common on a session is taken off
    in part: of the market's variance the ridge has said what there is to say.

    Args:
        since: the first session that is asked for; those before it are NaN. None: all.
    """
    tickers = tuple(columns.bars)
    (found,) = log_variances_in(state, columns, tickers, hide=(None,), since=since)
    return found


def log_variances_in(
    state: PanelState,
    columns: Columns,
    tickers: Collection[str],
    *,
    hide: Sequence[Mode | None],
    since: pd.Timestamp | None = None,
) -> list[dict[str, TickerVolatility]]:
    """Return the volatility of some tickers in several ways; columns are computed once.

    Args:
        tickers: the common parts are means over these.
        hide: modes; in each way, what the mode does not read is hidden although it is known.
        since: see `log_variances`.
    """
    smearing = np.zeros((len(MODES), len(state.steps)))
    for mode, of_mode in state.smearing.items():
        smearing[MODES.index(mode)] = of_mode
    ways: list[dict[str, TickerVolatility]] = [{} for _ in hide]
    for group in columns.groups.values():
        wanted = [ticker for ticker in group if ticker in tickers]
        each: list[dict[str, TickerVolatility]] = [{} for _ in hide]
        shared = [_Common.nothing(group.sessions(), len(state.steps)) for _ in hide]
        for ticker, in_ways in _each_volatility(state, columns, wanted, hide, since):
            for (volatility, part), found, common in zip(in_ways, each, shared, strict=True):
                common.add(ticker, volatility, part)
                found[ticker] = volatility
        for way, found, common in zip(ways, each, shared, strict=True):
            common.take_off(found)
            for volatility in found.values():
                volatility.log_variance[:] += smearing[volatility.modes]
            way |= found
    return ways
