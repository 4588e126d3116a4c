"""What a ticker is forecast from: a run, its bars, and the origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from lstmcli.errors import LstmError, NoDataError, shell_word
from lstmcli.panel import Panel
from lstmcli.pipeline.market import note_without, optional_series, series_key
from lstmcli.pipeline.session import Loaded, Session, today
from lstmcli.store.bars import BarsMeta
from lstmcli.store.files import check_ticker
from lstmcli.store.runs import Manifest
from lstmcli.store.shipped import PRETRAINED
from lstmcli.trading import check_origin, readable


@dataclass(frozen=True)
class Inputs:
    """What one ticker is forecast from.

    Attributes:
        bars: those up to the origin that a forecast may read.
        origin: the session of the last of them.
        known: the day by which events have to be known.
    """

    ticker: str
    manifest: Manifest
    bars: pd.DataFrame
    meta: BarsMeta
    origin: pd.Timestamp
    known: pd.Timestamp


def find_run(session: Session, run: str | None, ticker: str) -> Manifest:
    """Return the named run, else the newest one that knows the ticker, else the one that ships.

    Raises:
        NoDataError: there is none, or the named run knows other tickers.
        DataError: it is damaged.
    """
    try:
        manifest = session.manifest(run) if run else session.latest([ticker])
    except NoDataError:
        session.workspace.bars.check_stored(ticker)  # else it has to be fetched first
        if run:
            raise
        return session.manifest(PRETRAINED)
    if ticker not in manifest.tickers and not manifest.any_ticker:
        raise NoDataError(
            f"The run {manifest.run} knows {' '.join(manifest.tickers)}. Received: {ticker}.",
            hint=f"lstm train {shell_word(ticker)} --config {manifest.variant}.yaml",
        )
    return manifest


def find_inputs(
    session: Session, run: str | None, ticker: str, *, as_of: pd.Timestamp | None
) -> Inputs:
    """Return what a ticker is forecast from.

    Args:
        as_of: the origin is the last session up to this date; None: the last settled one.

    Raises:
        NoDataError: no run, or no bars up to `as_of`.
        DataError: the run or the bars are damaged, the ticker is suspended at the origin, or
            its price never moves.
        ConfigError: the ticker cannot be one.
    """
    manifest = find_run(session, run, check_ticker(ticker))
    settled, meta = session.settled(ticker)
    settled = settled if as_of is None else settled.loc[:as_of]
    if not len(settled):
        raise NoDataError(
            f"{ticker}: Expected a session up to {as_of:%Y-%m-%d}. "
            f"Received: bars from {meta.first_session} on.",
            hint=f"lstm fetch {shell_word(ticker)} --start {as_of:%Y-%m-%d}",
        )
    check_origin(settled, ticker)
    # What was known at the origin: a later suspension or relisting changes nothing.
    bars = readable(settled, meta.calendar)
    known = today() if as_of is None else min(as_of, today())
    return Inputs(ticker, manifest, bars, meta, pd.Timestamp(bars.index[-1]), known)


def panel_of_run(session: Session, asked: Sequence[Inputs]) -> Panel:
    """Return what a run may read at an origin: every ticker of it, its market, its events.

    A forecast is calibrated by the errors of all tickers of its run, and HAR reads the
    mean of the market. So they all take part, whichever are asked for. A run that forecasts
    any ticker takes each one alone.

    Args:
        asked: of one run and one origin.

    Raises:
        NoDataError: the workspace lacks a market series or a kind of events.
    """
    manifest, origin, known = asked[0].manifest, asked[0].origin, asked[0].known
    bars = {inputs.ticker: inputs.bars for inputs in asked}
    metas = {inputs.ticker: inputs.meta for inputs in asked}
    for ticker in () if manifest.any_ticker else manifest.tickers:
        if ticker not in bars:
            try:
                settled, meta = session.settled(ticker)
            except LstmError:
                continue  # its error is reported when this ticker is asked for
            bars[ticker] = readable(settled.loc[:origin], meta.calendar)
            metas[ticker] = meta
    calendars = {ticker: meta.calendar for ticker, meta in metas.items()}
    panel = Panel({ticker: bars[ticker] for ticker in sorted(bars)}, calendars)
    config = session.config(manifest.run)
    loaded = session.with_inputs(Loaded(panel, metas, {}), [config], known=known)
    # What a run has not learnt from it does not read, and nobody has to be told of it.
    read = {n: series_key(t) in manifest.bars for n, t in optional_series(config).items()}
    market = {n: one for n, one in loaded.panel.market.items() if read.get(n, True)}
    for series in loaded.absent:
        if series_key(series) in manifest.bars:
            session.warn_once(note_without(series), about=series)
    return loaded.panel.with_(market=market).until(origin)
