"""The chart of past forecasts: those that were issued, else those of a backtest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from lstmcli import charts
from lstmcli.charts import Theme
from lstmcli.errors import LstmError, NoDataError, shell_word
from lstmcli.evaluation.live import SCORED
from lstmcli.frames import (
    COVERAGES,
    INTERVAL_COLUMNS,
    endpoints,
    of_recipe,
    total_return_prices,
)
from lstmcli.pipeline.score import score
from lstmcli.pipeline.session import Session
from lstmcli.store.backtests import BacktestManifest

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_NOTHING = (
    "There is no past forecast{} with an outcome: neither in the ledger, which lstm daily fills "
    "every evening, nor in a backtest."
)


def forecast_tickers(session: Session, backtest: str | None) -> list[str]:
    """Return the tickers with past forecasts: of a backtest, of the ledger, or of the newest."""
    store, ledger = session.workspace.backtests, session.workspace.ledger
    if backtest is None and ledger.exists():
        return ledger.tickers()
    if backtest is None and not store.names():
        raise NoDataError(_NOTHING.format(""), hint="lstm backtest")
    manifest = store.manifest(backtest) if backtest else store.latest()
    return list(manifest.tickers)


def past_figures(
    session: Session, ticker: str, backtest: str | None, theme: Theme
) -> list[tuple[Figure, str]]:
    """Draw the past forecasts of a ticker with what came; return figures and their files' names.

    Of a backtest with several configs there is one figure for each.

    Args:
        backtest: draw its forecasts; None: the issued ones, or the newest backtest's where
            nothing that was issued has an outcome yet.

    Raises:
        NoDataError: there are none.
        DataError: bars, ledger or backtest are damaged.
    """
    rows = _issued(session, ticker) if backtest is None else None
    if rows is not None:
        figure = _figure(session, ticker, rows, "As issued, from the ledger.", theme)
        return [(figure, f"past-{ticker}")]
    manifest = _backtest_of(session, ticker, backtest)
    found = []
    for label, verdict in manifest.verdicts.items():
        rows = session.workspace.backtests.forecasts(manifest.backtest, recipes=[verdict["recipe"]])
        own = of_recipe(rows, verdict["recipe"], calibrated=verdict["calibrated"])
        own = own[own["ticker"].astype(str) == ticker]
        made = f"{label} in the backtest {manifest.backtest}, on sessions it had not seen."
        stem = f"past-{ticker}-{label}" if len(manifest.verdicts) > 1 else f"past-{ticker}"
        found.append((_figure(session, ticker, own, made, theme), stem))
    return found


def _figure(session: Session, ticker: str, rows: pd.DataFrame, made: str, theme: Theme) -> Figure:
    bars, meta = session.settled(ticker)
    ends = [column for share in COVERAGES for column in endpoints(rows, share)]
    rows = rows.assign(**dict(zip(INTERVAL_COLUMNS, ends, strict=True)))
    level = total_return_prices(bars)["close"]
    paid = bool((bars["dividend"].loc[rows["made_on"].min() :] > 0).any())
    unit = f"close{', dividends reinvested' if paid else ''}"
    return charts.past_chart(
        # As of the last close, so that the axis has today's prices.
        level * float(bars["close"].iloc[-1] / level.iloc[-1]),
        rows[["made_on", "step", "target_on", *INTERVAL_COLUMNS]],
        title=f"{ticker}: past forecasts and what came",
        made=made,
        axis=unit,
        note=meta.label,
        theme=theme,
    )


def _issued(session: Session, ticker: str) -> pd.DataFrame | None:
    """Return the published forecasts of the ledger whose outcome is known; None without any."""
    if not session.workspace.ledger.exists():
        return None
    try:
        rows = score(session, [ticker]).rows
    except NoDataError:
        return None
    rows = rows[rows["calibrated"] & (rows["status"] == SCORED)]
    # Of several runs that forecast from one origin, the last one counts.
    rows = rows.drop_duplicates(["made_on", "step"], keep="last")
    return rows if len(rows) else None


def _backtest_of(session: Session, ticker: str, backtest: str | None) -> BacktestManifest:
    """Return the backtest of a name, else the newest one that has the ticker."""
    store = session.workspace.backtests
    names = [backtest] if backtest else list(reversed(store.names()))
    for name in names:
        try:
            manifest = store.manifest(name)
        except LstmError:
            if backtest:
                raise
            continue
        if ticker in manifest.tickers:
            return manifest
    if backtest:
        raise NoDataError(
            f"The backtest {backtest} has no forecast of {ticker}.",
            hint=f"lstm plot {shell_word(ticker)} --kind past",
        )
    hint = f"lstm backtest {shell_word(ticker)}"
    raise NoDataError(_NOTHING.format(f" of {ticker}"), hint=hint)
