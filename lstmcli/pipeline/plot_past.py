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

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def forecast_tickers(session: Session, backtest: str | None) -> list[str]:
    """Return the tickers with past forecasts: of a backtest, of the ledger, or of the newest."""
    store, ledger = session.workspace.backtests, session.workspace.ledger
    if backtest is None and ledger.exists():
        return list(dict.fromkeys(ledger.read()["ticker"]))
    manifest = store.manifest(backtest) if backtest else store.latest()
    return list(manifest.tickers)


def past_figure(session: Session, ticker: str, backtest: str | None, theme: Theme) -> Figure:
    """Draw the past forecasts of a ticker with what came.

    Args:
        backtest: draw its forecasts; None: the issued ones, or the newest backtest's where
            nothing that was issued has an outcome yet.

    Raises:
        NoDataError: there are none.
        DataError: bars, ledger or backtest are damaged.
    """
    bars, meta = session.settled(ticker)
    rows, made = _issued(session, ticker) if backtest is None else (None, "")
    if rows is None:
        rows, made = _backtested(session, ticker, backtest)
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


def _issued(session: Session, ticker: str) -> tuple[pd.DataFrame | None, str]:
    """Return the published forecasts of the ledger whose outcome is known."""
    if not session.workspace.ledger.exists():
        return None, ""
    try:
        rows = score(session, [ticker]).rows
    except NoDataError:
        return None, ""
    rows = rows[rows["calibrated"] & (rows["status"] == SCORED)]
    # Of several runs that forecast from one origin, the last one counts.
    rows = rows.drop_duplicates(["made_on", "step"], keep="last")
    return (rows, "As issued, from the ledger.") if len(rows) else (None, "")


def _backtested(session: Session, ticker: str, backtest: str | None) -> tuple[pd.DataFrame, str]:
    """Return the calibrated forecasts of a backtest that has the ticker."""
    store = session.workspace.backtests
    names = [backtest] if backtest else list(reversed(store.names()))
    for name in names:
        try:
            manifest = store.manifest(name)
        except LstmError:
            if backtest:
                raise
            continue
        if ticker not in manifest.tickers:
            continue
        label, verdict = next(iter(manifest.verdicts.items()))
        rows = store.forecasts(manifest.backtest, recipes=[verdict["recipe"]])
        own = of_recipe(rows, verdict["recipe"], calibrated=verdict["calibrated"])
        own = own[own["ticker"].astype(str) == ticker]
        return own, f"{label} in the backtest {manifest.backtest}, on sessions it had not seen."
    hint = f"lstm backtest {shell_word(ticker)} --config smoke.yaml"
    if backtest:
        raise NoDataError(
            f"The backtest {backtest} has no forecast of {ticker}.",
            hint=f"lstm plot {shell_word(ticker)} --kind past",
        )
    raise NoDataError(
        f"There is no past forecast of {ticker} with an outcome: neither in the ledger, which "
        "lstm daily fills every evening, nor in a backtest.",
        hint=hint,
    )
