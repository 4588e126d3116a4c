"""GARCH and GJR-GARCH with Student-t errors: the volatility of one ticker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass

import numpy as np
import pandas as pd

from lstmcli.features import SIGMA_FLOOR

PERCENT = 100
"""Returns are fitted in percent: the optimiser stalls where a variance is 1e-4."""

MAX_PERSISTENCE = 0.9999
"""Bound of α + γ/2 + β: at 1 the variance has no mean."""

NUMBA_SWITCH = "ARCH_DISABLE_NUMBA"
"""A variable of the environment that `arch` reads once, when it is imported."""


@dataclass(frozen=True)
class GarchParameters:
    """GARCH(1,1)-t or GJR-GARCH(1,1,1)-t of one ticker, for log returns as fractions.

    Attributes:
        mean: μ of a session.
        omega, alpha, beta: the recursion of the variance.
        nu: degrees of freedom of the errors.
        gamma: what a fall adds to α; 0 is GARCH.
    """

    mean: float
    omega: float
    alpha: float
    beta: float
    nu: float
    gamma: float = 0.0

    @classmethod
    def of_array(cls, numbers: np.ndarray) -> GarchParameters | None:
        """Return what `as_array` wrote; None of an array without numbers."""
        return cls(*numbers.tolist()) if len(numbers) else None

    def as_array(self) -> np.ndarray:
        """Return the parameters in the order of the fields, (6,)."""
        return np.array(astuple(self))

    @property
    def persistence(self) -> float:
        """Return α + γ/2 + β, the share of a shock that the next session keeps.

        Half of γ: the errors are symmetric, so that every second one is a fall.
        """
        return self.alpha + self.gamma / 2 + self.beta

    @property
    def variance(self) -> float:
        """Return the variance that the process returns to, a squared log return."""
        return self.omega / (1 - self.persistence)

    def scale(self, returns: np.ndarray, horizon: int) -> np.ndarray:
        """Return the volatility of the next 1…H sessions together, (T, H), a fraction.

        Equation: σ²[t+1] = ω + (α + γ·1{ε[t] < 0})·ε²[t] + β·σ²[t];
        σ²[t,h] = h·V + (σ²[t+1] − V)·(1 − φ^h) / (1 − φ), φ = α + γ/2 + β and V the mean.
        Source: Bollerslev (1986), Generalized Autoregressive Conditional
        Heteroskedasticity, Journal of Econometrics 31; Glosten, Jagannathan,
        Runkle (1993), On the Relation between the Expected Value and the Volatility
        of the Nominal Excess Return on Stocks, Journal of Finance 48, for γ.
        """
        return self.scale_from(self.ahead(returns), horizon)

    def ahead(self, returns: np.ndarray) -> np.ndarray:
        """Return the variance of the session after each one, σ²[t+1], (T,)."""
        from scipy.signal import lfilter

        shocks = np.nan_to_num(returns - self.mean)  # (T,)
        # The recursion starts at the mean, which is known without any later return.
        start = np.array([self.beta * self.variance])
        drive = self.omega + (self.alpha + self.gamma * (shocks < 0)) * shocks**2
        return np.asarray(lfilter([1.0], [1.0, -self.beta], drive, zi=start)[0])

    def ahead_after(self, variance: float, returns: np.ndarray) -> float:
        """Return the last of `ahead`, where σ² of the first of some returns is known.

        Of the few sessions of a month: without scipy, which takes a second to import.
        """
        for shock in (returns - self.mean).tolist():
            falls = self.gamma if shock < 0 else 0.0
            variance = self.omega + (self.alpha + falls) * shock**2 + self.beta * variance
        return variance

    def scale_from(self, ahead: np.ndarray, horizon: int) -> np.ndarray:
        """Return `scale` of sessions (T,) from the variance that is ahead of each, σ²[t+1]."""
        steps = np.arange(1, horizon + 1)
        fading = (1 - self.persistence**steps) / (1 - self.persistence)
        total = steps * self.variance + (ahead[:, None] - self.variance) * fading
        return np.sqrt(np.maximum(total, steps * SIGMA_FLOOR**2))


@contextmanager
def without_numba() -> Iterator[None]:
    """Keep `arch` from importing numba, if it is imported for the first time in here.

    It would take a second, for loops that `arch` brings compiled.
    """
    if NUMBA_SWITCH in os.environ:
        yield  # as the user wants it
        return
    os.environ[NUMBA_SWITCH] = "1"
    try:
        yield
    finally:
        del os.environ[NUMBA_SWITCH]


def fit_garch(returns: pd.Series, *, falls: bool = False) -> GarchParameters | None:
    """Return the maximum likelihood fit, or None where it did not converge.

    Args:
        falls: fit γ as well (GJR-GARCH).
    """
    with without_numba():
        from arch import arch_model

    if not returns.var() > 0:
        return None
    model = arch_model(
        PERCENT * returns, mean="Constant", p=1, o=int(falls), q=1, dist="t", rescale=False
    )
    # A failed fit is told from its flag below.
    result = model.fit(disp="off", show_warning=False)
    mean, omega, alpha, *gamma, beta, nu = (float(number) for number in result.params)
    parameters = GarchParameters(mean / PERCENT, omega / PERCENT**2, alpha, beta, nu, *gamma)
    numbers = np.isfinite(result.params).all()
    usable = numbers and omega > 0 and parameters.persistence <= MAX_PERSISTENCE
    return parameters if result.convergence_flag == 0 and usable else None
