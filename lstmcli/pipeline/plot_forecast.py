"""Charts of forecasts: a cone, several tickers side by side, and attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from lstmcli import charts
from lstmcli.charts import Theme
from lstmcli.errors import ConfigError, shell_word
from lstmcli.frames import INTERVAL_COLUMNS
from lstmcli.pipeline.prediction import Prediction
from lstmcli.report.announcements import Reports
from lstmcli.report.caption import answer, verdict_caption
from lstmcli.report.prices import CLOSE, PriceBasis
from lstmcli.report.verdict import plain_name
from lstmcli.report.wording import joined_notes, notes_by_ticker

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def forecast_figure(
    bars: pd.DataFrame,
    prices: pd.DataFrame,
    *,
    run: str,
    verdict: Mapping[str, Any] | None,
    baseline: pd.DataFrame | None,
    basis: PriceBasis,
    note: str | None,
    reports: Reports,
    theme: Theme = charts.PAPER,
    in_words: bool = True,
) -> Figure:
    """Draw the forecast of one ticker from one origin.

    Args:
        bars: those that it read.
        prices, baseline: as `in_prices` returns them.
        verdict: the stored one of its run.
        reports: what the forecast could know of the ticker's reports.
        in_words: say above the axes what a page says beside the picture.
    """
    ticker, horizon = prices["ticker"].iloc[0], int(prices["step"].max())
    words = [answer(verdict, prices)] if in_words else []
    targets = [target.date() for target in prices["target_on"]]
    made_on = prices["made_on"].iloc[0].date()
    if verdict and in_words:
        words.append(verdict_caption(verdict))
    if in_words and (said := reports.sentence(targets, made_on)):
        words.append(said)
    if baseline is not None and baseline.empty:
        baseline = None
    return charts.forecast_chart(
        bars,
        prices,
        title=f"{ticker}: the next {f'{horizon} sessions' if horizon > 1 else 'session'}",
        run=run,
        words=words,
        baseline=baseline,
        beside="" if baseline is None else plain_name(str(baseline["recipe"].iloc[0])),
        note=note,
        axis=basis.axis,
        remark=basis.sentence,
        reports=reports.sessions,
        theme=theme,
    )


def prediction_figure(prediction: Prediction, theme: Theme) -> Figure:
    """Draw a forecast that was just made."""
    said = (prediction.label, prediction.seen_note, *prediction.notes)
    return forecast_figure(
        prediction.bars,
        prediction.prices,
        run=prediction.manifest.run,
        verdict=prediction.manifest.verdict,
        baseline=prediction.baseline,
        basis=prediction.basis,
        reports=prediction.reports,
        note=joined_notes(*said),
        theme=theme,
    )


def compare_figure(predictions: Sequence[Prediction], theme: Theme) -> tuple[Figure, str]:
    """Draw how far several tickers may move; return the figure and its file's name."""
    changes = []
    for prediction in predictions:
        prices = prediction.prices
        levels = ["q50", *INTERVAL_COLUMNS]
        ratio = prices[levels].div(prices["last_close"], axis=0) - 1
        changes.append(pd.concat([prices[["ticker", "step", "target_on"]], ratio], axis=1))
    made_on = sorted({prediction.made_on for prediction in predictions})
    when = f"{made_on[0]:%d %b %Y}" + (f" to {made_on[-1]:%d %b %Y}" if len(made_on) > 1 else "")
    runs = list(dict.fromkeys(prediction.manifest.run for prediction in predictions))
    labels = dict.fromkeys(p.label for p in predictions if p.label)
    seen = dict.fromkeys(p.seen_note for p in predictions if p.seen_note)
    notes = notes_by_ticker((p.ticker, note) for p in predictions for note in p.notes)
    total = [p.ticker for p in predictions if p.basis.kind != CLOSE]
    figure = charts.compare_chart(
        pd.concat(changes, ignore_index=True),
        title=f"How far {len(predictions)} tickers may move",
        lines=[f"Forecasts made on {when}. The calmest ticker is on top."],
        note=joined_notes(*labels, *seen, *notes),
        remark=f"{'With dividends. ' if total else ''}Run{'s' * (len(runs) > 1)} "
        f"{', '.join(runs[:3])}{' and more' if len(runs) > 3 else ''}.",
        theme=theme,
    )
    names = "-".join(prediction.ticker for prediction in predictions[:4])
    more = f"-and-{len(predictions) - 4}-more" if len(predictions) > 4 else ""
    return figure, f"compare-{names}{more}-{made_on[-1]:%Y-%m-%d}"


def attention_figure(prediction: Prediction, theme: Theme) -> Figure:
    """Draw which sessions of the window a network with attention prefers.

    Raises:
        ConfigError: the run has none.
    """
    weights = prediction.fitted.attention(prediction.panel, prediction.ticker, prediction.made_on)
    if weights is None:
        raise ConfigError(
            f"Expected a run with attention. Received: {prediction.manifest.run}.",
            hint=f"lstm train {shell_word(prediction.ticker)} --config attention.yaml",
        )
    return charts.attention_chart(
        weights,
        prediction.bars["close"],
        title=f"{prediction.ticker}: which sessions attention prefers",
        run=prediction.manifest.run,
        note=prediction.label,
        theme=theme,
    )
