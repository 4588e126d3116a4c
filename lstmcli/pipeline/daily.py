"""Daily: what cron runs. Fetch, retrain, forecast, write into the ledger, score, report.

An error concerns its ticker and its step alone; the rest goes on. A second run does
what the first has left undone, so that a crash needs no repair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from lstmcli.errors import LstmError, NoDataError, SourceError, TooYoungError, shell_word
from lstmcli.executors import HERE, Workers
from lstmcli.pipeline.announcement_fetch import fetch_announcements
from lstmcli.pipeline.announcements import Announcements
from lstmcli.pipeline.day import TOO_YOUNG, Day, TickerDay, write_day
from lstmcli.pipeline.evening import Evening, OnStep
from lstmcli.pipeline.fetch import fetch_each, series_behind
from lstmcli.pipeline.fetch_plan import plan_fetch
from lstmcli.pipeline.first_fetch import absent_series, fetch_series, note_on_failed
from lstmcli.pipeline.hints import point_to_daily
from lstmcli.pipeline.inputs import find_run
from lstmcli.pipeline.issue import BESIDE, issue
from lstmcli.pipeline.predict import predict
from lstmcli.pipeline.prediction import Prediction
from lstmcli.pipeline.progress import Progress
from lstmcli.pipeline.report import write_report
from lstmcli.pipeline.retraining import retrain
from lstmcli.pipeline.score import Live, score_all
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.update import FetchResult
from lstmcli.sessions import settled_by_calendar, settled_session
from lstmcli.sources import SampleSource
from lstmcli.store.files import check_ticker


def daily(
    session: Session,
    tickers: Sequence[str] = (),
    *,
    universe: Sequence[str] = (),
    on_step: OnStep = lambda line: None,
    workers: Workers = HERE,
) -> Day:
    """Do what an evening needs, for the named tickers or every stored one.

    A wrong name among `tickers` stops everything; one of `universe` fails alone.

    Args:
        workers: see `forecasts_of_run`.

    Raises:
        NoDataError: no ticker is named or stored.
        ConfigError: a name cannot be a ticker.
        LockError: another process works in this workspace.
        DiskError: the workspace cannot be written at all.
    """
    wanted = list(dict.fromkeys([*map(check_ticker, tickers), *universe]))
    workspace = session.workspace
    if not wanted and not workspace.bars.tickers():
        raise NoDataError(
            f"There are no bars in {workspace.bars.folder}.",
            hint="lstm daily MRK, which fetches its bars",
        )
    with workspace.lock():
        return _run(Evening(session, wanted or workspace.bars.tickers(), on_step, workers))


def _run(evening: Evening) -> Day:
    """Take the steps. Each takes the tickers that nothing has stopped yet."""
    stored = evening.workspace.bars.tickers()
    with Announcements(evening.session) as announcements:
        _fetch(evening, announcements)
        _fetch_announcements(evening, announcements)
    _note_announcements(evening, announcements)
    _fetch_market(evening, new=[day for day in evening.ready() if day.ticker not in stored])
    retrain(evening)
    _forecast(evening)
    drawn = evening.news or not _is_drawn(evening)
    if drawn:
        _report(evening, _score(evening))
    _finish(evening, drawn=drawn)
    return evening.day


def _fetch(evening: Evening, announcements: Announcements) -> None:
    """Ask the sources for the sessions that have settled and are not stored.

    What Yahoo knows of a ticker's announcements is asked for right after its bars: the pause
    before the next ticker is the same for both.
    """
    behind = {
        day.ticker: day
        for day in evening.day.tickers
        if not _is_fresh(evening, day) and not _is_ended_sample(evening, day)
    }
    if len(evening.left_out()) == len(evening.day.tickers):
        _refuse_samples_alone(evening)
    if not behind:
        return
    plan = plan_fetch(
        evening.session,
        [day.ticker for day in evening.day.tickers],
        announcements,
        store=evening.workspace.bars,
        may_skip=lambda ticker: ticker not in behind,
    )
    evening.on_step(plan.sentence() or f"fetching {len(behind)} ticker{'s' * (len(behind) > 1)} …")
    progress = Progress(len(behind), evening.on_step, done="fetched")

    def after_bars(result: FetchResult) -> None:
        announcements.ask_after_bars(result)
        progress.advance()

    for result in fetch_each(evening.session, list(behind), on_result=after_bars):
        ticker_day = behind[result.ticker]
        if result.error is not None:
            ticker_day.error = result.error
            evening.log("fetch", "failed", ticker_day, message=str(result.error))
        else:
            evening.news |= result.status != "up to date"
            evening.log("fetch", result.status, ticker_day, rows=result.rows, added=result.added)
    for ticker_day in behind.values():
        _refuse_stale(evening, ticker_day)


def _fetch_announcements(evening: Evening, announcements: Announcements) -> None:
    """Ask about tickers whose bars were there already, once after each session."""
    due = [
        day.ticker
        for day in evening.ready()
        if day.session is not None and announcements.is_due(day.ticker, since=day.session.date())
    ]
    if due:
        who = f"{len(due)} ticker{'s' * (len(due) > 1)}"
        evening.on_step(f"fetching announcement dates of {who} …")
        fetch_announcements(due, announcements)


def _note_announcements(evening: Evening, announcements: Announcements) -> None:
    note = announcements.note()
    if note is not None:
        evening.day.notes.append(note)
        evening.log("announcements", "absent", message=note)
    if announcements.added:
        evening.log("announcements", "ok", added=announcements.added)


def _fetch_market(evening: Evening, *, new: Sequence[TickerDay]) -> None:
    """Bring market series up to date; a run that reads a stale one refuses to forecast.

    Args:
        new: tickers whose first bars came tonight. The run that ships reads series that it
            can do without; they are asked for with such a ticker, and not every evening.
    """
    session = evening.session
    behind, absent = series_behind(session, evening.day.at), []
    if any(_is_for_shipped_run(session, ticker_day) for ticker_day in new):
        absent = absent_series(session)
    if not behind and not absent:
        return
    evening.on_step(f"fetching {len(behind) + len(absent)} market series …")
    for result in fetch_series(session, [*behind, *absent]):
        if result.error is None:
            evening.log("fetch", result.status, market=result.ticker, added=result.added)
        elif result.ticker in behind:
            evening.fail_step("fetch", result.error, market=result.ticker)
        else:
            evening.day.notes.append(note_on_failed(result))
            evening.log("fetch", "absent", market=result.ticker, message=str(result.error))
            session.mark_said(result.ticker)


def _is_for_shipped_run(session: Session, ticker_day: TickerDay) -> bool:
    """Return whether the run that ships forecasts a ticker tonight, out of sample."""
    try:
        manifest = find_run(session, None, ticker_day.ticker)
        first = session.fitted(manifest.run).learns_from
    except LstmError:
        return False  # it is reported where the run is used
    origin = ticker_day.session
    return manifest.any_ticker and origin is not None and bool(origin >= first)


def _is_fresh(evening: Evening, ticker_day: TickerDay) -> bool:
    """Return whether the last settled session is stored; sets `session` and `error`."""
    known = evening.workspace.bars.meta_of_unchanged(ticker_day.ticker)
    if known is not None:
        settled = settled_by_calendar(known.calendar, evening.day.at)
        if settled is not None and known.last_session == settled.date():
            ticker_day.session = settled
            return True
    try:
        settled, meta = evening.session.settled(ticker_day.ticker)
    except LstmError as error:
        ticker_day.error = error
        return False
    sessions = pd.DatetimeIndex(settled.index)
    ticker_day.session = settled_session(meta.calendar, evening.day.at, observed=sessions)
    return bool(sessions[-1] >= ticker_day.session)


def _refuse_stale(evening: Evening, ticker_day: TickerDay) -> None:
    """Fail a ticker whose last bar is old: an old forecast must not pass for today's."""
    of_fetch, ticker_day.error = ticker_day.error, None
    if _is_fresh(evening, ticker_day):
        return
    if isinstance(of_fetch, TooYoungError):
        _wait_for_bars(evening, ticker_day, of_fetch)
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
    worst = max(errors, key=lambda error: error.exit_code)
    point_to_daily(worst)
    evening.fail(ticker_day, "look", worst)


