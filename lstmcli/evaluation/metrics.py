"""How good forecasts were: CRPS, tails, coverage, width, volatility, direction, skill.

A *realised* forecast is a Forecast with its outcomes: the column `realised` holds the log
return up to `target_on`. Coverage and width are those of the published intervals
`lo50 … hi95`, or of the quantiles for a recipe that publishes none.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lstmcli.features import VARIANCE_FLOOR, ewma_volatility, garman_klass_variance
from lstmcli.frames import (
    COVERAGES,
    IDENTITY,
    QUANTILE_COLUMNS,
    QUANTILES,
    SCORE_COLUMNS,
    cumulative_returns,
    endpoints,
    log_returns,
    of_recipe,
    quantile_column,
)
from lstmcli.panel import Panel
from lstmcli.trading import least_volatility

CRPS_LEVELS = QUANTILES[1:-1]
"""0.05 … 0.95: equally spaced, so that the mean of their losses approximates the integral that
CRPS is. Beyond them, `tails` scores the levels 0.025 and 0.975."""

MIN_TICKERS = 20
"""Tickers that a date needs: a rank correlation of fewer says little."""

ALL_TICKERS = "*"
"""Stands for the ticker in scores that only a cross-section has."""

_KEYS = [*IDENTITY, "ticker", "step"]


def realise(forecast: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Return the rows of a forecast that have an outcome, with their outcomes.

    Adds `realised`, the outcome as a log return; `variance`, the Garman–Klass variance
    summed over its sessions; `unit`, the volatility of the outcome as `loss_unit` returns it;
    and `naive`, the mean absolute daily change of the close up to the origin, in the ticker's
    currency.

    A row has no outcome where the bars end too early, or where a session is missing
    before the one that is forecast.
    """
    parts = []
    for ticker, rows in forecast.groupby("ticker", sort=False):
        bars = panel[str(ticker)]
        at = bars.index.get_indexer(pd.DatetimeIndex(rows["made_on"]))
        step = rows["step"].to_numpy(int)
        horizon = int(step.max())
        outcome = cumulative_returns(bars, horizon)[at, step - 1]
        end = np.minimum(at + step, len(bars) - 1)
        as_dated = (bars.index[end] == rows["target_on"]) & np.isfinite(outcome)
        total = garman_klass_variance(bars).fillna(0.0).cumsum().to_numpy()
        naive = bars["close"].diff().abs().expanding().mean().fillna(0.0).to_numpy()
        realised = rows.assign(
            realised=outcome,
            variance=np.maximum(total[end] - total[at], VARIANCE_FLOOR),
            unit=loss_unit(bars, at, step),
            naive=naive[at],
        )
        parts.append(realised[as_dated])
    return pd.concat(parts, ignore_index=True) if parts else forecast.assign(realised=np.nan)


