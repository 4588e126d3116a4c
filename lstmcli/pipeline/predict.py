"""Predict: the next H sessions of each ticker, from its last settled bar."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lstmcli import clock
from lstmcli.errors import LstmError, NoDataError
from lstmcli.forecasters.base import join_forecasts
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.forecasters.blend import FittedRun
from lstmcli.forecasters.calibrated import FittedCalibrated
from lstmcli.frames import (
    COVERAGES,
    INTERVAL_COLUMNS,
    QUANTILE_COLUMNS,
    check_forecast,
    endpoints,
)
from lstmcli.panel import Panel
from lstmcli.pipeline._panel import load_panel
from lstmcli.pipeline.saved import fitted_from
from lstmcli.pipeline.train import stored_config
from lstmcli.sessions import sessions_behind
from lstmcli.store import Workspace
from lstmcli.store.bars import BarsMeta
from lstmcli.store.files import check_ticker
from lstmcli.store.runs import Manifest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """One ticker's forecast from one origin.

    Attributes:
        fitted: the networks that made it.
        panel: settled bars of the ticker up to the origin.
        forecast: a calibrated Forecast in log returns, H rows.
        raw: the same before calibration.
        prices: the same with quantiles and intervals in the ticker's currency.
        baseline: prices of the strongest baseline of the run's test block; None where
            its history is too short.
        beside: Forecasts of baselines in log returns, by name; the strongest and those asked for.
        sessions_behind: settled sessions after the origin that have no bar here; 0 is
            fresh, None where the user chose the origin.
        seen: whether the networks were fitted on sessions after the origin.
        path: where the prices were written.
    """

    ticker: str
    manifest: Manifest
    fitted: FittedRun
    panel: Panel
    forecast: pd.DataFrame
    raw: pd.DataFrame
    prices: pd.DataFrame
    baseline: pd.DataFrame | None
    beside: Mapping[str, pd.DataFrame]
    bars_sha: str
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
    try:
        manifest = workspace.runs.manifest(run) if run else workspace.runs.latest([ticker])
    except NoDataError:
        workspace.bars.read(ticker)  # a ticker that nobody fetched needs that first
        raise
    if ticker not in manifest.tickers:
        raise NoDataError(
            f"The run {manifest.run} knows {' '.join(manifest.tickers)}. Received: {ticker}.",
            hint=f"lstm train {ticker} --config {manifest.variant}.yaml",
        )
    return manifest


def load_run(workspace: Workspace, manifest: Manifest, *, with_keras: bool = False) -> FittedRun:
    """Return the fitted networks of a run.

    Raises:
        DataError: it is damaged, or another version wrote it.
    """
    store, run = workspace.runs, manifest.run
    files = store.read(manifest)
    recipe = stored_config(workspace, run, files.config).recipe()
    return fitted_from(files, recipe, store=store, run=run, with_keras=with_keras)


def predict(
    workspace: Workspace,
    tickers: Sequence[str],
    *,
    run: str | None = None,
    as_of: pd.Timestamp | None = None,
    with_keras: bool = False,
    beside: Sequence[str] = (),
) -> tuple[list[Prediction], list[Failure]]:
    """Forecast each ticker and write its CSV; one that fails leaves the others alone.

    Args:
        tickers: none is every ticker of the run.
        run: else of each ticker the newest that knows it.
        as_of: forecast from the last session up to this date.
        with_keras: load what can be explained, too, which takes seconds.
        beside: names of baselines that are wanted besides the strongest.

    Raises:
        NoDataError, DataError: no ticker is named, and there is no usable run.
    """
    if not tickers:
        tickers = (workspace.runs.manifest(run) if run else workspace.runs.latest()).tickers
    asked: dict[tuple[str, pd.Timestamp], list[_Ask]] = {}
    failed: dict[str, Failure] = {}
    for ticker in tickers:
        try:
            ask = _ask(workspace, run, ticker, as_of)
            asked.setdefault((ask.manifest.run, ask.origin), []).append(ask)
        except LstmError as error:
            failed[ticker] = Failure(ticker, error)
    loaded: dict[str, FittedRun] = {}
    done: dict[str, Prediction] = {}
    for (name, origin), asks in asked.items():
        try:
            if name not in loaded:
                loaded[name] = load_run(workspace, asks[0].manifest, with_keras=with_keras)
            # One pass for all tickers of a run and an origin: a universe costs little more.
            panel = _panel_of_run(workspace, asks)
            here = pd.DatetimeIndex([origin])
            raw, published = FittedCalibrated(loaded[name]).with_inner(panel, here)
            strongest = (asks[0].manifest.verdict or {}).get("strongest", "ewma")
            baselines = {
                each: _baseline(each, loaded[name], panel, here)
                for each in dict.fromkeys((strongest, *beside))
            }
        except LstmError as error:
            failed |= {ask.ticker: Failure(ask.ticker, error) for ask in asks}
            continue
        of_published, of_raw = _by_ticker(published), _by_ticker(raw)
        of_prices, beside_prices = (
            _by_ticker(in_prices(rows)) for rows in (published, baselines[strongest])
        )
        of_baselines = {each: _by_ticker(rows) for each, rows in baselines.items()}
        for ask in asks:
            try:
                done[ask.ticker] = _prediction(
                    workspace,
                    ask,
                    loaded[name],
                    _Forecasts(
                        published=of_published.get(ask.ticker),
                        raw=of_raw.get(ask.ticker),
                        prices=of_prices.get(ask.ticker),
                        baseline=beside_prices.get(ask.ticker),
                        baselines={
                            each: rows[ask.ticker]
                            for each, rows in of_baselines.items()
                            if ask.ticker in rows
                        },
                    ),
                    as_of,
                )
            except LstmError as error:
                failed[ask.ticker] = Failure(ask.ticker, error)
    return (
        [done[ticker] for ticker in tickers if ticker in done],
        [failed[ticker] for ticker in tickers if ticker in failed],
    )


@dataclass(frozen=True)
class _Ask:
    """What a ticker's forecast is made of."""

    ticker: str
    manifest: Manifest
    bars: pd.DataFrame
    meta: BarsMeta
    origin: pd.Timestamp