def _is_ended_sample(evening: Evening, ticker_day: TickerDay) -> bool:
    """Leave a ticker out whose sample data has ended: else it would fail every evening."""
    if ticker_day.error is not None:
        return False  # what is damaged is fetched again
    ticker = ticker_day.ticker
    bars, meta = evening.session.bars(ticker)
    if meta.source.get("name") != SampleSource().name:
        return False
    note = f"{ticker}: its sample data ends on {bars.index[-1]:%Y-%m-%d}, so it has no forecast."
    evening.leave_out(ticker_day, note, f"lstm remove {shell_word(ticker)}")
    return True


def _refuse_samples_alone(evening: Evening) -> None:
    """Fail an evening that has nothing but sample data that has ended."""
    for ticker_day in evening.day.tickers:
        error = NoDataError(
            f"{str(ticker_day.note).removesuffix('.')}, and there is no other ticker.",
            hint="lstm fetch MRK, then lstm train MRK; LSTM_NOW replays old bars",
        )
        ticker_day.note = ticker_day.hint = None
        evening.fail(ticker_day, "look", error)


def _forecast(evening: Evening) -> None:
    """Forecast what is not in the ledger yet, and write it there."""
    left = {}
    for ticker_day in evening.ready():
        try:
            if evening.is_issued(ticker_day):
                ticker_day.outcome = "up to date"
                _recall(evening, ticker_day)
            else:
                left[ticker_day.ticker] = ticker_day
        except LstmError as error:
            evening.fail(ticker_day, "ledger", error)
    if not left:
        return
    evening.on_step(f"forecasting {len(left)} ticker{'s' * (len(left) > 1)} …")
    done, failed = predict(
        evening.session,
        list(left),
        beside=BESIDE,
        workers=evening.workers,
        say=evening.on_step,
    )
    for failure in failed:
        ticker_day = left[failure.ticker]
        if isinstance(failure.error, TooYoungError):
            _wait_for_bars(evening, ticker_day, failure.error)
        else:
            evening.fail(ticker_day, "predict", failure.error)
    _issue(evening, left, done)


