"""Leak checks: what a recipe must not know, and what it must be able to find.

Each check takes any recipe. So the tests can plant a fault in one and show that the check
fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.evaluation import simulation
from lstmcli.evaluation.backtest import STEPS
from lstmcli.evaluation.metrics import covered, crps, realise
from lstmcli.evaluation.verdict import BEATS, judge, outcomes
from lstmcli.features import SIGMA_FLOOR
from lstmcli.forecasters.base import Fitted, Recipe
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.forecasters.calibrated import Calibrated
from lstmcli.frames import COVERAGES, QUANTILE_COLUMNS, QUANTILES, log_returns
from lstmcli.panel import Panel, View
from lstmcli.windows import Windows

MAX_FALSE = 0.05
"""Share of simulated random walks that a network may seem to beat."""

SUSPECT_DIRECTION, SUSPECT_R2 = 0.56, 0.02
"""Share of right signs and R² at one session that nobody reaches without a leak."""

ORACLE_MARGIN = 0.01
"""How much, as a share, the CRPS may exceed that of the process that made the bars."""

ORACLE_COVERAGE = 0.02
"""How far, as a fraction, a coverage may be from nominal on those bars."""

MIN_CORRELATION = 4.0
"""Standard errors by which medians must correlate with outcomes; luck never reaches them."""

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


def check_features(columns: Columns, panel: Panel, *, seed: int = 0, places: int = 5) -> Check:
    """Check that features (T, F) keep every bit when all later data change.

    Args:
        columns: features of a view.
        places: sessions of each ticker after which data are changed.
    """
    generator = np.random.default_rng(seed)
    changed = 0
    for ticker, bars in panel.items():
        alone = panel.only([ticker])
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


def check_targets(windows: Windows, panel: Panel) -> Check:
    """Check that every label is the log return from the bars, ln(P[t+h] / P[t])."""
    worst = 0.0
    origins = 0
    for code, ticker in enumerate(windows.tickers):
        rows = np.flatnonzero(windows.trainable & (windows.ticker == code))
        if not len(rows):
            continue
        origins += len(rows)
        bars = panel[ticker]
        at = bars.index.get_indexer(pd.DatetimeIndex(windows.session[rows]))
        growth = np.exp(log_returns(bars).fillna(0.0).to_numpy().cumsum())
        for step in (1, windows.horizon):
            expected = np.log(growth[at + step] / growth[at])
            worst = max(worst, float(np.abs(windows.y(rows, step) - expected).max()))
    return Check(
        "targets are the returns that follow",
        f"{origins:,} labels computed again from the bars",
        f"largest difference {worst:.0e}; allowed 1e-09",
        worst < 1e-9,
    )


def check_fit(recipe: Recipe, panel: Panel, until: pd.Timestamp, *, seed: int = 0) -> Check:
    """Check that a fit does not depend on anything that became known after `until`.

    This finds scaling, early stopping and thresholds that look at the test block.
    """
    generator = np.random.default_rng(seed)
    other = simulation.perturbed_panel(panel, until, generator)
    origins = pd.DatetimeIndex([until])
    known = panel.until(until)
    worst = _largest_difference(
        recipe.fit(panel, until).forecast(known, origins),
        recipe.fit(other, until).forecast(known, origins),
    )
    return Check(
        "the fit stops where it should",
        f"fitted twice, all data after {until:%Y-%m-%d} changed in between",
        f"largest difference of a forecast {worst:.0e}; allowed 0",
        worst == 0.0,
    )


def check_forecast(
    fitted: Fitted, panel: Panel, origins: Sequence[pd.Timestamp], *, seed: int = 0
) -> Check:
    """Check that a forecast keeps every bit when all data after its origin change."""
    generator = np.random.default_rng(seed)
    worst = 0.0
    for origin in origins:
        at = pd.DatetimeIndex([origin])
        other = simulation.perturbed_panel(panel, origin, generator)
        worst = max(
            worst, _largest_difference(fitted.forecast(panel, at), fitted.forecast(other, at))
        )
    return Check(
        "forecasts look back only",
        f"all data after each of {len(origins)} origins changed, forecasts compared",
        f"largest difference {worst:.0e}; allowed 0",
        worst == 0.0,
    )


def check_permuted(recipe: Recipe, panel: Panel, horizon: int, *, seed: int = 0) -> Check:
    """Check that a recipe has no skill once the sessions of each ticker are shuffled."""
    shuffled = simulation.permuted_panel(panel, np.random.default_rng(seed))
    beaten = _beaten(recipe, shuffled, "historical", horizon)
    return Check(
        "no skill where there is none",
        "the sessions of each ticker in random order, judged against historical",
        f"BEATS at {len(beaten)} steps; allowed 0",
        not beaten,
    )


def random_walk_is_beaten(
    recipe: Recipe, horizon: int, *, seed: int, sessions: int = 1500, market: Sequence[str] = ()
) -> bool:
    """Return whether a recipe seems to beat the truth on a simulated random walk.

    Args:
        market: names of the market series that the recipe reads.
    """
    returns = 0.012 * np.random.default_rng(seed).standard_normal(sessions)
    panel = simulation.simulated({"WALK": returns}, seed=seed, market=market)
    return bool(_beaten(recipe, panel, "random_walk", horizon))


def check_random_walks(beaten: Sequence[bool]) -> Check:
    """Check how many simulated random walks a recipe seemed to beat."""
    from scipy.stats import binom

    false = sum(beaten)
    # At the rate that is allowed, luck exceeds this number in one of a hundred audits.
    allowed = int(binom.ppf(0.99, len(beaten), MAX_FALSE))
    return Check(
        "random walks are not beaten",
        f"{len(beaten)} simulated random walks, one network each",
        f"{false} false BEATS; allowed {allowed}",
        false <= allowed,
    )


def check_planted(
    recipe: Recipe, horizon: int, *, seed: int = 0, market: Sequence[str] = ()
) -> Check:
    """Check that a recipe finds returns that repeat a fifth of the day before.

    A recipe that cannot tell one session from another, because it averages over all of them,
    gets a second chance with a signal that lasts for ten sessions.
    """
    found = {}
    for name, weights in (("1 session", (0.2,)), ("10 sessions", (0.06,) * 10)):
        # Eight tickers of 1,500 sessions are too few: a sound network stops before it sees it.
        series = simulation.autoregressive(weights, tickers=16, sessions=2000, seed=seed)
        found[name] = _correlation(
            recipe, simulation.simulated(series, seed=seed, market=market), horizon
        )
        if found[name] >= MIN_CORRELATION:
            break
    listed = ", ".join(f"{errors:.1f} ({name})" for name, errors in found.items())
    return Check(
        "a planted signal is found",
        "16 simulated tickers whose returns come back a little, AR(1) with 0.2",
        f"median and outcome go together, {listed} standard errors; needed {MIN_CORRELATION:.0f}",
        max(found.values()) >= MIN_CORRELATION,
    )


def _correlation(recipe: Recipe, panel: Panel, horizon: int) -> float:
    """Return how medians of one session correlate with outcomes, in standard errors."""
    rows = _judged(recipe, panel, horizon=horizon)
    rows = rows[rows["step"] == 1]
    # In units of sigma: otherwise a few days of large moves would decide.
    scaled = rows[["q50", "realised"]].div(rows["sigma"].to_numpy(float), axis=0)
    # Within each ticker: an average alone would find the mean of a persistent series.
    centred = scaled - scaled.groupby(rows["ticker"]).transform("mean")
    median, outcome = centred.to_numpy(float).T
    if np.ptp(median) == 0:
        return 0.0
    return float(np.corrcoef(median, outcome)[0, 1] * np.sqrt(len(rows)))


def check_oracle(
    recipe: Recipe, horizon: int, *, seed: int = 0, market: Sequence[str] = ()
) -> Check:
    """Check that a recipe forecasts simulated GARCH almost as well as the truth does."""
    from scipy.stats import t as student

    degrees = 6.0
    series, truth = simulation.garch(degrees, tickers=8, sessions=2500, seed=seed)
    panel = simulation.simulated(series, seed=seed, market=market)
    rows = _judged(recipe, panel, horizon=horizon)
    rows = rows[rows["step"] == 1]
    levels = student.ppf(QUANTILES, degrees) / np.sqrt(degrees / (degrees - 2))
    at = panel.sessions().get_indexer(pd.DatetimeIndex(rows["made_on"]))
    known = np.array([truth[ticker][t] for ticker, t in zip(rows["ticker"], at, strict=True)])
    oracle = rows.assign(**dict(zip(QUANTILE_COLUMNS, (known[:, None] * levels).T, strict=True)))
    worse = float(crps(rows).mean() / crps(oracle).mean() - 1)
    shares = [float(covered(rows, coverage).mean()) for coverage in COVERAGES]
    off = max(abs(share - nominal) for share, nominal in zip(shares, COVERAGES, strict=True))
    listed = " / ".join(f"{100 * share:.1f}" for share in shares)
    return Check(
        "simulated GARCH is forecast like its maker would",
        f"8 simulated tickers, {len(rows):,} forecasts of one session",
        f"CRPS {100 * worse:+.2f} % of the oracle's, allowed +{100 * ORACLE_MARGIN:.0f}; "
        f"coverage {listed} %, allowed ±{100 * ORACLE_COVERAGE:.0f} points",
        worse <= ORACLE_MARGIN and off <= ORACLE_COVERAGE,
    )


def check_plausible(rows: pd.DataFrame) -> Check:
    """Check that forecasts of one session do not know the direction too well.

    Args:
        rows: realised forecasts of one recipe.
    """
    from scipy.stats import binomtest

    rows = rows[rows["step"] == 1]
    median, outcome = rows["q50"].to_numpy(float), rows["realised"].to_numpy(float)
    signed = (median != 0) & (outcome != 0)
    right = int((np.sign(median[signed]) == np.sign(outcome[signed])).sum())
    lower = 0.0
    if signed.any():
        test = binomtest(right, int(signed.sum()), alternative="greater")
        lower = float(test.proportion_ci(0.99).low)
    errors = (outcome - median) ** 2
    r2 = 1 - errors.mean() / np.mean(outcome**2)
    # The lower 99 % bound of R², from the spread of the gain by date: tickers move together.
    gain = pd.Series(outcome**2 - errors).groupby(rows["made_on"].to_numpy()).mean()
    bound = (gain.mean() - 2.33 * gain.std() / np.sqrt(len(gain))) / np.mean(outcome**2)
    suspect = lower > SUSPECT_DIRECTION or bound > SUSPECT_R2
    return Check(
        "not too good to be true",
        f"{len(rows):,} forecasts of one session on the bars given",
        f"direction right {100 * right / max(signed.sum(), 1):.1f} % (99 % sure above "
        f"{100 * lower:.1f}, SUSPECT above {100 * SUSPECT_DIRECTION:.0f}), R² {100 * r2:.2f} %"
        + (": SUSPECT" if suspect else ""),
        not suspect,
    )


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


def _judged(recipe: Recipe, panel: Panel, *others: Recipe, horizon: int) -> pd.DataFrame:
    """Return realised forecasts of the last third of a panel, from fits on the rest."""
    sessions = panel.sessions()
    cut = 2 * len(sessions) // 3
    until, origins = sessions[cut - 1], sessions[cut : len(sessions) - horizon]
    forecasts = [one.fit(panel, until).forecast(panel, origins) for one in (recipe, *others)]
    return realise(pd.concat(forecasts, ignore_index=True), panel)


def _beaten(recipe: Recipe, panel: Panel, baseline: str, horizon: int) -> set[int]:
    """Return the steps at which a recipe BEATS a baseline on a panel's last third."""
    rows = _judged(recipe, panel, BASELINES[baseline](horizon), horizon=horizon)
    keys = ["ticker", "made_on", "step"]
    rows = rows[rows.groupby(keys)["recipe"].transform("size") == 2]
    rows = rows[rows["step"].isin(STEPS)]
    calibrated = isinstance(recipe, Calibrated)
    verdict = judge(
        outcomes(rows), [recipe.name], [baseline], calibrated=calibrated, ladder=(baseline,)
    )[recipe.name]
    return set(verdict.steps) if verdict.word(baseline) == BEATS else set()


def _largest_difference(one: pd.DataFrame, two: pd.DataFrame) -> float:
    columns = list(QUANTILE_COLUMNS)
    if len(one) != len(two) or not len(one):
        return np.inf
    return float(np.abs(one[columns].to_numpy() - two[columns].to_numpy()).max())
