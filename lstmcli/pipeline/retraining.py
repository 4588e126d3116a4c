"""When a run is trained again by its schedule, and how; who joins it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lstmcli.config import Retrain, RunConfig, shipped_configs
from lstmcli.errors import DataError, LstmError, NoDataError, shell_word
from lstmcli.pipeline.day import LEFT_OUT, TickerDay
from lstmcli.pipeline.evening import Evening
from lstmcli.pipeline.inputs import find_run
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.train import start_run, train
from lstmcli.pipeline.training_plan import plan_training
from lstmcli.store.runs import Manifest, Plan
from lstmcli.store.shipped import PRETRAINED


def retrain(evening: Evening) -> None:
    """Find the run of each ticker, and train again what its schedule says.

    A score is never the reason. A ticker that no run of the workspace knows yet is forecast by
    the one that ships, until it joins the run that most others share, when that is trained again.
    """
    runs: dict[str, Manifest] = {}
    newcomers = []
    for ticker_day in evening.ready():
        try:
            manifest = find_run(evening.session, None, ticker_day.ticker)
        except LstmError as error:
            evening.fail(ticker_day, "run", error)
            continue
        ticker_day.run = manifest.run
        if manifest.any_ticker:
            newcomers.append(ticker_day)
        else:
            runs[manifest.run] = manifest
    host = _host(evening, list(runs.values())) if newcomers else None
    # The host comes first, with its newcomers: after a crash another run may be due alone.
    for manifest in sorted(runs.values(), key=lambda manifest: manifest != host):
        try:
            _retrain_run(evening, manifest, newcomers if manifest == host else [])
        except LstmError as error:
            # The old networks go on forecasting.
            evening.fail_step("retrain", error, run=manifest.run)
    for ticker_day in newcomers:
        if _is_in_sample(evening, ticker_day):
            _refuse_in_sample(evening, ticker_day, host)


def _is_in_sample(evening: Evening, ticker_day: TickerDay) -> bool:
    """Return whether the run of a ticker was fitted on the session that it would forecast from.

    Only a replay of the past asks for that; such a forecast would score itself.
    """
    if ticker_day.run is None or ticker_day.session is None:
        return False
    return bool(ticker_day.session < evening.session.fitted(ticker_day.run).learns_from)


def _refuse_in_sample(evening: Evening, ticker_day: TickerDay, host: Manifest | None) -> None:
    """Leave a ticker waiting for a training; without any run it fails."""
    ticker, fit_end = ticker_day.ticker, evening.session.fitted(PRETRAINED).fit_end
    why = f"the network that ships has seen the sessions to {fit_end:%Y-%m-%d}"
    if host is not None or _any_is_known(evening):
        _wait(evening, ticker_day, host, why)
        return
    named = shell_word(ticker)
    error = NoDataError(f"No run knows {named}, and {why}.", hint=f"lstm train {named}")
    evening.fail(ticker_day, "run", error)


def _any_is_known(evening: Evening) -> bool:
    """Return whether a run knows any ticker of this evening, ready or not."""
    known = {ticker for run in evening.session.manifests() for ticker in run.tickers}
    return any(day.ticker in known for day in evening.day.tickers if day.outcome != LEFT_OUT)


def _host(evening: Evening, runs: Sequence[Manifest]) -> Manifest | None:
    """Return the run that new tickers join: due tonight, else with a schedule, else any.

    Of several it is the one with most tickers, then the last by their names, which a crash
    amid the trainings of an evening does not change.
    """
    found = []
    for manifest in runs:
        try:
            schedule = evening.session.config(manifest.run).retrain
        except LstmError:
            continue  # a damaged run is reported where it is used
        due = is_due(schedule, manifest.created_at, evening.day.at)
        rank = due, schedule != "never", len(manifest.tickers), manifest.tickers, manifest.run
        found.append((rank, manifest))
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _wait(evening: Evening, ticker_day: TickerDay, host: Manifest | None, why: str) -> None:
    """Say that a ticker has no forecast yet, when it will have one, and the command for sooner."""
    ticker, options = ticker_day.ticker, ""
    note = f"{ticker}: no run knows it yet, and {why}, so it has no forecast."
    if host is not None:
        schedule = evening.session.config(host.run).retrain
        options = f" --config {_config_name(evening.session, host)}"
        if schedule != "never":
            note += f" It is trained with the next {schedule} training of {host.run}."
            options += f" --set retrain={schedule}"
    evening.wait(ticker_day, note, f"lstm train {shell_word(ticker)}{options}")


def _config_name(session: Session, manifest: Manifest) -> str:
    """Return what `--config` takes for the config of a run: a shipped one's name, else its copy."""
    name = session.config(manifest.run).recipe().name
    if name in shipped_configs():
        return f"{name}.yaml"
    return shell_word(str(session.workspace.runs.config_path(manifest.run)))


