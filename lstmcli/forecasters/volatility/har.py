"""HAR: volatility from its own means over a day, a week, a month, a quarter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.forecasters.filtered_simulation import MIN_MEMORY
from lstmcli.forecasters.volatility.regressors import (
    har_regressors,
    labelled_rows,
    lag_regressors,
    report_regressors,
    scale_from,
    unusual,
)
from lstmcli.frames import Section
from lstmcli.panel import Panel


@dataclass(frozen=True)
class HarVolatility:
    """HAR regression of log variance, one for each step, pooled over tickers.

    Equation: ln(v[t+1] + … + v[t+h]) = a[h] + b[h]·x[t] + e, v the Garman–Klass
    variance and x the columns of `har_regressors`, by least squares;
    σ̂²[t,h] = exp(a[h] + b[h]·x[t]) · mean(exp(e)).
    Source: Corsi (2009), A Simple Approximate Long-Memory Model of Realized
    Volatility, Journal of Financial Econometrics 7; Duan (1983), Smearing
    Estimate, JASA 78, for the mean of exp(e).

    Attributes:
        earnings: also the columns of `report_regressors`.
        lags: also those of `lag_regressors`.
    """

    horizon: int
    earnings: bool = False
    lags: bool = False

    def untrained(self) -> FittedHarVolatility:
        """Return the volatility of the last 1,000 sessions: where it is NaN, so is a trained one.

        The columns come from bars alone, so a split can be planned before the fit.
        """
        return FittedHarVolatility(
            horizon=self.horizon,
            earnings=self.earnings,
            lags=self.lags,
            intercept=(0.0,) * self.horizon,
            slopes=(),
        )

    def fit(self, panel: Panel, until: pd.Timestamp) -> FittedHarVolatility:
        """Return the coefficients; a label after `until` is not used.

        Raises:
            NoDataError: the panel has too few sessions.
        """
        past = panel.until(until)
        rows = labelled_rows(past, self.regressors(past), self.horizon, least=MIN_MEMORY)
        x = np.column_stack([np.ones(len(rows.x)), rows.x])
        # In a panel of one ticker the market is that ticker: of all solutions, the smallest.
        coefficients, *_ = np.linalg.lstsq(x, rows.y, rcond=None)  # (1 + K, H)
        smearing = np.log(np.exp(rows.y - x @ coefficients).mean(axis=0))
        coefficients[0] += smearing
        return FittedHarVolatility(
            horizon=self.horizon,
            earnings=self.earnings,
            lags=self.lags,
            intercept=tuple(coefficients[0].tolist()),
            slopes=tuple(map(tuple, coefficients[1:].T.tolist())),
        )

    def regressors(self, panel: Panel) -> dict[str, pd.DataFrame]:
        """Return the regressors of each ticker, (T, K)."""
        columns = har_regressors(panel)
        if self.earnings:
            columns = {
                ticker: each.join(report_regressors(unusual(panel[ticker]), self.horizon))
                for ticker, each in columns.items()
            }
        if self.lags:
            columns = {
                ticker: each.join(lag_regressors(panel[ticker], each))
                for ticker, each in columns.items()
            }
        return columns


class FittedHarVolatility(Section):
    """What HAR has learnt; few enough numbers for a JSON file.

    Attributes:
        intercept: (H,) with the logarithm of the smearing factor.
        slopes: (H, K); empty where it is untrained.
    """

    horizon: int
    earnings: bool
    lags: bool
    intercept: tuple[float, ...]
    slopes: tuple[tuple[float, ...], ...]

    def sigma(self, panel: Panel) -> dict[str, np.ndarray]:
        """Return each ticker's volatility of the cumulative returns, (T, H).

        Row t uses sessions up to t of every ticker of the panel: with other
        tickers beside it, a ticker's volatility differs a little. NaN while the
        regressors warm up; never below `least_volatility`·√h.
        """
        columns = HarVolatility(self.horizon, self.earnings, self.lags).regressors(panel)
        intercept, slopes = np.asarray(self.intercept), np.asarray(self.slopes)
        scales = {}
        for ticker, each in columns.items():
            x = each.to_numpy(float)
            each_step = slopes if len(slopes) else np.zeros((self.horizon, x.shape[1]))
            scales[ticker] = scale_from(each, intercept + x @ each_step.T, panel[ticker])
        return scales
