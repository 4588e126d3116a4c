"""Predict: the next H sessions of each ticker, from its last settled bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lstmcli import clock
from lstmcli.errors import LstmError, NoDataError, TooYoungError, shell_word
from lstmcli.executors import HERE, Workers
from lstmcli.forecasters.run_recipe import FittedRun
from lstmcli.frames import check_forecast, small_tables
from lstmcli.panel import Panel
from lstmcli.pipeline.forecast_writer import MANY, ForecastWriter
from lstmcli.pipeline.inputs import Inputs, find_inputs
from lstmcli.pipeline.market import StaleSeries, check_market, notes_on_stale
from lstmcli.pipeline.next_report import reads_announcements, reports_at
from lstmcli.pipeline.notes import notes_on
from lstmcli.pipeline.prices import Written, in_prices, price_basis
from lstmcli.pipeline.run_forecasts import ManyWorkers, forecast_run
from lstmcli.pipeline.session import Session
from lstmcli.report.announcements import Reports
from lstmcli.report.prices import PriceBasis
from lstmcli.report.verdict_record import hardest_baseline
from lstmcli.report.wording import note_on_seen
from lstmcli.sessions import sessions_behind
from lstmcli.store.files import check_ticker
from lstmcli.store.runs import Manifest

YAHOO = "yahoo"
"""The source that delivers every session there is, where no start was asked for."""


@dataclass(frozen=True)
class Prediction:
    """One ticker's forecast from one origin.

    Attributes:
        fitted: what made it.
        panel: what the run read of the ticker at the origin.
        forecast: a calibrated Forecast in log returns, H rows.
        issued: what the ledger keeps of it and of those beside it; see `RunForecasts.issued`.
        prices: `forecast` with quantiles and intervals in the ticker's currency; see `in_prices`.
        basis: what these prices are: closes, or total return.
        baseline: prices of the hardest baseline of the run's verdict; None where its
            history is too short.
        earlier: the calibrated Forecast from the session before, H rows, where it was asked for
            and costs next to nothing; else None.
        sessions_behind: settled sessions after the origin that have no bar here; 0 is
            fresh, None where the user chose the origin.
        seen: whether the networks were fitted on sessions after the origin.
        notes: what else has to be said of it.
        reports: what it could know of the ticker's reports.
        path: where the prices were written.
    """

    ticker: str
    manifest: Manifest
    fitted: FittedRun
    panel: Panel
    forecast: pd.DataFrame
    issued: pd.DataFrame
    prices: pd.DataFrame
    basis: PriceBasis
    baseline: pd.DataFrame | None
    bars_sha: str
    currency: str | None
    label: str | None
    sessions_behind: int | None
    seen: bool
    path: Path
    earlier: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()
    reports: Reports = field(default_factory=Reports)

    @property
    def bars(self) -> pd.DataFrame:
        return self.panel[self.ticker]

    @cached_property
    def made_on(self) -> pd.Timestamp:
        return pd.Timestamp(self.forecast["made_on"].iloc[0])

    @property
    def seen_note(self) -> str | None:
        """What to know of a forecast from an origin that the networks have seen; else None."""
        if not self.seen:
            return None
        return note_on_seen(f"{self.made_on:%Y-%m-%d}", f"{self.fitted.fit_end:%Y-%m-%d}")

    @cached_property
    def last_close(self) -> float:
        return float(self.forecast["last_close"].iloc[0])


@dataclass(frozen=True)
class Failure:
    """A ticker without a forecast, and why."""

    ticker: str
    error: LstmError


@small_tables
def predict(
    session: Session,
    tickers: Sequence[str],
    *,
    run: str | None = None,
    as_of: pd.Timestamp | None = None,
    with_keras: bool = False,
    beside: Sequence[str] = (),
    with_earlier: bool = False,
    workers: Workers = HERE,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[list[Prediction], list[Failure]]:
    """Forecast each ticker and write its prices; one that fails leaves the others alone.

    Up to `MANY` tickers have a CSV file each; more have one Parquet file together.

    Args:
        tickers: none is every ticker of the run, or without a run every stored one.
        run: else of each ticker the newest that knows it, or the one that ships.
        as_of: forecast from the last session up to this date.
        with_keras: load what can be explained, too, which takes seconds.
        beside: names of baselines that are wanted besides the hardest.
        with_earlier: forecast from the session before, too, where that costs next to nothing.
        workers, say: see `forecast_run`.

    Raises:
        NoDataError, DataError: no ticker is named, and there is no usable run or no bar.
    """
    tickers = tickers or default_tickers(session, run)
    with ManyWorkers(workers, len(tickers)) as started:
        return _predict(
            session,
            tickers,
            run=run,
            as_of=as_of,
            with_keras=with_keras,
            beside=beside,
            with_earlier=with_earlier,
            workers=started,
            say=say,
        )


def _predict(
    session: Session,
    tickers: Sequence[str],
    *,
    run: str | None,
    as_of: pd.Timestamp | None,
    with_keras: bool,
    beside: Sequence[str],
    with_earlier: bool,
    workers: ManyWorkers,
    say: Callable[[str], None],
) -> tuple[list[Prediction], list[Failure]]:
    groups: dict[tuple[str, pd.Timestamp], list[Inputs]] = {}
    failed: dict[str, Failure] = {}
    for ticker in tickers:
        try:
            inputs = find_inputs(session, run, ticker, as_of=as_of)
        except LstmError as error:
            failed[ticker] = Failure(ticker, error)
            continue
        groups.setdefault((inputs.manifest.run, inputs.origin), []).append(inputs)
        if inputs.manifest.any_ticker:  # its tickers can be forecast side by side
            try:
                workers.start()
            except LstmError as error:
                return [], [Failure(ticker, error) for ticker in tickers]
    done: dict[str, Prediction] = {}
    for (name, origin), asked in groups.items():
        try:
            fitted = session.fitted(name, with_keras=with_keras)
            hardest = hardest_baseline(asked[0].manifest.verdict) or "ewma"
            found = forecast_run(
                session,
                fitted,
                asked,
                beside=tuple(dict.fromkeys((hardest, *beside))),
                keep=as_of is None,
                with_earlier=with_earlier,
                workers=workers,
                say=say,
            )
            panel, published, baselines = found.panel, found.published, found.beside
            if len(published):
                check_forecast(published)
            bases = _bases(session, panel, pd.concat([published, baselines[hardest]]))
            read = reads_announcements(session, asked[0].manifest)
        except LstmError as error:
            failed |= {inputs.ticker: Failure(inputs.ticker, error) for inputs in asked}
            continue
        of_published, of_issued, of_earlier = map(
            _by_ticker, (published, found.issued(), found.earlier)
        )
        of_prices, beside_prices = (
            _by_ticker(in_prices(rows, bases)) for rows in (published, baselines[hardest])
        )
        stale = StaleSeries(panel)
        files = ForecastWriter(
            session.workspace.forecast_files, name, origin, many=len(tickers) > MANY
        )
        for inputs in asked:
            if inputs.ticker in found.failed:
                failed[inputs.ticker] = Failure(inputs.ticker, found.failed[inputs.ticker])
                continue
            try:
                series, optional = fitted.recipe.series, fitted.recipe.optional_series
                check_market(stale, inputs.ticker, series, run=name)
                for note in notes_on_stale(stale, inputs.ticker, optional):
                    session.warn_once(note)
                done[inputs.ticker] = _prediction(
                    files,
                    inputs,
                    fitted,
                    panel.only([inputs.ticker]),
                    _Forecasts(
                        published=of_published.get(inputs.ticker),
                        issued=of_issued.get(inputs.ticker),
                        earlier=of_earlier.get(inputs.ticker),
                        prices=of_prices.get(inputs.ticker),
                        baseline=beside_prices.get(inputs.ticker),
                    ),
                    bases.get(inputs.ticker),
                    _reports(session, inputs, read=read),
                    as_of,
                )
            except LstmError as error:
                failed[inputs.ticker] = Failure(inputs.ticker, error)
        try:
            files.close()
        except LstmError as error:
            failed |= {ticker: Failure(ticker, error) for ticker in files.waiting}
            done = {ticker: each for ticker, each in done.items() if ticker not in files.waiting}
    return (
        [done[ticker] for ticker in tickers if ticker in done],
        [failed[ticker] for ticker in tickers if ticker in failed],
    )


def without_bars(session: Session, tickers: Sequence[str]) -> list[str]:
    """Return the tickers that have no stored bars.

    Raises:
        ConfigError: a name cannot be a ticker.
    """
    stored = session.workspace.bars.tickers()
    return [name for name in dict.fromkeys(map(check_ticker, tickers)) if name not in stored]


def default_tickers(session: Session, run: str | None) -> list[str]:
    """Return the stored tickers of a run, or all where it is not named or knows any.

    Raises:
        NoDataError: there are no bars, or no such run.
    """
    stored = session.workspace.bars.tickers()
    if not stored:
        raise NoDataError(
            f"There are no bars in {session.workspace.bars.folder}.",
            hint="lstm predict MRK, which fetches its bars",
        )
    manifest = session.manifest(run) if run else None
    if manifest is None or manifest.any_ticker:
        return stored
    # A ticker of the run may have been removed.
    return [name for name in manifest.tickers if name in stored] or list(manifest.tickers)


def _by_ticker(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each ticker, of a Forecast in which these follow each other."""
    names = rows["ticker"].to_numpy(object)
    starts = [0, *np.flatnonzero(names[1:] != names[:-1]) + 1] if len(names) else []
    return {
        str(names[start]): rows.iloc[start:end].reset_index(drop=True)
        for start, end in zip(starts, [*starts[1:], len(names)], strict=False)
    }


