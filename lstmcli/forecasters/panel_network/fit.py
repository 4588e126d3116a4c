"""The fit of a panel network: clock, ridges, members, and errors out of sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lstmcli.errors import NoDataError, shell_word
from lstmcli.forecasters.filtered_simulation import MIN_MEMORY
from lstmcli.forecasters.panel_network.blocks import BLOCKS, PIECES, Blocks, TrainingPanel
from lstmcli.forecasters.panel_network.columns import Columns, calendar_of
from lstmcli.forecasters.panel_network.inputs import Moments, Standardisation
from lstmcli.forecasters.panel_network.modes import (
    CLOCKS,
    KNOWN,
    MODES,
    Mode,
    har_ridge_columns,
    own_columns,
    ridge_columns,
)
from lstmcli.forecasters.panel_network.network import STEPS
from lstmcli.forecasters.panel_network.state import PanelState, Stretch
from lstmcli.forecasters.panel_network.table import TrainingTable
from lstmcli.forecasters.panel_network.ticker_columns import GROUPS
from lstmcli.forecasters.panel_network.volatility import log_variances_in
from lstmcli.forecasters.ridge import Products, Ridge
from lstmcli.forecasters.volatility.announcements import AHEAD, Reaction, fit_reaction
from lstmcli.forecasters.volatility.clock import FittedClock, every_nth, fit_clock, learnt_rows
from lstmcli.forecasters.volatility.regressors import LONG_WARM_UP, log_variances_ahead
from lstmcli.frames import QUANTILES, cumulative_returns
from lstmcli.panel import Panel

RIDGE_STEPS = (*range(1, AHEAD + 1), 40, 60)
"""Steps that ridges are fitted at; others are interpolated in ln h. A report moves one session:
up to `AHEAD` each step has its own."""

WARM_UP = 226
"""Sessions before the first on which every own column is known: those of a year's momentum."""

MAX_HORIZON = 60
"""Sessions ahead; beyond them the clock would read what has not happened yet."""

SHAPED = 100
"""Tickers from whose errors shapes are taken; more would say the same, later."""


def ridge_steps(horizon: int) -> tuple[int, ...]:
    """Return the steps that ridges are fitted at, those of the network among them."""
    return tuple(sorted({*(h for h in RIDGE_STEPS if h <= max(horizon, STEPS[-1])), horizon}))


@dataclass(frozen=True)
class Prepared:
    """Everything that members are trained on.

    Attributes:
        scales: by stretch, of the loss.
        learnt: by stretch, (S,) which sessions of the table it may learn from.
    """

    steps: tuple[int, ...]
    clocks: Mapping[str, FittedClock]
    reaction: Reaction
    standardisation: Standardisation
    wide: tuple[Mapping[Mode, Ridge], ...]
    har: tuple[Mapping[Mode, Ridge], ...]
    ends: np.ndarray
    table: TrainingTable
    learnt: tuple[np.ndarray, ...]

    def held(self, stretch: int) -> np.ndarray | None:
        """Return the sessions (S,) of a block that its fit does not learn from; None of the last.

        The last stretch learns from all blocks.
        """
        if stretch == len(self.ends):
            return None
        sessions = self.table.sessions.to_numpy()
        return (np.searchsorted(self.ends, sessions) == stretch) & self.learnt[-1]


def prepare(panel: Panel, horizon: int) -> Prepared:
    """Return ridges of every stretch, and the table that members are trained on.

    Raises:
        NoDataError: too few sessions.
    """
    steps = ridge_steps(horizon)
    reach = TrainingPanel(panel, max(steps)).reach()
    if len(reach) < least_sessions(max(steps), len(panel)):
        raise _too_few(panel, max(steps), len(panel))
    columns = Columns(panel)
    clocks, reaction = _fit_clocks(columns), fit_reaction(map(columns.reported, panel))
    table = TrainingTable(
        {ticker: pd.DatetimeIndex(bars.index) for ticker, bars in panel.items()},
        {ticker: calendar_of(panel, ticker) for ticker in panel},
    )
    read = {
        mode: [*ridge_columns(mode), *own_columns(mode, steps), *har_ridge_columns(mode)]
        for mode in MODES
    }
    products = Products(
        [column for columns in read.values() for column in columns], len(steps), PIECES
    )
    needed = {number: read[group.mode] for number, group in enumerate(GROUPS)}
    moments = Moments()
    blocks = Blocks.of(reach)
    anchors = [steps.index(step) for step in STEPS]
    for ticker, bars in panel.items():
        found = columns.of(ticker, clocks, reaction)
        ahead = log_variances_ahead({ticker: bars}, steps)[ticker] - found.level[:, None]
        moved = cumulative_returns(bars, STEPS[-1])[:, np.array(STEPS) - 1]
        level = np.exp(found.level[:, None] / 2) * np.sqrt(STEPS)
        table.put(ticker, found, ahead[:, anchors], moved / level)
        table.release()
        pieces = np.where(found.known, blocks.pieces(found.sessions), -1)
        products.add(found.values, ahead, pieces, found.groups(), needed)
        moments.add(found.values[found.known])
    stretches = [*range(BLOCKS), None]
    ridges = [_ridges(products, steps, blocks.away(stretch)) for stretch in stretches]
    wide, har = (tuple(each) for each in zip(*ridges, strict=True))
    standardisation = moments.standardisation()
    last = Stretch(wide[-1], har[-1], ())
    if not wide[-1] or any(not each for each in wide):
        raise _too_few(panel, max(steps))
    table.finish(standardisation, predictions(last, anchors))
    of_session = blocks.pieces(table.sessions)
    return Prepared(
        steps=steps,
        clocks=clocks,
        reaction=reaction,
        standardisation=standardisation,
        wide=wide,
        har=har,
        ends=blocks.ends,
        table=table,
        learnt=tuple(np.isin(of_session, blocks.away(stretch)) for stretch in stretches),
    )


