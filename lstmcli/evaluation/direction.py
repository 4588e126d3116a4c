"""Whether a median knows the direction, against the usual one of the training years."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.evaluation.significance import SIGNIFICANCE, date_means, ewc
from lstmcli.frames import log_returns
from lstmcli.panel import Panel

UP = 1
"""The usual direction where nothing is known of the training years."""


@dataclass(frozen=True)
class Direction:
    """How often the median has the sign of the outcome, at the shortest step.

    Attributes:
        right: share of right signs; NaN where the median never changes its sign.
        usual: share of outcomes in the usual direction of the training block, which is
            what a forecast without any knowledge gets. Outcomes of zero count in neither
            share; NaN where no other is left.
        p_value: two-sided, of the difference between the two, by date; None where no test
            can be made.
        independence: p-value of the test of Pesaran and Timmermann. None for several
            tickers, because tickers move together on the same day.
        edge: whether there is evidence that the median knows the direction; None where the
            median never changes its sign.
    """

    right: float
    usual: float
    p_value: float | None = None
    independence: float | None = None
    edge: bool | None = None


def usual_signs(panel: Panel, until: pd.Timestamp) -> dict[str, int]:
    """Return the more frequent sign of one-session returns up to a date, by ticker.

    It is what a fit that ends there may know. Up where both are as frequent.
    """
    signs = {}
    for ticker, bars in panel.items():
        balance = np.sign(log_returns(bars.loc[:until]).fillna(0.0).to_numpy()).sum()
        signs[str(ticker)] = UP if balance >= 0 else -UP
    return signs


def judge_direction(own: pd.DataFrame, overlap: int, *, alpha: float) -> Direction:
    """Return how often the median of a recipe's `outcomes` at one step has the right sign.

    Args:
        overlap: dates over which an outcome reaches.
        alpha: one-sided level at which there is evidence of an edge.
    """
    rows = own[own["outcome_sign"] != 0]
    if not len(rows):
        return Direction(np.nan, np.nan)
    median, outcome = rows["median_sign"].to_numpy(), rows["outcome_sign"].to_numpy()
    usual = outcome == rows["usual_sign"].to_numpy()
    if len(np.unique(median)) == 1:
        return Direction(np.nan, float(usual.mean()))
    right = median == outcome
    differences = date_means(right.astype(float) - usual.astype(float), rows).to_numpy()
    test = ewc(differences, overlap=overlap)
    edge = test is not None and test.p_above < alpha
    independence = None
    # Its error is that of independent outcomes: one ticker, one session ahead.
    if rows["ticker"].nunique() == 1 and overlap == 1:
        independence = pesaran_timmermann(median, outcome)
        edge = edge and independence is not None and independence < SIGNIFICANCE
    return Direction(
        right=float(right.mean()),
        usual=float(usual.mean()),
        p_value=None if test is None else test.p_value,
        independence=independence,
        edge=edge,
    )


def pesaran_timmermann(forecasts: np.ndarray, outcomes: np.ndarray) -> float | None:
    """Return the p-value of forecast and outcome having independent signs, two-sided.

    The share of right signs is compared with that of two independent series which rise
    as often as these two, not with one half.

    Source: Pesaran, Timmermann (1992), A Simple Nonparametric Test of
    Predictive Performance.

    Returns:
        None where either sign never changes.
    """
    from scipy.stats import norm

    forecast_up, outcome_up = np.asarray(forecasts) > 0, np.asarray(outcomes) > 0
    n, p, q = len(forecast_up), float(forecast_up.mean()), float(outcome_up.mean())
    if p in (0.0, 1.0) or q in (0.0, 1.0):
        return None
    right = float((forecast_up == outcome_up).mean())
    expected = p * q + (1 - p) * (1 - q)
    of_right = expected * (1 - expected) / n
    of_expected = (
        (2 * q - 1) ** 2 * p * (1 - p) / n
        + (2 * p - 1) ** 2 * q * (1 - q) / n
        + 4 * p * q * (1 - p) * (1 - q) / n**2
    )
    spread = of_right - of_expected
    if spread <= 0:
        return None
    return float(2 * norm.sf(abs(right - expected) / np.sqrt(spread)))


def needed_direction(days: int) -> float:
    """Return the share of right signs that differs from one half at 5 %, two-sided."""
    from scipy.stats import norm

    return 0.5 + float(norm.ppf(1 - SIGNIFICANCE / 2)) * 0.5 / np.sqrt(days)
