"""Charts of a backtest: every config against the ladder, and how well cones held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from lstmcli import charts
from lstmcli.charts import Theme
from lstmcli.errors import NoDataError
from lstmcli.evaluation.comparison import Comparison, judged_steps_of, numbered, overlaps_of
from lstmcli.evaluation.ladder import NO_VERDICT
from lstmcli.evaluation.metrics import covered, pit, rolling_coverage
from lstmcli.evaluation.significance import cumulative_skill
from lstmcli.evaluation.verdict import outcomes
from lstmcli.frames import COVERAGES, of_recipe
from lstmcli.report.verdict import plain_name
from lstmcli.report.verdict_record import hardest_baseline
from lstmcli.store.backtests import BacktestManifest, BacktestStore

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROLLING = 250
"""Origins, a year, over which coverage is followed at most."""

LEAST_ROLLING = 60
"""Origins over which a share means something."""


def backtest_figure(store: BacktestStore, name: str | None, theme: Theme) -> tuple[Figure, str]:
    """Draw the skill of every config of a backtest; return the figure and its file's name.

    Raises:
        NoDataError: there is no such backtest, or it has no baseline of the ladder.
        DataError: it is damaged.
    """
    manifest = store.manifest(name) if name else store.latest()
    shown = _best_configs(manifest)
    against = next(filter(None, map(hardest_baseline, shown.values())), None)
    recipes = [verdict["recipe"] for verdict in shown.values()]
    rows = store.forecasts(manifest.backtest, recipes=[*recipes, *filter(None, [against])])
    base = rows.iloc[:0] if against is None else of_recipe(rows, against, calibrated=False)
    growth: dict[str, pd.DataFrame] = {}
    steps: tuple[int, ...] = ()
    parts = []
    for label, verdict in shown.items():
        own = of_recipe(rows, verdict["recipe"], calibrated=verdict["calibrated"])
        of = numbered(outcomes(pd.concat([own, base])))
        mine = of["recipe"] == verdict["recipe"]
        beside = Comparison(of[mine], of[~mine])
        if beside.rows.empty:
            continue
        judged, _ = judged_steps_of(of[mine])
        # Where no step has enough sessions for a test, the shortest is drawn without a band.
        overlaps = judged or dict([min(overlaps_of(of[mine]).items())])
        losses = beside.losses(overlaps)
        growth[label] = cumulative_skill(
            losses["scaled"], losses["base_scaled"], overlap=max(overlaps.values())
        )
        steps = tuple(overlaps)
        parts.append(_ladder(label, verdict, growth[label]))
    if against is None or not growth:
        raise NoDataError(
            f"Expected a backtest with forecasts of a baseline. Received: {manifest.backtest} "
            "without.",
            hint="lstm backtest",
        )
    left = len(manifest.verdicts) - len(shown)
    more = f"{left} more with less skill: scores.csv of the backtest has all. " if left else ""
    # Versions before 0.3 stored no volatility beside a forecast.
    unit = "CRPS in units of volatility" if "unit" in rows else "CRPS"
    band = "Band and lines" if len(growth) == 1 else "Lines"
    figure = charts.backtest_chart(
        growth,
        pd.concat(parts, ignore_index=True),
        folds=[pd.Timestamp(first) for first, _ in manifest.record.folds],
        title=f"{', '.join(growth) if len(growth) == 1 else f'{len(growth)} configs'}: "
        f"{_tickers(manifest)}",
        against=plain_name(against),
        steps=steps,
        footer=f"{more}Loss: {unit}. {band}: 95 % confidence. Backtest {manifest.backtest}.",
        note=_note(manifest),
        theme=theme,
    )
    return figure, f"backtest-{manifest.backtest}"


def _best_configs(manifest: BacktestManifest) -> dict[str, dict[str, Any]]:
    """Return the verdicts of the configs that fit a picture, those with the most skill."""

    def skill(verdict: Mapping[str, Any]) -> float:
        rungs = [row for row in verdict.get("ladder", []) if row["tested"]]
        return rungs[-1]["skill"] or 0.0 if rungs else 0.0

    verdicts = manifest.verdicts
    best = sorted(verdicts, key=lambda label: skill(verdicts[label]), reverse=True)
    kept = set(best[: charts.MOST_LINES])
    return {label: verdict for label, verdict in verdicts.items() if label in kept}


def _ladder(label: str, verdict: Mapping[str, Any], growth: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each baseline that a verdict asked, the weakest first."""
    rungs = [row for row in verdict.get("ladder", []) if row["tested"]]
    if not rungs:
        # Versions before 0.3 had no ladder: what is known is the skill that was drawn.
        end = growth.iloc[-1]
        word = verdict["verdict"].get(hardest_baseline(verdict), NO_VERDICT)
        rungs = [
            {"baseline": hardest_baseline(verdict), "skill": end["gain"], "word": word}
            | {side: end[side] for side in ("low", "high")}
        ]
    table = pd.DataFrame(rungs)[["baseline", "skill", "low", "high", "word"]]
    names = [plain_name(name).removeprefix("the ") for name in table["baseline"]]
    numbers = table[["skill", "low", "high"]].astype(float)
    return table.assign(recipe=label, baseline=names, **numbers)


def calibration_figures(
    store: BacktestStore, name: str | None, theme: Theme
) -> list[tuple[Figure, str]]:
    """Draw where outcomes fell, one figure per config; return them with their files' names.

    Raises:
        NoDataError: there is no such backtest.
        DataError: it is damaged.
    """
    manifest = store.manifest(name) if name else store.latest()
    folds = manifest.record.folds
    found = []
    for label, verdict in manifest.verdicts.items():
        rows = store.forecasts(manifest.backtest, recipes=[verdict["recipe"]])
        own = of_recipe(rows, verdict["recipe"], calibrated=verdict["calibrated"])
        shortest = own[own["step"] == own["step"].min()]
        # A quarter of what there is: of one fold, a quarter of a year.
        origins = shortest["made_on"].nunique()
        window = min(ROLLING, max(LEAST_ROLLING, origins // 4))
        inside = {
            f"coverage{share * 100:.0f}": own.assign(hit=covered(own, share))
            .groupby("step")["hit"]
            .mean()
            for share in COVERAGES
        }
        rolling = {share: rolling_coverage(shortest, share, sessions=window) for share in COVERAGES}
        figure = charts.calibration_chart(
            pit(own),
            pd.DataFrame(inside).reset_index(),
            pd.DataFrame(rolling),
            title=f"{label}: do the cones hold? {_tickers(manifest)}",
            line=f"{len(own):,} calibrated forecasts, {folds[0][0]} to {folds[-1][1]}",
            sessions=window,
            note=_note(manifest),
            theme=theme,
        )
        found.append((figure, f"calibration-{manifest.backtest}-{label}"))
    return found


def _tickers(manifest: BacktestManifest) -> str:
    names, more = ", ".join(manifest.tickers[:3]), len(manifest.tickers) - 3
    return f"{names} and {more} more" if more > 0 else names


def _note(manifest: BacktestManifest) -> str | None:
    return "; ".join(dict.fromkeys(manifest.labels.values())) or None
