"""How good forecasts were: CRPS, coverage, skill."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lstmcli.forecasters.baselines import cumulative_returns
from lstmcli.frames import COVERAGES, QUANTILES, SCORE_COLUMNS, Panel, cone_columns, quantile_column

CRPS_LEVELS = QUANTILES[1:-1]
"""0.05 … 0.95: equally spaced, so that their mean approximates the integral."""


def realise(forecast: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Return the forecast with `realised`, the log return that came.

    Rows whose outcome is not in the panel, or whose h-th next bar is not the
    session forecast (a hole lies between), are left out.
    """
    parts = []
    for ticker, rows in forecast.groupby("ticker", sort=False):
        bars = panel[str(ticker)]
        at = bars.index.get_indexer(pd.DatetimeIndex(rows["made_on"]))
        step = rows["step"].to_numpy(int)
        came = cumulative_returns(bars, int(step.max()))[at, step - 1]
        arrived = bars.index[np.minimum(at + step, len(bars) - 1)]
        as_dated = (arrived == rows["target_on"]) & np.isfinite(came)
        parts.append(rows.assign(realised=came)[as_dated])
    return pd.concat(parts, ignore_index=True) if parts else forecast.assign(realised=np.nan)


def crps(rows: pd.DataFrame) -> np.ndarray:
    """Return the CRPS of each row, a log return: mean of 2·pinball over 19 levels.

    Source: Gneiting, Raftery (2007), Strictly proper scoring rules; Laio,
    Tamea (2007) for the sum over quantiles.
    """
    levels = np.asarray(CRPS_LEVELS)
    quantiles = rows[[quantile_column(level) for level in CRPS_LEVELS]].to_numpy(float)
    difference = rows["realised"].to_numpy(float)[:, None] - quantiles
    return 2 * np.maximum(levels * difference, (levels - 1) * difference).mean(axis=1)


def covered(rows: pd.DataFrame, coverage: float) -> np.ndarray:
    """Return whether each outcome lay inside its central interval, its ends included."""
    low, high = cone_columns(coverage)
    return rows["realised"].between(rows[low], rows[high]).to_numpy()


def score(rows: pd.DataFrame) -> pd.DataFrame:
    """Return Scores of a realised forecast: long, one row per recipe, ticker, step, metric.

    Metrics: `crps` (log return), `coverage50` `coverage80` `coverage95` (fractions).
    """
    values = pd.DataFrame({"crps": crps(rows)}, index=rows.index)
    for coverage in COVERAGES:
        values[f"coverage{coverage:.0%}".rstrip("%")] = covered(rows, coverage).astype(float)
    keys = ["recipe", "ticker", "step"]
    grouped = pd.concat([rows[keys], values], axis=1).groupby(keys, sort=False)
    means = grouped.mean().reset_index().melt(id_vars=keys, var_name="metric")
    counts = grouped.size().rename("n").reset_index()
    return means.merge(counts, on=keys)[list(SCORE_COLUMNS)]


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Return one row per recipe: each metric's mean over steps, macro-averaged over tickers."""
    per_ticker = scores.groupby(["recipe", "ticker", "metric"], sort=False)["value"].mean()
    return per_ticker.groupby(["recipe", "metric"], sort=False).mean().unstack("metric")
