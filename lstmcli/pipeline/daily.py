"""Daily: what cron runs. Fetch, score, forecast, write into the ledger, report.

Whatever fails concerns its ticker and its step alone; the rest goes on. A second
run finds what is done and does what is left, so that a crash needs no repair.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from lstmcli import __version__, clock
from lstmcli.config import Retrain
from lstmcli.errors import DataError, LstmError, NoDataError, SourceError
from lstmcli.evaluation.backtest import judged_steps
from lstmcli.pipeline._panel import load_panel
from lstmcli.pipeline.fetch import fetch_each
from lstmcli.pipeline.predict import Prediction, find_run, predict
from lstmcli.pipeline.report import write_report
from lstmcli.pipeline.score import Live, score
from lstmcli.pipeline.train import plan_training, start_run, stored_config, train
from lstmcli.sessions import settled_session
from lstmcli.store import Workspace
from lstmcli.store.files import check_ticker
from lstmcli.store.runs import Manifest

BESIDE = ("random_walk", "drift", "historical", "ewma", "garch", "har", "har_ridge")
"""Baselines that are issued beside every forecast: all but gradient boosting, which takes as
long to fit as a network."""

Outcome = Literal["forecast", "up to date", "failed"]
OnStep = Callable[[str], None]


@dataclass
class TickerDay:
    """What the evening made of one ticker.

    Attributes:
        session: the last settled one; None where no bars are stored.
    """

    ticker: str
    session: pd.Timestamp | None = None
    outcome: Outcome = "failed"
    error: LstmError | None = None
    run: str | None = None
    median: float | None = None
    cone80: tuple[float, float] | None = None


@dataclass
class Day:
    """What `lstm daily` did.

    Attributes:
        errors: of steps that concern no single ticker.
        retrained: runs that were trained because their schedule said so.
        report: where the page was written; None where nothing had changed, or it failed.
    """

    at: datetime
    tickers: list[TickerDay] = field(default_factory=list)
    errors: list[LstmError] = field(default_factory=list)
    retrained: list[str] = field(default_factory=list)
    report: Path | None = None

    @property
    def exit_code(self) -> int:
        own = (each.error.exit_code for each in self.tickers if each.error)
        return max([*own, *(error.exit_code for error in self.errors)], default=0)

    def count(self, outcome: Outcome) -> int:
        return sum(each.outcome == outcome for each in self.tickers)

    def sentence(self) -> str:
        """Return the day in a line."""
        sessions = sorted({f"{each.session:%Y-%m-%d}" for each in self.tickers if each.session})
        parts = [
            f"{self.count(outcome)} {outcome}"
            for outcome in ("forecast", "up to date", "failed")
            if self.count(outcome)
        ]
        if self.retrained:
            parts.append(f"{len(self.retrained)} retrained")
        if self.errors:
            parts.append(f"{len(self.errors)} step{'s' * (len(self.errors) > 1)} failed")
        return f"{' '.join(sessions[-1:])}: {', '.join(parts) or 'nothing to do'}".lstrip(": ")

    def as_dict(self) -> dict[str, Any]:
        """Return the day as JSON takes it."""
        return {
            "schema": 1,
            "at": self.at.isoformat(timespec="seconds"),
            "exit_code": self.exit_code,
            "sentence": self.sentence(),
            "tickers": [
                {
                    "ticker": each.ticker,
                    "session": each.session and f"{each.session:%Y-%m-%d}",
                    "outcome": each.outcome,
                    "run": each.run,
                    "median": each.median,
                    "cone80": each.cone80,
                    **_words(each.error),
                }
                for each in self.tickers
            ],
            "errors": [_words(error) for error in self.errors],
            "retrained": self.retrained,
            "report": self.report and str(self.report),
            "version": __version__,
        }


def _words(error: LstmError | None) -> dict[str, Any]:
    return {
        "error": error and str(error),
        "hint": error and error.hint,
        "exit_code": error.exit_code if error else 0,
    }


def daily(
    workspace: Workspace, tickers: Sequence[str] = (), *, on_step: OnStep = lambda line: None
) -> Day:
    """Do what an evening needs, for the named tickers or every stored one.

    Raises:
        NoDataError: no ticker is named or stored.
        ConfigError: a ticker cannot be one.
        LockError: another process works in this workspace.
        DiskError: the workspace cannot be written at all.
    """
    wanted = [check_ticker(ticker) for ticker in dict.fromkeys(tickers)]
    with workspace.lock():
        wanted = wanted or workspace.bars.tickers()
        if not wanted:
            raise NoDataError(
                f"There are no bars in {workspace.bars.folder}.",
                hint="lstm fetch MRK, then lstm train MRK --config lstm.yaml",
            )
        return _Evening(workspace, wanted, on_step).run()


class _Evening:
    """One run of `daily`: the tickers on their way through the steps."""

    def __init__(self, workspace: Workspace, tickers: Sequence[str], on_step: OnStep) -> None:
        self.workspace = workspace
        self.on_step = on_step
        self.day = Day(clock.now(), [TickerDay(ticker) for ticker in tickers])

    def run(self) -> Day:
        day = self.day
        self._fetch()
        self._retrain()
        self._forecast()
        last = last_day(self.workspace)
        if day.exit_code == 0 and not day.count("forecast") and last and self._is_reported(last):
            # Nothing is new but that all is well, which monitoring wants to know.
            self._write_day({**last, "succeeded_at": day.as_dict()["at"]})
            return day
        self._report(self._score())
        self._finish(last)
        return day

    def _log(self, step: str, status: str, each: TickerDay | None = None, **details: Any) -> None:
        session = each.session if each else None
        try:
            self.workspace.log.append(
                clock.now(),
                step,
                status,
                ticker=each.ticker if each else None,
                session=f"{session:%Y-%m-%d}" if session is not None else None,
                **details,
            )
        except LstmError as error:
            self._failed_step(error)

    def _failed_step(self, error: LstmError) -> None:
        if str(error) not in [str(each) for each in self.day.errors]:
            self.day.errors.append(error)

    def _fail(self, each: TickerDay, step: str, error: LstmError) -> None:
        each.outcome, each.error = "failed", error
        self._log(step, "failed", each, message=str(error))

    def _fetch(self) -> None:
        """Ask the sources for what has settled and is not stored."""
        behind = {each.ticker: each for each in self.day.tickers if not self._is_fresh(each)}
        if not behind:
            return
        self.on_step(f"fetching {len(behind)} ticker{'s' * (len(behind) > 1)} …")
        for result in fetch_each(self.workspace, list(behind)):
            each = behind[result.ticker]
            if result.error is not None:
                each.error = result.error
                self._log("fetch", "failed", each, message=str(result.error))
            else:
                self._log("fetch", result.status, each, rows=result.rows, added=result.added)
        for each in behind.values():
            self._look(each)

    def _is_fresh(self, each: TickerDay) -> bool:
        """Return whether the last settled session is stored; notes which one that is."""
        try:
            loaded = load_panel(self.workspace, [each.ticker])
        except LstmError as error:
            each.error = error
            return False
        sessions = pd.DatetimeIndex(loaded.panel[each.ticker].index)
        calendar = loaded.metas[each.ticker].calendar
        each.session = settled_session(calendar, self.day.at, observed=sessions)
        return bool(sessions[-1] >= each.session)

    def _look(self, each: TickerDay) -> None:
        """Refuse what is stale: yesterday's cone must not pass for today's."""
        asked, each.error = each.error, None
        if self._is_fresh(each):
            return
        found = [error for error in (asked, each.error) if error is not None]
        if not found:
            found.append(
                SourceError(
                    f"{each.ticker}: stale: there is no bar of {each.session:%Y-%m-%d} yet.",
                    hint="lstm daily again later goes on with it; LSTM_NOW replays old bars",
                )
            )
        # Damaged bars weigh more than a source that could not mend them.
        self._fail(each, "look", max(found, key=lambda error: error.exit_code))

    def _ready(self) -> list[TickerDay]:
        return [each for each in self.day.tickers if each.error is None]

    def _retrain(self) -> None:
        """Train anew what the calendar says, never because of a score."""
        runs: dict[str, Manifest] = {}
        for each in self._ready():
            try:
                manifest = find_run(self.workspace, None, each.ticker)
            except LstmError as error:
                self._fail(each, "run", error)
                continue
            each.run = manifest.run
            runs[manifest.run] = manifest
        for manifest in runs.values():
            try:
                self._retrain_one(manifest)
            except LstmError as error:
                # The old networks go on forecasting.
                self._failed_step(error)
                self._log("retrain", "failed", message=str(error), run=manifest.run)

    def _retrain_one(self, manifest: Manifest) -> None:
        text = self.workspace.runs.read(manifest).config
        config = stored_config(self.workspace, manifest.run, text)
        if not is_due(config.retrain, manifest.created_at, self.day.at):
            return
        own = [each for each in self.day.tickers if each.run == manifest.run]
        missing = set(manifest.tickers) - {each.ticker for each in own}
        issued = any(self._is_issued(each) for each in own)
        if missing or issued:
            # Nobody's forecast may come twice from one session, nor from a network that
            # has seen fewer bars of one ticker than of another: the next evening will do.
            why = f"waits for {' '.join(sorted(missing))}" if missing else "forecast already"
            self._log("retrain", "postponed", run=manifest.run, message=why)
            return
        self.on_step(f"training {manifest.variant} anew ({config.retrain}) …")
        plan = plan_training(self.workspace, config, ())
        run = self._unfinished(plan.record) or start_run(self.workspace, plan)
        result = train(
            self.workspace, plan, run, on_epoch=lambda epoch: None, on_stage=lambda stage: None
        )
        self.day.retrained.append(run)
        self._log("retrain", "ok", run=run, replaces=manifest.run, seconds=result.manifest.seconds)
        for each in own:
            each.run = run

    def _unfinished(self, record: Any) -> str | None:
        """Return a run that a crash cut short and that would become the same one."""
        for run in reversed(self.workspace.runs.interrupted()):
            try:
                if self.workspace.runs.plan(run)[1] == record:
                    return run
            except DataError:
                continue
        return None

    def _is_issued(self, each: TickerDay) -> bool:
        if each.session is None or each.run is None:
            return False
        return self.workspace.ledger.has(each.ticker, each.session, each.run)

    def _forecast(self) -> None:
        left = []
        for each in self._ready():
            try:
                if self._is_issued(each):
                    each.outcome = "up to date"
                else:
                    left.append(each)
            except LstmError as error:
                self._fail(each, "ledger", error)
        if not left:
            return
        self.on_step(f"forecasting {len(left)} ticker{'s' * (len(left) > 1)} …")
        by_ticker = {each.ticker: each for each in left}
        done, failed = predict(self.workspace, list(by_ticker), beside=BESIDE)
        for failure in failed:
            self._fail(by_ticker[failure.ticker], "predict", failure.error)
        for prediction in done:
            each = by_ticker[prediction.ticker]
            if prediction.made_on != each.session:
                # A session settled while the others were forecast.
                moved = SourceError(
                    f"{each.ticker}: a session settled meanwhile.", hint="lstm daily once more"
                )
                self._fail(each, "predict", moved)
                continue
            try:
                self._issue(prediction)
            except LstmError as error:
                self._fail(each, "ledger", error)
                continue
            each.outcome, each.run = "forecast", prediction.manifest.run
            first = prediction.prices.iloc[0]
            each.median, each.cone80 = float(first["q50"]), (first["lo80"], first["hi80"])
            self._log("ledger", "ok", each, run=each.run)

    def _issue(self, prediction: Prediction) -> None:
        """Write the forecast into the ledger, with everything that stands beside it."""
        horizon = len(prediction.forecast)
        steps = judged_steps(horizon)
        # What is published is kept whole; what it is compared with, where it is judged.
        judged = [
            rows[rows["step"].isin(steps)] for rows in (prediction.raw, *prediction.beside.values())
        ]
        self.workspace.ledger.append(
            pd.concat([prediction.forecast, *judged], ignore_index=True),
            run=prediction.manifest.run,
            issued_at=clock.now(),
            bars_sha=prediction.bars_sha,
            config_sha=prediction.manifest.config_sha,
        )

    def _is_reported(self, last: dict[str, Any]) -> bool:
        """Return whether the page stands that the ledger as it is would give."""
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
            live = score(self.workspace)
        except NoDataError:
            return None
        except LstmError as error:
            self._failed_step(error)
            self._log("score", "failed", message=str(error))
            return None
        self._log("score", "ok", counts=live.counts(), missing=len(live.missing))
        return live

    def _report(self, live: Live | None) -> None:
        self.on_step("drawing the report …")
        try:
            self.day.report = write_report(self.workspace, self.day.as_dict(), live)
        except LstmError as error:
            self._failed_step(error)
            self._log("report", "failed", message=str(error))
            return
        self._log("report", "ok", message=str(self.day.report))

    def _finish(self, last: dict[str, Any] | None) -> None:
        answer = self.day.as_dict()
        succeeded = answer["at"] if not self.day.exit_code else (last or {}).get("succeeded_at")
        try:
            answer["head"] = self.workspace.ledger.head()
        except LstmError as error:
            self._failed_step(error)
            answer["head"] = None
        answer["succeeded_at"] = succeeded
        self._log("daily", "ok" if not self.day.exit_code else "failed", message=answer["sentence"])
        self._write_day(answer)

    def _write_day(self, answer: dict[str, Any]) -> None:
        try:
            text = json.dumps(answer, indent=2, default=str, ensure_ascii=False) + "\n"
            self.workspace.write(self.workspace.last_day, text.encode())
        except LstmError as error:
            self._failed_step(error)


def last_day(workspace: Workspace) -> dict[str, Any] | None:
    """Return what the last `lstm daily` wrote about itself; None where there is none."""
    try:
        answer = json.loads(workspace.last_day.read_bytes())
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def is_due(schedule: Retrain, trained: datetime, now: datetime) -> bool:
    """Return whether a new period of the schedule has begun since a run was trained."""
    return schedule != "never" and _period(schedule, trained) < _period(schedule, now)


def _period(schedule: Retrain, moment: datetime) -> tuple[int, int]:
    year, week, _ = moment.isocalendar()
    return {
        "never": (0, 0),
        "weekly": (year, week),
        "monthly": (moment.year, moment.month),
        "quarterly": (moment.year, (moment.month - 1) // 3),
        "yearly": (moment.year, 0),
    }[schedule]