def _wait_for_bars(evening: Evening, ticker_day: TickerDay, error: TooYoungError) -> None:
    """Let a ticker wait that has too few bars for any run: the evenings bring more."""
    ticker_day.error = None
    evening.wait(ticker_day, str(error), str(error.hint), outcome=TOO_YOUNG)


def _recall(evening: Evening, ticker_day: TickerDay) -> None:
    """Take the numbers of a forecast that an earlier run of this evening has issued."""
    known = evening.entry_of(ticker_day.ticker)
    session, run = ticker_day.session, ticker_day.run
    if session is None or run is None:
        return
    if known.get("last_close") and (known["session"], known["run"]) == (f"{session:%Y-%m-%d}", run):
        low, high = known["cone80"]
        ticker_day.next_report = known.get("next_report")
        ticker_day.set_forecast({**known, "q50": known["median"], "lo80": low, "hi80": high})
    elif first := evening.workspace.forecast_files.first_step(ticker_day.ticker, session, run):
        ticker_day.set_forecast(first)


def _issue(
    evening: Evening, left: Mapping[str, TickerDay], predictions: Sequence[Prediction]
) -> None:
    """Write forecasts into the ledger, as one block, and note them for their tickers."""
    current = []
    for prediction in predictions:
        if prediction.made_on == left[prediction.ticker].session:
            current.append(prediction)
            continue
        # A session settled while other tickers were forecast.
        moved = SourceError(
            f"{prediction.ticker}: a session settled meanwhile.", hint="lstm daily once more"
        )
        evening.fail(left[prediction.ticker], "predict", moved)
    try:
        done = issue(evening.workspace, current)
    except LstmError as error:
        done = [(prediction, error) for prediction in current]
    for prediction, failed in done:
        if failed is None:
            _note_issued(evening, left[prediction.ticker], prediction)
        else:
            evening.fail(left[prediction.ticker], "ledger", failed)


def _note_issued(evening: Evening, ticker_day: TickerDay, prediction: Prediction) -> None:
    evening.news = True
    ticker_day.outcome, ticker_day.run = "forecast", prediction.manifest.run
    ticker_day.set_forecast(prediction.prices.iloc[0])
    ticker_day.next_report = prediction.reports.as_json()
    if prediction.basis.warning:
        evening.log("dividends", "warning", ticker_day, message=prediction.basis.warning)
    evening.log("ledger", "ok", ticker_day, run=ticker_day.run)


def _is_drawn(evening: Evening) -> bool:
    """Return whether the page shows the ledger as it is, and no failure that is over."""
    last, code = evening.last, evening.day.exit_code
    try:
        head = evening.workspace.ledger.head()
    except LstmError:
        return False
    return bool(
        last.get("head") == head
        and evening.workspace.report.exists()
        and (code or not last.get("drawn_code", last.get("exit_code")))
    )


def _score(evening: Evening) -> Live | None:
    """Return the record; None where nothing was issued yet, or it cannot be read."""
    if not evening.workspace.ledger.exists():
        return None
    evening.on_step("scoring …")
    try:
        live = score_all(evening.session, keep=True)
    except NoDataError:
        return None
    except LstmError as error:
        evening.fail_step("score", error)
        return None
    evening.log("score", "ok", counts=live.counts(), missing=len(live.missing))
    return live


def _report(evening: Evening, live: Live | None) -> None:
    evening.on_step("drawing the report …")
    try:
        evening.day.report = write_report(evening.session, evening.day.as_dict(), live)
    except LstmError as error:
        evening.fail_step("report", error)
        return
    evening.log("report", "ok", message=str(evening.day.report))


def _finish(evening: Evening, *, drawn: bool) -> None:
    """Keep what was done, and when all was well last; monitoring asks for it."""
    day, last = evening.day, evening.last
    shown = {"head": last.get("head"), "drawn_code": last.get("drawn_code", last.get("exit_code"))}
    if drawn:
        try:
            head = evening.workspace.ledger.head() if day.report else None
            shown = {"head": head, "drawn_code": day.exit_code}
        except LstmError as error:
            day.add_error(error)
            shown = {"head": None, "drawn_code": error.exit_code}
    answer = {**day.as_dict(), **shown}
    answer["succeeded_at"] = answer["at"] if not day.exit_code else last.get("succeeded_at")
    try:
        evening.workspace.rotate_logs()
    except LstmError as error:
        evening.fail_step("rotate", error)
    if drawn or day.exit_code:
        status = "ok" if not day.exit_code else "failed"
        evening.log("daily", status, message=answer["sentence"])
    try:
        write_day(evening.workspace, answer)
    except LstmError as error:
        day.add_error(error)
