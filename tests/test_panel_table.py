"""The table that the panel network is trained on, and the batches cut from it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pandas as pd
import pytest
from panel_cases import STEPS, random_rows, random_standardisation, random_table

from lstmcli.forecasters.panel_network.inputs import (
    MAX_INPUT,
    UNIT,
    Moments,
    inputs_of,
)
from lstmcli.forecasters.panel_network.mapped import RowFile, give_back
from lstmcli.forecasters.panel_network.modes import (
    COLUMNS,
    FLAGS,
    MODES,
    Mode,
    masked_inputs,
    network_columns,
)
from lstmcli.forecasters.panel_network.table import (
    LEVELS,
    MAX_ERROR,
    MAX_RESIDUAL,
    TrainingTable,
)
from lstmcli.forecasters.panel_network.ticker_columns import TickerColumns

A, K = STEPS, len(COLUMNS)
TICKERS = {f"T{n}": random_rows(n) for n in range(5)}


@cache
def table() -> TrainingTable:
    return random_table(TICKERS)


def half(value: float) -> float:
    return float(np.float16(value))


LEARNT = np.random.default_rng(9).random(len(table().sessions)) > 0.3
SHOWN = (
    np.array([True, False, True, False, True]),
    np.array([True, True, False, False, True]),
    np.array([20, 5, 0, 20, 5]),
)


def flags_of(mode: Mode) -> list[bool]:
    return [mode.panel, mode.market, mode.dates >= 5, mode.dates == 20]


def batch():
    panel_shown, market_shown, dates_shown = SHOWN
    tickers = np.array([0, 1, 3, 4, 2])
    return tickers, table().batch(
        *(tickers, np.arange(10, 80)),
        panel=panel_shown,
        market=market_shown,
        dates=dates_shown,
        learnt=LEARNT,
    )


def test_a_batch_holds_what_a_plain_loop_gathers():
    tickers, found = batch()
    scaling = random_standardisation()
    for b, number in enumerate(tickers):
        columns, variance, returns = TICKERS[f"T{number}"]
        for at in range(70):
            session = table().sessions[10 + at]
            x = found.x[b, at]
            if session not in columns.sessions:
                assert not x.any()
                assert found.weight[b, at] == 0
                continue
            t = columns.sessions.get_loc(session)
            targets = np.concatenate([variance[t], returns[t]])
            counts = columns.known[t] and np.isfinite(targets).all() and LEARNT[10 + at]
            assert found.weight[b, at] == counts
            if not columns.known[t]:
                assert not x.any()
                continue
            known = {20: columns.dates[t], 5: columns.dates_soon[t], 0: 0}[int(SHOWN[2][b])]
            mode = Mode(
                bool(columns.panel[t] and SHOWN[0][b]),
                bool(columns.market[t] and SHOWN[1][b]),
                int(known),
            )
            for place, column in enumerate(network_columns(mode)):
                value = half(columns.values[t, column])
                scaled = (value - scaling.mean[column]) / scaling.scale[column]
                hidden = masked_inputs(mode)[place] or np.isnan(value)
                expected = 0.0 if hidden else min(max(scaled, -MAX_INPUT), MAX_INPUT)
                assert x[place] == pytest.approx(expected, abs=0.51 * float(UNIT))
            assert x[-FLAGS:].tolist() == flags_of(mode)
            if not counts:
                continue
            for k in range(A):
                first = columns.values[t, k]
                level = 0.0 if np.isnan(first) else half(first)
                predicted = half(level / 10 + MODES.index(mode) / 4)
                left = half(variance[t, k]) - predicted
                assert found.residual[b, at, k] == pytest.approx(
                    min(max(left, -MAX_RESIDUAL), MAX_RESIDUAL), abs=1e-5
                )
                error = half(returns[t, k]) / np.exp(predicted / 2)
                assert found.error[b, at, k] == pytest.approx(
                    min(max(error, -MAX_ERROR), MAX_ERROR), rel=1e-5
                )


def test_a_batch_is_finite_everywhere():
    _, found = batch()
    assert all(np.isfinite(each).all() for each in found)
    assert found.weight.any()


def test_what_a_column_loses_in_sixteen_bits_is_bounded():
    """At its bound of 20 a column is off by 1/128 at most, at 1 by 1/2,048."""
    values = np.linspace(-20, 20, 20_001, dtype=np.float32)
    lost = np.abs(values.astype(np.float16).astype(np.float32) - values)
    assert lost.max() <= 1 / 128
    assert lost[np.abs(values) <= 1].max() <= 1 / 4096


def test_the_scales_of_the_loss_are_those_of_rows_that_may_be_learnt_from():
    residuals, errors = [], []
    for columns, variance, returns in TICKERS.values():
        for t, session in enumerate(columns.sessions):
            if not (columns.known[t] and LEARNT[table().sessions.get_loc(session)]):
                continue
            if not np.isfinite([*variance[t], *returns[t]]).all():
                continue
            first = np.nan_to_num(columns.values[t, :A].astype(np.float16)).astype(float)
            predicted = first / 10 + int(columns.modes()[t]) / 4
            residuals.append(np.clip(variance[t] - predicted, -MAX_RESIDUAL, MAX_RESIDUAL))
            errors.append(np.clip(returns[t] / np.exp(predicted / 2), -MAX_ERROR, MAX_ERROR))
    scales = table().scales(LEARNT)
    np.testing.assert_allclose(scales.variance, np.var(residuals, axis=0), rtol=1e-2)
    expected = np.quantile(errors, LEVELS, axis=0).T
    np.testing.assert_allclose(scales.quantiles, expected, atol=2e-2)
    for k in range(A):
        loss = 0.0
        for error in np.array(errors)[:, k]:
            for level, quantile in zip(LEVELS, expected[k], strict=True):
                loss += max(level * (error - quantile), (level - 1) * (error - quantile))
        assert scales.pinball[k] == pytest.approx(loss / len(errors) / len(LEVELS), rel=1e-2)


def test_the_share_known_is_that_of_a_plain_loop():
    (axis,) = table().axes
    found = table().share_known(axis, np.array([0, 16, 40]), 50)
    for number, (columns, _, _) in enumerate(TICKERS.values()):
        for place, start in enumerate((0, 16, 40)):
            span = table().sessions[start : start + 50]
            known = [
                columns.known[columns.sessions.get_loc(day)]
                for day in span
                if day in columns.sessions
            ]
            assert found[number, place] == pytest.approx(sum(known) / 50)


def test_moments_are_those_of_what_is_known():
    generator = np.random.default_rng(3)
    values = 5 + 2 * generator.standard_normal((300, K)).astype(np.float32)
    values[generator.random(values.shape) < 0.3] = np.nan
    values[:, 5], values[:, 6] = np.nan, 3.0
    moments = Moments()
    moments.add(values[:100])
    moments.add(values[100:])
    found = moments.standardisation()
    usual = [column for column in range(K) if column not in (5, 6)]
    np.testing.assert_allclose(found.mean[usual], np.nanmean(values[:, usual], axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.scale[usual], np.nanstd(values[:, usual], axis=0), rtol=1e-4)
    assert (found.mean[5], found.scale[5], found.scale[6]) == (0, 1, 1)


def test_inputs_are_standardised_bounded_and_masked():
    values = np.full((len(MODES), K), 1e9, np.float32)
    values[:, 0] = np.nan
    found = inputs_of(values, np.arange(len(MODES)), random_standardisation())
    for number, mode in enumerate(MODES):
        expected = np.where(masked_inputs(mode), 0.0, MAX_INPUT)
        expected[network_columns(mode).index(0)] = 0.0
        assert found[number, :-FLAGS].tolist() == expected.tolist()
        assert found[number, -FLAGS:].tolist() == flags_of(mode)


def test_inputs_of_rows_in_many_modes_have_the_bits_of_each_row_alone():
    generator = np.random.default_rng(3)
    columns = generator.standard_normal((6, 50, K)).astype(np.float16)
    columns[generator.random(columns.shape) < 0.05] = np.nan
    columns[0, 0, :3] = np.inf, -np.inf, 100.0
    modes = generator.integers(0, len(MODES), (6, 50)).astype(np.int8)
    known = random_standardisation()
    found = inputs_of(columns, modes, known)
    for at in np.ndindex(modes.shape):
        mode, read = MODES[modes[at]], network_columns(MODES[modes[at]])
        values = columns[at][read].astype(np.float32)
        scaled = np.clip((values - known.mean[read]) / known.scale[read], -MAX_INPUT, MAX_INPUT)
        scaled[masked_inputs(mode) | ~np.isfinite(values)] = 0.0
        assert found[at][:-FLAGS].tobytes() == scaled.tobytes()
        assert found[at][-FLAGS:].tolist() == flags_of(mode)


def test_a_table_that_is_not_finished_gives_no_batch():
    made = TrainingTable({"T0": TICKERS["T0"][0].sessions})
    made.put("T0", *TICKERS["T0"])
    one = np.array([True])
    with pytest.raises(ValueError, match="finished"):
        made.batch(
            *(np.array([0]), np.arange(5)),
            panel=one,
            market=one,
            dates=np.array([20]),
            learnt=np.ones(90, bool),
        )


def test_a_ticker_without_a_bar_yet_stands_in_no_batch():
    given = dict(TICKERS)
    none = np.zeros(0, bool)
    columns = TickerColumns(
        *(pd.DatetimeIndex([]), np.zeros((0, K), np.float32)),
        known=none,
        panel=none,
        market=none,
        dates=np.zeros(0, int),
        dates_soon=np.zeros(0, int),
    )
    made = random_table(given | {"NEW": (columns, np.zeros((0, A)), np.zeros((0, A)))})
    both = np.array([True, True])
    found = made.batch(
        *(np.array([0, 5]), np.arange(10, 80)),
        panel=both,
        market=both,
        dates=np.array([20, 20]),
        learnt=LEARNT,
    )
    assert found.weight[0].any()
    assert not found.weight[1].any()
    assert not found.x[1].any()


def test_rows_of_a_file_are_read_as_they_were_written():
    file = RowFile(np.float16, (50, 7))
    file.rows[:] = np.arange(350).reshape(50, 7)
    give_back(file.rows)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda first: file.read(first, 9), range(42)))
    for first, rows in enumerate(found):
        np.testing.assert_array_equal(rows, file.rows[first : first + 9])
    assert file.read(3, 0).shape == (0, 7)
    with pytest.raises(EOFError, match="14 more bytes from byte 700 on"):
        file.read(45, 6)
