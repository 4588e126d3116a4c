"""Plot: charts of forecasts, trainings, backtests and what came, as files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from lstmcli import charts
from lstmcli.charts import Theme
from lstmcli.errors import ConfigError, LstmError, NoDataError, shell_word
from lstmcli.pipeline.plot_backtest import backtest_figure, calibration_figures
from lstmcli.pipeline.plot_forecast import attention_figure, compare_figure, prediction_figure
from lstmcli.pipeline.plot_past import forecast_tickers, past_figures
from lstmcli.pipeline.predict import default_tickers, predict
from lstmcli.pipeline.prediction import Failure
from lstmcli.pipeline.session import Session
from lstmcli.store import Workspace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["forecast", "past", "compare", "training", "attention", "backtest", "calibration"]

FORMATS = ("png", "svg", "pdf")
PIXELS_PER_INCH = 150

_WITHOUT_TICKERS = ("backtest", "calibration")
_WITH_AS_OF = ("forecast", "compare", "attention")

Drawn = tuple["Figure", str]
"""A figure, and the name of its file without an ending."""


def plot(
    session: Session,
    tickers: Sequence[str],
    *,
    kind: Kind,
    run: str | None = None,
    as_of: pd.Timestamp | None = None,
    output: Path | None = None,
    theme: Theme = charts.PAPER,
) -> tuple[list[Path], list[Failure]]:
    """Draw and write charts: one per ticker, run or backtest, as the kind has it.

    Args:
        run: a run; for `backtest`, `calibration` and `past` a backtest. Else the newest.
        output: a file whose ending names the format; else a PNG in the workspace.

    Raises:
        ConfigError: an option that cannot apply, an unknown ending, a missing folder, one file
            for several charts, or attention of a network without it.
        NoDataError, DataError: the run or the bars cannot be used.
    """
    _check_options(tickers, kind, as_of=as_of, output=output)
    drawn, failures = _draw(session, tickers, kind, run=run, as_of=as_of, theme=theme, one=output)
    suffix = "-phone" * theme.phone + "-dark" * theme.dark
    workspace = session.workspace
    return [
        _save(workspace, figure, output or workspace.chart_path(f"{stem}{suffix}.png"))
        for figure, stem in drawn
    ], failures


def _check_options(
    tickers: Sequence[str], kind: Kind, *, as_of: pd.Timestamp | None, output: Path | None
) -> None:
    """Refuse what cannot apply, before anything is loaded."""
    if output is not None:
        check_output(output, FORMATS)
    if tickers and kind in _WITHOUT_TICKERS:
        raise ConfigError(
            f"Expected no ticker with --kind {kind}, which draws all tickers of a backtest. "
            f"Received: {' '.join(tickers)}.",
            hint=f"lstm plot --kind {kind}, with --run NAME for another backtest than the newest",
        )
    if as_of is not None and kind not in _WITH_AS_OF:
        raise ConfigError(
            f"Expected no --as-of with --kind {kind}: it changes nothing there. "
            f"Received: {as_of:%Y-%m-%d}.",
            hint=" ".join(["lstm plot", *map(shell_word, tickers), f"--kind {kind}"]),
        )


def check_output(output: Path, formats: Sequence[str]) -> None:
    """Check that a file can be written for its ending and its folder.

    Raises:
        ConfigError: it cannot.
    """
    if output.suffix.lower().lstrip(".") not in formats:
        endings = ", ".join("." + name for name in formats)
        raise ConfigError(
            f"Expected a file that ends in {endings}. Received: {output}.",
            hint=f"--output {shell_word(output.stem or 'chart')}.{formats[0]}",
        )
    check_folder(output)


def check_folder(output: Path) -> None:
    """Check that the folder of a file exists: a typing error must not make one.

    Raises:
        ConfigError: it does not.
    """
    if not output.parent.is_dir():
        raise ConfigError(
            f"Expected a folder that exists. Received: {output.parent}, for {output.name}.",
            hint=f"mkdir -p {shell_word(str(output.parent))}",
        )


def _draw(
    session: Session,
    tickers: Sequence[str],
    kind: Kind,
    *,
    run: str | None,
    as_of: pd.Timestamp | None,
    theme: Theme,
    one: Path | None,
) -> tuple[list[Drawn], list[Failure]]:
    match kind:
        case "training":
            return [_training(session, tickers, run, theme)], []
        case "backtest":
            return [backtest_figure(session.workspace.backtests, run, theme)], []
        case "calibration":
            figures = calibration_figures(session.workspace.backtests, run, theme)
            _check_one_config(figures, one, kind)
            return figures, []
        case "past":
            return _past(session, tickers, run, theme, one)
    if kind == "compare":
        tickers = tickers or default_tickers(session, run)
        _check_comparable(tickers)
    predictions, failures = predict(
        session, tickers, run=run, as_of=as_of, with_keras=kind == "attention"
    )
    if kind == "compare":
        return ([compare_figure(predictions, theme)] if predictions else []), failures
    _check_single([of.ticker for of in predictions], one, kind)
    draw = prediction_figure if kind == "forecast" else attention_figure
    return [
        (draw(of, theme), f"{kind}-{of.ticker}-{of.made_on:%Y-%m-%d}-{of.manifest.run}")
        for of in predictions
    ], failures


def _check_comparable(tickers: Sequence[str]) -> None:
    """Check that tickers fit into one picture, and are more than one."""
    if len(tickers) == 1:
        raise ConfigError(
            f"Expected two tickers or more to compare. Received: {tickers[0]}.",
            hint=f"lstm plot {shell_word(tickers[0])}",
        )
    if len(tickers) > charts.MOST_TICKERS:
        raise ConfigError(
            f"Expected at most {charts.MOST_TICKERS} tickers in one picture. "
            f"Received: {len(tickers)}.",
            hint="lstm predict shows any number as a table",
        )


def _check_single(tickers: Sequence[str], output: Path | None, kind: Kind) -> None:
    """Check that a file is not asked to hold the charts of several tickers."""
    if output is not None and len(tickers) > 1:
        of_kind = "" if kind == "forecast" else f" --kind {kind}"
        raise ConfigError(
            f"Expected one ticker for one file. Received: {len(tickers)} and {output}.",
            hint=f"lstm plot {shell_word(tickers[0])}{of_kind} --output {shell_word(str(output))}",
        )


def _check_one_config(
    figures: Sequence[Drawn], output: Path | None, kind: Kind, tickers: Sequence[str] = ()
) -> None:
    """Check that a file is not asked to hold the charts of several configs."""
    if output is not None and len(figures) > 1:
        raise ConfigError(
            f"Expected a backtest of one config for one file. Received: {output} and "
            f"{len(figures)} configs.",
            hint=f"{' '.join(['lstm plot', *map(shell_word, tickers)])} --kind {kind}",
        )


def _training(session: Session, tickers: Sequence[str], run: str | None, theme: Theme) -> Drawn:
    manifest = session.manifest(run) if run else session.latest(tickers)
    unknown = [ticker for ticker in tickers if ticker not in manifest.tickers]
    if unknown:
        raise NoDataError(
            f"The run {manifest.run} knows {' '.join(manifest.tickers)}. "
            f"Received: {' '.join(unknown)}.",
            hint=f"lstm plot --kind training --run {manifest.run}",
        )
    of = ", ".join(manifest.tickers[:3])
    more = f" and {len(manifest.tickers) - 3} more" if len(manifest.tickers) > 3 else ""
    figure = charts.training_chart(
        session.files(manifest.run).history,
        title=f"Training of {_config_name(manifest.run)} on {of}{more}",
        run=manifest.run,
        keeps_best=session.config(manifest.run).recipe().work.keeps_best,
        note="; ".join(dict.fromkeys(manifest.labels.values())) or None,
        theme=theme,
    )
    return figure, f"training-{manifest.run}"


def _config_name(run: str) -> str:
    """Return the name of the config in the name of a run: `20260730T141530Z-lstm-1a2b3c4d`."""
    return "-".join(run.split("-")[1:-1]) or run


def _past(
    session: Session, tickers: Sequence[str], run: str | None, theme: Theme, one: Path | None
) -> tuple[list[Drawn], list[Failure]]:
    wanted = list(tickers) or forecast_tickers(session, run)
    _check_single(wanted, one, "past")
    drawn, failed = [], []
    for ticker in wanted:
        try:
            drawn += past_figures(session, ticker, run, theme)
        except LstmError as error:
            failed.append(Failure(ticker, error))
    _check_one_config(drawn, one, "past", tickers)
    return drawn, failed


def _save(workspace: Workspace, figure: Figure, path: Path) -> Path:
    """Write a figure; equal figures give equal bytes."""
    import matplotlib

    form = path.suffix.lower().lstrip(".")
    # Dates and random ids in the file would make every chart a new one.
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "lstm", "svg.fonttype": "none"}):
        figure.savefig(
            stream,
            format=form,
            dpi=PIXELS_PER_INCH,
            metadata=dates.get(form),
            facecolor=figure.get_facecolor(),
        )
    workspace.write(path, stream.getvalue())
    return path
