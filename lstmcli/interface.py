"""The Python interface: read bars, load a run, forecast, score, backtest.

Import these names from `lstmcli`. A `workspace` is the folder that `lstm fetch` and
`lstm train` fill. Only `backtest` writes into it. Errors are those of `lstmcli.errors`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from lstmcli.config import RunConfig, load_config
from lstmcli.errors import ConfigError, NoDataError
from lstmcli.evaluation.metrics import realise, score_fully
from lstmcli.executors import Workers
from lstmcli.forecasters.base import join_forecasts
from lstmcli.forecasters.run_recipe import FittedRun
from lstmcli.frames import check_bars, check_log_returns
from lstmcli.panel import Panel
from lstmcli.pipeline.backtest import backtest as run_backtest
from lstmcli.pipeline.backtest_plan import plan_backtest
from lstmcli.pipeline.backtest_result import BacktestResult
from lstmcli.pipeline.predict import predict
from lstmcli.pipeline.session import Session
from lstmcli.store import Workspace
from lstmcli.store.files import check_ticker
from lstmcli.store.forecast_files import ForecastFiles
from lstmcli.store.runs import Manifest

WORKSPACE = "data"
"""The folder in which commands keep everything, unless they are told another one."""


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
        config: every setting of it, defaults included.
        fitted: the forecaster, fitted up to `fitted.fit_end`.
        history: the losses of each epoch: of the fit that was `scored`, and of the `final` one.
        scores: Scores on the test block, of the network and of the baselines beside it.
        manifest: what else is known of it, such as its verdict and its versions.
    """

    config: RunConfig
    fitted: FittedRun
    history: pd.DataFrame
    scores: pd.DataFrame
    manifest: Manifest

    @property
    def name(self) -> str:
        """The name of the run, as `lstm runs` lists it."""
        return self.manifest.run

    @property
    def tickers(self) -> tuple[str, ...]:
        """The tickers that it was fitted on and can forecast."""
        return self.manifest.tickers


def read_bars(ticker: str, *, workspace: str | Path = WORKSPACE) -> pd.DataFrame:
    """Return the stored daily bars of a ticker.

    A session that has not settled yet is left out. No forecast reads all of them:
    see docs/reference/files.md.

    Returns:
        Bars, (T, 7), one row per session, oldest first. The index `session` holds
        exchange dates without a time zone. `open high low close` and `dividend` are in the
        ticker's currency, `volume` in shares; `split` is the ratio of a split, else 0. Prices are
        adjusted for splits and not for dividends.

    Raises:
        NoDataError: the ticker was never fetched.
        DataError: its file is damaged.
        ConfigError: the ticker cannot be one.

    Example:
        >>> from lstmcli import read_bars
        >>> bars = read_bars("GOOG")
        >>> list(bars.columns)
        ['open', 'high', 'low', 'close', 'volume', 'dividend', 'split']
        >>> bars["close"].tail(1)
        session
        2008-10-14    362.71
        Name: close, dtype: float64
    """
    ticker = check_ticker(ticker)
    return _open(workspace).settled(ticker)[0]


def load_run(
    run: str | None = None,
    *,
    tickers: str | Sequence[str] = (),
    workspace: str | Path = WORKSPACE,
) -> Run:
    """Return a finished run: its config, its fitted networks and its scores.

    Args:
        run: its name; None is the newest one that was fitted on all of `tickers`.

    Raises:
        NoDataError: there is no such run, or it was interrupted.
        DataError: a file of it is damaged, or another version wrote it.

    Example:
        >>> from lstmcli import load_run
        >>> run = load_run(tickers="GOOG")
        >>> run.config.window.horizon
        20
        >>> run.fitted.fit_end
        Timestamp('2008-10-14 00:00:00')
    """
    session = _open(workspace)
    manifest = session.manifest(run) if run else session.latest(_names(tickers))
    return Run(
        config=session.config(manifest.run),
        fitted=session.fitted(manifest.run),
        history=session.files(manifest.run).history,
        scores=session.workspace.runs.scores(manifest),
        manifest=manifest,
    )


