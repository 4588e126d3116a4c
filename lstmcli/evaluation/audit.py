"""Leak checks: what a recipe must not know, and what it must be able to find.

Each check takes any recipe, so that each can be shown to fail on a recipe with
a planted fault.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.evaluation.backtest import STEPS
from lstmcli.evaluation.metrics import covered, crps, realise
from lstmcli.evaluation.verdict import BEATS, judge, outcomes
from lstmcli.features import SIGMA_FLOOR
from lstmcli.forecasters.base import Fitted, Recipe
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.frames import (
    COVERAGES,
    QUANTILE_COLUMNS,
    QUANTILES,
    log_returns,
)
from lstmcli.panel import Panel, View
from lstmcli.windows import Windows

MOST_FALSE = 0.05
"""Share of simulated random walks that a network may seem to beat."""

SUSPECT_DIRECTION, SUSPECT_R2 = 0.56, 0.02
"""What nobody reaches at one session without a leak: share of right signs, and R²."""

ORACLE_MARGIN = 0.01
"""CRPS may be this much above that of the process that made the bars, as a share."""

SIMULATED_CALENDAR = "XNYS"

Columns = Callable[[View], pd.DataFrame]


@dataclass(frozen=True)
class Check:
    """One check and what it found.

    Attributes:
        did: what was done, in one line.
        figure: what was measured against what is allowed.
        passed: None where it is for information only.
    """

    name: str
    did: str
    figure: str
    passed: bool | None


def check_features(columns: Columns, panel: Panel, *, seed: int = 0, places: int = 5) -> Check:
    """Perturb every bar after a session: its features must keep every bit."""
    generator = np.random.default_rng(seed)
    changed = 0
    for ticker, bars in panel.items():
        before = columns(panel.view(ticker))
        for t in generator.integers(len(bars) // 2, len(bars) - 1, places):
            other = perturbed_panel(panel, bars.index[t], generator)
            after = columns(other.view(ticker))
            same = before.iloc[: t + 1].equals(after.iloc[: t + 1])
            changed += not same
    return Check(
        "features look back only",
        f"bars after {places} sessions of each ticker changed, features compared",
        f"{changed} of {places * len(panel)} differ; allowed 0",
        changed == 0,
    )


def check_targets(windows: Windows, panel: Panel) -> Check:
    """Compare every label with the return from the bars, ln(P[t+h] / P[t])."""
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
    """Perturb every bar after `until`: the fit must not notice.

    It finds scaling, early stopping and thresholds that look at the test block.
    """
    generator = np.random.default_rng(seed)
    other = perturbed_panel(panel, until, generator)
    origins = pd.DatetimeIndex([until])
    one, two = (
        recipe.fit(each, until).forecast(panel.until(until), origins) for each in (panel, other)
    )
    worst = _largest_difference(one, two)
    return Check(
        "the fit stops where it should",
        f"fitted twice, bars after {until:%Y-%m-%d} changed in between",
        f"largest difference of a forecast {worst:.0e}; allowed 0",
        worst == 0.0,
    )


def check_forecast(
    fitted: Fitted, panel: Panel, origins: Sequence[pd.Timestamp], *, seed: int = 0
) -> Check:
    """Perturb every bar after an origin: its forecast must keep every bit."""
    generator = np.random.default_rng(seed)
    worst = 0.0
    for origin in origins:
        at = pd.DatetimeIndex([origin])
        other = perturbed_panel(panel, origin, generator)
        worst = max(
            worst, _largest_difference(fitted.forecast(panel, at), fitted.forecast(other, at))
        )
    return Check(
        "forecasts look back only",
        f"bars after each of {len(origins)} origins changed, forecasts compared",
        f"largest difference {worst:.0e}; allowed 0",
        worst == 0.0,
    )


def check_permuted(recipe: Recipe, panel: Panel, horizon: int, *, seed: int = 0) -> Check:
    """Shuffle the sessions of each ticker: nothing is left that could be known."""
    generator = np.random.default_rng(seed)
    shuffled = Panel(
        {ticker: permuted(bars, generator) for ticker, bars in panel.items()}, panel.calendars
    )
    beaten = _beaten(recipe, shuffled, "historical", horizon)
    return Check(
        "no skill where there is none",
        "the sessions of each ticker in random order, judged against historical",
        f"BEATS at {len(beaten)} steps; allowed 0",
        not beaten,
    )


def random_walk_is_beaten(recipe: Recipe, horizon: int, *, seed: int, sessions: int = 1500) -> bool:
    """Return whether a recipe seems to beat the truth on one simulated random walk."""
    returns = 0.012 * np.random.default_rng(seed).standard_normal(sessions)
    panel = simulated({"WALK": returns}, seed=seed)
    return bool(_beaten(recipe, panel, "random_walk", horizon))


def check_random_walks(beaten: Sequence[bool]) -> Check:
    """Judge how many simulated random walks a recipe seemed to beat."""
    from scipy.stats import binom

    false = sum(beaten)
    # So many may happen by luck, once in a hundred audits, at the rate that is allowed.
    allowed = int(binom.ppf(0.99, len(beaten), MOST_FALSE))
    return Check(
        "random walks are not beaten",
        f"{len(beaten)} simulated random walks, one network each",
        f"{false} false BEATS; allowed {allowed}",
        false <= allowed,
    )


FOUND = 4.0
"""Standard errors by which a median has to correlate with what came: by luck never."""


def check_planted(recipe: Recipe, horizon: int, *, seed: int = 0) -> Check:
    """Plant returns that repeat a fifth of the day before: the recipe must find it.

    What cannot tell one session from the others, such as an average over all of
    them, is asked again with a signal that lasts for ten sessions.
    """
    found = {}
    for name, weights in (("1 session", (0.2,)), ("10 sessions", (0.06,) * 10)):
        found[name] = _correlation(recipe, _autoregressive(weights, seed), horizon, seed)
        if found[name] >= FOUND:
            break
    said = ", ".join(f"{errors:.1f} ({name})" for name, errors in found.items())
    return Check(
        "a planted signal is found",
        "16 simulated tickers whose returns come back a little, AR(1) with 0.2",
        f"median and outcome go together, {said} standard errors; needed {FOUND:.0f}",
        max(found.values()) >= FOUND,
    )


def _autoregressive(weights: Sequence[float], seed: int) -> dict[str, np.ndarray]:
    """Return returns (2000,) of sixteen tickers, each a weighted sum of the last ones and noise."""
    generator = np.random.default_rng(seed)
    series = {}
    # Eight tickers of 1,500 sessions are too few: a sound network stops before it sees it.
    for number in range(16):
        returns = 0.012 * generator.standard_normal(2000)
        for t in range(len(weights), len(returns)):
            returns[t] += np.dot(weights, returns[t - len(weights) : t])
        series[f"AR{number}"] = returns
    return series


def _correlation(recipe: Recipe, series: dict[str, np.ndarray], horizon: int, seed: int) -> float:
    """Return how the median of one session correlates with what came, in standard errors."""
    rows = _judged(recipe, simulated(series, seed=seed), horizon=horizon)
    rows = rows[rows["step"] == 1]
    # In units of sigma, or days of much movement would decide alone.
    sigma = rows["sigma"].to_numpy(float)
    scaled = rows[["q50", "realised"]].div(sigma, axis=0)
    # Within each ticker: a series that lasts has a mean, which whoever averages knows.
    told, came = (scaled - scaled.groupby(rows["ticker"]).transform("mean")).to_numpy(float).T
    if np.ptp(told) == 0:
        return 0.0
    return float(np.corrcoef(told, came)[0, 1] * np.sqrt(len(rows)))


def check_oracle(recipe: Recipe, horizon: int, *, seed: int = 0) -> Check:
    """Simulate GARCH with fat tails: the recipe must come near those who know the process."""
    from scipy.stats import t as student

    generator = np.random.default_rng(seed)
    degrees, sessions = 6.0, 2500
    unit = np.sqrt(degrees / (degrees - 2))
    series, truth = {}, {}
    for number in range(8):
        variance, returns, sigma = 1.5e-4, np.empty(sessions), np.empty(sessions)
        for t in range(sessions):
            sigma[t] = np.sqrt(variance)
            returns[t] = sigma[t] * generator.standard_t(degrees) / unit
            variance = 3e-6 + 0.08 * returns[t] ** 2 + 0.90 * variance
        series[f"GARCH{number}"] = returns
        truth[f"GARCH{number}"] = np.append(sigma[1:], np.sqrt(variance))
    panel = simulated(series, seed=seed)
    rows = _judged(recipe, panel, horizon=horizon)
    rows = rows[rows["step"] == 1].sort_values("ticker", kind="stable")
    levels = student.ppf(QUANTILES, degrees) / unit
    known = np.concatenate(
        [
            truth[str(ticker)][
                panel[str(ticker)].index.get_indexer(pd.DatetimeIndex(of["made_on"]))
            ]
            for ticker, of in rows.groupby("ticker", sort=False)
        ]
    )
    oracle = rows.assign(**dict(zip(QUANTILE_COLUMNS, (known[:, None] * levels).T, strict=True)))
    worse = float(crps(rows).mean() / crps(oracle).mean() - 1)
    shares = [float(covered(rows, coverage).mean()) for coverage in COVERAGES]
    off = max(abs(share - nominal) for share, nominal in zip(shares, COVERAGES, strict=True))
    said = " / ".join(f"{100 * share:.1f}" for share in shares)
    return Check(
        "simulated GARCH is forecast like its maker would",
        f"8 simulated tickers, {len(rows):,} forecasts of one session",
        f"CRPS {100 * worse:+.2f} % of the oracle's, allowed +{100 * ORACLE_MARGIN:.0f}; "
        f"coverage {said} %, allowed ±2 points",
        worse <= ORACLE_MARGIN and off <= 0.02,
    )


def check_plausible(rows: pd.DataFrame) -> Check:
    """Call a forecast of one session SUSPECT that knows the direction too well.

    Args:
        rows: realised forecasts of one recipe.
    """
    from scipy.stats import binomtest

    rows = rows[rows["step"] == 1]
    median, came = rows["q50"].to_numpy(float), rows["realised"].to_numpy(float)
    signed = (median != 0) & (came != 0)
    right = int((np.sign(median[signed]) == np.sign(came[signed])).sum())
    lower = 0.0
    if signed.any():
        test = binomtest(right, int(signed.sum()), alternative="greater")
        lower = float(test.proportion_ci(0.99).low)
    errors = (came - median) ** 2
    r2 = 1 - errors.mean() / np.mean(came**2)
    # The lower bound from the spread of the daily gain; days, not rows, are the sample.
    gain = pd.Series(came**2 - errors).groupby(rows["made_on"].to_numpy()).mean()
    bound = (gain.mean() - 2.33 * gain.std() / np.sqrt(len(gain))) / np.mean(came**2)
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
    """Say how near the median is to the last close: near is honest, and no skill."""
    rows = rows[rows["step"] == 1]
    share = (rows["q50"].abs() / rows["sigma"].clip(lower=SIGMA_FLOOR)).mean()
    return Check(
        "how near the median is to the last close",
        f"{len(rows):,} forecasts of one session on the bars given",
        f"{share:.2f} of a daily standard deviation away, on average",
        None,
    )


def perturbed(
    bars: pd.DataFrame, after: pd.Timestamp, generator: np.random.Generator
) -> pd.DataFrame:
    """Return bars whose sessions after `after` have other prices and volumes."""
    later = np.asarray(bars.index > after)
    factor = np.where(later, np.exp(0.1 * generator.standard_normal(len(bars))), 1.0)
    changed = bars.copy()
    for column in ("open", "high", "low", "close"):
        changed[column] = bars[column] * factor
    changed["volume"] = np.where(later, bars["volume"] * factor**5 + 1, bars["volume"])
    return changed


def perturbed_panel(panel: Panel, after: pd.Timestamp, generator: np.random.Generator) -> Panel:
    """Return a panel whose sessions after `after` have other prices and volumes."""
    return Panel(
        {ticker: perturbed(bars, after, generator) for ticker, bars in panel.items()},
        panel.calendars,
    )


def permuted(bars: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """Return bars with whole sessions in random order, each relative to the close before."""
    returns = log_returns(bars).fillna(0.0).to_numpy()
    order = np.append(0, 1 + generator.permutation(len(bars) - 1))
    close = bars["close"].iloc[0] * np.exp(returns[order].cumsum())
    changed = bars.iloc[order].set_index(bars.index)
    factor = close / changed["close"].to_numpy()
    for column in ("open", "high", "low", "close"):
        changed[column] *= factor
    # Their returns are those with dividends; paying them again would count them twice.
    return changed.assign(dividend=0.0, split=0.0)


def simulated(series: dict[str, np.ndarray], *, seed: int) -> Panel:
    """Return bars of given log returns, with a plausible range within each session."""
    generator = np.random.default_rng(seed)
    panel = {}
    for ticker, returns in series.items():
        sessions = len(returns)
        index = pd.bdate_range("2000-01-03", periods=sessions, name="session")
        close = 100 * np.exp(returns.cumsum())
        inside = np.exp(np.abs(returns[:, None]) * generator.uniform(0, 0.5, (sessions, 2)))
        opened = close * np.exp(-returns * generator.uniform(0.5, 1, sessions))
        panel[ticker] = pd.DataFrame(
            {
                "open": opened,
                "high": np.maximum(opened, close) * inside[:, 0],
                "low": np.minimum(opened, close) / inside[:, 1],
                "close": close,
                "volume": np.round(1e6 * np.exp(0.3 * generator.standard_normal(sessions))),
                "dividend": 0.0,
                "split": 0.0,
            },
            index=index,
        )
    return Panel(panel, {})


def halves(panel: Panel, horizon: int) -> tuple[pd.Timestamp, pd.DatetimeIndex]:
    """Return where a fit ends and the labelled origins after it: the last third."""
    sessions = panel.sessions()
    cut = 2 * len(sessions) // 3
    return sessions[cut - 1], sessions[cut : len(sessions) - horizon]


def _judged(recipe: Recipe, panel: Panel, *others: Recipe, horizon: int) -> pd.DataFrame:
    until, origins = halves(panel, horizon)
    forecasts = [each.fit(panel, until).forecast(panel, origins) for each in (recipe, *others)]
    return realise(pd.concat(forecasts, ignore_index=True), panel)


def _beaten(recipe: Recipe, panel: Panel, baseline: str, horizon: int) -> set[int]:
    """Return the steps at which a recipe BEATS a baseline on the last third of a panel."""
    rows = _judged(recipe, panel, BASELINES[baseline](horizon), horizon=horizon)
    keys = ["ticker", "made_on", "step"]
    rows = rows[rows.groupby(keys)["recipe"].transform("size") == 2]
    rows = rows[rows["step"].isin(STEPS)]
    table = judge(outcomes(rows), [recipe.name], [baseline])[recipe.name].frame()
    return set(table.loc[table["word"] == BEATS, "step"].astype(int))


def _largest_difference(one: pd.DataFrame, two: pd.DataFrame) -> float:
    columns = list(QUANTILE_COLUMNS)
    if len(one) != len(two) or not len(one):
        return np.inf
    return float(np.abs(one[columns].to_numpy() - two[columns].to_numpy()).max())
