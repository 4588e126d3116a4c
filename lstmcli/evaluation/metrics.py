"""How good forecasts were: CRPS, coverage, width, volatility, direction, skill.

A *realised* forecast is a Forecast with `realised`, the log return that came.
Where it has the published endpoints `lo50 … hi95`, they are what coverage and
width are of; a recipe without them is judged by its quantiles.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lstmcli.features import VARIANCE_FLOOR, garman_klass_variance
from lstmcli.frames import (
    COVERAGES,
    QUANTILE_COLUMNS,
    QUANTILES,
    SCORE_COLUMNS,
    cumulative_returns,
    endpoints,
    quantile_column,
)
from lstmcli.panel import Panel

CRPS_LEVELS = QUANTILES[1:-1]
"""0.05 … 0.95: equally spaced, so that their mean approximates the integral."""

LEAST_TICKERS = 20
"""Tickers on a date without which a rank correlation says little."""

ALL_TICKERS = "*"
"""Stands for the ticker in scores that only a cross-section has."""

_KEYS = ["recipe", "ticker", "step"]


def realise(forecast: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Return the forecast with what came; rows without an outcome are left out.

    Adds `realised`, the log return that came; `variance`, the summed Garman–Klass
    variance of the sessions it came over; and `naive`, the mean absolute daily
    change of the close up to the origin, in the ticker's currency.

    A row whose h-th next bar is not the session forecast (a hole lies between)
    has no outcome.
    """
    parts = []
    for ticker, rows in forecast.groupby("ticker", sort=False):
        bars = panel[str(ticker)]
        at = bars.index.get_indexer(pd.DatetimeIndex(rows["made_on"]))
        step = rows["step"].to_numpy(int)
        came = cumulative_returns(bars, int(step.max()))[at, step - 1]
        end = np.minimum(at + step, len(bars) - 1)
        as_dated = (bars.index[end] == rows["target_on"]) & np.isfinite(came)
        total = garman_klass_variance(bars).fillna(0.0).cumsum().to_numpy()
        naive = bars["close"].diff().abs().expanding().mean().fillna(0.0).to_numpy()
        outcome = rows.assign(
            realised=came,
            variance=np.maximum(total[end] - total[at], VARIANCE_FLOOR),
            naive=naive[at],
        )
        parts.append(outcome[as_dated])
    return pd.concat(parts, ignore_index=True) if parts else forecast.assign(realised=np.nan)


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
    """Return the CRPS of each row, a log return: mean of 2·pinball over 19 levels.

    Source: Gneiting, Raftery (2007), Strictly proper scoring rules; Laio,
    Tamea (2007) for the sum over quantiles.
    """
    return _crps(pinball(rows))


def _crps(losses: pd.DataFrame) -> np.ndarray:
    return 2 * losses[[quantile_column(level) for level in CRPS_LEVELS]].to_numpy().mean(axis=1)


def covered(rows: pd.DataFrame, coverage: float) -> np.ndarray:
    """Return whether each outcome lay inside its central interval, its ends included."""
    low, high = endpoints(rows, coverage)
    came = rows["realised"].to_numpy(float)
    return (low <= came) & (came <= high)


def winkler(rows: pd.DataFrame, coverage: float) -> np.ndarray:
    """Return the interval score of each row, a log return; lower is better.

    Equation: (u − l) + 2/α·(l − y)·1{y < l} + 2/α·(y − u)·1{y > u}, α = 1 − coverage.
    Source: Winkler (1972), A Decision-Theoretic Approach to Interval Estimation.
    """
    low, high = endpoints(rows, coverage)
    came = rows["realised"].to_numpy(float)
    missed = np.maximum(low - came, 0) + np.maximum(came - high, 0)
    return high - low + 2 / (1 - coverage) * missed


def qlike(rows: pd.DataFrame) -> np.ndarray:
    """Return the QLIKE loss of sigma² against the variance that came: r − ln r − 1.

    Source: Patton (2011), Volatility forecast comparison using imperfect
    volatility proxies.
    """
    ratio = rows["variance"].to_numpy(float) / np.maximum(
        rows["sigma"].to_numpy(float) ** 2, VARIANCE_FLOOR
    )
    return ratio - np.log(ratio) - 1