def _ask(workspace: Workspace, run: str | None, ticker: str, as_of: pd.Timestamp | None) -> _Ask:
    manifest = find_run(workspace, run, check_ticker(ticker))
    loaded = load_panel(workspace, [ticker])
    panel = loaded.panel if as_of is None else loaded.panel.until(as_of)
    bars, meta = panel[ticker], loaded.metas[ticker]
    if not len(bars):
        raise NoDataError(
            f"{ticker}: Expected a session up to {as_of:%Y-%m-%d}. "
            f"Received: bars from {meta.first_session} on.",
            hint=f"lstm fetch {ticker} --start {as_of:%Y-%m-%d}",
        )
    return _Ask(ticker, manifest, bars, meta, pd.Timestamp(bars.index[-1]))


def _panel_of_run(workspace: Workspace, asks: Sequence[_Ask]) -> Panel:
    """Return the bars of every ticker of a run up to the origin, those asked for first.

    A forecast is calibrated by the errors of all of them, and HAR reads the market:
    it must not depend on which were asked for together.
    """
    bars = {ask.ticker: ask.bars for ask in asks}
    calendars = {ask.ticker: ask.meta.calendar for ask in asks}
    for ticker in asks[0].manifest.tickers:
        if ticker not in bars:
            try:
                loaded = load_panel(workspace, [ticker])
            except LstmError:
                continue  # whoever asks for it is told why
            bars[ticker] = loaded.panel[ticker].loc[: asks[0].origin]
            calendars[ticker] = loaded.metas[ticker].calendar
    return Panel({ticker: bars[ticker] for ticker in sorted(bars)}, calendars)


def _by_ticker(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    groups = rows.groupby("ticker", sort=False)
    return {str(ticker): of_ticker.reset_index(drop=True) for ticker, of_ticker in groups}


@dataclass(frozen=True)
class _Forecasts:
    """What was forecast for one ticker; in log returns, but for `prices` and `baseline`."""

    published: pd.DataFrame | None
    raw: pd.DataFrame | None
    prices: pd.DataFrame | None
    baseline: pd.DataFrame | None
    baselines: Mapping[str, pd.DataFrame]


def _baseline(
    name: str, fitted: FittedRun, panel: Panel, origins: pd.DatetimeIndex
) -> pd.DataFrame:
    """Return the Forecast of a baseline; no rows where histories are too short."""
    recipe = BASELINES[name](fitted.network.recipe.window.horizon)
    try:
        return recipe.fit(panel, fitted.fit_end).forecast(panel, origins)
    except NoDataError:
        return join_forecasts([])


def _prediction(
    workspace: Workspace,
    ask: _Ask,
    fitted: FittedRun,
    forecasts: _Forecasts,
    as_of: pd.Timestamp | None,
) -> Prediction:
    """Return a forecast with what belongs to it, and write its prices.

    Raises:
        NoDataError: the history up to the origin is too short for a window.
        DiskError: the CSV cannot be written.
    """
    forecast, raw, prices = forecasts.published, forecasts.raw, forecasts.prices
    if forecast is None or raw is None or prices is None:
        lookback = fitted.network.recipe.window.lookback
        raise NoDataError(
            f"{ask.ticker}: Expected {lookback} sessions with every feature before "
            f"{ask.origin:%Y-%m-%d}. Received: {len(ask.bars)} bars, the first of which only "
            "warm features up.",
            hint=f"lstm fetch {ask.ticker} --start 2000-01-01",
        )
    check_forecast(forecast)
    behind = None
    if as_of is None:
        sessions = pd.DatetimeIndex(ask.bars.index)
        behind = sessions_behind(ask.meta.calendar, ask.origin, clock.now(), observed=sessions)
    return Prediction(
        ticker=ask.ticker,
        manifest=ask.manifest,
        fitted=fitted,
        panel=Panel({ask.ticker: ask.bars}, {ask.ticker: ask.meta.calendar}),
        forecast=forecast,
        raw=raw,
        prices=prices,
        baseline=forecasts.baseline,
        beside=forecasts.baselines,
        bars_sha=ask.meta.sha256,
        currency=ask.meta.currency,
        label=ask.meta.label,
        sessions_behind=behind,
        seen=ask.origin < fitted.fit_end,
        path=workspace.write_forecast(
            with_baseline(prices, forecasts.baseline), ticker=ask.ticker, run=ask.manifest.run
        ),
    )


def with_baseline(prices: pd.DataFrame, baseline: pd.DataFrame | None) -> pd.DataFrame:
    """Return the network's rows and, after them, the baseline's."""
    return prices if baseline is None else pd.concat([prices, baseline], ignore_index=True)


def in_prices(forecast: pd.DataFrame) -> pd.DataFrame:
    """Return a Forecast with quantiles and intervals as prices: `last_close * exp(q)`.

    A recipe without intervals of its own gets its quantiles as such. Returns
    include dividends, so these prices assume that dividends are reinvested.
    """
    ends = [column for share in COVERAGES for column in endpoints(forecast, share)]
    forecast = forecast.assign(**dict(zip(INTERVAL_COLUMNS, ends, strict=True)))
    levels = [*QUANTILE_COLUMNS, *INTERVAL_COLUMNS]
    prices = np.exp(forecast[levels]).mul(forecast["last_close"], axis=0)
    return forecast.assign(**{name: prices[name] for name in levels})
