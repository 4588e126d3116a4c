"""Leak checks on bars whose truth is known: shuffled, random walks, planted, GARCH.

Where there is nothing to know, a recipe must not seem to know something. Where there is,
it must be able to find it. Each check takes any recipe; see `lstmcli.evaluation.leaks`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lstmcli.evaluation import simulation
from lstmcli.evaluation.backtest import STEPS
from lstmcli.evaluation.comparison import Comparison, judged_steps_of, numbered
from lstmcli.evaluation.ladder import MIN_SKILL
from lstmcli.evaluation.leaks import Check
from lstmcli.evaluation.metrics import covered, crps, realise
from lstmcli.evaluation.significance import SIGNIFICANCE, Test
from lstmcli.evaluation.verdict import outcomes
from lstmcli.forecasters.base import Fitted, Recipe
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.forecasters.run_recipe import RunRecipe
from lstmcli.frames import COVERAGES, QUANTILE_COLUMNS, QUANTILES
from lstmcli.panel import Panel

MAX_FALSE = 0.05
"""Share of simulated random walks that a network may seem to beat."""

ORACLE_MARGIN = 0.01
"""How much, as a share, the CRPS may exceed that of the process that made the bars. Shipped
configs exceed it by 0.1 to 0.4 %, a constant volatility by 1.8 to 2.5."""

ORACLE_COVERAGE = 0.02
"""How far, as a fraction, a coverage may be from nominal on those bars: more than three
standard errors of the 50 % cone."""

MIN_CORRELATION = 4.0
"""Standard errors by which medians must correlate with outcomes. Luck reaches them in 3 of
100,000 cases; shipped configs reach 7 to 22."""

LEVEL = SIGNIFICANCE / 2
"""One-sided level at which a baseline is beaten."""


def check_permuted(recipe: RunRecipe, panel: Panel, *, seed: int = 0) -> Check:
    """Check that a network knows nothing of shuffled sessions.

    The sessions of each ticker are in random order, so that nothing in a window tells what
    comes. A leak beats two forecasts at once: the network's own epoch 0, and the quantiles
    that each ticker turned out to have. An honest network may well beat the first: where
    volatility does not persist, it learns not to trust EWMA. It cannot beat the second. A
    leak in the volatility is in epoch 0, too, and is found by `check_forecast`.
    """
    shuffled = simulation.permuted_panel(panel, np.random.default_rng(seed))
    until, origins = _last_third(shuffled, recipe.horizon)
    fitted = recipe.fit(shuffled, until)
    own, base = (_realised(one, shuffled, origins) for one in (fitted, fitted.untrained()))
    tests = [skill_against(own, other) for other in (base, _in_hindsight(own))]
    listed = ", ".join(map(_skill, tests))
    return Check(
        "no skill where there is none",
        "the sessions of each ticker in random order, judged against its own epoch 0 and the "
        "quantiles that came",
        f"{listed}; a leak has p < {LEVEL:g} and at least {100 * MIN_SKILL:g} % against both",
        not all(map(beats, tests)),
    )


def skill_against(own: pd.DataFrame, base: pd.DataFrame) -> Test | None:
    """Return the test of the skill of one recipe against another at the judged steps.

    It is the test of the verdict; None where there are too few origins.

    Args:
        own, base: realised forecasts.
    """
    both = numbered(outcomes(pd.concat([own.assign(recipe="own"), base.assign(recipe="base")])))
    mine, its = (both[both["recipe"] == name] for name in ("own", "base"))
    overlaps, _ = judged_steps_of(mine)
    return Comparison(mine, its).numbers(overlaps, alpha=LEVEL)[1] if overlaps else None


def _realised(fitted: Fitted, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
    forecast = fitted.forecast(panel, origins)
    return realise(forecast[forecast["step"].isin(STEPS)], panel)


def _in_hindsight(rows: pd.DataFrame) -> pd.DataFrame:
    """Return forecasts that are the quantiles of all outcomes of their ticker and step.

    Of outcomes whose order is random nobody knows more beforehand.
    """
    came = rows.groupby(["ticker", "step"])["realised"].quantile(list(QUANTILES)).unstack()
    at = pd.MultiIndex.from_frame(rows[["ticker", "step"]])
    found = came.reindex(at).to_numpy()
    return rows.assign(**dict(zip(QUANTILE_COLUMNS, found.T, strict=True)))


def beats(test: Test | None) -> bool:
    """Return whether a skill is there at the one-sided level of 2.5 %, and not negligible."""
    return test is not None and test.p_above < LEVEL and test.mean >= MIN_SKILL


def _skill(test: Test | None) -> str:
    if test is None:
        return "too few origins for a test"
    return f"skill {round(100 * test.mean, 2) + 0.0:+.2f} %, p = {test.p_above:.2g}"


def random_walk_is_beaten(
    recipe: Recipe, horizon: int, *, seed: int, sessions: int = 1500, market: Sequence[str] = ()
) -> bool:
    """Return whether a recipe seems to beat the truth on a simulated random walk.

    Args:
        market: names of the market series that the recipe reads.
    """
    returns = 0.012 * np.random.default_rng(seed).standard_normal(sessions)
    panel = simulation.simulated({"WALK": returns}, seed=seed, market=market)
    until, origins = _last_third(panel, horizon)
    recipes = recipe, BASELINES["random_walk"](horizon)
    own, truth = (_realised(one.fit(panel, until), panel, origins) for one in recipes)
    return beats(skill_against(own, truth))


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


def check_planted_volatility(
    recipe: Recipe, horizon: int, *, seed: int = 0, market: Sequence[str] = ()
) -> Check:
    """Check that a recipe finds the day of high volatility in each week.

    For a recipe that forecasts no direction, which `check_planted` would ask for.
    """
    series = simulation.weekly(tickers=8, sessions=1500, seed=seed)
    panel = simulation.simulated(series, seed=seed, market=market)
    rows = _judged(recipe, panel, horizon=horizon)
    sizes = pd.DataFrame({"sigma": rows["sigma"], "size": rows["realised"].abs()})
    found = _together(sizes, rows["ticker"])
    return Check(
        "a planted signal is found",
        "8 simulated tickers whose volatility is threefold on Mondays",
        f"volatility and size of the outcome go together, {found:.1f} standard errors; "
        f"needed {MIN_CORRELATION:.0f}",
        found >= MIN_CORRELATION,
    )


def _correlation(recipe: Recipe, panel: Panel, horizon: int) -> float:
    """Return how medians of one session correlate with outcomes, in standard errors."""
    rows = _judged(recipe, panel, horizon=horizon)
    # In units of sigma: otherwise a few days of large moves would decide.
    scaled = rows[["q50", "realised"]].div(rows["sigma"].to_numpy(float), axis=0)
    return _together(scaled, rows["ticker"])


def _together(both: pd.DataFrame, tickers: pd.Series) -> float:
    """Return how two columns correlate within tickers, in standard errors.

    An average alone would find the mean of a persistent series.
    """
    centred = both - both.groupby(tickers).transform("mean")
    one, other = centred.to_numpy(float).T
    if np.ptp(one) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1] * np.sqrt(len(both)))


def check_oracle(
    recipe: Recipe, horizon: int, *, seed: int = 0, market: Sequence[str] = ()
) -> Check:
    """Check that a recipe forecasts simulated GARCH almost as well as the truth does."""
    from scipy.stats import t as student

    degrees = 6.0
    series, truth = simulation.garch(degrees, tickers=8, sessions=2500, seed=seed)
    panel = simulation.simulated(series, seed=seed, market=market)
    rows = _judged(recipe, panel, horizon=horizon)
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


def _last_third(panel: Panel, horizon: int) -> tuple[pd.Timestamp, pd.DatetimeIndex]:
    """Return the last session to fit on, and the origins of the last third of a panel."""
    sessions = panel.sessions()
    cut = 2 * len(sessions) // 3
    return sessions[cut - 1], sessions[cut : len(sessions) - horizon]


def _judged(recipe: Recipe, panel: Panel, *, horizon: int) -> pd.DataFrame:
    """Return realised forecasts of one session of the last third, from a fit on the rest."""
    until, origins = _last_third(panel, horizon)
    forecast = recipe.fit(panel, until).forecast(panel, origins)
    return realise(forecast[forecast["step"] == 1], panel)