def score(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the Scores that end a training: CRPS and coverages.

    Long, one row per recipe, ticker, step and metric. Metrics: `crps` (log
    return), `coverage50` `coverage80` `coverage95` (fractions).
    """
    values = {"crps": crps(rows), **_coverages(rows)}
    return _means(rows, pd.DataFrame(values, index=rows.index))


def score_fully(rows: pd.DataFrame) -> pd.DataFrame:
    """Return Scores with every metric.

    Beside those of `score`: `pinball_q…`, `width…` and `winkler…` (log returns),
    `qlike`, `mae` and `rmse` (of the median, log returns), `mase` (of its price;
    1.0 is the mean daily change), `direction` (share of right signs) beside
    `always_up` (share of positive returns), and where a date has 20 tickers
    `rankic`, the rank correlation of medians and returns across them.
    """
    parts = []
    for _, of_recipe in rows.groupby("recipe", sort=False):
        parts += [_means(of_recipe, _every_metric(of_recipe)), _rank_correlation(of_recipe)]
    scores = pd.concat([part for part in parts if len(part)], ignore_index=True)
    # What is squared is averaged as a square.
    root = scores["metric"] == "rmse"
    scores.loc[root, "value"] = np.sqrt(scores.loc[root, "value"])
    return scores.dropna(subset="value").reset_index(drop=True)


def direction(rows: pd.DataFrame) -> np.ndarray:
    """Return 1.0 where the median has the sign of the outcome, else 0.0, (N,).

    NaN where either is exactly zero: it names no direction.
    """
    median, came = np.sign(rows["q50"].to_numpy(float)), np.sign(rows["realised"].to_numpy(float))
    return np.where((median != 0) & (came != 0), median == came, np.nan)


def _coverages(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    return {f"coverage{share * 100:.0f}": covered(rows, share).astype(float) for share in COVERAGES}


def _every_metric(rows: pd.DataFrame) -> pd.DataFrame:
    losses = pinball(rows)
    values = {"crps": _crps(losses), **_coverages(rows)}
    for share in COVERAGES:
        low, high = endpoints(rows, share)
        values[f"width{share * 100:.0f}"] = high - low
        values[f"winkler{share * 100:.0f}"] = winkler(rows, share)
    values["qlike"] = qlike(rows)
    median, came = rows["q50"].to_numpy(float), rows["realised"].to_numpy(float)
    values["mae"] = np.abs(came - median)
    values["rmse"] = (came - median) ** 2
    miss = rows["last_close"].to_numpy(float) * np.abs(np.exp(median) - np.exp(came))
    naive = rows["naive"].to_numpy(float)
    values["mase"] = np.divide(miss, naive, out=np.full(len(rows), np.nan), where=naive > 0)
    values["direction"] = direction(rows)
    values["always_up"] = np.where(came != 0, came > 0, np.nan)
    return pd.DataFrame(values, index=rows.index).join(losses.add_prefix("pinball_"))


def _means(rows: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    grouped = pd.concat([rows[_KEYS], values], axis=1).groupby(_KEYS, sort=False)
    means = grouped.mean().reset_index().melt(id_vars=_KEYS, var_name="metric")
    counts = grouped.size().rename("n").reset_index()
    return means.merge(counts, on=_KEYS)[list(SCORE_COLUMNS)]


def _rank_correlation(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over dates of Spearman's correlation across tickers."""
    found = []
    for (recipe, step), of_step in rows.groupby(["recipe", "step"], sort=False):
        by_date = of_step.groupby("made_on")
        of_step = of_step[by_date["ticker"].transform("size") >= LEAST_TICKERS]
        if of_step.empty:
            continue
        by_date = of_step.groupby("made_on")
        ranks = by_date[["q50", "realised"]].rank()
        ranks["made_on"] = of_step["made_on"]
        daily = ranks.groupby("made_on").apply(lambda day: day["q50"].corr(day["realised"]))
        found.append((recipe, ALL_TICKERS, step, "rankic", daily.mean(), daily.count()))
    return pd.DataFrame(found, columns=list(SCORE_COLUMNS))


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Return one row per recipe: each metric's mean over steps, macro-averaged over tickers."""
    per_ticker = scores.groupby(["recipe", "ticker", "metric"], sort=False)["value"].mean()
    return per_ticker.groupby(["recipe", "metric"], sort=False).mean().unstack("metric")


def skill(scores: pd.DataFrame, against: str, *, metric: str = "crps") -> pd.DataFrame:
    """Return by how much each recipe's loss is below a baseline's, per step, as a fraction.

    Losses are macro-averaged over tickers first. Columns: `recipe step value`.
    """
    losses = scores[scores["metric"] == metric]
    means = losses.groupby(["recipe", "step"], sort=False)["value"].mean().reset_index()
    base = means[means["recipe"] == against].set_index("step")["value"]
    return means.assign(value=1 - means["value"] / means["step"].map(base).to_numpy())


def pit(rows: pd.DataFrame) -> np.ndarray:
    """Return where each outcome fell in its forecast distribution, 0 to 1.

    Linear between quantiles; beyond the outermost, half of what lies there.
    Source: Dawid (1984), Statistical Theory: The Prequential Approach.
    """
    levels = np.asarray(QUANTILES)
    quantiles = rows[list(QUANTILE_COLUMNS)].to_numpy(float)
    came = rows["realised"].to_numpy(float)
    above = (quantiles <= came[:, None]).sum(axis=1)  # 0 … Q
    low, high = np.clip(above - 1, 0, len(levels) - 2), np.clip(above, 1, len(levels) - 1)
    each = np.arange(len(rows))
    left, right = quantiles[each, low], quantiles[each, high]
    share = np.divide(came - left, right - left, out=np.full(len(rows), 0.5), where=right > left)
    inside = levels[low] + np.clip(share, 0, 1) * (levels[high] - levels[low])
    outside = np.where(above == 0, levels[0] / 2, (1 + levels[-1]) / 2)
    return np.where((above == 0) | (above == len(levels)), outside, inside)


def rolling_coverage(rows: pd.DataFrame, coverage: float, *, sessions: int = 250) -> pd.Series:
    """Return the share of outcomes inside an interval over the last `sessions` origins.

    By origin, over all rows given (one recipe, one step); the mean over tickers
    of a date counts as one.
    """
    hits = pd.Series(covered(rows, coverage).astype(float), index=rows["made_on"].to_numpy())
    return hits.groupby(level=0).mean().rolling(sessions).mean().dropna()