def _retrain_run(evening: Evening, manifest: Manifest, newcomers: Sequence[TickerDay]) -> None:
    """Train a run again if it is due, with the newcomers.

    Tickers without bars were removed: they are left out, as sample data that has ended is. Where
    a run has one ticker alone, each newcomer gets a run of its own, with the same config.
    """
    session = evening.session
    config = session.config(manifest.run)
    if not is_due(config.retrain, manifest.created_at, evening.day.at):
        return
    own = [day for day in evening.day.tickers if day.run == manifest.run]
    stored = set(evening.workspace.bars.tickers())
    missing = (set(manifest.tickers) & stored) - {day.ticker for day in own} - evening.left_out()
    issued = any(evening.is_issued(day) for day in own)
    if missing or issued:
        # A ticker gets one forecast from a session, and the networks see the same
        # sessions of every ticker. The training waits for the next evening.
        why = f"waits for {' '.join(sorted(missing))}" if missing else "forecast already"
        unasked = sorted(missing - {day.ticker for day in evening.day.tickers})
        if unasked:
            # Those that failed tonight may come tomorrow; these never come by themselves.
            names = " ".join(map(shell_word, unasked))
            evening.day.notes.append(
                f"The {config.retrain} training of {manifest.run} waits for {names}, which this "
                f"evening was not asked for. Next: name them too, or lstm remove {names}."
            )
        evening.log("retrain", "postponed", run=manifest.run, message=why)
        return
    able = [
        day for day in newcomers if not evening.is_issued(day) and _can_join(evening, config, day)
    ]
    evening.on_step(f"training {config.recipe().name} anew ({config.retrain}) …")
    joined = able if len(manifest.tickers) > 1 else []
    # Those with a run of their own come before the host: after a crash it is still due.
    for ticker_day in [day for day in able if day not in joined]:
        try:
            _train(evening, config, [ticker_day])
        except LstmError as error:
            _stays(evening, ticker_day, f"A training of it failed: {error}")
    try:
        _train(evening, config, [*own, *joined], replaces=manifest.run)
    except LstmError as error:
        if not joined:
            raise
        # Nobody loses a training because of those who join.
        for ticker_day in joined:
            _stays(evening, ticker_day, f"A training with it failed: {error}")
        _train(evening, config, own, replaces=manifest.run)


def _can_join(evening: Evening, config: RunConfig, ticker_day: TickerDay) -> bool:
    """Return whether the bars of a ticker can be learnt from."""
    try:
        panel = evening.session.panel([ticker_day.ticker], [config]).panel
        if len(config.recipe().prepare(panel).origins()):
            return True
        why = f"Its {len(panel.sessions()):,} sessions are too few to learn from."
    except LstmError as error:
        why = f"It cannot be learnt from: {error}"
    _stays(evening, ticker_day, why)
    return False


def _stays(evening: Evening, ticker_day: TickerDay, why: str) -> None:
    """Note why a ticker joins no training: the run that ships goes on forecasting it."""
    evening.day.notes.append(f"{ticker_day.ticker}: {why} It stays with the network that ships.")


def _train(
    evening: Evening,
    config: RunConfig,
    days: Sequence[TickerDay],
    *,
    replaces: str | None = None,
) -> None:
    named = [day.ticker for day in days]
    # In the order of the run before: the last digits depend on it.
    named.sort(key=lambda ticker: config.tickers.index(ticker) if ticker in config.tickers else 9e9)
    new = train_again(evening.session, config, named)
    evening.day.retrained.append(new.run)
    evening.log("retrain", "ok", run=new.run, replaces=replaces, seconds=new.seconds)
    for day in days:
        day.run = new.run


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


def train_again(session: Session, config: RunConfig, tickers: Sequence[str]) -> Manifest:
    """Train a new run with the config of an older one, on the tickers.

    If a crash interrupted the same training before, this goes on with it.

    Raises:
        NoDataError: no bars, or too few.
        DiskError: the run could not be written; its checkpoints remain.
    """
    plan = plan_training(session, config, tickers)
    run = _interrupted(session, plan.record) or start_run(session, plan)
    result = train(session, plan, run, on_epoch=lambda epoch: None, on_stage=lambda stage: None)
    return result.manifest


def _interrupted(session: Session, record: Plan) -> str | None:
    """Return the newest interrupted run with the same config and bars."""
    runs = session.workspace.runs
    for run in reversed(runs.interrupted()):
        try:
            if runs.plan(run)[1] == record:
                return run
        except DataError:
            continue
    return None