def forecast(
    tickers: str | Sequence[str],
    *,
    run: str | None = None,
    as_of: str | date | None = None,
    workspace: str | Path = WORKSPACE,
) -> pd.DataFrame:
    """Return the calibrated forecast of the next H sessions of each ticker.

    The numbers are those of `lstm predict`, but log returns instead of prices, and without
    the baseline. Nothing is written.

    Args:
        tickers: none is every ticker of the run, or every stored one.
        run: its name; None is, for each ticker, the newest one that was fitted on it, or the
            one that ships with the program, `pretrained`.
        as_of: forecast from the last session up to this date; None is the last settled one.

    Returns:
        A Forecast, H rows per ticker, one for each `step`. `made_on` is the last session
        that was read and `target_on` the one that is forecast. `last_close` is in the
        ticker's currency. `q025 q05 … q95 q975` are quantiles, and `lo50 hi50` … `lo95
        hi95` the ends of the intervals, as log returns since `made_on`, dividends
        included; `sigma` is their volatility. `last_close * exp(q50)` is a price if dividends
        are reinvested: the close is lower by those that go ex up to `target_on`.

    Raises:
        NoDataError: a ticker has no bars, or too few; the first such ticker.
        DataError: a file is damaged, a market series is stale, or a ticker is suspended.
        ConfigError: a ticker cannot be one, or `as_of` is no date.

    Example:
        >>> from lstmcli import forecast
        >>> ahead = forecast("GOOG", as_of="2008-08-29")
        >>> ahead[["made_on", "step", "target_on"]].head(2)
             made_on  step  target_on
        0 2008-08-29     1 2008-09-02
        1 2008-08-29     2 2008-09-03
        >>> bool((ahead["lo80"] < ahead["hi80"]).all())
        True
    """
    session = Session(_Unwritten(Path(workspace)))
    done, failed = predict(
        session, _names(tickers), run=run, as_of=None if as_of is None else _day(as_of)
    )
    if failed:
        raise failed[0].error
    return join_forecasts([prediction.forecast for prediction in done])


