"""Plot: charts of forecasts, trainings and attention, as files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from lstmcli import charts
from lstmcli.errors import ConfigError, NoDataError, shell_word
from lstmcli.evaluation.comparison import Comparison, judged_steps_of, numbered, overlaps_of
from lstmcli.evaluation.metrics import covered, pit, rolling_coverage
from lstmcli.evaluation.significance import SIGNIFICANCE, cumulative_skill
from lstmcli.evaluation.verdict import outcomes
from lstmcli.frames import COVERAGES, of_recipe
from lstmcli.models.attention import Attention
from lstmcli.pipeline.predict import Failure, Prediction, predict
from lstmcli.pipeline.session import Session
from lstmcli.report.verdict import plain_name
from lstmcli.report.verdict_record import hardest_baseline
from lstmcli.store import Workspace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["forecast", "training", "attention", "backtest", "calibration"]

FORMATS = ("png", "svg", "pdf")
PIXELS_PER_INCH = 150

ROLLING = 250
"""Origins, a year, over which coverage is followed."""


def plot(
    session: Session,
    tickers: Sequence[str],
    *,
    kind: Kind,
    run: str | None = None,
    as_of: pd.Timestamp | None = None,
    output: Path | None = None,
) -> tuple[list[Path], list[Failure]]:
    """Draw and write one chart per ticker, one of the run for `training`, or one per
    config of a backtest.

    Args:
        run: a run; for `backtest` and `calibration` a backtest. Else the newest.
        output: a file whose ending names the format; else a PNG in the workspace.

    Raises:
        ConfigError: an unknown ending, one file for several charts, or attention
            of a network without it.
        NoDataError, DataError: the run or the bars cannot be used.
    """
    if output and output.suffix.lower().lstrip(".") not in FORMATS:
        raise ConfigError(
            f"Expected a file that ends in {', '.join('.' + name for name in FORMATS)}. "
            f"Received: {output}.",
            hint=f"--output {output.stem or 'chart'}.png",
        )
    workspace = session.workspace
    if kind == "training":
        manifest = session.manifest(run) if run else session.latest(tickers)
        figure = charts.training_chart(
            session.files(manifest.run).history,
            title=manifest.run,
            note="; ".join(dict.fromkeys(manifest.labels.values())) or None,
        )
        return [_save(workspace, figure, output, f"training-{manifest.run}")], []
    if kind in ("backtest", "calibration"):
        return _of_backtest(workspace, kind, run, output), []
    predictions, failures = predict(
        session, tickers, run=run, as_of=as_of, with_keras=kind == "attention"
    )
    if output and len(predictions) > 1:
        raise ConfigError(
            f"Expected one ticker for one file. Received: {len(predictions)} and {output}.",
            hint=f"lstm plot {shell_word(predictions[0].ticker)} "
            f"--output {shell_word(str(output))}",
        )
    paths = []
    for prediction in predictions:
        stem = f"{kind}-{prediction.ticker}-{prediction.made_on:%Y-%m-%d}-{prediction.manifest.run}"
        figure = _forecast(prediction) if kind == "forecast" else _attention(prediction)
        paths.append(_save(workspace, figure, output, stem))
    return paths, failures


def _of_backtest(
    workspace: Workspace, kind: Kind, name: str | None, output: Path | None
) -> list[Path]:
    """Draw one chart per config of a backtest: its calibrated forecasts."""
    store = workspace.backtests
    manifest = store.manifest(name) if name else store.latest()
    if output and len(manifest.verdicts) > 1:
        raise ConfigError(
            f"Expected a backtest of one config for one file. Received: {output} and "
            f"{', '.join(manifest.verdicts)}.",
            hint="lstm plot --kind backtest",
        )
    note = "; ".join(dict.fromkeys(manifest.labels.values())) or None
    names = ", ".join(manifest.tickers[:3])
    more = len(manifest.tickers) - 3
    who = f"{names} and {more} more" if more > 0 else names
    folds = manifest.record.folds
    paths = []
    for label, verdict in manifest.verdicts.items():
        judged = verdict["recipe"], verdict["calibrated"]
        beside = [name for name in (judged[0], hardest_baseline(verdict)) if name is not None]
        rows = store.forecasts(manifest.backtest, recipes=beside)
        own = of_recipe(rows, judged[0], calibrated=judged[1])
        if kind == "backtest":
            figure = _skill_chart(
                own,
                rows,
                hardest_baseline(verdict),
                folds=[pd.Timestamp(first) for first, _ in folds],
                title=f"{label}: {who}",
                note=note,
            )
        else:
            shortest = own[own["step"] == own["step"].min()]
            inside = {
                f"coverage{share * 100:.0f}": own.assign(hit=covered(own, share))
                .groupby("step")["hit"]
                .mean()
                for share in COVERAGES
            }
            figure = charts.calibration_chart(
                pit(own),
                pd.DataFrame(inside).reset_index(),
                pd.DataFrame(
                    {
                        share: rolling_coverage(shortest, share, sessions=ROLLING)
                        for share in COVERAGES
                    }
                ),
                title=f"{label}: {who}",
                line=f"{len(own):,} calibrated forecasts, {folds[0][0]} to {folds[-1][1]}",
                sessions=ROLLING,
                note=note,
            )
        paths.append(_save(workspace, figure, output, f"{kind}-{manifest.backtest}-{label}"))
    return paths


def _skill_chart(
    own: pd.DataFrame,
    rows: pd.DataFrame,
    hardest: str | None,
    *,
    folds: Sequence[pd.Timestamp],
    title: str,
    note: str | None,
) -> Figure:
    """Draw the skill of a recipe against the baseline of its verdict, from stored forecasts.

    Where no step has enough sessions for a test, the shortest is drawn without a band.

    Raises:
        NoDataError: no baseline of the ladder was forecast beside it.
    """
    base = rows.iloc[:0] if hardest is None else of_recipe(rows, hardest, calibrated=False)
    of = numbered(outcomes(pd.concat([own, base])))
    mine = of["recipe"] == own["recipe"].iloc[0]
    beside = Comparison(of[mine], of[~mine])
    if beside.rows.empty:
        raise NoDataError(
            f"Expected a backtest with forecasts of a baseline. Received: {title} without.",
            hint="lstm backtest",
        )
    judged, _ = judged_steps_of(of[mine])
    overlaps = judged or dict([min(overlaps_of(of[mine]).items())])
    losses = beside.losses(overlaps)
    skills = [
        {"step": step, **beside.numbers({step: overlap}, alpha=SIGNIFICANCE / 2)[0]}
        for step, overlap in overlaps.items()
    ]
    # Versions before 0.3 stored no volatility beside a forecast.
    unit = " in units of volatility" if "unit" in rows else ""
    return charts.backtest_chart(
        cumulative_skill(losses["scaled"], losses["base_scaled"], overlap=max(overlaps.values())),
        pd.DataFrame(skills)[["step", "skill", "low", "high"]],
        folds=folds,
        title=title,
        line=f"CRPS skill{unit} against {plain_name(str(hardest))}; above zero is better",
        note=note,
    )


def _forecast(prediction: Prediction) -> Figure:
    return charts.forecast_chart(
        prediction.bars,
        prediction.prices,
        title=f"{prediction.ticker}: the next {len(prediction.forecast)} sessions",
        run=prediction.manifest.run,
        note=prediction.label,
        axis=prediction.basis.axis,
        remark=prediction.basis.sentence,
    )


def _attention(prediction: Prediction) -> Figure:
    if not isinstance(prediction.fitted.network.recipe.model, Attention):
        raise ConfigError(
            f"Expected a run with attention. Received: {prediction.manifest.run}.",
            hint=f"lstm train {shell_word(prediction.ticker)} --config attention.yaml",
        )
    weights = prediction.fitted.network.attention(
        prediction.panel, prediction.ticker, prediction.made_on
    )
    return charts.attention_chart(
        weights, title=f"{prediction.ticker}: what the attention weighs", note=prediction.label
    )


def _save(workspace: Workspace, figure: Figure, output: Path | None, stem: str) -> Path:
    """Write a figure; equal figures give equal bytes."""
    import matplotlib

    path = output or workspace.chart_path(f"{stem}.png")
    form = path.suffix.lower().lstrip(".")
    # Dates and random ids in the file would make every chart a new one.
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "lstm", "svg.fonttype": "none"}):
        figure.savefig(stream, format=form, dpi=PIXELS_PER_INCH, metadata=dates.get(form))
    workspace.write(path, stream.getvalue())
    return path
