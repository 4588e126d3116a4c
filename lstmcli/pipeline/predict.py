"""Predict: the next H sessions of each ticker, from its last settled bar."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lstmcli import clock
from lstmcli.errors import LstmError, NoDataError
from lstmcli.forecasters.network import FittedNetwork
from lstmcli.frames import QUANTILE_COLUMNS, Panel, check_forecast
from lstmcli.pipeline._panel import load_panel
from lstmcli.pipeline.train import recipe_of, stored_config
from lstmcli.sessions import sessions_behind
from lstmcli.store import Workspace
from lstmcli.store._files import check_ticker
from lstmcli.store.runs import Manifest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """One ticker's forecast from one origin.

    Attributes:
        fitted: the networks that made it.
        panel: settled bars of the ticker up to the origin.
        forecast: a Forecast in log returns, H rows.
        prices: the same with quantiles in the ticker's currency.
        sessions_behind: settled sessions after the origin that have no bar here; 0 is
            fresh, None where the user chose the origin.
        seen: whether the networks were fitted on sessions after the origin.
        path: where the prices were written.
    """

    ticker: str
    manifest: Manifest
    fitted: FittedNetwork
    panel: Panel
    forecast: pd.DataFrame
    prices: pd.DataFrame
    currency: str | None
    label: str | None
    sessions_behind: int | None
    seen: bool
    path: Path

    @property
    def bars(self) -> pd.DataFrame:
        return self.panel[self.ticker]

    @property
    def made_on(self) -> pd.Timestamp:
        return pd.Timestamp(self.forecast["made_on"].iloc[0])

    @property
    def last_close(self) -> float:
        return float(self.forecast["last_close"].iloc[0])


@dataclass(frozen=True)
class Failure:
    """A ticker without a forecast, and why."""

    ticker: str
    error: LstmError


def find_run(workspace: Workspace, run: str | None, ticker: str) -> Manifest:
    """Return the named run, else the newest one that knows the ticker.

    Raises:
        NoDataError: there is none, or the named run knows other tickers.
        DataError: it is damaged.
    """
    if not run and ticker not in workspace.bars.tickers():
        workspace.bars.read(ticker)  # says how to get it; a run comes second
    manifest = workspace.runs.manifest(run) if run else workspace.runs.latest([ticker])
    if ticker not in manifest.tickers:
        raise NoDataError(
            f"The run {manifest.run} knows {' '.join(manifest.tickers)}. Received: {ticker}.",
            hint=f"lstm train {ticker} --config {manifest.variant}.yaml",
        )
    return manifest


def load_run(
    workspace: Workspace, manifest: Manifest, *, with_keras: bool = False
) -> FittedNetwork:
    """Return the fitted networks of a run.

    Raises:
        DataError: it is damaged, or another version wrote it.
    """
    config = stored_config(workspace, manifest.run, workspace.runs.config_text(manifest))
    return workspace.runs.load(manifest, recipe_of(config), with_keras=with_keras)


def predict(
    workspace: Workspace,
    tickers: Sequence[str],
    *,
    run: str | None = None,
    as_of: pd.Timestamp | None = None,
    with_keras: bool = False,
) -> tuple[list[Prediction], list[Failure]]:
    """Forecast each ticker and write its CSV; one that fails leaves the others alone.

    Args:
        tickers: none is every ticker of the run.
        run: else of each ticker the newest that knows it.
        as_of: forecast from the last session up to this date.
        with_keras: load what can be explained, too, which takes seconds.

    Raises:
        NoDataError, DataError: no ticker is named, and there is no usable run.
    """
    if not tickers:
        tickers = (workspace.runs.manifest(run) if run else workspace.runs.latest()).tickers
    loaded: dict[str, FittedNetwork] = {}
    done, failed = [], []
    for ticker in tickers:
        try:
            manifest = find_run(workspace, run, check_ticker(ticker))
            if manifest.run not in loaded:
                loaded[manifest.run] = load_run(workspace, manifest, with_keras=with_keras)
            done.append(_predict_one(workspace, manifest, loaded[manifest.run], ticker, as_of))
        except LstmError as error:
            failed.append(Failure(ticker, error))
    return done, failed


def _predict_one(
    workspace: Workspace,
    manifest: Manifest,
    fitted: FittedNetwork,
    ticker: str,
    as_of: pd.Timestamp | None,
) -> Prediction:
    loaded = load_panel(workspace, [ticker])
    panel = loaded.panel if as_of is None else loaded.panel.until(as_of)
    bars, meta = panel[ticker], loaded.metas[ticker]
    if not len(bars):
        raise NoDataError(
            f"{ticker}: Expected a session up to {as_of:%Y-%m-%d}. "
            f"Received: bars from {meta.first_session} on.",
            hint=f"lstm fetch {ticker} --start {as_of:%Y-%m-%d}",
        )
    origin = pd.Timestamp(bars.index[-1])
    forecast = forecast_from(fitted, panel, ticker, origin)
    behind = sessions_behind(
        meta.calendar, origin, clock.now(), observed=pd.DatetimeIndex(bars.index)
    )
    prices = in_prices(forecast)
    return Prediction(
        ticker=ticker,
        manifest=manifest,
        fitted=fitted,
        panel=panel,
        forecast=forecast,
        prices=prices,
        currency=meta.currency,
        label=meta.label,
        sessions_behind=behind if as_of is None else None,
        seen=origin < fitted.fit_end,
        path=workspace.write_forecast(prices, ticker=ticker, run=manifest.run),
    )


def forecast_from(
    fitted: FittedNetwork, panel: Panel, ticker: str, origin: pd.Timestamp
) -> pd.DataFrame:
    """Return the Forecast of one ticker from one origin.

    Raises:
        NoDataError: the history up to the origin is too short for a window.
    """
    forecast = fitted.forecast(panel, pd.DatetimeIndex([origin]))
    if not len(forecast):
        lookback = fitted.recipe.window.lookback
        raise NoDataError(
            f"{ticker}: Expected {lookback} sessions with every feature before {origin:%Y-%m-%d}. "
            f"Received: {len(panel[ticker])} bars, the first of which only warm features up.",
            hint=f"lstm fetch {ticker} --start 2000-01-01",
        )
    check_forecast(forecast)
    return forecast


def in_prices(forecast: pd.DataFrame) -> pd.DataFrame:
    """Return a Forecast with its quantiles as prices: `last_close * exp(q)`.

    Returns include dividends, so these prices assume that dividends are
    reinvested.
    """
    levels = list(QUANTILE_COLUMNS)
    prices = np.exp(forecast[levels]).mul(forecast["last_close"], axis=0)
    return forecast.assign(**{name: prices[name] for name in levels})
