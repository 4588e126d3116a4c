"""A prediction: what a run forecasts of a ticker, in prices, with what has to be said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from lstmcli import clock
from lstmcli.errors import LstmError, NoDataError, TooYoungError, shell_word
from lstmcli.forecasters.base import join_forecasts
from lstmcli.forecasters.run_recipe import FittedRun
from lstmcli.frames import by_ticker, check_forecast
from lstmcli.panel import Panel
from lstmcli.pipeline.forecast_writer import ForecastWriter
from lstmcli.pipeline.inputs import Inputs
from lstmcli.pipeline.market import StaleSeries, check_market, notes_on_stale
from lstmcli.pipeline.next_report import reads_announcements, reports_at
from lstmcli.pipeline.notes import notes_on
from lstmcli.pipeline.prices import Written, in_prices, price_basis
from lstmcli.pipeline.run_forecasts import RunForecasts
from lstmcli.pipeline.session import Session
from lstmcli.report.announcements import Reports
from lstmcli.report.prices import PriceBasis
from lstmcli.report.wording import note_on_seen
from lstmcli.sessions import sessions_behind
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


class PredictionsOfRun:
    """Makes predictions of what a run has forecast from one origin, and writes their prices.

    Attributes:
        done: predictions by ticker.
        failed: why tickers have none.
    """

    def __init__(
        self,
        session: Session,
        fitted: FittedRun,
        asked: Sequence[Inputs],
        *,
        hardest: str,
        as_of: pd.Timestamp | None,
        many: bool,
    ) -> None:
        """Take the tickers that are asked for.

        Args:
            asked: of one run and one origin.
            hardest: the baseline whose prices stand beside.
            as_of: the day that the user chose for the origin.
            many: whether one file holds the prices of all.

        Raises:
            LstmError: the run cannot be read.
        """
        self.done: dict[str, Prediction] = {}
        self.failed: dict[str, LstmError] = {}
        self._session, self._fitted = session, fitted
        self._hardest, self._as_of = hardest, as_of
        self._inputs = {inputs.ticker: inputs for inputs in asked}
        manifest = asked[0].manifest
        self._reads_announcements = reads_announcements(session, manifest)
        self._files = ForecastWriter(
            session.workspace.forecast_files, manifest.run, asked[0].origin, many=many
        )

    def take(self, found: RunForecasts) -> None:
        """Make predictions of some of the tickers.

        Raises:
            LstmError: what is known of dividends cannot be read.
        """
        published, baseline = found.published, found.beside[self._hardest]
        if len(published):
            check_forecast(published)
        bases = _bases(self._session, found.panel, join_forecasts([published, baseline]))
        of_published, of_issued, of_earlier = map(
            by_ticker, (published, found.issued(), found.earlier)
        )
        of_prices, of_baseline = (
            by_ticker(in_prices(rows, bases)) for rows in (published, baseline)
        )
        stale = StaleSeries(found.panel)
        self.failed |= found.failed
        for ticker in found.panel:
            if ticker not in self._inputs or ticker in found.failed:
                continue
            try:
                self._check_series(stale, ticker)
                if ticker not in of_published:
                    raise _too_few_bars(self._inputs[ticker], self._fitted)
                self.done[ticker] = self._prediction(
                    ticker,
                    panel=found.panel.only([ticker]),
                    forecast=of_published[ticker],
                    issued=of_issued[ticker],
                    prices=of_prices[ticker],
                    basis=bases[ticker],
                    baseline=of_baseline.get(ticker),
                    earlier=of_earlier.get(ticker),
                )
            except LstmError as error:
                self.failed[ticker] = error

    def give_up(self, error: LstmError) -> None:
        """Note why the tickers that have no prediction yet have none."""
        left = self._inputs.keys() - self.done.keys() - self.failed.keys()
        self.failed |= dict.fromkeys(left, error)

    def close(self) -> None:
        """Write the prices that wait for those of others."""
        try:
            self._files.close(self._inputs)
        except LstmError as error:
            for ticker in self._files.waiting:
                self.failed[ticker] = error
                self.done.pop(ticker, None)

    def _check_series(self, stale: StaleSeries, ticker: str) -> None:
        """Check the market series of a ticker, and say once which of them are old."""
        recipe, run = self._fitted.recipe, self._inputs[ticker].manifest.run
        check_market(stale, ticker, recipe.series, run=run)
        for note in notes_on_stale(stale, ticker, recipe.optional_series):
            self._session.warn_once(note)

    def _prediction(
        self,
        ticker: str,
        *,
        panel: Panel,
        forecast: pd.DataFrame,
        issued: pd.DataFrame,
        prices: pd.DataFrame,
        basis: PriceBasis,
        baseline: pd.DataFrame | None,
        earlier: pd.DataFrame | None,
    ) -> Prediction:
        """Return a forecast with what belongs to it, and write its prices.

        Raises:
            DiskError: they cannot be written.
        """
        inputs, fitted = self._inputs[ticker], self._fitted
        behind = None
        if self._as_of is None:
            sessions = pd.DatetimeIndex(inputs.bars.index)
            behind = sessions_behind(
                inputs.meta.calendar, inputs.origin, clock.now(), observed=sessions
            )
        reports = reports_at(
            self._session,
            ticker,
            inputs.meta,
            inputs.bars,
            known=inputs.known,
            read=self._reads_announcements,
        )
        return Prediction(
            ticker=ticker,
            manifest=inputs.manifest,
            fitted=fitted,
            panel=panel,
            forecast=forecast,
            issued=issued,
            prices=prices,
            basis=basis,
            baseline=baseline,
            bars_sha=inputs.meta.sha256,
            currency=inputs.meta.currency,
            label=inputs.meta.label,
            sessions_behind=behind,
            seen=inputs.origin < max(fitted.fit_end, fitted.learns_from),
            path=self._files.write(Written(prices, baseline, reports), ticker),
            earlier=earlier,
            notes=notes_on(inputs.manifest, ticker, inputs.bars, inputs.meta),
            reports=reports,
        )


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