def outcomes_of(rows: pd.DataFrame, bars: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return `realised` and `unit` of the forecasts of one ticker, each (N,); see `realise`.

    NaN where there is no outcome. It reads the sessions that are asked for alone.
    """
    made_on, target_on = (pd.DatetimeIndex(rows[name]) for name in ("made_on", "target_on"))
    step = rows["step"].to_numpy(int)
    at = bars.index.get_indexer(made_on)
    end = np.minimum(at + step, len(bars) - 1)
    realised, unit = np.full((2, len(rows)), np.nan)
    came = (at >= 0) & (end == at + step) & (bars.index[end] == target_on)
    if came.any():
        level = log_returns(bars).fillna(0.0).cumsum().to_numpy()
        realised[came] = level[end[came]] - level[at[came]]
        unit[came] = loss_unit(bars, at[came], step[came])
    return realised, unit


def loss_unit(bars: pd.DataFrame, at: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return the volatility that losses are divided by, (N,), a log return above 0.

    EWMA volatility times √h, never below half a tick. It is the same for every recipe and
    known at the origin, so that a proper score stays proper: a calm year then counts as much
    as a wild one. While EWMA warms up, it is the root mean square of the returns so far.

    Args:
        at: (N,) rows of the origins.
        step: (N,) sessions ahead.
    """
    ewma = ewma_volatility(bars).to_numpy()[at]
    if not np.isfinite(ewma).all():
        so_far = np.sqrt((log_returns(bars) ** 2).expanding().mean()).fillna(0.0).to_numpy()
        ewma = np.where(np.isfinite(ewma), ewma, so_far[at])
    return np.asarray(np.maximum(ewma, least_volatility(bars)[at]) * np.sqrt(step))


def pinball(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the pinball loss of every quantile, a log return: max(τ·d, (τ−1)·d).

    Source: Koenker, Bassett (1978), Regression Quantiles.
    """
    levels = np.asarray(QUANTILES)
    quantiles = rows[list(QUANTILE_COLUMNS)].to_numpy(float)
    difference = rows["realised"].to_numpy(float)[:, None] - quantiles
    losses = np.maximum(levels * difference, (levels - 1) * difference)
    return pd.DataFrame(losses, index=rows.index, columns=list(QUANTILE_COLUMNS))


def crps(rows: pd.DataFrame) -> np.ndarray:
    """Return the CRPS of each row, a log return, approximated by 19 quantile levels.

    Equation: mean of 2·pinball over the levels 0.05, 0.10 … 0.95. A tenth of the distribution
        lies beyond them, which `tails` scores.

    Source: Gneiting, Raftery (2007), Strictly proper scoring rules; Laio,
    Tamea (2007) for the sum over quantiles.
    """
    return _crps(pinball(rows))


def _crps(losses: pd.DataFrame) -> np.ndarray:
    return 2 * losses[[quantile_column(level) for level in CRPS_LEVELS]].to_numpy().mean(axis=1)


def tails(rows: pd.DataFrame) -> np.ndarray:
    """Return the score of the tails of each row, a log return, (N,); lower is better.

    Equation: mean of 2·pinball over the levels 0.025 and 0.975: those of the ends of the 95 %
        interval, which is published or the quantiles'. It is 0.025 times its Winkler score.
    Source: Bracher, Ray, Gneiting, Reich (2021), Evaluating epidemic forecasts in an
    interval format, for the relation of the two.
    """
    coverage = COVERAGES[-1]
    return (1 - coverage) / 2 * winkler(rows, coverage)


def covered(rows: pd.DataFrame, coverage: float) -> np.ndarray:
    """Return whether each outcome lies in its interval, endpoints included, (N,)."""
    low, high = endpoints(rows, coverage)
    outcome = rows["realised"].to_numpy(float)
    return (low <= outcome) & (outcome <= high)


def winkler(rows: pd.DataFrame, coverage: float) -> np.ndarray:
    """Return the interval score of each row, a log return, (N,); lower is better.

    Equation: (u − l) + 2/α·(l − y)·1{y < l} + 2/α·(y − u)·1{y > u}, α = 1 − coverage.
    Source: Winkler (1972), A Decision-Theoretic Approach to Interval Estimation.
    """
    low, high = endpoints(rows, coverage)
    outcome = rows["realised"].to_numpy(float)
    missed = np.maximum(low - outcome, 0) + np.maximum(outcome - high, 0)
    return high - low + 2 / (1 - coverage) * missed


def qlike(rows: pd.DataFrame) -> np.ndarray:
    """Return the QLIKE loss of sigma², (N,): r − ln r − 1, r = variance / sigma².

    Source: Patton (2011), Volatility forecast comparison using imperfect
    volatility proxies.
    """
    ratio = rows["variance"].to_numpy(float) / np.maximum(
        rows["sigma"].to_numpy(float) ** 2, VARIANCE_FLOOR
    )
    return ratio - np.log(ratio) - 1


def row_scores(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the losses and hits that end a training, one row a forecast.

    Columns: `crps` and `tails` (log returns), `coverage50` `coverage80` `coverage95` (whether
    the outcome lies in the interval).
    """
    values = {"crps": crps(rows), "tails": tails(rows), **_coverages(rows)}
    return pd.DataFrame(values, index=rows.index)


def score_fully(rows: pd.DataFrame) -> pd.DataFrame:
    """Return Scores with every metric.

    Adds to those of `row_scores`: `pinball_q…`, `width…` and `winkler…` (log returns); `qlike`;
    `mae` and `rmse` of the median (log returns); `mase`, the error of the median as a price
    (1.0 is the mean daily change); `direction` (share of right signs of the median) and
    `always_up` (share of positive outcomes); and, where a date has 20 tickers, `rankic`,
    the rank correlation of medians and outcomes across tickers.
    """
    parts = []
    for _, own in rows.groupby(list(IDENTITY), sort=False):
        parts += [means_of(own, _every_metric(own)), _rank_correlation(own)]
    scores = pd.concat([part for part in parts if len(part)], ignore_index=True)
    # The mean is taken of the squares.
    root = scores["metric"] == "rmse"
    scores.loc[root, "value"] = np.sqrt(scores.loc[root, "value"])
    return scores.dropna(subset="value").reset_index(drop=True)


def direction(rows: pd.DataFrame) -> np.ndarray:
    """Return 1.0 where the median has the sign of the outcome, else 0.0, (N,).

    NaN where either is exactly zero, because zero has no direction.
    """
    median = np.sign(rows["q50"].to_numpy(float))
    outcome = np.sign(rows["realised"].to_numpy(float))
    return np.where((median != 0) & (outcome != 0), median == outcome, np.nan)


def _coverages(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    return {f"coverage{share * 100:.0f}": covered(rows, share) for share in COVERAGES}


def _every_metric(rows: pd.DataFrame) -> pd.DataFrame:
    losses = pinball(rows)
    values = {"crps": _crps(losses), "tails": tails(rows), **_coverages(rows)}
    for share in COVERAGES:
        low, high = endpoints(rows, share)
        values[f"width{share * 100:.0f}"] = high - low
        values[f"winkler{share * 100:.0f}"] = winkler(rows, share)
    values["qlike"] = qlike(rows)
    median, outcome = rows["q50"].to_numpy(float), rows["realised"].to_numpy(float)
    values["mae"] = np.abs(outcome - median)
    values["rmse"] = (outcome - median) ** 2  # `score_fully` takes the root of the mean
    miss = rows["last_close"].to_numpy(float) * np.abs(np.exp(median) - np.exp(outcome))
    naive = rows["naive"].to_numpy(float)
    values["mase"] = np.divide(miss, naive, out=np.full(len(rows), np.nan), where=naive > 0)
    values["direction"] = direction(rows)
    values["always_up"] = np.where(outcome != 0, outcome > 0, np.nan)
    return pd.DataFrame(values, index=rows.index).join(losses.add_prefix("pinball_"))


def means_of(rows: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Return Scores: the mean of each column of `values` by recipe, ticker and step of `rows`."""
    grouped = pd.concat([rows[_KEYS], values], axis=1).groupby(_KEYS, sort=False)
    means = grouped.mean().reset_index().melt(id_vars=_KEYS, var_name="metric")
    counts = grouped.size().rename("n").reset_index()
    return means.merge(counts, on=_KEYS)[list(SCORE_COLUMNS)]


def _rank_correlation(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over dates of Spearman's correlation across tickers."""
    found = []
    for (recipe, calibrated, step), of_step in rows.groupby([*IDENTITY, "step"], sort=False):
        by_date = of_step.groupby("made_on")
        of_step = of_step[by_date["ticker"].transform("size") >= MIN_TICKERS]
        if of_step.empty:
            continue
        by_date = of_step.groupby("made_on")
        ranks = by_date[["q50", "realised"]].rank()
        ranks["made_on"] = of_step["made_on"]
        daily = ranks.groupby("made_on").apply(lambda day: day["q50"].corr(day["realised"]))
        score = daily.mean(), daily.count()
        found.append((recipe, calibrated, ALL_TICKERS, step, "rankic", *score))
    return pd.DataFrame(found, columns=list(SCORE_COLUMNS))


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Return each metric's mean over steps and then over tickers.

    There is one row per recipe, with the index `recipe calibrated`.
    """
    per_ticker = scores.groupby([*IDENTITY, "ticker", "metric"], sort=False)["value"].mean()
    return per_ticker.groupby([*IDENTITY, "metric"], sort=False).mean().unstack("metric")


def published_crps(table: pd.DataFrame, recipe: str) -> float | None:
    """Return the mean CRPS of what is published, a log return, from a `summary`.

    None where no forecast of the calibrated recipe has an outcome.
    """
    crps = table["crps"].get((recipe, True))
    return None if crps is None else float(crps)


def skill(scores: pd.DataFrame, against: str, *, metric: str = "crps") -> pd.DataFrame:
    """Return the skill of each recipe against a baseline, per step, as a fraction.

    Skill is how much lower the recipe's loss is than the baseline's. Losses are first
    averaged over tickers. Columns: `recipe calibrated step value`.
    """
    losses = scores[scores["metric"] == metric]
    means = losses.groupby([*IDENTITY, "step"], sort=False)["value"].mean().reset_index()
    base = of_recipe(means, against, calibrated=False).set_index("step")["value"]
    return means.assign(value=1 - means["value"] / means["step"].map(base).to_numpy())


def pit(rows: pd.DataFrame) -> np.ndarray:
    """Return the probability integral transform of each outcome, 0 to 1, (N,).

    It is the probability that the forecast gives to smaller outcomes: linear between
    quantiles, and half of the tail's probability beyond the outermost ones.
    Source: Dawid (1984), Statistical Theory: The Prequential Approach.
    """
    levels = np.asarray(QUANTILES)
    quantiles = rows[list(QUANTILE_COLUMNS)].to_numpy(float)
    outcome = rows["realised"].to_numpy(float)
    below = (quantiles <= outcome[:, None]).sum(axis=1)  # quantiles below the outcome, 0 … Q
    low, high = np.clip(below - 1, 0, len(levels) - 2), np.clip(below, 1, len(levels) - 1)
    row = np.arange(len(rows))
    left, right = quantiles[row, low], quantiles[row, high]
    share = np.divide(outcome - left, right - left, out=np.full(len(rows), 0.5), where=right > left)
    inside = levels[low] + np.clip(share, 0, 1) * (levels[high] - levels[low])
    outside = np.where(below == 0, levels[0] / 2, (1 + levels[-1]) / 2)
    return np.where((below == 0) | (below == len(levels)), outside, inside)


def rolling_coverage(rows: pd.DataFrame, coverage: float, *, sessions: int = 250) -> pd.Series:
    """Return the share of outcomes in their interval over the last origins.

    Args:
        rows: realised forecasts of one recipe and one step.
        sessions: how many origins a share is of.

    Returns:
        By origin, from the one on that has enough before it. Each origin counts once,
        with its mean over tickers.
    """
    hits = pd.Series(covered(rows, coverage).astype(float), index=rows["made_on"].to_numpy())
    return hits.groupby(level=0).mean().rolling(sessions).mean().dropna()
