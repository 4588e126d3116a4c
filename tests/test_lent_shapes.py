"""Shapes that filtered simulation borrows where a ticker or its panel has too few errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from simulate import panel_of, simulate_bars

from lstmcli.forecasters.filtered_simulation import (
    MEMORY,
    MIN_POOL,
    POOL_WEIGHT,
    filtered_simulation,
)
from lstmcli.frames import QUANTILE_COLUMNS, QUANTILES, log_returns
from lstmcli.panel import Panel

H = 2
LEVELS = list(QUANTILE_COLUMNS)
SHAPE = np.sort(np.random.default_rng(0).standard_normal((H, len(QUANTILES))))


def lend(ticker: str, rows: np.ndarray) -> np.ndarray:
    assert ticker
    return np.broadcast_to(SHAPE, (len(rows), *SHAPE.shape)) + 0.001 * rows[:, None, None]


def forecast(given: Panel, **changes) -> pd.DataFrame:
    scales = {ticker: np.full((len(bars), H), 0.01) for ticker, bars in given.items()}
    last = given.sessions()[-1:]
    return filtered_simulation("x", given, last, scales, **{"lend": lend, **changes})


def own(bars: pd.DataFrame, step: int) -> tuple[int, np.ndarray]:
    """Return how many errors have arrived, at most `MEMORY`, and their quantiles."""
    returns = log_returns(bars).to_numpy()
    n = len(bars)
    errors = [returns[s + 1 : s + step + 1].sum() / 0.01 for s in range(n - step)][-MEMORY:]
    # A window is as long for every step: those of a later step arrive later.
    errors = errors[-(MEMORY):]
    return len(errors), np.quantile(errors, QUANTILES) if errors else np.zeros(len(QUANTILES))


@pytest.mark.parametrize("errors", [0, 50, 99, 100, 2600])
def test_a_ticker_alone_borrows_the_less_the_more_errors_it_has(errors: int):
    bars = simulate_bars(errors + H)
    found = forecast(panel_of(A=bars))[LEVELS].to_numpy() / 0.01
    for step in (1, H):
        known, quantiles = own(bars, step)
        weight = known / step / (known / step + POOL_WEIGHT) if errors >= 100 else 0.0
        lent = SHAPE[step - 1] + 0.001 * (len(bars) - 1)
        expected = weight * quantiles + (1 - weight) * lent
        np.testing.assert_allclose(found[step - 1], expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("tickers", [MIN_POOL - 1, MIN_POOL])
def test_twenty_tickers_lend_to_each_other(tickers: int):
    given = panel_of(**{f"T{n}": simulate_bars(160, seed=n) for n in range(tickers)})
    found = forecast(given)
    pool = np.mean([own(bars, H)[1] for bars in given.values()], axis=0)
    for ticker, bars in given.items():
        known, quantiles = own(bars, H)
        weight = known / H / (known / H + POOL_WEIGHT)
        shape = pool if tickers == MIN_POOL else SHAPE[-1] + 0.001 * (len(bars) - 1)
        rows = found[(found["ticker"] == ticker) & (found["step"] == H)]
        expected = weight * quantiles + (1 - weight) * shape
        np.testing.assert_allclose(rows[LEVELS].to_numpy()[0] / 0.01, expected, rtol=1e-8)


def test_a_newcomer_borrows_from_twenty_others():
    given = panel_of(
        **{f"T{n}": simulate_bars(160, seed=n) for n in range(MIN_POOL)},
        new=simulate_bars(30, seed=99),
    )
    found = forecast(given)
    pool = np.mean([own(bars, H)[1] for name, bars in given.items() if name != "new"], axis=0)
    rows = found[(found["ticker"] == "new") & (found["step"] == H)]
    np.testing.assert_allclose(rows[LEVELS].to_numpy()[0] / 0.01, pool, rtol=1e-8)
    assert "new" not in set(forecast(given, lend=None)["ticker"])


def test_a_ticker_without_a_scale_on_the_origin_has_no_forecast():
    given = panel_of(A=simulate_bars(150), B=simulate_bars(150, seed=1))
    scales = {ticker: np.full((150, H), 0.01) for ticker in given}
    scales["B"][-1, 1] = np.nan
    found = filtered_simulation("x", given, given.sessions()[-1:], scales, lend=lend)
    assert set(found["ticker"]) == {"A"}
