"""Leak checks on the bars given: what a recipe must not know.

Each check takes any recipe. So the tests can plant a fault in one and show that the check
fails. `lstmcli.evaluation.simulated_checks` has those on bars whose truth is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.evaluation import simulation
from lstmcli.evaluation.significance import date_means
from lstmcli.features import SIGMA_FLOOR
from lstmcli.forecasters.base import Fitted, Recipe
from lstmcli.forecasters.run_recipe import Prepared, Trained
from lstmcli.frames import QUANTILE_COLUMNS, log_returns
from lstmcli.panel import Panel, View

SUSPECT_DIRECTION, SUSPECT_R2 = 0.56, 0.02
"""Share of right signs and R² at one session that nobody reaches without a leak."""

MIN_DATES = 20
"""Dates below which good forecasts may all be luck."""

Columns = Callable[[View], pd.DataFrame]


@dataclass(frozen=True)
class Check:
    """One check and what it found.

    Attributes:
        did: what was done, in one line.
        figure: what was measured, and what is allowed.
        passed: None if it only informs.
    """

    name: str
    did: str
    figure: str
    passed: bool | None


def check_features(
    columns: Columns, panel: Panel, *, seed: int = 0, places: int = 5, beside: bool = False
) -> Check:
    """Check that features (T, F) keep every bit when all later data change.

    Args:
        columns: features of a view.
        places: sessions of each ticker after which data are changed.
        beside: whether features read other tickers, whose data then change, too.
    """
    generator = np.random.default_rng(seed)
    changed = 0
    for ticker, bars in panel.items():
        alone = panel.narrow([ticker]) if beside else panel.only([ticker])
        before = columns(alone.view(ticker))
        for t in generator.integers(len(bars) // 2, len(bars) - 1, places):
            after = columns(
                simulation.perturbed_panel(alone, bars.index[t], generator).view(ticker)
            )
            changed += not before.iloc[: t + 1].equals(after.iloc[: t + 1])
    return Check(
        "features look back only",
        f"all data after {places} sessions of each ticker changed, features compared",
        f"{changed} of {places * len(panel)} differ; allowed 0",
        changed == 0,
    )


def check_targets(prepared: Prepared, panel: Panel) -> Check:
    """Check that every label is the log return from the bars, ln(P[t+h] / P[t])."""
    worst = 0.0
    origins = 0
    for ticker, bars in panel.items():
        growth = np.exp(log_returns(bars).fillna(0.0).to_numpy().cumsum())
        for step in (1, prepared.horizon):
            labels = prepared.labels(ticker, step)
            at = bars.index.get_indexer(labels.index)
            expected = np.log(growth[at + step] / growth[at])
            worst = max(worst, float(np.abs(labels.to_numpy() - expected).max(initial=0.0)))
        origins += len(labels)
    return Check(
        "targets are the returns that follow",
        f"{origins:,} labels computed again from the bars",
        f"largest difference {worst:.0e}; allowed 1e-09",
        worst < 1e-9,
    )


def check_fit(recipe: Recipe, panel: Panel, until: pd.Timestamp, *, seed: int = 0) -> Check:
    """Check that a fit does not depend on anything that became known after `until`.

    This finds scaling, early stopping and thresholds that look at the test block. Of a
    network it also compares what it has learnt: one that stays at epoch 0 forecasts the
    same, however its inputs are scaled.
    """
    generator = np.random.default_rng(seed)
    other = simulation.perturbed_panel(panel, until, generator)
    origins = pd.DatetimeIndex([until])
    known = panel.until(until)
    before, after = recipe.fit(panel, until), recipe.fit(other, until)
    worst = _largest_difference(before.forecast(known, origins), after.forecast(known, origins))
    same = _learnt(before) == _learnt(after)
    return Check(
        "the fit stops where it should",
        f"fitted twice, all data after {until:%Y-%m-%d} changed in between",
        f"largest difference of a forecast {worst:.0e}; allowed 0; scaling, quantiles and losses "
        + ("the same" if same else "differ"),
        worst == 0.0 and same,
    )


def _learnt(fitted: Fitted) -> str:
    """Return what was learnt by epochs, as text; empty of a recipe without epochs."""
    return fitted.learnt() if isinstance(fitted, Trained) else ""


def check_forecast(
    fitted: Fitted, panel: Panel, origins: Sequence[pd.Timestamp], *, seed: int = 0
) -> Check:
    """Check that a forecast keeps every bit when all data after its origin change.

    The last session is forecast from beside it, as in a backtest: asked for one origin alone, a
    recipe may be shown nothing that came after it, whatever it would do with it.
    """
    generator = np.random.default_rng(seed)
    last = panel.sessions()[-1]
    worst = 0.0
    for origin in origins:
        at = pd.DatetimeIndex(sorted({origin, last}))
        one, two = (
            rows[rows["made_on"] == origin]
            for given in (panel, simulation.perturbed_panel(panel, origin, generator))
            for rows in [fitted.forecast(given, at)]
        )
        worst = max(worst, _largest_difference(one, two))
    return Check(
        "forecasts look back only",
        f"all data after each of {len(origins)} origins changed, forecasts compared",
        f"largest difference {worst:.0e}; allowed 0",
        worst == 0.0,
    )


def check_plausible(rows: pd.DataFrame) -> Check:
    """Check that forecasts of one session do not know the direction too well.

    Suspect is what is above a bound with 99 % confidence. Tickers move together, so the
    sample is dates: thirty tickers on one good day are one lucky guess.

    Args:
        rows: realised forecasts of one recipe.
    """
    rows = rows[rows["step"] == 1]
    median, outcome = rows["q50"].to_numpy(float), rows["realised"].to_numpy(float)
    signed = (median != 0) & (outcome != 0)
    right = (np.sign(median[signed]) == np.sign(outcome[signed])).astype(float)
    direction, lower = _lower_bound(right, rows[signed])
    gain = (outcome**2 - (outcome - median) ** 2) / max(np.mean(outcome**2), SIGMA_FLOOR**2)
    r2, bound = _lower_bound(gain, rows)
    suspect = lower > SUSPECT_DIRECTION or bound > SUSPECT_R2
    return Check(
        "not too good to be true",
        f"{len(rows):,} forecasts of one session on the bars given",
        f"direction right {100 * direction:.1f} % (99 % sure above {100 * lower:.1f}, SUSPECT "
        f"above {100 * SUSPECT_DIRECTION:.0f}), R² {100 * r2:.2f} % (above {100 * bound:.2f}, "
        f"SUSPECT above {100 * SUSPECT_R2:.0f})" + (": SUSPECT" if suspect else ""),
        not suspect,
    )


def _lower_bound(values: np.ndarray, rows: pd.DataFrame) -> tuple[float, float]:
    """Return the mean over dates and its lower 99 % bound, which is 0 with too few of them."""
    from scipy.stats import t

    by_date = date_means(values, rows)
    dates = len(by_date)
    mean = float(by_date.mean()) if dates else 0.0
    if dates < MIN_DATES:
        return mean, 0.0
    error = float(by_date.std()) / np.sqrt(dates)
    return mean, mean - float(t.ppf(0.99, dates - 1)) * error


def describe_copying(rows: pd.DataFrame) -> Check:
    """Return how near the median is to the last close: near is honest, and no skill."""
    rows = rows[rows["step"] == 1]
    share = (rows["q50"].abs() / rows["sigma"].clip(lower=SIGMA_FLOOR)).mean()
    return Check(
        "how near the median is to the last close",
        f"{len(rows):,} forecasts of one session on the bars given",
        f"{share:.2f} of a daily standard deviation away, on average",
        None,
    )


def _largest_difference(one: pd.DataFrame, two: pd.DataFrame) -> float:
    columns = list(QUANTILE_COLUMNS)
    if len(one) != len(two) or not len(one):
        return np.inf
    return float(np.abs(one[columns].to_numpy() - two[columns].to_numpy()).max())
