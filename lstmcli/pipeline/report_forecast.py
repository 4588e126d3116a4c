"""What a page shows as the last forecast of a ticker: an issued one, or one just made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lstmcli.evaluation.live import UNMATCHED
from lstmcli.frames import of_recipe
from lstmcli.panel import Panel
from lstmcli.pipeline.prediction import Prediction
from lstmcli.pipeline.prices import in_prices, price_basis
from lstmcli.pipeline.score import Live
from lstmcli.pipeline.session import Session
from lstmcli.report.announcements import Reports
from lstmcli.report.prices import PriceBasis
from lstmcli.report.verdict_record import hardest_baseline


@dataclass(frozen=True)
class Shown:
    """A forecast of one ticker from one origin.

    Attributes:
        prices: as `in_prices` returns them, by step.
        bars: those that it could read; None where they cannot be read now.
        held: whether the bars still hold the close that it was made from.
        verdict: the stored one of its run; None where the run is gone or had none.
        baseline: prices of the hardest baseline of that verdict, at the steps that are kept.
        reports: what it could know of the ticker's reports.
    """

    prices: pd.DataFrame
    basis: PriceBasis
    bars: pd.DataFrame | None
    run: str
    held: bool
    verdict: Mapping[str, Any] | None
    baseline: pd.DataFrame | None
    reports: Reports

    @property
    def made_on(self) -> pd.Timestamp:
        return pd.Timestamp(self.prices["made_on"].iloc[0])

    @property
    def close(self) -> float:
        return float(self.prices["last_close"].iloc[0])


def of_prediction(prediction: Prediction) -> Shown:
    """Return a forecast that was just made."""
    return Shown(
        prices=prediction.prices,
        basis=prediction.basis,
        bars=prediction.bars,
        run=prediction.manifest.run,
        held=True,
        verdict=prediction.manifest.verdict,
        baseline=prediction.baseline,
        reports=prediction.reports,
    )


def last_issued(live: Live) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the newest published forecast of a ticker, and those beside it."""
    rows = live.rows
    published = rows[rows["calibrated"]]
    newest = rows[rows["made_on"] == published["made_on"].max()]
    newest = newest[newest["run"] == newest.loc[newest["calibrated"], "run"].iloc[-1]]
    beside = ~newest["calibrated"]
    return newest[~beside].sort_values("step"), newest[beside]


def of_ledger(
    last: pd.DataFrame,
    beside: pd.DataFrame,
    *,
    basis: PriceBasis,
    bars: pd.DataFrame | None,
    verdict: Mapping[str, Any] | None,
    reports: Reports,
) -> Shown:
    """Return the newest issued forecast of a ticker.

    Args:
        last, beside: what `last_issued` returns.
    """
    ticker, run = str(last["ticker"].iloc[0]), str(last["run"].iloc[0])
    bases, hardest = {ticker: basis}, beside
    if len(beside):
        hardest = of_recipe(beside, hardest_baseline(verdict) or "ewma", calibrated=False)
    return Shown(
        prices=in_prices(last, bases),
        basis=basis,
        bars=bars,
        run=run,
        held=bool((last["status"] != UNMATCHED).all()),
        verdict=verdict,
        baseline=in_prices(hardest.sort_values("step"), bases) if len(hardest) else None,
        reports=reports,
    )


def basis_of_issued(
    session: Session, ticker: str, bars: pd.DataFrame, last: pd.DataFrame, currency: str | None
) -> PriceBasis:
    """Return what the prices of a forecast are, by what was known when it was made.

    Its `last_close` counts shares of that day: a split since then does not concern it.
    """
    known = Panel({ticker: bars}, {}, events=session.dividends()).until(bars.index[-1])
    until = pd.Timestamp(last["target_on"].max())
    return price_basis(known.view(ticker), until, splits=bars["split"], currency=currency)