@dataclass(frozen=True)
class _Forecasts:
    """What was forecast for one ticker; in log returns, but for `prices` and `baseline`."""

    published: pd.DataFrame | None
    issued: pd.DataFrame | None
    prices: pd.DataFrame | None
    baseline: pd.DataFrame | None
    earlier: pd.DataFrame | None


def _bases(session: Session, panel: Panel, rows: pd.DataFrame) -> dict[str, PriceBasis]:
    """Return what the prices of each ticker are, by what was known at the origin of its rows."""
    bases: dict[str, PriceBasis] = {}
    if rows.empty:
        return bases
    known = panel.with_(events=session.dividends()).until(rows["made_on"].max())
    for ticker, last in rows.groupby("ticker", sort=False)["target_on"].max().items():
        bars, meta = session.bars(str(ticker))
        bases[str(ticker)] = price_basis(
            known.view(str(ticker)), last, splits=bars["split"], currency=meta.currency
        )
    return bases


def _reports(session: Session, inputs: Inputs, *, read: bool) -> Reports:
    """Return what a forecast could know of the ticker's reports."""
    return reports_at(
        session, inputs.ticker, inputs.meta, inputs.bars, known=inputs.known, read=read
    )


def _too_few_bars(inputs: Inputs, fitted: FittedRun) -> NoDataError:
    """Return the error of a ticker whose history is too short for a forecast."""
    needed, has = fitted.recipe.lookback, len(inputs.bars)
    ticker, meta = shell_word(inputs.ticker), inputs.meta
    fetch = f"lstm fetch {ticker} --start 2000-01-01"
    if inputs.manifest.any_ticker:
        return TooYoungError(
            f"{inputs.ticker}: Expected {needed} sessions up to {inputs.origin:%Y-%m-%d} for a "
            f"forecast. Received: {has}.",
            hint=_more_sessions(ticker, needed - has)
            if meta.start is None and meta.source["name"] == YAHOO
            else f"fetch a longer history: {fetch}",
        )
    return NoDataError(
        f"{inputs.ticker}: Expected {needed} sessions with every feature before "
        f"{inputs.origin:%Y-%m-%d}. Received: {has} bars, the first of which only warm "
        "features up.",
        hint=fetch,
    )