def score(forecast: pd.DataFrame, bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return how good forecasts were, for each recipe, ticker and step.

    Rows whose outcome the bars do not have yet are left out.

    Args:
        forecast: a Forecast in log returns, or several joined with `pandas.concat`.
        bars: Bars by ticker, up to the sessions that were forecast.

    Returns:
        Scores, long: `recipe calibrated ticker step metric value n`; n counts origins.
        Metrics are `crps` (approximated by 19 quantile levels, 5 to 95 %), `tails` (the levels
        2.5 and 97.5 %), `pinball_q…`, `width…`, `winkler…`, `mae` and `rmse` (log returns);
        `coverage50 coverage80 coverage95`, `direction` and `always_up` (fractions); `qlike`;
        `mase` (mean daily changes); and `rankic` where a date has 20 tickers.

    Raises:
        NoDataError: the bars of a ticker are missing, or no row has an outcome.
        DataError: the forecast or the bars are not such tables.

    Source:
        Gneiting, Raftery (2007), Strictly Proper Scoring Rules, Prediction, and Estimation.

    Example:
        >>> from lstmcli import forecast, read_bars, score
        >>> ahead = forecast("GOOG", as_of="2008-08-29")
        >>> scores = score(ahead, {"GOOG": read_bars("GOOG")})
        >>> crps = scores[scores["metric"] == "crps"]
        >>> len(crps), bool((crps["value"] > 0).all())
        (20, True)
    """
    check_log_returns(forecast)
    for ticker in forecast["ticker"].unique():
        if ticker not in bars:
            raise NoDataError(f"Expected the bars of {ticker}. Received: {', '.join(bars)}.")
        check_bars(bars[ticker], str(ticker))
    realised = realise(forecast, Panel(bars, {}))
    if not len(realised):
        raise NoDataError(
            "Expected bars of a session that was forecast, and of every session between. "
            "Received: none.",
            hint="lstm fetch brings the newest bars",
        )
    return score_fully(realised)


def backtest(
    config: str | Path | RunConfig,
    tickers: str | Sequence[str] = (),
    *,
    workspace: str | Path = WORKSPACE,
    workers: int | None = None,
    executor: str | None = None,
    scheduler: str | None = None,
    again: bool = False,
) -> BacktestResult:
    """Return scores and the verdict of a config, fitted anew before each fold of the past.

    Every baseline is fitted and judged on the same sessions. The backtest is kept in the
    workspace, as that of `lstm backtest` is. An interrupted one goes on where it stopped,
    and one that was finished before is not computed twice.

    Args:
        config: the path of a YAML file, the name of a shipped config, or a config.
        tickers: none is those of the config; if it has none, every stored one.
        workers: processes; None is one per core, four at most. More than one start Python
            anew, so a script calls this below `if __name__ == "__main__":`.
        executor: `serial`, `processes` or `dask`; None is `processes`, or `serial` for one.
        scheduler: the address of a dask scheduler, with `executor="dask"`.
        again: compute it even if it was finished before.

    Returns:
        `scores`, the Scores of each recipe, raw and calibrated; `verdicts`, by the
        config's name; and `manifest`, with the folds and what failed to converge.

    Raises:
        ConfigError: the config is wrong.
        NoDataError: there are no bars, or too few for the folds; the hint says how many.
        LstmError: a fit failed; the others are kept.
        LockError: another process runs the same backtest.
        DiskError: the workspace cannot be written.

    Source:
        Lazarus, Lewis, Stock, Watson (2018), HAR Inference: Recommendations for Practice.

    Example:
        >>> from lstmcli import backtest
        >>> from lstmcli.config import load_config
        >>> quick = ["training.epochs=1", "window.horizon=2"]
        >>> quick += ["backtest.folds=1", "backtest.start=2008-08-01"]
        >>> config = load_config("smoke", overrides=quick)
        >>> result = backtest(config, "GOOG", workers=1)
        >>> verdict = result.verdicts["smoke"]
        >>> verdict.hardest in set(result.scores["recipe"])
        True
        >>> verdict.word("random_walk") in {"BEATS", "TIES", "LOSES", "not asked"}
        True
    """
    where = Workers(workers, executor, scheduler)
    if not isinstance(config, RunConfig):
        config = load_config(str(config))
    session = _open(workspace)
    label = config.name or config.model.name
    plan = plan_backtest(session, {label: config}, _names(tickers))
    return run_backtest(session, plan, workers=where, again=again)


class _Unwritten(Workspace):
    """A workspace into which no forecast is written: a caller from Python holds it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.forecast_files = _NoFiles(self.forecasts)


class _NoFiles(ForecastFiles):
    """Files that are not written."""

    def write(self, forecast: pd.DataFrame, *, ticker: str, run: str) -> Path:
        return self.folder

    def write_all(
        self,
        forecasts: Mapping[str, pd.DataFrame],
        *,
        made_on: pd.Timestamp,
        run: str,
        judged: Collection[int],
    ) -> Path:
        return self.folder


def _open(workspace: str | Path) -> Session:
    return Session(Workspace(Path(workspace)))


def _names(tickers: str | Sequence[str]) -> tuple[str, ...]:
    return (tickers,) if isinstance(tickers, str) else tuple(dict.fromkeys(tickers))


def _day(as_of: str | date) -> pd.Timestamp:
    try:
        day = pd.Timestamp(as_of)
    except (TypeError, ValueError):
        day = pd.NaT
    if day is pd.NaT or day.tzinfo is not None:
        raise ConfigError(
            f"Expected as_of as a date without a time zone, such as 2016-06-30. "
            f"Received: {as_of!r}."
        )
    return day
