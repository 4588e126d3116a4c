"""Ridges from sums of products, and blocks whose targets are kept apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from panel_cases import bars_of, panel
from sklearn.linear_model import Ridge as Reference
from sklearn.preprocessing import StandardScaler

from lstmcli.forecasters.panel_network.blocks import BLOCKS, Blocks, TrainingPanel
from lstmcli.forecasters.panel_network.fit import (
    least_sessions,
    ridge_steps,
)
from lstmcli.forecasters.ridge import PENALTY, Products
from lstmcli.forecasters.volatility.regressors import LONG_WARM_UP
from lstmcli.panel import Panel

ROWS, COLUMNS, TARGETS = 500, 9, 3
READ = [1, 2, 4, 7, 8]


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return columns of unlike scales, targets that follow them, and pieces."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((ROWS, COLUMNS)) * 2.0 ** np.arange(COLUMNS) + 3
    y = x[:, READ] @ generator.standard_normal((len(READ), TARGETS)) / 100
    y += generator.standard_normal(y.shape)
    return x, y, generator.integers(0, 4, ROWS)


def expected(x: np.ndarray, y: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    scaler = StandardScaler().fit(x)
    model = Reference(PENALTY * len(x)).fit(scaler.transform(x), y)
    return np.asarray(model.predict(scaler.transform(ahead)))


def test_a_ridge_from_products_is_scikit_learns_on_standardised_columns():
    x, y, pieces = data()
    products = Products([0, *READ], TARGETS, 4)
    for part in np.array_split(np.arange(ROWS), 3):  # ticker by ticker
        products.add(x[part], y[part], pieces[part])
    found = products.ridge(READ, range(4))
    assert products.rows(range(4)) == ROWS
    np.testing.assert_allclose(
        found.predict(x), expected(x[:, READ], y, x[:, READ]), rtol=1e-6, atol=1e-9
    )


def test_pieces_left_out_and_rows_that_lack_a_value_are_never_seen():
    x, y, pieces = data()
    lacks = np.random.default_rng(1).random(ROWS) < 0.2
    x[lacks, 4], y[::17, 1] = np.nan, np.nan
    pieces[100:120] = -1
    x[100:120], y[pieces == 2] = 1e3, 1e3
    products = Products(READ, TARGETS, 4)
    products.add(x, y, pieces)
    kept = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1) & np.isin(pieces, [0, 1, 3])
    found = products.ridge(READ, [0, 1, 3])
    assert products.rows([0, 1, 3]) == kept.sum()
    whole = np.nan_to_num(x[:, READ])
    np.testing.assert_allclose(
        found.predict(np.nan_to_num(x)),
        expected(x[kept][:, READ], y[kept], whole),
        rtol=1e-6,
        atol=1e-9,
    )


def test_a_column_that_is_missing_takes_its_training_mean():
    x, y, pieces = data()
    products = Products(READ, TARGETS, 4)
    products.add(x, y, pieces)
    found = products.ridge(READ, range(4))
    lacking, filled = x[:5].copy(), x[:5].copy()
    lacking[:, 7], filled[:, 7] = np.nan, x[:, 7].mean()
    np.testing.assert_allclose(found.predict(lacking), found.predict(filled), rtol=1e-9)


def test_a_column_that_never_moves_is_no_trouble():
    x, y, pieces = data()
    x[:, 4] = 0.0
    products = Products(READ, TARGETS, 4)
    products.add(x, y, pieces)
    assert np.isfinite(products.ridge(READ, range(4)).predict(x)).all()


def with_holes() -> Panel:
    """Return tickers of which one trades every day, one rested and one lacks sessions."""
    given = panel(4, market=False)
    every = bars_of(50, 700).copy()
    every.index = pd.date_range(given.sessions()[150], periods=700, name="session")
    rested = given["T01"].drop(given["T01"].index[300:340])
    lacking = given["T02"][np.random.default_rng(3).random(700) > 0.3]
    return given.with_(
        bars={**given, "T01": rested, "T02": lacking, "C": every},
        calendars={**given.calendars, "C": "24/7"},
    )


@pytest.mark.parametrize("horizon", [1, 20, 60])
@pytest.mark.parametrize("kind", ["whole", "fewest", "holes"])
def test_no_target_of_a_block_shares_a_session_with_what_its_fit_has_learnt_from(
    kind: str, horizon: int
):
    longest = max(ridge_steps(horizon))
    fewest = LONG_WARM_UP + least_sessions(longest, 2) + longest
    whole = panel(2, market=False)
    given = {
        "whole": whole,
        "fewest": whole.until(whole.sessions()[fewest - 1]),
        "holes": with_holes(),
    }[kind]
    blocks = Blocks.of(TrainingPanel(given, longest).reach())
    assert set(np.bincount(blocks.block) - len(blocks.sessions) // BLOCKS) <= {0, 1}
    rows = []  # of every ticker: session, first and last session of its targets
    for bars in given.values():
        days, pieces = bars.index, blocks.pieces(pd.DatetimeIndex(bars.index))
        for t in range(LONG_WARM_UP, len(days) - longest):
            rows.append((pieces[t], days[t], days[t + 1], days[t + longest]))
    for block in range(BLOCKS):
        inside = blocks.sessions[blocks.block == block]
        held = [row for row in rows if inside[0] <= row[1] <= inside[-1]]
        first, last = min(row[2] for row in held), max(row[3] for row in held)
        learnt = [row for row in rows if row[0] in Blocks.away(block)]
        assert learnt
        for _, _, begin, end in learnt:
            assert end < first or begin > last
    assert sorted(Blocks.away(None)) == sorted({*range(1 << BLOCKS)})


def test_ends_are_the_last_sessions_of_the_blocks():
    blocks = Blocks.of(TrainingPanel(panel(2, market=False), 20).reach())
    for block, end in enumerate(blocks.ends):
        assert end == blocks.sessions[blocks.block == block][-1]
    assert blocks.ends[-1] == panel(2, market=False).sessions()[-21]
    other = pd.DatetimeIndex(["1970-01-02", blocks.sessions[5]])
    assert blocks.pieces(other)[0] == -1
    assert blocks.pieces(other)[1] in Blocks.away(3)
