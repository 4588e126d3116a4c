"""What a ticker is forecast from: a run, its bars, and the origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from lstmcli.errors import LstmError, NoDataError
from lstmcli.panel import Panel
from lstmcli.pipeline.session import Session
from lstmcli.store.bars import BarsMeta
from lstmcli.store.files import check_ticker
from lstmcli.store.runs import Manifest


@dataclass(frozen=True)
class Inputs:
    """What one ticker is forecast from.

    Attributes:
        bars: settled ones up to the origin.
        origin: the session of the last of them.
    """

    ticker: str
    manifest: Manifest
    bars: pd.DataFrame
    meta: BarsMeta
    origin: pd.Timestamp


def find_run(session: Session, run: str | None, ticker: str) -> Manifest:
    """Return the named run, else the newest one that knows the ticker.

    Raises:
        NoDataError: there is none, or the named run knows other tickers.
        DataError: it is damaged.
    """
    try:
        manifest = session.manifest(run) if run else session.latest([ticker])
    except NoDataError:
        session.bars(ticker)  # a ticker without bars has to be fetched first: its error says so
        raise
    if ticker not in manifest.tickers:
        raise NoDataError(
            f"The run {manifest.run} knows {' '.join(manifest.tickers)}. Received: {ticker}.",
            hint=f"lstm train {ticker} --config {manifest.variant}.yaml",
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
        DataError: the run or the bars are damaged.
        ConfigError: the ticker cannot be one.
    """
    manifest = find_run(session, run, check_ticker(ticker))
    loaded = session.panel([ticker])
    panel = loaded.panel if as_of is None else loaded.panel.until(as_of)
    bars, meta = panel[ticker], loaded.metas[ticker]
    if not len(bars):
        raise NoDataError(
            f"{ticker}: Expected a session up to {as_of:%Y-%m-%d}. "
            f"Received: bars from {meta.first_session} on.",
            hint=f"lstm fetch {ticker} --start {as_of:%Y-%m-%d}",
        )
    return Inputs(ticker, manifest, bars, meta, pd.Timestamp(bars.index[-1]))


def panel_of_run(session: Session, asked: Sequence[Inputs]) -> Panel:
    """Return the bars of every ticker of a run up to the origin.

    A forecast is calibrated by the errors of all tickers of its run, and HAR reads the
    mean of the market. So they all take part, whichever are asked for.

    Args:
        asked: of one run and one origin.
    """
    bars = {inputs.ticker: inputs.bars for inputs in asked}
    calendars = {inputs.ticker: inputs.meta.calendar for inputs in asked}
    for ticker in asked[0].manifest.tickers:
        if ticker not in bars:
            try:
                loaded = session.panel([ticker])
            except LstmError:
                continue  # its error is reported when this ticker is asked for
            bars[ticker] = loaded.panel[ticker].loc[: asked[0].origin]
            calendars[ticker] = loaded.metas[ticker].calendar
    return Panel({ticker: bars[ticker] for ticker in sorted(bars)}, calendars)
