"""Daily: what cron runs. Fetch, retrain, forecast, write into the ledger, score, report.

An error concerns its ticker and its step alone; the rest goes on. A second run does
what the first has left undone, so that a crash needs no repair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from lstmcli import clock
from lstmcli.errors import LstmError, NoDataError, SourceError
from lstmcli.pipeline.day import Day, TickerDay, last_day, write_day
from lstmcli.pipeline.fetch import fetch_each, series_behind
from lstmcli.pipeline.inputs import find_run
from lstmcli.pipeline.issue import BESIDE, issue
from lstmcli.pipeline.predict import Prediction, predict
from lstmcli.pipeline.report import write_report
from lstmcli.pipeline.retraining import is_due, train_again
from lstmcli.pipeline.score import Live, score
from lstmcli.pipeline.session import Session
from lstmcli.sessions import settled_session
from lstmcli.store.files import check_ticker
from lstmcli.store.runs import Manifest

OnStep = Callable[[str], None]


def daily(
    session: Session,
    tickers: Sequence[str] = (),
    *,
    universe: Sequence[str] = (),
    on_step: OnStep = lambda line: None,
) -> Day:
    """Do what an evening needs, for the named tickers or every stored one.

    A wrong name among `tickers` stops everything; one of `universe` fails alone.

    Raises:
        NoDataError: no ticker is named or stored.
        ConfigError: a name cannot be a ticker.
        LockError: another process works in this workspace.
        DiskError: the workspace cannot be written at all.
    """
    wanted = list(dict.fromkeys([*map(check_ticker, tickers), *universe]))
    workspace = session.workspace
    with workspace.lock():
        wanted = wanted or workspace.bars.tickers()
        if not wanted:
            raise NoDataError(
                f"There are no bars in {workspace.bars.folder}.",
                hint="lstm fetch MRK, then lstm train MRK",
            )
        return Evening(session, wanted, on_step).run()


class Evening:
    """The steps of one run of `daily`. Each step takes the tickers that have no error yet."""

    def __init__(self, session: Session, tickers: Sequence[str], on_step: OnStep) -> None:
        self.session = session
        self.workspace = session.workspace
        self.on_step = on_step
        self.day = Day(clock.now(), [TickerDay(ticker) for ticker in tickers])

    def run(self) -> Day:
        day = self.day
        self._fetch()
        self._fetch_market()
        self._retrain()
        self._forecast()
        last = last_day(self.workspace)
        if day.exit_code == 0 and not day.count("forecast") and last and self._is_reported(last):
            # Nothing is new, but monitoring wants to know that all is well.
            self._keep({**last, "succeeded_at": day.as_dict()["at"]})
            return day
        self._report(self._score())
        self._finish(last)
        return day

    def _log(
        self, step: str, status: str, ticker_day: TickerDay | None = None, **details: Any
    ) -> None:
        session = ticker_day.session if ticker_day else None
        try:
            self.workspace.log.append(
                clock.now(),
                step,
                status,
                ticker=ticker_day.ticker if ticker_day else None,
                session=f"{session:%Y-%m-%d}" if session is not None else None,
                **details,
            )
        except LstmError as error:
            self.day.add_error(error)

    def _fail(self, ticker_day: TickerDay, step: str, error: LstmError) -> None:
        ticker_day.outcome, ticker_day.error = "failed", error
        self._log(step, "failed", ticker_day, message=str(error))

    def _fail_step(self, step: str, error: LstmError, **details: Any) -> None:
        self.day.add_error(error)
        self._log(step, "failed", message=str(error), **details)

    def _ready(self) -> list[TickerDay]:
        return [ticker_day for ticker_day in self.day.tickers if ticker_day.error is None]

    def _fetch(self) -> None:
        """Ask the sources for the sessions that have settled and are not stored."""
        behind = {day.ticker: day for day in self.day.tickers if not self._is_fresh(day)}
        if not behind:
            return
        self.on_step(f"fetching {len(behind)} ticker{'s' * (len(behind) > 1)} …")
        for result in fetch_each(self.session, list(behind)):
            ticker_day = behind[result.ticker]
            if result.error is not None:
                ticker_day.error = result.error
                self._log("fetch", "failed", ticker_day, message=str(result.error))
            else:
                self._log("fetch", result.status, ticker_day, rows=result.rows, added=result.added)
        for ticker_day in behind.values():
            self._refuse_stale(ticker_day)

    def _fetch_market(self) -> None:
        """Bring market series up to date; a run that reads a stale one refuses to forecast."""
        behind = series_behind(self.session, self.day.at)
        if not behind:
            return
        self.on_step(f"fetching {len(behind)} market series …")
        for result in fetch_each(self.session, behind, store=self.workspace.market):
            if result.error is not None:
                self._fail_step("fetch", result.error, market=result.ticker)
            else:
                self._log("fetch", result.status, market=result.ticker, added=result.added)

    def _is_fresh(self, ticker_day: TickerDay) -> bool:
        """Return whether the last settled session is stored; sets `session` and `error`."""
        ticker = ticker_day.ticker
        try:
            settled, meta = self.session.settled(ticker)
        except LstmError as error:
            ticker_day.error = error
            return False
        sessions = pd.DatetimeIndex(settled.index)
        ticker_day.session = settled_session(meta.calendar, self.day.at, observed=sessions)
        return bool(sessions[-1] >= ticker_day.session)

    def _refuse_stale(self, ticker_day: TickerDay) -> None:
        """Fail a ticker whose last bar is old: an old forecast must not pass for today's."""
        of_fetch, ticker_day.error = ticker_day.error, None
        if self._is_fresh(ticker_day):
            return
        errors = [error for error in (of_fetch, ticker_day.error) if error is not None]
        if not errors:
            ticker, session = ticker_day.ticker, ticker_day.session
            errors.append(
                SourceError(
                    f"{ticker}: stale: there is no bar of {session:%Y-%m-%d} yet.",
                    hint="lstm daily again later goes on with it; LSTM_NOW replays old bars",
                )
            )
        # Damaged bars weigh more than a source that could not mend them.
        self._fail(ticker_day, "look", max(errors, key=lambda error: error.exit_code))

    def _retrain(self) -> None:
        """Train again what its schedule says, never because of a score."""
        runs: dict[str, Manifest] = {}
        for ticker_day in self._ready():
            try:
                manifest = find_run(self.session, None, ticker_day.ticker)
            except LstmError as error:
                self._fail(ticker_day, "run", error)
                continue
            ticker_day.run = manifest.run
            runs[manifest.run] = manifest
        for manifest in runs.values():
            try:
                self._retrain_run(manifest)
            except LstmError as error:
                # The old networks go on forecasting.
                self._fail_step("retrain", error, run=manifest.run)

    def _retrain_run(self, manifest: Manifest) -> None:
        config = self.session.config(manifest.run)
        if not is_due(config.retrain, manifest.created_at, self.day.at):
            return
        own = [day for day in self.day.tickers if day.run == manifest.run]
        missing = set(manifest.tickers) - {day.ticker for day in own}
        issued = any(self._is_issued(day) for day in own)
        if missing or issued:
            # A ticker gets one forecast from a session, and the networks see the same
            # sessions of every ticker. The training waits for the next evening.
            why = f"waits for {' '.join(sorted(missing))}" if missing else "forecast already"
            self._log("retrain", "postponed", run=manifest.run, message=why)
            return
        self.on_step(f"training {config.recipe().name} anew ({config.retrain}) …")
        new = train_again(self.session, config)
        self.day.retrained.append(new.run)
        self._log("retrain", "ok", run=new.run, replaces=manifest.run, seconds=new.seconds)
        for day in own:
            day.run = new.run

    def _is_issued(self, ticker_day: TickerDay) -> bool:
        if ticker_day.session is None or ticker_day.run is None:
            return False
        return self.workspace.ledger.has(ticker_day.ticker, ticker_day.session, ticker_day.run)

    def _forecast(self) -> None:
        """Forecast what is not in the ledger yet, and write it there."""
        left = {}
        for ticker_day in self._ready():
            try:
                if self._is_issued(ticker_day):
                    ticker_day.outcome = "up to date"
                else:
                    left[ticker_day.ticker] = ticker_day
            except LstmError as error:
                self._fail(ticker_day, "ledger", error)
        if not left:
            return
        self.on_step(f"forecasting {len(left)} ticker{'s' * (len(left) > 1)} …")
        done, failed = predict(self.session, list(left), beside=BESIDE)
        for failure in failed:
            self._fail(left[failure.ticker], "predict", failure.error)
        for prediction in done:
            self._issue(left[prediction.ticker], prediction)

    def _issue(self, ticker_day: TickerDay, prediction: Prediction) -> None:
        """Write a forecast into the ledger and note it for its ticker."""
        if prediction.made_on != ticker_day.session:
            # A session settled while other tickers were forecast.
            moved = SourceError(
                f"{prediction.ticker}: a session settled meanwhile.", hint="lstm daily once more"
            )
            self._fail(ticker_day, "predict", moved)
            return
        try:
            issue(self.workspace, prediction)
        except LstmError as error:
            self._fail(ticker_day, "ledger", error)
            return
        ticker_day.outcome, ticker_day.run = "forecast", prediction.manifest.run
        first = prediction.prices.iloc[0]
        ticker_day.median = float(first["q50"])
        ticker_day.cone80 = (first["lo80"], first["hi80"])
        ticker_day.prices, ticker_day.declared = first["prices"], float(first["declared"])
        if prediction.basis.warning:
            self._log("dividends", "warning", ticker_day, message=prediction.basis.warning)
        self._log("ledger", "ok", ticker_day, run=ticker_day.run)

    def _is_reported(self, last: dict[str, Any]) -> bool:
        """Return whether the page shows the ledger as it is."""
        return bool(
            last.get("exit_code") == 0
            and last.get("head") == self.workspace.ledger.head()
            and self.workspace.report.exists()
        )

    def _score(self) -> Live | None:
        """Return the record; None where nothing was issued yet, or it cannot be read."""
        if not self.workspace.ledger.exists():
            return None
        self.on_step("scoring …")
        try:
            live = score(self.session)
        except NoDataError:
            return None
        except LstmError as error:
            self._fail_step("score", error)
            return None
        self._log("score", "ok", counts=live.counts(), missing=len(live.missing))
        return live

    def _report(self, live: Live | None) -> None:
        self.on_step("drawing the report …")
        try:
            self.day.report = write_report(self.session, self.day.as_dict(), live)
        except LstmError as error:
            self._fail_step("report", error)
            return
        self._log("report", "ok", message=str(self.day.report))

    def _finish(self, last: dict[str, Any] | None) -> None:
        answer = self.day.as_dict()
        succeeded = answer["at"] if not self.day.exit_code else (last or {}).get("succeeded_at")
        try:
            answer["head"] = self.workspace.ledger.head()
        except LstmError as error:
            self.day.add_error(error)
            answer["head"] = None
        answer["succeeded_at"] = succeeded
        self._log("daily", "ok" if not self.day.exit_code else "failed", message=answer["sentence"])
        self._keep(answer)

    def _keep(self, answer: dict[str, Any]) -> None:
        try:
            write_day(self.workspace, answer)
        except LstmError as error:
            self.day.add_error(error)