def _ridges(
    products: Products, steps: Sequence[int], pieces: Sequence[int]
) -> tuple[dict[Mode, Ridge], dict[Mode, Ridge]]:
    """Return the wide and the HAR ridge of each mode that has rows enough."""
    wide, har = {}, {}
    for mode in MODES:
        groups = {number for number, group in enumerate(GROUPS) if group.knows(mode)}
        if products.rows(pieces, groups) < _least_rows(mode):
            continue
        own = own_columns(mode, steps)
        wide[mode] = products.ridge(ridge_columns(mode), pieces, groups=groups, own=own)
        har[mode] = products.ridge(har_ridge_columns(mode), pieces, groups=groups, own=own)
    return wide, har


def predictions(last: Stretch, anchors: Sequence[int]) -> Callable[[np.ndarray], np.ndarray]:
    """Return what predicts by the wide ridges: from columns (T, K) to (T, M, A).

    Args:
        anchors: places of the network's steps among those of the ridges.
    """
    ridges = [last.wide[last.served(mode)].at(anchors) for mode in MODES]
    return lambda values: np.stack([ridge.predict(values) for ridge in ridges], axis=1)


def _fit_clocks(columns: Columns) -> dict[str, FittedClock]:
    """Return a clock for each kind of shock; of a kind that no session knows, the plainest."""
    nth = every_nth(sum(len(bars) for bars in columns.bars.values()))
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {kind: [] for kind in CLOCKS}
    for ticker, bars in columns.bars.items():
        days = columns.days(ticker)
        for kind, shock in columns.shocks(ticker).items():
            part = learnt_rows(shock, days, pd.DatetimeIndex(bars.index), nth)
            if np.isfinite(part[1]).any():
                parts[kind].append(part)
    fitted = {kind: fit_clock(found) for kind, found in parts.items() if found}
    return {kind: fitted.get(kind, fitted["own"]) for kind in CLOCKS}


def least_sessions(longest: int, tickers: int = 1) -> int:
    """Return the fewest sessions with targets that a fit needs.

    So that enough are left where a block and the targets that touch it are taken out.

    Args:
        tickers: that have so many each.
    """
    warming = WARM_UP - LONG_WARM_UP
    rows = -(-_least_rows(MODES[-1]) // tickers)
    return (max(MIN_MEMORY, rows + warming) + 2 * longest + 1) * BLOCKS // (BLOCKS - 1) + 1


def _least_rows(mode: Mode) -> int:
    """Return the fewest rows that the ridges of a mode are fitted on."""
    return 2 * len([*ridge_columns(mode), *har_ridge_columns(mode)]) + 1


def _too_few(panel: Panel, longest: int, tickers: int = 1) -> NoDataError:
    ticker = max(panel, key=lambda name: len(panel[name]))
    needed = LONG_WARM_UP + least_sessions(longest, tickers) + longest
    return NoDataError(
        f"{ticker}: Expected at least {needed} sessions for a panel network. "
        f"Received: {len(panel[ticker])}.",
        hint=f"lstm fetch {shell_word(ticker)} --start 2000-01-01",
    )


def with_shapes(state: PanelState, panel: Panel) -> PanelState:
    """Return the state with smearing and shapes, from errors out of sample.

    Args:
        panel: of training; of many tickers some serve, which read the means of all.
    """
    chosen = np.linspace(0, len(panel) - 1, min(len(panel), SHAPED)).round().astype(int)
    tickers = [list(panel)[number] for number in chosen]
    smearing: dict[Mode, np.ndarray] = {}
    shapes: dict[Mode, np.ndarray] = {}
    at = np.array(state.steps) - 1
    plainest, columns = MODES[-1], Columns(panel)
    for dates in reversed(KNOWN):  # not all modes at once: their forecasts fill the memory
        modes = [mode for mode in reversed(MODES) if mode in state.stretches[-1].wide]
        modes = [mode for mode in modes if mode.dates == dates]
        if not modes:
            continue
        every = log_variances_in(state, columns, tickers, hide=modes)
        variances = log_variances_ahead(panel.only(tickers), state.steps)
        for mode, found in zip(modes, every, strict=True):
            errors, sizes = [], []
            for ticker, each in found.items():
                rows = each.modes == MODES.index(mode)
                rows &= each.sessions.to_numpy() <= state.ends[-1]
                sizes.append((variances[ticker] - each.log_variance)[rows])
                moved = cumulative_returns(panel[ticker], max(state.steps))[:, at]
                errors.append((moved / np.sqrt(state.steps) / np.exp(each.log_variance / 2))[rows])
            size, error = np.concatenate(sizes), np.concatenate(errors)
            if np.isfinite(error[:, -1]).sum() < MIN_MEMORY:
                # Known on few sessions outside of one block, such as a series that begins late.
                smearing[mode], shapes[mode] = smearing[plainest], shapes[plainest]
                continue
            smearing[mode] = np.log(np.nanmean(np.exp(size), axis=0))
            scaled = error / np.exp(smearing[mode] / 2)
            shapes[mode] = np.nanquantile(scaled, QUANTILES, axis=0).T
    return replace(state, smearing=smearing, shapes=shapes)
