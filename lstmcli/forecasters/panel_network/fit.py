"""The fit of a panel network: clock, ridges, members, and errors out of sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lstmcli.errors import NoDataError, shell_word
from lstmcli.forecasters.filtered_simulation import MIN_MEMORY
from lstmcli.forecasters.panel_network.blocks import BLOCKS, PIECES, Blocks, TrainingPanel
from lstmcli.forecasters.panel_network.columns import Columns
from lstmcli.forecasters.panel_network.inputs import Moments, Standardisation
from lstmcli.forecasters.panel_network.kept_columns import KeptColumns
from lstmcli.forecasters.panel_network.mapped import give_back, mapped
from lstmcli.forecasters.panel_network.modes import (
    CLOCKS,
    MODES,
    Mode,
    har_ridge_columns,
    own_columns,
    ridge_columns,
)
from lstmcli.forecasters.panel_network.network import STEPS
from lstmcli.forecasters.panel_network.shared import calendar_of
from lstmcli.forecasters.panel_network.state import PanelState, Stretch
from lstmcli.forecasters.panel_network.table import TrainingTable
from lstmcli.forecasters.panel_network.ticker_columns import GROUPS
from lstmcli.forecasters.panel_network.volatility import log_variances_in
from lstmcli.forecasters.ridge import Products, Ridge
from lstmcli.forecasters.small_products import one_thread
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
        shaped: of the tickers from whose errors shapes are taken.
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
    shaped: KeptColumns
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
    moments, shaped = Moments(), KeptColumns(panel, _shaped(panel))
    blocks = Blocks.of(reach)
    anchors = [steps.index(step) for step in STEPS]
    with one_thread():
        for ticker, bars in panel.items():
            found = columns.of(ticker, clocks, reaction)
            ahead = log_variances_ahead({ticker: bars}, steps)[ticker] - found.level[:, None]
            moved = cumulative_returns(bars, STEPS[-1])[:, np.array(STEPS) - 1]
            level = np.exp(found.level[:, None] / 2) * np.sqrt(STEPS)
            table.put(ticker, found, ahead[:, anchors], moved / level)
            table.release()
            if ticker in shaped.tickers:
                shaped.keep(ticker, found)
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
    with one_thread():
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
        shaped=shaped,
        learnt=tuple(np.isin(of_session, blocks.away(stretch)) for stretch in stretches),
    )


_last: dict[tuple[str, pd.Timestamp, int], Prepared] = {}


def prepare_once(panel: Panel, until: pd.Timestamp, horizon: int) -> Prepared:
    """Return what `prepare` makes of a panel up to a session; the last one is kept.

    For workers: the members of a fit are trained on the same.
    """
    key = panel.sha256, until, horizon
    if key not in _last:
        _last.clear()  # first: a universe's table is large
        _last[key] = prepare(panel.until(until), horizon)
    return _last[key]


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


def _shaped(panel: Panel) -> list[str]:
    """Return the tickers from whose errors shapes are taken: some of many, spread over all."""
    chosen = np.linspace(0, len(panel) - 1, min(len(panel), SHAPED)).round().astype(int)
    tickers = list(panel)
    return [tickers[number] for number in chosen]


@one_thread()
def with_shapes(state: PanelState, columns: KeptColumns) -> PanelState:
    """Return the state with smearing and shapes, from errors out of sample.

    Args:
        columns: of the tickers whose errors serve; their means are those of all of training.
    """
    smearing: dict[Mode, np.ndarray] = {}
    shapes: dict[Mode, np.ndarray] = {}
    errors = _Errors(state, columns)
    for mode in reversed(MODES):  # the plainest first
        if mode not in state.stretches[-1].wide:
            continue
        found = errors.of(mode)
        # Known on few sessions outside of one block, such as a series that begins late.
        smearing[mode], shapes[mode] = found or (smearing[MODES[-1]], shapes[MODES[-1]])
    return replace(state, smearing=smearing, shapes=shapes)


class _Errors:
    """Errors of volatilities out of sample, and what follows from them, one mode at a time.

    What is as large as the rows times the steps lies in files.
    """

    def __init__(self, state: PanelState, columns: KeptColumns) -> None:
        self._state, self._columns = state, columns
        steps = np.array(state.steps)
        rows = sum(len(columns.bars[ticker]) for ticker in columns.tickers)
        self._ahead, self._returns = mapped(np.float64, (2, rows, len(steps)))
        self._errors = mapped(np.float64, (len(steps), rows))
        self._rows_of: dict[str, slice] = {}
        start = 0
        for ticker in columns.tickers:
            bars = columns.bars[ticker]
            rows_of = slice(start, start + len(bars))
            self._ahead[rows_of] = log_variances_ahead({ticker: bars}, state.steps)[ticker]
            self._returns[rows_of] = cumulative_returns(bars, steps[-1])[:, steps - 1]
            self._rows_of[ticker], start = rows_of, rows_of.stop

    def of(self, mode: Mode) -> tuple[np.ndarray, np.ndarray] | None:
        """Return smearing (A,) and shapes (A, Q) of a mode; None of too few errors."""
        state, count = self._state, 0
        total, known = np.zeros((2, len(state.steps)))
        (way,) = log_variances_in(state, self._columns, self._columns.tickers, hide=[mode])
        for ticker, found in way.items():
            rows = found.modes == MODES.index(mode)
            rows &= found.sessions.to_numpy() <= state.ends[-1]
            ahead, returns = (
                self._ahead[self._rows_of[ticker]],
                self._returns[self._rows_of[ticker]],
            )
            size = np.exp((ahead - found.log_variance)[rows])
            total = np.concatenate([total[None], np.nan_to_num(size)]).sum(axis=0)
            known += np.isfinite(size).sum(axis=0)
            error = (returns / np.sqrt(state.steps) / np.exp(found.log_variance / 2))[rows]
            self._errors[:, count : count + len(error)] = error.T
            count += len(error)
            for array in (self._ahead, self._returns, self._errors):
                give_back(array)
        errors = self._errors[:, :count]
        if np.isfinite(errors[-1]).sum() < MIN_MEMORY:
            return None
        smearing = np.log(total / known)
        shapes = []
        for error, scale in zip(errors, np.exp(smearing / 2), strict=True):
            shapes.append(np.nanquantile(error / scale, QUANTILES))
            give_back(self._errors)
        return smearing, np.array(shapes)
