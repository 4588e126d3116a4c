"""Predict: the next H sessions of each ticker, from its last settled bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from lstmcli.errors import LstmError, NoDataError
from lstmcli.executors import HERE, Workers
from lstmcli.frames import small_tables
from lstmcli.pipeline.forecast_writer import MANY
from lstmcli.pipeline.inputs import Inputs, find_inputs
from lstmcli.pipeline.prediction import Failure, Prediction, PredictionsOfRun
from lstmcli.pipeline.run_forecasts import ManyWorkers, forecasts_of_run
from lstmcli.pipeline.session import Session
from lstmcli.report.verdict_record import hardest_baseline
from lstmcli.store.files import check_ticker


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
        workers, say: see `forecasts_of_run`.

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
    failed: dict[str, LstmError] = {}
    for ticker in tickers:
        try:
            inputs = find_inputs(session, run, ticker, as_of=as_of)
        except LstmError as error:
            failed[ticker] = error
            continue
        groups.setdefault((inputs.manifest.run, inputs.origin), []).append(inputs)
        if inputs.manifest.any_ticker:  # its tickers can be forecast side by side
            try:
                workers.start()
            except LstmError as error:
                return [], [Failure(ticker, error) for ticker in tickers]
    done: dict[str, Prediction] = {}
    for (name, _), asked in groups.items():
        hardest = hardest_baseline(asked[0].manifest.verdict) or "ewma"
        try:
            fitted = session.fitted(name, with_keras=with_keras)
            made = PredictionsOfRun(
                session, fitted, asked, hardest=hardest, as_of=as_of, many=len(tickers) > MANY
            )
        except LstmError as error:
            failed |= {inputs.ticker: error for inputs in asked}
            continue
        try:
            for found in forecasts_of_run(
                session,
                fitted,
                asked,
                beside=tuple(dict.fromkeys((hardest, *beside))),
                keep=as_of is None,
                with_earlier=with_earlier,
                workers=workers,
                say=say,
            ):
                made.take(found)
        except LstmError as error:
            made.give_up(error)
        made.close()
        done |= made.done
        failed |= made.failed
    return (
        [done[ticker] for ticker in tickers if ticker in done],
        [Failure(ticker, failed[ticker]) for ticker in tickers if ticker in failed],
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
