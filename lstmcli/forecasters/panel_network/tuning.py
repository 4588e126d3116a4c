"""Tuning: the networks of a fit go on learning from a few tickers, each read alone.

All else stays as the start has it: ridges, clocks, standardisation, smearing and shapes.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lstmcli.errors import NoDataError, shell_word
from lstmcli.forecasters.panel_network.batches import EVERY, Batches
from lstmcli.forecasters.panel_network.columns import Columns
from lstmcli.forecasters.panel_network.fit import predictions
from lstmcli.forecasters.panel_network.network import STEPS, Weights
from lstmcli.forecasters.panel_network.settings import PanelNetworkConfig
from lstmcli.forecasters.panel_network.shared import calendar_of
from lstmcli.forecasters.panel_network.table import TrainingTable
from lstmcli.forecasters.panel_network.training import side_by_side, train_member
from lstmcli.forecasters.training import Watch, member_seed
from lstmcli.forecasters.volatility.regressors import LONG_WARM_UP, log_variances_ahead
from lstmcli.frames import cumulative_returns
from lstmcli.panel import Panel

if TYPE_CHECKING:
    from lstmcli.forecasters.panel_network.fitted import FittedPanel


def tune(start: FittedPanel, past: Panel, watch: Watch, fit: str) -> FittedPanel:
    """Return a start whose networks have gone on learning from a panel.

    Sessions up to the end of the panel are forecast by the start, later ones by what was tuned:
    so errors since the end of the start's fit are out of sample.

    Args:
        start: as its recipe, the one that tunes, ships it: it reads each ticker alone.

    Raises:
        NoDataError: no ticker has sessions enough to fill a span.
    """
    recipe, state = start.recipe, start.state
    [before] = state.stretches
    table = table_of(start, past)
    learnt = np.ones(len(table.sessions), bool)
    if not Batches(table, recipe.model, learnt, seed=recipe.seed):
        raise _too_few(past, recipe.model)
    kinds = [(before.plain, False)] if before.plain else []
    kinds += [(before.networks, True)] if before.networks and table.knows_dates() else []
    of = [
        (number, starts[(number - 1) % len(starts)], dates)
        for starts, dates in kinds or [(before.networks, True)]
        for number in range(1, recipe.members + 1)
    ]
    trained = side_by_side(
        [
            partial(
                train_member,
                recipe.model,
                table,
                learnt,
                held=None,
                seed=member_seed(recipe.seed, number),
                fit=fit,
                member=member,
                members=len(of),
                start=weights,
                dates=dates,
            )
            for member, (number, weights, dates) in enumerate(of, start=1)
        ],
        watch,
        recipe.threads,
    )
    networks: dict[bool, tuple[Weights, ...]] = {}
    for (_, _, dates), (weights, _) in zip(of, trained, strict=True):
        networks[dates] = (*networks.get(dates, ()), weights)
    after = replace(
        before,
        networks=networks.get(True, before.networks),
        plain=networks.get(False, before.plain),
    )
    last = past.sessions()[-1]
    return replace(
        start,
        state=replace(
            state,
            stretches=(before, after),
            ends=np.array([last], "datetime64[ns]"),
        ),
        tickers=tuple(past),
        fit_end=last,
        history=pd.concat([history for _, history in trained], ignore_index=True),
    )


def least_tuned(model: PanelNetworkConfig) -> int:
    """Return the fewest sessions with a level that are enough for a span, wherever it starts."""
    return model.span + EVERY


def table_of(start: FittedPanel, past: Panel) -> TrainingTable:
    """Return the rows of some tickers as the start reads them, each alone."""
    state = start.state
    anchors = [state.steps.index(step) for step in STEPS]
    table = TrainingTable(
        {ticker: pd.DatetimeIndex(bars.index) for ticker, bars in past.items()},
        {ticker: calendar_of(past, ticker) for ticker in past},
    )
    for ticker, bars in past.items():
        found = Columns(past.only([ticker])).of(ticker, state.clocks, state.reaction)
        level = found.level[:, None]
        moved = cumulative_returns(bars, STEPS[-1])[:, np.array(STEPS) - 1]
        in_level = moved / (np.exp(level / 2) * np.sqrt(STEPS))
        ahead = log_variances_ahead({ticker: bars}, STEPS)[ticker] - level
        table.put(ticker, found, ahead, in_level)
        table.release()
    last = state.stretches[-1]
    table.finish(state.standardisation, predictions(last, anchors))
    return table


def _too_few(past: Panel, model: PanelNetworkConfig) -> NoDataError:
    ticker = max(past, key=lambda name: len(past[name]))
    return NoDataError(
        f"{ticker}: Expected at least {LONG_WARM_UP + least_tuned(model)} sessions without holes "
        f"to tune a panel network. Received: {len(past[ticker])}.",
        hint=f"lstm fetch {shell_word(ticker)} --start 2000-01-01",
    )