def _more_sessions(ticker: str, count: int) -> str:
    """Return the next step for a ticker all of whose sessions are stored."""
    if count == 1:
        return f"1 more session will do: lstm daily {ticker} goes on when it has settled"
    return f"{count} more sessions will do: lstm daily {ticker} goes on when they have settled"


def _prediction(
    files: ForecastWriter,
    inputs: Inputs,
    fitted: FittedRun,
    panel: Panel,
    forecasts: _Forecasts,
    basis: PriceBasis | None,
    reports: Reports,
    as_of: pd.Timestamp | None,
) -> Prediction:
    """Return a forecast with what belongs to it, and write its prices.

    Raises:
        NoDataError: the history up to the origin is too short for a window.
        DiskError: they cannot be written.
    """
    forecast, issued, prices = forecasts.published, forecasts.issued, forecasts.prices
    if forecast is None or issued is None or prices is None or basis is None:
        raise _too_few_bars(inputs, fitted)
    behind = None
    if as_of is None:
        sessions = pd.DatetimeIndex(inputs.bars.index)
        behind = sessions_behind(
            inputs.meta.calendar, inputs.origin, clock.now(), observed=sessions
        )
    return Prediction(
        ticker=inputs.ticker,
        manifest=inputs.manifest,
        fitted=fitted,
        panel=panel,
        forecast=forecast,
        issued=issued,
        prices=prices,
        basis=basis,
        baseline=forecasts.baseline,
        bars_sha=inputs.meta.sha256,
        currency=inputs.meta.currency,
        label=inputs.meta.label,
        sessions_behind=behind,
        seen=inputs.origin < max(fitted.fit_end, fitted.learns_from),
        path=files.write(Written(prices, forecasts.baseline, reports), inputs.ticker),
        earlier=forecasts.earlier,
        notes=notes_on(inputs.manifest, inputs.ticker, inputs.bars, inputs.meta),
        reports=reports,
    )
